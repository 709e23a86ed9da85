"""A dockerd of our own (Debian's, as the lab keeps it), and Debian's docker-registry with TLS and a login."""
import os
import shutil
import subprocess
import tarfile

from real import registry
from real.registry import login_file

from .node import CACHE, Failed, Program, until

# Of the range for benchmarks (RFC 2544). Docker lets a registry on 127.0.0.0/8 have any certificate, and none.
ADDRESS = "198.18.79.5"


def cannot():
    """Why there is no Docker here, or ''."""
    if os.geteuid() != 0:
        return "only root can run dockerd"
    if not list(CACHE.glob("base-*/docker.tgz")):
        return f"no docker.tgz in {CACHE}: tests/lab/lab up makes it"
    if not shutil.which(registry.PROGRAM):
        return "apt-get install docker-registry"
    return ""


class Address:
    """An address on the loopback interface, as long as it is needed."""

    def __init__(self, address=ADDRESS):
        self.address = address

    def __enter__(self):
        done = subprocess.run(["ip", "address", "add", f"{self.address}/32", "dev", "lo"], capture_output=True, text=True, check=False)
        self.ours = done.returncode == 0
        if not self.ours and not any(word in done.stderr for word in ("exists", "assigned")):
            raise Failed(f"ip address add: {done.stderr}")
        return self

    def __exit__(self, *_):
        if self.ours:
            subprocess.run(["ip", "address", "del", f"{self.address}/32", "dev", "lo"], check=False)


def make_authority(folder, name):
    return registry.make_authority(folder, name, ADDRESS)


class Registry(registry.Registry):
    """One that runs, with a login or without."""

    def __init__(self, work, name, authority, user="", password=""):
        (work / name).mkdir()
        super().__init__(work / name, f"{ADDRESS}:{5443 if user else 5444}", authority, work / name / "storage", user, password)
        self.log = work / f"{name}.log"
        self.start()

    def start(self):
        self.program = Program(self.argv, self.log)
        self.program.wait_for(self.answers, 20, "the registry")

    def end(self):
        self.program.end()


class Dockerd:
    """A daemon on the socket of a node; `authority` is the only CA that it trusts."""

    def __init__(self, work, node, authority):
        self.folder = work / "docker"
        self.bin = self.folder / "bin"
        self.bin.mkdir(parents=True)
        with tarfile.open(max(CACHE.glob("base-*/docker.tgz"))) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    member.name = os.path.basename(member.name)
                    archive.extract(member, self.bin)
        self.socket = node.root / "var/run/docker.sock"
        self.environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "SSL_CERT_FILE": str(authority), "SSL_CERT_DIR": "/nowhere",
                            "DOCKER_CONFIG": str(self.folder / "config")}
        self.config = self.folder / "daemon.json"
        self.config.write_text("{}")
        self.argv = [self.bin / "dockerd", "--config-file", self.config, "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                     "--pidfile", self.folder / "pid", "-H", f"unix://{self.socket}", "--iptables=false", "--bridge=none"]
        self.start()

    def start(self):
        self.program = Program(self.argv, self.folder / "dockerd.log", self.environment)
        self.program.wait_for(lambda: self.run("version", check=False).returncode == 0, 60, "dockerd")

    def run(self, *arguments, check=True):
        done = subprocess.run([self.bin / "docker", "-H", f"unix://{self.socket}", *map(str, arguments)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env={**os.environ, **self.environment}, check=False)
        if check and done.returncode != 0:
            raise Failed(f"docker {' '.join(map(str, arguments))}: {done.stderr}")
        return done

    def names(self):
        return set(self.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())

    def id(self, name):
        return self.run("inspect", "--format", "{{.Id}}", name, check=False).stdout.strip()

    def forget(self):
        """All images away."""
        ids = self.run("images", "-aq", "--no-trunc").stdout.split()
        if ids:
            self.run("rmi", "-f", *set(ids))

    def end(self):
        self.program.end()
        for line in open("/proc/self/mounts", encoding="utf-8").read().splitlines():
            target = line.split()[1]
            if target.startswith(str(self.folder)):
                subprocess.run(["umount", target], check=False)


__all__ = ["ADDRESS", "Address", "Dockerd", "Registry", "cannot", "login_file", "make_authority", "until"]
