"""Specs that change, and hands that change a node: what `plan` says first is what is done."""
import json
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor

from incident import HEAD, Incident, ON_HEAD, REBOOT_HEAD, REBOOT_WORKER, SERVE, WORKER
from scenario import Failed, NAME, until, with_image

SUMS = os.path.join(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet"), "origin/SHA256SUMS")
OTHER_IMAGE = "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler"
DRIVER, FIRMWARE = ("25.2.0", "7.7.0.6.236")


def plan(fleet, spec):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(spec)
        file.flush()
        return json.loads(fleet.ctl("rollout", "plan", "-f", file.name, "-o", "json").stdout)


def changed(fleet, row, event, spec, expected):
    """`plan` says first what an apply then does. Afterwards the former revision serves again."""
    planned = plan(fleet, spec)
    foreseen = {step["task"] for step in planned["steps"] if step["action"] == "APPLY"}
    incident = Incident(fleet, row, event).begin(lambda: fleet.apply(spec))
    incident.wait_recovered(400)
    measured = incident.conclude()
    # A probe is its own Check: a plan need not name it.
    wrong = foreseen ^ set(measured.rerun) - {"probe@node-a"}
    outage = float(planned.get("outage", "0s").rstrip("s"))
    measured.remark = f"as `plan` said, with an outage of about {outage:.0f} s; it was {incident.outage():.0f} s"
    Incident(fleet, "", "").begin(lambda: fleet.apply(fleet.spec())).wait_recovered(400)
    if wrong:
        raise Failed(f"plan named {sorted(foreseen)}, and {measured.rerun} was run")
    return incident, expected


def server_flag(fleet):
    return changed(fleet, "server flag changed", "gpuMemoryUtilization 0.95 becomes 0.9",
                   fleet.spec().replace("gpuMemoryUtilization: 0.95", "gpuMemoryUtilization: 0.9"), SERVE)


def image_tag(fleet):
    for node in (HEAD, WORKER):  # of a round before: what is there is not fetched
        fleet.do(node, "docker", "rmi", "--force", OTHER_IMAGE, check=False)
    spec = with_image(fleet.spec(), OTHER_IMAGE, "images/vllm-ascend-0.8.4rc2.tar.gz", SUMS)
    return changed(fleet, "image tag changed", "another image tag", spec, {"image@node-a", "image@node-b", *REBOOT_HEAD, *REBOOT_WORKER})


def driver_spec(fleet):
    """The newer driver and its firmware; the first word of a line of SHA256SUMS is the digest."""
    with open(SUMS, encoding="utf-8") as file:
        sums = {name: digest for digest, name in (line.split() for line in file)}

    def artifact(pattern):
        name = next(name for name in sums if re.search(pattern, name))
        return rf"\g<1>http://198.18.77.1:8000/{name}\g<2>{sums[name]}"
    spec = fleet.spec()
    spec = re.sub(r"(    driver:\n      url: )\S+(\s+sha256: )\S+", artifact(rf"npu-driver_{re.escape(DRIVER)}"), spec)
    spec = re.sub(r"(    firmware:\n      url: )\S+(\s+sha256: )\S+", artifact(rf"npu-firmware_{re.escape(FIRMWARE)}"), spec)
    spec = re.sub(r"    version: 25\.0\.rc1\.b080", f"    version: {DRIVER}", spec)
    spec = re.sub(r"    acceptedVersions: .*\n", "", spec)
    return re.sub(r"firmwareVersion: \S+", f"firmwareVersion: {FIRMWARE}", spec)


def driver_torn(fleet):
    """Another driver in the spec; the worker loses its power in the middle of the installer: that installer again, and a reboot."""
    fleet.lab("fault", WORKER, "firmware", "slow:6")
    try:
        incident = Incident(fleet, "installer killed half way", "another driver in the spec; the worker loses its power in its installer")
        incident.begin(lambda: fleet.apply(driver_spec(fleet)))
        until(lambda: fleet.tasks()["driver@node-b"].get("state") == "RUNNING", 120, "the installer to run", period=0.05)
        until(lambda: fleet.do(WORKER, "ls", "/var/lib/npufleet/agent/marks", check=False), 60, "the installer's mark", period=0.05)
        fleet.lab("powercut", WORKER)
        torn = until(lambda: "torn" in (why := fleet.tasks()["driver@node-b"].get("reason", "") + json.dumps(fleet.ctl("rollout", "events", NAME, "-o", "json").stdout[-6000:]))
                     and why, 90, "its Check to say torn")
        incident.measured.remark = "its Check said torn" if torn else ""
    finally:
        fleet.lab("fault", WORKER, "--clear")
    incident.wait_recovered(500)
    incident.conclude()
    # An older one is taken only when it is asked for by name.
    refused = fleet.apply(fleet.spec())
    until(lambda: "would be a downgrade" in fleet.rollout().get("reason", ""), 60, f"the downgrade to be refused: {refused.stdout[-300:]}")
    back = re.sub(r"(    firmwareVersion: \S+\n)", r"\g<1>    allowDowngrade: true\n", fleet.spec())
    fleet.apply(back, "--wait", "--timeout", "500s")
    fleet.apply(fleet.spec(), "--wait", "--timeout", "60s")
    return incident, {"driver@node-a", "driver@node-b", "reboot@node-a", "reboot@node-b", *REBOOT_HEAD, *REBOOT_WORKER}


def nic_changed(fleet):
    """A second interface on both nodes carries the addresses that Ray and the engine use."""
    addresses = {HEAD: "198.18.77.21", WORKER: "198.18.77.22"}
    spec = fleet.spec()
    for node, address in addresses.items():
        fleet.do(node, "ip", "link", "add", "data0", "link", "enp67s0f0", "type", "macvlan", "mode", "bridge", check=False)
        fleet.do(node, "ip", "address", "replace", f"{address}/24", "dev", "data0")
        fleet.do(node, "ip", "link", "set", "data0", "up")
        spec = re.sub(rf"(- name: {node}\n      address: )\S+(\n      nic: )\S+", rf"\g<1>{address}\g<2>data0", spec)
    return changed(fleet, "NIC changed", "another NIC and address of both nodes", spec, ON_HEAD)


def operators_at_once(fleet):
    """In the middle of a rollout three people type at the same moment: undo, cancel, and a reboot of the worker. A fourth lets it go on."""
    revision = int(fleet.rollout()["revision"])
    incident = Incident(fleet, "operators at once", "undo, cancel and a reboot of the worker in the middle of a rollout, then resume")

    def act():
        fleet.apply(fleet.spec().replace("gpuMemoryUtilization: 0.95", "gpuMemoryUtilization: 0.9"))
        until(lambda: fleet.tasks()["serve@node-a"].get("state") in ("RUNNING", "STOPPING"), 60, "the new server to be started", period=0.05)
        with ThreadPoolExecutor() as pool:
            typed = [pool.submit(fleet.ctl, *words) for words in (("rollout", "undo", NAME), ("rollout", "cancel", NAME), ("node", "reboot", WORKER))]
        for done in [item.result() for item in typed]:
            if done.returncode != 0:
                raise Failed(f"{done.args}: exit {done.returncode}: {done.stderr}")
        fleet.ctl("rollout", "resume", NAME, check=0)
    incident.begin(act)
    until(lambda: fleet.boot_ids().get(WORKER) not in ("", incident.boots[WORKER]), 120, "the worker with another boot id")
    incident.wait_recovered()
    reboots = [item["state"] for item in incident.operations() if item["task"].startswith("reboot@")]
    history = json.loads(fleet.ctl("rollout", "history", NAME, "-o", "json", check=0).stdout)["revisions"]
    specs = {int(item["revision"]): item["deployment"] for item in history}
    if len(reboots) != 1 or int(fleet.rollout()["revision"]) != revision + 2 or specs[revision + 2] != specs[revision]:
        raise Failed(f"reboots {reboots}, revision {fleet.rollout()['revision']} after {revision}")
    incident.measured.remark = "one reboot, one undo: the spec is the former one"
    return incident, {"reboot@node-b", *REBOOT_WORKER}


def docker_by_hand(fleet):
    """Somebody puts another dockerd on the worker and restarts it; later the server dies. The drift is shown and never repaired."""
    former = fleet.tasks()["docker@node-b"]["token"]
    other = re.sub(r"^(\d+\.\d+\.)(\d+)", lambda version: f"{version[1]}{int(version[2]) + 1}", former)  # of the same length
    path = fleet.do(WORKER, "sh", "-c", "readlink -f $(command -v dockerd)")
    file = fleet.root(WORKER) / path.lstrip("/")
    program = file.read_bytes()

    def put(data):
        file.with_suffix(".new").write_bytes(data)
        file.with_suffix(".new").chmod(0o755)
        fleet.do(WORKER, "systemctl", "stop", "docker", check=False)
        file.with_suffix(".new").rename(file)
        fleet.do(WORKER, "systemctl", "start", "docker")
    upgrade = Incident(fleet, "Docker upgraded by hand", f"dockerd {former} becomes {other} by hand; later the server dies")
    try:
        upgrade.begin(lambda: put(program.replace(former.encode(), other.encode()))).wait_recovered()
        task = fleet.tasks()["docker@node-b"]
        if task.get("state") != "DRIFTED" or other not in task.get("reason", ""):
            raise Failed(f"the drift is not shown: {task}")
        if "docker@node-b" in {item["task"] for item in upgrade.operations()}:
            raise Failed("the drift was repaired")
        incident = Incident(fleet, "Docker upgraded by hand", upgrade.measured.event)
        incident.begin(lambda: fleet.do(HEAD, "kill", "-KILL", fleet.tokens()["serve@node-a"].split("@")[0])).wait_recovered()
        incident.conclude().remark = f"shown: {task['reason']}"
        return incident, SERVE
    finally:
        Incident(fleet, "", "").begin(lambda: put(program)).wait_recovered()
