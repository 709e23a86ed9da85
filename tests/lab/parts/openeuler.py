"""Nodes as rpm systems: dnf and rpm below their own layer, openEuler's os-release, and the origin's repository as their only one."""
import os
import shutil
import tempfile
from pathlib import Path

from real import rpm

from . import layout, registry
from .layout import digest_of, write_atomically
from .shell import say

REPOSITORY = f"[lab]\nname=lab\nbaseurl={layout.ORIGIN_URL}/rpm/\nenabled=1\ngpgcheck=0\n"


def prepare(base):
    """What the nodes need of the host; the layers of their root."""
    fill_origin(base)
    registry.authority()
    return [base, rpm.dnf_layer(base, layout.CACHE)]


def fill_origin(base):
    """rpm/ of the origin: wget, and the lab's Docker as its vendor's three packages."""
    key = f"{base.parent.name} {digest_of(Path(rpm.__file__))}"
    served = layout.ORIGIN / "rpm"
    key_file = served / ".key"
    if key_file.exists() and key_file.read_text() == key:
        return
    say("making the repository of rpms")
    served.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".rpm-", dir=layout.CACHE))
    try:
        made = work / "rpm"
        made.mkdir()
        rpm.build_rpm(made, "wget", "1.21.3")
        rpm.docker_rpms(made, base.parent / "docker.tgz", (base.parent / "docker.version").read_text().strip())
        rpm.create_repository(made)
        (made / ".key").write_text(key)
        shutil.rmtree(served, ignore_errors=True)
        os.rename(made, served)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def furnish(node):
    """A node's own files. /etc/os-release is a link to /usr/lib/os-release, in openEuler as in Debian."""
    write_atomically(node.root / "usr/lib/os-release", rpm.OPENEULER)
    write_atomically(node.root / "etc/yum.repos.d/lab.repo", REPOSITORY)
    registry.trust(node)
