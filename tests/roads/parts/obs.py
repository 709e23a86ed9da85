"""The object store's double, its keys, and obsutil as its vendor packs it."""
import io
import json
import os
import sys
import tarfile

from real import secrets

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
    return secrets.holding((ACCESS_KEY, SECRET_KEY), *paths)


def watch():
    """Not of the store's own double, which is told its access key."""
    return secrets.Watch("origin/obs.py")
