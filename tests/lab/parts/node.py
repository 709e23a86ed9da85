"""One node: its root file system, its power, and commands in it."""
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

from . import layout, machine, network
from .layout import LabError, write_atomically
from .shell import Daemon, run, say, systemd_is_pid_1, wait_until

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REBOOT_ASKED = 133  # nspawn's exit status when the node rebooted itself


def supervisor(node):
    return Daemon(node.directory, "supervisor")


def leader(node):
    """The pid, on this host, of the node's PID 1; 0 while the node is off."""
    try:
        parent = int((node.directory / "nspawn.pid").read_text())
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except (OSError, ValueError):
        return 0
    if not supervisor(node).pid():
        return 0
    for child in children:
        try:
            inside = next(line for line in Path(f"/proc/{child}/status").read_text().splitlines()
                          if line.startswith("NSpid:")).split()
        except (OSError, StopIteration):
            continue
        if len(inside) > 2 and inside[-1] == "1":
            return int(child)
    return 0


# What it is installed with.

def is_installed(node):
    return (node.directory / "image").exists()


def mount_root(node):
    """Mounts the node's root: an overlay over the base image and what was laid on it, or nothing where it was copied."""
    upper, work = node.directory / "upper", node.directory / "work"
    if upper.exists() and not os.path.ismount(node.root):
        lower = (node.directory / "base").read_text().strip()
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", node.root)


def make_root(node, layers):
    """A root of the node's own. Docker's directory is none of the overlay: overlays do not nest."""
    shutil.rmtree(node.directory, ignore_errors=True)
    for name in ("root", "upper", "work", "docker"):
        (node.directory / name).mkdir(parents=True)
    (node.directory / "upper").chmod(0o755)
    write_atomically(node.directory / "base", f"{':'.join(map(str, reversed(layers)))}\n")
    try:
        mount_root(node)
    except LabError:
        if len(layers) > 1:
            raise
        say(f"{node.name}: no overlay on this file system, copying the base image")
        (node.directory / "upper").rmdir()
        node.root.rmdir()
        run("cp", "-a", layers[0], node.root, timeout=600)


def create(node, layers, chips, furnish):
    """Makes a bare server of the node, from the base image and what is laid on it; furnish(node) adds the system's own files.
    Does nothing but mount it if it is there."""
    installed_from = " ".join([layers[0].parent.name, *(layer.name for layer in layers[1:])])
    if is_installed(node):
        if (node.directory / "image").read_text().strip() != installed_from:
            say(f"{node.name} was installed from another base image; `lab down` and `lab up` renew it")
        mount_root(node)
        return
    make_root(node, layers)
    (node.root / "etc/hostname").write_text(f"{node.name}\n")
    (node.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    names = "".join(f"{other.address} {other.name}\n" for other in layout.NODES)
    (node.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{names}{layout.HOST_ADDRESS} origin\n")
    (node.root / "etc/npufleet-lab.env").write_text(
        f"LAB_NIC={layout.NIC}\nLAB_ADDRESS={node.address}/{layout.PREFIX}\nLAB_GATEWAY={layout.HOST_ADDRESS}\n"
        f"LAB_CHIPS={chips}\n")
    doubles = node.root / "var/lib/npufleet-doubles"
    doubles.mkdir(parents=True)
    (doubles / "faults.json").write_text(json.dumps({"chips": chips}))
    (doubles / "fabric.json").write_text(json.dumps({other.fabric: other.address for other in layout.NODES}))
    (node.root / "etc/hccn.conf").write_text("".join(
        f"address_{chip}={node.fabric}{10 + chip}\nnetmask_{chip}=255.255.0.0\nnetdetect_{chip}={node.fabric}1\n"
        f"gateway_{chip}={node.fabric}1\nsend_arp_status_{chip}=1\n" for chip in range(chips)))
    write_atomically(node.directory / "chips", f"{chips}\n")
    furnish(node)
    write_atomically(node.directory / "image", f"{installed_from}\n")


def nspawn_arguments(node):
    chips = int((node.directory / "chips").read_text())
    devices = [f"davinci{chip}" for chip in range(chips)] + ["davinci_manager", "devmm_svm", "hisi_hdc"]
    return ["systemd-nspawn", "--quiet", f"--directory={node.root}", f"--machine={node.name}", "--boot",
            f"--network-bridge={layout.BRIDGE}", "--capability=all", "--system-call-filter=add_key keyctl bpf",
            "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
            f"--bind-ro={layout.ENGINES}:/opt/engines",
            f"--bind={node.directory / 'docker'}:/var/lib/docker", *(f"--bind=/dev/null:/dev/{device}" for device in devices)]


# Its power.

def supervise(node):
    """The background process of a node: boots it, again after each reboot, and ends when it is switched off."""
    supervisor(node).hold()
    machine.enter_own_cgroup(node)
    child = None

    def switch_off(*_):
        if child and child.poll() is None:
            child.terminate()  # nspawn passes an orderly power-off on to the node

    signal.signal(signal.SIGTERM, switch_off)
    restore = node.directory / "restore-power"
    while True:
        run("ip", "link", "delete", node.cable, check=False)
        child = subprocess.Popen(nspawn_arguments(node), stdin=subprocess.DEVNULL, cwd="/",
                                 env={"PATH": PATH, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"})
        write_atomically(node.directory / "nspawn.pid", str(child.pid))
        while child.poll() is None:
            network.enforce_cut(node)
            time.sleep(0.1)
        (node.directory / "nspawn.pid").unlink(missing_ok=True)
        print(f"--- {time.strftime('%F %T')} nspawn of {node.name} ended with {child.returncode}", flush=True)
        if child.returncode != REBOOT_ASKED and not restore.exists():
            return
        restore.unlink(missing_ok=True)


def mount_nspawn_tmpfs():
    """nspawn keeps its sockets in /run/systemd/nspawn; a reboot of a node fails if that is no tmpfs."""
    directory = Path("/run/systemd/nspawn")
    marker = layout.STATE / "mounted-nspawn-tmpfs"
    directory.mkdir(parents=True, exist_ok=True)
    kind = run("stat", "--file-system", "--format=%T", directory).stdout.strip()
    if kind != "tmpfs":
        run("mount", "-t", "tmpfs", "tmpfs", directory)
        marker.touch()


def unmount_nspawn_tmpfs():
    if (layout.STATE / "mounted-nspawn-tmpfs").exists():
        run("umount", "/run/systemd/nspawn", check=False)


def switch_on(node):
    """Starts the node if it is off; does not wait for it to be up."""
    if supervisor(node).pid():
        return
    if not is_installed(node):
        raise LabError(f"{node.name} is not installed: run `lab up`")
    mount_root(node)
    layout.ENGINES.mkdir(parents=True, exist_ok=True)
    (node.directory / "restore-power").unlink(missing_ok=True)
    supervisor(node).start([layout.LAB / "lab", "__supervise", node.name],
                           unit=f"npufleet-lab-{node.name}" if systemd_is_pid_1() else None)


def switch_off(node):
    """Pulls the plug, for good. (Nothing of the node is needed afterwards: an orderly end would only take longer.)"""
    pid = supervisor(node).pid()
    if not pid:
        return
    (node.directory / "restore-power").unlink(missing_ok=True)
    kill(node)
    try:
        wait_until(lambda: not supervisor(node).pid(), 10, "")
    except LabError:  # nspawn had not come as far as to have a PID 1
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not supervisor(node).pid(), 30, f"{node.name} to be off")


def kill(node):
    """The node is gone between two instructions, and nobody hears a FIN."""
    if network.link(node.cable):
        run("ip", "link", "set", node.cable, "down", check=False)
    pid = leader(node)
    if pid:
        os.kill(pid, signal.SIGKILL)


def cut_power(node, restore):
    """A power cut; with `restore` the power is back at once and the node boots."""
    before = leader(node)
    if not before:
        raise LabError(f"{node.name} is off")
    if restore:
        (node.directory / "restore-power").touch()
    kill(node)
    wait_until(lambda: leader(node) != before, 20, f"{node.name} to lose its power")


# Life in it.

def state(node):
    """running, degraded, starting, … as its systemd says; off, or absent if it is not installed."""
    pid = leader(node)
    if not pid:
        return "off" if is_installed(node) else "absent"
    try:
        return execute(node, ["systemctl", "is-system-running"], timeout=5).stdout.strip() or "starting"
    except LabError:
        return "starting"


def boot_id(node):
    """Of the running boot; empty while the node is off. It is the node's own, and new at each boot."""
    try:
        return execute(node, ["cat", "/proc/sys/kernel/random/boot_id"], timeout=5).stdout.strip()
    except LabError:
        return ""


def wait_up(node, not_boot="", timeout=120):
    """Until the node has booted; with not_boot until it has another boot id."""
    def up():
        if not supervisor(node).pid():
            raise LabError(f"{node.name} is off (see {supervisor(node).log})")
        return state(node) in ("running", "degraded") and boot_id(node) not in ("", not_boot)
    wait_until(up, timeout, f"{node.name} to boot (see {supervisor(node).log})")


def enter_argv(node, argv):
    pid = leader(node)
    if not pid:
        raise LabError(f"{node.name} is off")
    return ["nsenter", f"--target={pid}", "--all", "env", "--chdir=/", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8",
            f"TERM={os.environ.get('TERM', 'dumb')}", *argv]


def execute(node, argv, check=False, timeout=60, input=None):
    """Runs argv in the node as root, and returns the CompletedProcess."""
    return run(*enter_argv(node, argv), check=check, timeout=timeout, input=input)


def reboot(node):
    """An orderly reboot, done when the node is up with another boot id."""
    before = boot_id(node)
    if not before:
        raise LabError(f"{node.name} is off")
    execute(node, ["systemctl", "--no-block", "reboot"], check=True)
    wait_up(node, not_boot=before)


def unmount_root(node):
    """Of a node that is off. The kernel lets go of what ended with it up to a minute later, and nobody needs to wait for that."""
    if os.path.ismount(node.root) and run("umount", node.root, check=False).returncode != 0:
        run("umount", "--lazy", node.root)


def journal_argv(node, unit):
    arguments = ["--no-pager", *(["--unit", unit] if unit else [])]
    if leader(node):
        return enter_argv(node, ["journalctl", *arguments])
    return ["journalctl", f"--directory={node.root}/var/log/journal", *arguments]


