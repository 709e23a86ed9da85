"""Chips that show a fault, vanish, or take their time after a boot."""
import time
from collections import Counter

from incident import HEAD, Incident, REBOOT_WORKER, SERVE, WORKER
from scenario import Failed, until

# Of the chips' Check, which asks npu-smi every 30 s, and its answer.
SHOWN_WITHIN = 35
# How long after a boot a chip may be missing without being broken: agent/verbs/boot.h.
SETTLES_WITHIN = 600


def kill_server(fleet):
    fleet.do(HEAD, "kill", "-KILL", fleet.tokens()["serve@node-a"].split("@")[0])


def chip_fault(fleet, row, event, code):
    """A code is shown within a Check's period and disturbs nothing; then the server dies."""
    appeared = time.time()
    fleet.lab("fault", WORKER, "chip.1.codes", code)
    incident = Incident(fleet, row, event)
    until(lambda: code[2:] in fleet.tasks()["npu@node-b"].get("reason", "").upper(), SHOWN_WITHIN, "`ctl rollout status` to show the code")
    incident.measured.remark = f"status after {time.time() - appeared:.0f} s: {fleet.tasks()['npu@node-b']['reason'][:160]}"
    fleet.well()
    if early := incident.operations():
        raise Failed(f"done for a code alone: {early}")
    if lost := incident.noted("Incident", "TaskLost"):
        raise Failed(f"a code alone is taken for an incident: {lost}")
    return incident.begin(lambda: kill_server(fleet))


def clearing(row):
    """The row, and no fault left behind it."""
    def wrapped(fleet):
        try:
            return row(fleet)
        finally:
            fleet.lab("fault", WORKER, "--clear")
    return wrapped


@clearing
def chip_goes_on(fleet):
    """Of a class that asks for nothing: the server's death is repaired as if there were no code."""
    incident = chip_fault(fleet, "chip fault: go on", "a chip shows a fault whose class asks for nothing; then the server dies", "0x80E18401")
    incident.wait_recovered()
    if "80E18401" not in (reason := fleet.tasks()["npu@node-b"].get("reason", "").upper()):
        raise Failed(f"the code is not shown any more: {reason}")
    return incident, SERVE


@clearing
def chip_restart(fleet):
    incident = chip_fault(fleet, "chip fault: restart", "a chip shows a fault whose class is a restart of the server, which then dies", "0x80E01801")
    return incident.wait_recovered(), SERVE


@clearing
def chip_reset(fleet):
    incident = chip_fault(fleet, "chip fault: reset", "a chip shows a fault whose class is a reset, then the server dies", "0x80E18005")
    return incident.wait_recovered(), {"npu@node-b", *SERVE}


@clearing
def chip_reboot(fleet):
    """Its reset does not end the fault: the node reboots once, and nothing else is reinstalled."""
    fleet.lab("fault", WORKER, "chip.1.reset", "until-reboot")
    incident = chip_fault(fleet, "chip fault: reboot", "a chip shows a fault that only a reboot ends, then the server dies", "0x80E18005")
    until(lambda: fleet.boot_ids().get(WORKER) not in ("", incident.boots[WORKER]), 180, "the worker with another boot id")
    incident.wait_recovered()
    counted = Counter(item["task"] for item in incident.operations() if item["action"] == "APPLY")
    if counted["reboot@node-b"] != 1 or counted["npu@node-b"] != 1:
        raise Failed(f"not one reset and one reboot: {dict(counted)}")
    return incident, {"npu@node-b", "reboot@node-b", *REBOOT_WORKER}


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
    up = float(fleet.do(WORKER, "ps", "-o", "etimes=", "-p", "1"))
    incident.begin(lambda: fleet.lab("fault", WORKER, "chip.1.missing", "true"))
    until(lambda: fleet.tasks()["npu@node-b"].get("state") not in ("CURRENT",), 90, "the missing chip to be shown")
    shown = time.time() - incident.began
    fleet.well()
    if early := incident.operations():
        raise Failed(f"done for a chip that is missing while it serves: {early}")
    kill_server(fleet)
    until(lambda: incident.noted("TaskLost"), 30, "the server's death to be noticed")
    time.sleep(15)  # time in which a loop would start something
    if started := [item["task"] for item in incident.operations() if item["action"] == "APPLY"]:
        raise Failed(f"started without the chip: {started}")
    phase, task = fleet.rollout()["phase"], fleet.tasks()["npu@node-b"]
    incident.measured.remark = f"shown after {shown:.0f} s: {task['reason'][:120]}"
    # Sooner after a boot it may only be slow.
    if up > SETTLES_WITHIN:
        failure = task.get("failure", {})
        if phase != "FAILED" or failure.get("class") != "HARDWARE" or not all(word in failure["symptom"] for word in ("node-b", "chips are missing: 1")):
            raise Failed(f"{phase} after {up:.0f} s, not a failure of the hardware that names node and chip: {failure}")
        incident.measured.remark += f"; then {failure['class']}"
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
