#!/usr/bin/env python3
"""The rollout without root, on doubled machines: local.py --build BUILD_DIR [--keep]"""
import argparse
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import access
import checks as check
import faults
from operator_commands import operator_commands
from scenario import Checks, Failed, LocalFleet


def with_fleet(build, checks, name, action, keep, nodes=2):
    state = tempfile.mkdtemp(prefix="npf-", dir="/tmp")
    fleet = LocalFleet(state, build, nodes)
    failed = checks.failed
    try:
        fleet.up()
        action(fleet)
    except Failed as error:
        checks.not_ok(name, error)
    except Exception:
        checks.not_ok(name, traceback.format_exc())
    finally:
        if checks.failed != failed:
            try:
                save_logs(fleet)
            except OSError:
                pass  # nobody reads them any more; the fleet must end all the same
        if keep and checks.failed != failed:
            print(f"# left for inspection: {state} (tests/local/fleet down --state {state})", flush=True)
        else:
            try:
                fleet.down()
            except Failed as error:
                checks.not_ok(f"{name}: nothing is left behind", error)
            checks.that(f"{name}: nothing is left behind", not Path(state).exists(), f"{state} is still there")
            shutil.rmtree(state, ignore_errors=True)


def save_logs(fleet):
    for log in [*fleet.state.glob("log/*.log"), *fleet.state.glob("node-*/var/log/*.log")]:
        print(f"# --- the end of {log}", flush=True)
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]:
            print(f"#   {line[:300]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", choices=["rollout", "crash", "faults", "operator"])
    parser.add_argument("--keep", action="store_true", help="leave a fleet whose checks failed")
    options = parser.parse_args()
    checks = Checks()

    def rollout(fleet):
        if check.first_rollout(fleet, checks):
            check.second_apply(fleet, checks)
            check.bad_spec(fleet, checks)
            check.events_replay(fleet, checks)
            access.who_is_let_in(fleet, checks)
            check.worker_reboot(fleet, checks)
            check.image_change(fleet, checks, fleet.state / "origin/SHA256SUMS")

    for name, action in (("rollout", rollout), ("crash", lambda fleet: check.controller_crash(fleet, checks)),
                         ("faults", lambda fleet: faults.bad_input(fleet, checks))):
        if options.only in (None, name):
            with_fleet(options.build, checks, name, action, options.keep)
    if options.only in (None, "operator"):
        with_fleet(options.build, checks, "operator", lambda fleet: operator_commands(fleet, checks), options.keep, nodes=4)
    print(f"# {checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
