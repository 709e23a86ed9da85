"""The HTTP side: what vLLM's API server answers, over one Engine."""

import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vllm import log
from vllm.answers import BadRequest, Completion, error_body, models_body, version_tuple
from vllm.engine import Engine, EngineDead

METRICS = [
    ("num_requests_running", "gauge", "Number of requests currently running on GPU."),
    ("num_requests_waiting", "gauge", "Number of requests waiting to be processed."),
    ("prompt_tokens_total", "counter", "Number of prefill tokens processed."),
    ("generation_tokens_total", "counter", "Number of generation tokens processed."),
    ("request_success_total", "counter", "Count of successfully processed requests."),
]


def compact(value: dict) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Server(ThreadingHTTPServer):
    """Binds at once, as vLLM does before it starts its engine; serves when serve_forever() is called."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], engine: Engine, names: list[str], model: str, *, version: str, v1: bool,
                 reasoning: bool, api_key: str | None, longest: int):
        super().__init__(address, Handler, bind_and_activate=False)
        self.server_bind()
        self.engine = engine
        self.names = names
        self.model = model
        self.version = version
        self.v1 = v1
        self.reasoning = reasoning
        self.api_key = api_key
        self.longest = longest
        self.died = False
        self._lock = threading.Lock()
        self._counts = dict.fromkeys((name for name, _, _ in METRICS), 0)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request, client_address) -> None:
        """A client that is gone before its answer is no error of the server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def count(self, name: str, change: int) -> None:
        with self._lock:
            self._counts[name] += change

    def metrics(self) -> str:
        label = f'{{engine="0",model_name="{self.names[0]}"}}' if self.v1 else f'{{model_name="{self.names[0]}"}}'
        with self._lock:
            return "".join(
                f"# HELP vllm:{name} {text}\n# TYPE vllm:{name} {kind}\nvllm:{name}{label} {float(self._counts[name])}\n"
                for name, kind, text in METRICS)

    def health_status(self) -> int:
        """What /health says of a dead engine depends on the version; of a stuck one it says 200 in each."""
        if not self.engine.dead or (self.v1 and version_tuple(self.version) <= (0, 9, 1)):
            return 200
        return 503 if version_tuple(self.version) >= (0, 11) else 500

    def engine_died(self) -> None:
        """Ends the server, once, after the answer that tells of it."""
        with self._lock:
            if self.died:
                return
            self.died = True
        log.error("client.py:306", f"RuntimeError('Engine process (pid {os.getpid()}) died.')\n{self.engine.dead}")
        if self.v1:
            log.error("async_llm.py:420", "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for "
                      "the root cause.")
        else:
            log.error("launcher.py:116", "MQLLMEngine is already dead, terminating server process")
        threading.Thread(target=self.shutdown, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        if self.path == "/health":
            self._answer(server.health_status(), b"", "text/plain")
        elif self.path == "/metrics":
            self._answer(200, server.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/version":
            self._json(200, {"version": server.version})
        elif self.path == "/v1/models" and self._allowed():
            self._json(200, models_body(server.names[0], server.model, server.longest))
        elif self.path != "/v1/models":
            self._json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path not in ("/v1/chat/completions", "/v1/completions"):
            self._json(404, {"detail": "Not Found"})
            return
        if not self._allowed():
            return
        try:
            chat = self.path == "/v1/chat/completions"
            request = Completion(body, chat, self.server.names, self.server.reasoning)
        except BadRequest as error:
            self._json(error.status, error_body(self.server.version, error.status, error.kind, str(error)))
            return
        self._complete(request)

    def log_request(self, code="-", size="-") -> None:
        host, port = self.client_address[:2]
        log.uvicorn(f'{host}:{port} - "{self.requestline}" {int(code)} {self.responses[code][0]}')

    def log_message(self, format, *arguments) -> None:
        """Broken requests and connections: uvicorn says nothing of them either."""

    def _complete(self, request: Completion) -> None:
        server = self.server
        server.count("num_requests_running", 1)
        server.count("prompt_tokens_total", request.prompt_tokens)
        try:
            if request.stream:
                self._stream(request)
            else:
                self._json(200, request.whole(list(request.tokens(self._step))))
            server.count("request_success_total", 1)
        except EngineDead:
            server.engine_died()
            self.close_connection = True
            if not request.stream:
                self._answer(500, b"", "text/plain")
        except OSError:
            self.close_connection = True
        finally:
            server.count("num_requests_running", -1)

    def _step(self, thinking: bool) -> str:
        token = self.server.engine.step(thinking)
        self.server.count("generation_tokens_total", 1)
        return token

    def _stream(self, request: Completion) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in request.chunks(self._step):
            self._event(compact(event))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, text: str) -> None:
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _allowed(self) -> bool:
        if not self.server.api_key or self.headers.get("Authorization") == f"Bearer {self.server.api_key}":
            return True
        self._json(401, {"error": "Unauthorized"})
        return False

    def _json(self, status: int, body: dict) -> None:
        self._answer(status, compact(body).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
