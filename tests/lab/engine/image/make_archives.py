"""Writes the lab's vllm-ascend images as archives for `docker load`, without a Docker daemon.

Both images have the same layer and differ in tag, label and environment, hence in image id: what a change of the image
in a deployment needs. As in the real images, the command is /bin/bash and there is no entrypoint.
"""

import argparse
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile

CREATED = "2025-09-15T00:00:00Z"
MOST_RANKS = 16

IMAGES = [
    # (file, repository tag, version of vllm-ascend, version that the quick engine takes)
    ("vllm-ascend-0.9.1.tar.gz", "quay.io/ascend/vllm-ascend:v0.9.1", "0.9.1", "0.9.1"),
    ("vllm-ascend-0.8.4rc2.tar.gz", "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler", "0.8.4rc2", "0.8.4"),
]

# What the lab's machine, small and without NPUs, asks of Ray and vLLM. It is here so that the commands of a deployment
# stay the ones of a real machine.
ENVIRONMENT = {
    "PATH": "/opt/engine/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    # The image has no compiler, and a compiled first token would take a minute.
    "TORCHDYNAMO_DISABLE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    # Its 10 seconds end the first token of a slow machine.
    "RAY_CGRAPH_get_timeout": "300",
    # Ray's own default is 30 % of the memory, on each node of the one machine.
    "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "200000000",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "|".join(["all"] * MOST_RANKS),
}


def architecture(machine: str) -> dict[str, str]:
    if machine == "aarch64":
        return {"architecture": "arm64", "variant": "v8"}
    return {"architecture": "amd64"}


def config_of(diff_id: str, machine: str, version: str, engine_version: str) -> bytes:
    environment = ENVIRONMENT | {"VLLM_DOUBLE_VERSION": engine_version}
    config = {
        **architecture(machine),
        "os": "linux",
        "created": CREATED,
        "config": {
            "Cmd": ["/bin/bash"],
            "Env": [f"{name}={value}" for name, value in environment.items()],
            "Labels": {"org.opencontainers.image.version": version, "npufleet.lab": "true"},
            "WorkingDir": "/root",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": CREATED, "created_by": "npufleet tests/lab/engine"}],
    }
    return json.dumps(config, separators=(",", ":")).encode()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    archive.addfile(member, io.BytesIO(content))


def write_archive(path: pathlib.Path, tag: str, config: bytes, layer: pathlib.Path, diff_id: str) -> None:
    """Streams the archive through the compressor into path.tmp, and renames it."""
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    layer_name = f"{diff_id}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [tag], "Layers": [layer_name]}]
    compressor = shutil.which("pigz") or "gzip"
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as output:
        with subprocess.Popen([compressor, "-1", "-n"], stdin=subprocess.PIPE, stdout=output) as process:
            with tarfile.open(fileobj=process.stdin, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
                add(archive, config_name, config)
                archive.add(layer, layer_name, filter=normal)
                add(archive, "manifest.json", json.dumps(manifest).encode())
            process.stdin.close()
            if process.wait() != 0:
                raise SystemExit(f"{compressor} failed with {process.returncode}")
    os.replace(temporary, path)


def normal(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", type=pathlib.Path, required=True, help="the root file system, a plain tar")
    parser.add_argument("--machine", required=True, help="x86_64 or aarch64, as uname -m says")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="the directory for the archives")
    arguments = parser.parse_args()

    with arguments.layer.open("rb") as file:
        diff_id = hashlib.file_digest(file, "sha256").hexdigest()
    for file_name, tag, version, engine_version in IMAGES:
        config = config_of(diff_id, arguments.machine, version, engine_version)
        write_archive(arguments.output / file_name, tag, config, arguments.layer, diff_id)
        print(f"engine: image {tag} sha256:{hashlib.sha256(config).hexdigest()}")


if __name__ == "__main__":
    main()
