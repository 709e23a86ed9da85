"""Nodes with a distribution's own package manager: the lab's base image in an overlay, entered by chroot. dnf and rpm are Debian's."""
import hashlib
import os
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path

from .node import CACHE, Failed, Node, Program

OPENEULER = 'NAME="openEuler"\nID="openEuler"\nVERSION_ID="22.03"\n'
KYLIN = 'NAME="Kylin Linux Advanced Server"\nID="kylin"\nVERSION_ID="V10"\n'
CENTOS = 'NAME="CentOS Linux"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
DEBIAN = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n'
ADDED = ("dnf", "rpm")


def cannot():
    """Why there is no such node here, or ''."""
    if os.geteuid() != 0:
        return "only root can mount and chroot"
    if not list(CACHE.glob("base-*/base")):
        return f"no base image in {CACHE}: tests/lab/lab up makes it"
    missing = [program for program in ("rpmbuild", "createrepo_c", "dpkg-deb") if not shutil.which(program)]
    return f"apt-get install rpm createrepo-c (there is no {', '.join(missing)})" if missing else ""


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"mount {' '.join(map(str, arguments))}: {done.stderr}")


def base():
    return max(CACHE.glob("base-*/base"), key=lambda path: path.stat().st_mtime)


def dnf_layer():
    """What dnf and rpm add to the base image, a folder; made once and kept."""
    name = hashlib.sha256(f"{base().parent.name} {ADDED}".encode()).hexdigest()[:12]
    layer = CACHE / f"dnf-root-{name}"
    if layer.exists():
        return layer
    work = Path(tempfile.mkdtemp(prefix=".dnf-root-", dir=CACHE))
    upper, root = work / "upper", work / "root"
    for folder in (upper, work / "work", root):
        folder.mkdir(mode=0o755)
    mount("-t", "overlay", "overlay", "-o", f"lowerdir={base()},upperdir={upper},workdir={work / 'work'}", root)
    try:
        mount("--bind", "/proc", root / "proc")
        shutil.copytree("/etc/apt/apt.conf.d", root / "etc/apt/apt.conf.d", dirs_exist_ok=True)
        kept = (root / "etc/resolv.conf").read_bytes()
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        apt = "apt-get -q -o APT::Sandbox::User=root"
        done = subprocess.run(["chroot", root, "sh", "-c", f"{apt} update && {apt} install -y --no-install-recommends {' '.join(ADDED)} && apt-get clean"],
                              env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"no dnf for the nodes: {done.stderr[-1500:]}")
        (root / "etc/resolv.conf").write_bytes(kept)
        for file in Path("/etc/apt/apt.conf.d").iterdir():
            (root / "etc/apt/apt.conf.d" / file.name).unlink()
    finally:
        subprocess.run(["umount", root / "proc"], check=False, capture_output=True)
        subprocess.run(["umount", root], check=False, capture_output=True)
        if (upper / "usr/bin/dnf").exists() or (upper / "usr/bin/dnf").is_symlink():
            os.rename(upper, layer)
        shutil.rmtree(work, ignore_errors=True)
    return layer


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
        started = subprocess.Popen(line.removeprefix("ExecStart=").split(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    pid.write_text(str(started.pid))
'''


class DistributionNode(Node):
    """A root of its own with a real package manager in it; the agent runs in it on "/"."""

    def __init__(self, build, work, os_release, repositories="", family="dnf"):
        self.folder = Path(tempfile.mkdtemp(prefix="dist-", dir=work))
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(mode=0o755)
        lower = f"{dnf_layer()}:{base()}" if family != "apt" else base()
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


def build_rpm(folder, name, version, files=None, epoch="", **tags):
    """An rpm in `folder` with {path: content or source file}."""
    top = Path(tempfile.mkdtemp(prefix="rpm-", dir=folder.parent))
    content = top / "content"
    for path, source in (files or {f"/usr/share/roads/{name}": f"{name} {version}\n"}).items():
        target = content / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copy(source, target)
        else:
            target.write_text(source)
    names = "\n".join("/" + str(file.relative_to(content)) for file in sorted(content.rglob("*")) if file.is_file())
    extra = "".join(f"{tag.capitalize()}: {value}\n" for tag, value in tags.items()) + (f"Epoch: {epoch}\n" if epoch else "")
    spec = top / "package.spec"
    spec.write_text(textwrap.dedent(f"""\
        Name: {name}
        Version: {version}
        Release: 1.roads
        Summary: {name} of the roads
        License: Apache-2.0
        BuildArch: x86_64
        AutoReqProv: no
        {{extra}}%description
        {name}
        %install
        cp -a {content}/. %{{{{buildroot}}}}/
        %files
        {{names}}
        """).format(extra=extra, names=names))
    done = subprocess.run(["rpmbuild", "-bb", "--define", f"_topdir {top}", "--define", f"_rpmdir {folder}", "--define", "_binary_payload w1.gzdio",
                           "--define", "__os_install_post %{nil}", "--define", "debug_package %{nil}", "--target", "x86_64", spec],
                          capture_output=True, text=True, check=False)
    shutil.rmtree(top)
    if done.returncode != 0:
        raise Failed(f"rpmbuild {name}: {done.stderr[-1500:]}")


def create_repository(folder):
    subprocess.run(["createrepo_c", "--quiet", folder], check=True, capture_output=True)


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
