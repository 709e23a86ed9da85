"""One incident in the lab: what was done to the fleet, what the agents' journals say was re-run, and how long each part took.

All clocks are one: the lab's nodes share the kernel of the machine that runs the scenario. Times come from the agents' journals (when a
command was accepted), the rollout's events, and the controller's debug log (when the answer of a Check arrived).
"""
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime

from scenario import Failed, NAME, until

HEAD, WORKER = "node-a", "node-b"
CONTAINER = "vllm-server-qwen3-235b"
RUNNING = ("container", "ray-head", "ray-worker", "serve")
DEAR = ("npu", "fabric", "reach", "probe")  # Checks that cost something, asked in a period of their own: controller/stages/catalogue.cc
SERVE = {"serve@node-a", "probe@node-a"}
# What stands on what: the closure of a loss.
ON_WORKER = {"ray-worker@node-b", *SERVE}
ON_HEAD = {"ray-head@node-a", *ON_WORKER}
REBOOT_WORKER = {"container@node-b", *ON_WORKER}
REBOOT_HEAD = {"container@node-a", *ON_HEAD}

NOTICED = ("NodeLost", "NodeRebooted", "TaskLost", "Incident", "OperationStarted", "StopStarted")
BACK = ("NodeConnected", "NodeRebooted")
OBSERVED = re.compile(r"debug \S+: Observed (\S+): (\S+) .* at (\S+)$")
# What the product promises, in seconds; `first` only of what is killed under a daemon that tells it.
LIMITS = {"command": 0.1, "checks": 1.0}
DEATH_TO_COMMAND = 0.3
MEANING = {"command": "from the last Check to the first command", "checks": "from a node's return to the last of its cheap Checks",
           "first": "from the death to the first command", "noticed": "from the event to its being noticed"}


def when(text):
    """Seconds since 1970 of a timestamp in JSON."""
    match = re.fullmatch(r"(\S+T\S+?)(\.\d+)?(Z|\+00:00)", text)
    return datetime.fromisoformat(match[1] + "+00:00").timestamp() + float(match[2] or 0)


def stage_of(task):
    return task.split("@")[0]


def holds_up(operation, task, back, answered):
    """Whether a task's first answer after its node's return had to wait: for its own operation's end, or for one of what it stands on, begun meanwhile."""
    if operation["accepted"] > answered or 0 < operation["ended"] < back:
        return False
    stage, under = stage_of(task), stage_of(operation["task"])
    return operation["task"] == task or stage in RUNNING and under in RUNNING and RUNNING.index(under) < RUNNING.index(stage)


def shown(value):
    return "-" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


@dataclass
class Measured:
    """Of one row. Seconds; None: not of this kind of event."""
    row: str
    event: str
    engine: str
    rerun: list = field(default_factory=list)    # operations that changed something, by task
    stopped: list = field(default_factory=list)
    noticed: float = None     # from the event
    checks: float = None      # from a node's return to the last of its cheap Checks
    dear: float = None        # to the last of its dear ones
    command: float = None     # from the last Check before it to the first command
    first: float = None       # from the event to the first command
    serving: float = None     # from the event
    planned: float = None     # the outage that `plan` named
    outage: float = None      # the outage there was
    remark: str = ""


class Incident:
    def __init__(self, fleet, row, event):
        self.fleet, self.measured = fleet, Measured(row, event, fleet.engine)
        self.tokens, self.boots = fleet.tokens(), fleet.boot_ids()
        self.known = {node: {item["id"] for item in items} for node, items in fleet.all_operations().items()}
        self.last_event = max((int(event["id"]) for event in self.events(0)), default=0)
        self.limits = dict(LIMITS)
        self.answers = {}   # node: {task: seconds from the node's return to its first answer}
        self.began = time.time()
        self.concluded = False

    def begin(self, action):
        """Makes the event happen; the clock starts when action() is called."""
        self.began = time.time()
        action()
        return self

    def events(self, after=None):
        done = self.fleet.ctl("rollout", "events", NAME, "-o", "json", check=0)
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return [event for event in events if int(event["id"]) > (self.last_event if after is None else after)]

    def operations(self):
        """New since the beginning, of all nodes, oldest first."""
        found = [dict(item, node=node) for node, items in self.fleet.all_operations().items() for item in items
                 if item["id"] not in self.known[node]]
        return sorted(found, key=lambda item: item["accepted"])

    def noted(self, *kinds):
        return [event for event in self.events() if event["kind"] in kinds and when(event["time"]) >= self.began]

    def wait_noticed(self, seconds=60):
        return until(lambda: self.noted("Incident"), seconds, f"{self.measured.row} to be noticed", period=0.5)

    def wait_recovered(self, seconds=None):
        """Until it serves again after it was noticed that it did not."""
        seconds = seconds or (240 if self.fleet.engine == "quick" else 600)

        def again():
            incidents, serving = self.noted("Incident"), self.noted("Serving")
            return incidents and serving and int(serving[-1]["id"]) > int(incidents[-1]["id"]) and self.fleet.is_serving()
        until(again, seconds, f"{self.measured.row} to be repaired", period=0.5)
        self.fleet.well()
        return self

    def is_settled(self, since, seconds=15):
        """It has served for so long, whatever happened before: later than any probe that was under way would have said so."""
        rollout = self.fleet.is_serving()
        return rollout and time.time() - max(since, when(rollout["servingTime"])) > seconds

    # --- what is said of it

    def conclude(self):
        """Measures, once; what ran is complete when this is called."""
        if self.concluded:
            return self.measured
        self.concluded = True
        measured, operations, events = self.measured, self.operations(), self.events()
        measured.rerun = sorted({item["task"] for item in operations if item["action"] == "APPLY"})
        measured.stopped = sorted({item["task"] for item in operations if item["action"] == "STOP"})
        noticed = [when(event["time"]) for event in events if event["kind"] in NOTICED and when(event["time"]) >= self.began]
        if noticed:
            measured.noticed = min(noticed) - self.began
        serving = [when(event["time"]) for event in events if event["kind"] == "Serving" and when(event["time"]) >= self.began]
        if serving and operations:
            measured.serving = serving[-1] - self.began
        observed = self.observed()
        if operations:
            measured.first = operations[0]["accepted"] - self.began
            arrived = [moment for moment, _, _ in observed if moment < operations[0]["accepted"]]
            if arrived:
                measured.command = operations[0]["accepted"] - arrived[-1]
        self.measure_checks(events, operations, observed)
        return measured

    def measure_checks(self, events, operations, observed):
        """Of each node that came back, what each task's first answer took, but for those that wait for an operation, which is no Check's time."""
        returns = {event["node"]: when(event["time"]) for event in events if event["kind"] in BACK and when(event["time"]) >= self.began}
        for node, back in returns.items():
            first = {}
            for moment, task, _ in observed:
                if task.endswith(f"@{node}") and moment >= back:
                    first.setdefault(task, moment - back)
            busy = {task for task, took in first.items() if any(holds_up(item, task, back, back + took) for item in operations)}
            self.answers[node] = {task: took for task, took in first.items() if task not in busy}
        answers = [(task, took) for first in self.answers.values() for task, took in first.items()]
        self.measured.checks = max((took for task, took in answers if stage_of(task) not in DEAR), default=None)
        self.measured.dear = max((took for task, took in answers if stage_of(task) in DEAR and stage_of(task) != "probe"), default=None)

    def too_slow(self):
        """What did not hold of the limits, each with what took the time."""
        if self.measured.first is not None and self.measured.command is None:
            yield "no Check was answered before the first command"
        for name, limit in self.limits.items():
            took = getattr(self.measured, name)
            if took is None or took < limit:
                continue
            slowest = sorted(((took, task) for first in self.answers.values() for task, took in first.items() if stage_of(task) not in DEAR), reverse=True)[:6]
            detail = f" (after the return: {', '.join(f'{task} {shown(took)}' for took, task in slowest)}; {self.daemons()})" if name == "checks" else ""
            yield f"{MEANING[name]}: {shown(took)}, not under {shown(limit)}{detail}"

    def daemons(self):
        """When the daemon that most Checks ask was ready on the nodes that came back, from their return on."""
        backs = {event["node"]: when(event["time"]) for event in self.noted(*BACK)}
        told = []
        for node in self.answers:
            shown_by = self.fleet.do(node, "systemctl", "show", "docker.service", "--property=ActiveEnterTimestamp", "--timestamp=us+utc", check=False)
            match = re.search(r"(\d{4}-\d\d-\d\d) (\S+) UTC", shown_by)
            told.append(f"dockerd on {node} ready {when(f'{match[1]}T{match[2]}Z') - backs[node]:.2f} s after it" if match else f"no dockerd on {node}")
        return ", ".join(told)

    def observed(self):
        """(when it arrived, task, state) of the Checks' answers since the beginning."""
        directory = self.fleet.root(HEAD) / "var/log/journal"
        done = subprocess.run(["journalctl", f"--directory={directory}", "--unit=npufleet-controller.service", "--output=short-unix", "--no-pager",
                               f"--since=@{self.began:.6f}"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        found = []
        for line in done.stdout.splitlines():
            if match := OBSERVED.search(line):
                found.append((float(line.split()[0]), match[1], match[2]))
        return found


def said(measured):
    """Of one row, as the lab prints it."""
    return (f"re-run: {' '.join(measured.rerun) or 'nothing'}; noticed {shown(measured.noticed)}, last cheap Check {shown(measured.checks)}, "
            f"dear {shown(measured.dear)}, Check to command {shown(measured.command)}, first command {shown(measured.first)}, serving {shown(measured.serving)}")
