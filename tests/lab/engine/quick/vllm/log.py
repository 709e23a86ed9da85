"""Log lines in vLLM's form. vLLM writes them to standard output."""

import sys
import time


def info(place: str, message: str) -> None:
    _write("INFO", place, message)


def warning(place: str, message: str) -> None:
    _write("WARNING", place, message)


def error(place: str, message: str) -> None:
    for line in message.splitlines():
        _write("ERROR", place, line)


def uvicorn(message: str) -> None:
    print(f"INFO:     {message}", file=sys.stderr, flush=True)


def _write(level: str, place: str, message: str) -> None:
    print(f"{level} {time.strftime('%m-%d %H:%M:%S')} [{place}] {message}", flush=True)
