#!/usr/bin/env python3
"""The rollout without root, on doubled machines: local.py --build BUILD_DIR [--keep]"""
import argparse
import json
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import access
import checks as check
import faults
from operator_commands import operator_commands
from scenario import Checks, Failed, LocalFleet, until


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


def first_plan(fleet, checks):
    """`plan --commands` on bare nodes: the runbook for both of them, the server's line for the image's version, and no secret."""
    secret = "hunter2-of-the-plan"

    def with_engine(environment, *extra):
        return fleet.spec().replace("    environment:\n      VLLM_USE_V1", f"    extraArgs: {json.dumps(extra)}\n    environment:\n"
                                    f"      {environment}\n      VLLM_USE_V1", 1)

    def plan(text, status=0):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            done = fleet.ctl("rollout", "plan", "-f", file.name, "--commands", check=status)
        return done.stdout + done.stderr
    refused = plan(with_engine(f"HF_TOKEN: {secret}", "--api-key", secret), 2)
    checks.that("a spec with secrets is refused, by name and not by value", "--api-key looks like a secret" in refused and '["HF_TOKEN"]' in refused
                and secret not in refused, refused)
    # A proxy's password stands where no name tells it.
    spec = with_engine(f"HTTPS_PROXY: http://me:{secret}@proxy:3128", "--Npu-memory-utilization", "0.8")
    before = fleet.all_operations()
    said = plan(spec)
    for node in fleet.node_names:
        lines = said.partition(f"# ===== on {node} =====")[2].partition("# =====")[0]
        wanted = ("npu-smi info", "--full --quiet", "docker version", "--install", "docker load -i", "modelscope download --model", "docker run -itd",
                  "ray start --head" if node == fleet.node_names[0] else "ray start --address=")
        missing = [words for words in wanted if words not in lines]
        checks.that(f"{node}: the first plan prints each step of the runbook", not missing, f"{missing} is not in\n{lines}", f"{len(lines.splitlines())} lines")
    checks.that("it prints no secret", secret in spec and secret not in said and "HTTPS_PROXY='http://********@proxy:3128'" in said, said)
    checks.that("the server's line has what vLLM has for a foreign name, with a note", "--gpu-memory-utilization 0.8" in said
                and "# --Npu-memory-utilization became --gpu-memory-utilization 0.8" in said, said)
    checks.that("of 0.9.1 all of the runbook's options stay", "--enable-reasoning \\" in said and "VLLM_USE_V1=0" in said, said)
    newer = plan(re.sub(r"(  image:\n    name: \S+:)\S+", r"\1v0.11.0rc1", spec, count=1))
    checks.that("of 0.11.0 they do not, and it says so", "# --enable-reasoning dropped: vLLM 0.11.0rc1" in newer and "VLLM_USE_V1=0 dropped" in newer
                and "--enable-reasoning \\" not in newer, newer)
    checks.that("a plan starts nothing", fleet.all_operations() == before, fleet.all_operations())


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
        checks.run("both nodes are there for the first plan", lambda: until(lambda: all(fleet.boot_ids().get(name) for name in fleet.node_names), 30, "them"))
        first_plan(fleet, checks)
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
