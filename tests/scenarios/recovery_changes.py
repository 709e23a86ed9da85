"""Specs that change, and hands that change a node: what `plan` says first is what is done."""
import json
import os
import re
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor

from incident import HEAD, Incident, ON_HEAD, REBOOT_HEAD, REBOOT_WORKER, RUNNING, SERVE, WORKER, stage_of, when
from recovery_artifacts import faults_left, requests
from recovery_client import Client
from scenario import Failed, NAME, until, with_image

SUMS = os.path.join(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet"), "origin/SHA256SUMS")
OTHER_IMAGE, OTHER_ARCHIVE = "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler", "images/vllm-ascend-0.8.4rc2.tar.gz"
ARTIFACTS = "/var/lib/npufleet/agent/artifacts"
MARKS = "/var/lib/npufleet/agent/marks"
INSTALLER = r"Ascend-hdk-910b-npu-(driver|firmware)\S*\.run"
OUTAGE_SLACK = 3  # seconds
DRIVER, FIRMWARE = ("25.2.0", "7.7.0.6.236")


def plan(fleet, spec):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(spec)
        file.flush()
        return json.loads(fleet.ctl("rollout", "plan", "-f", file.name, "-o", "json").stdout)


def applied(fleet, row, event, spec, ends):
    """Applies a spec with a client at work: (incident, what `plan` said before). `ends(operation)`: whether it ended the old server."""
    planned = plan(fleet, spec)
    incident = Incident(fleet, row, event)
    with Client(fleet) as client:
        incident.begin(lambda: fleet.apply(spec))
        incident.wait_recovered(400)
    measured = incident.conclude()
    ended = next(item["accepted"] for item in incident.operations() if ends(item))
    measured.planned, measured.outage = float(planned.get("outage", "0s").rstrip("s")), when(incident.noted("Serving")[-1]["time"]) - ended
    answers = client.served_until(ended, incident.began)
    measured.remark = f"`plan` said an outage of about {measured.planned:.0f} s; it was {measured.outage:.0f} s; {answers} answers of the old server"
    return incident, planned


def outage_was_foretold(measured):
    """Within a factor of two, or of a few seconds where that is less."""
    planned, outage = measured.planned, measured.outage
    if not (planned > 0 and outage > 0 and (planned / 2 <= outage <= planned * 2 or abs(planned - outage) <= OUTAGE_SLACK)):
        raise Failed(f"plan named an outage of {planned:.1f} s, and it was {outage:.1f} s")


def changed(fleet, row, event, spec, expected, back=None):
    """`plan` says first what an apply then does; the old server answers until it is stopped. Afterwards the former revision serves again."""
    incident, planned = applied(fleet, row, event, spec, lambda operation: operation["action"] == "STOP" or stage_of(operation["task"]) in RUNNING)
    (back or go_back)(fleet)
    foreseen = {step["task"] for step in planned["steps"] if step.get("action") == "APPLY" or step.get("reboot")}
    # A probe is its own Check: a plan need not name it.
    if foreseen ^ set(incident.measured.rerun) - {"probe@node-a"}:
        raise Failed(f"plan named {sorted(foreseen)}, and {incident.measured.rerun} was run")
    outage_was_foretold(incident.measured)
    return incident, expected


def go_back(fleet):
    Incident(fleet, "", "").begin(lambda: fleet.apply(fleet.spec())).wait_recovered(400)


def server_flag(fleet):
    return changed(fleet, "server flag changed", "gpuMemoryUtilization 0.95 becomes 0.9",
                   fleet.spec().replace("gpuMemoryUtilization: 0.95", "gpuMemoryUtilization: 0.9"), SERVE)


def image_tag(fleet):
    """The archive's origin says 503 to each node and then sends wrong bytes to each; what is loaded in the end is what the spec names."""
    for node in (HEAD, WORKER):  # of a round before: what is there is not fetched
        fleet.do(node, "docker", "rmi", "--force", OTHER_IMAGE, check=False)
    spec, asked = with_image(fleet.spec(), OTHER_IMAGE, OTHER_ARCHIVE, SUMS), len(requests())
    for fault in (("status", "status=503"), ("wrong",)):
        fleet.lab("fault", "origin", f"*{OTHER_ARCHIVE}*", *fault, "--times", "2")
    loaded = {}

    def back(fleet):
        loaded.update({node: fleet.do(node, "docker", "image", "inspect", "--format", "{{.Id}}", OTHER_IMAGE) for node in (HEAD, WORKER)})
        go_back(fleet)
    try:
        incident, expected = changed(fleet, "image tag changed", "another image tag, from an origin that first says 503 and then sends wrong bytes", spec,
                                     {"image@node-a", "image@node-b", *REBOOT_HEAD, *REBOOT_WORKER}, back)
        left = faults_left()
    finally:
        fleet.lab("fault", "origin", "--clear")
    statuses = [item["status"] for item in requests()[asked:] if OTHER_ARCHIVE in item["path"]]
    if left or statuses.count(503) != 2 or len(statuses) < 6:
        raise Failed(f"not each fault was met: the origin answered {statuses}, and waits with {left}")
    if set(loaded.values()) != {wanted := image_in(OTHER_ARCHIVE)}:
        raise Failed(f"loaded was {loaded}, and the archive holds {wanted}")
    return incident, expected


def image_in(archive):
    """The id of the image in an archive of the origin, which is its configuration's digest."""
    with tarfile.open(os.path.join(os.path.dirname(SUMS), archive)) as file:
        configuration = json.load(file.extractfile("manifest.json"))[0]["Config"]
    return "sha256:" + os.path.basename(configuration).removesuffix(".json")


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


def driver_back(fleet):
    """An older driver is taken only when it is asked for by name."""
    refused = fleet.apply(fleet.spec())
    until(lambda: "would be a downgrade" in fleet.rollout().get("reason", ""), 60, f"the downgrade to be refused: {refused.stdout[-300:]}")
    back = re.sub(r"(    firmwareVersion: \S+\n)", r"\g<1>    allowDowngrade: true\n", fleet.spec())
    fleet.apply(back, "--wait", "--timeout", "500s")
    fleet.apply(fleet.spec(), "--wait", "--timeout", "60s")


def forget_fetched(fleet):
    """Of a round before: what is there is not fetched."""
    for node in (HEAD, WORKER):
        fleet.do(node, "sh", "-c", f"rm -f {ARTIFACTS}/*npu-driver_{DRIVER}* {ARTIFACTS}/*npu-firmware_{FIRMWARE}*")


INSTALLERS = {"installers@node-a", "installers@node-b"}
DRIVERS = {"driver@node-a", "driver@node-b", "reboot@node-a", "reboot@node-b", *REBOOT_HEAD, *REBOOT_WORKER}


def driver_without_its_tool(fleet):
    """A tool that the installer needs is missing on the worker: that is said while the server goes on, and before anything is stopped."""
    path = fleet.do(WORKER, "sh", "-c", "command -v lspci")
    fleet.do(WORKER, "mv", path, path + ".away")
    serving = fleet.tokens()["serve@node-a"]
    try:
        incident = Incident(fleet, "", "")
        incident.begin(lambda: fleet.apply(driver_spec(fleet)))
        until(lambda: "lspci" in fleet.rollout().get("reason", ""), 60, "the missing tool to be what the rollout waits for")
        fleet.apply(fleet.spec(), "--wait", "--timeout", "60s")
    finally:
        fleet.do(WORKER, "mv", path + ".away", path)
    stopped = [item["task"] for item in incident.operations() if item["action"] == "STOP"]
    if stopped or fleet.tokens()["serve@node-a"] != serving:
        raise Failed(f"{stopped} was stopped for an install that could not be; the server was {serving}, and is {fleet.tokens()['serve@node-a']}")


def driver_version(fleet):
    """The files of both nodes are fetched while the old server answers; then all of it stops, both install and reboot."""
    driver_without_its_tool(fleet)
    forget_fetched(fleet)
    runs = {node: fleet.installer_runs(node) for node in (HEAD, WORKER)}

    def back(fleet):
        now = {node: fleet.installer_runs(node) - runs[node] for node in runs}
        if set(now.values()) != {2}:
            raise Failed(f"not one run of the driver's and one of the firmware's installer on each node: {now}")
        driver_back(fleet)
    incident, expected = changed(fleet, "driver version changed", "another driver and firmware in the spec", driver_spec(fleet), INSTALLERS | DRIVERS, back)
    fetched_first(incident.operations())
    return incident, expected


def fetched_first(operations):
    """Each file was there before anything was stopped."""
    first_stop = next(index for index, item in enumerate(operations) if item["action"] == "STOP")
    before = {item["task"] for item in operations[:first_stop] if item["state"] == "SUCCEEDED"}
    if before != INSTALLERS:
        raise Failed(f"before the first Stop, of {operations[first_stop]['task']}, this was done: {sorted(before)}")


def driver_torn(fleet):
    """Another driver in the spec. The worker loses its power in the middle of its installer: that installer again, and a reboot. The head's agent
    is killed in the middle of its own: it goes on, and runs once."""
    forget_fetched(fleet)
    fleet.lab("fault", WORKER, "firmware", "slow:6")
    fleet.lab("fault", HEAD, "firmware", "slow:4")
    runs = {node: fleet.installer_runs(node) for node in (HEAD, WORKER)}
    try:
        incident = Incident(fleet, "installer killed half way", "another driver in the spec; the worker loses its power in its installer, the head's agent is killed in its own")
        incident.begin(lambda: fleet.apply(driver_spec(fleet)))
        with ThreadPoolExecutor() as pool:
            killed, torn = pool.submit(kill_agent_in_installer, fleet), pool.submit(cut_power_in_installer, fleet)
            incident.measured.remark = f"{torn.result()}; {killed.result()}"
    finally:
        for node in (HEAD, WORKER):
            fleet.lab("fault", node, "--clear")
    incident.wait_recovered(500)
    incident.conclude()
    # Driver and firmware once each; on the worker what was torn once more.
    counted = {node: fleet.installer_runs(node) - runs[node] for node in runs}
    once = [item["state"] for item in incident.operations() if item["task"] == "driver@node-a"]
    if counted[HEAD] != 2 or once != ["SUCCEEDED"]:
        raise Failed(f"the head's installers ran {counted[HEAD]} times, its operations: {once}")
    if counted[WORKER] not in (3, 4):
        raise Failed(f"the worker's installers ran {counted[WORKER]} times")
    driver_back(fleet)
    return incident, INSTALLERS | DRIVERS


def in_installer(fleet, node):
    """Waits until the node is in the middle of an installer that takes seconds."""
    until(lambda: fleet.tasks()[f"driver@{node}"].get("state") == "RUNNING", 120, f"the installer of {node} to run", period=0.05)
    until(lambda: fleet.do(node, "ls", MARKS, check=False), 60, f"the mark of the installer of {node}", period=0.05)


def cut_power_in_installer(fleet):
    in_installer(fleet, WORKER)
    fleet.lab("powercut", WORKER)
    until(lambda: "torn" in fleet.tasks()["driver@node-b"].get("reason", "") + json.dumps(fleet.ctl("rollout", "events", NAME, "-o", "json").stdout[-6000:]),
          90, "its Check to say torn")
    return "the worker's Check said torn"


def kill_agent_in_installer(fleet):
    in_installer(fleet, HEAD)
    before = fleet.do(HEAD, "systemctl", "show", "--property=MainPID", "--value", "npufleet-agent.service")
    fleet.do(HEAD, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "npufleet-agent.service")
    goes_on = fleet.do(HEAD, "pgrep", "-f", INSTALLER, check=False)
    until(lambda: fleet.do(HEAD, "systemctl", "show", "--property=MainPID", "--value", "npufleet-agent.service") not in ("0", before), 30, "another agent")
    if not goes_on:
        raise Failed("the installer of the head did not run when its agent was killed, or ended with it")
    return f"the head's installer went on without its agent (pid {goes_on.split()[0]})"


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


def node_added(fleet):
    """A server of the head alone gets the worker: all that is done on that happens while it answers, and it is replaced last."""
    alone = fleet.spec("--nodes", f"{HEAD}=198.18.77.11")
    Incident(fleet, "", "").begin(lambda: fleet.apply(alone)).wait_recovered(400)
    incident, _ = applied(fleet, "node added", "the worker is added to a server of the head alone", fleet.spec(),
                          lambda operation: operation["task"] == "serve@node-a")
    if incident.measured.stopped:
        raise Failed(f"{incident.measured.stopped} was stopped for a node that is added")
    outage_was_foretold(incident.measured)
    return incident, REBOOT_WORKER


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
