"""What the installers of the doubles share: the double's root, faults on command, the record of what was installed.

A fault is a value in $NPUFLEET_DOUBLE_ROOT/var/lib/npufleet-doubles/faults.json under the installer's name (driver,
firmware, runtime): a string, or {"do": string, "times": n} for the next n runs.
"""
import fcntl
import json
import os
import time

ROOT = os.environ.get("NPUFLEET_DOUBLE_ROOT", "/")
BOOT_ID_FILE = os.environ.get("NPUFLEET_DOUBLE_BOOT_ID_FILE", "/proc/sys/kernel/random/boot_id")
SECONDS = float(os.environ.get("NPUFLEET_DOUBLE_SECONDS", "0.8"))  # what an installer takes, the real one minutes
FAULTS = "/var/lib/npufleet-doubles/faults.json"
INSTALLED = "/var/lib/npufleet-doubles/installed.json"

os.umask(0o022)


def path(name):
    return os.path.join(ROOT, name.lstrip("/"))


def is_real_root():
    return os.path.realpath(ROOT) == "/"


def read_text(name):
    try:
        with open(path(name), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def write_text(name, text, mode=0o644):
    target = path(name)
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    with open(f"{target}.partial", "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.replace(f"{target}.partial", target)


def read_json(name):
    try:
        return json.loads(read_text(name) or "{}")
    except ValueError:
        return {}


def write_json(name, document, mode=0o644):
    write_text(name, json.dumps(document, indent=2) + "\n", mode)


def boot_id():
    with open(BOOT_ID_FILE, encoding="utf-8") as file:
        return file.read().strip()


def take_fault(key):
    """The fault for this run, or ''. Counts down one that is given for some runs only."""
    faults = read_json(FAULTS)
    fault = faults.get(key, "")
    if not isinstance(fault, dict):
        return str(fault)
    left = int(fault.get("times", 1)) - 1
    if left > 0:
        faults[key] = {**fault, "times": left}
    else:
        del faults[key]
    write_json(FAULTS, faults)
    return str(fault.get("do", ""))


def setting(key, default=""):
    return read_json(FAULTS).get(key, default)


class OneAtATime:
    """The lock that two runs of one installer quarrel about; `taken` says who won."""

    def __init__(self, name):
        os.makedirs(path("/run"), exist_ok=True)
        self.file = open(path(f"/run/{name}.lock"), "w", encoding="utf-8")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.taken = True
        except BlockingIOError:
            self.taken = False


def hang():
    while True:
        time.sleep(3600)


def chip_users():
    """Processes that hold a chip: those with NPUFLEET_DOUBLE_CHIP in their environment, of this root."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                environment = dict(item.split(b"=", 1) for item in file.read().split(b"\0") if b"=" in item)
        except OSError:
            continue
        if b"NPUFLEET_DOUBLE_CHIP" in environment and environment.get(b"NPUFLEET_DOUBLE_ROOT", b"/") == os.fsencode(ROOT):
            found.append(int(entry))
    return found
