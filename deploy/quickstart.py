"""What deploy/quickstart does once Python is there. See `deploy/quickstart --help`."""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
TREE = Path(__file__).resolve().parent.parent
BUILD = TREE / "build/release"
WORK = TREE / "build/quickstart"  # logs and the spec
LAB = TREE / "tests/lab/lab"
FLEET = TREE / "tests/local/fleet"
LAB_STATE = Path(os.environ.get("NPUFLEET_LAB", "/var/lib/npufleet-lab"))
LOCAL_STATE = Path(os.environ.get("NPUFLEET_LOCAL", f"/tmp/npufleet-local-{os.getuid()}"))
PROGRAMS = ("npufleet-agent", "npufleet-controller", "ctl")
NAME = "qwen3-235b"
PROMPT = "你是谁"


class StepFailed(Exception):
    def __init__(self, step, log=None, text=""):
        super().__init__(step)
        self.step, self.log, self.text = step, log, text


class Screen:
    """A live line on a terminal, plain lines now and then otherwise."""

    def __init__(self, colour):
        self.live = sys.stdout.isatty()
        self.colour = colour and self.live and "NO_COLOR" not in os.environ
        self.said = ""
        self.time = 0.0

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def headline(self, text):
        self.clear()
        print(self.paint("1", f"== {text}"), flush=True)

    def clear(self):
        if self.live:
            print("\r\033[K", end="", flush=True)

    def progress(self, text):
        if self.live:
            columns = os.get_terminal_size().columns
            print(f"\r\033[K{text[:columns - 1]}", end="", flush=True)
        elif text != self.said and time.monotonic() - self.time > 20:
            print(f"   {text}", flush=True)
            self.said, self.time = text, time.monotonic()

    def done(self, text):
        self.clear()
        print(f"   {self.paint('32', 'done')} {text}", flush=True)


class Job:
    """A program with its log, run beside others. Its group ends with us."""

    jobs = []

    def __init__(self, step, argv, log):
        self.step, self.log, self.start = step, WORK / log, time.monotonic()
        self.seconds = 0.0
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen([str(item) for item in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, cwd=TREE)
        Job.jobs.append(self)

    def running(self):
        if self.process.poll() is None:
            return True
        self.seconds = self.seconds or time.monotonic() - self.start
        return False

    def last_line(self):
        try:
            with open(self.log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return re.sub(r"\033\[[0-9;]*m", "", lines[-1].strip()) if lines else ""

    def check(self):
        if self.process.returncode != 0:
            raise StepFailed(self.step, self.log)

    @classmethod
    def end_all(cls):
        for job in cls.jobs:
            if job.process.poll() is None:
                try:
                    os.killpg(job.process.pid, signal.SIGTERM)
                    job.process.wait(60)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass


def wait_for(screen, *jobs):
    while running := [job for job in jobs if job.running()]:
        for job in jobs:
            if not job.running():
                job.check()
        screen.progress(" | ".join(f"{job.step} {int(time.monotonic() - job.start)} s: {job.last_line()[:90]}" for job in running))
        time.sleep(0.3)
    for job in jobs:
        job.check()


def run(step, argv, log):
    """A short program; its output goes to a log, and is returned."""
    path = WORK / log
    done = subprocess.run([str(item) for item in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=TREE)
    path.write_text(f"$ {' '.join(map(str, argv))}\n{done.stdout}{done.stderr}", encoding="utf-8")
    if done.returncode != 0:
        raise StepFailed(step, path)
    return done.stdout


def show(step, argv):
    """A program that speaks to the user itself."""
    sys.stdout.flush()
    status = subprocess.run([str(item) for item in argv], stdin=subprocess.DEVNULL, check=False, cwd=TREE).returncode
    if status != 0:
        raise StepFailed(step, text=f"exit status {status} of: {' '.join(map(str, argv))}")


def build_job():
    """Configures only what was never configured: a tree that builds its tests keeps them."""
    configure = "true" if (BUILD / "CMakeCache.txt").exists() and (BUILD / "build.ninja").exists() else "cmake --preset release -DNPUFLEET_TESTS=OFF"
    script = f'{configure} && exec cmake --build "$1" --target "${{@:2}}"'
    # tests/run builds in the same folder, and takes the same lock.
    (TREE / "build").mkdir(exist_ok=True)
    return Job("build", ["flock", TREE / "build/.lock", "bash", "-c", script, "build", BUILD, *PROGRAMS], "build.log")


class LabPlace:
    """Two booted nodes."""

    kind = "real nodes, real systemd, real Docker, real Ray; doubled: the Ascend hardware and its installers"
    label = ""
    state = LAB_STATE
    down_command = "deploy/quickstart --down"
    inspect = "tests/lab/lab status, tests/lab/lab logs node-a npufleet-controller.service, tests/lab/lab exec node-b docker ps"

    def __init__(self, options):
        self.engine, self.chips = options.engine, options.chips
        self.config = LAB_STATE / "ctl/config.yaml"

    def beside_the_build(self):
        return [Job("lab and engine", [LAB, "up", "--engine", self.engine], "lab.log")]

    def install(self):
        return Job("install", [LAB, "up", "--engine", self.engine, "--install", BUILD], "install.log")

    def spec(self):
        return run("spec", [TREE / "tests/lab/make_spec", "--engine", self.engine, "--chips", self.chips], "spec.log")

    def bearer(self):
        root = LAB_STATE / "nodes/node-a/root"
        folder = "etc/npufleet/viewer"
        if not (root / folder / "bearer").exists():
            run("identity", [LAB, "exec", "node-a", "npufleet-controller", "identity", "create", "--role", "viewer", "--name", "quickstart",
                             "--out", f"/{folder}", "--bearer"], "identity.log")
        return root / folder / "bearer", LAB_STATE / "ctl/ca.pem", "https://198.18.77.11:7601"

    def answer_note(self):
        if self.engine == "real":
            return ("vLLM, Ray and the ranks on both nodes are real; the model is tiny and its weights are random, so the answer is nonsense. "
                    "What is real is everything between the bare nodes and the token.")
        return "The engine is the lab's stand-in over real Ray: its words are drawn at random. Real vLLM: deploy/quickstart --engine real."


class LocalPlace:
    """Doubled machines on loopback."""

    kind = "doubled: machines, docker, Ray and the engine; real: controller, agents, ctl, their certificates, and the rollout"
    label = " (doubled)"
    state = LOCAL_STATE
    down_command = "deploy/quickstart --local --down"
    inspect = f"tests/local/fleet status --state {LOCAL_STATE}, logs in {LOCAL_STATE}/log and {LOCAL_STATE}/node-a/var/log"

    def __init__(self, options):
        self.chips = options.chips
        self.config = LOCAL_STATE / "etc/ctl/config.yaml"

    def beside_the_build(self):
        return []

    def install(self):
        return Job("fleet", [FLEET, "up", "--state", LOCAL_STATE, "--build", BUILD, "--chips", self.chips], "fleet.log")

    def spec(self):
        return run("spec", [FLEET, "spec", "--state", LOCAL_STATE], "spec.log")

    def bearer(self):
        folder = LOCAL_STATE / "etc/viewer"
        if not (folder / "bearer").exists():
            run("identity", [BUILD / "bin/npufleet-controller", "identity", "create", "--config", LOCAL_STATE / "etc/controller.yaml",
                             "--role", "viewer", "--name", "quickstart", "--out", folder, "--bearer"], "identity.log")
        status = json.loads(run("status", [FLEET, "status", "--state", LOCAL_STATE, "--json"], "status.log"))
        return folder / "bearer", LOCAL_STATE / "etc/ctl/ca.pem", status["rest"]

    def answer_note(self):
        return "All machines and the engine are doubled: the words are drawn at random. Real nodes and real vLLM: deploy/quickstart, as root."


def check_machine(options):
    done = subprocess.run([LAB, "check", "--engine", options.engine], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    print(done.stderr.strip(), file=sys.stderr)
    print("quickstart: deploy/quickstart --local does the same rollout without booting anything, on doubled machines.", file=sys.stderr)
    sys.exit(3)


def roll_out(place, screen, options):
    times = {}

    def timed(name, start):
        times[name] = time.monotonic() - start

    start = time.monotonic()
    beside = place.beside_the_build()
    screen.headline(f"build npufleet{', and boot two bare nodes beside it' if beside else ''}{place.label}")
    build = build_job()
    wait_for(screen, build, *beside)
    times["build"] = build.seconds
    screen.done(f"build in {build.seconds:.0f} s" + "".join(f", {job.step} in {job.seconds:.0f} s" for job in beside))

    start_install = time.monotonic()
    screen.headline(f"install controller and agents, join by one-time tokens{place.label}")
    wait_for(screen, place.install())
    timed("install", start_install)
    screen.done(f"in {times['install']:.0f} s")

    spec = WORK / f"{NAME}.yaml"
    spec.write_text(place.spec(), encoding="utf-8")
    ctl = [BUILD / "bin/ctl", "--config", place.config]
    screen.headline(f"ctl rollout apply -f {spec.relative_to(TREE)} --wait{place.label}")
    start_rollout = time.monotonic()
    show("rollout", [*ctl, "rollout", "apply", "-f", spec, "--wait", "--timeout", "2h"])
    timed("rollout", start_rollout)

    screen.headline(f"ctl chat {PROMPT}{place.label}")
    show("chat", [*ctl, "chat", PROMPT])
    print(f"   {place.answer_note()}")

    screen.headline(f"ctl rollout status {NAME}{place.label}")
    show("status", [*ctl, "rollout", "status", NAME])
    look_around(place, screen, ctl)
    print(f"{screen.paint('32', 'done')} in {time.monotonic() - start:.0f} s{place.label}: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.items()))


def look_around(place, screen, ctl):
    bearer, ca, rest = place.bearer()
    screen.headline(f"look around{place.label}")
    print(f"   export NPUFLEET_CONFIG={place.config} PATH={BUILD}/bin:$PATH")
    print("   ctl node list; ctl npu; ctl rollout events qwen3-235b; ctl rollout logs qwen3-235b serve@node-a")
    print(f"   ctl rollout plan -f {WORK / f'{NAME}.yaml'}")
    print(f"   curl --cacert {ca} -H \"Authorization: Bearer $(cat {bearer})\" {rest}/api/v1/rollouts")
    print(f"   {place.inspect}")
    print(f"   {place.down_command}")


def down(options):
    if options.local:
        if LOCAL_STATE.exists():
            subprocess.run([str(FLEET), "down", "--state", str(LOCAL_STATE)], check=True, stdin=subprocess.DEVNULL)
        else:
            print("down: nothing is up")
        return 0
    return subprocess.run([str(LAB), "down"], check=False, stdin=subprocess.DEVNULL).returncode


def explain(failure, place):
    print(f"\nquickstart: the step \"{failure.step}\" failed.", file=sys.stderr)
    if failure.text:
        print(failure.text, file=sys.stderr)
    if failure.log:
        print(f"The end of {failure.log}:", file=sys.stderr)
        for line in failure.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]:
            print(f"  {line}", file=sys.stderr)
    print(f"Everything is left as it is: {place.inspect}", file=sys.stderr)
    print(f"Try again: the same command goes on from here. End it: {place.down_command}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(prog="quickstart")
    parser.add_argument("--engine", choices=["real", "quick"], default="real")
    parser.add_argument("--chips", type=int, choices=range(1, 9), default=2, metavar="N")
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--down", action="store_true")
    parser.add_argument("--no-color", action="store_true")
    options = parser.parse_args()
    if options.down:
        return down(options)
    if not options.local:
        check_machine(options)
    WORK.mkdir(parents=True, exist_ok=True)
    screen = Screen(not options.no_color)
    place = LocalPlace(options) if options.local else LabPlace(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"npufleet quickstart{place.label}: {place.kind}")
    try:
        roll_out(place, screen, options)
        return 0
    except StepFailed as failure:
        screen.clear()
        explain(failure, place)
        return 1
    except KeyboardInterrupt:
        screen.clear()
        print(f"\ninterrupted; {place.down_command} ends what is up", file=sys.stderr)
        return 130
    finally:
        Job.end_all()


if __name__ == "__main__":
    sys.exit(main())
