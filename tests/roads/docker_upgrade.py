"""Runbook 2.2.2: the static archive of Docker, and an upgrade over containers that are not ours, on a real dockerd."""
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile

from parts import distribution as dist
from parts.node import CACHE, Failed, until
from parts.origin import Origin

SETTINGS = {"bridge": "none", "iptables": False}
KEPT, ANEW = "somebodys", "somebodys-always"


def cannot():
    """Why there is no Docker on a node of its own here, or ''."""
    if os.geteuid() != 0:
        return "only root can mount, chroot and run dockerd"
    if not list(CACHE.glob("base-*/docker.tgz")) or not list(CACHE.glob("base-*/base")):
        return f"no base image or docker.tgz in {CACHE}: tests/lab/lab up makes them"
    return ""


def make_archives(folder):
    """The static archive at its own version, and one of the next: the same Docker, whose dockerd names another. {version: file name}"""
    folder.mkdir(parents=True)
    former = (dist.base().parent / "docker.version").read_text().strip()
    first, last = former.rsplit(".", 1)
    newer = f"{first}.{int(last) + 1}"
    assert len(newer) == len(former), (former, newer)
    shutil.copy(dist.base().parent / "docker.tgz", folder / f"docker-{former}.tgz")
    with tarfile.open(dist.base().parent / "docker.tgz") as source, gzip.open(folder / f"docker-{newer}.tgz", "wb", compresslevel=1) as packed, \
            tarfile.open(fileobj=packed, mode="w|") as target:
        for member in source:
            content = source.extractfile(member).read() if member.isfile() else b""
            if member.name.endswith("/dockerd"):
                content = content.replace(former.encode(), newer.encode())
            target.addfile(member, io.BytesIO(content))
    return {version: f"docker-{version}.tgz" for version in (former, newer)}


class Docker:
    """Docker on a DistributionNode: put there by the verb, asked by its own client."""

    def __init__(self, node, origin, archives):
        self.node, self.origin, self.archives = node, origin, archives

    def want(self, version):
        return {"docker": {"binary": {"version": version, "archive": self.origin.artifact(self.archives[version])}}}

    def install(self, version):
        return self.node.apply("docker", install_docker=self.want(version))

    def run(self, *arguments, check=True):
        done = self.node.run("docker", *arguments)
        if check and done.returncode != 0:
            raise Failed(f"docker {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    def version(self):
        return self.run("version", "--format", "{{.Server.Version}}")

    def info(self):
        return json.loads(self.run("info", "--format", "{{json .}}"))

    def pid(self):
        return int(self.node.read("run/docker-of-roads.pid"))

    def configure(self, **settings):
        self.node.write("etc/docker/daemon.json", json.dumps({**SETTINGS, **settings}))

    def clear(self):
        """No container stays behind: with live-restore one outlives its daemon."""
        if self.node.exists("run/docker-of-roads.pid"):
            for name in self.run("ps", "-aq", check=False).split():
                self.run("rm", "-f", name, check=False)


class Container:
    """A container that somebody else started, with the programs of the node."""

    def __init__(self, docker, name, *flags):
        self.docker, self.name = docker, name
        docker.run("run", "-d", "--name", name, "--network", "host", "-v", "/usr:/usr:ro", "--stop-signal", "KILL", *flags, "layer:roads", "/usr/bin/sleep", "600")

    def state(self):
        return json.loads(self.docker.run("inspect", "--format", "{{json .State}}", self.name))

    def pid(self):
        return self.state()["Pid"]


def make_image(docker, work):
    layer = work / "layer"
    for folder in ("usr", "etc", "proc", "sys", "dev", "tmp"):
        (layer / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (layer / name).symlink_to(f"usr/{name}")
    subprocess.run(["tar", "-C", layer, "-cf", docker.node.root / "root/layer.tar", "."], check=True)
    docker.run("import", "/root/layer.tar", "layer:roads")


def said(outcome, words):
    return next((line for line in outcome.lines if words in line), "")


def keeps_what_runs(checks, docker, work):
    former, newer = docker.archives
    docker.configure(**{"live-restore": True})
    outcome = docker.install(former)
    checks.that("the static archive: programs, unit, daemon", outcome.succeeded and docker.version().startswith(former), outcome, docker.version())
    make_image(docker, work)
    kept, anew = Container(docker, KEPT), Container(docker, ANEW, "--restart", "always")
    before, daemon = (kept.pid(), anew.pid()), docker.pid()
    checks.that("two containers of somebody else's run", all(before), before)

    outcome = docker.install(newer)
    checks.that("with live-restore the upgrade gives the new version", outcome.succeeded and docker.version().startswith(newer)
                and docker.pid() != daemon, outcome, docker.version())
    checks.that("its containers keep their pids", (kept.pid(), anew.pid()) == before, f"{before} before, {kept.state()} {anew.state()}", str(before))
    line = said(outcome, "go on while Docker restarts")
    checks.that("the log names them before the restart", KEPT in line and ANEW in line and "live-restore" in line, outcome, line)
    checks.that("and what went on after it", KEPT in said(outcome, "went on through the restart"), outcome, said(outcome, "went on through"))
    again = docker.install(newer)
    checks.that("a second time nothing is done", again.succeeded and not again.operation.get("changed"), again)

    docker.configure(**{"live-restore": False})
    os.kill(docker.pid(), signal.SIGHUP)
    until(lambda: not docker.info()["LiveRestoreEnabled"], 20, "dockerd to read its daemon.json again")
    outcome = docker.install(former)
    checks.that("without live-restore the other version answers, too", outcome.succeeded and docker.version().startswith(former), outcome)
    line = said(outcome, "end as Docker restarts")
    checks.that("the log names the containers that end, before the restart", KEPT in line and "live-restore is off" in line and "restart policy" in line,
                outcome, line)
    until(lambda: anew.pid() not in (0, before[1]), 30, f"{ANEW} to run again")
    checks.that("they end, and only the one with a restart policy comes back", not kept.state()["Running"], kept.state())
    checks.that("the log says so afterwards", KEPT in said(outcome, "ended with the restart"), outcome, said(outcome, "ended with the restart"))


def run(checks, build, work):
    if reason := cannot():
        return checks.skip("docker_upgrade", reason)
    archives = make_archives(work / "served")
    origin = Origin(work, work / "served")
    try:
        with dist.DistributionNode(build, work, dist.DEBIAN, "", "apt") as node:
            docker = Docker(node, origin, archives)
            try:
                keeps_what_runs(checks, docker, work)
            finally:
                docker.clear()
    finally:
        origin.end()
    return None
