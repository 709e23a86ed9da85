#!/usr/bin/env python3
"""Proves the doubles of dockerd and Ray: python3 tests/doubles/docker_test.py. Needs no root and leaves nothing behind."""
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=20)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        time.sleep(0.02)
    return answer


class DockerTest(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.start()
        self.addCleanup(self.stop)

    def start(self):
        self.process = subprocess.Popen([sys.executable, HERE / "docker/dockerd"], env={**os.environ, "NPUFLEET_DOUBLE_ROOT": str(self.root)},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers)

    def answers(self):
        try:
            return self.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def stop(self, kill=False):
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(15)

    def ask(self, method, path, document=None, body=None):
        connection = Connection(self.root / "var/run/docker.sock")
        data = body if body is not None else json.dumps(document) if document is not None else None
        connection.request(method, path, data, {"Content-Type": "application/json"} if document is not None else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def get(self, path):
        status, content = self.ask("GET", path)
        self.assertEqual(status, 200, content)
        return json.loads(content)

    def load_image(self):
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]},
                             "config": {"Cmd": ["/bin/bash"], "Env": ["PATH=/opt/engine/bin:/usr/bin:/bin", "GREETING=hello"]}}).encode()
        name = hashlib.sha256(config).hexdigest()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": ["registry.example/engine:v1"], "Layers": ["a/layer.tar"]}]).encode()
            for path, content in ((f"{name}.json", config), ("a/layer.tar", b"x" * 100), ("manifest.json", manifest)):
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        status, said = self.ask("POST", "/images/load?quiet=0", body=packed.getvalue())
        self.assertEqual(status, 200)
        self.assertIn(b"Loaded image: registry.example/engine:v1", said)
        return f"sha256:{name}"

    def run_container(self, name="engine", binds=()):
        status, content = self.ask("POST", f"/containers/create?name={name}",
                                   {"Image": "registry.example/engine:v1", "Env": ["MORE=1"], "Labels": {"npufleet.stamp": "s1"},
                                    "Tty": True, "OpenStdin": True, "HostConfig": {"Binds": list(binds)}})
        self.assertEqual(status, 201, content)
        identity = json.loads(content)["Id"]
        self.assertEqual(self.ask("POST", f"/containers/{identity}/start")[0], 204)
        return identity

    def execute(self, identity, argv, environment=()):
        made = json.loads(self.ask("POST", f"/containers/{identity}/exec",
                                   {"AttachStdout": True, "AttachStderr": True, "Cmd": argv, "Env": list(environment)})[1])["Id"]
        raw = self.ask("POST", f"/exec/{made}/start", {"Detach": False, "Tty": False})[1]
        streams = {1: b"", 2: b""}
        while raw:
            stream, length = struct.unpack(">BxxxL", raw[:8])
            streams[stream] += raw[8:8 + length]
            raw = raw[8 + length:]
        until(lambda: not self.get(f"/exec/{made}/json")["Running"])
        return self.get(f"/exec/{made}/json")["ExitCode"], streams[1].decode(), streams[2].decode()

    def test_says_what_the_agent_asks_a_daemon(self):
        info = self.get("/info")
        self.assertEqual((info["ServerVersion"], info["DefaultRuntime"], info["DockerRootDir"]), ("28.0.4", "runc", "/var/lib/docker"))
        self.assertEqual(self.ask("GET", "/containers/nobody/json")[0], 404)
        self.assertEqual(self.ask("GET", "/images/none:v1/json")[0], 404)

    def test_an_image_is_what_its_archive_says(self):
        identity = self.load_image()
        image = self.get("/images/registry.example/engine:v1/json")
        self.assertEqual((image["Id"], image["Architecture"]), (identity, "amd64"))
        self.assertEqual(self.ask("POST", f"/images/{identity}/tag?repo=other&tag=v2")[0], 201)
        self.assertEqual(self.get("/images/other:v2/json")["Id"], identity)
        self.assertIn(b"errorDetail", self.ask("POST", "/images/load", body=b"no archive")[1])

    def test_programs_run_in_the_environment_and_the_folders_of_the_container(self):
        self.load_image()
        (self.root / "data2").mkdir()
        (self.root / "data2/weights").write_text("heavy")
        identity = self.run_container(binds=["/data2:/data2"])
        self.assertEqual(self.execute(identity, ["cat", "/data2/weights"]), (0, "heavy", ""))
        code, out, err = self.execute(identity, ["/bin/sh", "-c", "echo $GREETING $MORE $ADDED; echo no >&2; exit 7"], ["ADDED=2"])
        self.assertEqual((code, out, err), (7, "hello 1 2\n", "no\n"))
        code, out, _ = self.execute(identity, ["/bin/sh", "-c", 'mkdir -p "${LOG%/*}"; echo "$LOG"'], ["LOG=/var/log/npufleet/engine.log"])
        self.assertTrue(out.startswith(str(self.root)), out)
        self.assertEqual(self.execute(identity, ["no-such-program"])[0], 127)

    def test_all_processes_of_a_container_end_with_it(self):
        self.load_image()
        identity = self.run_container()
        made = json.loads(self.ask("POST", f"/containers/{identity}/exec", {"Cmd": ["/bin/sh", "-c", "setsid sleep 300 & exec sleep 300"]})[1])["Id"]
        self.assertEqual(self.ask("POST", f"/exec/{made}/start", {"Detach": True})[0], 200)
        pids = until(lambda: (found := [int(row[0]) for row in self.get(f"/containers/{identity}/top")["Processes"]]) and len(found) == 3 and found)
        self.assertIn(self.get("/containers/engine/json")["State"]["Pid"], pids)
        self.assertEqual(self.ask("POST", f"/containers/{identity}/stop?t=1")[0], 204)
        self.assertEqual(self.get("/containers/engine/json")["State"]["Status"], "exited")
        for pid in pids:
            until(lambda pid=pid: not self.lives(pid))
        self.assertEqual(self.ask("DELETE", f"/containers/{identity}?force=1")[0], 204)
        self.assertEqual(self.get("/containers/json?all=1"), [])

    @staticmethod
    def lives(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def test_a_name_is_taken_once_and_events_tell_of_it(self):
        self.load_image()
        told = []
        connection = Connection(self.root / "var/run/docker.sock")
        connection.request("GET", "/events?filters=%7B%22type%22:%5B%22container%22%5D%7D")
        events = connection.getresponse()
        reader = threading.Thread(target=lambda: told.extend(json.loads(line) for line in iter(events.readline, b"")))
        reader.start()
        identity = self.run_container()
        self.assertEqual(self.ask("POST", "/containers/create?name=engine", {"Image": "registry.example/engine:v1"})[0], 409)
        self.assertEqual(self.ask("POST", f"/containers/{identity}/kill")[0], 204)
        until(lambda: [event["Action"] for event in told] == ["create", "start", "die"])
        self.assertEqual(told[0]["Actor"]["Attributes"]["name"], "engine")
        self.stop()
        reader.join(10)
        self.start()

    def test_a_restart_keeps_images_and_no_running_container(self):
        self.load_image()
        for kill, code in ((False, 137), (True, 255)):
            identity = self.run_container(f"engine-{code}")
            self.stop(kill)
            self.start()
            state = self.get(f"/containers/{identity}/json")["State"]
            self.assertEqual((state["Status"], state["ExitCode"]), ("exited", code))
        self.assertEqual(len(self.get("/images/json")), 1)

    def test_a_default_runtime_that_is_missing_starts_nothing(self):
        self.load_image()
        self.stop()
        (self.root / "etc/docker").mkdir(parents=True)
        (self.root / "etc/docker/daemon.json").write_text(json.dumps({"default-runtime": "ascend", "runtimes": {"ascend": {"path": "/opt/runtime"}}}))
        self.start()
        self.assertEqual(self.get("/info")["DefaultRuntime"], "ascend")
        made = json.loads(self.ask("POST", "/containers/create?name=engine", {"Image": "registry.example/engine:v1"})[1])["Id"]
        self.assertEqual(self.ask("POST", f"/containers/{made}/start")[0], 500)
        (self.root / "opt").mkdir()
        (self.root / "opt/runtime").touch()
        self.assertEqual(self.ask("POST", f"/containers/{made}/start")[0], 204)


class RayTest(unittest.TestCase):
    """Two nodes on two loopback addresses; the quick engine's ranks are actors on both."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        with socket.socket() as probe:
            probe.bind(("127.77.254.2", 0))
            self.port = probe.getsockname()[1]
        for node in ("a", "b"):
            (self.folder / node).mkdir()
            self.addCleanup(self.ray, node, "stop", "--force")

    def environment(self, node):
        return {**os.environ, "TMPDIR": str(self.folder / node), "NPUFLEET_DOUBLE_CONTAINER": f"{self.folder}-{node}",
                "PYTHONPATH": str(HERE / "ray/lib"), "PYTHONDONTWRITEBYTECODE": "1", "NPUFLEET_STAMP": "stamp"}

    def ray(self, node, *arguments):
        return subprocess.run([HERE / "ray/bin/ray", *arguments], env=self.environment(node), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)

    def python(self, node, text):
        done = subprocess.run([sys.executable, "-c", text], env=self.environment(node), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def start(self):
        head = self.ray("a", "start", "--head", f"--port={self.port}", "--node-ip-address=127.77.254.2", '--resources={"NPU": 2}')
        self.assertEqual(head.returncode, 0, head.stderr)
        worker = self.ray("b", "start", f"--address=127.77.254.2:{self.port}", "--node-ip-address=127.77.254.3", '--resources={"NPU": 2}')
        self.assertEqual(worker.returncode, 0, worker.stderr)

    def test_nodes_are_listed_while_their_raylets_live(self):
        self.start()
        ask = (f"import ray; ray.init(address='127.77.254.2:{self.port}', log_to_driver=False, logging_level='ERROR')\n"
               "print(len(ray.nodes()), ray.cluster_resources()['NPU'], ray.available_resources()['NPU'])")
        self.assertEqual(self.python("b", ask), "2 4.0 4.0\n")
        self.ray("b", "stop", "--force")
        until(lambda: self.python("a", ask) == "1 2.0 2.0\n")

    def test_processes_say_what_the_agent_reads_in_them(self):
        self.start()
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                argv = Path(f"/proc/{entry}/cmdline").read_bytes().decode().split("\0")
                if f"NPUFLEET_DOUBLE_CONTAINER={self.folder}-b" in Path(f"/proc/{entry}/environ").read_bytes().decode().split("\0"):
                    found[Path(argv[0]).name] = argv
            except OSError:
                continue
        self.assertTrue(any(item.startswith("--session-name=session_") for item in found["raylet"]), found)
        self.assertTrue(any(item.startswith("--node_id=") and len(item) == 66 for item in found["raylet"]), found)

    def test_an_actor_that_is_lost_fails_its_callers(self):
        # An actor's class is found by its module's name on the other side.
        (self.folder / "where.py").write_text("import os\nclass Where:\n    def pid(self): return os.getpid()\n"
                                              "    def raises(self): raise ValueError('bad')\n")
        plain = self.environment
        self.environment = lambda node: {**plain(node), "PYTHONPATH": f"{HERE}/ray/lib:{self.folder}"}
        self.start()
        self.assertEqual(self.python("a", CALLER), "0.0\n4\nRayTaskError\nActorDiedError\n")


CALLER = """
import os, ray, signal
from ray.util.placement_group import placement_group
from where import Where
ray.init(address="auto")
group = placement_group([{"NPU": 1.0}] * 4)
ray.get(group.ready())
actor = ray.remote(num_cpus=0, resources={"NPU": 1})(Where)
actors = [actor.options(placement_group=group, placement_group_bundle_index=index).remote() for index in range(4)]
print(ray.available_resources()["NPU"])
pids = ray.get([one.pid.remote() for one in actors])
print(len(set(pids)))
for call in (lambda: ray.get(actors[0].raises.remote()), lambda: (os.kill(pids[3], signal.SIGKILL), ray.get(actors[3].pid.remote()))):
    try:
        call()
    except ray.exceptions.RayError as error:
        print(type(error).__name__)
"""


if __name__ == "__main__":
    unittest.main()
