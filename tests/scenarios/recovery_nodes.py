"""Nodes that reboot, lose their power, or whose cable is cut."""
import re
import time
from concurrent.futures import ThreadPoolExecutor

from incident import CONTAINER, HEAD, Incident, ON_WORKER, REBOOT_HEAD, REBOOT_WORKER, SERVE, WORKER, when
from scenario import Failed, until


def reboots(fleet, nodes):
    for node in nodes:
        fleet.do(node, "systemctl", "--no-block", "reboot")


def power_cut(fleet, nodes):
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(fleet.lab, "powercut", node) for node in nodes]:
            done.result()


def comes_back(fleet, row, event, nodes, action, expected):
    incident = Incident(fleet, row, event).begin(lambda: action(fleet, nodes))
    until(lambda: all(fleet.boot_ids().get(node) not in ("", incident.boots[node]) for node in nodes), 120, f"{nodes} with other boot ids")
    return incident.wait_recovered(), expected


def worker_reboot(fleet):
    return comes_back(fleet, "worker reboot", "the worker reboots in order", [WORKER], reboots, REBOOT_WORKER)


def worker_powercut(fleet):
    return comes_back(fleet, "worker power cut", "the worker loses its power", [WORKER], power_cut, REBOOT_WORKER)


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
            time.sleep(seconds)  # the length of the cut is the event
        finally:
            fleet.lab("heal", WORKER)
    incident.begin(cut)
    healed = time.time()
    until(lambda: all(node.get("connected") for node in fleet.nodes().values()), 60, "both nodes to be connected")
    until(lambda: incident.is_settled(healed), 240, "the rollout to serve for a while after the cut", period=0.5)
    early = [item["task"] for item in incident.operations() if item["accepted"] < healed]
    if early:
        raise Failed(f"done while the cable was out: {early}")
    fleet.chat(timeout=60)
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
    return incident, ON_WORKER if given_up_by_ray(fleet, incident.began) else {item["task"] for item in incident.operations()} & SERVE


def cut_half_minute(fleet):
    return really_stale(fleet, 30)


def cut_two_minutes(fleet):
    return really_stale(fleet, 120)


def cut_five_minutes(fleet):
    return cut_cable(fleet, 300), ON_WORKER
