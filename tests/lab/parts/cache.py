"""What is made once and kept: base image, docker archive, engines, what the origin serves.

Each thing is kept under a name that holds the digest of what makes it, and appears by a rename: a half-made one is never
used, and a changed script makes a new one.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import layout
from .layout import LabError, digest_of, write_atomically
from .shell import run, say


def base_image():
    """The root file system of a bare node, a directory; makes it if it is not there (a minute)."""
    directory = layout.CACHE / f"base-{digest_of(layout.LAB / 'image')}"
    if not directory.exists():
        say("making the base image of the nodes: about a minute")
        layout.CACHE.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".base-", dir=layout.CACHE))
        partial.chmod(0o755)
        try:
            run(layout.LAB / "image/build", partial, timeout=1800)
            os.rename(partial, directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in layout.CACHE.glob("base-*"):
            if old != directory and str(old) not in Path("/proc/self/mounts").read_text():
                shutil.rmtree(old)
    return directory / "base"


def publish(source, target):
    """Puts a file where the origin serves it, by a rename, and only if it differs."""
    if target.exists() and os.path.samefile(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        shutil.copy2(source, partial)
    os.replace(partial, target)


def fill_origin(base):
    """drivers/, runtime/ and docker/ of the origin. images/ and models/ come with the engine."""
    docker = base.parent / "docker.tgz"
    version = (base.parent / "docker.version").read_text().strip()
    # Under the runbook's name, too: the bytes are Debian's docker, whose version is in the first name.
    for name in (f"docker-{version}.tgz", "docker-28.0.4.tgz"):
        publish(docker, layout.ORIGIN / "docker" / name)
    with tempfile.TemporaryDirectory() as directory:
        for kind, versions, folder in (("driver", layout.DRIVERS, "drivers"), ("firmware", layout.FIRMWARES, "drivers"),
                                       ("runtime", layout.RUNTIMES, "runtime")):
            for item in versions:
                made = Path(run(layout.DOUBLES / "make_run", kind, "--version", item, "--output", directory).stdout.strip())
                served = layout.ORIGIN / folder / made.name
                if not served.exists() or served.read_bytes() != made.read_bytes():
                    publish(made, served)


def start_engine_build(engine):
    """Starts making the engine beside everything else; None if there is nothing to make."""
    if engine == "none" or not layout.ENGINE_BUILD.exists():
        if engine != "none":
            say(f"no {layout.ENGINE_BUILD}: going on without an engine")
        return None
    layout.CACHE.mkdir(parents=True, exist_ok=True)
    say(f"making the {engine} engine (progress in {layout.CACHE / 'engine.log'})")
    with open(layout.CACHE / "engine.log", "ab") as log:
        return subprocess.Popen([layout.ENGINE_BUILD, engine], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env={**os.environ, "NPUFLEET_CACHE": str(layout.CACHE)})


def finish_engine_build(process):
    if process and process.wait() != 0:
        tail = (layout.CACHE / "engine.log").read_text(errors="replace").splitlines()[-15:]
        raise LabError("the engine cannot be made:\n" + "\n".join(tail))


def write_sums():
    """SHA256SUMS of everything that is served; digests of untouched files are taken from the last time."""
    known_file = layout.CACHE / "sha256-known"
    known = dict(line.rsplit(" ", 1) for line in known_file.read_text().splitlines()) if known_file.exists() else {}
    sums, keys = [], {}
    for file in sorted(layout.ORIGIN.rglob("*")):
        name = str(file.relative_to(layout.ORIGIN))
        if not file.is_file() or name == "SHA256SUMS" or any(part.startswith(".") for part in Path(name).parts):
            continue
        status = file.stat()
        key = f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        keys[key] = known.get(key) or sha256_of(file)
        sums.append(f"{keys[key]}  {name}\n")
    write_atomically(known_file, "".join(f"{key} {digest}\n" for key, digest in keys.items()))
    write_atomically(layout.ORIGIN / "SHA256SUMS", "".join(sums))


def sha256_of(file):
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def purge():
    """Removes what this lab keeps in the cache, and the engines."""
    for item in (*layout.CACHE.glob("base-*"), *layout.CACHE.glob("dnf-root-*"), layout.ORIGIN, layout.ENGINES, layout.REGISTRY,
                 layout.CACHE / "pip", layout.CACHE / "apt"):
        shutil.rmtree(item, ignore_errors=True)
    for name in ("sha256-known", "engine.log"):
        (layout.CACHE / name).unlink(missing_ok=True)
    try:
        layout.CACHE.rmdir()
    except OSError:
        print(f"{layout.CACHE} holds more than the lab's own: left there", file=sys.stderr)
