"""Where a secret must not be: in files, and in the arguments of the programs that start meanwhile."""
import os
import subprocess
import threading
from pathlib import Path


def holding(secrets, *paths):
    """The files at or below `paths` that hold one of them."""
    words = [item for secret in secrets for item in ("-e", secret)]
    done = subprocess.run(["grep", "-rlaF", "--devices=skip", *words, *map(str, paths)], capture_output=True, text=True, check=False)
    return done.stdout


class Watch:
    """The arguments of each program that starts meanwhile, but of those whose arguments hold `own`: they are the test's."""

    def __init__(self, own=None):
        self.own, self.before, self.argvs, self.stopped = own, self.numbers(), set(), threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    @staticmethod
    def numbers():
        return {name for name in os.listdir("/proc") if name.isdigit()}

    def look(self):
        while not self.stopped.wait(0.02):
            for number in self.numbers() - self.before:
                try:
                    argv = Path("/proc", number, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if self.own is None or self.own not in argv:
                    self.argvs.add(argv)

    def telling(self, secrets):
        return [argv for argv in self.argvs if any(secret in argv for secret in secrets)]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
