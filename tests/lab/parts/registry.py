"""The lab's registry: Debian's docker-registry on the bridge's own address, with TLS and a login. What was pushed is kept in the cache."""
import os
import shutil
import signal

from real.registry import PROGRAM, Registry, login_file, make_authority

from . import layout
from .cache import sha256_of
from .layout import write_atomically
from .shell import Daemon, say, wait_until

FOLDER = layout.STATE / "registry"
NAME = f"{layout.HOST_ADDRESS}:{layout.REGISTRY_PORT}"
USER, PASSWORD = "lab", "pw-of-the-lab"
REPOSITORY, TAG = "ascend/vllm-ascend", "v0.9.1"
ARCHIVE = layout.ORIGIN / "images/vllm-ascend-0.9.1.tar.gz"


def daemon():
    return Daemon(FOLDER, "registry")


def authority():
    """The registry's CA, certificate and key. Each lab has its own."""
    files = [FOLDER / f"lab-{part}.pem" for part in ("ca", "certificate", "key")]
    if not all(file.exists() for file in files):
        FOLDER.mkdir(parents=True, exist_ok=True)
        make_authority(FOLDER, "lab", layout.HOST_ADDRESS, days=365)
    return files


def serve():
    """The background process: holds its lock across the exec."""
    os.set_inheritable(daemon().hold(), True)
    os.execvp(PROGRAM, [PROGRAM, "serve", str(FOLDER / "registry.yml")])


def up():
    """The registry with the engine's image in it. Each image has a storage of its own."""
    down()
    storage = layout.REGISTRY / (sha256_of(ARCHIVE)[:12] if ARCHIVE.exists() else "empty")
    registry = Registry(FOLDER, NAME, authority(), storage, USER, PASSWORD)
    daemon().start([layout.LAB / "lab", "__registry"])
    wait_until(registry.answers, 15, f"the registry to answer (see {daemon().log})")
    if ARCHIVE.exists() and not registry.has(REPOSITORY, TAG):
        say(f"pushing {ARCHIVE.name} to {NAME}/{REPOSITORY}:{TAG}")
        registry.push(ARCHIVE, REPOSITORY, TAG)
    for old in layout.REGISTRY.iterdir():
        if old != storage:
            shutil.rmtree(old)


def down():
    pid = daemon().pid()
    if pid:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not daemon().pid(), 10, "the registry to end")


def trust(node):
    """What an operator puts on a node before its first pull: the registry's CA where Docker looks for it, and a login."""
    trusted = node.root / f"etc/docker/certs.d/{NAME}/ca.crt"
    trusted.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(authority()[0], trusted)
    write_atomically(node.root / "root/registry-login.json", login_file(NAME, USER, PASSWORD), 0o600)
