"""One node: a temporary root, and a real agent on it that is asked over its own API."""
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from real import Failed

TREE = Path(__file__).resolve().parent.parent.parent.parent
CACHE = Path(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet"))
SUPPRESSED = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "NOTIFY_SOCKET")


def until(condition, seconds, what):
    """What condition() returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)


class Program:
    """A program that runs beside the tests, with its output in a file; end() is to be called."""

    def __init__(self, argv, log, environment=None):
        self.log = Path(log)
        kept = {key: value for key, value in os.environ.items() if key not in SUPPRESSED}
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen([str(item) for item in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, env={**kept, **(environment or {})})

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, condition, seconds, what):
        def ready():
            if self.process.poll() is not None:
                raise Failed(f"{what}: the program ended with {self.process.returncode}\n{self.text()[-2000:]}")
            return condition()
        return until(ready, seconds, what)

    def end(self):
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            if self.process.poll() is not None:
                return
            os.kill(self.process.pid, number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue


class Outcome:
    """How an operation ended: its log lines, its last state, its failure or observation."""

    def __init__(self, output, status, errors):
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        self.lines = [event["log_line"] for event in events if "log_line" in event]
        states = [event["operation"] for event in events if "operation" in event]
        self.operation = states[-1] if states else {}
        self.succeeded = status == 0
        self.observation = self.operation.get("observation", {})
        self.failure = self.operation.get("failure", {})
        self.text = output
        self.errors = errors

    def __str__(self):
        return f"{self.operation.get('state', 'no operation')} {self.failure or self.observation} {self.errors}\n" + "\n".join(self.lines[-25:])


class Node:
    """A root folder with an os-release, and `npufleet-agent serve` on it. `environment` is the agent's, so that its programs have it."""

    numbers = itertools.count(1)

    def __init__(self, build, work, os_release="ID=ubuntu\nID_LIKE=debian\nVERSION_ID=22.04\n", environment=None, prefix=()):
        self.root = Path(tempfile.mkdtemp(prefix="node-", dir=work))
        self.build, self.prefix = Path(build), list(prefix)
        self.boot_id = self.root / "proc/sys/kernel/random/boot_id"
        self.write("etc/os-release", os_release)
        self.reboot_id()
        for folder in ("usr/local/bin", "usr/bin", "var/lib", "var/run", "run", "etc/docker", "tmp", "data", "data2"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.environment = {"NPUFLEET_DOUBLE_ROOT": str(self.root), "NPUFLEET_DOUBLE_BOOT_ID_FILE": str(self.boot_id),
                            "NPUFLEET_DOUBLE_SECONDS": "0.1", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
        self.agent = None

    def write(self, path, content, mode=0o644):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        file.write_bytes(content)
        file.chmod(mode)
        return file

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")

    def exists(self, path):
        return (self.root / path.lstrip("/")).exists()

    def reboot_id(self):
        self.write("proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")

    def start(self):
        """The agent, listening on a port of its own."""
        log = self.root.parent / f"{self.root.name}.agent.log"
        self.agent = Program([*self.prefix, self.build / "bin/npufleet-agent", "serve", "--insecure-loopback", "--root", self.root, "--listen",
                              "127.0.0.1:0", "--state_directory", self.root / "var/lib/npufleet/agent"], log, self.environment)
        known = log.stat().st_size

        def port():
            for line in self.agent.text()[known:].splitlines():
                if " listens on port " in line:
                    return line.rpartition(" listens on port ")[2].strip().strip('"}')
            return ""
        self.address = "127.0.0.1:" + self.agent.wait_for(port, 20, "the agent to listen")
        return self

    def reboot(self):
        """Another boot id, and the agent comes up as after a boot."""
        self.agent.end()
        self.reboot_id()
        self.start()

    def call(self, action, verb, task, seconds, stamp="roads"):
        if self.agent is None:
            self.start()
        subject = json.dumps({"task": f"{task}@{self.root.name}", "verb": verb, "stamp": stamp})
        arguments = [] if action == "check" else [f"1/roads/1/{task}@{self.root.name}/{next(self.numbers)}"]
        return subprocess.run([self.build / "bin/roads_walk", self.address, action, *arguments], input=subject, capture_output=True, text=True,
                              timeout=seconds, check=False)

    def check(self, task, **verb):
        done = self.call("check", verb, task, 120)
        if done.returncode != 0:
            raise Failed(f"check of {task}: {done.stderr}")
        return json.loads(done.stdout)

    def apply(self, task, seconds=300, stamp="roads", action="apply", **verb):
        done = self.call(action, verb, task, seconds, stamp)
        if done.returncode == 2:
            raise Failed(f"{action} of {task}: {done.stderr}")
        return Outcome(done.stdout, done.returncode, done.stderr)

    def stop(self, task, **verb):
        return self.apply(task, action="stop", **verb)

    def end(self):
        if self.agent:
            self.agent.end()
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Checks:
    """Prints `ok NAME (detail)` or `not ok NAME: why`, and counts."""

    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = []

    def that(self, name, holds, why="", detail=""):
        if holds:
            self.passed += 1
            print(f"ok {name}" + (f" ({detail})" if detail else ""), flush=True)
            return True
        self.failed += 1
        lines = str(why).strip().splitlines() or ["it does not hold"]
        print(f"not ok {name}: {lines[0]}", flush=True)
        for line in lines[1:40]:
            print(f"#   {line}", flush=True)
        return False

    def succeeds(self, name, outcome, token=None):
        good = outcome.succeeded and (token is None or outcome.observation.get("token") == token)
        return self.that(name, good, f"token {token} wanted: {outcome}", outcome.observation.get("token", ""))

    def fails(self, name, outcome, failure_class, *words, signature=None):
        """The operation failed with this class; symptom, advice and tail together hold the words; the advice is one line."""
        failure = outcome.failure
        said = " ".join([failure.get("symptom", ""), failure.get("advice", ""), *failure.get("log_tail", [])])
        advice = failure.get("advice", "")
        good = (not outcome.succeeded and failure.get("class") == failure_class and all(word in said for word in words)
                and advice and "\n" not in advice and signature in (None, failure.get("signature", "")))
        return self.that(name, good, f"wanted {failure_class} {signature or ''} with {words}: {outcome}", failure.get("symptom", "")[:160])

    def skip(self, what, why):
        self.skipped.append((what, why))
        print(f"skip {what}: {why}", flush=True)


def doubles(*parts):
    return TREE.joinpath("tests/doubles", *parts)


sys.dont_write_bytecode = True
