"""Faults on command: a word in /tmp/vllm-fault of the head's container.

    hang        no token comes any more, /health says 200; goes on when the file is gone
    slow        a token takes two seconds, and the counters grow
    lose-rank   the last rank is killed; the next completion finds out
    die         the server's process ends at once, without a word

The file may be there before the start: a hung start never ends, a dead one ends early.
"""

import os
import pathlib
import threading

FILE = pathlib.Path("/tmp/vllm-fault")
POLL_SECONDS = 0.1
SLOW_SECONDS = 2.0


def present() -> str:
    try:
        return FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def hold() -> None:
    """Called before each step: returns when the fault allows one."""
    wait = threading.Event()
    if present() == "slow":
        wait.wait(SLOW_SECONDS)
    while present() == "hang":
        wait.wait(POLL_SECONDS)


def watch(lose_rank) -> None:
    """Starts the thread that carries out `die` and, once, `lose-rank` by a call of lose_rank()."""

    def run() -> None:
        wait = threading.Event()
        lost = False
        while True:
            fault = present()
            if fault == "die":
                os._exit(1)
            if fault == "lose-rank" and not lost:
                lost = lose_rank()
            wait.wait(POLL_SECONDS)

    threading.Thread(target=run, name="faults", daemon=True).start()
