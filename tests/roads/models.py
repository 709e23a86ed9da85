"""Runbook 3.2: the model, from each hub by its own HTTP API, on both nodes the same."""
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from parts.node import CACHE, Failed, Node
from parts.origin import Origin, sha256

ID = "Qwen/Qwen3-235B-A22B"
TOKEN = "hub-token-7c1e55"
PATH = "/data2/Qwen3-235B-A22B"
HUBS = {"modelscope": "/api/v1/models", "hugging_face": "/api/models", "modelers": "/api/v1/file"}
FILES = {"modelscope": "*FilePath=*", "hugging_face": "*/resolve/*", "modelers": "*/media/*"}


def make_model(folder):
    """A model of a few megabytes with two shards, their index and a folder in it; its bytes are the same each time."""
    folder.mkdir(parents=True)
    numbers = random.Random(235)
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in shards:
        (folder / name).write_bytes(numbers.randbytes(3 << 20))
    (folder / "config.json").write_text(json.dumps({"architectures": ["Qwen3MoeForCausalLM"], "名": "通义千问"}))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {f"layer.{i}": name for i, name in enumerate(shards)}}))
    (folder / "extra files").mkdir()
    (folder / "extra files/read me+more.txt").write_text("a path with a blank and a plus\n")
    return {str(file.relative_to(folder)): sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()}


def files_of(folder):
    """sha256 of what a client brought; its own notes beside the model left out."""
    return {str(file.relative_to(folder)): sha256(file) for file in sorted(Path(folder).rglob("*"))
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
            and file.relative_to(folder).parts[0] != "._____temp"}


def source(hub, origin, **more):
    return {hub: {"id": ID, "endpoint": origin.url, **more}}


def fetch(node, *sources, path=PATH):
    return node.apply("model", fetch_model={"path": path, "sources": list(sources), "parallel_files": 4})


def fresh(node, path=PATH):
    subprocess.run(["rm", "-rf", node.root / path.lstrip("/")], check=True)


def each_hub(checks, nodes, origin, wanted):
    digests = set()
    for hub in HUBS:
        for node in nodes:
            fresh(node)
            outcome = fetch(node, source(hub, origin))
            checks.succeeds(f"{hub}: a model on {node.name}", outcome)
            digests.add(outcome.observation.get("token"))
            checks.that(f"{hub}: byte for byte the same", files_of(node.root / PATH[1:]) == wanted, files_of(node.root / PATH[1:]))
    checks.that("from each hub and on both nodes it is the same manifest", len(digests) == 1 and None not in digests, digests)
    node = nodes[0]
    fresh(node)
    for hub in HUBS:
        shard = FILES[hub].replace("*FilePath=*", "*FilePath=model-00001*") if hub == "modelscope" else FILES[hub] + "model-00001*"
        origin.fault(shard, "cut", bytes=1 << 20)
        outcome = fetch(node, source(hub, origin))
        resumed = [item for item in origin.requests() if item["status"] == 206 and "model-00001" in item["path"]]
        checks.that(f"{hub}: a cut file goes on where it was", outcome.succeeded and resumed and resumed[-1]["range"] == f"bytes={1 << 20}-", outcome)
        origin.heal()
        fresh(node)


def local_directory(checks, node, origin, wanted):
    fresh(node)
    fetch(node, source("modelscope", origin))
    (node.root / PATH[1:] / ".npufleet-manifest.json").unlink()
    hub_token = fetch(node, source("modelscope", origin)).observation.get("token")
    (node.root / PATH[1:] / ".npufleet-manifest.json").unlink()
    outcome = fetch(node, {"local_directory": True})
    checks.succeeds("a directory that is there already is taken as it is, and is the same model", outcome, hub_token)
    shard = node.root / PATH[1:] / "model-00002-of-00002.safetensors"
    shard.unlink()
    checks.that("a lost shard is seen", node.check("model", fetch_model={"path": PATH, "sources": [{"local_directory": True}]}).get("state") == "ABSENT")
    checks.fails("a directory that lacks a shard of its index", fetch(node, {"local_directory": True}), "CONFIG", "model-00002", signature="MOD-12")
    fresh(node)
    checks.fails("a directory that is not there", fetch(node, {"local_directory": True}), "CONFIG", signature="MOD-12")


def tokens(checks, node, origin, stranger):
    node.write("root/token", f"{TOKEN}\n", 0o600)
    node.write("root/open-token", f"{TOKEN}\n", 0o644)
    for hub, api in HUBS.items():
        fresh(node)
        origin.fault(f"{api}/*", "login", token=TOKEN, times=0)
        origin.fault(FILES[hub], "login", token=TOKEN, times=0)
        checks.fails(f"{hub}: 401 without a token", fetch(node, source(hub, origin)), "CONFIG", "HTTP 401", "tokenFile")
        checks.that(f"{hub}: a refusal leaves no file", not (node.root / PATH[1:]).exists())
        checks.fails(f"{hub}: a token that others may read", fetch(node, source(hub, origin, token_file="/root/open-token")), "CONFIG", "chmod 0600")
        checks.fails(f"{hub}: a token file that is not there", fetch(node, source(hub, origin, token_file="/root/gone")), "CONFIG", "/root/gone")
        checks.succeeds(f"{hub}: with the token", fetch(node, source(hub, origin, token_file="/root/token")))
        origin.heal()
        fresh(node)
        origin.fault(FILES[hub], "redirect", location=stranger.url, times=0)
        before = len(stranger.requests())
        outcome = fetch(node, source(hub, origin, token_file="/root/token"))
        asked = stranger.requests()[before:]
        checks.that(f"{hub}: a redirect to another host is followed, and the token is not", outcome.succeeded and asked
                    and not any(item["authorization"] for item in asked), f"{asked[:2]} {outcome}")
        origin.heal()
    kept = subprocess.run(["grep", "-rl", TOKEN, node.root / "var", node.root / "data2", node.agent.log], capture_output=True, text=True, check=False).stdout
    checks.that("the token is in no log and no file of the agent", not kept, kept)


def bad_answers(checks, node, origin):
    for hub, api in HUBS.items():
        listing = f"{api}/*"
        fresh(node)
        checks.fails(f"{hub}: 404 for the model", fetch(node, {hub: {"id": "Qwen/Gone", "endpoint": origin.url}}), "CONFIG", "HTTP 404")
        origin.fault(listing, "status", status=429, retry_after=1)
        origin.fault(FILES[hub], "status", status=429, retry_after=1, times=2)
        checks.succeeds(f"{hub}: 429 with Retry-After is waited for", fetch(node, source(hub, origin)))
        fresh(node)
        origin.fault(listing, "status", status=429, retry_after=3600)
        checks.fails(f"{hub}: 429 for an hour", fetch(node, source(hub, origin)), "TRANSIENT", "HTTP 429")
        origin.fault(listing, "status", status=502)
        checks.fails(f"{hub}: 502 for the list", fetch(node, source(hub, origin)), "TRANSIENT", "HTTP 502")
        origin.fault(FILES[hub], "status", status=503)
        checks.succeeds(f"{hub}: 503 for a file is tried again", fetch(node, source(hub, origin)))
        fresh(node)
        origin.fault(listing, "html")
        checks.fails(f"{hub}: a page instead of a list", fetch(node, source(hub, origin)), "CONFIG", "HTML")
        origin.fault(FILES[hub], "html")
        checks.fails(f"{hub}: a page instead of a file", fetch(node, source(hub, origin)), "CONFIG", "HTML")
        origin.heal()
        fresh(node)
        origin.fault(FILES[hub] + "00001*" if hub != "modelscope" else "*FilePath=model-00001*", "short", bytes=1000)
        checks.fails(f"{hub}: a file of another size", fetch(node, source(hub, origin)), "TRANSIENT", "1000 bytes")
        origin.heal()
        fresh(node)
        shard = "*FilePath=model-00001*" if hub == "modelscope" else FILES[hub] + "model-00001*"
        origin.fault(shard, "wrong", times=0)
        checks.fails(f"{hub}: a file of another hash", fetch(node, source(hub, origin)), "CONFIG", "sha256")
        left = [name for name in files_of(node.root / PATH[1:]) if name.startswith("model-00001")]
        checks.that(f"{hub}: what has another hash does not stay", not left, left)
        checks.that(f"{hub}: half a model is not present", node.check("model", fetch_model={"path": PATH, "sources": [source(hub, origin)]})
                    .get("state") == "ABSENT")
        origin.heal()
        origin.fault(shard, "wrong")
        outcome = fetch(node, source(hub, origin))
        checks.that(f"{hub}: bytes that were lost once on the way are fetched once more", outcome.succeeded and "once more, from the start" in outcome.text, outcome)


def outside_lfs(checks, node, origin, wanted):
    """Hugging Face tells no sha256 of small files, but git's id of each."""
    fresh(node)
    file, config = "*/resolve/*config.json", node.root / PATH[1:] / "config.json"
    origin.fault(file, "wrong", times=0)
    checks.fails("hugging_face: a small file of the right size and other bytes", fetch(node, source("hugging_face", origin)), "CONFIG", "git's id", "config.json")
    checks.that("hugging_face: it does not stay", not config.exists(), config)
    origin.heal()
    checks.succeeds("hugging_face: with its own bytes", fetch(node, source("hugging_face", origin)))
    checks.that("hugging_face: byte for byte the same", files_of(node.root / PATH[1:]) == wanted, files_of(node.root / PATH[1:]))


def in_order(checks, node, origin, dead):
    fresh(node)
    outcome = fetch(node, {"modelscope": {"id": ID, "endpoint": dead}}, {"obs": "obs://bigmodel/Qwen3/"}, source("hugging_face", origin))
    checks.succeeds("the first hub that works is taken", outcome)
    checks.that("the reason for each skip is kept", "refused" in outcome.text and "obsutil" in outcome.text, outcome)
    state = node.check("model", fetch_model={"path": PATH, "sources": [source("hugging_face", origin)]})
    checks.that("a Check of a minute later asks no hub", state.get("state") == "PRESENT" and state["facts"]["source"].startswith("huggingface"), state)


def clients():
    """The folder of a venv with the hubs' own clients; made once and kept."""
    wanted = (Path(__file__).parent / "clients.txt").read_bytes()
    folder = CACHE / f"hub-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not (folder / "ready").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for argv in ([sys.executable, "-m", "venv", "--clear", folder], [folder / "bin/pip", "install", "-q", "-r", Path(__file__).parent / "clients.txt"]):
            done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            if done.returncode != 0:
                raise Failed(f"no clients of the hubs: {done.stderr[-1500:]}")
        (folder / "ready").touch()
    return folder


def real_clients(checks, work, origin, wanted):
    """The same origin, asked by the programs that the runbook calls."""
    folder = clients()
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment = {**kept, "HOME": str(work), "HF_ENDPOINT": origin.url, "HF_HOME": str(work / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1",
                   "HF_HUB_DISABLE_XET": "1", "MODELSCOPE_DOMAIN": origin.url, "MODELSCOPE_CACHE": str(work / "ms"), "HF_HUB_OFFLINE": "0"}
    for name, argv in (("modelscope", ["modelscope", "download", "--model", ID, "--local_dir", work / "by-modelscope", "--endpoint", origin.url]),
                       ("huggingface_hub", ["hf", "download", ID, "--local-dir", work / "by-huggingface_hub"])):
        done = subprocess.run([folder / "bin" / argv[0], *argv[1:]], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=300, check=False)
        target = work / f"by-{name}"
        got = files_of(target) if target.exists() else {}
        checks.that(f"the real {name} client downloads the same bytes", done.returncode == 0 and got == wanted,
                    f"exit {done.returncode} {got}\n{done.stdout[-1500:]}{done.stderr[-2500:]}", f"{len(got)} files")


def run(checks, build, work):
    wanted = make_model(work / "served/models" / ID)
    origin, stranger = Origin(work, work / "served", "hub"), Origin(work, work / "served", "stranger", "127.0.0.2")
    try:
        with Node(build, work) as a, Node(build, work) as b:
            a.name, b.name = "node-a", "node-b"
            each_hub(checks, (a, b), origin, wanted)
            local_directory(checks, a, origin, wanted)
            tokens(checks, a, origin, stranger)
            bad_answers(checks, a, origin)
            outside_lfs(checks, a, origin, wanted)
            in_order(checks, a, origin, "http://127.0.0.1:9")
    finally:
        for program in (origin, stranger):
            program.end()


def run_clients(checks, work):
    wanted = make_model(work / "served/models" / ID)
    origin = Origin(work, work / "served", "hub")
    try:
        real_clients(checks, work, origin, wanted)
    finally:
        origin.end()
