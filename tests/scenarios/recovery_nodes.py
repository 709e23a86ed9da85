"""Nodes that reboot, lose their power, or whose cable is cut."""
import re
import time
from concurrent.futures import ThreadPoolExecutor

from incident import CONTAINER, HEAD, Incident, ON_WORKER, REBOOT_HEAD, REBOOT_WORKER, SERVE, WORKER, when
from scenario import Failed, NAME, until

# Seconds; a shorter one may end before the node is missed (fleet/agent_client.cc: kSilence).
LONG_CUT = 10


def reboots(fleet, nodes):
    for node in nodes:
        fleet.do(node, "systemctl", "--no-block", "reboot")


def power_cut(fleet, nodes):
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(fleet.lab, "powercut", node) for node in nodes]:
            done.result()


def node_said(fleet, node):
    """(reach, reason) of `ctl rollout status`; what `ctl node list` says must be the same, and both in words for people."""
    told = next(item for item in fleet.rollout()["nodes"] if item["name"] == node)
    return told.get("reach", ""), told.get("reason", "")


def wait_said(fleet, node, words, seconds, never=()):
    """Until status says of the node what tells this event from others; `never`: words that would be another event's."""
    def told():
        reach, reason = node_said(fleet, node)
        return (all(word in reason for word in words) or any(word in reason for word in never)) and f"{reach}: {reason}"
    found = until(told, seconds, f"status to say {words} of {node}", period=0.1)
    if any(word in found for word in never):
        raise Failed(f"status says of {node}, as if it were another event: {found}")
    texts = {"rollout status": fleet.ctl("rollout", "status", NAME).stdout, "node list": fleet.ctl("node", "list", check=0).stdout}
    for command, text in texts.items():
        flat = " ".join(text.split())
        if not all(word in flat for word in words):
            raise Failed(f"`ctl {command}` does not say {words} of {node}:\n{text}")
    return found


def told_apart(incident, rebooted=(), cut_off=()):
    """The history's own words for a reboot and for a cut, each of these nodes and of no others."""
    back = {"NodeRebooted": "has rebooted", "NodeConnected": "in the same boot: it was cut off, or its agent ended"}
    for kind, nodes in (("NodeRebooted", rebooted), ("NodeConnected", cut_off)):
        said = {event["node"]: event["message"] for event in incident.noted(kind) if back[kind] in event["message"]}
        if set(said) != set(nodes):
            raise Failed(f"the history says of {sorted(said)}, not of {sorted(nodes)}: {back[kind]}: {said}")
    boots = incident.fleet.boot_ids()
    if wrong := [node for node in boots if (boots[node] != incident.boots[node]) != (node in rebooted)]:
        raise Failed(f"`ctl node list` has other boots than those of {sorted(rebooted)}: {wrong}")


def comes_back(fleet, row, event, nodes, action, expected, during=None):
    incident = Incident(fleet, row, event).begin(lambda: action(fleet, nodes))
    if during:
        during(incident)
    until(lambda: all(fleet.boot_ids().get(node) not in ("", incident.boots[node]) for node in nodes), 120, f"{nodes} with other boot ids")
    incident.wait_recovered()
    told_apart(incident, rebooted=nodes)
    return measured_return(incident), expected


def measured_return(incident):
    if incident.conclude().checks is None:
        raise Failed("the time from the node's return to its last Check is not known")
    return incident


def worker_reboot(fleet):
    def during(incident):
        incident.measured.remark = "status meanwhile: " + wait_said(fleet, WORKER, ("its agent closed the connection",), 15, never=("without power",))
    return comes_back(fleet, "worker reboot", "the worker reboots in order", [WORKER], reboots, REBOOT_WORKER, during)


def worker_powercut(fleet):
    return comes_back(fleet, "worker power cut", "the worker loses its power", [WORKER], power_cut, REBOOT_WORKER)


def worker_dead(fleet):
    """While it is not back nothing is done, and status says what is not known; what it was is said by its other boot."""
    def stay_off(fleet, _):
        fleet.lab("powercut", WORKER, "--stay-off")

    def during(incident):
        try:
            incident.measured.remark = "status meanwhile: " + wait_said(
                fleet, WORKER, ("no sign of life", "cut off, without power, or hanging; its boot id tells which when it is back"), 30)
            time.sleep(10)  # time in which a loop would start something
            if early := incident.operations():
                raise Failed(f"done while the worker is dead: {early}")
            if fleet.nodes()[WORKER].get("connected"):
                raise Failed("`ctl node list` says connected of a node without power")
        finally:
            fleet.lab("start", WORKER)
    return comes_back(fleet, "worker dead", "the worker loses its power, and has none for 15 s", [WORKER], stay_off, REBOOT_WORKER, during)


def head_reboot(fleet):
    return comes_back(fleet, "head reboot", "the head, with the controller on it, reboots", [HEAD], reboots, REBOOT_HEAD)


def both_powercut(fleet):
    return comes_back(fleet, "both power cut", "both nodes lose their power at once", [HEAD, WORKER], power_cut, REBOOT_HEAD | REBOOT_WORKER)


def cut_cable(fleet, seconds):
    """Nothing is done while the cable is out. Afterwards: what has really gone meanwhile, and the server if no token comes."""
    incident = Incident(fleet, f"cable cut {seconds} s", f"the worker's cable is cut for {seconds} s")

    def cut():
        fleet.lab("cut", WORKER)
        try:
            if seconds >= LONG_CUT:
                incident.measured.remark = "status meanwhile: " + wait_said(fleet, WORKER, ("no sign of life", "cut off, without power, or hanging"), seconds)
            time.sleep(max(0, incident.began + seconds - time.time()))  # the length of the cut is the event
        finally:
            fleet.lab("heal", WORKER)
    incident.begin(cut)
    healed = time.time()
    until(lambda: all(node.get("connected") for node in fleet.nodes().values()), 60, "both nodes to be connected")
    # Ray may give the node up, and the engine end, up to 20 s after it is back.
    until(lambda: incident.is_settled(healed, 30 if seconds >= LONG_CUT else 15), 240, "the rollout to serve for a while after the cut", period=0.5)
    early = [item["task"] for item in incident.operations() if item["accepted"] < healed]
    if early:
        raise Failed(f"done while the cable was out: {early}")
    told_apart(incident, cut_off={event["node"] for event in incident.noted("NodeLost")})
    if seconds >= LONG_CUT and not incident.noted("NodeLost"):
        raise Failed("the history has no word of the cut")
    return incident


def cut_short(fleet):
    return cut_cable(fleet, 5), set()


def given_up_by_ray(fleet, since):
    """Whether the head has marked a node dead since then, as its own log says."""
    log = fleet.do(HEAD, "docker", "exec", CONTAINER, "sh", "-c", "grep -h 'has been marked dead' /tmp/ray/session_latest/logs/gcs_server*.out || true")
    times = re.findall(r"^\[(\S+) (\S+),(\d+) ", log, re.M)
    return any(when(f"{day}T{clock}.{part}Z") >= since for day, clock, part in times)


def really_stale(fleet, seconds):
    """Ray may give a silent node up, also when it has just come back, or not yet: then at most the engine is stuck."""
    incident = cut_cable(fleet, seconds)
    return measured_return(incident), ON_WORKER if given_up_by_ray(fleet, incident.began) else {item["task"] for item in incident.operations()} & SERVE


def cut_half_minute(fleet):
    return really_stale(fleet, 30)


def cut_two_minutes(fleet):
    return really_stale(fleet, 120)


def cut_five_minutes(fleet):
    return measured_return(cut_cable(fleet, 300)), ON_WORKER
