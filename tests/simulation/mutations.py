#!/usr/bin/env python3
"""Can the simulator find bugs? Breaks the core on purpose, one way at a time, and lets it look.

  tests/simulation/mutations.py [--build FOLDER] [--seeds N] [NAME…]

Needs a built simulation_test (FOLDER: build/release). Of each mutation only the file that it changes is compiled, at -O1, into
a temporary folder; the tree is not touched. Prints a line for each, and 'N passed, N failed': passed is caught.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
CORE = "controller/core"

# (name, file of the core, what stands there exactly once, what stands there instead)
MUTATIONS = [
    ("a task is run before what it needs is current", "evaluation.cc",
     "    if (!state_.tasks[need].current) {", "    if (!state_.tasks[need].current && need < 0) {"),
    ("unknown is taken for absent", "evaluation.cc",
     "  if (task.seen.sight == Sight::kUnknown) {", "  if (task.seen.sight == Sight::kUnknown && now_ < absl::UnixEpoch()) {"),
    ("a paused rollout goes on", "evaluation.cc",
     '  if (state_.paused) return Block(i, "paused");\n', ""),
    ("locks are not waited for", "evaluation.cc",
     "        if (held.name != lock.name || (!held.exclusive && !lock.exclusive)) continue;", "        if (!held.name.empty()) continue;"),
    ("what runs on top is not stopped first", "evaluation.cc",
     "  if (task.plan.disturbs && !ClearAbove(i)) return;\n", ""),
    ("two nodes reboot at once", "evaluation.cc",
     "    if (other_wants) return false;", "    if (other_wants && node.name.empty()) return false;"),
    ("a failure reboots what serves", "evaluation.cc",
     "  if (!node.reboot_ordered && HoldsWhatAnswers(node)) return false;\n", ""),
    ("a new token does not reach what stands on it", "state.cc",
     "    digest.Add(other.token);\n", ""),
    ("what is current again does not reach what stands on it", "evaluation.cc",
     "    if (task.current != was_current) {\n      for", "    if (task.current != was_current && was_current) {\n      for"),
    ("operations are numbered alike", "evaluation.cc",
     "  ++task.operations;\n", "  task.operations = 1;\n"),
    ("what is blocked is not looked at again", "evaluation.cc",
     "      if (!moved_) return;", "      if (moved_ || !moved_) return;"),
    ("a returned node is not read first", "step.cc",
     "      task.awaiting_report = !task.retired && !task.operation;", "      task.awaiting_report = false;"),
    ("a change is not stored", "step.cc",
     "    result_.changed_tasks.insert(task.plan.id);\n    const bool cancelled_by_us", "    const bool cancelled_by_us"),
    ("what runs of a former revision is forgotten", "step.cc",
     "    const bool done = task.retired && !task.operation && !(task.plan.running && task.alive);", "    const bool done = task.retired && !task.operation;"),
    ("what was drifted is made anew", "step.cc",
     "        if (task.token.empty()) task.token = observation.token;", "        task.token = observation.token;"),
    ("a redo is done again and again", "step.cc",
     "    task.redo = false;\n    task.apply_took", "    task.apply_took"),
    ("a chip with a code is not looked at after a death", "step.cc",
     "      if (!below.plan.running && below.seen.reason.empty()) continue;", "      if (!below.plan.running) continue;"),
    ("a condition's later no disturbs", "step.cc",
     "    if (task.plan.condition && observation.sight", "    if (task.plan.condition && now_ < absl::UnixEpoch() && observation.sight"),
    ("what was seen for another stamp counts", "evaluation.cc",
     "  const bool seen_here = !stamp.empty() && task.seen_stamp == stamp;", "  const bool seen_here = !stamp.empty() && !task.seen_stamp.empty();"),
    ("what answers is taken down for a change that cannot be", "evaluation.cc",
     "    if (drifted || (!task.current && CannotBeDone(task))) return &task;", "    if (drifted) return &task;"),
    ("what a server loads is replaced under it", "evaluation.cc",
     "    if (starting.operation && starting.operation->action == Action::kApply)\n      return Block", "    if (false)\n      return Block"),
    ("a node that is added ends what answers without it", "evaluation.cc",
     "        if (!StandsOn(state_.tasks[j], task) || !seen.insert(j).second) continue;", "        if (!seen.insert(j).second) continue;"),
]


def command_of(build, source):
    """How the build compiles `source`, as argv, and in which folder."""
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        if Path(entry["file"]) == TREE / source:
            return entry["command"].split(), entry["directory"]
    sys.exit(f"mutations: {build}/compile_commands.json does not know {source}")


def link_command(build):
    listed = subprocess.run(["ninja", "-C", build, "-t", "commands", "bin/simulation_test"], capture_output=True, text=True, check=True)
    link = listed.stdout.strip().splitlines()[-1]
    return re.sub(r"^: && ", "", link).split(" && ")[0].split()


def compile_mutated(build, folder, file, text):
    source = folder / file
    source.write_text(text, encoding="utf-8")
    argv, directory = command_of(build, f"{CORE}/{file}")
    target = folder / f"{file}.o"
    out = []
    skip = False
    for item in argv:
        if skip:
            skip = False
        elif item in ("-o", "-MF", "-MT"):
            skip = True
        elif item in ("-MD", "-g1", "-Werror") or item == str(TREE / CORE / file):
            pass
        else:
            out.append("-O1" if item == "-O2" else item)
    out = [item for item in out if not item.endswith("ccache")]
    return subprocess.run([*out, "-o", target, "-c", source], cwd=directory, capture_output=True, text=True, check=False), target


def catch(build, folder, mutation, seeds):
    """Whether it was caught, and how."""
    _, file, old, new = mutation
    text = (TREE / CORE / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        return False, f"{file} has {text.count(old)} times what is to be replaced: bring the list up to date"
    compiled, target = compile_mutated(build, folder, file, text.replace(old, new))
    if compiled.returncode != 0:
        return False, "does not compile: " + "".join(re.findall(r"error: .*", compiled.stderr)[:1])
    link = link_command(build)
    program = folder / "simulation_test"
    # Before the library, whose own object of that file is then not wanted.
    link = [str(program) if item == "bin/simulation_test" else item for item in link]
    link.insert(link.index("-o"), str(target))
    linked = subprocess.run(link, cwd=build, capture_output=True, text=True, check=False)
    if linked.returncode != 0:
        return False, f"does not link: {linked.stderr.strip()[:200]}"
    environment = {**os.environ, "NPUFLEET_SEEDS": str(seeds), "NPUFLEET_FAILED": str(folder / "failed.faults"), "NPUFLEET_FIRST_SEED": "1"}
    ran = subprocess.run([program, "--gtest_filter=SimulationTest.Holds*:ScriptsTest.*:Scripts/*:MinimalTest.*", "--gtest_fail_fast"],
                         env={**environment, "NPUFLEET_STRIDE": "20"}, capture_output=True, text=True, timeout=900, check=False)
    if ran.returncode == 0:
        return False, f"not noticed in {seeds} seeds, scripts and single faults"
    seed = re.search(r"^seed (\d+): (.*)$", ran.stdout, re.M)
    test = re.search(r"^\[  FAILED  \] (\S+)", ran.stdout, re.M)
    if seed:
        return True, f"seed {seed[1]}: {seed[2][:100]}"
    return True, test[1].rstrip(",") if test else f"ended with {ran.returncode}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=TREE / "build/release")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("names", nargs="*", help="words of the mutations' names; without any, all")
    arguments = parser.parse_args()
    chosen = [one for one in MUTATIONS if not arguments.names or any(word in one[0] for word in arguments.names)]
    passed = failed = 0
    for mutation in chosen:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="npufleet-mutation-") as folder:
            caught, how = catch(arguments.build.resolve(), Path(folder), mutation, arguments.seeds)
        passed, failed = passed + caught, failed + (not caught)
        print(f"{'ok' if caught else 'not ok'} {mutation[0]}: {how} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
