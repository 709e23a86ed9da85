"""Files that are damaged, origins that fail, and chips that fail."""
import hashlib
import json
import time

from incident import HEAD, Incident, REBOOT_WORKER, SERVE, WORKER
from scenario import DIRECT, Failed, until

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


def asked(origin="http://198.18.77.1:8000"):
    with DIRECT.open(f"{origin}/_control/requests", timeout=10) as answer:
        return [request["path"] for request in json.load(answer)["requests"] if not request["path"].startswith("/_control")]


def look_again(fleet):
    """The unchanged spec applied: everything is looked at afresh, at once."""
    fleet.apply(fleet.spec())


def truncated(fleet, row, event, fault=None):
    """A shard of the worker's model is cut in half: it alone is fetched again, on that node, and nothing else is touched."""
    good, requests = digest(fleet, WORKER, SHARD), len(asked())
    incident = Incident(fleet, row, event)
    fleet.do(WORKER, "truncate", "-s", "100000", SHARD)
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
    return truncated(fleet, "model file truncated", "a shard of the worker's model is truncated")


def origin_fails(fleet):
    """Each fault of the origin in turn, for one file; the last one's measurements stand for all."""
    for name, fault in ORIGIN_FAULTS.items():
        incident, expected = truncated(fleet, "origin fails", f"a file is fetched again while the origin {', '.join(ORIGIN_FAULTS)}", fault)
        ran = {item["task"] for item in incident.operations()}
        if ran != expected:
            raise Failed(f"origin {name}: re-run {ran}")
    return incident, expected


# --- chips

def chip_fault(fleet):
    """A fault code is shown and disturbs nothing; when the server then dies, it is started again without a loop."""
    fleet.lab("fault", WORKER, "chip.1.codes", "80E18005")
    fleet.lab("fault", WORKER, "chip.1.health", "Warning")
    try:
        incident = Incident(fleet, "chip fault code", "a chip shows a fault code while serving; a minute later the server dies")
        until(lambda: "80E18005" in json.dumps(fleet.nodes()[WORKER]).upper(), 60, "`ctl node list` to show the fault code")
        if early := incident.operations():
            raise Failed(f"done for a code alone: {early}")
        fleet.chat(timeout=60)
        incident.begin(lambda: fleet.do(HEAD, "kill", "-KILL", fleet.tokens()["serve@node-a"].split("@")[0]))
        incident.wait_recovered()
        return incident, SERVE
    finally:
        fleet.lab("fault", WORKER, "--clear")


def chip_vanishes(fleet):
    """Shown while it serves, nothing is done for it; it comes back."""
    incident = Incident(fleet, "chip vanishes", "a chip is no longer listed while the service answers; then it is back")
    try:
        incident.begin(lambda: fleet.lab("fault", WORKER, "chip.1.missing", "true"))
        until(lambda: fleet.tasks()["npu@node-b"].get("state") not in ("CURRENT",), 90, "the missing chip to be shown")
        incident.measured.noticed = time.time() - incident.began
        fleet.chat(timeout=60)
    finally:
        fleet.lab("fault", WORKER, "--clear")
    until(fleet.is_serving, 120, "the chip to be seen again")
    return incident, set()


def chips_settle(fleet, seconds=20):
    """After a reboot the chips answer -8005 for a while: nothing is reinstalled, and `status` says what is awaited."""
    fleet.lab("fault", WORKER, "npu-smi.settle_seconds", str(seconds))
    try:
        incident = Incident(fleet, f"-8005 for {seconds} s", f"the worker reboots, and its chips answer -8005 for {seconds} s").begin(
            lambda: fleet.do(WORKER, "systemctl", "--no-block", "reboot"))
        reason = until(lambda: "8005" in (why := fleet.tasks()["npu@node-b"].get("reason", "")) and why, 60, "`status` to name -8005")
        incident.measured.remark = f"status: {reason}"
        return incident.wait_recovered(), REBOOT_WORKER
    finally:
        fleet.lab("fault", WORKER, "--clear")
