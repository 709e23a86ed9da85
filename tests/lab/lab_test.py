#!/usr/bin/env python3
"""Proves the lab itself: python3 tests/lab/lab_test.py. Needs what `lab check` asks for, and no lab that is up."""
import json
import subprocess
import sys
import time
import unittest
from pathlib import Path

LAB = Path(__file__).resolve().parent / "lab"


def lab(*arguments, check=True):
    done = subprocess.run([LAB, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"lab {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def status():
    return {node["node"]: node for node in json.loads(lab("status", "--json", check=False).stdout)["nodes"]}


def pings(node, other):
    return lab("exec", node, "ping", "-c", "1", "-W", "1", other, check=False).returncode == 0


class LabTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lab("up")

    @classmethod
    def tearDownClass(cls):
        lab("down")

    def test_nodes_are_bare_servers(self):
        for name, address in (("node-a", "198.18.77.11"), ("node-b", "198.18.77.12")):
            self.assertEqual(lab("address", name).stdout.strip(), address)
            self.assertIn(f"{address}/24", lab("exec", name, "ip", "-brief", "address", "show", "dev", "enp67s0f0").stdout)
            self.assertEqual(lab("exec", name, "hostname").stdout.strip(), name)
            self.assertEqual(len(lab("exec", name, "lspci", "-d", "19e5:d802").stdout.splitlines()), 8)
            self.assertEqual(lab("exec", name, "test", "-c", "/dev/davinci7").returncode, 0)
            for tool in ("docker", "npu-smi"):
                self.assertNotEqual(lab("exec", name, "sh", "-c", f"command -v {tool}", check=False).returncode, 0)

    def test_a_second_up_changes_nothing(self):
        before = status()
        lab("up")
        self.assertEqual(status(), before)

    def test_reboot_and_power_cut_give_another_boot_and_keep_files(self):
        for command in ("reboot", "powercut"):
            before = status()
            lab("exec", "node-b", "touch", f"/root/{command}")
            lab(command, "node-b")
            after = status()
            self.assertEqual(after["node-b"]["state"], "running")
            self.assertNotEqual(after["node-b"]["boot_id"], before["node-b"]["boot_id"])
            self.assertEqual(after["node-a"], before["node-a"])
            lab("exec", "node-b", "test", "-e", f"/root/{command}")

    def test_a_node_without_power_stays_off_until_it_is_started(self):
        lab("powercut", "node-b", "--stay-off")
        self.assertEqual(status()["node-b"]["state"], "off")
        self.assertIn("node-b", lab("logs", "node-b").stdout)
        lab("start", "node-b")
        self.assertEqual(status()["node-b"]["state"], "running")

    def test_a_cut_cable_stays_cut_over_a_reboot(self):
        self.assertTrue(pings("node-a", "node-b"))
        lab("cut", "node-b")
        self.assertFalse(pings("node-a", "node-b"))
        lab("reboot", "node-b")
        self.assertFalse(pings("node-a", "node-b"))
        lab("heal", "node-b")
        deadline = time.monotonic() + 10
        while not pings("node-a", "node-b"):
            self.assertLess(time.monotonic(), deadline)

    def test_the_origin_serves_what_its_list_says(self):
        script = "cd /tmp && curl -sO http://198.18.77.1:8000/SHA256SUMS && f=$(grep -o 'drivers/.*driver_25.0.*' SHA256SUMS) && " \
                 "mkdir -p drivers && curl -s -o \"$f\" \"http://198.18.77.1:8000/$f\" && grep \"$f\" SHA256SUMS | sha256sum -c"
        self.assertIn("OK", lab("exec", "node-a", "sh", "-c", script).stdout)

    def test_an_unknown_node_is_named(self):
        done = lab("reboot", "node-c", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no node 'node-c': the lab has node-a and node-b", done.stderr)


if __name__ == "__main__":
    if lab("check", check=False).returncode == 3:
        print(f"skipped: {lab('check', check=False).stderr.strip()}")
        sys.exit(0)
    unittest.main()
