#!/usr/bin/env python3
"""The installer inside the driver and firmware doubles: options, messages, files and exit codes of the real packages.

Faults (keys `driver` and `firmware`, see faults.py):
  hang         stops in the middle and never ends          ask         asks on stdin, again and again
  lie          prints success, exits 0, installs nothing   refuse      "installation Stoped!", exits 0
  fail:TEXT    prints TEXT as an error, exits 1            torn        fails when half of the files are there
  slow:N       takes N seconds                             exit2       succeeds with exit status 2
Setting `driver.takes_effect` = "immediately": no reboot needed.
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
from faults import path, read_json, read_text, write_json, write_text  # noqa: E402

PACKAGE = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
KIND, VERSION = PACKAGE["kind"], PACKAGE["version"]
TITLE = KIND.capitalize()
VERSION_INFO = f"/usr/local/Ascend/{KIND}/version.info"
INSTALL_INFO = "/etc/ascend_install.info"
LOG = "/var/log/ascend_seclog/ascend_install.log"
GREEN, RED, PLAIN = "\033[32m", "\033[31m", "\033[0m"
ACTIONS = ("--full", "--run", "--devel", "--docker", "--debug", "--upgrade", "--uninstall", "--version", "--check")


def now():
    return time.strftime("%Y-%m-%d %H:%M:%S")


def log(text, level="INFO"):
    line = f"[{TITLE}] [{now()}] [{level}]{text}"
    print(line, flush=True)
    try:
        os.makedirs(path(os.path.dirname(LOG)), mode=0o750, exist_ok=True)
        with open(path(LOG), "a", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o640)
            file.write(line + "\n")
    except OSError:
        pass


def die(number, text):
    log(f"ERR_NO:{number};ERR_DES:{text}", "ERROR")
    log(f"End time: {now()}")
    sys.exit(1)


def installed_version():
    return next((line[len("Version="):] for line in read_text(VERSION_INFO).splitlines() if line.startswith("Version=")),
                "")


def parse(arguments):
    actions = [item for item in arguments if item in ACTIONS]
    rest = [item for item in arguments if item not in ACTIONS]
    for item in rest:
        if item.split("=")[0] not in ("--quiet", "--force", "--norebuild", "--install-for-all", "--install-path",
                                      "--install-username", "--install-usergroup", "--repack", "--vnpu_guest"):
            die("0x0004", f"Unrecognized parameters: {item}. Try './xxx.run --help for more information.'")
    if len(actions) != 1:
        die("0x0004", "Only one type of --full, --run, --devel, --docker, --upgrade, --uninstall is supported.")
    names = [item.split("=")[0] for item in rest]
    if ("--install-username" in names) != ("--install-usergroup" in names):
        die("0x0004", "Only username or usergroup is not supported.")
    if actions[0] == "--upgrade" and "--install-username" in names:
        die("0x0004", "'--upgrade' is not supported to use with '--install-username'.")
    if actions[0] in ("--upgrade", "--docker") and "--install-for-all" in names:
        die("0x0004", f"'{actions[0]}' is not supported to use with '--install-for-all'.")
    return actions[0], rest


def ask(question):
    """[y/n] on stdin, for ever, as the real installer does."""
    while True:
        print(question, flush=True)
        answer = sys.stdin.readline()
        if answer.strip() in ("y", "Y", "n", "N"):
            return answer.strip() in ("y", "Y")
        if not answer:
            time.sleep(0.2)


def refuse():
    log("installation Stoped!")
    log(f"End time: {now()}")
    sys.exit(0)


def check_machine():
    if faults.is_real_root():
        if os.geteuid() != 0:
            die("0x0093", "You do not have the permission to install, please use the root user.")
        missing = [tool for tool in ("which", "awk", "lspci", "ifconfig", "modprobe", "ldconfig", "useradd", "systemctl")
                   if not shutil.which(tool)]
        if missing and KIND == "driver":
            log(f"The list of missing tools: {','.join(missing)},", "ERROR")
            sys.exit(1)
    if KIND == "driver" and PACKAGE["arch"] != platform.machine():
        log(f"Arch mismatch, src package is {PACKAGE['arch']}, but the system is {platform.machine()}.", "ERROR")
        sys.exit(1)
    for name in ("/etc/group", "/etc/passwd"):
        if not any(line.startswith("HwHiAiUser:") for line in read_text(name).splitlines()):
            die("0x0091", "HwHiAiUser not exists!")
    if KIND == "firmware" and not read_text("/usr/local/Ascend/driver/version.info"):
        die("0x0080", "Driver is not installed, please install the driver first.")


def check_action(action, options):
    present = installed_version()
    if action == "--upgrade" and not present:
        die("0x0080", f"{TITLE} package is not installed on this device, upgrade failed.")
    if action == "--debug":
        die("0x0004", "'--debug' is not supported.")
    if action != "--upgrade" and present and present != VERSION and "--quiet" not in options:
        if not ask(f"{TITLE} package {present} has been installed, do you want to reinstall {VERSION}?  [y/n]"):
            refuse()
    if KIND == "driver" and faults.chip_users():
        log("The davinci nodes are occupied by some processes, please stop processes and install or uninstall again",
            "ERROR")
        sys.exit(1)


def write_install_info(action):
    values = dict(line.split("=", 1) for line in read_text(INSTALL_INFO).splitlines() if "=" in line)
    values |= {"UserName": "HwHiAiUser", "UserGroup": "HwHiAiUser"}
    kind = {"--upgrade": values.get(f"{TITLE}_Install_Type", "full")}.get(action, action.lstrip("-"))
    values |= {f"{TITLE}_Install_Type": kind, f"{TITLE}_Install_Path_Param": "/usr/local/Ascend"}
    if KIND == "driver":
        values |= {"Driver_Install_For_All": "no", "Driver_Install_Mode": "normal", "Driver_Install_Status": "complete"}
    write_text(INSTALL_INFO, "".join(f"{key}={value}\n" for key, value in values.items()))


def version_info():
    if KIND == "firmware":
        return f"Version={VERSION}\nfirmware_version=1.0\npackage_version={VERSION}\ncompatible_version_drv=[23.0.rc3,27.0.0]\n"
    return (f"Version={VERSION}\nascendhal_version=7.35.23\naicpu_version=1.0\ntdt_version=1.0\nlog_version=1.0\n"
            "prof_version=2.0\ndvppkernels_version=1.1\ntsfw_version=1.0\nInnerversion=V100R001C21SPC001B080\n"
            "compatible_version=[V100R001C29],[V100R001C30],[V100R001C13],[V100R001C15]\n"
            f"compatible_version_fw=[7.0.0,7.9.99]\npackage_version={VERSION}\n")


def install_driver_files(torn):
    base = "/usr/local/Ascend/driver"
    for folder in (f"{base}/lib64/driver", f"{base}/lib64/common", f"{base}/include", f"{base}/tools", f"{base}/script",
                   "/usr/local/dcmi", "/usr/local/bin", "/usr/local/sbin"):
        os.makedirs(path(folder), mode=0o755, exist_ok=True)
    if torn:
        return
    for source, target in (("npu-smi", "/usr/local/bin/npu-smi"), ("npu-smi", "/usr/local/sbin/npu-smi"),
                           ("hccn_tool", f"{base}/tools/hccn_tool")):
        write_text(target, (HERE / "tools" / source).read_text(encoding="utf-8"), 0o755)


def uninstall_script():
    removed = (f"/usr/local/Ascend/{KIND}/version.info",) + (
        ("/usr/local/bin/npu-smi", "/usr/local/sbin/npu-smi", "/usr/local/Ascend/driver/tools/hccn_tool")
        if KIND == "driver" else ())
    files = " ".join(f'"$root{name}"' for name in removed)
    return (f"#!/bin/sh\nroot=${{NPUFLEET_DOUBLE_ROOT:-}}\nroot=${{root%/}}\nrm -f {files}\n"
            f"echo '[{TITLE}] [INFO]{TITLE} package uninstalled successfully! Reboot needed for uninstallation to take effect!'\n")


def record(reboot):
    document = read_json(faults.INSTALLED)
    earlier = document.get(KIND, {})
    same_boot = earlier.get("boot_id") == faults.boot_id() and earlier.get("needs_reboot")
    previous = earlier.get("previous", "") if same_boot else earlier.get("version", "")
    document[KIND] = {"version": VERSION, "previous": previous, "boot_id": faults.boot_id(), "needs_reboot": reboot}
    write_json(faults.INSTALLED, document)


def success(action, reboot):
    verb = "upgraded" if action == "--upgrade" else "installed"
    if KIND == "firmware":
        log(f"The firmware of [{faults.setting('chips', 8)}] chips are successfully upgraded.")
        log(f"{GREEN}Firmware package {verb} successfully! {PLAIN}{RED}Reboot now or after driver installation for the "
            f"installation/upgrade to take effect. {PLAIN}")
    elif reboot:
        log(f"{GREEN}Driver package {verb} successfully! {PLAIN}{RED}Reboot needed for installation/upgrade to take "
            f"effect! {PLAIN}")
    else:
        log(f"{GREEN}Driver package {verb} successfully! {PLAIN}{GREEN}The new version takes effect immediately. {PLAIN}")
    log(f"End time: {now()}")


def install(action, fault):
    percentage = "upgradePercentage:" if KIND == "driver" else "upgradePercentage: "
    pause = float(fault[5:]) if fault.startswith("slow:") else faults.SECONDS
    if KIND == "driver":
        log("set username and usergroup, HwHiAiUser:HwHiAiUser")
        log("driver install type: DKMS")
    for percent in (10, 30, 40):
        log(f"{percentage}{percent}%")
        time.sleep(pause / 4)
    if fault == "hang":
        faults.hang()
    if fault.startswith("fail:"):
        log(fault[5:], "ERROR")
        log(f"End time: {now()}")
        sys.exit(1)
    same = installed_version() == VERSION
    if fault != "lie":
        if KIND == "driver":
            install_driver_files(fault == "torn")
        if fault == "torn":
            log("Dkms install failed, details in : /var/log/ascend_seclog/ascend_install.log.", "ERROR")
            sys.exit(1)
    reboot = KIND == "firmware" or not same
    if KIND == "driver" and faults.setting("driver.takes_effect") == "immediately":
        reboot = False
    if fault != "lie" and not (same and read_json(faults.INSTALLED).get(KIND, {}).get("version") == VERSION):
        write_text(f"/usr/local/Ascend/{KIND}/script/uninstall.sh", uninstall_script(), 0o755)
        record(reboot)
        write_install_info(action)
        write_text(VERSION_INFO, version_info(), 0o444)
    log(f"{percentage}90%")
    if KIND == "driver" and not reboot:
        log("Waiting for device startup...")
        time.sleep(pause / 4)
        log("Device startup success")
    log(f"{percentage}100%")
    success(action, reboot)


def main():
    arguments = sys.argv[1:]
    action, options = parse(arguments)
    if action == "--version":
        print(VERSION)
        return 0
    if action == "--check":
        print(f"version checking success, {KIND} package {VERSION}")
        return 0
    log(f"Start time: {now()}")
    lock = faults.OneAtATime("ascend_install")
    if not lock.taken:
        die("0x0094", "Another installation program is running, please wait.")
    if action == "--uninstall":
        if not installed_version():
            die("0x0080", f"{TITLE} package is not installed on this device, uninstall failed.")
        return os.spawnv(os.P_WAIT, "/bin/sh", ["sh", path(f"/usr/local/Ascend/{KIND}/script/uninstall.sh")])
    check_machine()
    fault = faults.take_fault(KIND)
    if fault == "ask" and not ask(f"{KIND} required version not match ,do you want to continue?  [y/n]"):
        refuse()
    if fault == "refuse":
        refuse()
    check_action(action, options)
    install(action, fault)
    return 2 if fault == "exit2" else 0


if __name__ == "__main__":
    sys.exit(main())
