"""What an operator types beside apply, on a fleet of four doubled nodes."""
import json
import tempfile
import time
from collections import Counter

from checks import completions, first_rollout, stage
from scenario import FINAL, Failed, NAME, seconds_of, until


def operator_commands(fleet, checks):
    if not first_rollout(fleet, checks):
        return
    unchanged_apply(fleet, checks)
    commands(fleet, checks)
    undo(fleet, checks)
    pause_and_resume(fleet, checks)
    cancel_and_resume(fleet, checks)
    restart_from(fleet, checks)
    a_node_that_is_gone(fleet, checks)
    fleet_commands(fleet, checks)


def unchanged_apply(fleet, checks):
    """Each cheap Check is run, dear ones are shown with their age."""
    operations = fleet.all_operations()
    times = []
    for _ in range(5):
        start = time.monotonic()
        done = fleet.apply(fleet.spec())
        times.append(time.monotonic() - start)
    checks.that("an unchanged apply runs the Checks and starts nothing", fleet.all_operations() == operations, "operations were started")
    dear = len([task for task in fleet.tasks() if stage(task) in ("npu", "fabric", "reach", "probe")])
    said = f"{len(fleet.tasks()) - dear} tasks were checked now; checked in their own period: "
    checks.that("it says what was checked now and how old the rest is", said in done.stdout and "probe@node-a" in done.stdout, done.stdout,
                f"fastest of five {min(times) * 1000:.0f} ms")


def commands(fleet, checks):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(fleet.spec())
        file.flush()
        done = fleet.ctl("rollout", "plan", "-f", file.name, "--commands", check=0)
    skipped = done.stdout.count(": skipped: as wanted (") + done.stdout.count(": skipped: left as it is (")
    checks.that("plan --commands skips what is as wanted, and says it", skipped == len(fleet.tasks()), done.stdout[-2000:], f"{skipped} tasks")


def undo(fleet, checks):
    before = fleet.tokens()
    fleet.apply(fleet.spec().replace("    blockSize: 128", "    blockSize: 64", 1), "--wait", "--timeout", "120s")
    middle = fleet.tokens()

    def go_back():
        start = time.monotonic()
        fleet.ctl("rollout", "undo", NAME, "--wait", "--timeout", "120s", timeout=150, check=0)
        return seconds_of(start)
    if not checks.run("undo serves with the former spec", go_back):
        return
    after = fleet.tokens()
    redone = sorted({stage(task) for task in before if after[task] != middle[task]})
    checks.that("undo runs the server again, and nothing under it", redone == ["serve"], f"{redone}")
    history = json.loads(fleet.ctl("rollout", "history", NAME, "-o", "json", check=0).stdout)["revisions"]
    checks.that("undo is a new revision with the spec of the first", len(history) == 3 and history[0]["deployment"] == history[2]["deployment"],
                f"{len(history)} revisions")
    completions(fleet, checks, "tokens come after undo")


def new_operations(fleet, known):
    """[(task, action)] of all nodes since `known` (all_operations), oldest first."""
    found = [item for node, items in fleet.all_operations().items() for item in items[len(known[node]):]]
    return [(item["task"], item["action"]) for item in sorted(found, key=lambda item: item["accepted"])]


def stands_still(fleet, known, phase):
    """What is under way ends, and nothing is begun; what was done since `known`. Nothing tells that nothing will happen, so a length of time it is."""
    until(lambda: all(item["state"] in FINAL for items in fleet.all_operations().values() for item in items), 60, "what is under way to end")
    before = new_operations(fleet, known)
    time.sleep(3)
    if (after := new_operations(fleet, known)) != before:
        raise Failed(f"started although it is {phase}: {after[len(before):]}")
    if (now := fleet.rollout()["phase"]) != phase:
        raise Failed(f"status says {now}, not {phase}")
    return before


def named(operations):
    return ", ".join(f"{action.lower()} of {task}" for task, action in operations)


def pause_and_resume(fleet, checks):
    """In the middle of a restart of Ray: what is under way ends, nothing new is started, and it goes on where it was."""
    known = fleet.all_operations()
    wanted = {("ray-head@node-a", "APPLY"), *((f"ray-worker@{node}", "APPLY") for node in fleet.node_names[1:]), ("serve@node-a", "APPLY")}

    def pause():
        fleet.ctl("rollout", "restart", NAME, "--from", "ray-head", check=0)
        until(lambda: new_operations(fleet, known), 60, "the first operation of the restart", period=0.01)
        fleet.ctl("rollout", "pause", NAME, check=0)
        before = stands_still(fleet, known, "PAUSED")
        if not wanted - set(before):
            raise Failed("all of it was done before the pause came")
        return f"only {named(before)} came to an end"
    checks.run("a pause in the middle of a restart lets what is under way end, and starts nothing", pause)

    def resume():
        fleet.ctl("rollout", "resume", NAME, "--wait", "--timeout", "120s", timeout=150, check=0)
        fleet.wait_serving(60)
        ran = Counter(new_operations(fleet, known))
        applied = {key: times for key, times in ran.items() if key[1] == "APPLY" and stage(key[0]) != "probe"}
        if set(applied) != wanted or set(ran.values()) != {1}:
            raise Failed(f"pause and resume together ran {dict(ran)}")
        return f"{sum(ran.values())} operations in all, each once"
    if checks.run("resume goes on from there, and does nothing twice", resume):
        completions(fleet, checks, "tokens come after resume")


def cancel_and_resume(fleet, checks):
    """While a server is being started: that start ends, nothing is begun, and resume starts it once more."""
    known = fleet.all_operations()

    def starts():
        return [item for item in fleet.all_operations()["node-a"][len(known["node-a"]):] if item["task"] == "serve@node-a" and item["action"] == "APPLY"]

    def cancel():
        fleet.apply(fleet.spec().replace("    blockSize: 128", "    blockSize: 64", 1))
        until(lambda: any(item["state"] == "RUNNING" for item in starts()), 60, "the new server to be started", period=0.01)
        fleet.ctl("rollout", "cancel", NAME, check=0)
        before = stands_still(fleet, known, "CANCELLED")
        if (states := [item["state"] for item in starts()]) != ["CANCELLED"]:
            raise Failed(f"the start ended as {states}")
        if set(before) - {("serve@node-a", "APPLY"), ("serve@node-a", "STOP")}:
            raise Failed(f"done beside it: {before}")
        return named(before)
    checks.run("a cancel while a server is being started ends that start, and starts nothing", cancel)

    def resume():
        fleet.ctl("rollout", "resume", NAME, "--wait", "--timeout", "120s", timeout=150, check=0)
        fleet.wait_serving(60)
        if (states := [item["state"] for item in starts()]) != ["CANCELLED", "SUCCEEDED"]:
            raise Failed(f"the starts ended as {states}")
        return ""
    if checks.run("resume starts it once more", resume):
        completions(fleet, checks, "tokens come after cancel and resume")
    fleet.ctl("rollout", "undo", NAME, "--wait", "--timeout", "120s", timeout=150, check=0)


def restart_from(fleet, checks):
    """In the middle of a change: that stage and what stands on it, each once more, and nothing beside it."""
    known = fleet.all_operations()
    before = fleet.tokens()

    def restart():
        fleet.apply(fleet.spec().replace("    blockSize: 128", "    blockSize: 64", 1))
        until(lambda: new_operations(fleet, known), 60, "the first operation of the change", period=0.01)
        fleet.ctl("rollout", "restart", NAME, "--from", "container@node-b", "--wait", "--timeout", "120s", timeout=150, check=0)
        fleet.wait_serving(60)
        applied = {task for task, action in new_operations(fleet, known) if action == "APPLY"}
        expected = {"container@node-b", "ray-worker@node-b", "serve@node-a"}
        if applied != expected:
            raise Failed(f"run again: {sorted(applied)}")
        outside = {task for task, action in new_operations(fleet, known) if action == "STOP"} - expected
        if outside:
            raise Failed(f"stopped beside it: {sorted(outside)}")
        now = fleet.tokens()
        if wrong := [task for task in before if (now[task] != before[task]) != (task in expected) and stage(task) != "probe"]:
            raise Failed(f"not as it should be: {[(task, before[task], now[task]) for task in wrong]}")
        return ", ".join(sorted(applied))
    if checks.run("restart --from a stage in the middle of a change runs exactly that and what stands on it", restart):
        completions(fleet, checks, "tokens come after the restart")


def a_node_that_is_gone(fleet, checks, node="node-d"):
    """Without power: status and explain say what is known of it, and it comes back."""
    boots = fleet.boot_ids()
    fleet.power_off(node)

    def told():
        nodes = {item["name"]: item for item in fleet.rollout().get("nodes", [])}
        if nodes[node]["reach"] in ("AGENT_DOWN", "UNREACHABLE"):
            return nodes[node]
        return None
    checks.run("status says what is known of a node without power", lambda: until(told, 30, "the node to be missed")["reason"])
    explained = fleet.ctl("rollout", "explain", NAME, f"container@{node}", check=0).stdout
    checks.that("explain names the node", f"{node}: " in explained and "checked" in explained, explained, explained.splitlines()[0])
    fleet.power_on(node)
    until(lambda: fleet.boot_ids().get(node) not in ("", boots[node]), 60, f"{node} to boot again")
    if not checks.run("it serves again", lambda: fleet.wait_serving() and ""):
        raise Failed(fleet.ctl("rollout", "status", NAME).stdout)


def fleet_commands(fleet, checks):
    refused = fleet.ctl("node", "remove", "node-d")
    checks.that("a node that is used is not removed", refused.returncode == 1 and "is used by rollout" in refused.stderr, refused.stderr, refused.stderr.strip())
    spec = fleet.ctl("spec", "init", check=0).stdout
    checks.that("spec init asks the fleet", all(name in spec for name in fleet.node_names), spec[:500])
    checks.that("and knows the interface of each node's address", spec.count("      nic: lo\n") == len(fleet.node_names), spec[:1500])
    fleet.ctl("rollout", "delete", NAME, "--wait", "--timeout", "120s", timeout=150, check=0)
    removed = fleet.ctl("node", "remove", "node-d", check=0).stdout
    nodes = json.loads(fleet.ctl("node", "list", "-o", "json", check=0).stdout)["nodes"]
    checks.that("a node that nobody uses is", "node-d" not in [item["name"] for item in nodes], removed, removed.strip()[:90])
