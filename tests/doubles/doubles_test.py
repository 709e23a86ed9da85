#!/usr/bin/env python3
"""Proves the doubles: python3 tests/doubles/doubles_test.py. Needs no root and leaves nothing behind."""
import hashlib
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ANSI = re.compile(r"\033\[[0-9;]*m")


def load(name, file):
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, str(file)))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_run = load("make_run", HERE / "make_run")
origin = load("origin", HERE / "origin/origin.py")


class Root(unittest.TestCase):
    """A temporary root with the installers' archives beside it."""

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.root = self.directory / "root"
        (self.root / "etc").mkdir(parents=True)
        self.add_user()
        self.boot("boot-1")

    def add_user(self):
        (self.root / "etc/group").write_text("root:x:0:\nHwHiAiUser:x:1000:\n")
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nHwHiAiUser:x:1000:1000::/home/HwHiAiUser:/bin/sh\n")

    def boot(self, boot_id):
        (self.root / "proc-boot-id").write_text(f"{boot_id}\n")

    def faults(self, **values):
        file = self.root / "var/lib/npufleet-doubles/faults.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({key.replace("__", "."): value for key, value in values.items()}))

    def environment(self, **more):
        return {**os.environ, "NPUFLEET_DOUBLE_ROOT": str(self.root), "TMPDIR": str(self.directory),
                "NPUFLEET_DOUBLE_BOOT_ID_FILE": str(self.root / "proc-boot-id"), "NPUFLEET_DOUBLE_SECONDS": "0", **more}

    def run_in_root(self, *argv, input="", timeout=30):
        done = subprocess.run([str(item) for item in argv], env=self.environment(), input=input, text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, ANSI.sub("", done.stdout), done.stdout

    def archive(self, kind, version):
        return make_run.pack(kind, version, self.directory)

    def install(self, kind, version, *options, input=""):
        return self.run_in_root(self.archive(kind, version), *(options or ("--full", "--quiet")), input=input)

    def npu_smi(self, *arguments):
        return self.run_in_root(self.root / "usr/local/bin/npu-smi", *arguments)[:2]

    def text(self, name):
        return (self.root / name).read_text()


class DriverTest(Root):
    def test_first_install_is_in_effect_after_a_reboot(self):
        status, text, raw = self.install("driver", "25.0.rc1.b080")
        self.assertEqual(status, 0, text)
        self.assertIn("Driver package installed successfully! Reboot needed for installation/upgrade to take effect!", text)
        self.assertIn("\033[32mDriver package installed successfully! \033[0m", raw)
        self.assertIn("Version=25.0.rc1.b080\n", self.text("usr/local/Ascend/driver/version.info"))
        self.assertIn("Driver_Install_Status=complete\n", self.text("etc/ascend_install.info"))
        self.assertEqual(self.npu_smi("info"),
                         (187, "DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\ndcmi module initialize failed. ret is -8005\n"))
        self.boot("boot-2")
        status, text = self.npu_smi("info")
        self.assertEqual(status, 0)
        self.assertIn("| npu-smi 25.0.rc1.b080            Version: 25.0.rc1.b080 ", text)

    def test_upgrade_asks_for_a_reboot_and_keeps_the_old_firmware_in_effect_until_then(self):
        self.install("driver", "25.0.rc1.b080")
        self.install("firmware", "7.7.t20.0.b200")
        self.boot("boot-2")
        status, text, _ = self.install("firmware", "7.7.0.6.236", "--upgrade", "--quiet")
        self.assertIn("Firmware package upgraded successfully! Reboot now or after driver installation", text)
        self.assertIn("The firmware of [8] chips are successfully upgraded.", text)
        self.assertIn("Firmware Version               : 7.7.t20.0.b200", self.npu_smi("info", "-t", "board", "-i", "0")[1])
        status, text, _ = self.install("driver", "25.2.0", "--upgrade", "--quiet")
        self.assertEqual(status, 0)
        self.assertIn("Driver package upgraded successfully! Reboot needed", text)
        self.assertEqual(self.npu_smi("info")[0], 187)
        self.boot("boot-3")
        board = self.npu_smi("info", "-t", "board", "-i", "7")[1]
        self.assertIn("Software Version               : 25.2.0", board)
        self.assertIn("Firmware Version               : 7.7.0.6.236", board)

    def test_install_of_what_is_in_effect_takes_effect_immediately(self):
        self.install("driver", "25.2.0")
        self.boot("boot-2")
        status, text, _ = self.install("driver", "25.2.0")
        self.assertEqual(status, 0)
        self.assertIn("The new version takes effect immediately.", text)
        self.assertEqual(self.npu_smi("info")[0], 0)

    def test_refuses_without_its_user(self):
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        status, text, _ = self.install("driver", "25.2.0")
        self.assertEqual(status, 1)
        self.assertIn("ERR_NO:0x0091;ERR_DES:HwHiAiUser not exists!", text)

    def test_firmware_wants_the_driver_first(self):
        status, text, _ = self.install("firmware", "7.7.0.6.236")
        self.assertEqual(status, 1)
        self.assertIn("ERR_NO:0x0080", text)

    def test_upgrade_of_nothing_is_refused(self):
        self.assertEqual(self.install("driver", "25.2.0", "--upgrade", "--quiet")[0], 1)

    def test_options_that_do_not_go_together_are_refused(self):
        for options in (["--full", "--upgrade"], ["--upgrade", "--install-for-all"], ["--full", "--install-username=a"],
                        ["--full", "--nonsense"], []):
            status, text, _ = self.install("driver", "25.2.0", *(options or ["--quiet"]))
            self.assertEqual(status, 1, options)
            self.assertIn("ERR_NO:0x0004", text)

    def test_answering_no_ends_with_status_0_and_installs_nothing(self):
        self.install("driver", "25.0.rc1.b080")
        status, text, _ = self.install("driver", "25.2.0", "--full", input="maybe\nn\n")
        self.assertEqual(status, 0)
        self.assertIn("[INFO]installation Stoped!", text)
        self.assertIn("Version=25.0.rc1.b080\n", self.text("usr/local/Ascend/driver/version.info"))

    def test_busy_chips_stop_it(self):
        self.install("driver", "25.0.rc1.b080")
        holder = subprocess.Popen(["sleep", "100"], env=self.environment(NPUFLEET_DOUBLE_CHIP="2"))
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        status, text, _ = self.install("driver", "25.2.0", "--upgrade", "--quiet")
        self.assertEqual(status, 1)
        self.assertIn("The davinci nodes are occupied by some processes", text)

    def test_a_changed_byte_fails_the_archive(self):
        archive = self.archive("driver", "25.2.0")
        content = archive.read_bytes()
        archive.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        self.assertEqual(self.run_in_root(archive, "--full", "--quiet")[0], 2)

    def test_equal_input_gives_equal_bytes(self):
        first = self.archive("driver", "25.2.0").read_bytes()
        self.assertEqual(first, self.archive("driver", "25.2.0").read_bytes())

    def test_uninstall_removes_the_tools(self):
        self.install("driver", "25.2.0")
        self.assertEqual(self.install("driver", "25.2.0", "--uninstall", "--quiet")[0], 0)
        self.assertFalse((self.root / "usr/local/bin/npu-smi").exists())


class DriverFaultTest(Root):
    def test_lie_says_success_and_installs_nothing(self):
        self.faults(driver="lie")
        status, text, _ = self.install("driver", "25.2.0")
        self.assertEqual(status, 0)
        self.assertIn("installed successfully", text)
        self.assertFalse((self.root / "usr/local/Ascend/driver").exists())

    def test_a_fault_for_one_run_is_gone_after_it(self):
        self.faults(driver={"do": "fail:Dkms install failed", "times": 1})
        status, text, _ = self.install("driver", "25.2.0")
        self.assertEqual(status, 1)
        self.assertIn("[ERROR]Dkms install failed", text)
        self.assertEqual(self.install("driver", "25.2.0")[0], 0)

    def test_torn_leaves_half_of_an_install(self):
        self.faults(driver="torn")
        self.assertEqual(self.install("driver", "25.2.0")[0], 1)
        self.assertTrue((self.root / "usr/local/Ascend/driver/lib64").exists())
        self.assertFalse((self.root / "usr/local/Ascend/driver/version.info").exists())

    def test_hang_and_ask_go_on_until_they_are_killed(self):
        for fault, shown in (("hang", "upgradePercentage:40%"), ("ask", "do you want to continue?  [y/n]")):
            self.faults(driver=fault)
            process = subprocess.Popen([self.archive("driver", "25.2.0"), "--full", "--quiet"], env=self.environment(),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True)
            for line in process.stdout:
                if shown in line:
                    break
            self.assertIsNone(process.poll(), fault)
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            process.wait()

    def test_firmware_may_succeed_with_status_2(self):
        self.install("driver", "25.2.0")
        self.faults(firmware="exit2")
        status, text, _ = self.install("firmware", "7.7.0.6.236")
        self.assertEqual(status, 2)
        self.assertIn("Firmware package installed successfully!", text)

    def test_takes_effect_immediately_on_command(self):
        self.faults(driver__takes_effect="immediately")
        self.assertIn("takes effect immediately", self.install("driver", "25.2.0")[1])
        self.assertEqual(self.npu_smi("info")[0], 0)


class ToolsTest(Root):
    def setUp(self):
        super().setUp()
        self.install("driver", "25.2.0")
        self.install("firmware", "7.7.0.6.236")
        self.boot("boot-2")

    def hccn_tool(self, *arguments):
        return self.run_in_root(self.root / "usr/local/Ascend/driver/tools/hccn_tool", *arguments)[:2]

    def test_every_line_of_the_table_is_equally_wide(self):
        for version, width in (("25.2.0", 98), ("26.1.0", 116)):
            self.install("driver", version)
            self.boot(f"boot-{version}")
            holder = subprocess.Popen(["sleep", "100"], env=self.environment(NPUFLEET_DOUBLE_CHIP="1"))
            try:
                lines = self.npu_smi("info")[1].splitlines()
            finally:
                holder.kill()
                holder.wait()
            self.assertEqual({len(line) for line in lines}, {width})
            self.assertEqual(sum("910B3" in line for line in lines), 8)
            self.assertTrue(any(f"| {holder.pid} " in line and "sleep" in line for line in lines))
            self.assertIn("| 1     910B3               | OK            | 92.0", "\n".join(lines))
            self.assertIn("4314 / 65536", "\n".join(lines))

    def test_rows_are_those_of_a_real_910b3(self):
        text = self.npu_smi("info")[1]
        self.assertIn("| 0     910B3               | OK            | 101.8       43                0    / 0             |\n"
                      "| 0                         | 0000:C1:00.0  | 0           0    / 0          3318 / 65536         |\n", text)
        self.assertIn("| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|\n"
                      "| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |\n", text)
        self.assertIn("| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |\n", text)

    def test_lists_and_details(self):
        self.assertIn("Total Count                    : 8", self.npu_smi("info", "-l")[1])
        self.assertEqual(self.npu_smi("info", "-m")[1].count("Mcu"), 8)
        self.assertIn("Error Code                     : NA", self.npu_smi("info", "-t", "health", "-i", "0", "-c", "0")[1])
        self.assertIn("HBM Capacity(MB)               : 65536", self.npu_smi("info", "-t", "usages", "-i", "0")[1])
        self.assertIn("HBM Manufacturer ID", self.npu_smi("info", "-t", "memory", "-i", "0")[1])
        self.assertIn("No process in device.", self.npu_smi("info", "-t", "proc-mem", "-i", "0")[1])
        self.assertIn("25.2.0", self.npu_smi("-v")[1])
        self.assertIn("Invalid card id.", self.npu_smi("info", "-t", "health", "-i", "9")[1])

    def test_faults_of_chips_show(self):
        self.faults(chip__3__health="Alarm", chip__3__codes="A4025021 8C03A000", chip__5__missing=True, chip__6__unread=True)
        text = self.npu_smi("info")[1]
        self.assertIn("| 3     910B3               | Alarm ", text)
        self.assertNotIn("| 5     910B3", text)
        self.assertIn("| OK            | 0.0         0 ", text)
        self.assertIn("0    / 0             |\n+===", text)
        self.assertIn("Error Code                     : A4025021 8C03A000",
                      self.npu_smi("info", "-t", "health", "-i", "3", "-c", "0")[1])

    def test_faults_of_the_tool_show(self):
        self.faults(**{"npu-smi": "-8020"})
        self.assertEqual(self.npu_smi("info"), (172, "dcmi model initialized failed, because the device is used. ret is -8020\n"))
        self.faults(**{"npu-smi__settle_seconds": 100})
        self.assertEqual(self.npu_smi("info")[0], 187)
        whole = len(self.npu_smi("info")[1])
        self.faults(**{"npu-smi": "truncated"})
        self.assertGreater(len(self.npu_smi("info")[1]), whole)

    def test_a_code_comes_with_a_health_that_is_not_ok_in_the_tools_own_spelling(self):
        self.faults(chip__3__codes="0x80e18005 81078603")
        self.assertIn("| 3     910B3               | Warning ", self.npu_smi("info")[1])
        self.assertIn("Error Code                     : 80E18005 81078603", self.npu_smi("info", "-t", "health", "-i", "3", "-c", "0")[1])
        self.faults(chip__3__codes=float("inf"))  # what json makes of 80E18005
        status, text = self.npu_smi("info")
        self.assertEqual(status, 1)
        self.assertIn("chip.3.codes is a number", text)

    def reset(self, input="y\ny\n", chip="1"):
        return self.run_in_root(self.root / "usr/local/bin/npu-smi", "set", "-t", "reset", "-i", chip, "-c", "0", "-m", "1", input=input)[:2]

    def codes(self, chip):
        text = self.npu_smi("info", "-t", "health", "-i", str(chip), "-c", "0")[1]
        return re.search(r"Error Code +: (.*)", text)[1]

    def test_a_reset_asks_twice_and_ends_the_codes_of_all_chips(self):
        self.faults(chip__1__codes="80E18005", chip__1__health="Alarm", chip__2__codes="8C03A000", chip__3__missing=True)
        status, text = self.reset()
        self.assertEqual(status, 0, text)
        for line in ("Are you sure you want to continue resetting?(Y/N)\n", "hccs is on, it will reboot all devices, do you want to continue reboot? [y/n]\n",
                     "\tStatus                         : OK\n", "\tMessage                        : Reset server successfully.\n"):
            self.assertIn(line, text)
        self.assertEqual([self.codes(1), self.codes(2)], ["NA", "NA"])
        self.assertEqual(json.loads(self.text("var/lib/npufleet-doubles/faults.json")), {"chip.3.missing": True})

    def test_a_reset_without_its_answers_is_aborted(self):
        self.faults(chip__1__codes="80E18005")
        for input, status, message in (("", 200, "User aborts reset server by inband."), ("n\n", 200, "User aborts"), ("y\nno\nn\n", 200, "User aborts"),
                                       ("y\n", 211, "Failed to reset server")):
            self.assertEqual(self.reset(input)[0], status, input)
            self.assertIn(message, self.reset(input)[1])
        self.assertEqual(self.codes(1), "80E18005")

    def test_no_reset_while_a_process_uses_a_chip(self):
        self.faults(chip__1__codes="80E18005", processes=[{"chip": 4, "pid": 4711, "name": "python3", "mb": 100}])
        status, text = self.reset()
        self.assertEqual(status, 196)
        self.assertIn("\tStatus                         : Fail\n\tMessage                        : Failed to reset server\n", text)
        self.assertEqual(self.codes(1), "80E18005")

    def test_resets_fail_on_command(self):
        self.faults(chip__1__codes="80E18005", reset={"do": "fail", "times": 1})
        self.assertIn("Failed to reset server", self.reset()[1])
        self.assertEqual(self.reset()[0], 0)
        self.assertEqual(self.codes(1), "NA")
        self.faults(reset="unsupported")
        self.assertEqual(self.reset(), (217, "This device does not support setting reset.\n"))
        self.assertIn("Invalid card id.", self.reset(chip="9")[1])

    def test_a_code_stays_on_command_for_ever_or_until_the_next_boot(self):
        self.faults(chip__1__codes="80E18005", chip__1__reset="keep")
        self.assertEqual(self.reset()[0], 0)
        self.boot("boot-3")
        self.assertEqual(self.codes(1), "80E18005")
        self.faults(chip__1__codes="80E18005", chip__1__reset="until-reboot")
        self.boot("boot-4")
        self.assertEqual(self.codes(1), "80E18005")
        self.assertEqual(self.reset()[0], 0)
        self.assertEqual(self.codes(1), "80E18005")
        self.boot("boot-5")
        self.assertEqual(self.codes(1), "NA")
        self.assertIn("| 1     910B3               | OK ", self.npu_smi("info")[1])

    def test_the_ranks_of_vllm_are_on_their_chips(self):
        for chip in (2, 5):
            rank = subprocess.Popen(["ray::RayWorkerWrapper", "-c", "import time; print(flush=True); time.sleep(100)"], executable=sys.executable,
                                    env=self.environment(ASCEND_RT_VISIBLE_DEVICES="2,5"), stdout=subprocess.PIPE)
            self.addCleanup(rank.wait)
            self.addCleanup(rank.kill)
            self.addCleanup(rank.stdout.close)
            rank.stdout.readline()
            self.assertIn(f"Process id:{rank.pid}", self.npu_smi("info", "-t", "proc-mem", "-i", str(chip))[1])
        self.assertIn("No process in device.", self.npu_smi("info", "-t", "proc-mem", "-i", "0")[1])
        self.assertEqual(self.reset()[0], 196)

    def test_hccn_tool_keeps_addresses_and_tls(self):
        self.assertEqual(self.hccn_tool("-i", "0", "-ip", "-g"), (0, ""))
        self.assertEqual(self.hccn_tool("-i", "0", "-ip", "-s", "address", "198.19.1.10", "netmask", "255.255.0.0")[0], 0)
        self.assertEqual(self.hccn_tool("-i", "0", "-ip", "-g"), (0, "ipaddr:198.19.1.10\nnetmask:255.255.0.0\n"))
        self.assertIn("address_0=198.19.1.10\n", self.text("etc/hccn.conf"))
        self.assertEqual(self.hccn_tool("-i", "0", "-link", "-g"), (0, "link status: UP\n"))
        self.assertEqual(self.hccn_tool("-i", "0", "-net_health", "-g"), (0, "net health status: Init\n"))
        self.assertIn("tls switch[0]", self.hccn_tool("-i", "0", "-tls", "-g")[1])
        self.hccn_tool("-i", "0", "-tls", "-s", "enable", "1")
        self.assertIn("tls switch[1]", self.hccn_tool("-i", "0", "-tls", "-g")[1])
        self.assertIn("0.00% packet loss", self.hccn_tool("-i", "0", "-ping", "-g", "address", "198.19.2.10")[1])
        self.faults(chip__0__ping="fail", chip__0__link="DOWN")
        self.assertIn("100.00% packet loss", self.hccn_tool("-i", "0", "-ping", "-g", "address", "198.19.2.10")[1])
        self.assertEqual(self.hccn_tool("-i", "0", "-link", "-g"), (0, "link status: DOWN\n"))
        self.assertEqual(self.hccn_tool("-i", "9", "-link", "-g")[0], 1)


class RuntimeTest(Root):
    def test_edits_daemon_json_and_keeps_other_keys(self):
        file = self.root / "etc/docker/daemon.json"
        file.parent.mkdir()
        file.write_text('{"log-level": "warn"}')
        status, text, _ = self.install("runtime", "6.0.0", "--install")
        self.assertEqual(status, 0)
        self.assertIn("[INFO] ascend-docker-runtime install success", text)
        document = json.loads(file.read_text())
        self.assertEqual(document["default-runtime"], "ascend")
        self.assertEqual(document["log-level"], "warn")
        self.assertEqual(document["runtimes"]["ascend"], {
            "path": "/usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime", "runtimeArgs": []})
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    def test_newer_ones_ask_for_the_licence(self):
        self.faults(runtime__eula="yes")
        status, text, _ = self.install("runtime", "6.0.0", "--install", input="x\nN\n")
        self.assertEqual(status, 0)
        self.assertEqual(text.count("Do you accept the EULA"), 2)
        self.assertFalse((self.root / "etc/docker/daemon.json").exists())
        self.assertIn("install success", self.install("runtime", "6.0.0", "--install", input="Y\n")[1])

    def test_broken_daemon_json_is_refused(self):
        (self.root / "etc/docker").mkdir()
        (self.root / "etc/docker/daemon.json").write_text("{")
        self.assertEqual(self.install("runtime", "6.0.0", "--install")[0], 1)

    def test_the_wrapper_asks_runc_only_for_what_this_host_has(self):
        (self.directory / "bin").mkdir()
        runc = self.directory / "bin/runc"
        runc.write_text('#!/bin/sh\necho "$@"\n')
        runc.chmod(0o755)
        bundle = self.directory / "bundle"
        bundle.mkdir()
        asked = {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_NOT_OF_ANY_KERNEL"]}}
        (bundle / "config.json").write_text(json.dumps({"process": asked}))
        (bundle / "process.json").write_text(json.dumps(asked))
        environment = {**os.environ, "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        for arguments, file in ((["--root", "/r", "create", "--bundle", str(bundle), "id"], "config.json"),
                                (["exec", "--process", str(bundle / "process.json"), "id"], "process.json")):
            done = subprocess.run([HERE / "tools/ascend-docker-runtime", *arguments], env=environment, text=True,
                                  stdout=subprocess.PIPE, check=True)
            self.assertEqual(done.stdout.split(), arguments)
            document = json.loads((bundle / file).read_text())
            self.assertNotIn("CAP_NOT_OF_ANY_KERNEL", json.dumps(document))


class OriginTest(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.content = os.urandom(300_000)
        model = self.directory / "models/Qwen/Tiny"
        model.mkdir(parents=True)
        (model / "weights.safetensors").write_bytes(self.content)
        (model / "config.json").write_text("{}")
        self.server = origin.Origin(("127.0.0.1", 0), self.directory)
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.path = "/models/Qwen/Tiny/weights.safetensors"

    def ask(self, path, method="GET", body=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.server_port}{path}", method=method, data=body,
                                         headers={name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def fault(self, **rule):
        self.assertEqual(self.ask("/_control/faults", "POST", json.dumps({"path": self.path, **rule}).encode())[0], 200)

    def test_serves_whole_files_and_ranges(self):
        status, headers, content = self.ask(self.path)
        self.assertEqual((status, content), (200, self.content))
        self.assertEqual(headers["ETag"], f'"{self.sha256}"')
        status, headers, content = self.ask(self.path, Range="bytes=1000-1999")
        self.assertEqual((status, content), (206, self.content[1000:2000]))
        self.assertEqual(headers["Content-Range"], "bytes 1000-1999/300000")
        self.assertEqual(self.ask(self.path, Range="bytes=299990-")[2], self.content[-10:])
        self.assertEqual(self.ask(self.path, Range="bytes=300000-")[0], 416)
        self.assertEqual(self.ask(self.path, Range="bytes=0-9", If_Range='"other"')[0], 200)
        self.assertEqual(self.ask(self.path, "HEAD")[2], b"")
        self.assertEqual(self.ask("/../etc/passwd")[0], 404)

    def test_lists_digests(self):
        self.assertIn(f"{self.sha256}  models/Qwen/Tiny/weights.safetensors\n".encode(), self.ask("/SHA256SUMS")[2])

    def test_faults_hit_the_number_of_times_that_was_said(self):
        self.fault(fault="status", status=429, retry_after=7)
        status, headers, _ = self.ask(self.path)
        self.assertEqual((status, headers["Retry-After"]), (429, "7"))
        self.assertEqual(self.ask(self.path)[0], 200)
        self.fault(fault="wrong", times=2)
        for _ in range(2):
            content = self.ask(self.path)[2]
            self.assertEqual(len(content), len(self.content))
            self.assertNotEqual(content, self.content)
        self.assertEqual(self.ask(self.path)[2], self.content)
        self.fault(fault="no_range")
        self.assertEqual(self.ask(self.path, Range="bytes=0-9")[0], 200)
        self.assertEqual(self.ask("/_control/faults", "POST", b'{"path": "/x", "fault": "nonsense"}')[0], 400)

    def test_cut_ends_the_connection_after_the_bytes(self):
        self.fault(fault="cut", bytes=1000)
        with self.assertRaises(Exception) as caught:
            self.ask(self.path)
        self.assertEqual(type(caught.exception).__name__, "IncompleteRead")
        requests = json.loads(self.ask("/_control/requests")[2])["requests"]
        self.assertEqual(requests[-1]["sent"], 1000)

    def test_is_a_modelscope_hub(self):
        answer = json.loads(self.ask("/api/v1/models/Qwen/Tiny/repo/files?Revision=master&Recursive=True")[2])
        self.assertEqual(answer["Code"], 200)
        files = {file["Path"]: file for file in answer["Data"]["Files"]}
        self.assertEqual(files["weights.safetensors"]["Sha256"], self.sha256)
        self.assertEqual(files["weights.safetensors"]["Size"], 300000)
        content = self.ask("/api/v1/models/Qwen/Tiny/repo?Revision=master&FilePath=weights.safetensors")[2]
        self.assertEqual(content, self.content)
        self.assertEqual(self.ask("/api/v1/models/Qwen/None/repo/files?Revision=master&Recursive=True")[0], 404)

    def test_is_a_hugging_face_hub(self):
        tree = {item["path"]: item for item in json.loads(self.ask("/api/models/Qwen/Tiny/tree/main?recursive=true")[2])}
        self.assertEqual(tree["weights.safetensors"]["lfs"]["oid"], self.sha256)
        self.assertNotIn("lfs", tree["config.json"])
        status, headers, content = self.ask("/Qwen/Tiny/resolve/main/weights.safetensors")
        self.assertEqual((status, content), (200, self.content))
        self.assertEqual(headers["X-Linked-Etag"], f'"{self.sha256}"')
        self.assertEqual(self.ask("/Qwen/Tiny/resolve/main/none.json")[0], 404)


if __name__ == "__main__":
    unittest.main()
