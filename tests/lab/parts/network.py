"""The bridge between the nodes, and their cables."""
import json
import os
from pathlib import Path

from . import layout
from .layout import LabError
from .shell import run, say, succeeds

FORWARD_RULE = ["FORWARD", "-i", layout.BRIDGE, "-o", layout.BRIDGE, "-j", "ACCEPT"]


def link(name):
    """The link as `ip` describes it, or None."""
    done = run("ip", "-json", "link", "show", "dev", name, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def bridge_owner():
    """The state directory of the lab whose bridge is there, or None."""
    bridge = link(layout.BRIDGE)
    return bridge and bridge.get("ifalias", "")


def up():
    owner = bridge_owner()
    if owner is not None and owner != str(layout.STATE):
        raise LabError(f"a bridge {layout.BRIDGE} is there already, of the lab in {owner or 'nobody knows where'}: "
                       f"take that down first (NPUFLEET_LAB={owner} tests/lab/lab down)")
    if owner is None:
        for module in ("bridge", "veth", "overlay", "br_netfilter", "ip_tables", "iptable_nat", "nf_tables"):
            succeeds("modprobe", "--quiet", module)  # built in, or not there: docker in a node tells
        run("ip", "link", "add", layout.BRIDGE, "type", "bridge")
        run("ip", "link", "set", layout.BRIDGE, "alias", str(layout.STATE))
    run("ip", "address", "replace", f"{layout.HOST_ADDRESS}/{layout.PREFIX}", "dev", layout.BRIDGE)
    run("ip", "link", "set", layout.BRIDGE, "up")
    filtered = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if filtered.exists() and filtered.read_text().strip() == "1" and not succeeds("iptables", "-C", *FORWARD_RULE):
        # A host that runs docker drops what its bridges forward.
        if succeeds("iptables", "-I", *FORWARD_RULE):
            say(f"let iptables forward between the nodes ({layout.BRIDGE})")


def down():
    if bridge_owner() == str(layout.STATE):
        run("iptables", "-D", *FORWARD_RULE, check=False) if succeeds("iptables", "-C", *FORWARD_RULE) else None
        for node in layout.NODES:
            run("ip", "link", "delete", node.cable, check=False)
        run("ip", "link", "delete", layout.BRIDGE)


def cut(node):
    """Pulls the node's cable. It stays out over reboots until heal()."""
    (node.directory / "cut").touch()
    enforce_cut(node)


def heal(node):
    (node.directory / "cut").unlink(missing_ok=True)
    if link(node.cable):
        run("ip", "link", "set", node.cable, "up")


def is_cut(node):
    return (node.directory / "cut").exists()


def enforce_cut(node):
    if is_cut(node) and os.path.exists(f"/sys/class/net/{node.cable}"):
        run("ip", "link", "set", node.cable, "down", check=False)
