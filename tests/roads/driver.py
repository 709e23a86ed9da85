"""Runbook 2.1: driver and firmware, on makeself archives with the options, strings and lies of the real ones."""
import json
import shutil
import subprocess
import sys

from parts.node import Node, doubles
from parts.origin import Origin

OLD, NEW = ("24.1.rc3", "7.5.0.1.129"), ("25.2.0", "7.7.0.6.236")


def pack(folder):
    for kind, versions in (("driver", (OLD[0], NEW[0])), ("firmware", (OLD[1], NEW[1]))):
        for version in versions:
            subprocess.run([sys.executable, doubles("make_run"), kind, "--version", version, "--output", folder], check=True, capture_output=True)
    return {"driver": {version: next(folder.glob(f"*driver_{version}_*")).name for version in (OLD[0], NEW[0])},
            "firmware": {version: next(folder.glob(f"*firmware_{version}.run")).name for version in (OLD[1], NEW[1])}}


class Road:
    def __init__(self, build, work, origin, names):
        self.build, self.work, self.origin, self.names = build, work, origin, names

    def node(self, installed=None):
        """A node on which `installed` came in by an earlier rollout and is in effect; without it a bare one."""
        node = Node(self.build, self.work)
        node.write("etc/group", "root:x:0:\n")
        node.write("etc/passwd", "root:x:0:0::/root:/bin/bash\n")
        for name in ("groupadd", "useradd"):
            shutil.copy(doubles("host/groupadd"), node.root / "usr/local/bin" / name)
        if installed:
            outcome = self.install(node, installed)
            assert outcome.succeeded, outcome
            node.reboot()
        return node

    def want(self, versions, **more):
        driver, firmware = versions
        return {"version": driver, "driver": self.origin.artifact(self.names["driver"][driver]), "firmware_version": firmware,
                "firmware": self.origin.artifact(self.names["firmware"][firmware]), **more}

    def install(self, node, versions, **more):
        return node.apply("driver", install_driver=self.want(versions, **more))

    def state(self, node, versions, **more):
        return node.check("driver", install_driver=self.want(versions, **more))


def order(outcome):
    return [line.split("/")[-1] for line in outcome.lines if line.startswith("$ ") and ".run" in line]


def cases(checks, road):
    with road.node() as node:
        outcome = road.install(node, NEW)
        commands = order(outcome)
        checks.that("first install: driver before firmware, both --full", outcome.succeeded and len(commands) == 2 and "driver" in commands[0]
                    and "--full" in commands[0] and "firmware" in commands[1] and "--full" in commands[1], f"{commands} {outcome}", "; ".join(commands))
        checks.that("user and group come first", "HwHiAiUser" in node.read("etc/group") and "HwHiAiUser" in node.read("etc/passwd"))
        checks.that("kernel headers are asked for before", any("/lib/modules/" in line for line in outcome.lines), outcome)
        before = road.state(node, NEW)
        checks.that("one reboot for both is asked for", before.get("reboot_needed") and before.get("state") == "ABSENT", before)
        node.reboot()
        after = road.state(node, NEW)
        checks.that("after it both are in effect", after.get("state") == "PRESENT" and after.get("token") == "/".join(NEW), after)
        again = road.install(node, NEW)
        checks.that("a second time no installer runs", again.succeeded and not order(again) and not again.operation.get("changed"), again)
    with road.node(OLD) as node:
        for entry in (OLD[0], "24.1.rc3..25.0.0", "23.0..24.1.0"):
            skipped = road.state(node, NEW, accepted_versions=["22.0.4", entry])
            checks.that(f"24.1.rc3 is accepted by {entry}", skipped.get("state") == "PRESENT" and skipped.get("token") == "/".join(OLD), skipped)
        for entry in ("24.1.0..25.0.0", "23.0..24.1.rc2", "24.1.rc2"):
            state = road.state(node, NEW, accepted_versions=[entry])
            checks.that(f"24.1.rc3 is not accepted by {entry}", state.get("state") == "ABSENT" and "24.1.rc3 is installed" in state.get("reason", ""), state)
        outcome = road.install(node, NEW)
        commands = order(outcome)
        checks.that("upgrade: firmware before driver, which gets --upgrade", outcome.succeeded and len(commands) == 2 and "firmware" in commands[0]
                    and "driver" in commands[1] and "--upgrade" in commands[1], f"{commands} {outcome}", "; ".join(commands))
        node.reboot()
        checks.that("the upgrade is in effect after one reboot", road.state(node, NEW).get("token") == "/".join(NEW))
        fetched = len(road.origin.requests())
        refused = road.install(node, OLD)
        checks.fails("a downgrade is refused unless asked for", refused, "CONFIG", "downgrade", "allowDowngrade")
        checks.that("nothing was fetched for it", len(road.origin.requests()) == fetched)
        checks.that("a plan says so at once", "downgrade" in json.dumps(road.state(node, OLD).get("failure", {})), road.state(node, OLD))
        asked = road.install(node, OLD, allow_downgrade=True)
        checks.that("and done when asked for", asked.succeeded and len(order(asked)) == 2, asked)


def lies(checks, road):
    def fault(node, **values):
        node.write("var/lib/npufleet-doubles/faults.json", json.dumps(values))
    texts = {"The list of missing tools: lspci,ifconfig,": ("NEEDS_OPERATOR", "DRV-02"), "Dkms install failed, details in : /var/log/a.log": ("NEEDS_OPERATOR", "DRV-03"),
             "ERR_NO:0x0094;ERR_DES:Another installation program is running": ("TRANSIENT", "DRV-12"),
             "The davinci nodes are occupied by some processes, please stop processes and install or uninstall again": ("TRANSIENT", "DRV-13"),
             "Arch mismatch, src package is aarch64, but the system is x86_64.": ("CONFIG", "DRV-14"),
             "free space only 100M, need 2G": ("NEEDS_OPERATOR", "DRV-18")}
    with road.node() as node:
        for text, (failure_class, signature) in texts.items():
            fault(node, driver={"do": f"fail:{text}", "times": 1})
            checks.fails(f"the installer says: {text[:40]}", road.install(node, NEW), failure_class, signature=signature)
            checks.that("nothing counts as installed", road.state(node, NEW).get("state") == "ABSENT")
        for what in ("lie", "refuse"):
            fault(node, driver={"do": what, "times": 1})
            checks.fails(f"exit 0, and nothing installed ({what})", road.install(node, NEW), "TRANSIENT", "what it was to install is not there")
        fault(node, driver={"do": "ask", "times": 1})
        checks.fails("an installer that asks for ever", road.install(node, NEW), "NEEDS_OPERATOR", "asks")
        fault(node, driver={"do": "hang", "times": 1})
        checks.fails("an installer that hangs", road.install(node, NEW, install_deadline="2s"), "TRANSIENT", "did not end within")
        fault(node, driver={"do": "torn", "times": 1})
        checks.fails("an installer that dies in the middle", road.install(node, NEW), "NEEDS_OPERATOR", signature="DRV-03")
        checks.that("what is torn is said so", "torn" in road.state(node, NEW).get("reason", ""), road.state(node, NEW))
        fault(node, firmware="exit2")
        outcome = road.install(node, NEW)
        checks.that("and the next try makes it whole, the firmware with its exit 2", outcome.succeeded, outcome)
    with road.node() as node:
        want = road.want(NEW)
        want["driver"] = {**want["driver"], "sha256": "0" * 64}
        checks.fails("a package of other bytes", node.apply("driver", install_driver=want), "CONFIG", "sha256")
        want["driver"] = {"url": f"{road.origin.url}/gone.run", "sha256": "0" * 64}
        checks.fails("a package that is not there", node.apply("driver", install_driver=want), "CONFIG", "HTTP 404")
        checks.that("no installer ran", not node.exists("var/log/ascend_seclog/ascend_install.log"))
        fault(node, **{"driver.takes_effect": "immediately"})
        road.install(node, NEW)
        state = road.state(node, NEW)
        checks.that("firmware waits for the reboot even if the driver does not", state.get("reboot_needed") and "firmware" in state.get("reason", ""), state)


def run(checks, build, work):
    served = work / "served"
    served.mkdir()
    road_origin = None
    try:
        names = pack(served)
        road_origin = Origin(work, served)
        road = Road(build, work, road_origin, names)
        cases(checks, road)
        lies(checks, road)
    finally:
        if road_origin:
            road_origin.end()
