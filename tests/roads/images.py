"""Runbook 3.1: the image, from an archive, from the object store or from a registry with TLS and a login, in the operator's order."""
import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile

from real import secrets

from parts import docker, obs
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
    (served / "page.tar.gz").write_bytes(b"<!DOCTYPE html><title>Login</title>\n" * 40)
    (served / "void.tar").write_bytes(b"")
    subprocess.run(["tar", "-C", rootfs, "-czf", served / "files.tar.gz", "."], check=True)
    (rootfs / "manifest.json").write_text("[]")
    subprocess.run(["tar", "-C", rootfs, "-cf", served / "no-image.tar", "."], check=True)
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
    outcome = node.apply("image", load_image={"name": NAME, "sources": [{"archive": {"url": f"{origin.url}/images/gone.tar", "sha256": "0" * 64}}]})
    checks.fails("an archive that is not there", outcome, "CONFIG", "HTTP 404")
    local = node.write("data/docker_images/good.tar", (origin.directory / "images/good.tar").read_bytes())
    outcome = node.apply("image", load_image={"name": NAME, "sources": [{"archive": {"url": "/data/docker_images/good.tar"}}]})
    checks.succeeds("an archive on the node is loaded in its place", outcome, ids["good"])
    checks.that("the operator's own archive stays", local.exists())
    daemon.forget()


def no_archives(checks, node, daemon, origin):
    """What is no archive of docker save: a person must name another file, whatever the tags say."""
    for path, what in (("none.tar.gz", "text that gzip packed"), ("page.tar.gz", "a page with the name of an archive"), ("void.tar", "an empty file"),
                       ("files.tar.gz", "a tar of files, which docker import would take"), ("no-image.tar", "an archive without an image")):
        outcome = node.apply("image", load_image={"name": NAME, "sources": [{"archive": origin.artifact(f"images/{path}")}]})
        checks.fails(f"{what} ({path})", outcome, "CONFIG", path)
        failure = outcome.failure
        matched = failure.get("symptom", "") and [line for line in failure.get("log_tail", []) if failure["symptom"][-30:] in line or line in failure["symptom"]]
        checks.that(f"{path}: its signature names the line that matched", failure.get("signature", "").startswith("IMG-") and matched, failure)
        left = list((node.root / "var/lib/npufleet/agent/artifacts").glob(f"{path.partition('.')[0]}*"))
        checks.that(f"{path}: no image and no file is left of it", not daemon.names() and not left, f"{daemon.names()} {left}")


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


def by_obs(checks, node, daemon, origin, work, ids):
    store = obs.Store(work, work / "store")
    try:
        for name in ("good.tar.gz", "other.tar.gz"):
            store.put("docker", f"images/{name}", origin.directory / "images" / name)
        obs.pack(origin.directory / "obsutil.tar.gz", "5.7.3")
        outcome = node.apply("obsutil", install_obsutil={"version": "5.7.3", "archive": origin.artifact("obsutil.tar.gz")})
        checks.succeeds("obsutil is installed by its verb", outcome, "5.7.3")
        with obs.watch() as watch:
            objects(checks, node, daemon, origin, store, ids)
        keys_stay_secret(checks, node, daemon, watch)
    finally:
        store.end()


def objects(checks, node, daemon, origin, store, ids):
    agent = node.root / "var/lib/npufleet/agent"
    good, gone = "obs://docker/images/good.tar.gz", "obs://docker/images/gone.tar.gz"
    access = obs.access(store, node)

    def want(*sources, keys=access):
        return {"name": NAME, "sources": list(sources), "obs": keys}

    def load(*sources, **more):
        return node.apply("image", load_image=want(*sources, **more))

    def left():
        return [str(file) for file in (*(agent / "artifacts").glob("obs-*"), *(agent / "obsutil/config").glob("*"))] + sorted(daemon.names())
    outcome = load({"obs": good})
    checks.succeeds("by obs: an archive of the object store is loaded", outcome, ids["good"])
    checks.that("by obs: it came by obsutil into a file of its own", "obs-good.tar.gz" in outcome.text and len(obs.records(node)) == 1, outcome)
    checks.that("by obs: it is named as the runbook does", NAME in daemon.names() and daemon.id(NAME) == ids["good"]
                and f"docker tag vllm-ascend:0.8.4rc2 {NAME}" in outcome.text, outcome)
    checks.that("by obs: nothing but the image stays", left() == sorted(daemon.names()), left())
    again = load({"obs": good})
    checks.that("by obs: a second time nothing is fetched", again.succeeded and not again.operation.get("changed") and len(obs.records(node)) == 1, again)
    daemon.forget()
    checks.fails("by obs: an archive of another architecture", load({"obs": "obs://docker/images/other.tar.gz"}), "CONFIG", "s390x", signature="IMG-07")
    checks.that("by obs: nothing of another architecture is left", not left(), left())
    whole = (origin.directory / "images/good.tar").read_bytes()
    store.put("docker", "images/cut.tar", whole[:len(whole) // 2])
    checks.fails("by obs: half an archive", load({"obs": "obs://docker/images/cut.tar"}), "TRANSIENT", signature="IMG-08")
    checks.that("by obs: nothing of half an archive is left", not left(), left())
    wrong = obs.access(store, node, "wrong.keys", secret="sk-wrong")
    checks.fails("by obs: a wrong secret key", load({"obs": good}, keys=wrong), "CONFIG", "SignatureDoesNotMatch",
                 "OBS refuses: check the keys, the endpoint and the clock.", signature="MOD-14")
    checks.that("by obs: nothing is left without the right key", not left(), left())
    checks.fails("by obs: an object that is not there", load({"obs": gone}), "CONFIG", "NoSuchKey", "Correct the obs source")
    outcome = load({"obs": gone}, {"archive": origin.artifact("images/good.tar.gz")})
    checks.succeeds("by obs: after an object that is not there comes the next source", outcome, ids["good"])
    checks.that("by obs: the reason for the skip is kept", f"{gone}: obsutil cp {gone} ended with status 1" in outcome.lines
                and any("NoSuchKey" in line for line in outcome.lines), outcome)
    daemon.forget()


def keys_stay_secret(checks, node, daemon, watch):
    records = obs.records(node)
    argvs = watch.argvs | {" ".join(record["argv"]) for record in records}
    checks.that("by obs: programs were seen at work, obsutil among them", records and any("obsutil cp obs://" in argv for argv in watch.argvs),
                f"{len(argvs)} command lines, none of obsutil")
    telling = [argv for argv in argvs if obs.ACCESS_KEY in argv or obs.SECRET_KEY in argv]
    checks.that("by obs: the keys are in no argv", not telling, telling)
    checks.that("by obs: each obsutil had its keys in a file of mode 0600", all(record["mode"] == "0o600" for record in records), records)
    kept = obs.holding_keys(node.root / "var", node.root / "etc", node.agent.log)
    checks.that("by obs: the keys are in no log, journal and state of the agent", not kept, kept)
    kept = obs.holding_keys(*(item for item in daemon.folder.iterdir() if item != daemon.bin))
    checks.that("by obs: the keys are in no configuration, log and data of the daemon", not kept, kept)
    kept = set(obs.holding_keys(node.root).split())
    written = {str(file) for file in (node.root / "root").glob("*.keys")}
    checks.that("by obs: they are where the operator wrote them, and nowhere else", kept == written, kept)


def password_stays_secret(checks, node, daemon, watch):
    # As the operator wrote it, and as Docker's login files and headers have it.
    words = (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    kept = secrets.holding(words, *(node.root / folder for folder in ("var", "etc", "tmp", "run")), node.agent.log)
    checks.that("the registry's password is in no log, journal and state of the agent", not kept, kept)
    kept = secrets.holding(words, *(item for item in daemon.folder.iterdir() if item.name not in ("bin", "config")))
    checks.that("nor in what the daemon keeps", not kept, kept)
    telling = watch.telling(words)
    checks.that("nor in the arguments of a program", not telling, telling, f"{len(watch.argvs)} programs started")


def in_order(checks, node, daemon, origin, registry, strange, ids):
    sources = [{"archive": {"url": f"{origin.url}/images/gone.tar", "sha256": "0" * 64}}, {"obs": "obs://docker/vllm-ascend.tar.gz"},
               {"registry": f"{strange.name}/ascend/vllm:good"}, {"registry": f"{registry.name}/ascend/vllm:gone"},
               {"archive": origin.artifact("images/other.tar.gz")}, {"registry": f"{registry.name}/ascend/vllm:good"},
               {"archive": origin.artifact("images/good.tar.gz")}]
    load = {"name": NAME, "sources": sources, "credentials_file": "/root/logins.json"}
    earlier = len(origin.requests())
    outcome = node.apply("image", load_image=load)
    checks.succeeds("the first source that works is taken", outcome, ids["good"])
    reasons = ("HTTP 404", "obsutil", "x509", "manifest unknown", "s390x")
    checks.that("the reason for each skip is kept", all(word in outcome.text for word in reasons), outcome)
    asked = [item["path"] for item in origin.requests()[earlier:]]
    checks.that("what comes after the one that worked is not fetched", "/images/gone.tar" in asked and "/images/good.tar.gz" not in asked, asked)
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
            no_archives(checks, node, daemon, origin)
            with secrets.Watch() as watch:
                registries(checks, node, daemon, registry, strange, ids)
            by_obs(checks, node, daemon, origin, work, ids)
            in_order(checks, node, daemon, origin, registry, strange, ids)
            password_stays_secret(checks, node, daemon, watch)
        finally:
            for program in (origin, daemon, registry, strange):
                if program:
                    program.end()
    return None
