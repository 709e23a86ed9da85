"""rpm systems out of the lab's Debian: dnf and rpm as a layer over its base image, packages, a repository, and Docker as its vendor packs it."""
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import textwrap
from pathlib import Path

from . import Failed

OPENEULER = 'NAME="openEuler"\nVERSION="22.03 (LTS-SP4)"\nID="openEuler"\nVERSION_ID="22.03"\nPRETTY_NAME="openEuler 22.03 (LTS-SP4)"\n'
ADDED = ("dnf", "rpm")
TOOLS = ("rpmbuild", "createrepo_c")
DOCKER_NAMES = ("docker-ce", "docker-ce-cli", "containerd.io")


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"mount {' '.join(map(str, arguments))}: {done.stderr}")


def dnf_layer(base, cache):
    """What dnf and rpm add to the base image, a folder of the cache; made once and kept."""
    name = hashlib.sha256(f"{base.parent.name} {ADDED}".encode()).hexdigest()[:12]
    layer = cache / f"dnf-root-{name}"
    if layer.exists():
        return layer
    work = Path(tempfile.mkdtemp(prefix=".dnf-root-", dir=cache))
    upper, root = work / "upper", work / "root"
    for folder in (upper, work / "work", root):
        folder.mkdir(mode=0o755)
    try:
        try:
            mount("-t", "overlay", "overlay", "-o", f"lowerdir={base},upperdir={upper},workdir={work / 'work'}", root)
            mount("--bind", "/proc", root / "proc")
            add_dnf(root)
        finally:
            subprocess.run(["umount", root / "proc"], check=False, capture_output=True)
            subprocess.run(["umount", root], check=False, capture_output=True)
        os.rename(upper, layer)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for old in cache.glob("dnf-root-*"):
        if old != layer and str(old) not in Path("/proc/self/mounts").read_text(encoding="utf-8"):
            shutil.rmtree(old)
    return layer


def add_dnf(root):
    """By this host's own way to its mirror."""
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
        BuildArch: {platform.machine()}
        AutoReqProv: no
        {{extra}}%description
        {name}
        %install
        cp -a {content}/. %{{{{buildroot}}}}/
        %files
        {{names}}
        """).format(extra=extra, names=names))
    done = subprocess.run(["rpmbuild", "-bb", "--define", f"_topdir {top}", "--define", f"_rpmdir {folder}", "--define", "_binary_payload w1.gzdio",
                           "--define", "__os_install_post %{nil}", "--define", "debug_package %{nil}", "--target", platform.machine(), spec],
                          capture_output=True, text=True, check=False)
    shutil.rmtree(top)
    if done.returncode != 0:
        raise Failed(f"rpmbuild {name}: {done.stderr[-1500:]}")


def create_repository(folder):
    subprocess.run(["createrepo_c", "--quiet", folder], check=True, capture_output=True)


# The vendor's units, without what needs a group of their own (docker.socket is for the group docker).
DOCKER_SERVICE = """\
[Unit]
Description=Docker Application Container Engine
Documentation=https://docs.docker.com
After=network-online.target docker.socket firewalld.service containerd.service
Wants=network-online.target containerd.service
Requires=docker.socket

[Service]
Type=notify
ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
RestartSec=2
Restart=always
StartLimitBurst=3
StartLimitInterval=60s
LimitNOFILE=infinity
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""
DOCKER_SOCKET = """\
[Unit]
Description=Docker Socket for the API

[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root

[Install]
WantedBy=sockets.target
"""
CONTAINERD_SERVICE = """\
[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""


def docker_rpms(folder, archive, version):
    """The Docker of a static archive as its vendor's three packages."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked)

        def programs(*names):
            return {f"/usr/bin/{name}": Path(unpacked) / "docker" / name for name in names}
        build_rpm(folder, "docker-ce", version, {**programs("dockerd", "docker-init", "docker-proxy"), "/usr/lib/systemd/system/docker.service": DOCKER_SERVICE,
                                                 "/usr/lib/systemd/system/docker.socket": DOCKER_SOCKET}, epoch="3", requires="containerd.io docker-ce-cli")
        build_rpm(folder, "docker-ce-cli", version, programs("docker"), epoch="1")
        build_rpm(folder, "containerd.io", "1.6.20", {**programs("containerd", "containerd-shim-runc-v2", "ctr", "runc"),
                                                      "/etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n',
                                                      "/usr/lib/systemd/system/containerd.service": CONTAINERD_SERVICE})
