#!/usr/bin/env python3
"""kill -9 of both agents in the middle of each verb, once each: agent_kills.py --build BUILD_DIR [--engine quick] [--chips N] [--keep]

From bare nodes to a token, then a restart of everything that runs, then the reboot of the worker; whenever an agent has begun with an Apply
or a Stop of a stage, it is killed. Exit status 3: this machine cannot boot nodes.
"""
import sqlite3
import sys
import time
from collections import Counter

import checks as check
from lab import in_the_lab, options_of
from scenario import Beside, FINAL, Failed, LabFleet, NAME, until

AGENT = "npufleet-agent.service"
# Its work takes as long as the lab's: a kill may come too late for what is done in a moment.
MUST_BE_HIT = {("driver", "APPLY"), ("docker", "APPLY"), ("image", "APPLY"), ("model", "APPLY"), ("container", "APPLY"), ("ray-head", "APPLY"),
               ("ray-worker", "APPLY"), ("serve", "APPLY"), ("serve", "STOP")}


class Killer(Beside):
    """Kills the agent of each node once in each stage's Apply and Stop."""

    def __init__(self, fleet):
        super().__init__()
        self.fleet = fleet
        self.tried, self.hit, self.errors = set(), Counter(), []

    def run(self):
        while not self.ended.wait(0.02):
            for node in self.fleet.node_names:
                try:
                    self.look(node)
                except (sqlite3.Error, OSError):
                    pass  # no journal yet, or the node is just booting
                except Failed as error:
                    self.errors.append(str(error))

    def look(self, node):
        for operation in self.fleet.operations(node):
            key = (node, operation["task"], operation["action"])
            if operation["state"] in FINAL or key in self.tried:
                continue
            self.tried.add(key)
            self.fleet.do(node, "systemctl", "kill", "--kill-whom=main", "--signal=KILL", AGENT, check=False)
            # Nobody writes the journal before systemd starts the next agent, a second later.
            now = next(item for item in self.fleet.operations(node) if item["id"] == operation["id"])
            if now["state"] not in FINAL:
                self.hit[operation["task"].split("@")[0], operation["action"]] += 1


def ended_once(fleet, checks, when):
    """Each operation came to an end, and none of a stage was interrupted more often than its agent was killed in it."""
    until(lambda: all(item["state"] in FINAL for items in fleet.all_operations().values() for item in items), 60, "the last operation to end")
    for node, operations in fleet.all_operations().items():
        interrupted = Counter((item["task"], item["action"]) for item in operations if item["state"] == "INTERRUPTED")
        checks.that(f"{node}: what a kill interrupted is said once {when}", all(times == 1 for times in interrupted.values()), dict(interrupted),
                    ", ".join(f"{action.lower()} of {task}" for task, action in interrupted) or "nothing was: all went on")
        failed = [item["task"] for item in operations if item["state"] == "FAILED"]
        checks.that(f"{node}: no operation failed for a kill {when}", not failed, failed)


def every_verb(fleet, checks):
    killer = Killer(fleet)
    with killer:
        def roll_out():
            start = time.monotonic()
            fleet.apply(fleet.spec(), "--wait", "--timeout", f"{fleet.rollout_seconds}s")
            fleet.wait_serving(60)
            return f"{time.monotonic() - start:.1f} s, {sum(killer.hit.values())} kills in the middle of something"
        if not checks.run("a first rollout whose agents are killed in each verb serves", roll_out):
            return
        ended_once(fleet, checks, "in the rollout")
        check.each_effect_once(fleet, checks, "with killed agents")

        def restart():
            before = fleet.tokens()
            fleet.ctl("rollout", "restart", NAME, "--from", "container", check=0)
            until(lambda: fleet.tokens().get("serve@node-a") not in ("", before["serve@node-a"]) and fleet.is_serving(), fleet.rollout_seconds,
                  "another server")
            return f"{sum(killer.hit.values())} kills in all"
        if not checks.run("a restart of all that runs, with kills in each stop and start, serves", restart):
            return
        ended_once(fleet, checks, "in the restart")

        def reboot():
            boots = fleet.boot_ids()
            fleet.ctl("node", "reboot", "node-b", check=0)
            until(lambda: fleet.boot_ids().get("node-b") not in ("", boots["node-b"]), 120, "the worker's other boot")
            fleet.wait_serving()
            if fleet.boot_ids()["node-a"] != boots["node-a"]:
                raise Failed("node-a rebooted, too")
            return f"{sum(killer.hit.values())} kills in all"
        checks.run("a reboot whose agent is killed is done once", reboot)
        ended_once(fleet, checks, "in the reboot")
        again = {item["task"] for items in fleet.all_operations().values() for item in items if item["changed"] and item["action"] == "APPLY"
                 and item["id"].rpartition("/")[2] != "1" and item["task"].split("@")[0] in check.INSTALLED}
        checks.that("nothing that is installed was installed again after all of it", not again, again)
        check.completions(fleet, checks, "tokens come through the endpoint")
    missed = MUST_BE_HIT - set(killer.hit)
    checks.that("the kills came in the middle of every long verb", not missed, f"missed {missed}; hit {dict(killer.hit)}",
                ", ".join(f"{action.lower()} of {stage} {times}x" for (stage, action), times in sorted(killer.hit.items())))
    checks.that("each kill was possible", not killer.errors, killer.errors)


def main():
    options = options_of(__doc__)
    return in_the_lab(options, LabFleet(options.build, options.engine, options.chips), every_verb)


if __name__ == "__main__":
    sys.exit(main())
