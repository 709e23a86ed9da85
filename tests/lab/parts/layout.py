"""Where everything of the lab is, and what it is called."""
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
TREE = LAB.parent.parent
DOUBLES = TREE / "tests/doubles"
UNITS = TREE / "deploy/systemd"
ENGINE_BUILD = LAB / "engine/build"

CACHE = Path(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet"))
ORIGIN = CACHE / "origin"
ENGINES = CACHE / "engine"
REGISTRY = CACHE / "registry"
STATE = Path(os.environ.get("NPUFLEET_LAB", "/var/lib/npufleet-lab"))
GLOBAL_LOCK = Path("/run/npufleet-lab.lock")

# 198.18.0.0/15 is the range for benchmarks (RFC 2544): no packet of the lab can ever mean a foreign host.
BRIDGE = "labbr0"
HOST_ADDRESS = "198.18.77.1"
PREFIX = 24
NIC = "enp67s0f0"
ORIGIN_PORT, REGISTRY_PORT = 8000, 5000
ORIGIN_URL = f"http://{HOST_ADDRESS}:{ORIGIN_PORT}"
CONTROLLER_PORT, AGENT_PORT = 7601, 7602

DRIVERS = ["25.0.rc1.b080", "25.2.0"]
FIRMWARES = ["7.7.t20.0.b200", "7.7.0.6.236"]
RUNTIMES = ["6.0.0"]


@dataclass(frozen=True)
class NodeName:
    """What of a node is known before it exists."""
    name: str
    address: str
    fabric: str  # the first three bytes of its chips' RoCE addresses, with a dot at the end

    @property
    def directory(self):
        return STATE / "nodes" / self.name

    @property
    def root(self):
        return self.directory / "root"

    @property
    def cable(self):
        """The host's end of the node's network cable; nspawn names it so."""
        return f"vb-{self.name}"


NODES = [NodeName("node-a", "198.18.77.11", "198.19.1."), NodeName("node-b", "198.18.77.12", "198.19.2.")]
HEAD = NODES[0]


def node_named(name):
    for node in NODES:
        if node.name == name:
            return node
    raise LabError(f"no node {name!r}: the lab has {' and '.join(node.name for node in NODES)}")


class LabError(Exception):
    """Something that a person can act on: printed without a traceback, exit 1."""


class CannotBoot(LabError):
    """This machine cannot boot nodes: exit 3. `reasons` says why, one line each."""

    def __init__(self, reasons):
        super().__init__("this machine cannot boot the lab's nodes:\n" + "\n".join(f"  - {reason}" for reason in reasons))
        self.reasons = reasons


def digest_of(*paths):
    """A short digest of the bytes and modes of files and of all files under directories."""
    sha256 = hashlib.sha256()
    for path in paths:
        for file in [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file()):
            if "__pycache__" in file.parts:
                continue
            sha256.update(f"{file.relative_to(LAB.parent)} {file.stat().st_mode:o}\n".encode())
            sha256.update(file.read_bytes())
    return sha256.hexdigest()[:12]


def write_atomically(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.chmod(mode)
    os.replace(partial, path)
