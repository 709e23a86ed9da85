#!/usr/bin/env python3
"""The installer inside the Ascend-docker-runtime double.

Faults (key `runtime`, see faults.py): hang, ask, lie, refuse, fail:TEXT, slow:N. Setting `runtime.eula` = "yes": asks for
the licence on stdin and waits for an answer, as releases from 2026-05 on do; version 6.0.0 does not.
"""
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import faults  # noqa: E402
from faults import path, read_text, write_json, write_text  # noqa: E402

PACKAGE = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
VERSION = PACKAGE["version"]
DAEMON_JSON = "/etc/docker/daemon.json"
LOG = "/var/log/ascend-docker-runtime/installer.log"


def log(text, level="INFO"):
    print(f"[{level}] {text}", flush=True)
    os.makedirs(path(os.path.dirname(LOG)), mode=0o750, exist_ok=True)
    with open(path(LOG), "a", encoding="utf-8") as file:
        file.write(f"[{level}] {time.strftime('%Y%m%d-%H:%M:%S')} {text}\n")


def die(text):
    log(text, "ERROR")
    sys.exit(1)


def accept_eula():
    while True:
        print("Do you accept the EULA to install Ascend-docker-runtime?[Y/N]", flush=True)
        answer = sys.stdin.readline()
        if answer.strip() in ("Y", "y"):
            return
        if answer.strip() in ("N", "n"):
            log("reject EULA, quit to install")
            sys.exit(0)
        if not answer:
            time.sleep(0.2)


def check_safe(name):
    """The real installer refuses what is a symlink, not root's, or writable by others."""
    if not faults.is_real_root():
        return
    while name != "/":
        if os.path.islink(name):
            die(f"{name} is a symlink")
        if os.path.exists(name):
            status = os.stat(name)
            if status.st_uid != 0 or status.st_gid != 0 or status.st_mode & 0o022:
                die(f"{name} is not owned by root or writable by group or other")
        name = os.path.dirname(name)


def edit_daemon_json(directory):
    try:
        document = json.loads(read_text(DAEMON_JSON) or "{}")
    except ValueError:
        die("install failed, './ascend-docker-plugin-install-helper add ... ' return non-zero")
    document.setdefault("runtimes", {})["ascend"] = {"path": f"{directory}/ascend-docker-runtime", "runtimeArgs": []}
    document["default-runtime"] = "ascend"
    write_json(DAEMON_JSON, document, 0o600)


def install(options, fault, verb):
    values = dict(option.split("=", 1) for option in options if "=" in option)
    directory = f"{values.get('--install-path', '/usr/local/Ascend')}/Ascend-Docker-Runtime"
    log("installing ascend-docker-runtime" if verb == "install" else "upgrading ascend-docker-runtime")
    if verb == "upgrade" and not os.path.isdir(path(directory)):
        die("upgrade failed, the specified install path does not exist, stopping upgrading")
    for name in (directory, DAEMON_JSON):
        check_safe(name)
    time.sleep(float(fault[5:]) if fault.startswith("slow:") else faults.SECONDS / 4)
    if fault == "hang":
        faults.hang()
    if fault.startswith("fail:"):
        die(fault[5:])
    if fault != "lie":
        runtime = (HERE / "tools/ascend-docker-runtime").read_text(encoding="utf-8")
        write_text(f"{directory}/ascend-docker-runtime", runtime, 0o755)
        shutil.copy(__file__, path(f"{directory}/ascend-docker-plugin-install-helper"))
        write_text(f"{directory}/ascend_docker_runtime_install.info",
                   f"version=v{VERSION}\narch={PACKAGE['arch']}\nos=linux\npath={directory}\n"
                   f"build=Ascend-docker-runtime_{VERSION}-{PACKAGE['arch']}\n", 0o600)
        write_text("/etc/ascend-docker-runtime.d/base.list",
                   "/usr/local/Ascend/driver/lib64\n/usr/local/Ascend/driver/include\n/usr/local/dcmi\n"
                   "/usr/local/bin/npu-smi\n/var/queue_schedule\n", 0o600)
        edit_daemon_json(directory)
    log("install executable files success")
    log("install scene is 'docker'.")
    log(f"{DAEMON_JSON} modify success")
    log(f"ascend-docker-runtime has been installed in: {directory}")
    log(f"The version of ascend-docker-runtime is: v{VERSION}")
    log("please reboot daemon and container engine to take effect")
    log(f"ascend-docker-runtime {verb} success")


def uninstall():
    document = json.loads(read_text(DAEMON_JSON) or "{}")
    document.get("runtimes", {}).pop("ascend", None)
    document.pop("default-runtime", None)
    write_json(DAEMON_JSON, document, 0o600)
    shutil.rmtree(path("/usr/local/Ascend/Ascend-Docker-Runtime"), ignore_errors=True)
    log("ascend-docker-runtime uninstall success")


def main():
    options = sys.argv[1:]
    actions = [option for option in options if option in ("--install", "--uninstall", "--upgrade", "--version", "--help")]
    if not actions or actions[0] == "--help":
        print("Usage: Ascend-docker-runtime.run --install|--uninstall|--upgrade|--version [--install-path=<path>] "
              "[--install-scene=docker|containerd] [--install-type=<type>]")
        return 0 if actions else 1
    if actions[0] == "--version":
        print(f"v{VERSION}")
        return 0
    if faults.is_real_root() and os.geteuid() != 0:
        die("failed, please run with root permission")
    if PACKAGE["arch"] != platform.machine():
        die("install failed, run package and os not matched in arch")
    if actions[0] == "--uninstall":
        uninstall()
        return 0
    fault = faults.take_fault("runtime")
    if fault == "ask" or faults.setting("runtime.eula") == "yes":
        accept_eula()
    if fault == "refuse":
        return 0
    install(options, fault, actions[0].lstrip("-"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
