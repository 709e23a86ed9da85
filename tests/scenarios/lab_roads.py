#!/usr/bin/env python3
"""The runbook's other roads in the lab: rpm systems, packages and Docker by dnf, the image from a registry, the model from Hugging Face.

  lab_roads.py --build BUILD_DIR [--engine quick|real] [--chips N] [--keep]

lab.py is the rollout by static tgz, archive and ModelScope. Exit status 3: this machine cannot boot nodes.
"""
import base64
import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path

import checks as check
from lab import in_the_lab, options_of
from scenario import DIRECT, NAME as ROLLOUT, TREE, LabFleet

sys.path.append(str(TREE / "tests"))
from parts import registry  # noqa: E402
from real import secrets  # noqa: E402

ORIGIN = "http://198.18.77.1:8000"
REGISTRY, NAME = "198.18.77.1:5000/ascend/vllm-ascend", "quay.io/ascend/vllm-ascend:v0.9.1"
MODEL = "Qwen3-235B-A22B"


HUB_TOKEN, TOKEN_FILE = "hub-token-of-the-lab-5d20c4", "/root/hub-token"
# As the operator wrote them, and as Docker's login files and headers have the login.
SECRETS = (HUB_TOKEN, registry.PASSWORD, base64.b64encode(f"{registry.USER}:{registry.PASSWORD}".encode()).decode())


class RpmFleet(LabFleet):
    system = "openeuler"
    roads = ("packages", "registry", "huggingFace")

    def up(self):
        super().up()
        for node in self.node_names:
            file = self.root(node) / TOKEN_FILE[1:]
            file.touch(0o600)
            file.write_text(f"{HUB_TOKEN}\n", encoding="utf-8")
        for path in ("/api/models/*", "*/resolve/*"):
            body = json.dumps({"path": path, "fault": "login", "token": HUB_TOKEN, "times": 0}).encode()
            with DIRECT.open(urllib.request.Request(f"{ORIGIN}/_control/faults", body, method="POST"), timeout=20):
                pass

    def spec(self, *arguments):
        """With the hub's token, without which this hub gives nothing."""
        endpoint = f"          endpoint: {ORIGIN}\n"
        return super().spec(*arguments).replace(endpoint, f"{endpoint}          tokenFile: {TOKEN_FILE}\n")


def requests():
    """What the origin was asked for since it is up."""
    with DIRECT.open(f"{ORIGIN}/_control/requests", timeout=20) as answer:
        return json.load(answer)["requests"]


def asked():
    return [request["path"] for request in requests()]


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


def secrets_stay_secret(fleet, checks, watch):
    """The hub's token and the registry's password are where the operator wrote them, and nowhere else."""
    telling = watch.telling(SECRETS)
    checks.that("no program had a secret in its arguments", len(watch.argvs) > 100 and not telling, telling, f"{len(watch.argvs)} programs started")
    for node in fleet.node_names:
        # The store, its backups, the journals and states of both programs; what they and dockerd logged.
        folders = ("var/lib/npufleet", "etc/npufleet", "var/log", "tmp", "run", "data2", "var/lib/docker/containers", "var/lib/docker/image")
        paths = [path for path in (fleet.root(node) / folder for folder in folders) if path.exists()]
        stored = [path for path in paths if path.name == "npufleet"]
        kept = secrets.holding(SECRETS, *paths)
        checks.that(f"{node}: no secret in what the programs keep and log", stored and not kept, kept, f"{len(paths)} folders")
        journal = fleet.do(node, "journalctl", "--no-pager", "--quiet", "--output=cat")
        checks.that(f"{node}: nor in its journal", journal and not any(secret in journal for secret in SECRETS), f"{len(journal)} characters")
    for command in (("events", ROLLOUT, "-o", "json"), ("status", ROLLOUT, "-o", "json"), ("history", ROLLOUT, "-o", "json")):
        said = fleet.ctl("rollout", *command, check=0).stdout
        checks.that(f"nor in what ctl rollout {command[0]} prints", said and not any(secret in said for secret in SECRETS), said[:300])
    sent = [item for item in requests() if item.get("authorization")]
    checks.that("the token was sent to the hub, and only there", sent and all("/resolve/" in item["path"] or item["path"].startswith("/api/models/")
                                                                            for item in sent), sent[:3], f"{len(sent)} requests")


def roll_out(fleet, checks):
    with secrets.Watch() as watch:
        served = check.first_rollout(fleet, checks)
    if served:
        secrets_stay_secret(fleet, checks, watch)
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
