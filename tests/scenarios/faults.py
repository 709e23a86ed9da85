"""What a wrong spec, a wrong file and a bad installer get: the figure, before anything is harmed, and a way on."""
import json
import re
import socket
import urllib.request
from contextlib import closing

from scenario import DIRECT, NAME, until


def failures(rollout):
    return [task["failure"] for task in rollout.get("tasks", []) if "failure" in task]


def failed(fleet):
    """The rollout once it has given up, else None."""
    rollout = fleet.rollout()
    return rollout if rollout.get("phase") == "FAILED" and failures(rollout) else None


def fails_with(fleet, checks, name, spec, kind, words):
    """Applies a spec, and waits for a failure of this class whose symptom holds these words."""
    def wait():
        fleet.apply(spec)
        rollout = until(lambda: failed(fleet), 60, "the rollout to give up")
        found = failures(rollout)
        said = next((failure for failure in found if failure.get("class") == kind and all(word in failure.get("symptom", "") for word in words)), None)
        if said is None:
            raise ValueError(f"failures: {json.dumps(found, ensure_ascii=False)}")
        return said["symptom"][:110]
    return checks.run(name, wait)


def asked_of_origin(spec):
    url = re.search(r"url: (http://[^/]+)/", spec)[1]
    with DIRECT.open(f"{url}/_control/requests", timeout=10) as answer:
        return [request["path"] for request in json.load(answer)["requests"] if not request["path"].startswith("/_control")]


def bad_input(fleet, checks):
    spec = fleet.spec()
    settings = json.loads(fleet.fleet("status", "--json"))
    fails_with(fleet, checks, "a disk that is too small", spec.replace("      /data2: 1\n", "      /data2: 9999999\n"), "NEEDS_OPERATOR", ("GiB", "9999999"))
    checks.that("a disk that is too small stops all downloads", not asked_of_origin(spec), f"{asked_of_origin(spec)}")
    # From here on it is the head: nothing keeps the other node from what it can do already.
    head = "node-a"
    with closing(socket.create_server((settings["nodes"][head], settings["engine_port"]))):
        fails_with(fleet, checks, "a port that is taken", spec, "NEEDS_OPERATOR", (f"port {settings['engine_port']}", "python"))
    checks.that("a port that is taken stops all downloads of its node", not artifacts(fleet, head), f"{artifacts(fleet, head)}")

    digest = re.search(r"npu-driver\S+\s+sha256: ([0-9a-f]{64})", spec)[1]
    fails_with(fleet, checks, "a driver of another sha256", spec.replace(digest, "0" * 64), "CONFIG", ("sha256",))
    checks.that("a driver of another sha256 is never run", fleet.installer_runs(head) == 0, "an installer ran")
    left = [name for name in artifacts(fleet, head) if "npu-driver" in name]
    checks.that("a driver of another sha256 is not kept", not left, f"{left}")

    fleet.fleet("fault", head, "driver", "ask")
    fails_with(fleet, checks, "an installer that asks a question", spec, "NEEDS_OPERATOR", ("asks",))
    fleet.fleet("fault", head, "driver", json.dumps({"do": "lie", "times": 1}))
    before = fleet.installer_runs(head)

    def goes_on():
        fleet.ctl("rollout", "retry", NAME, "--wait", "--timeout", "120s", timeout=150, check=0)
        return f"{fleet.installer_runs(head) - before} runs of installers"
    if checks.run("an installer that lies is found out, run again, and the rollout serves", goes_on):
        checks.that("the lie was one run more than driver and firmware", fleet.installer_runs(head) - before == 3, f"{fleet.installer_runs(head) - before} runs")


def artifacts(fleet, node):
    return [str(file.relative_to(fleet.root(node))) for file in (fleet.root(node) / "var/lib/npufleet/agent").rglob("*.run*")]
