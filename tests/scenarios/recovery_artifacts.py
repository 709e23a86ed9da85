"""Files that are damaged, origins that fail, and chips that fail."""
import hashlib
import json
import time

from incident import HEAD, Incident, REBOOT_WORKER, SERVE, WORKER
from scenario import DIRECT, Failed, until
from parts import origin
from parts.layout import ORIGIN_URL

SHARD = "/data2/Qwen3-235B-A22B/model-00001-of-00002.safetensors"
# What an origin can do wrong, each once for the file that is asked for; then it works.
ORIGIN_FAULTS = {
    "cuts": ("cut", "bytes=100000"),
    "sends wrong bytes": ("wrong",),
    "says 429": ("status", "status=429", "retry_after=1"),
    "says 500": ("status", "status=500"),
    "is slow": ("slow", "bytes_per_second=300000"),
    "does not answer": ("hang", "seconds=3"),
}


def digest(fleet, node, path):
    return hashlib.sha256((fleet.root(node) / path.lstrip("/")).read_bytes()).hexdigest()


def asked():
    with DIRECT.open(f"{ORIGIN_URL}/_control/requests", timeout=10) as answer:
        return [request["path"] for request in json.load(answer)["requests"] if not request["path"].startswith("/_control")]


def look_again(fleet):
    """The unchanged spec applied: everything is looked at afresh, at once."""
    fleet.apply(fleet.spec())


TRUNCATE = ("truncate", "-s", "100000", SHARD)
SCRIBBLE = ("dd", "if=/dev/urandom", f"of={SHARD}", "bs=1000", "count=1", "seek=50", "conv=notrunc")


def damaged(fleet, row, event, damage=TRUNCATE, fault=None):
    """A shard of the worker's model is damaged: it alone is fetched again, on that node, and nothing else is touched."""
    good, requests = digest(fleet, WORKER, SHARD), len(asked())
    incident = Incident(fleet, row, event)
    fleet.do(WORKER, *damage)
    if fault:
        fleet.lab("fault", "origin", "*model-00001-of-00002.safetensors*", *fault)
    try:
        incident.begin(lambda: look_again(fleet))
        incident.wait_recovered()
    finally:
        fleet.lab("fault", "origin", "--clear")
    if digest(fleet, WORKER, SHARD) != good:
        raise Failed("the file is not what it was")
    others = [path for path in asked()[requests:] if path.endswith(".safetensors") and "model-00001" not in path]
    if others:
        raise Failed(f"fetched beside it: {others}")
    return incident, {"model@node-b"}


def model_truncated(fleet):
    return damaged(fleet, "model file truncated", "a shard of the worker's model is truncated")


def model_changed(fleet):
    return damaged(fleet, "model file changed", "1000 bytes of a shard of the worker's model are overwritten", SCRIBBLE)


def origin_down(fleet):
    """Nobody listens there: tried again with a backoff, while the server answers."""
    incident = Incident(fleet, "origin down", "a file is to be fetched again while nobody listens at the origin")
    fleet.do(WORKER, *TRUNCATE)
    origin.down()
    try:
        incident.begin(lambda: look_again(fleet))
        task = until(lambda: (found := fleet.tasks()["model@node-b"]).get("retryTime") and found, 60, "the download to have failed, with a time for the next try")
        fleet.chat(timeout=60)
        incident.measured.remark = f"status: {task['reason'][:120]}"
    finally:
        origin.up()
    return incident.wait_recovered(), {"model@node-b"}


def origin_fails(fleet):
    """Each fault of the origin in turn, for one file; the last one's measurements stand for all."""
    for name, fault in ORIGIN_FAULTS.items():
        incident, expected = damaged(fleet, "origin fails", f"a file is fetched again while the origin {', '.join(ORIGIN_FAULTS)}", fault=fault)
        ran = {item["task"] for item in incident.operations()}
        if ran != expected:
            raise Failed(f"origin {name}: re-run {ran}")
    return incident, expected


# --- chips

def chip_fault(fleet, row, event, code):
    """A code is shown and disturbs nothing; then the server dies."""
    fleet.lab("fault", WORKER, "chip.1.codes", code)
    incident = Incident(fleet, row, event)
    until(lambda: code[2:] in fleet.tasks()["npu@node-b"].get("reason", "").upper(), 60, "`ctl rollout status` to show the code")
    incident.measured.remark = f"status: {fleet.tasks()['npu@node-b']['reason'][:160]}"
    if early := incident.operations():
        raise Failed(f"done for a code alone: {early}")
    fleet.chat(timeout=60)
    return incident.begin(lambda: fleet.do(HEAD, "kill", "-KILL", fleet.tokens()["serve@node-a"].split("@")[0]))


def clearing(row):
    """The row, and no fault left behind it."""
    def wrapped(fleet):
        try:
            return row(fleet)
        finally:
            fleet.lab("fault", WORKER, "--clear")
    return wrapped


@clearing
def chip_restart(fleet):
    incident = chip_fault(fleet, "chip fault: restart", "a chip shows a fault whose class is a restart of the server, which then dies", "0x80E01801")
    return incident.wait_recovered(), SERVE


@clearing
def chip_reset(fleet):
    incident = chip_fault(fleet, "chip fault: reset", "a chip shows a fault whose class is a reset, then the server dies", "0x80E18005")
    return incident.wait_recovered(), {"npu@node-b", *SERVE}


@clearing
def chip_replace(fleet):
    """It stops, naming node and chip, and starts nothing; with another chip it goes on by itself."""
    incident = chip_fault(fleet, "chip fault: replace", "a chip shows a fault whose class is its replacement, then the server dies; later the chip is replaced", "0x80E18402")
    until(lambda: incident.noted("TaskLost"), 30, "the server's death to be noticed")
    time.sleep(15)  # time in which a loop would start something
    if started := [item["task"] for item in incident.operations() if item["action"] == "APPLY"]:
        raise Failed(f"started on a broken chip: {started}")
    rollout = fleet.rollout()
    failure = fleet.tasks()["npu@node-b"].get("failure", {})
    if rollout["phase"] != "FAILED" or failure.get("class") != "HARDWARE" or not all(word in failure["symptom"] for word in ("node-b", "chip 1", "80E18402")):
        raise Failed(f"{rollout['phase']}, not a failure of the hardware that names node, chip and code: {failure}")
    incident.measured.remark = f"{failure['class']}: {failure['symptom']}"
    fleet.lab("fault", WORKER, "--clear")
    until(lambda: fleet.rollout()["phase"] == "SERVING", 120, "the rollout to go on with another chip")
    return incident, SERVE


@clearing
def chip_vanishes(fleet):
    """Shown while it serves, nothing is done for it; when the server dies it stops; the chip comes back."""
    incident = Incident(fleet, "chip vanishes", "a chip is no longer listed; 30 s later the server dies, then the chip is back")
    incident.begin(lambda: fleet.lab("fault", WORKER, "chip.1.missing", "true"))
    until(lambda: fleet.tasks()["npu@node-b"].get("state") not in ("CURRENT",), 90, "the missing chip to be shown")
    shown = time.time() - incident.began
    fleet.chat(timeout=60)
    if early := incident.operations():
        raise Failed(f"done for a chip that is missing while it serves: {early}")
    fleet.do(HEAD, "kill", "-KILL", fleet.tokens()["serve@node-a"].split("@")[0])
    until(lambda: incident.noted("TaskLost"), 30, "the server's death to be noticed")
    time.sleep(15)  # time in which a loop would start something
    if started := [item["task"] for item in incident.operations() if item["action"] == "APPLY"]:
        raise Failed(f"started without the chip: {started}")
    incident.measured.remark = f"shown after {shown:.0f} s: {fleet.tasks()['npu@node-b']['reason'][:120]}"
    fleet.lab("fault", WORKER, "--clear")
    until(lambda: fleet.rollout()["phase"] == "SERVING", 120, "the rollout to go on with the chip")
    return incident, SERVE


def chips_settle(fleet):
    return chips_settle_for(20)(fleet)


def chips_settle_three_minutes(fleet):
    return chips_settle_for(180)(fleet)


def chips_settle_for(seconds):
    """After a reboot the chips answer -8005 for a while: nothing is reinstalled, and `status` says what is awaited."""
    @clearing
    def row(fleet):
        fleet.lab("fault", WORKER, "npu-smi.settle_seconds", str(seconds))
        incident = Incident(fleet, f"-8005 for {seconds} s", f"the worker reboots, and its chips answer -8005 for {seconds} s").begin(
            lambda: fleet.do(WORKER, "systemctl", "--no-block", "reboot"))
        reason = until(lambda: "8005" in (why := fleet.tasks()["npu@node-b"].get("reason", "")) and why, 60, "`status` to name -8005")
        incident.measured.remark = f"status: {reason}"
        return incident.wait_recovered(240 + seconds), REBOOT_WORKER
    return row
