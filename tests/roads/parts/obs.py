"""The object store's double, its keys, and obsutil as its vendor packs it."""
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

from .node import Program, doubles

ACCESS_KEY, SECRET_KEY = "AK7Q2ROADS", "sk-9e0b64c2f1"


def pack(target, version, name="obsutil"):
    """obsutil_linux_arm64.tar.gz, with the program in a folder of its version."""
    text = doubles("tools/obsutil").read_text(encoding="utf-8").replace("@VERSION@", version).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        for file, content in ((name, text), ("setup.sh", b"#!/bin/sh\n")):
            entry = tarfile.TarInfo(f"obsutil_linux_arm64_{version}/{file}")
            entry.size, entry.mode = len(content), 0o644  # the runbook makes it executable itself
            archive.addfile(entry, io.BytesIO(content))


class Store:
    def __init__(self, work, directory):
        directory.mkdir(parents=True, exist_ok=True)
        secret, port_file = work / "obs.secret", work / "obs.port"
        secret.write_text(SECRET_KEY)
        self.directory = directory
        self.program = Program([sys.executable, doubles("origin/obs.py"), "--directory", directory, "--access-key", ACCESS_KEY, "--secret-key-file",
                                secret, "--port-file", port_file], work / "obs.log")
        self.program.wait_for(port_file.exists, 20, "the object store to listen")
        self.endpoint = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def put(self, bucket, key, content):
        file = self.directory / bucket / key
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            os.link(content, file)

    def end(self):
        self.program.end()


def access(store, node, name="obs.keys", secret=SECRET_KEY, key=ACCESS_KEY, mode=0o600):
    """The ObsAccess for keys that are written to the node."""
    node.write(f"root/{name}", f"# of the tenant\nak={key}\nsk={secret}\n", mode)
    return {"endpoint": store.endpoint, "credentials_file": f"/root/{name}"}


def records(node):
    """What each obsutil of the node noted of itself: its argv, and the mode of the file with its keys."""
    log = "var/lib/npufleet/agent/obsutil/.obsutil_log/obsutil.log"
    return [json.loads(line) for line in node.read(log).splitlines()] if node.exists(log) else []


def holding_keys(*paths):
    """The files at or below `paths` that hold a key."""
    found = ""
    for secret in (ACCESS_KEY, SECRET_KEY):
        found += subprocess.run(["grep", "-rlaF", "-e", secret, *paths], capture_output=True, text=True, check=False).stdout
    return found


class Watch:
    """The argv of each program that starts meanwhile; not the store's own double, which is told its access key."""

    def __init__(self):
        self.before, self.argvs, self.stopped = self.numbers(), set(), threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    @staticmethod
    def numbers():
        return {name for name in os.listdir("/proc") if name.isdigit()}

    def look(self):
        while not self.stopped.wait(0.02):
            for number in self.numbers() - self.before:
                try:
                    argv = Path("/proc", number, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if "origin/obs.py" not in argv:
                    self.argvs.add(argv)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
