"""What the origin of a local fleet serves: made in a second, by name and kind what the lab's origin serves."""
import hashlib
import io
import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
DOUBLES = TREE / "tests/doubles"
ENGINE = TREE / "tests/lab/engine"
PACKAGES = (("driver", "25.0.rc1.b080", "drivers"), ("driver", "25.2.0", "drivers"), ("firmware", "7.7.t20.0.b200", "drivers"),
            ("runtime", "6.0.0", "runtime"))
MODEL = "models/Qwen/Qwen3-235B-A22B"


def fill_origin(origin):
    for kind, version, folder in PACKAGES:
        run(DOUBLES / "make_run", kind, "--version", version, "--output", origin / folder)
    (origin / "docker").mkdir(parents=True)
    write_docker(origin / "docker/docker-28.0.4.tgz")
    (origin / "images").mkdir()
    layer = origin / ".layer.tar"
    with tarfile.open(layer, "w"):
        pass
    run(sys.executable, ENGINE / "image/make_archives.py", "--layer", layer, "--machine", platform.machine(), "--output", origin / "images")
    layer.unlink()
    write_model(origin / MODEL)
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(origin)}\n"
            for file in sorted(origin.rglob("*")) if file.is_file()]
    (origin / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def run(*argv):
    done = subprocess.run([str(item) for item in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    if done.returncode != 0:
        raise OSError(f"exit {done.returncode} of: {' '.join(map(str, argv))}\n{done.stderr}{done.stdout}")


def write_docker(path):
    """An archive laid out as upstream's; the daemon is the double."""
    with tarfile.open(path, "w:gz") as archive:
        content = (DOUBLES / "docker/dockerd").read_bytes()
        member = tarfile.TarInfo("docker/dockerd")
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))


def write_model(folder):
    """The files of a Qwen3 and nothing in them: two shards with an index, a tokenizer that knows <think>."""
    folder.mkdir(parents=True)
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for number, name in enumerate(names):
        data = bytes(range(256)) * 512
        header = json.dumps({f"layer.{number}": {"dtype": "BF16", "shape": [len(data) // 2], "data_offsets": [0, len(data)]}}).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(header)) + header + data)
    documents = {
        "config.json": {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_hidden_layers": 2,
                        "num_attention_heads": 16, "num_key_value_heads": 4, "torch_dtype": "bfloat16"},
        "model.safetensors.index.json": {"metadata": {"total_size": 2 * 256 * 512},
                                         "weight_map": {f"layer.{number}": name for number, name in enumerate(names)}},
        "tokenizer.json": {"version": "1.0", "added_tokens": [{"id": 0, "content": "<think>"}, {"id": 1, "content": "</think>"}]},
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"},
        "generation_config.json": {"do_sample": True},
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def write_engine(folder):
    """/opt/engines/quick of a node: the quick engine over the stand-in Ray, and the Python that they run with."""
    (folder / "lib").mkdir(parents=True)
    shutil.copytree(DOUBLES / "ray/bin", folder / "bin")
    shutil.copytree(DOUBLES / "ray/lib/ray", folder / "lib/ray", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ENGINE / "quick/vllm", folder / "lib/vllm", ignore=shutil.ignore_patterns("__pycache__"))
    python = folder / "bin/python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/lib exec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
