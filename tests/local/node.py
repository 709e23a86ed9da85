"""One node without root: a folder as its root, and the process that is its power, its init and its systemctl.

  node.py ROOT     reads ROOT/node.json, boots, and serves ROOT/run/init.sock until SIGTERM

A boot is a new boot id, the agent, and the services that are enabled. A reboot ends all processes of the node, in order or (a
power cut) at once, and boots again. As the node's processes are children of this one, however they were started
(PR_SET_CHILD_SUBREAPER), none outlives it.
"""
import ctypes
import fcntl
import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
AGENT = "npufleet-agent.service"


def children_of(pids):
    """All living descendants of this process but `pids`, zombies left out."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            parents[int(entry)] = int(fields[1])
    found, wave = [], {os.getpid()}
    while wave:
        wave = {pid for pid, parent in parents.items() if parent in wave and pid not in pids}
        found += wave
    return found


class Node:
    def __init__(self, root):
        self.root = root
        self.settings = json.loads((root / "node.json").read_text(encoding="utf-8"))
        self.boot_id = root / "proc/sys/kernel/random/boot_id"
        self.services = {}  # name -> Popen
        self.failed = set()
        self.wanted = set()
        self.lock = threading.RLock()
        self.orders = queue.SimpleQueue()  # a signal handler may put; what only the main thread does: reboot, powercut, stop

    # --- services

    def unit(self, name):
        return self.root / "usr/lib/systemd/system" / name

    def argv_of(self, name):
        if name == AGENT:
            return self.settings["agent"]
        for line in self.unit(name).read_text(encoding="utf-8").splitlines():
            if line.startswith("ExecStart="):
                program, *arguments = shlex.split(line.removeprefix("ExecStart="))
                return [str(self.root / program.lstrip("/")), *arguments]
        raise OSError(f"{name} has no ExecStart")

    def environment(self):
        kept = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
        return {**kept, "NPUFLEET_DOUBLE_ROOT": str(self.root), "NPUFLEET_DOUBLE_BOOT_ID_FILE": str(self.boot_id),
                "TMPDIR": str(self.root / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, name):
        with self.lock:
            self.wanted.add(name)
            self.failed.discard(name)
            if name in self.services:
                return
            with open(self.root / f"var/log/{name.removesuffix('.service')}.log", "ab") as log:
                self.services[name] = subprocess.Popen(self.argv_of(name), env=self.environment(), stdin=subprocess.DEVNULL,
                                                       stdout=log, stderr=log, start_new_session=True, cwd="/")

    def stop(self, name, seconds=15):
        with self.lock:
            self.wanted.discard(name)
            process = self.services.get(name)
        if process is None:
            return
        process.terminate()
        self.wait(lambda: name not in self.services, seconds)
        if name in self.services:
            process.kill()
            self.wait(lambda: name not in self.services, 5)

    def wait(self, condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.02)

    def reap(self):
        """Ends of services and of whatever was left to this process. A service that should run is started again."""
        with self.lock:
            while (pid := self.ended_child()) != 0:
                for name, process in list(self.services.items()):
                    if process.pid == pid:
                        process.returncode = 0  # so that Popen does not wait for it, too
                        del self.services[name]
                        if name in self.wanted:
                            self.restart_soon(name)

    @staticmethod
    def ended_child():
        try:
            return os.waitpid(-1, os.WNOHANG)[0]
        except ChildProcessError:
            return 0

    def restart_soon(self, name):
        self.failed.add(name)

        def later():
            with self.lock:
                if name in self.wanted and name in self.failed:
                    self.start(name)
        timer = threading.Timer(1, later)
        timer.daemon = True
        timer.start()

    # --- power

    def boot(self):
        for folder in ("proc/sys/kernel/random", "run", "tmp", "var/log", "var/lib/npufleet"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.boot_id.write_text(f"{uuid.uuid4()}\n", encoding="utf-8")
        for link in (self.root / "etc/systemd/system").glob("*.wants/*.service"):
            self.start(link.name)
        self.start(AGENT)

    def end_processes(self, orderly):
        if orderly:
            for name in list(self.services):
                self.stop(name)
        with self.lock:
            self.wanted.clear()
            self.failed.clear()
        deadline = time.monotonic() + 15
        while (pids := children_of(())) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.reap()
            time.sleep(0.02)
        self.reap()

    def go_down(self, orderly):
        self.end_processes(orderly)
        self.boot()

    # --- systemctl

    def systemctl(self, arguments):
        words = [item for item in arguments if not item.startswith("-")]
        verb, units = (words[0], [unit if "." in unit else f"{unit}.service" for unit in words[1:]]) if words else ("", [])
        if verb == "reboot":
            self.orders.put("reboot")
        elif verb == "powercut":
            self.orders.put("powercut")
        elif verb in ("is-active", "is-enabled"):
            return self.answer_state(verb, units)
        elif verb in ("start", "restart", "stop", "enable", "disable"):
            missing = [unit for unit in units if unit != AGENT and not self.unit(unit).exists()]
            if missing:
                return 5, "", f"Failed to {verb} {missing[0]}: Unit {missing[0]} not found.\n"
            for unit in units:
                self.change(verb, unit, "--now" in arguments)
        elif verb not in ("daemon-reload", "reset-failed", "is-system-running"):
            return 1, "", f"Unknown command verb {verb}.\n"
        return 0, "running\n" if verb == "is-system-running" else "", ""

    def answer_state(self, verb, units):
        if verb == "is-enabled":
            states = ["enabled" if self.link(unit).is_symlink() else "disabled" for unit in units]
        else:
            states = ["active" if unit in self.services else "failed" if unit in self.failed else "inactive" for unit in units]
        return 0 if all(state in ("active", "enabled") for state in states) else 3, "\n".join(states) + "\n", ""

    def link(self, unit):
        return self.root / "etc/systemd/system/multi-user.target.wants" / unit

    def change(self, verb, unit, and_now):
        if verb == "enable":
            self.link(unit).parent.mkdir(parents=True, exist_ok=True)
            if not self.link(unit).is_symlink():
                self.link(unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
        if verb == "disable":
            self.link(unit).unlink(missing_ok=True)
        if verb in ("stop", "restart") or (verb == "disable" and and_now):
            self.stop(unit)
        if verb in ("start", "restart") or (verb == "enable" and and_now):
            self.start(unit)

    def serve(self, server):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection, connection.makefile("rw", encoding="utf-8") as file:
            try:
                code, out, err = self.systemctl(json.loads(file.readline()))
            except (OSError, ValueError) as error:
                code, out, err = 1, "", f"{error}\n"
            try:
                file.write(json.dumps({"code": code, "out": out, "err": err}) + "\n")
            except OSError:
                pass


def main():
    root = Path(sys.argv[1]).absolute()
    lock = open(root / "node.pid", "a+", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    node = Node(root)
    signal.signal(signal.SIGTERM, lambda *_: node.orders.put("stop"))
    (root / "run").mkdir(parents=True, exist_ok=True)
    path = root / "run/init.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(16)
        threading.Thread(target=node.serve, args=(server,), daemon=True).start()
        node.boot()
        while True:
            try:
                order = node.orders.get(timeout=0.1)
            except queue.Empty:
                order = ""
            if order == "stop":
                break
            if order:
                node.go_down(orderly=order == "reboot")
            node.reap()
        node.end_processes(orderly=True)
    path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
