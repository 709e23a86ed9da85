"""Runbook 2.2: the Ascend Docker runtime beside a user's own daemon.json, its licence, and one restart of a real dockerd."""
import json
import os
import shutil
import subprocess
import sys

from docker_upgrade import SETTINGS, Docker, cannot
from parts import distribution as dist
from parts.node import doubles
from parts.origin import Origin

VERSION = "6.0.0"
MIRROR = "https://mirror.roads.example/"
# Of the user's: none of it may be lost.
USERS = {**SETTINGS, "registry-mirrors": [MIRROR], "runtimes": {"second": {"path": "/usr/bin/runc"}}, "log-opts": {"max-size": "50m"}}


def restarts(node):
    return node.read("run/systemctl.log").count("restart docker.service")


def eula_and_keys(checks, docker, origin, installer):
    node = docker.node

    def runtime(**more):
        return {"version": VERSION, "installer": origin.artifact(installer), **more}
    docker.configure(**USERS)
    former = next(iter(docker.archives))
    checks.succeeds("Docker with a user's daemon.json", docker.install(former))
    daemon = docker.pid()
    node.write("var/lib/npufleet-doubles/faults.json", json.dumps({"runtime.eula": "yes"}))

    refused = node.apply("runtime", install_runtime=runtime())
    checks.fails("an installer that asks for its licence, without acceptEula", refused, "CONFIG", "acceptEula", signature="RTM-01")
    state = node.check("runtime", install_runtime=runtime())
    checks.that("nothing counts as installed", state.get("state") == "ABSENT", state, state.get("reason", ""))
    checks.that("daemon.json and dockerd are as they were", json.loads(node.read("etc/docker/daemon.json")) == USERS and docker.pid() == daemon)

    want = runtime(accept_eula=True)
    outcome = node.apply("runtime", install_runtime=want)
    checks.succeeds("with acceptEula it is installed", outcome)
    state = node.check("runtime", install_runtime=want)
    checks.that("and PRESENT", state.get("state") == "PRESENT" and state.get("token", "").startswith(VERSION), state, state.get("token", ""))
    merged = json.loads(node.read("etc/docker/daemon.json"))
    ascend = merged["runtimes"].pop("ascend", {})
    checks.that("daemon.json: all keys of the user's, and ours", {key: merged[key] for key in USERS} == USERS and merged["default-runtime"] == "ascend"
                and ascend.get("path") == "/usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime", merged)
    info = docker.info()
    checks.that("docker info: the mirror", info["RegistryConfig"]["Mirrors"] == [MIRROR], info["RegistryConfig"])
    checks.that("docker info: the second runtime, and ascend by default", {"second", "ascend", "runc"} <= set(info["Runtimes"])
                and info["DefaultRuntime"] == "ascend", info["Runtimes"], f"{sorted(info['Runtimes'])}, default {info['DefaultRuntime']}")
    checks.that("one restart for it", docker.pid() != daemon and restarts(node) == 1, node.read("run/systemctl.log"))

    daemon, text = docker.pid(), node.read("etc/docker/daemon.json")
    again = node.apply("runtime", install_runtime=want)
    checks.that("a second time no installer runs", again.succeeded and not again.operation.get("changed")
                and not any(".run" in line for line in again.lines), again)
    checks.that("dockerd keeps its pid, daemon.json its bytes", docker.pid() == daemon and node.read("etc/docker/daemon.json") == text
                and restarts(node) == 1, node.read("run/systemctl.log"), f"pid {daemon}")


def run(checks, build, work):
    if reason := cannot():
        return checks.skip("runtime", reason)
    served = work / "served"
    served.mkdir()
    packed = subprocess.run([sys.executable, doubles("make_run"), "runtime", "--version", VERSION, "--output", served], check=True, capture_output=True,
                            text=True).stdout.strip()
    version = (dist.base().parent / "docker.version").read_text().strip()
    shutil.copy(dist.base().parent / "docker.tgz", served / "docker.tgz")
    origin = Origin(work, served)
    try:
        with dist.DistributionNode(build, work, dist.DEBIAN, "", "apt") as node:
            eula_and_keys(checks, Docker(node, origin, {version: "docker.tgz"}), origin, os.path.basename(packed))
    finally:
        origin.end()
    return None
