"""The checks of the scenarios, each on a fleet of either kind. What holds is what the issue of the product asks for."""
import json
import os
import re
import subprocess
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from scenario import DIRECT, Failed, NAME, seconds_of, until, with_image

# Made once and kept: a reboot must not touch them.
INSTALLED = ("preflight", "packages", "installers", "driver", "npu", "fabric", "reach", "docker", "runtime", "image", "model")


def stage(task):
    return task.split("@")[0]


def completions(fleet, checks, name):
    def ask():
        start = time.monotonic()
        answer, tokens = fleet.chat()
        return f"{tokens} tokens in {seconds_of(start)}: {answer[:24]!r}"
    return checks.run(name, ask)


def asked_as_told(fleet, checks):
    """`ctl chat`, and the curl line that `status` prints, pasted into a shell."""
    def chat():
        said = fleet.ctl("chat", "你是谁", check=0).stdout.strip()
        if not said:
            raise Failed("it printed nothing")
        return repr(said[:24])
    checks.run("ctl chat prints an answer", chat)

    def curl():
        shown = fleet.ctl("rollout", "status", NAME, check=0).stdout
        line = next((line.strip() for line in shown.splitlines() if line.strip().startswith("curl ")), "")
        done = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "no_proxy": "*"})
        try:
            return f"{json.loads(done.stdout)['usage']['completion_tokens']} tokens"
        except (ValueError, KeyError, TypeError) as error:
            raise Failed(f"{line!r}: exit {done.returncode}: {done.stdout[:300]}{done.stderr[-300:]}") from error
    checks.run("the curl line of status gets tokens", curl)


def first_rollout(fleet, checks):
    """From bare nodes to a token, with a reboot of both in the middle."""
    boots = {}

    def joined():
        boots.update(fleet.boot_ids())
        return set(boots) == set(fleet.node_names) and all(boots.values())
    if not checks.run("both nodes joined", lambda: until(joined, 30, "both nodes to be connected") and ""):
        return False
    start = time.monotonic()

    def roll_out():
        done = fleet.apply(fleet.spec(), "--wait", "--timeout", f"{fleet.rollout_seconds}s", check=None)
        if done.returncode != 0:
            raise Failed(f"exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        rollout = fleet.wait_serving(60)
        return f"{len(rollout['tasks'])} tasks current after {seconds_of(start)}"
    if not checks.run("the first rollout serves", roll_out):
        return False
    path = fleet.rollout().get("criticalPath", {})
    if "overheadPercent" in path:
        checks.ok("control overhead", f"{path['overheadPercent']:.1f} % of {path.get('wall', '?')}")
    after = fleet.boot_ids()
    for node in fleet.node_names:
        checks.that(f"{node} rebooted in the first rollout", after.get(node) not in ("", boots.get(node)), f"boot id {after.get(node)} before and after")
    each_effect_once(fleet, checks, "in the first rollout")
    asked_as_told(fleet, checks)
    return completions(fleet, checks, "tokens come through the endpoint")


def each_effect_once(fleet, checks, when):
    """What the journals and the installers' own logs say: no effect twice."""
    twice = {}
    for node, operations in fleet.all_operations().items():
        counted = Counter(item["task"] for item in operations if item["action"] == "APPLY" and item["state"] == "SUCCEEDED" and item["changed"])
        twice |= {f"{task} on {node}": count for task, count in counted.items() if count > 1}
    checks.that(f"no operation took effect twice {when}", not twice, f"{twice}")
    runs = {node: fleet.installer_runs(node) for node in fleet.node_names}
    checks.that(f"each node ran the driver's and the firmware's installer once {when}", set(runs.values()) == {2}, f"runs of both together: {runs}", "2 runs each")


def second_apply(fleet, checks):
    before, operations = fleet.tokens(), {node: len(items) for node, items in fleet.all_operations().items()}
    start = time.monotonic()
    done = fleet.apply(fleet.spec(), check=None)
    took = seconds_of(start)
    checks.that("a second apply says that there is nothing to do", done.returncode == 0 and "nothing to do" in done.stdout,
                f"exit {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}", took)
    until(fleet.is_serving, 30, "the rollout to serve still")
    after = {node: len(items) for node, items in fleet.all_operations().items()}
    checks.that("a second apply starts no operation", after == operations, f"operations before {operations}, after {after}")
    checks.that("a second apply changes no token", fleet.tokens() == before, f"{before} became {fleet.tokens()}")


def worker_reboot(fleet, checks, worker="node-b"):
    """A worker goes down in order: what stood on it is made again, what is installed is left alone."""
    before, boots = fleet.tokens(), fleet.boot_ids()
    completions(fleet, checks, "tokens before the worker's reboot")
    start = time.monotonic()

    def come_back():
        fleet.reboot(worker)
        until(lambda: fleet.boot_ids().get(worker) not in ("", boots[worker]), 120, f"{worker} to come back with another boot id")
        until(lambda: fleet.tokens().get(f"container@{worker}") not in ("", before[f"container@{worker}"]), fleet.rollout_seconds,
              "another container on the worker")
        fleet.wait_serving()
        return f"{seconds_of(start)} from the reboot to serving"
    if not checks.run("it serves again after the worker's reboot", come_back):
        return
    completions(fleet, checks, "tokens after the worker's reboot")
    after = fleet.tokens()
    kept = {task: (before[task], after[task]) for task in before if stage(task) in INSTALLED and before[task] != after[task]}
    checks.that("the reboot left everything installed as it was", not kept, f"changed: {kept}")
    checks.that("the head's container was left alone", before["container@node-a"] == after["container@node-a"],
                f"{before['container@node-a']} became {after['container@node-a']}")
    checks.that("only the worker rebooted", fleet.boot_ids()["node-a"] == boots["node-a"], "node-a has another boot id, too")


def image_change(fleet, checks, sums, name="quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler", path="images/vllm-ascend-0.8.4rc2.tar.gz"):
    """Another image tag in the spec: the old server answers until the new image is on both nodes."""
    before = fleet.tokens()
    images = [task for task in before if stage(task) == "image"]
    answered = 0

    spec = with_image(fleet.spec(), name, path, sums)
    # Five seconds of download on each node: time in which the old server must answer.
    size = (Path(sums).parent / path).stat().st_size

    def watch():
        nonlocal answered
        fleet.apply(spec)
        while True:
            tokens = fleet.tokens()
            ready = all(tokens[task] not in ("", before[task]) for task in images)
            try:
                fleet.chat(timeout=20, max_tokens=4)
                answered += 1
            except OSError as error:
                # It may have become ready between the two looks.
                now = fleet.tokens()
                if not all(now[task] not in ("", before[task]) for task in images):
                    raise Failed(f"the old server ended before the new image was on both nodes: {error}; tokens {now}") from error
                break
            if ready and tokens["serve@node-a"] != before["serve@node-a"]:
                break
        return f"{answered} answers"
    with slow_origin(spec, f"/{path}", max(1, size // 5)):
        holds = checks.run("the old server answers until the new image is there", watch)
    if not holds or not checks.that("it did answer meanwhile", answered > 0, "the image was there at once", f"{answered} answers"):
        return
    start = time.monotonic()
    if checks.run("the new image serves", lambda: fleet.wait_serving() and seconds_of(start)):
        after = fleet.tokens()
        checks.that("image, container and server are new", all(after[task] != before[task] for task in before
                                                             if stage(task) in ("image", "container", "serve")), f"{after}")
        checks.that("driver, model and docker are not", all(after[task] == before[task] for task in before
                                                           if stage(task) in ("driver", "model", "docker", "runtime")), f"{after}")
        completions(fleet, checks, "tokens come from the new image")


@contextmanager
def slow_origin(spec, path, bytes_per_second):
    """The origin of this spec gives a file at this pace."""
    url = re.search(r"url: (http://[^/]+)/images/", spec)[1] + "/_control/faults"
    fault = {"path": path, "fault": "slow", "bytes_per_second": bytes_per_second, "times": 0}
    DIRECT.open(urllib.request.Request(url, json.dumps(fault).encode(), method="POST"), timeout=10).close()
    try:
        yield
    finally:
        DIRECT.open(urllib.request.Request(url, method="DELETE"), timeout=10).close()


def controller_crash(fleet, checks):
    """kill -9 of the controller in the middle of a first rollout, and its start."""
    fleet.apply(fleet.spec())
    start = time.monotonic()

    def in_the_middle():
        tasks = fleet.tasks()
        drivers = [task for name, task in tasks.items() if name.startswith("driver@")]
        return drivers and any(task.get("state") == "RUNNING" for task in drivers)
    if not checks.run("the rollout is under way", lambda: until(in_the_middle, 60, "a driver to be installed", period=0.05) and ""):
        return
    running = {node: {item["id"] for item in items} for node, items in fleet.all_operations().items()}
    watcher = fleet.begin_ctl("rollout", "watch", NAME, "--timeout", f"{fleet.rollout_seconds}s")
    until(lambda: "progressing" in watcher.text(), 20, "`ctl rollout watch` to see the rollout")
    fleet.kill_controller()

    def go_on():
        until(lambda: "not reachable" in watcher.text(), 20, "`ctl rollout watch` to miss the controller")
        fleet.start_controller()
        fleet.wait_serving()
        return f"{seconds_of(start)} in all"
    if not checks.run("the rollout finishes after kill -9 of the controller", go_on):
        return
    checks.run("`ctl rollout watch` comes back to the controller, and ends with 0", lambda: until(watcher.ended_well, 20, f"its end: {watcher.text()[-600:]}") and "")
    watcher.end()
    ids = {node: Counter(item["id"] for item in items) for node, items in fleet.all_operations().items()}
    checks.that("the operations that ran at the crash are known once each",
                all(counted[identity] == 1 for node, counted in ids.items() for identity in running[node]), f"{running} in {ids}")
    each_effect_once(fleet, checks, "over the crash")
    completions(fleet, checks, "tokens come after the crash")


def bad_spec(fleet, checks):
    """A wrong spec is refused before anything happens, with exit code 2."""
    cases = {
        "an unknown field": (lambda text: text.replace("chipsPerNode:", "chipsPerNod:", 1), "chipsPerNode"),
        "two nodes with one address": (lambda text: same_address(text), "address"),
        "parallel sizes that are not the chips": (lambda text: text.replace("    tensorParallelSize: 4", "    tensorParallelSize: 3", 1), "tensorParallelSize"),
    }
    for name, (change, word) in cases.items():
        done = fleet.apply(change(fleet.spec()), check=None)
        said = done.stdout + done.stderr
        checks.that(f"{name} is refused", done.returncode == 2 and word in said, f"exit {done.returncode}: {said[-400:]}", said.strip().splitlines()[0][-90:] if said.strip() else "")


def same_address(text):
    lines = text.splitlines()
    at = [index for index, line in enumerate(lines) if line.startswith("      address:")]
    lines[at[1]] = lines[at[0]]
    return "\n".join(lines) + "\n"


def events_replay(fleet, checks):
    """The events tell the story from the first one on, without a hole."""
    def read():
        done = fleet.ctl("rollout", "events", NAME, "-o", "json", check=0)
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")] or json.loads(done.stdout).get("events", [])
        identities = [int(event["id"]) for event in events]
        if not identities or identities != sorted(set(identities)):
            raise Failed(f"ids of events: {identities[:50]}")
        return f"{len(events)} events"
    checks.run("the events are in order", read)
