"""npufleet itself is killed, its disk fills, its database breaks: at any moment, and no effect happens twice."""
import re
import ssl
import time
import urllib.error
import urllib.request
from collections import Counter

from checks import each_effect_once
from incident import HEAD, Incident, SERVE, WORKER, when
from recovery_artifacts import SHARD, look_again
from scenario import Failed, NAME, until

AGENT, CONTROLLER = "npufleet-agent.service", "npufleet-controller.service"
STATE = "/var/lib/npufleet/controller"
URL = "https://198.18.77.11:7601"


def kill(fleet, node, unit):
    fleet.do(node, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)


def first_rollout_with_kills(fleet, checks):
    """From bare nodes to a token, while agents and controller are killed in the middle of what they do."""
    fleet.lab("fault", WORKER, "driver", "slow:4")
    fleet.lab("fault", "origin", "*.safetensors*", "slow", "bytes_per_second=150000", "--times", "0")
    kills = Counter()
    wanted = [("driver@node-b", WORKER, AGENT), ("driver@node-a", HEAD, CONTROLLER), ("image@node-a", HEAD, AGENT), ("image@node-b", HEAD, CONTROLLER),
              ("model@node-b", WORKER, AGENT), ("container@node-b", HEAD, CONTROLLER), ("ray-head@node-a", HEAD, CONTROLLER), ("serve@node-a", HEAD, AGENT)]

    def strike():
        running = {name for name, task in fleet.tasks().items() if task.get("state") == "RUNNING"}
        for item in wanted:
            if item[0] in running:
                wanted.remove(item)
                kill(fleet, item[1], item[2])
                kills[f"{item[2].removeprefix('npufleet-').removesuffix('.service')} in {item[0]}"] += 1
                break
        return fleet.is_serving()

    def roll_out():
        start = time.monotonic()
        fleet.apply(fleet.spec())
        until(strike, 600, "the rollout to serve", period=0.05)
        return f"{time.monotonic() - start:.0f} s; killed: {', '.join(kills)}"
    holds = checks.run("the first rollout serves although agents and controller are killed -9 in it", roll_out)
    fleet.lab("fault", "origin", "--clear")
    fleet.lab("fault", WORKER, "--clear")
    if holds:
        each_effect_once(fleet, checks, "over the kills")
        ended = [item for items in fleet.all_operations().values() for item in items if item["state"] in ("ACCEPTED", "RUNNING")]
        checks.that("each operation has ended", not ended, f"{ended}")
        checks.that("an agent was killed in the middle of a driver's installer, which went on", kills["agent in driver@node-b"] == 1, f"{dict(kills)}",
                    f"{fleet.installer_runs(WORKER)} runs of the driver's and the firmware's installer")
        checks.that("at least six kills met what they were meant for", sum(kills.values()) >= 6, f"{dict(kills)}", f"{sum(kills.values())}")
    return holds


def settled(fleet, incident):
    """The event is over, each node has reported again, and it serves."""
    until(fleet.is_serving, 60, "the rollout to serve still")
    fleet.well()
    return incident


def start_controller(fleet, action="start"):
    """And until it serves by Checks of its own time: what it tells first is what its store says, and may end serving for a moment."""
    started = time.time()
    fleet.do(HEAD, "systemctl", action, CONTROLLER)

    def seen_to_serve():
        rollout = fleet.is_serving()
        tasks = {task["stage"]: task for task in rollout["tasks"]} if rollout else {}
        return tasks and all(when(tasks[stage]["observedTime"]) > started for stage in ("serve", "probe"))
    until(seen_to_serve, 60, "the new controller to see that it serves")


def idle(fleet, row, event, action, comes_back):
    incident = Incident(fleet, row, event).begin(action)
    until(lambda: comes_back(incident), 30, f"the end of: {event}")
    return settled(fleet, incident), set()


def connected_again(incident):
    return incident.noted("NodeConnected", "NodeRebooted")


def agent_killed(fleet):
    return idle(fleet, "agent killed", "kill -9 of the worker's agent while it serves", lambda: kill(fleet, WORKER, AGENT), connected_again)


def agent_restarted(fleet):
    return idle(fleet, "agent restarted", "systemctl restart npufleet-agent on the head", lambda: fleet.do(HEAD, "systemctl", "restart", AGENT), connected_again)


def agent_upgraded(fleet):
    """Another program and a restart in the middle of a download: it goes on, and ends once."""
    program = fleet.root(WORKER) / "usr/bin/npufleet-agent"
    fleet.lab("fault", "origin", "*model-00001-of-00002.safetensors*", "slow", "bytes_per_second=100000", "--times", "0")
    try:
        incident = Incident(fleet, "agent upgraded", "the worker's agent is replaced and restarted in the middle of a download")
        fleet.do(WORKER, "truncate", "-s", "1000", SHARD)
        incident.begin(lambda: look_again(fleet))
        until(lambda: fleet.tasks()["model@node-b"].get("state") == "RUNNING", 30, "the download to begin", period=0.05)
        newer = program.with_suffix(".new")
        newer.write_bytes(program.read_bytes() + b"newer")  # what follows an ELF file changes nothing of what it does
        newer.chmod(0o755)
        newer.rename(program)
        fleet.do(WORKER, "systemctl", "restart", AGENT)
        until(lambda: incident.noted("NodeConnected"), 30, "the new agent to be connected")
    finally:
        fleet.lab("fault", "origin", "--clear")
    incident.wait_recovered()
    downloads = [item["state"] for item in incident.operations() if item["task"] == "model@node-b"]
    if downloads != ["SUCCEEDED"]:
        raise Failed(f"the download's operations: {downloads}")
    return incident, {"model@node-b"}


def controller_killed(fleet):
    return idle(fleet, "controller killed", "kill -9 of the controller while it serves", fleet.kill_controller, connected_again)


# --- its store

def readiness(fleet):
    try:
        context = ssl.create_default_context(cafile=fleet.state / "ctl/ca.pem")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with opener.open(f"{URL}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def disk_full(fleet):
    """The controller's state moves to a disk of 24 MiB, which then fills while a container dies."""
    fleet.do(HEAD, "systemctl", "stop", CONTROLLER)
    fleet.do(HEAD, "sh", "-ec", f"cp -a {STATE} {STATE}.aside; mount -t tmpfs -o size=24m,mode=700 tmpfs {STATE}; cp -a {STATE}.aside/. {STATE}/")
    try:
        start_controller(fleet)
        incident = Incident(fleet, "controller's disk full", "the controller's disk is full when the server dies")
        history = incident.events(0)
        fleet.do(HEAD, "sh", "-c", f"cat /dev/zero > {STATE}/filler 2>/dev/null", check=False)
        incident.begin(lambda: kill_server(fleet))
        status, why = until(lambda: (found := readiness(fleet))[0] != 200 and found, 60, "/readyz to say why")
        incident.measured.remark = f"/readyz {status}: {why.strip()[:100]}"
        incident.measured.remark += f"; `ctl rollout pause`: {refused_for_room(fleet)}"
        if early := incident.operations():
            raise Failed(f"started without having been committed: {early}")
        freed = time.time()
        fleet.do(HEAD, "rm", f"{STATE}/filler")
        incident.wait_recovered()
        if (after := incident.events(0))[:len(history)] != history:
            raise Failed(f"what was committed is not what it was: {len(history)} events became {len(after)}")
        incident.measured.remark += f"; serving {time.time() - freed:.0f} s after there was room"
        return incident, SERVE
    finally:
        fleet.do(HEAD, "rm", "-f", f"{STATE}/filler")
        fleet.do(HEAD, "systemctl", "stop", CONTROLLER)
        fleet.do(HEAD, "sh", "-ec", f"rm -rf {STATE}.aside; cp -a {STATE} {STATE}.aside; umount {STATE}; rm -rf {STATE}; mv {STATE}.aside {STATE}")
        fleet.do(HEAD, "systemctl", "start", CONTROLLER)


def refused_for_room(fleet):
    """What somebody types and cannot be kept is refused, with the reason, and is not done half."""
    done = fleet.ctl("rollout", "pause", NAME)
    if done.returncode == 0 or not re.search("full|no room|no space|cannot write its store", done.stderr, re.I):
        raise Failed(f"a pause while there is no room: exit {done.returncode}: {done.stderr}{done.stdout}")
    if (phase := fleet.rollout()["phase"]) == "PAUSED":
        raise Failed(f"what was refused was done: {phase}")
    return " ".join(done.stderr.split())[:100]


def kill_server(fleet):
    """The process that the newest report names: a controller that has just started may still tell what its store says."""
    def lives():
        pid = fleet.tokens()["serve@node-a"].split("@")[0]
        return pid if fleet.do(HEAD, "ps", "-o", "pid=", "-p", pid, check=False) else ""
    fleet.do(HEAD, "kill", "-KILL", until(lives, 30, "the server's process to be known"))


def database_corrupt(fleet):
    """It refuses to start, names the newest backup, and goes on from that under a new epoch.

    The server is started once after the backup was made, and once after it was restored: the second start has the number of the first.
    """
    fleet.do(HEAD, "sh", "-c", f"rm -f {STATE}/backups/*.db")
    start_controller(fleet, "restart")
    backup = until(lambda: fleet.do(HEAD, "sh", "-c", f"ls {STATE}/backups/*.db", check=False), 60, "a backup of today")
    Incident(fleet, "", "").begin(lambda: kill_server(fleet)).wait_recovered()
    former = fleet.tasks()["serve@node-a"]["operation"]

    incident = Incident(fleet, "database corrupt", "the controller's database is damaged, an older backup is restored, then the server dies")
    fleet.do(HEAD, "systemctl", "stop", CONTROLLER)
    fleet.do(HEAD, "dd", "if=/dev/urandom", f"of={STATE}/npufleet.db", "bs=4096", "count=4", "conv=notrunc")
    damaged = time.time()
    fleet.do(HEAD, "systemctl", "start", CONTROLLER, check=False)
    # Not rounded: half a second later may be after the line was written.
    journal = ("journalctl", "-u", CONTROLLER, "--since", f"@{damaged:.6f}", "-o", "cat", "--no-pager")
    until(lambda: f"restore {backup}" in fleet.do(HEAD, *journal), 30, f"the journal to name {backup}")
    if fleet.do(HEAD, "systemctl", "is-active", CONTROLLER, check=False) == "active":
        raise Failed("the controller serves from a damaged store")
    fleet.do(HEAD, "systemctl", "stop", CONTROLLER)
    fleet.do(HEAD, "npufleet-controller", "restore", backup)
    start_controller(fleet)
    if early := incident.operations():
        raise Failed(f"re-run after the restore: {early}")
    incident.last_event = 0
    incident.begin(lambda: kill_server(fleet)).wait_recovered()
    now = incident.operations()[-1]["id"]
    if now.split("/", 1)[1] != former.split("/", 1)[1] or now == former:
        raise Failed(f"not the same number of another epoch: {former}, {now}")
    incident.measured.remark = "the refused start names the backup; nothing was re-run for the restore"
    return incident, SERVE
