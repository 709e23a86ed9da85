#!/usr/bin/env python3
"""Figures of a fleet that serves: fleet.py --build BUILD_DIR [--lab] [--seconds N]

An unchanged `ctl rollout apply`, beside `ctl version --client` (the start of the program alone) in the same run; the first rollout's control
overhead; memory and CPU of agent and controller while nothing happens. On doubled machines, or with --lab on two booted nodes (quick engine).
The lab must not be up. Each line says what is asked for; exit status 0 whatever is measured.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scenarios"))
from scenario import LabFleet, LocalFleet, until  # noqa: E402

PAGE, TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


def processes(name):
    """Pids of programs of npufleet, whatever namespace they are in; not their helpers."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(argv) > 1 and Path(argv[0].decode(errors="replace")).name == name and argv[1] == b"serve":
                yield int(entry.name)


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def timed(action, times):
    found = []
    for _ in range(times):
        start = time.monotonic()
        action()
        found.append((time.monotonic() - start) * 1000)
    return sorted(found)


def spread(milliseconds):
    return f"{milliseconds[0]:.0f} / {statistics.median(milliseconds):.0f} / {milliseconds[-1]:.0f} ms"


def measure(fleet, seconds):
    fleet.apply(fleet.spec(), "--wait", "--timeout", "600s")
    path = fleet.wait_serving(60).get("criticalPath", {})
    print(f"control overhead of the first rollout (under 2 %): {path.get('overheadPercent', 0):.2f} % of {path.get('wall', '?')}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(fleet.spec())
        file.flush()
        alone = timed(lambda: fleet.ctl("version", "--client", check=0), 20)
        apply = timed(lambda: fleet.ctl("rollout", "apply", "-f", file.name, check=0), 20)
    print(f"unchanged apply, fastest / median / slowest of 20 (under 300 ms): {spread(apply)}; `ctl version --client`: {spread(alone)}; "
          f"ratio of the medians {statistics.median(apply) / statistics.median(alone):.1f}")
    until(fleet.is_serving, 60, "the fleet to serve")
    for name, limit in (("npufleet-agent", "under 30 MB, under 1 % of a core"), ("npufleet-controller", "under 60 MB")):
        for pid in processes(name):
            before = cpu_seconds(pid)
            time.sleep(seconds)  # the time over which a rate is measured
            print(f"{name} idle ({limit}): {resident(pid):.1f} MB, {(cpu_seconds(pid) - before) / seconds * 100:.2f} % of a core over {seconds} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=Path)
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="npf-", dir="/tmp") as state:
        fleet = LabFleet(options.build.resolve(), "quick") if options.lab else LocalFleet(state, options.build.resolve())
        try:
            fleet.up()
            until(lambda: set(fleet.boot_ids()) == set(fleet.node_names), 60, "the nodes to join")
            measure(fleet, options.seconds)
        finally:
            fleet.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
