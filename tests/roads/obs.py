"""Runbook 2.3 and the obs lines of 3.2: obsutil by version, keys by reference, a model from the object store."""
import json
import shutil

import models
from parts import obs
from parts.node import Node
from parts.origin import Origin

PATH, URL = models.PATH, "obs://bigmodel/Qwen3-235B-A22B/"


def installs(checks, node, origin):
    def install(version, archive):
        return node.apply("obsutil", install_obsutil={"version": version, "archive": origin.artifact(archive)})
    program = node.root / "usr/local/bin/obsutil"
    checks.that("a bare node has no obsutil", node.check("obsutil", install_obsutil={"version": "5.7.3", "archive": origin.artifact("a/good.tar.gz")})
                .get("state") == "ABSENT")
    checks.fails("an archive of another version", install("5.7.3", "a/newer.tar.gz"), "CONFIG", "5.8.0", "5.7.3")
    checks.fails("an archive without obsutil", install("5.7.3", "a/none.tar.gz"), "CONFIG", "holds no obsutil")
    checks.fails("what is no archive", install("5.7.3", "a/page.tar.gz"), "CONFIG", "tar cannot unpack")
    checks.that("nothing half installed", not program.exists() and not list(program.parent.glob(".npufleet*")))
    checks.succeeds("installed by version", install("5.7.3", "a/good.tar.gz"), "5.7.3")
    again = install("5.7.3", "a/good.tar.gz")
    checks.that("a second time nothing is done", again.succeeded and not again.operation.get("changed"), again)
    checks.succeeds("another version takes its place", install("5.8.0", "a/newer.tar.gz"), "5.8.0")
    checks.succeeds("and back", install("5.7.3", "a/good.tar.gz"), "5.7.3")


def downloads(checks, node, store, origin, wanted):
    def fetch(access, url=URL):
        return node.apply("model", fetch_model={"path": PATH, "sources": [{"obs": url}], **({"obs": access} if access else {})})
    good = obs.access(store, node)
    outcome = fetch(good)
    checks.succeeds("a model from the object store", outcome)
    checks.that("byte for byte the same", models.files_of(node.root / PATH[1:]) == wanted, models.files_of(node.root / PATH[1:]))
    models.fresh(node)
    by_hub = models.fetch(node, models.source("modelscope", origin))
    checks.that("it is the same manifest as from a hub", by_hub.observation.get("token") == outcome.observation.get("token") != "", by_hub)
    models.fresh(node)
    checks.fails("a wrong secret key", fetch(obs.access(store, node, "wrong", secret="sk-wrong")), "CONFIG", "SignatureDoesNotMatch", signature="MOD-14")
    checks.fails("a wrong access key", fetch(obs.access(store, node, "wrong", key="AKWRONG")), "CONFIG", "InvalidAccessKeyId", signature="MOD-14")
    checks.fails("keys that others may read", fetch(obs.access(store, node, "open", mode=0o644)), "CONFIG", "chmod 0600")
    checks.fails("keys that are not there", fetch({**good, "credentials_file": "/root/gone"}), "CONFIG", "/root/gone")
    node.write("root/half", f"ak={obs.ACCESS_KEY}\n", 0o600)
    checks.fails("only half of the keys", fetch({**good, "credentials_file": "/root/half"}), "CONFIG", "sk=")
    checks.fails("a prefix without objects", fetch(good, "obs://bigmodel/Gone/"), "CONFIG", "NoSuchKey")
    checks.fails("an object store that is down", fetch({**good, "endpoint": "http://127.0.0.1:9"}), "TRANSIENT", "refused")
    checks.fails("a spec without obsutil", fetch(None), "CONFIG", "spec.obsutil")
    checks.that("no failure left a model", node.check("model", fetch_model={"path": PATH, "sources": [{"obs": URL}]}).get("state") == "ABSENT")
    shard = "/bigmodel/Qwen3-235B-A22B/model-00002-of-00002.safetensors"
    store.put("", "faults.json", json.dumps({shard: 500}).encode())
    checks.fails("one object of many fails", fetch(good), "TRANSIENT", "Status [500]")
    checks.that("half a folder is no model", node.check("model", fetch_model={"path": PATH, "sources": [{"obs": URL}]}).get("state") == "ABSENT")
    (store.directory / "faults.json").unlink()
    outcome = fetch(good)
    checks.that("the next try fetches only what is missing", outcome.succeeded and outcome.text.count("Skip to download") == len(wanted) - 1, outcome)
    program = node.root / "usr/local/bin/obsutil"
    program.rename(program.with_name("moved"))
    models.fresh(node)
    failed = fetch(good)
    checks.that("without obsutil its stage is done again", failed.failure.get("redo_stage") == "obsutil", failed)


def keeps_secrets(checks, node):
    records = obs.records(node)
    checks.that("the keys reach obsutil in a file of mode 0600", records and all(record["mode"] == "0o600" for record in records), records[:1])
    checks.that("the keys are in no argv", not any(secret in json.dumps(records) for secret in (obs.ACCESS_KEY, obs.SECRET_KEY)), records[:1])
    checks.that("that file is gone afterwards", not list((node.root / "var/lib/npufleet/agent/obsutil/config").glob("*")))
    kept = obs.holding_keys(*(node.root / folder for folder in ("var", "etc", "data2")), node.agent.log)
    checks.that("the keys are in no log, event, journal and file of the agent", not kept, kept)


def run(checks, build, work):
    wanted = models.make_model(work / "served/models" / models.ID)
    shutil.copytree(work / "served/models" / models.ID, work / "store/bigmodel/Qwen3-235B-A22B")
    for name, version, program in (("good", "5.7.3", "obsutil"), ("newer", "5.8.0", "obsutil"), ("none", "5.7.3", "other")):
        obs.pack(work / f"served/a/{name}.tar.gz", version, program)
    (work / "served/a/page.tar.gz").write_text("<html>log in</html>")
    origin = Origin(work, work / "served")
    store = obs.Store(work, work / "store")
    try:
        with Node(build, work) as node:
            installs(checks, node, origin)
            downloads(checks, node, store, origin, wanted)
            keeps_secrets(checks, node)
    finally:
        origin.end()
        store.end()
