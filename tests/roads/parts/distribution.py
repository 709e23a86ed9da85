"""Nodes with a distribution's own package manager: the lab's base image in an overlay, entered by chroot. dnf and rpm are Debian's."""
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from real.rpm import TOOLS, dnf_layer, mount

from .node import CACHE, Node, Program

KYLIN = 'NAME="Kylin Linux Advanced Server"\nID="kylin"\nVERSION_ID="V10"\n'
CENTOS = 'NAME="CentOS Linux"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
DEBIAN = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n'


def cannot():
    """Why there is no such node here, or ''."""
    if os.geteuid() != 0:
        return "only root can mount and chroot"
    if not list(CACHE.glob("base-*/base")):
        return f"no base image in {CACHE}: tests/lab/lab up makes it"
    missing = [program for program in (*TOOLS, "dpkg-deb") if not shutil.which(program)]
    return f"apt-get install rpm createrepo-c (there is no {', '.join(missing)})" if missing else ""


def base():
    return max(CACHE.glob("base-*/base"), key=lambda path: path.stat().st_mtime)


SYSTEMCTL = '''#!/usr/bin/env python3
"""What of systemd docker.service needs here, where systemd is not PID 1."""
import os, pathlib, signal, subprocess, sys, time
words = [word for word in sys.argv[1:] if not word.startswith("-")]
unit, pid = pathlib.Path("/usr/lib/systemd/system/docker.service"), pathlib.Path("/run/docker-of-roads.pid")
with open("/run/systemctl.log", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
def alive():
    try:
        state = pathlib.Path("/proc", pid.read_text(), "stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    except OSError:
        return False
if words[:1] == ["is-active"]:
    print("active" if alive() else "inactive")
    sys.exit(0 if alive() else 3)
if words[:1] in (["stop"], ["restart"]) and alive():
    os.kill(int(pid.read_text()), signal.SIGTERM)
    while alive():
        time.sleep(0.05)
if words[:1] in (["start"], ["restart"]):
    line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    with open("/var/log/dockerd.log", "ab") as log:
        # Neither a socket of systemd's nor a containerd that it started is here.
        argv = [word for word in line.removeprefix("ExecStart=").split() if word not in ("-H", "fd://") and not word.startswith("--containerd=")]
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    pid.write_text(str(started.pid))
'''


class DistributionNode(Node):
    """A root of its own with a real package manager in it; the agent runs in it on "/"."""

    def __init__(self, build, work, os_release, repositories="", family="dnf"):
        self.folder = Path(tempfile.mkdtemp(prefix="dist-", dir=work))
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(mode=0o755)
        lower = f"{dnf_layer(base(), CACHE)}:{base()}" if family != "apt" else base()
        self.mounts = []
        self.mount("-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}",
                   self.folder / "root")
        self.mount("--bind", "/proc", self.folder / "root/proc")
        self.mount("--rbind", "/sys", self.folder / "root/sys")
        self.mount("--bind", "/dev", self.folder / "root/dev")
        # dockerd's own overlay does not go on one of ours.
        (self.folder / "docker").mkdir()
        (self.folder / "root/var/lib/docker").mkdir()
        self.mount("--bind", self.folder / "docker", self.folder / "root/var/lib/docker")
        self.root, self.build, self.agent, self.environment = self.folder / "root", Path(build), None, {}
        (self.root / "etc/os-release").unlink(missing_ok=True)
        self.write("etc/os-release", os_release)
        shutil.copy(self.build / "bin/npufleet-agent", self.root / "usr/bin/npufleet-agent")
        if family == "apt":
            shutil.rmtree(self.root / "etc/apt/sources.list.d", ignore_errors=True)
            self.write("etc/apt/sources.list", repositories)
        else:
            self.write("etc/yum.repos.d/roads.repo", repositories)
        if family == "yum":
            os.rename(self.root / "usr/bin/dnf", self.root / "usr/bin/yum")
        self.write("usr/local/sbin/systemctl", SYSTEMCTL, 0o755)
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        self.write("etc/docker/daemon.json", '{"bridge": "none", "iptables": false}\n')

    def mount(self, *arguments):
        mount(*arguments)
        self.mounts.append(arguments[-1])

    def start(self):
        log = self.folder / "agent.log"
        self.agent = Program(["chroot", self.root, "/usr/bin/npufleet-agent", "serve", "--insecure-loopback", "--listen", "127.0.0.1:0"], log)
        self.address = "127.0.0.1:" + self.agent.wait_for(
            lambda: next((line.rpartition(" listens on port ")[2].strip().strip('"}') for line in self.agent.text().splitlines()
                          if " listens on port " in line), ""), 20, "the agent to listen")
        return self

    def run(self, *argv):
        return subprocess.run(["chroot", self.root, *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    def end(self):
        if (self.root / "run/docker-of-roads.pid").exists():
            self.run("systemctl", "stop", "docker.service")
        if self.agent:
            self.agent.end()
        for target in reversed(self.mounts):
            subprocess.run(["umount", "-R", target], check=False, capture_output=True)
            subprocess.run(["umount", "-l", "-R", target], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def build_deb(folder, name, version, **fields):
    top = Path(tempfile.mkdtemp(prefix="deb-", dir=folder.parent))
    target = top / f"usr/share/roads/{name}"
    target.parent.mkdir(parents=True)
    target.write_text(f"{name} {version}\n")
    top.chmod(0o755)
    control = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "roads <roads@example.com>", "Description": name, **fields}
    (top / "DEBIAN").mkdir(mode=0o755)
    (top / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    file = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Zgzip", top, file], check=True, capture_output=True)
    shutil.rmtree(top)
    return control, file


def create_apt_repository(folder, packages):
    """A flat repository without a signature: `deb [trusted=yes] URL ./`."""
    entries = []
    for control, file in packages:
        served = file.with_name(file.name.replace("%3a", "_"))
        file.rename(served)
        digest = hashlib.sha256(served.read_bytes()).hexdigest()
        entries.append({**control, "Filename": f"./{served.name}", "Size": served.stat().st_size, "SHA256": digest})
    text = "\n".join("".join(f"{key}: {value}\n" for key, value in entry.items()) for entry in entries)
    (folder / "Packages").write_text(text)
