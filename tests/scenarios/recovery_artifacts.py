"""Files that are damaged, and origins that fail."""
import hashlib
import json
import re

from incident import Incident, WORKER
from scenario import Beside, DIRECT, Failed, until
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
CUT_AT = 100000  # where `cuts` does


def digest(fleet, node, path):
    return hashlib.sha256((fleet.root(node) / path.lstrip("/")).read_bytes()).hexdigest()


def requests():
    """What the origin was asked, oldest first, its own endpoint aside."""
    with DIRECT.open(f"{ORIGIN_URL}/_control/requests", timeout=10) as answer:
        return [request for request in json.load(answer)["requests"] if not request["path"].startswith("/_control")]


def faults_left():
    with DIRECT.open(f"{ORIGIN_URL}/_control/faults", timeout=10) as answer:
        return json.load(answer)["faults"]


class Installed(Beside):
    """Looks again and again at a file: what it held."""

    def __init__(self, fleet, node, path):
        super().__init__()
        self.file, self.digests = fleet.root(node) / path.lstrip("/"), set()

    def run(self):
        while not self.ended.wait(0.02):
            try:
                self.digests.add(hashlib.sha256(self.file.read_bytes()).hexdigest())
            except OSError:
                self.digests.add("no file")


def was_hit(fault, answers, left):
    """What the origin itself says of the answers it gave for the file, with this fault set once. Raises if the fault met nobody."""
    if left:
        raise Failed(f"the origin still waits for somebody to meet its fault {left}")
    kind, values = fault[0], dict(item.split("=") for item in fault[1:])
    first, others = answers[0], answers[1:]
    good = others and any(item["status"] in (200, 206) for item in others)
    if kind == "cut":
        # What had come is kept: the rest is asked for by Range.
        resumed = [item for item in others if item["range"] and item["status"] == 206]
        begins = [int(re.match(r"bytes=(\d+)-", item["range"])[1]) for item in resumed]
        holds = 0 < first["sent"] <= CUT_AT and begins and 0 < begins[0] <= CUT_AT
    elif kind == "status":
        holds = first["status"] == int(values["status"]) and good and others[0]["time"] - first["time"] >= float(values.get("retry_after", 0))
    elif kind == "wrong":
        holds = first["status"] in (200, 206) and good
    elif kind == "hang":
        holds = first["status"] == 0 and good
    else:
        holds = first["status"] in (200, 206) and first["sent"] > 0
    if not holds:
        raise Failed(f"{fault}: the origin's answers: {answers}")


def look_again(fleet):
    """The unchanged spec applied: everything is looked at afresh, at once."""
    fleet.apply(fleet.spec())


TRUNCATE = ("truncate", "-s", "100000", SHARD)
SCRIBBLE = ("dd", "if=/dev/urandom", f"of={SHARD}", "bs=1000", "count=1", "seek=50", "conv=notrunc")


def damaged(fleet, row, event, damage=TRUNCATE, fault=None):
    """A shard of the worker's model is damaged: it alone is fetched again, on that node, and nothing else is touched."""
    good, asked = digest(fleet, WORKER, SHARD), len(requests())
    incident = Incident(fleet, row, event)
    fleet.do(WORKER, *damage)
    broken = digest(fleet, WORKER, SHARD)
    if fault:
        fleet.lab("fault", "origin", "*model-00001-of-00002.safetensors*", *fault)
    try:
        with Installed(fleet, WORKER, SHARD) as installed:
            incident.begin(lambda: look_again(fleet))
            incident.wait_recovered()
        left = faults_left()
    finally:
        fleet.lab("fault", "origin", "--clear")
    if digest(fleet, WORKER, SHARD) != good:
        raise Failed("the file is not what it was")
    if wrong := installed.digests - {good, broken, "no file"}:
        raise Failed(f"other bytes were in the place of the file: {wrong}")
    new = [request for request in requests()[asked:] if ".safetensors" in request["path"]]
    if others := [request["path"] for request in new if "model-00001" not in request["path"]]:
        raise Failed(f"fetched beside it: {others}")
    if fault:
        was_hit(fault, new, left)
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
        fleet.well()
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
