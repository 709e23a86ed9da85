"""Inventory by DCMI (a libdcmi.so with the real C interface) and by npu-smi: of the same node they agree field by field."""
import json
import os
import shutil
import subprocess

from parts.node import TREE, Node, doubles

FIELDS = ("npu", "chip", "physicalId", "name", "health", "errorCodes", "powerWatts", "temperatureCelsius", "hbmUsedMib", "hbmTotalMib", "aicorePercent",
          "busId", "processes")  # DDR is npu-smi's alone: DCMI has no reading of it on these chips
SAMPLES = TREE / "tests/agent/npu/testdata/npu_smi"
HEALTH = {"OK": 0, "WARNING": 1, "ALARM": 2, "CRITICAL": 3, "GONE": 0xFFFFFFFF}
LIBRARY = "usr/local/dcmi/libdcmi.so"


def inventory(node, *arguments):
    """`npufleet-agent inventory` of a node, as JSON."""
    done = subprocess.run([node.build / "bin/npufleet-agent", "inventory", "--root", node.root, "-o", "json", *arguments], capture_output=True, text=True,
                          env={**os.environ, **node.environment}, timeout=60, check=True)
    return json.loads(done.stdout)


def line_of(chip):
    """The chip in the words of the library's state file. A reading that npu-smi does not have fails here."""
    values = {"name": chip.get("name", ""), "logic_id": chip.get("physicalId", 0), "physical_id": chip.get("physicalId", 0),
              "health": HEALTH[chip.get("health", "OK")], "bus": chip.get("busId", "")}
    fails = []
    for key, field, function, scale in (("deciwatts", "powerWatts", "device_power_info", 10), ("celsius", "temperatureCelsius", "device_temperature", 1),
                                        ("aicore", "aicorePercent", "device_utilization_rate", 1)):
        if field in chip:
            values[key] = round(chip[field] * scale)
        else:
            fails.append(f"{function}:-8255")
    if "hbmTotalMib" in chip:
        values |= {"hbm_used": chip.get("hbmUsedMib", 0), "hbm_total": chip["hbmTotalMib"]}
    else:
        fails.append("device_hbm_info:-8255")
    values["codes"] = ",".join(chip.get("errorCodes", []))
    values["processes"] = ",".join(f"{item['pid']}:{int(item.get('memoryMib', 0)) << 20}" for item in chip.get("processes", []))
    values["fail"] = ",".join(fails)
    return f"chip {chip.get('npu', 0)} {chip.get('chip', 0)} " + " ".join(f"{key}={value}" for key, value in values.items() if value != "") + "\n"


def set_state(node, shown, extra=""):
    lines = "".join(line_of(chip) for chip in shown.get("chips", []))
    node.write("var/lib/npufleet-doubles/dcmi", f"driver_version {shown.get('driverVersion', '')}\n{lines}{extra}")


def differences(by_dcmi, by_npu_smi, with_names=True):
    def shown(chip, field):
        value = chip.get(field)
        if field == "processes":
            return sorted((item["pid"], int(item.get("memoryMib", 0)), item.get("name", "") if with_names else "") for item in value or [])
        return sorted(value or []) if field == "errorCodes" else value
    found = [] if by_dcmi.get("driverVersion") == by_npu_smi.get("driverVersion") else ["driverVersion"]
    one, other = by_dcmi.get("chips", []), by_npu_smi.get("chips", [])
    if len(one) != len(other):
        return [f"{len(one)} chips by DCMI, {len(other)} by npu-smi"]
    return found + [f"NPU {b.get('npu', 0)} chip {b.get('chip', 0)} {field}: {shown(a, field)} by DCMI, {shown(b, field)} by npu-smi"
                    for a, b in zip(one, other) for field in FIELDS if shown(a, field) != shown(b, field)]


def make_library(node):
    target = node.root / LIBRARY
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", target, doubles("dcmi/libdcmi.c")], check=True)
    return target


def same_node(checks, node):
    """The npu-smi double's 910B3 node, with faults and a process on a chip, read both ways."""
    shutil.copy(doubles("tools/npu-smi"), node.root / "usr/local/bin/npu-smi")
    node.write("usr/local/Ascend/driver/version.info", "Version=25.2.0\n")
    node.write("usr/local/Ascend/firmware/version.info", "Version=7.7.0.6.236\n")
    busy = subprocess.Popen(["sleep", "600"], env={**os.environ, **node.environment, "NPUFLEET_DOUBLE_CHIP": "2", "NPUFLEET_DOUBLE_HBM_MB": "2048"})
    try:
        library = node.root / LIBRARY
        for what, faults in (("idle and busy chips", {}), ("faults", {"chip.3.health": "Alarm", "chip.3.codes": "80E01801 8C03A000", "chip.5.health": "Warning",
                                                                      "chip.5.codes": "81078603"}), ("six chips", {"chips": 8, "chip.1.missing": True, "chip.6.missing": True})):
            node.write("var/lib/npufleet-doubles/faults.json", json.dumps(faults))
            if library.exists():
                library.rename(library.with_suffix(".away"))
            shown = inventory(node)
            set_state(node, shown, "chip 0 1 type=1 name=Mcu\n")
            library.with_suffix(".away").rename(library)
            read = inventory(node)
            found = differences(read, shown)
            checks.that(f"910B3, {what}: both ways agree field by field", read.get("source") == "dcmi" and shown.get("source") == "npu-smi" and not found
                        and read.get("chips"), f"{found} {read.get('warnings')}", f"{len(read.get('chips', []))} chips")
        verb = {"check_npus": {"chips": [0, 2, 3, 4]}}
        tokens = set()
        for name in (library, library.with_suffix(".away")):
            tokens.add(node.check("npu", **verb).get("token"))
            if name == library:
                library.rename(library.with_suffix(".away"))
        library.with_suffix(".away").rename(library)
        checks.that("the stage npu has the same token by either", len(tokens) == 1 and None not in tokens, tokens, str(tokens))
    finally:
        busy.kill()
        busy.wait()


def shapes(checks, node):
    """Tables of real machines, 910B and 910C (two dies a card), in the library's words."""
    for sample in sorted(SAMPLES.glob("910B*.txt")) + sorted(SAMPLES.glob("*A3_*.txt")):
        shown = inventory(node, "--npu-smi-output", sample)
        if not shown.get("chips"):
            continue
        set_state(node, shown)
        read = inventory(node)
        found = differences(read, shown, with_names=False)
        checks.that(f"{sample.stem}: both ways agree", read.get("source") == "dcmi" and not found, f"{found[:6]} {read.get('warnings')}",
                    f"{len(shown['chips'])} chips")


def errors(checks, node):
    shown = inventory(node, "--npu-smi-output", SAMPLES / "910B3_8card_24.1.rc1.b030.txt")
    for code in (-8005, -8012, -8020):
        set_state(node, shown, f"init {code}\n")
        read = inventory(node)
        checks.that(f"dcmi_init says {code}: npu-smi is asked instead", read.get("source") == "npu-smi" and str(code) in json.dumps(read.get("warnings")), read)
    one = shown["chips"][0]
    for function, field in (("device_health", "health"), ("device_hbm_info", "hbmTotalMib"), ("device_power_info", "powerWatts"),
                            ("device_temperature", "temperatureCelsius"), ("device_chip_info", "name"), ("device_pcie_info_v2", "busId")):
        node.write("var/lib/npufleet-doubles/dcmi", "driver_version 24.1.rc1\n" + line_of(one).replace("fail=", "").strip() + f" fail={function}:-8005\n")
        read = inventory(node)
        chip = read["chips"][0]
        checks.that(f"{function} fails: {field} is not known, and a warning says why", field not in chip and "-8005" in json.dumps(read.get("warnings")), read)
    node.write("var/lib/npufleet-doubles/dcmi", "driver_version 24.1.rc1\n" + line_of({**one, "health": "GONE"}))
    checks.that("a chip that is gone is said so", inventory(node)["chips"][0].get("health") == "GONE")
    library = node.root / LIBRARY
    library.write_bytes(b"not a library")
    read = inventory(node)
    checks.that("a library that cannot be opened: npu-smi is asked, and a warning says why", read.get("source") == "npu-smi" and read.get("warnings"), read)


def hangs(checks, node):
    """An ioctl of the driver never returns: the chips are unknown, not well, and the agent has not lost the thread that looks at them."""
    make_library(node)
    one = line_of({"npu": 0, "name": "910B3", "health": "OK"}).strip()
    verb = {"check_npus": {"chips": [0]}}
    node.write("var/lib/npufleet-doubles/dcmi", f"driver_version 24.1.rc1\n{one} hang=device_health\n")
    seen = node.check("npu", **verb)
    checks.that("the driver hangs: unknown, and says so", seen.get("state") == "UNKNOWN" and "DEADLINE_EXCEEDED" in seen.get("reason", ""), seen)
    node.write("var/lib/npufleet-doubles/dcmi", f"driver_version 24.1.rc1\n{one}\n")
    seen = node.check("npu", **verb)
    checks.that("the driver answers again: it is seen again", seen.get("state") == "PRESENT", seen)


def run(checks, build, work):
    with Node(build, work) as node:
        make_library(node)
        same_node(checks, node)
        shapes(checks, node)
        errors(checks, node)
        hangs(checks, node)
