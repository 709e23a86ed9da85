#!/usr/bin/env python3
"""The runbook's other roads in the lab: rpm systems, packages and Docker by dnf, the image from a registry, the model from Hugging Face.

  lab_roads.py --build BUILD_DIR [--engine quick|real] [--chips N] [--keep]

lab.py is the rollout by static tgz, archive and ModelScope. Exit status 3: this machine cannot boot nodes.
"""
import hashlib
import json
import os
import sys
from pathlib import Path

import checks as check
from lab import in_the_lab, options_of
from scenario import DIRECT, LabFleet

ORIGIN = "http://198.18.77.1:8000"
REGISTRY, NAME = "198.18.77.1:5000/ascend/vllm-ascend", "quay.io/ascend/vllm-ascend:v0.9.1"
MODEL = "Qwen3-235B-A22B"


class RpmFleet(LabFleet):
    system = "openeuler"
    roads = ("packages", "registry", "huggingFace")


def asked():
    """Every path that the origin was asked for since it is up."""
    with DIRECT.open(f"{ORIGIN}/_control/requests", timeout=20) as answer:
        return [request["path"] for request in json.load(answer)["requests"]]


def by_dnf(fleet, checks):
    names = ("wget", "docker-ce", "docker-ce-cli", "containerd.io")
    for node in fleet.node_names:
        token = fleet.tokens()[f"preflight@{node}"]
        log = fleet.do(node, "cat", "/var/log/dnf.log")
        commands = [line.partition(" Command: dnf ")[2].strip() for line in log.splitlines() if " Command: dnf " in line]
        wanted = ["update -y", "install -y wget", "install -y docker-ce docker-ce-cli containerd.io"]
        checks.that(f"{node}: dnf ran as in the runbook, each line once", commands == wanted, commands, "; ".join(f"dnf {command}" for command in commands))
        checks.that(f"{node} is an rpm system", token.startswith("openEuler 22.03"), token, token)
        said = fleet.do(node, "rpm", "-q", *names, check=False)
        checks.that(f"{node}: wget and Docker's three packages are installed", "not installed" not in said and len(said.split()) == len(names), said,
                    " ".join(said.split()))
        owner = fleet.do(node, "rpm", "-q", "--queryformat", "%{NAME}", "-f", "/usr/bin/dockerd", check=False)
        checks.that(f"{node}: dockerd is the package's", owner == "docker-ce", owner)
        units = fleet.do(node, "systemctl", "is-active", "docker.service", "docker.socket", "containerd.service", check=False).split()
        checks.that(f"{node}: the package's units run", units == ["active"] * 3, units)
    checks.that("no static archive of Docker was asked for", not [path for path in asked() if path.startswith("/docker/")], asked())


def by_registry(fleet, checks):
    for node in fleet.node_names:
        image = json.loads(fleet.do(node, "docker", "image", "inspect", NAME))[0]
        checks.that(f"{node}: the image came from the registry and has the runbook's name", {NAME, f"{REGISTRY}:v0.9.1"} <= set(image["RepoTags"])
                    and [digest for digest in image["RepoDigests"] if digest.startswith(f"{REGISTRY}@sha256:")],
                    f"{image['RepoTags']} {image['RepoDigests']}", " ".join(image["RepoDigests"]))
        container = json.loads(fleet.do(node, "docker", "container", "inspect", "vllm-server-qwen3-235b"))[0]
        checks.that(f"{node}: the container runs it", container["Image"] == image["Id"] == fleet.tokens()[f"image@{node}"], container["Image"])
    checks.that("no archive of an image was asked for", not [path for path in asked() if path.startswith("/images/")], asked())


def digests(folder):
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.startswith(".")}


def by_hugging_face(fleet, checks):
    wanted = digests(Path(os.environ.get("NPUFLEET_CACHE", "/var/cache/npufleet")) / "origin/models/Qwen" / MODEL)
    for node in fleet.node_names:
        got = digests(fleet.root(node) / "data2" / MODEL)
        checks.that(f"{node}: the model is the hub's, byte for byte", wanted and got == wanted, f"{got} instead of {wanted}", f"{len(got)} files")
    paths = asked()
    resolved = [path for path in paths if path.startswith(f"/Qwen/{MODEL}/resolve/")]
    checks.that("it came from Hugging Face", len(resolved) >= 2 * len(wanted), f"{paths}", f"{len(resolved)} files asked for")
    foreign = [path for path in paths if path.startswith("/api/v1/")]
    checks.that("ModelScope was never asked", not foreign, foreign)


def roll_out(fleet, checks):
    if check.first_rollout(fleet, checks):
        by_dnf(fleet, checks)
        by_registry(fleet, checks)
        by_hugging_face(fleet, checks)
        check.second_apply(fleet, checks)
        check.worker_reboot(fleet, checks)


def main():
    options = options_of(__doc__)
    return in_the_lab(options, RpmFleet(options.build, options.engine, options.chips), roll_out)


if __name__ == "__main__":
    sys.exit(main())
