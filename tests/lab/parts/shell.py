"""Running programs and saying what goes on."""
import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager

from .layout import LabError

started = time.monotonic()


def say(text):
    print(f"lab [{time.monotonic() - started:5.1f} s] {text}", file=sys.stderr, flush=True)


def run(*argv, check=True, timeout=None, input=None, capture=True):
    """Runs argv and returns the CompletedProcess; a failure is a LabError that holds what it printed."""
    argv = [str(argument) for argument in argv]
    stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
    try:
        done = subprocess.run(argv, text=True, timeout=timeout, check=False, errors="replace", **stdin,
                              stdout=subprocess.PIPE if capture else None, stderr=subprocess.PIPE if capture else None)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed (see tests/lab/packages)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {timeout} s: {' '.join(argv)}") from error
    if check and done.returncode != 0:
        said = ((done.stderr or "") + (done.stdout or "")).strip()
        raise LabError(f"exit {done.returncode} of: {' '.join(argv)}\n{said}".rstrip())
    return done


def succeeds(*argv, timeout=20):
    """Whether argv exits with 0; False, too, if there is no such program or it does not end."""
    try:
        return run(*argv, check=False, timeout=timeout).returncode == 0
    except LabError:
        return False


def wait_until(condition, timeout, what):
    """Polls until condition() is true; a LabError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.1)


@contextmanager
def locked(path, busy):
    """Holds an exclusive lock on path; a LabError saying `busy` if somebody else has it for 10 minutes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        deadline, said = time.monotonic() + 600, False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise LabError(busy) from error
                if not said:
                    say(f"{busy}: waiting")
                    said = True
                time.sleep(0.2)
        yield


class Daemon:
    """A background process of the lab. Its lock file says whether it lives, and holds its pid."""

    def __init__(self, directory, name):
        self.lock = directory / f"{name}.pid"
        self.log = directory / f"{name}.log"

    def pid(self):
        """The pid of the living process, or 0. A lock cannot outlive its process, so no foreign pid is ever meant."""
        try:
            with open(self.lock, "r+", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return 0
                except BlockingIOError:
                    return int(file.read() or 0)
        except (OSError, ValueError):
            return 0

    def start(self, argv, unit=None):
        """Starts argv, which must call hold() on this daemon's files or be started through `lab __hold`."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        if unit and systemd_is_pid_1():
            run("systemd-run", "--quiet", "--collect", f"--unit={unit}", "--property=Delegate=yes",
                "--property=KillMode=mixed", "--property=TasksMax=infinity", "--property=LimitNOFILE=1048576",
                *(f"--setenv={name}={os.environ[name]}" for name in ("NPUFLEET_CACHE", "NPUFLEET_LAB")
                  if name in os.environ), f"--property=StandardOutput=append:{self.log}",
                f"--property=StandardError=append:{self.log}", *argv)
        else:
            with open(self.log, "ab") as log:
                subprocess.Popen([str(item) for item in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True, cwd="/")
        wait_until(self.pid, 15, f"{self.lock.stem} to start (see {self.log})")

    def hold(self):
        """Called in the background process: takes the lock for as long as it lives, across exec, too."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor


def systemd_is_pid_1():
    return os.path.isdir("/run/systemd/system")
