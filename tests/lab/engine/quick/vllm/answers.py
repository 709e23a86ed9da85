"""OpenAI's request and response shapes, as the vLLM version at hand has them."""

import json
import random
import time
import uuid


class BadRequest(Exception):
    def __init__(self, status: int, kind: str, message: str):
        super().__init__(message)
        self.status = status
        self.kind = kind


def version_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def error_body(version: str, status: int, kind: str, message: str) -> dict:
    inner = {"message": message, "type": kind, "param": None, "code": status}
    return {"error": inner} if version_tuple(version) >= (0, 10, 2) else {"object": "error", **inner}


def models_body(name: str, path: str, longest: int) -> dict:
    permission = {
        "id": f"modelperm-{uuid.uuid4().hex}", "object": "model_permission", "created": int(time.time()),
        "allow_create_engine": False, "allow_sampling": True, "allow_logprobs": True, "allow_search_indices": False,
        "allow_view": True, "allow_fine_tuning": False, "organization": "*", "group": None, "is_blocking": False,
    }
    model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm", "root": path, "parent": None,
             "max_model_len": longest, "permission": [permission]}
    return {"object": "list", "data": [model]}


class Completion:
    """One request: checks it, draws the tokens from the engine, and shapes them whole or as a stream."""

    def __init__(self, body: bytes, chat: bool, served: list[str], reasoning: bool):
        try:
            request = json.loads(body)
        except ValueError as error:
            raise BadRequest(400, "BadRequestError", f"JSON decode error: {error}") from error
        needed = "messages" if chat else "prompt"
        if not isinstance(request, dict) or not request.get(needed):
            raise BadRequest(400, "BadRequestError", f"[{{'type': 'missing', 'loc': ('body', '{needed}')}}]")
        self.model = request.get("model") or served[0]
        if self.model not in served:
            raise BadRequest(404, "NotFoundError", f"The model `{self.model}` does not exist.")
        self.chat = chat
        self.stream = bool(request.get("stream"))
        self.most = request.get("max_completion_tokens") or request.get("max_tokens") or (512 if chat else 16)
        self.usage_in_stream = bool((request.get("stream_options") or {}).get("include_usage"))
        self.prompt_tokens = len(json.dumps(request[needed], ensure_ascii=False)) // 2 + 1
        self.id = ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex
        self.created = int(time.time())
        self._thoughts = random.randint(4, 12) if chat and reasoning else 0
        self._words = random.randint(8, 24)
        self.finish_reason = "stop"
        self.completion_tokens = 0

    def tokens(self, step):
        """Yields (is a thought, text), each by a call of step(is a thought)."""
        for number in range(self._thoughts + self._words):
            if number == self.most:
                self.finish_reason = "length"
                return
            thinking = number < self._thoughts
            text = step(thinking)
            self.completion_tokens += 1
            yield thinking, text

    def usage(self) -> dict:
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": self.prompt_tokens + self.completion_tokens,
                "completion_tokens": self.completion_tokens, "prompt_tokens_details": None}

    def whole(self, pieces: list[tuple[bool, str]]) -> dict:
        thought = "".join(text for thinking, text in pieces if thinking)
        content = "".join(text for thinking, text in pieces if not thinking)
        choice = {"index": 0, "logprobs": None, "finish_reason": self.finish_reason, "stop_reason": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "reasoning_content": thought or None, "content": content or None,
                                 "tool_calls": []}
        else:
            choice["text"] = content
        kind = "chat.completion" if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": [choice],
                "usage": self.usage(), "prompt_logprobs": None}

    def chunk(self, delta: dict, finish_reason: str | None = None) -> dict:
        choice = {"index": 0, "logprobs": None, "finish_reason": finish_reason}
        if self.chat:
            choice["delta"] = delta
        else:
            choice["text"] = delta.get("content", "")
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": [choice]}

    def chunks(self, step):
        """Yields the events of a stream, the last being the usage where it was asked for."""
        if self.chat:
            yield self.chunk({"role": "assistant", "content": ""})
        for thinking, text in self.tokens(step):
            yield self.chunk({"reasoning_content" if thinking else "content": text})
        yield self.chunk({}, self.finish_reason)
        if self.usage_in_stream:
            yield self.chunk({}) | {"choices": [], "usage": self.usage()}
