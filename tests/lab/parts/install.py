"""Installing npufleet on the booted nodes, as an operator would: binaries, units, CA, join tokens."""
import shutil
import socket
import subprocess
from pathlib import Path

from . import layout
from .layout import LabError, write_atomically
from .node import execute
from .shell import say, wait_until

BINARIES = ["npufleet-agent", "npufleet-controller", "ctl"]
SERVICES = ["npufleet-agent.service", "npufleet-controller.service"]
CTL_DIRECTORY = "/etc/npufleet/ctl"
CONTROLLER_URL = f"https://{layout.HEAD.address}:{layout.CONTROLLER_PORT}"


def install(build):
    """Copies the programs from build/bin and brings controller and agents to life. Done again, it renews the programs
    and restarts what was running an older one; identities stay."""
    missing = [name for name in BINARIES if not (build / "bin" / name).exists()]
    missing += [name for name in SERVICES if not (layout.UNITS / name).exists()]
    if missing:
        raise LabError(f"cannot install npufleet: no {', '.join(missing)} in {build / 'bin'} and {layout.UNITS}")
    write_atomically(layout.STATE / "build", f"{build}\n")
    renewed = {node.name: copy_programs(node, build) for node in layout.NODES}
    start_controller(renewed[layout.HEAD.name])
    for node in layout.NODES:
        join(node)
        start_service(node, "npufleet-agent.service", renewed[node.name])
    copy_identity()


def copy_programs(node, build):
    """Puts programs and units into the node; the set of names that changed."""
    changed = set()
    units = [layout.UNITS / name for name in SERVICES]
    for source, target in [*((build / "bin" / name, node.root / "usr/bin" / name) for name in BINARIES),
                           *((unit, node.root / "usr/lib/systemd/system" / unit.name) for unit in units)]:
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.chmod(0o644 if target.suffix == ".service" else 0o755)
        partial.rename(target)
        changed.add(target.name.removesuffix(".service"))
    if changed:
        execute(node, ["systemctl", "daemon-reload"], check=True)
        say(f"{node.name}: installed {', '.join(sorted(changed))}")
    return changed


def start_service(node, service, renewed):
    running = execute(node, ["systemctl", "is-active", "--quiet", service]).returncode == 0
    if running and service.removesuffix(".service") in renewed:
        do(node, "systemctl", "restart", service)
    else:
        do(node, "systemctl", "enable", "--quiet", "--now", service)


def do(node, *argv):
    """Runs argv in the node; a failure says what the unit's log said, too."""
    done = execute(node, list(argv), timeout=90)
    if done.returncode != 0:
        log = ""
        if argv[0] == "systemctl":
            log = execute(node, ["journalctl", "--no-pager", "-n", "20", "-u", argv[-1]]).stdout
        raise LabError(f"{node.name}: exit {done.returncode} of: {' '.join(argv)}\n{done.stderr}{done.stdout}{log}".rstrip())
    return done.stdout


def start_controller(renewed):
    head = layout.HEAD
    if not (head.root / CTL_DIRECTORY.lstrip("/") / "config.yaml").exists():
        do(head, "npufleet-controller", "init", "--address", head.address)
        say(f"{head.name}: made the fleet's CA and the admin identity")
    start_service(head, "npufleet-controller.service", renewed)
    wait_until(controller_listens, 30, f"the controller to listen on {head.address}:{layout.CONTROLLER_PORT} "
                                       f"(see `lab logs {head.name} npufleet-controller.service`)")


def controller_listens():
    try:
        socket.create_connection((layout.HEAD.address, layout.CONTROLLER_PORT), timeout=2).close()
        return True
    except OSError:
        return False


def join(node):
    joined = node.directory / "joined"
    if joined.exists():
        return
    token = do(layout.HEAD, "npufleet-controller", "token", "create", "--node", node.name).strip()
    do(node, "npufleet-agent", "join", "--controller", CONTROLLER_URL, "--token", token, "--name", node.name, "--address",
       node.address)
    joined.touch()
    say(f"{node.name}: joined the fleet")


def copy_identity():
    """The admin's identity for use on the host: paths in its config.yaml point to the copy."""
    source = layout.HEAD.root / CTL_DIRECTORY.lstrip("/")
    if not (source / "config.yaml").exists():
        raise LabError(f"{layout.HEAD.name} has no {CTL_DIRECTORY}/config.yaml: run `lab up --install BUILD_DIR`")
    target = layout.STATE / "ctl"
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            content = file.read_bytes()
            if file.suffix in (".yaml", ".yml"):
                content = content.replace(CTL_DIRECTORY.encode(), str(target).encode())
            (target / file.name).write_bytes(content)
            (target / file.name).chmod(0o600)
    return target / "config.yaml"


def ctl(arguments):
    """Runs ctl on the host against the lab's controller; its exit status."""
    try:
        build = Path((layout.STATE / "build").read_text().strip())
    except OSError as error:
        raise LabError("npufleet is not installed in the lab: run `lab up --install BUILD_DIR`") from error
    return subprocess.run([build / "bin/ctl", "--config", copy_identity(), *arguments], check=False).returncode
