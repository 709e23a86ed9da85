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
SERVE = {"serve@node-a", "probe@node-a"}
# What stands on what: the closure of a loss.
ON_WORKER = {"ray-worker@node-b", *SERVE}
ON_HEAD = {"ray-head@node-a", *ON_WORKER}
REBOOT_WORKER = {"container@node-b", *ON_WORKER}
REBOOT_HEAD = {"container@node-a", *ON_HEAD}

NOTICED = ("NodeLost", "NodeRebooted", "TaskLost", "Incident", "OperationStarted", "StopStarted")
BACK = ("NodeConnected", "NodeRebooted")
OBSERVED = re.compile(r"debug \S+: Observed (\S+): (\S+) .* at (\S+)$")


def when(text):
    """Seconds since 1970 of a timestamp in JSON."""
    match = re.fullmatch(r"(\S+T\S+?)(\.\d+)?(Z|\+00:00)", text)
    return datetime.fromisoformat(match[1] + "+00:00").timestamp() + float(match[2] or 0)


@dataclass
class Measured:
    """Of one row. Seconds; None: not of this kind of event."""
    row: str
    event: str
    engine: str
    rerun: list = field(default_factory=list)    # operations that changed something, by task
    stopped: list = field(default_factory=list)
    noticed: float = None     # from the event
    checks: float = None      # from the node's return to the last Check that was waited for
    command: float = None     # from that Check to the first command
    first: float = None       # from the event to the first command
    serving: float = None     # from the event
    remark: str = ""


class Incident:
    def __init__(self, fleet, row, event):
        self.fleet, self.measured = fleet, Measured(row, event, fleet.engine)
        self.tokens, self.boots = fleet.tokens(), fleet.boot_ids()
        self.known = {node: {item["id"] for item in items} for node, items in fleet.all_operations().items()}
        self.last_event = max((int(event["id"]) for event in self.events(0)), default=0)
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

    def outage(self):
        """Seconds from the first command that ended serving to serving again."""
        serving = [when(event["time"]) for event in self.noted("Serving")]
        disturbing = [item["accepted"] for item in self.operations() if item["action"] == "STOP" or item["task"].split("@")[0] in RUNNING]
        return serving[-1] - disturbing[0] if serving and disturbing else 0

    def wait_recovered(self, seconds=None):
        """Until it serves again after it was noticed that it did not."""
        seconds = seconds or (240 if self.fleet.engine == "quick" else 600)

        def again():
            incidents, serving = self.noted("Incident"), self.noted("Serving")
            return incidents and serving and int(serving[-1]["id"]) > int(incidents[-1]["id"]) and self.fleet.is_serving()
        until(again, seconds, f"{self.measured.row} to be repaired", period=0.5)
        answer, tokens = self.fleet.chat(timeout=60)
        if tokens < 1:
            raise Failed(f"no token: {answer}")
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
        first_command = operations[0]["accepted"] if operations else None
        noticed = [when(event["time"]) for event in events if event["kind"] in NOTICED and when(event["time"]) >= self.began]
        if noticed:
            measured.noticed = min(noticed) - self.began
        serving = [when(event["time"]) for event in events if event["kind"] == "Serving" and when(event["time"]) >= self.began]
        if serving and operations:
            measured.serving = serving[-1] - self.began
        if first_command:
            measured.first = first_command - self.began
            self.measure_checks(first_command, [when(event["time"]) for event in events if event["kind"] in BACK])
        return measured

    def measure_checks(self, first_command, returns):
        arrived = [moment for moment, _, _ in self.observed() if moment < first_command]
        if arrived:
            self.measured.command = first_command - arrived[-1]
        back = [moment for moment in returns if self.began <= moment < first_command]
        if back:
            # What each task's first answer took. The probe is no cheap Check, and a later answer is news of its own (a raylet that ends itself).
            first = {}
            for moment, task, _ in self.observed():
                if back[-1] < moment < first_command and not task.startswith("probe@"):
                    first.setdefault(task, moment)
            if first:
                self.measured.checks = max(first.values()) - back[-1]

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
    def seconds(value):
        return "-" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    return (f"re-run: {' '.join(measured.rerun) or 'nothing'}; noticed {seconds(measured.noticed)}, last Check {seconds(measured.checks)}, "
            f"Check to command {seconds(measured.command)}, first command {seconds(measured.first)}, serving {seconds(measured.serving)}")
