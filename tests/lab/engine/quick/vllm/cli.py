"""The `vllm` command."""

import argparse
import json
import os
import pathlib
import signal
import sys
import threading
import traceback

from vllm import __version__, flags, log


def main() -> int:
    if __version__ not in flags.known_versions():
        print(f"vllm: VLLM_DOUBLE_VERSION={__version__}: the quick engine knows {', '.join(flags.known_versions())}",
              file=sys.stderr)
        return 2
    parser = flags.make_parser(__version__)
    log.info("__init__.py:39", "Available plugins for group vllm.platform_plugins:")
    log.info("__init__.py:41", "- ascend -> vllm_ascend:register")
    log.info("__init__.py:235", "Platform plugin ascend is activated")
    arguments = parser.parse_args()
    if arguments.command != "serve":
        parser.print_help()
        return 0
    return serve(parser, arguments)


def serve(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    model = arguments.model_tag or arguments.model
    if not model:
        parser.error("With `vllm serve`, you should provide the model as a positional argument or in a config file.")
    v1 = uses_v1()
    check(arguments, model, v1)
    log.info("api_server.py:1287", f"vLLM API server version {__version__}")
    log.info("cli_args.py:309", f"non-default args: {non_default(parser, arguments)}")

    from vllm.engine import Engine
    from vllm.server import Server

    engine = Engine(model, arguments.tensor_parallel_size * arguments.pipeline_parallel_size)
    reasoning = bool(arguments.reasoning_parser)
    key = arguments.api_key or os.environ.get("VLLM_API_KEY")
    server = Server((arguments.host or "0.0.0.0", arguments.port), engine, arguments.served_model_name or [model], model,
                    version=__version__, v1=v1, reasoning=reasoning, api_key=key[0] if isinstance(key, list) else key,
                    longest=arguments.max_model_len or 4096)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    if not start(engine, model, v1):
        return 1
    run(server, arguments.port)
    engine.stop()
    return 0


def uses_v1() -> bool:
    """V1 by VLLM_USE_V1, without it by the version."""
    from vllm.answers import version_tuple

    wanted = os.environ.get("VLLM_USE_V1")
    if version_tuple(__version__) >= (0, 10):
        if wanted == "0":
            raise ValueError("vLLM Ascend does not support V0 engine.")
        return True
    return wanted == "1"


def check(arguments: argparse.Namespace, model: str, v1: bool) -> None:
    """What vLLM refuses before it touches Ray, in its words."""
    if getattr(arguments, "enable_reasoning", False) and not arguments.reasoning_parser:
        raise TypeError("Error: --enable-reasoning requires --reasoning-parser")
    if not pathlib.Path(model, "config.json").is_file():
        raise OSError(f"{model} does not appear to have a file named config.json.")
    config = json.loads(pathlib.Path(model, "config.json").read_text(encoding="utf-8"))
    heads, ranks = config.get("num_attention_heads", 0), arguments.tensor_parallel_size
    if heads % ranks != 0:
        raise ValueError(f"Total number of attention heads ({heads}) must be divisible by tensor parallel size ({ranks}).")
    tokenizer = pathlib.Path(model, "tokenizer.json")
    if arguments.reasoning_parser == "deepseek_r1" and '"<think>"' not in tokenizer.read_text(encoding="utf-8"):
        raise RuntimeError("DeepSeek R1 reasoning parser could not locate think start/end tokens in the tokenizer!")


def non_default(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict:
    usual = vars(parser.parse_args(["serve"]))
    return {name: value for name, value in vars(arguments).items() if name != "command" and value != usual.get(name)}


def start(engine, model: str, v1: bool) -> bool:
    generation = "V1" if v1 else "V0"
    log.info("llm_engine.py:230", f"Initializing a {generation} LLM engine (v{__version__}) with config: model='{model}'")
    try:
        engine.start()
        return True
    except Exception:
        log.error("engine.py:165", traceback.format_exc())
        print("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}" if v1 else
              "RuntimeError: Engine process failed to start. See stack trace for the root cause.", file=sys.stderr)
        return False


def run(server, port: int) -> None:
    """Serves until a signal or the engine's death."""
    log.info("api_server.py:1349", f"Starting vLLM API server 0 on http://0.0.0.0:{port}")
    log.info("launcher.py:29", "Available routes are:")
    for path, methods in (("/health", "GET"), ("/metrics", "GET"), ("/version", "GET"), ("/v1/models", "GET"),
                          ("/v1/chat/completions", "POST"), ("/v1/completions", "POST")):
        log.info("launcher.py:37", f"Route: {path}, Methods: {methods}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.server_activate()
    log.uvicorn(f"Started server process [{os.getpid()}]")
    log.uvicorn("Waiting for application startup.")
    log.uvicorn("Application startup complete.")
    server.serve_forever(poll_interval=0.1)
    log.info("launcher.py:80", "Shutting down FastAPI HTTP server.")
    for line in ("Shutting down", "Waiting for application shutdown.", "Application shutdown complete.",
                 f"Finished server process [{os.getpid()}]"):
        log.uvicorn(line)
