#!/usr/bin/env python3
"""Walks each road of the runbook on a real agent, and on the real counterpart of what it takes (README.md).

  run.py --build BUILD_DIR [--long] [ROAD...]

--long also walks the roads that take minutes. ROAD: images models obs driver dcmi engine runtime docker_upgrade
clients package_managers engine_real; all of them without one.
Ends with `N passed, M failed`; exit status 1 when one failed.
"""
import argparse
import importlib
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.append(str(Path(__file__).resolve().parent.parent))
from parts.node import Checks, Failed  # noqa: E402

QUICK = ("images", "models", "obs", "driver", "dcmi", "engine", "runtime", "docker_upgrade")
LONG = ("clients", "package_managers", "engine_real")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=Path)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("roads", nargs="*", choices=[[], *QUICK, *LONG])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    for road in options.roads or [*QUICK, *(LONG if options.long else ())]:
        start = time.monotonic()
        work = Path(tempfile.mkdtemp(prefix=f"npufleet-{road}-"))
        try:
            importlib.import_module(road).run(checks, options.build.resolve(), work)
        except (Failed, OSError, ValueError, KeyError) as error:
            checks.that(f"{road} was walked to its end", False, str(error) if isinstance(error, Failed) else traceback.format_exc())
        finally:
            shutil.rmtree(work, ignore_errors=True)
        print(f"-- {road}: {time.monotonic() - start:.1f} s", flush=True)
    print(f"{checks.passed} passed, {checks.failed} failed" + (f", {len(checks.skipped)} skipped" if checks.skipped else ""))
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
