"""Runbook 3.1: the image, from an archive or from a registry with TLS and a login, in the operator's order."""
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile

from parts import docker
from parts.node import Node
from parts.origin import Origin

NAME = "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler"
USER, PASSWORD = "ascend", "pw-4f1d9c"


def for_another_machine(source, target, tag):
    """The archive of docker save, with another architecture in its image's configuration, and its name."""
    with tarfile.open(source) as archive:
        members = [(member, archive.extractfile(member).read() if member.isfile() else None) for member in archive.getmembers()]
    contents = {member.name: content for member, content in members}
    manifest = json.loads(contents["manifest.json"])
    old = manifest[0]["Config"]
    config = json.dumps({**json.loads(contents[old]), "architecture": "s390x"}).encode()
    manifest[0] |= {"Config": f"{hashlib.sha256(config).hexdigest()}.json", "RepoTags": [tag]}
    with tarfile.open(target, "w") as archive:
        for member, content in members:
            if member.name == "repositories":
                continue
            if member.name == old:
                member.name, content = manifest[0]["Config"], config
            if member.name == "manifest.json":
                content = json.dumps(manifest).encode()
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content) if content is not None else None)


def make_contents(work, daemon, registry):
    """Two images, for this machine and for another, pushed and saved; the daemon forgets them again."""
    served = work / "served/images"
    served.mkdir(parents=True)
    rootfs = work / "rootfs"
    rootfs.mkdir()
    (rootfs / "hello").write_text("vllm-ascend of the roads\n" * 1000)
    subprocess.run(["tar", "-C", rootfs, "-cf", work / "rootfs.tar", "."], check=True)
    daemon.run("import", work / "rootfs.tar", f"{registry.name}/ascend/vllm:good")
    daemon.run("tag", f"{registry.name}/ascend/vllm:good", "vllm-ascend:0.8.4rc2")
    daemon.run("save", "-o", served / "good.tar", "vllm-ascend:0.8.4rc2")
    for_another_machine(served / "good.tar", served / "other.tar", "vllm-ascend:other")
    daemon.run("load", "-i", served / "other.tar")
    daemon.run("tag", "vllm-ascend:other", f"{registry.name}/ascend/vllm:other")
    for name in ("good", "other"):
        with open(served / f"{name}.tar", "rb") as plain, gzip.open(served / f"{name}.tar.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
    whole = (served / "good.tar").read_bytes()
    (served / "cut.tar").write_bytes(whole[:len(whole) // 2])
    (served / "none.tar.gz").write_bytes(gzip.compress(b"not an archive of docker save"))
    daemon.run("login", registry.name, "-u", USER, "-p", PASSWORD)
    for tag in ("good", "other"):
        daemon.run("push", f"{registry.name}/ascend/vllm:{tag}")
    registry.put_list("ascend/vllm", "list", "other", "s390x")
    ids = {tag: daemon.id(f"{registry.name}/ascend/vllm:{tag}") for tag in ("good", "other")}
    daemon.forget()
    return ids


def archives(checks, node, daemon, origin, ids):
    def load(path, **more):
        source = {"archive": {**origin.artifact(f"images/{path}"), **more}}
        return node.apply("image", load_image={"name": NAME, "sources": [source]})
    for path in ("good.tar.gz", "good.tar"):
        outcome = load(path)
        checks.succeeds(f"{path} is loaded and named as the runbook does", outcome, ids["good"])
        checks.that(f"nothing of {path} stays on the disk", not list((node.root / "var/lib/npufleet/agent/artifacts").glob("good*")))
        daemon.forget()
    origin.fault("/images/good.tar", "cut", bytes=700)
    checks.succeeds("a cut download goes on where it was", load("good.tar"), ids["good"])
    daemon.forget()
    for path in ("other.tar", "other.tar.gz"):
        checks.fails(f"{path} is of another architecture", load(path), "CONFIG", "s390x", signature="IMG-07")
    checks.that("an archive of another architecture was not loaded", not daemon.names(), daemon.names())
    checks.fails("an archive of other bytes than announced", load("good.tar", sha256="0" * 64), "CONFIG", "sha256")
    checks.fails("half an archive", load("cut.tar"), "TRANSIENT", signature="IMG-08")
    checks.that("half an archive leaves no name", NAME not in daemon.names(), daemon.names())
    outcome = load("none.tar.gz")
    checks.that("what is no archive is said so", not outcome.succeeded and outcome.failure.get("advice"), outcome, outcome.failure.get("symptom", ""))
    outcome = node.apply("image", load_image={"name": NAME, "sources": [{"archive": {"url": f"{origin.url}/images/gone.tar", "sha256": "0" * 64}}]})
    checks.fails("an archive that is not there", outcome, "CONFIG", "HTTP 404")
    local = node.write("data/docker_images/good.tar", (origin.directory / "images/good.tar").read_bytes())
    outcome = node.apply("image", load_image={"name": NAME, "sources": [{"archive": {"url": "/data/docker_images/good.tar"}}]})
    checks.succeeds("an archive on the node is loaded in its place", outcome, ids["good"])
    checks.that("the operator's own archive stays", local.exists())
    daemon.forget()


def registries(checks, node, daemon, registry, strange, ids):
    repository = f"{registry.name}/ascend/vllm"
    node.write("root/logins.json", docker.login_file(registry.name, USER, PASSWORD), 0o600)

    def pull(reference, file="/root/logins.json", **more):
        return node.apply("image", load_image={"name": NAME, "sources": [{"registry": reference}], "credentials_file": file, **more})
    outcome = pull(f"{repository}:good")
    checks.succeeds("pulled over TLS with a login, and named as the runbook does", outcome, ids["good"])
    checks.that("the log says where it logged in", f"logged in at {registry.name}" in outcome.text, outcome)
    daemon.forget()
    node.write("root/.docker/config.json", docker.login_file(registry.name, USER, PASSWORD), 0o600)
    checks.succeeds("the login that docker login left is used", pull(f"{repository}:good", ""), ids["good"])
    (node.root / "root/.docker/config.json").unlink()
    daemon.forget()
    checks.succeeds("pinned by digest", pull(f"{repository}@{registry.digest('ascend/vllm', 'good')}"), ids["good"])
    daemon.forget()
    checks.succeeds("pinned by id", pull(f"{repository}:good", id=ids["good"]), ids["good"])
    daemon.forget()
    checks.fails("another id than the pinned one", pull(f"{repository}:good", id="sha256:" + "a" * 64), "CONFIG", ids["good"])
    checks.that("nothing of an image with another id stays", not daemon.names(), daemon.names())
    checks.fails("a tag that is not there", pull(f"{repository}:gone"), "CONFIG", signature="IMG-05")
    checks.fails("an image of another architecture", pull(f"{repository}:other"), "CONFIG", "s390x", signature="IMG-07")
    checks.fails("a list of manifests without this architecture", pull(f"{repository}:list"), "CONFIG", "s390x", signature="IMG-07")
    node.write("root/wrong.json", docker.login_file(registry.name, USER, "pw-wrong"), 0o600)
    checks.fails("a wrong password", pull(f"{repository}:good", "/root/wrong.json"), "CONFIG", signature="IMG-04")
    checks.fails("no login", pull(f"{repository}:good", ""), "CONFIG", signature="IMG-04")
    node.write("root/open.json", docker.login_file(registry.name, USER, PASSWORD), 0o644)
    checks.fails("a login that others may read", pull(f"{repository}:good", "/root/open.json"), "CONFIG", "chmod 0600")
    checks.fails("a login file that is not there", pull(f"{repository}:good", "/root/gone.json"), "CONFIG", "/root/gone.json")
    checks.fails("a certificate of a CA that nobody trusts", pull(f"{strange.name}/ascend/vllm:good"), "CONFIG", "x509", signature="IMG-10")
    checks.that("no failed pull left anything", not daemon.names(), daemon.names())


def in_order(checks, node, daemon, origin, registry, strange, ids):
    sources = [{"archive": {"url": f"{origin.url}/images/gone.tar", "sha256": "0" * 64}}, {"obs": "obs://docker/vllm-ascend.tar.gz"},
               {"registry": f"{strange.name}/ascend/vllm:good"}, {"registry": f"{registry.name}/ascend/vllm:gone"},
               {"archive": origin.artifact("images/other.tar.gz")}, {"registry": f"{registry.name}/ascend/vllm:good"},
               {"archive": origin.artifact("images/good.tar.gz")}]
    load = {"name": NAME, "sources": sources, "credentials_file": "/root/logins.json"}
    outcome = node.apply("image", load_image=load)
    checks.succeeds("the first source that works is taken", outcome, ids["good"])
    reasons = ("HTTP 404", "obsutil", "x509", "manifest unknown", "s390x")
    checks.that("the reason for each skip is kept", all(word in outcome.text for word in reasons), outcome)
    checks.that("what comes after the one that worked is not fetched", not any("good.tar.gz" in item["path"] for item in origin.requests()[-3:]))
    again = node.apply("image", load_image=load)
    checks.that("a second time nothing is done", again.succeeded and not again.operation.get("changed"), again)
    checks.that("it is present for a Check", node.check("image", load_image=load).get("state") == "PRESENT")
    daemon.forget()
    outcome = node.apply("image", load_image={**load, "sources": sources[:5]})
    checks.fails("when none works, each reason is told", outcome, "CONFIG", *reasons)
    registry.end()
    outcome = node.apply("image", load_image={**load, "sources": [sources[5]]})
    checks.fails("a registry that is down", outcome, "TRANSIENT", "refused")
    registry.start()


def run(checks, build, work):
    if reason := docker.cannot():
        return checks.skip("images", reason)
    ours, strangers = docker.make_authority(work, "ours"), docker.make_authority(work, "strangers")
    with docker.Address(), Node(build, work) as node:
        registry = docker.Registry(work, "registry", ours, USER, PASSWORD)
        strange = docker.Registry(work, "strange", strangers)
        daemon = docker.Dockerd(work, node, ours[0])
        origin = None
        try:
            ids = make_contents(work, daemon, registry)
            origin = Origin(work, work / "served", "images-origin")
            archives(checks, node, daemon, origin, ids)
            registries(checks, node, daemon, registry, strange, ids)
            in_order(checks, node, daemon, origin, registry, strange, ids)
            kept = subprocess.run(["grep", "-rl", PASSWORD, node.root / "var", node.agent.log], capture_output=True, text=True, check=False).stdout
            checks.that("the password is in no log and no file of the agent", not kept, kept)
        finally:
            for program in (origin, daemon, registry, strange):
                if program:
                    program.end()
    return None
