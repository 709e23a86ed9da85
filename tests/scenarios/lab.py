#!/usr/bin/env python3
"""The rollout on the lab's two nodes: lab.py --build BUILD_DIR --engine quick|real [--chips N] [--keep]

Exit status 3: this machine cannot boot nodes; the reasons are on standard error. Takes the lab of this machine: none may be up.
"""
import argparse
import json
import os
import sys
import traceback

import checks as check
from incident import CONTAINER
from scenario import Checks, Failed, LabFleet


def save_logs(fleet):
    for node, unit in (("node-a", "npufleet-controller.service"), ("node-a", "npufleet-agent.service"), ("node-b", "npufleet-agent.service")):
        print(f"# --- the end of the log of {unit} on {node}", flush=True)
        for line in fleet.lab("logs", node, unit, check=False).stdout.splitlines()[-40:]:
            print(f"#   {line[:300]}")


def options_of(text):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--engine", choices=["quick", "real"], default="quick")
    parser.add_argument("--chips", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="leave the lab up when a check failed")
    return parser.parse_args()


def in_the_lab(options, fleet, body):
    """body(fleet, checks) on bare nodes; the exit status."""
    checks = Checks()
    can = fleet.lab("check", "--engine", options.engine, "--os", fleet.system, check=False)
    if can.returncode == 3:
        print(can.stderr, file=sys.stderr)
        return 3
    try:
        fleet.down()  # bare nodes, whatever was left
        fleet.up()
        checks.ok("the lab is up", f"{options.engine} engine, {options.chips} chips a node")
        body(fleet, checks)
    except Failed as error:
        checks.not_ok("the lab", error)
    except Exception:
        checks.not_ok("the lab", traceback.format_exc())
    finally:
        if checks.failed:
            save_logs(fleet)
        if checks.failed and options.keep:
            print("# the lab is left for inspection (tests/lab/lab status, tests/lab/lab down)", flush=True)
        elif (ended := fleet.lab("down", check=False)).returncode != 0:
            checks.not_ok("the lab leaves nothing behind", ended.stderr)
    print(f"# {checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def container_flags(fleet, checks):
    """Section 3.3 of the runbook, as the real daemon has understood it."""
    chips = [f"/dev/davinci{chip}" for chip in range(fleet.chips)]
    wanted = {"privileged": True, "network": "host", "shm": 1 << 30, "tty": True, "stdin": True, "command": ["/bin/bash"],
              "devices": {*chips, "/dev/davinci_manager", "/dev/hisi_hdc", "/dev/devmm_svm"},
              "volumes": {"/usr/local/dcmi:/usr/local/dcmi", "/usr/local/bin/npu-smi:/usr/local/bin/npu-smi",
                          "/usr/local/Ascend/driver/lib64/:/usr/local/Ascend/driver/lib64/",
                          "/usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info",
                          "/etc/ascend_install.info:/etc/ascend_install.info", "/data2:/data2"}}
    for node in fleet.node_names:
        container = json.loads(fleet.do(node, "docker", "inspect", CONTAINER))[0]
        config, host = container["Config"], container["HostConfig"]
        found = {"privileged": host["Privileged"], "network": host["NetworkMode"], "shm": host["ShmSize"], "tty": config["Tty"], "stdin": config["OpenStdin"],
                 "command": config["Cmd"], "devices": {device["PathOnHost"] for device in host["Devices"]},
                 "volumes": {volume for volume in host["Binds"] if "/opt/engine" not in volume}}
        differ = {name: (found[name], value) for name, value in wanted.items() if found[name] != value}
        checks.that(f"{node}: the container has the flags of the runbook", not differ, differ)


def roll_out(fleet, checks):
    if check.first_rollout(fleet, checks):
        container_flags(fleet, checks)
        check.second_apply(fleet, checks)
        check.worker_reboot(fleet, checks)
        if fleet.engine == "quick":
            check.image_change(fleet, checks, os.path.join(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet"), "origin/SHA256SUMS"))


def main():
    options = options_of(__doc__)
    return in_the_lab(options, LabFleet(options.build, options.engine, options.chips), roll_out)


if __name__ == "__main__":
    sys.exit(main())
