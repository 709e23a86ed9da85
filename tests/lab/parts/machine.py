"""What the machine must be able to do, and how its cgroups are laid out."""
import os
import shutil
import time
from pathlib import Path

from . import layout
from .layout import CannotBoot
from .shell import run, succeeds, systemd_is_pid_1

CGROUPS = Path("/sys/fs/cgroup")
RPM_TOOLS = ["rpmbuild", "createrepo_c", "docker-registry", "openssl"]  # for nodes that are rpm systems
GIGABYTES = {"none": 6, "quick": 8, "real": 24}


def reasons_against(engine="none", system="debian"):
    """Why this machine cannot boot nodes: one line each, empty if it can."""
    if os.geteuid() != 0:
        return ["not root: systemd-nspawn, network namespaces and mounts need it"]
    reasons = []
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        if file.read().split() != ["0", "0", "4294967295"]:
            reasons.append("inside a user namespace (a root-less container?): its root may not boot systemd")
    tools = ["systemd-nspawn", "ip", "nsenter", "unshare", "cp", "mount"]
    if not list(layout.CACHE.glob("base-*/base")):
        tools.append("mmdebstrap")
    if system == "openeuler":
        tools += RPM_TOOLS
    for tool in tools:
        if not shutil.which(tool):
            reasons.append(f"{tool} is not installed: apt-get install $(grep -hv '^#' tests/lab/packages tests/roads/packages)")
    if reasons:
        return reasons
    if not succeeds("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "mount", "-t", "tmpfs", "lab", "/mnt"):
        reasons.append("no namespaces or no mounts: `unshare --net --mount --pid --fork mount -t tmpfs lab /mnt` fails")
    reasons += network_reasons()
    with open("/proc/filesystems", encoding="utf-8") as file:
        if "\toverlay\n" not in file.read() and not succeeds("modprobe", "overlay"):
            reasons.append("the kernel has no overlay file system, which docker in the nodes needs")
    if not uses_cgroup_v2() and not (CGROUPS / "systemd").is_dir():
        reasons.append("no cgroup v2 and no name=systemd hierarchy in /sys/fs/cgroup: systemd cannot run in a node")
    elif not os.access(CGROUPS if uses_cgroup_v2() else CGROUPS / "systemd", os.W_OK):
        reasons.append("/sys/fs/cgroup is read-only")
    return reasons + disk_reasons(engine)


def network_reasons():
    probe = f"labchk{os.getpid() % 10000}"
    try:
        for kind in ("bridge", "veth"):
            if not succeeds("ip", "link", "add", probe, "type", kind):
                return [f"cannot make a {kind}: `ip link add {probe} type {kind}` fails"]
            run("ip", "link", "delete", probe, check=False)
    finally:
        run("ip", "link", "delete", probe, check=False)
    return []


def disk_reasons(engine):
    reasons = []
    need = GIGABYTES[engine]
    for directory in (layout.CACHE, layout.STATE):
        there = directory
        while not there.exists():
            there = there.parent
        free = shutil.disk_usage(there).free / 1e9
        if free < need / (2 if any(layout.CACHE.glob("base-*")) else 1):
            reasons.append(f"{directory} has {free:.0f} GB free, the lab needs {need} GB")
    return reasons


def check(engine="none", system="debian"):
    reasons = reasons_against(engine, system)
    if reasons:
        raise CannotBoot(reasons)


def uses_cgroup_v2():
    return (CGROUPS / "cgroup.controllers").exists()


def hierarchies():
    """The roots of the mounted cgroup hierarchies: one for v2, one a controller for v1."""
    if uses_cgroup_v2():
        return [CGROUPS]
    return [item for item in sorted(CGROUPS.iterdir()) if item.is_dir() and not item.is_symlink()
            and (item / "cgroup.procs").exists()]


def enter_own_cgroup(node):
    """Moves this process to a cgroup of the node's own, in every hierarchy.

    Without it both nodes' systemd would share /system.slice. Under a systemd host the unit that we run in is that cgroup.
    """
    if systemd_is_pid_1():
        return
    for hierarchy in hierarchies():
        directory = hierarchy / "npufleet-lab" / node.name
        directory.mkdir(parents=True, exist_ok=True)
        for level in (directory.parent, directory):  # an empty cpuset takes no process
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (level / name).exists() and not (level / name).read_text().strip():
                    (level / name).write_text((level.parent / name).read_text())
        (directory / "cgroup.procs").write_text(str(os.getpid()))


def remove_cgroups():
    """Removes the nodes' cgroups, which are empty once the nodes are off."""
    if systemd_is_pid_1():
        return
    for hierarchy in hierarchies():
        top = hierarchy / "npufleet-lab"
        for _ in range(50):  # a dying process keeps its cgroup for a moment
            for directory, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass
            if not top.exists():
                break
            time.sleep(0.1)
