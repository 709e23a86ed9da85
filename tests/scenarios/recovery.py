#!/usr/bin/env python3
"""What breaks, and what is re-run: recovery.py --build BUILD_DIR [ROW…] [--all] [--rounds N] [--here] [--keep]

Boots the lab, rolls out once, and then makes each event of the table happen to the fleet that serves. Of each it prints what was re-run,
from the agents' journals, and the times. A row fails when anything else was re-run than its table says, or when a time is over what the
product promises (incident.py: LIMITS).

  ROW…        only these (names as --list prints them)
  --all       the long ones, too (a cable that is cut for five minutes)
  --short     of each kind one
  --engine real   real vLLM; without a ROW: those of REAL
  --rounds N  all of it N times
  --here      in the lab that is up and serves; it is left as it is
  --record F  adds the measurements to F (JSON); tests/scenarios/recovery_report.py makes docs/recovery.md of them
Exit status 3: this machine cannot boot nodes.
"""
import argparse
import json
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import checks as check
import recovery_artifacts as artifacts
import recovery_changes as changes
import recovery_chips as chips
import recovery_nodes as nodes
import recovery_processes as processes
import recovery_program as program
from incident import said, when
from lab import save_logs
from scenario import Checks, Failed, LabFleet, TREE, until

ROWS = {
    "worker-reboot": nodes.worker_reboot,
    "worker-powercut": nodes.worker_powercut,
    "worker-dead": nodes.worker_dead,
    "head-reboot": nodes.head_reboot,
    "both-powercut": nodes.both_powercut,
    "worker-container": processes.worker_container,
    "head-container": processes.head_container,
    "raylet": processes.raylet,
    "gcs": processes.gcs,
    "engine": processes.engine,
    "engine-hangs": processes.engine_hangs,
    "rank-dies": processes.rank_dies,
    "dies-again": processes.dies_again,
    "cut-5s": nodes.cut_short,
    "cut-30s": nodes.cut_half_minute,
    "cut-2min": nodes.cut_two_minutes,
    "cut-5min": nodes.cut_five_minutes,
    "dockerd-restarted": processes.dockerd_restarted,
    "dockerd-stopped": processes.dockerd_stopped,
    "agent-killed": program.agent_killed,
    "agent-restarted": program.agent_restarted,
    "agent-upgraded": program.agent_upgraded,
    "controller-killed": program.controller_killed,
    "controller-disk-full": program.disk_full,
    "database-corrupt": program.database_corrupt,
    "model-truncated": artifacts.model_truncated,
    "model-changed": artifacts.model_changed,
    "origin-down": artifacts.origin_down,
    "origin-fails": artifacts.origin_fails,
    "chip-vanishes": chips.chip_vanishes,  # before the worker is rebooted for a chip
    "chip-goes-on": chips.chip_goes_on,
    "chip-restart": chips.chip_restart,
    "chip-reset": chips.chip_reset,
    "chip-reboot": chips.chip_reboot,
    "chip-replace": chips.chip_replace,
    "chips-settle": chips.chips_settle,
    "chips-settle-3min": chips.chips_settle_three_minutes,
    "server-flag": changes.server_flag,
    "image-tag": changes.image_tag,
    "nic": changes.nic_changed,
    "node-added": changes.node_added,
    "driver-version": changes.driver_version,
    "driver-torn": changes.driver_torn,
    "docker-by-hand": changes.docker_by_hand,
    "operators-at-once": changes.operators_at_once,
}
SHORT = ("worker-powercut", "head-container", "engine-hangs", "agent-upgraded", "chip-reset", "server-flag")
LONG = ("cut-2min", "cut-5min", "chips-settle-3min")
# On real vLLM: each start of it takes a minute.
REAL = ("worker-reboot", "head-reboot", "engine-hangs", "rank-dies", "cut-2min")
QUICK_PROBE = (("    deadline: 2m\n", "    deadline: 5s\n"), ("    period: 1m\n", "    period: 5s\n"))


def commit():
    return subprocess.run(["git", "-C", str(TREE), "describe", "--always", "--dirty"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout.strip()


def calm(fleet):
    """A row that failed half way has left something under way: the next one begins when it is over."""
    def is_over():
        rollout = fleet.is_serving()
        return rollout and all(node.get("connected") for node in fleet.nodes().values()) and time.time() - max(begun, when(rollout["servingTime"])) > 15
    begun = time.time()
    try:
        until(is_over, 240, "the fleet to serve after a row that failed", period=1)
    except Failed as error:
        print(f"# {error}", flush=True)


def row(fleet, checks, name, record):
    begun, before = time.monotonic(), {"name": name, "engine": fleet.engine, "commit": commit(), "passed": False}
    try:
        fleet.wait_serving(60)
        incident, expected = ROWS[name](fleet)
        measured = incident.conclude()
        fleet.well()
        slow = list(incident.too_slow())
    except (Failed, OSError, KeyError, ValueError) as error:
        checks.not_ok(name, str(error) if isinstance(error, Failed) else traceback.format_exc())
        record.append(before)
        return calm(fleet)
    # A probe is its own Check: only one that has failed is an operation.
    unexpected, missing = set(measured.rerun) - expected, expected - set(measured.rerun) - {"probe@node-a"}
    outside = set(measured.stopped) - expected
    why = "; ".join(text for text in (f"re-run beside it: {sorted(unexpected)}" if unexpected else "", f"not re-run: {sorted(missing)}" if missing else "",
                                      f"stopped beside it: {sorted(outside)}" if outside else "", *slow) if text)
    record.append({**before, **asdict(measured), "passed": not why})
    checks.that(name, not why, f"{why}\n{said(measured)}", f"{time.monotonic() - begun:.0f} s; {said(measured)}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--build", required=True)
    parser.add_argument("--engine", choices=["quick", "real"], default="quick")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the lab up when a check failed")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"no row {', '.join(unknown)}; the rows: {' '.join(ROWS)}")
    return options


class RecoveryFleet(LabFleet):
    def spec(self, *given):
        text = super().spec(*given)
        for old, new in QUICK_PROBE if self.engine == "quick" else ():
            text = text.replace(old, new)
        return text

    def log_observations(self):
        """What the Checks answered, and when, is measured from the controller's debug log."""
        config = self.root("node-a") / "etc/npufleet/controller.yaml"
        text = config.read_text(encoding="utf-8")
        if "log_level: debug" not in text:
            lines = [line for line in text.splitlines() if not line.startswith("log_level:")]
            config.write_text("\n".join([*lines, "log_level: debug"]) + "\n", encoding="utf-8")
            self.do("node-a", "systemctl", "restart", "npufleet-controller.service")


def first_rollout(fleet, checks, options):
    """With kills in it when all rows are asked for; they belong to the rows."""
    if not options.rows and options.engine == "quick":
        return program.first_rollout_with_kills(fleet, checks)
    return checks.run("the first rollout serves", lambda: fleet.apply(fleet.spec(), "--wait", "--timeout", f"{fleet.rollout_seconds}s", check=0) and "")


def run(fleet, checks, options, record):
    if not options.here:
        fleet.down()
        fleet.up()
    fleet.log_observations()
    if not options.here and not first_rollout(fleet, checks, options):
        return
    chosen = REAL if options.engine == "real" else SHORT if options.short else [name for name in ROWS if options.all or name not in LONG]
    names = options.rows or chosen
    for _ in range(options.rounds):
        for name in names:
            row(fleet, checks, name, record)
    check.completions(fleet, checks, "tokens come in the end")


def main():
    options = arguments()
    checks, fleet, record = Checks(), RecoveryFleet(options.build, options.engine), []
    can = fleet.lab("check", "--engine", options.engine, check=False)
    if can.returncode == 3:
        print(can.stderr, file=sys.stderr)
        return 3
    try:
        run(fleet, checks, options, record)
    except Failed as error:
        checks.not_ok("the lab", error)
    except Exception:
        checks.not_ok("the lab", traceback.format_exc())
    finally:
        if checks.failed and not options.here:
            save_logs(fleet)
        if not options.here and not (checks.failed and options.keep):
            fleet.lab("down", check=False)
        if options.record:
            former = json.loads(options.record.read_text(encoding="utf-8")) if options.record.exists() else []
            options.record.parent.mkdir(parents=True, exist_ok=True)
            options.record.write_text(json.dumps(former + record, indent=1) + "\n", encoding="utf-8")
    print(f"# {checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
