"""What the scenarios share: a fleet to talk to, conditions to wait for, and checks that print one line each.

A fleet is that of tests/local (doubled machines) or the lab (real nodes). Nothing here sleeps for a time: until() polls a
condition, and its deadline is a failure.
"""
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
TREE = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TREE / "tests/lab"))
from parts.layout import LabError, node_named  # noqa: E402
from parts.node import enter_argv  # noqa: E402

NAME = "qwen3-235b"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """A check that does not hold, said in one line."""


class Checks:
    """Prints `ok NAME (detail)` or `not ok NAME: why`. Stops a scenario where going on would prove nothing."""

    def __init__(self):
        self.passed = self.failed = 0

    def ok(self, name, detail=""):
        self.passed += 1
        print(f"ok {name}" + (f" ({detail})" if detail else ""), flush=True)

    def not_ok(self, name, why):
        self.failed += 1
        lines = str(why).strip().splitlines() or ["no reason given"]
        print(f"not ok {name}: {lines[0]}", flush=True)
        for line in lines[1:40]:
            print(f"#   {line}", flush=True)

    def that(self, name, holds, why, detail=""):
        if holds:
            self.ok(name, detail)
        else:
            self.not_ok(name, why)
        return holds

    def run(self, name, action):
        """One check as a function that returns its detail, or raises. Returns whether it holds."""
        try:
            self.ok(name, action() or "")
            return True
        except (Failed, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            self.not_ok(name, str(error) if isinstance(error, Failed) else traceback.format_exc())
            return False


def until(condition, seconds, what, period=0.2):
    """What condition() returns once it is true. It may raise Failed or OSError while it is not yet."""
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        try:
            if answer := condition():
                return answer
        except (Failed, OSError, subprocess.TimeoutExpired) as error:
            last = f"; last: {error}"
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s in vain for {what}{last}")
        time.sleep(period)


def seconds_of(start):
    return f"{time.monotonic() - start:.1f} s"


class Background:
    """A program that runs beside a scenario. end() must be called."""

    def __init__(self, argv):
        self.output = tempfile.NamedTemporaryFile("w+", encoding="utf-8", suffix=".log")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)

    def text(self):
        return Path(self.output.name).read_text(encoding="utf-8")

    def ended_well(self):
        if self.process.poll() not in (None, 0):
            raise Failed(f"exit {self.process.returncode}")
        return self.process.returncode == 0

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.output.close()


class Beside(threading.Thread):
    """Its run() goes on beside a scenario, until `ended` is set at the end of the context."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Fleet:
    """What both kinds of fleet can do. A subclass says how ctl is run and where a node's files are."""

    doubled = False
    rollout_seconds = 900

    def ctl_argv(self):
        raise NotImplementedError

    def root(self, node):
        raise NotImplementedError

    def spec(self, *arguments):
        raise NotImplementedError

    def ctl(self, *arguments, timeout=120, check=None):
        done = subprocess.run([str(item) for item in (*self.ctl_argv(), *arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)
        if check is not None and done.returncode != check:
            raise Failed(f"ctl {' '.join(map(str, arguments))}: exit {done.returncode}, not {check}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def begin_ctl(self, *arguments):
        return Background([str(item) for item in (*self.ctl_argv(), *arguments)])

    def rollout(self):
        done = self.ctl("rollout", "status", NAME, "-o", "json")
        if done.returncode not in (0, 1) or not done.stdout.strip():
            raise Failed(f"ctl rollout status: exit {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def tasks(self):
        return {task["id"]: task for task in self.rollout().get("tasks", [])}

    def tokens(self):
        return {name: task.get("token", "") for name, task in self.tasks().items()}

    def nodes(self):
        return {node["name"]: node for node in json.loads(self.ctl("node", "list", "-o", "json", check=0).stdout).get("nodes", [])}

    def boot_ids(self):
        return {name: node.get("bootId", "") for name, node in self.nodes().items()}

    def is_serving(self):
        rollout = self.rollout()
        if rollout.get("phase") == "FAILED":
            raise Failed(f"the rollout has failed: {rollout.get('reason', '')}")
        return rollout if rollout.get("phase") == "SERVING" and all(
            task.get("state") in ("CURRENT", "DRIFTED") for task in rollout["tasks"]) else None

    def wait_serving(self, seconds=None):
        return until(self.is_serving, seconds or self.rollout_seconds, "the rollout to serve")

    def apply(self, spec, *arguments, timeout=None, check=0):
        """Of a spec's text."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(spec)
            file.flush()
            return self.ctl("rollout", "apply", "-f", file.name, *arguments, timeout=timeout or self.rollout_seconds + 60, check=check)

    def chat(self, timeout=120, max_tokens=16):
        """(answer, generated tokens) of one completion at the endpoint, as any client would ask."""
        rollout = self.rollout()
        body = {"model": rollout["servedModelName"], "max_tokens": max_tokens, "messages": [{"role": "user", "content": "你是谁"}]}
        request = urllib.request.Request(f"{rollout['endpoint']}/v1/chat/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with DIRECT.open(request, timeout=timeout) as answer:
            reply = json.load(answer)
        message = reply["choices"][0]["message"]
        tokens = reply["usage"]["completion_tokens"]
        if tokens < 1:
            raise Failed(f"no token came: {reply}")
        return (message.get("reasoning_content") or "") + (message.get("content") or ""), tokens

    def health(self, timeout=5):
        """What the endpoint's /health answers: a status."""
        try:
            with DIRECT.open(f"{self.rollout()['endpoint']}/health", timeout=timeout) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def well(self):
        """/health says 200, and a token comes: either alone proves little."""
        status = self.health()
        if status != 200:
            raise Failed(f"/health says {status}")
        self.chat(timeout=60)

    def operations(self, node):
        """What the agent's journal holds: [{id, task, action, state, accepted, ended (0: not yet), changed}], oldest first."""
        path = self.root(node) / "var/lib/npufleet/agent/journal.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20) as database:
            rows = database.execute("SELECT operation FROM operations ORDER BY position").fetchall()
        return [operation_of(row[0]) for row in rows]

    def all_operations(self):
        return {node: self.operations(node) for node in self.node_names}

    def installer_runs(self, node):
        """How often the double of an Ascend installer really ran on a node."""
        log = self.root(node) / "var/log/ascend_seclog/ascend_install.log"
        return log.read_text(encoding="utf-8").count("Start time:") if log.exists() else 0


class LocalFleet(Fleet):
    doubled = True
    rollout_seconds = 180
    program = TREE / "tests/local/fleet"

    def __init__(self, state, build, nodes=2):
        self.state, self.build = Path(state), Path(build)
        self.node_names = tuple(f"node-{chr(ord('a') + index)}" for index in range(nodes))

    def fleet(self, *arguments, timeout=120):
        done = subprocess.run([str(self.program), *map(str, arguments), "--state", str(self.state)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise Failed(f"fleet {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}{done.stdout}")
        return done.stdout

    def up(self):
        self.fleet("up", "--build", self.build, "--nodes", len(self.node_names))

    def power_off(self, node):
        os.kill(json.loads(self.fleet("status", "--json"))["powered"][node]["pid"], signal.SIGTERM)
        until(lambda: not json.loads(self.fleet("status", "--json"))["powered"][node]["pid"], 30, f"{node} to be off")

    def power_on(self, _):
        self.up()

    def down(self):
        self.fleet("down")

    def ctl_argv(self):
        return [self.build / "bin/ctl", "--config", self.state / "etc/ctl/config.yaml"]

    def root(self, node):
        return self.state / node

    def spec(self, *arguments):
        return self.fleet("spec", *arguments)

    def reboot(self, node):
        self.fleet("reboot", node)

    def kill_controller(self):
        os.kill(json.loads(self.fleet("status", "--json"))["controller_pid"], signal.SIGKILL)

    def start_controller(self):
        self.fleet("start-controller")


class LabFleet(Fleet):
    node_names = ("node-a", "node-b")
    program = TREE / "tests/lab/lab"
    system = "debian"  # of lab up --os
    roads = ()         # of make_spec --roads

    def __init__(self, build, engine, chips=2):
        self.build, self.engine, self.chips = Path(build), engine, chips
        self.state = Path(os.environ.get("NPUFLEET_LAB", "/var/lib/npufleet-lab"))
        self.rollout_seconds = 900 if engine == "quick" else 1800

    def lab(self, *arguments, timeout=2400, check=True):
        done = subprocess.run([str(self.program), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise Failed(f"lab {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr[-3000:]}{done.stdout[-3000:]}")
        return done

    def up(self):
        self.lab("up", "--engine", self.engine, "--os", self.system, "--install", self.build)

    def down(self):
        self.lab("down")

    def ctl_argv(self):
        return [self.build / "bin/ctl", "--config", self.state / "ctl/config.yaml"]

    def root(self, node):
        return self.state / "nodes" / node / "root"

    def spec(self, *arguments):
        return subprocess.run([TREE / "tests/lab/make_spec", "--engine", self.engine, "--chips", str(self.chips), "--roads", ",".join(self.roads), *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    def reboot(self, node):
        self.lab("reboot", node)

    def do(self, node, *argv, check=True, timeout=120):
        """Runs argv in the node as root; its standard output."""
        try:
            entered = enter_argv(node_named(node), [str(item) for item in argv])
        except LabError as error:
            raise Failed(str(error)) from error
        done = subprocess.run(entered, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False, errors="replace")
        if check and done.returncode != 0:
            raise Failed(f"{node}: exit {done.returncode} of {' '.join(map(str, argv))}: {done.stderr.strip()}{done.stdout.strip()}")
        return done.stdout.strip()

    def kill_controller(self):
        self.do("node-a", "systemctl", "kill", "--signal=KILL", "npufleet-controller.service")

    def start_controller(self):
        """systemd has done it."""


# --- the wire's Operation, as far as it is needed, without a protobuf library

STATES = ["", "ACCEPTED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "INTERRUPTED"]
ACTIONS = ["", "APPLY", "STOP"]
FINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "INTERRUPTED")


def fields_of(data):
    """(field number, value) of a protobuf message: numbers as int, everything else as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        else:
            length = varint() if kind == 2 else 8 if kind == 1 else 4
            yield key >> 3, data[at:at + length]
            at += length


def operation_of(data):
    found = {number: value for number, value in fields_of(data)}
    return {"id": found.get(1, b"").decode(), "task": found.get(2, b"").decode(), "action": ACTIONS[found.get(3, 0)],
            "state": STATES[found.get(4, 0)], "accepted": seconds_since_1970(found.get(6, b"")),
            "ended": seconds_since_1970(found.get(7, b"")), "changed": bool(found.get(10, 0))}


def seconds_since_1970(timestamp):
    parts = dict(fields_of(timestamp))
    return parts.get(1, 0) + parts.get(2, 0) / 1e9


def with_image(spec, name, path, sums):
    """The spec with another image of the same origin."""
    digest = next(line.split()[0] for line in Path(sums).read_text(encoding="utf-8").splitlines() if line.split()[1] == path)
    origin = re.search(r"url: (http://[^/]+)/images/", spec)[1]
    block = re.compile(r"(  image:\n    name: )\S+(.*?url: )\S+(\s+sha256: )\S+", re.S)
    changed, count = block.subn(lambda match: f"{match[1]}{name}{match[2]}{origin}/{path}{match[3]}{digest}", spec, count=1)
    if count != 1:
        raise Failed("the spec's image was not found")
    return changed
