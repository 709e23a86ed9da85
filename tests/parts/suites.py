"""The suites of tests/run: what each runs, how its cases are counted, and when it cannot run here."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True
TREE = Path(__file__).resolve().parent.parent.parent
BUILD = TREE / "build/release"
LOGS = TREE / "build/test-logs"
CACHE = Path(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet"))
LAB = TREE / "tests/lab/lab"
QUICK = ("tidy", "unit", "integration", "simulation", "doubles")
NORMAL = (*QUICK, "fuzz", "local", "lab", "lab-roads", "roads", "recovery", "lab-real")
ALL = (*NORMAL, "lab-kills", "recovery-real", "mutations", "clang-tidy", "sanitizers")


@dataclass
class Result:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reason: str = ""  # why all of it is skipped
    said: str = ""    # of failures, for the terminal
    note: str = ""    # how much of it was run, where its cases do not tell


@dataclass
class Seeds:
    """Of the simulator."""

    first: int = 1
    count: int = 10_000


SEEDS = Seeds()


class Run:
    """One program with its log. Its whole process group ends at the deadline, and with us."""

    live = set()

    def __init__(self, log, argv, seconds, environment=None, append=False, wait=True):
        self.log = LOGS / f"{log}.log"
        self.seconds = seconds
        with open(self.log, "ab" if append else "wb") as output:
            output.write(f"$ {' '.join(map(str, argv))}\n".encode())
            output.flush()
            self.process = subprocess.Popen([str(item) for item in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=TREE,
                                            start_new_session=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})})
        Run.live.add(self.process)
        if wait:
            self.wait()

    def wait(self):
        try:
            self.status = self.process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            end_group(self.process)
            self.status = -1
            with open(self.log, "a", encoding="utf-8") as output:
                output.write(f"\nnot ok no end after {self.seconds} s: ended\n")
        Run.live.discard(self.process)

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines=25):
        return "\n".join(f"    {line[:200]}" for line in self.text().splitlines()[-lines:])


def end_group(process):
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


# --- building

def jobs():
    return str(max(2, os.cpu_count() or 2))


def build(preset, log, targets=(), seconds=3600):
    """'' or what went wrong."""
    folder = TREE / "build" / preset
    configured = Run(log, ["cmake", "--preset", preset, "-DNPUFLEET_TESTS=ON"], 300)
    if configured.status != 0:
        return f"cmake --preset {preset} failed\n{configured.tail()}"
    # deploy/quickstart builds in the same folder, and takes the same lock.
    built = Run(log, ["flock", TREE / "build/.lock", "cmake", "--build", folder, "-j", jobs(), *(("--target", *targets) if targets else ())], seconds, append=True)
    if built.status != 0:
        errors = [line for line in built.text().splitlines() if re.search(r"error|FAILED|Error", line)]
        return "the build failed\n" + "\n".join(f"    {line[:200]}" for line in errors[:15]) + f"\n{built.tail(5)}"
    return ""


# --- suites

def ctest(name, folder, label, seconds, environment=None, exclude=""):
    report = LOGS / f"{name}.xml"
    report.unlink(missing_ok=True)
    argv = ["ctest", "--test-dir", folder, "-L", f"^({label})$", "-j", jobs(), "--output-on-failure", "--output-junit", report,
            "--no-tests=ignore", *(("-E", exclude) if exclude else ())]
    ran = Run(name, argv, seconds, environment)
    if not report.exists():
        if "No tests were found" in ran.text():
            return Result(skipped=1, reason=f"there are no tests of the label {label}")
        return Result(failed=1, said=ran.tail())
    cases = xml.etree.ElementTree.parse(report).getroot().iter("testcase")
    result, failed = Result(), []
    for case in cases:
        status = case.get("status")
        if status == "run":
            result.passed += 1
        elif status in ("disabled", "notrun"):
            result.skipped += 1
        else:
            failed.append(case.get("name"))
    result.failed = len(failed)
    if failed:
        result.said = "".join(f"    {item}\n" for item in failed[:20]) + ran.tail(20)
    elif ran.status != 0:
        result = Result(failed=1, said=ran.tail())
    elif result.passed + result.skipped == 0:
        return Result(skipped=1, reason=f"there are no tests of the label {label}")
    return result


def seeds_held(run, first):
    """How many seeds of it held, and what it says of the one that did not."""
    text = run.text()
    if run.status == 0 and (done := re.search(r"^(\d+) seeds from ", text, re.M)):
        return int(done[1]), ""
    if broken := re.search(r"^seed (\d+): .*?(?=^\[  FAILED)", text, re.M | re.S):
        return int(broken[1]) - first, "".join(f"    {line[:300]}\n" for line in broken[0].splitlines())
    return 0, run.tail() + "\n"


def simulation(_):
    """The seeds, as many at once as there are cores; then what else the simulator tests."""
    for stale in LOGS.glob("simulation-failed-*"):
        stale.unlink()
    each = -(-SEEDS.count // int(jobs()))
    runs = []
    for first in range(SEEDS.first, SEEDS.first + SEEDS.count, each):
        count = min(each, SEEDS.first + SEEDS.count - first)
        argv = [BUILD / "bin/simulation_test", "--gtest_filter=SimulationTest.HoldsWhateverGoesWrong"]
        environment = {"NPUFLEET_FIRST_SEED": str(first), "NPUFLEET_SEEDS": str(count), "TEST_TMPDIR": str(LOGS)}
        runs.append((Run(f"simulation-seeds-{len(runs) + 1}", argv, 3600, environment, wait=False), first))
    held, failed, said = 0, 0, ""
    for run, first in runs:
        run.wait()
        some, wrong = seeds_held(run, first)
        held, failed, said = held + some, failed + bool(wrong), said + wrong
    rest = ctest("simulation", BUILD, "simulation", 3600, exclude="HoldsWhateverGoesWrong")
    return Result(rest.passed + (not failed), rest.failed + failed, rest.skipped, said=said + rest.said, note=f"{held} seeds")


def mutations(_):
    return scenario("mutations", ["tests/simulation/mutations.py", "--build", BUILD], 3600)


def tidy(_):
    ran = Run("tidy", [sys.executable, "tests/tidy"], 120)
    match = re.search(r"^tidy: (\d+) rules, (\d+) findings$", ran.text(), re.M)
    if not match:
        return Result(failed=1, said=ran.tail())
    broken = {found for found in re.findall(r"^\S+:\d+: ([a-z-]+): ", ran.text(), re.M)}
    return Result(int(match[1]) - len(broken), len(broken), said=ran.tail() if broken else "")


def clang_tidy(_):
    """The checks of .clang-tidy over the product, a program to each core."""
    if not shutil.which("clang-tidy-14"):
        return Result(skipped=1, reason="there is no clang-tidy-14 (deploy/install-packages --test)")
    if failure := build("clang-tidy", "build-clang-tidy", ("npufleet_proto",)):
        return Result(failed=1, said=failure)
    files = [path for folder in ("agent", "common", "controller") for path in sorted((TREE / folder).rglob("*.cc"))]
    runs = []
    for i in range(int(jobs())):
        argv = ["clang-tidy-14", "-p", TREE / "build/clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option", *files[i::int(jobs())]]
        runs.append(Run(f"clang-tidy-{i + 1}", argv, 5400, wait=False))
    found = []
    for run in runs:
        run.wait()
        some = re.findall(r"^\S+:\d+:\d+: error: .*", run.text(), re.M)
        found += some if some or run.status == 0 else [run.tail(3)]
    broken = {line.split(":")[0] for line in found}
    return Result(len(files) - len(broken), len(broken), said="".join(f"    {line[:300]}\n" for line in sorted(set(found))))


def doubles(_):
    total = Result()
    for test in sorted(TREE.glob("tests/doubles/*_test.py")):
        ran = Run(test.stem, [sys.executable, test], 300)
        match = re.search(r"^Ran (\d+) tests? in", ran.text(), re.M)
        wrong = sum(int(count) for count in re.findall(r"(?:failures|errors)=(\d+)", ran.text()))
        if not match or (ran.status != 0 and not wrong):
            wrong = max(wrong, 1)
        total.failed += wrong
        total.passed += max(0, int(match[1]) - wrong) if match else 0
        total.said += ran.tail() if wrong else ""
    return total


def scenario(name, argv, seconds, environment=None):
    ran = Run(name, [sys.executable, *argv], seconds, environment)
    if ran.status == 3:
        reasons = [line.strip(" -") for line in ran.text().splitlines() if line.startswith("  - ")]
        return Result(skipped=1, reason="; ".join(reasons) or "this machine cannot boot nodes")
    text = ran.text()
    passed, failed = len(re.findall(r"^ok ", text, re.M)), re.findall(r"^not ok .*", text, re.M)
    if ran.status != 0 and not failed:
        failed = [f"exit status {ran.status}"]
    said = "".join(f"    {line[:300]}\n" for line in failed) + (ran.tail(15) if failed else "")
    return Result(passed, len(failed), said=said)


def local(_):
    return scenario("local", ["tests/scenarios/local.py", "--build", BUILD], 900)


def roads(_):
    long = ["--long"] if os.environ.get("NPUFLEET_LONG") else []
    result = scenario("roads", ["tests/roads/run.py", "--build", BUILD, *long], 3600, {"NPUFLEET_CACHE": str(CACHE)})
    result.skipped = len(re.findall(r"^skip ", (LOGS / "roads.log").read_text(errors="replace"), re.M))
    return result


def cannot_lab(engine, system="debian"):
    """Why no lab can be had here, or ''."""
    if os.geteuid() != 0:
        return "only root can boot nodes"
    checked = subprocess.run([LAB, "check", "--engine", engine, "--os", system], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        reasons = [line.strip(" -") for line in checked.stderr.splitlines() if line.startswith("  - ")]
        return "; ".join(reasons) or checked.stderr.strip() or "tests/lab/lab check says no"
    status = subprocess.run([LAB, "status", "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if re.search(r'"state": "(running|degraded|starting|booting)"', status.stdout):
        return "a lab is up on this machine, and is not ours to end: tests/lab/lab down"
    return ""


def lab(engines, engine="quick", name="lab", seconds=2400, program="lab.py", system="debian"):
    if reason := cannot_lab(engine, system):
        return Result(skipped=1, reason=reason)
    if failure := engines.wait(engine):
        return Result(failed=1, said=failure)
    return scenario(name, [f"tests/scenarios/{program}", "--build", BUILD, "--engine", engine], seconds)


def lab_roads(engines):
    return lab(engines, "quick", "lab-roads", 2400, "lab_roads.py", "openeuler")


def lab_kills(engines):
    return lab(engines, "quick", "lab-kills", 2400, "agent_kills.py")


def recovery(engines, engine="quick", name="recovery"):
    """Some rows of what breaks, of each kind one; all of them with NPUFLEET_LONG."""
    if reason := cannot_lab(engine):
        return Result(skipped=1, reason=reason)
    if failure := engines.wait(engine):
        return Result(failed=1, said=failure)
    record = LOGS / f"{name}.json"
    record.unlink(missing_ok=True)
    rows = [] if engine == "real" else ["--all"] if os.environ.get("NPUFLEET_LONG") else ["--short"]
    return scenario(name, ["tests/scenarios/recovery.py", "--build", BUILD, "--engine", engine, "--record", record, *rows], 5400)


def lab_real(engines):
    return lab(engines, "real", "lab-real", 3000)


def sanitizers(_):
    total = Result()
    for preset, options in (("asan", {"ASAN_OPTIONS": "detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1"}),
                            ("tsan", {"TSAN_OPTIONS": f"halt_on_error=1 suppressions={TREE}/tests/sanitizers/tsan.supp"})):
        if failure := build(preset, f"build-{preset}", seconds=5400):
            total.failed += 1
            total.said += f"{failure}\n"
            continue
        result = ctest(preset, TREE / "build" / preset, "unit|integration|simulation", 3600, options)
        total = Result(total.passed + result.passed, total.failed + result.failed, total.skipped + result.skipped, "", total.said + result.said)
    return total


def cannot_fuzz():
    """Why libFuzzer programs cannot be built here, or ''."""
    if not shutil.which("clang++-14"):
        return "there is no clang++-14"
    runtime = list(Path("/usr/lib/llvm-14/lib/clang").glob("*/lib/linux/libclang_rt.fuzzer-*.a"))
    return "" if runtime else "clang has no libFuzzer here (libclang-rt-14-dev)"


def fuzz(_):
    """Each fuzzer over its corpus, and on from there for NPUFLEET_FUZZ_SECONDS (5)."""
    if reason := cannot_fuzz():
        return Result(skipped=1, reason=reason)
    if failure := build("fuzz", "build-fuzz", ("fuzzers",), 5400):
        return Result(failed=1, said=failure)
    seconds = int(os.environ.get("NPUFLEET_FUZZ_SECONDS", "5"))
    result = Result()
    for corpus in sorted((TREE / "tests/fuzz/corpus").iterdir()):
        found = LOGS / f"fuzz-{corpus.name}-found"
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        ran = Run(f"fuzz-{corpus.name}", [TREE / "build/fuzz/bin" / f"{corpus.name}_fuzz", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                                          f"-artifact_prefix={found}/", "-print_final_stats=1", found, corpus], seconds + 120)
        if ran.status == 0:
            result.passed += 1
        else:
            result.failed += 1
            result.said += f"    {corpus.name}: what it fell over is in {found.relative_to(TREE)}\n{ran.tail()}\n"
    return result


SUITES = {
    "tidy": tidy,
    "unit": lambda _: ctest("unit", BUILD, "unit", 900),
    "integration": lambda _: ctest("integration", BUILD, "integration", 900),
    "simulation": simulation,
    "doubles": doubles,
    "fuzz": fuzz,
    "local": local,
    "lab": lab,
    "lab-roads": lab_roads,
    "lab-kills": lab_kills,
    "roads": roads,  # after the lab, which makes the images that some of them need
    "recovery": recovery,
    "lab-real": lab_real,
    "recovery-real": lambda engines: recovery(engines, "real", "recovery-real"),
    "mutations": mutations,
    "clang-tidy": clang_tidy,
    "sanitizers": sanitizers,
}
NEEDS_TESTS = ("unit", "integration", "simulation", "mutations")
NEEDS_PROGRAMS = ("roads", "local", "lab", "lab-roads", "lab-kills", "recovery", "lab-real", "recovery-real")


class Engines:
    """Makes the lab's engines beside the build: their downloads take long, and the machine's cores are elsewhere."""

    def __init__(self, wanted):
        self.running = {}
        for engine in wanted:
            log = open(LOGS / f"engine-{engine}.log", "wb")
            self.running[engine] = subprocess.Popen(["nice", "-n", "5", TREE / "tests/lab/engine/build", engine], stdin=subprocess.DEVNULL,
                                                    stdout=log, stderr=log, start_new_session=True,
                                                    env={**os.environ, "NPUFLEET_CACHE": str(CACHE)})

    def wait(self, engine):
        process = self.running.pop(engine, None)
        try:
            if process is None or process.wait(2400) == 0:
                return ""
        except subprocess.TimeoutExpired:
            end_group(process)
        tail = (LOGS / f"engine-{engine}.log").read_text(errors="replace").splitlines()[-15:]
        return f"the {engine} engine could not be made\n" + "\n".join(f"    {line}" for line in tail)

    def end(self):
        for process in self.running.values():
            end_group(process)


def number_after(option, rest, least):
    text = next(rest, "")
    if not re.fullmatch(r"\d{1,15}", text) or int(text) < least:
        print(f"tests/run: {option} needs a number from {least} on, not {text or 'nothing'}", file=sys.stderr)
        sys.exit(2)
    return int(text)


def choose(arguments):
    names, want_build = [], True
    SEEDS.count = 30_000 if "--all" in arguments else 1000 if "--quick" in arguments else SEEDS.count
    rest = iter(arguments)
    for argument in rest:
        if argument in ("--quick", "--all"):
            names += QUICK if argument == "--quick" else ALL
        elif argument == "--seeds":
            SEEDS.count = number_after(argument, rest, 1)
        elif argument == "--from":
            SEEDS.first = number_after(argument, rest, 0)
        elif argument == "--no-build":
            want_build = False
        elif argument in SUITES:
            names.append(argument)
        else:
            print(f"tests/run: what is {argument}? The suites: {' '.join(SUITES)}; see tests/run --help", file=sys.stderr)
            sys.exit(2)
    names = names or list(NORMAL)
    if "--all" in arguments:
        os.environ.setdefault("NPUFLEET_LONG", "1")
    return [name for name in SUITES if name in names], want_build


def line(name, state, detail, seconds):
    print(f"{name:<12} {state:<8} {detail:<34} {seconds:7.1f} s", flush=True)


def show(name, result, seconds, total):
    if result.reason:
        print(f"{name:<12} skipped ({result.reason})", flush=True)
    else:
        detail = f"{result.passed} passed, {result.failed} failed" + (f", {result.skipped} skipped" if result.skipped else "")
        detail += f", {result.note}" if result.note else ""
        line(name, "FAILED" if result.failed else "ok", detail, seconds)
    if result.said:
        print(result.said.rstrip(), flush=True)
        print(f"    logs: {LOGS.relative_to(TREE)}/{name}*.log", flush=True)
    total.passed += result.passed
    total.failed += result.failed
    total.skipped += result.skipped


def build_programs(names, total):
    """Whether what was to be built is there."""
    targets = () if any(name in NEEDS_TESTS for name in names) else ("npufleet-agent", "npufleet-controller", "ctl", "roads_walk")
    start = time.monotonic()
    print("building     build/release (progress: build/test-logs/build.log)", flush=True)
    failure = build("release", "build", targets)
    if failure:
        show("build", Result(failed=1, said=failure), time.monotonic() - start, total)
        return False
    line("build", "ok", shutil.which("ccache") and "with ccache" or "", time.monotonic() - start)
    return True


def main():
    names, want_build = choose(sys.argv[1:])
    try:
        LOGS.mkdir(parents=True, exist_ok=True)
        (LOGS / "build.log").touch()
    except OSError as error:
        print(f"tests/run: {error.filename} cannot be written ({error.strerror}): run it as the owner of the tree", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    total, start = Result(), time.monotonic()
    suites = (("lab", "quick"), ("lab-roads", "quick"), ("lab-kills", "quick"), ("recovery", "quick"), ("lab-real", "real"), ("recovery-real", "real"))
    wanted = {engine for suite, engine in suites if suite in names and not cannot_lab(engine)}
    engines = Engines(wanted)
    try:
        built = True
        if want_build and any(name in (*NEEDS_TESTS, *NEEDS_PROGRAMS) for name in names):
            built = build_programs(names, total)
        for name in names:
            begun = time.monotonic()
            if not built and name in (*NEEDS_TESTS, *NEEDS_PROGRAMS):
                result = Result(skipped=1, reason="the build failed")
            else:
                result = SUITES[name](engines)
            show(name, result, time.monotonic() - begun, total)
    finally:
        for process in list(Run.live):
            end_group(process)
        engines.end()
    print(f"in {(time.monotonic() - start) / 60:.1f} min; logs in {LOGS.relative_to(TREE)}")
    print(f"{total.passed} passed, {total.failed} failed" + (f", {total.skipped} skipped" if total.skipped else ""))
    return 1 if total.failed or not built else 0


if __name__ == "__main__":
    sys.exit(main())
