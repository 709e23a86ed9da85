"""Runbook 4 and its table 4.1 on the lab's vLLM 0.9.1 itself: the names that no vLLM has, and an option that its own --help does not name."""
import shutil

import engine
from parts import docker
from parts.node import CACHE, Node

CHIPS = 2
ARCHIVE, ENGINE, STORED = CACHE / "origin/images/vllm-ascend-0.9.1.tar.gz", CACHE / "engine/real", CACHE / "origin/models/Qwen/Qwen3-235B-A22B"
VERSION = "0.9.1"
ADDRESS = "198.18.79.6"  # real Ray takes no 127.0.0.1 for a node's address
# What is left of the table for a model of 1.3 MB on two ranks without NPUs.
TABLE = {"host": ADDRESS, "tensor_parallel_size": CHIPS, "pipeline_parallel_size": 1, "cpu_offload_gb": 0, "max_model_len": 512,
         "max_num_batched_tokens": 0, "block_size": 0}


class RealFleet(engine.Fleet):
    """The lab's image, in which the lab's engine is mounted as its nodes mount it."""

    def __init__(self, node, image):
        super().__init__(node, ENGINE, VERSION)
        self.image, self.address = image, ADDRESS

    def container(self, **more):
        data = self.node.root / "data2"
        return {**super().container(), "image": self.image, "shm_size": "1g", "volumes": [f"{ENGINE}:/opt/engine:ro", f"{data}:{data}"], **more}

    def ray(self):
        environment = {"VLLM_HOST_IP": ADDRESS, "HCCL_IF_IP": ADDRESS, "GLOO_SOCKET_IFNAME": "lo", "TP_SOCKET_IFNAME": "lo",
                       "ASCEND_RT_VISIBLE_DEVICES": "0,1", "RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES": "1"}
        return self.node.apply("ray-head", start_ray_head={"container": self.name, "address": ADDRESS, "nic": "lo", "port": self.ray_port,
                                                           "chips": list(range(CHIPS)), "environment": environment})

    def want(self, *extra, environment=None, **fields):
        return {**super().want(*extra, environment=environment, **{**TABLE, **fields}), "expected_chips": CHIPS}

    def serve(self, *extra, stamp="roads", **more):
        return self.node.apply("serve", seconds=900, stamp=stamp, start_engine=self.want(*extra, **more))


def servers(daemon, name):
    """The process ids, in the container, of the server."""
    done = daemon.run("exec", name, "pgrep", "-f", "vllm serve", check=False)
    return done.stdout.split()


def walk(checks, fleet, daemon):
    checks.succeeds("docker run of the image that holds vLLM 0.9.1", fleet.node.apply("container", run_container=fleet.container()))
    checks.succeeds("real Ray: ray start --head", fleet.ray())
    outcome = fleet.serve("--no-such-option", "1")
    checks.fails("an option that the --help of vLLM 0.9.1 does not name", outcome, "CONFIG", "--no-such-option", VERSION, signature="SRV-01")
    checks.that("it was refused before the start", not engine.started(outcome) and not servers(daemon, fleet.name), outcome)
    extra = [word for words in engine.FOREIGN for word in words]
    outcome = fleet.serve(*extra)
    line = engine.started(outcome)
    if not checks.that("vLLM 0.9.1 is up with every foreign name of table 4.1", outcome.succeeded and line, outcome, line[:160]):
        return
    notes = "\n".join(item for item in outcome.lines if item.startswith("note: "))
    for words, became in engine.FOREIGN.items():
        checks.that(f"{words[0]} became {became}, with a note", f"{words[0]} became {became}" in notes and words[0] not in line, notes)
    taken = next((item for item in outcome.lines if "non-default args" in item), "")
    wanted = ("'max_num_seqs': 32", "'download_dir': '/data2/cache'", "'dtype': 'float16'")
    # 0.9 is its default: only the 0.95 of the typed field, which comes before it, would be named.
    checks.that("vLLM itself says that it took each of them", all(words in taken for words in wanted) and "gpu_memory" not in taken, taken or outcome)
    checks.that("and logs at the level that was asked for", any(item.startswith("DEBUG ") for item in outcome.lines), outcome)
    seen = fleet.probe()
    checks.that("it answers with tokens", seen.get("state") == "PRESENT", seen)
    before = servers(daemon, fleet.name)
    outcome = fleet.serve(*extra, "--no-such-option", "1", stamp="another")
    checks.fails("beside a server that runs: an option that is not in its --help", outcome, "CONFIG", "--no-such-option", VERSION, signature="SRV-01")
    checks.that("the server that runs is the same one", before and servers(daemon, fleet.name) == before, f"{before} and then {servers(daemon, fleet.name)}")
    seen = fleet.probe()
    checks.that("and goes on answering", seen.get("state") == "PRESENT", seen)
    stopped = fleet.node.stop("serve", start_engine=fleet.want())
    checks.that("it stops", stopped.succeeded and not servers(daemon, fleet.name), stopped)


def run(checks, build, work):
    if reason := docker.cannot():
        return checks.skip("engine_real", reason)
    if missing := [str(path) for path in (ARCHIVE, ENGINE, STORED) if not path.exists()]:
        return checks.skip("engine_real", f"no {' '.join(missing)}: tests/lab/lab up --engine real makes it")
    with docker.Address(ADDRESS), Node(build, work) as node:
        shutil.copytree(STORED, node.root / engine.MODEL)
        node.write("etc/npufleet/interfaces", f"lo {ADDRESS}\n")
        daemon = docker.Dockerd(work, node, docker.make_authority(work, "ours")[0])
        try:
            loaded = daemon.run("load", "-i", ARCHIVE).stdout
            walk(checks, RealFleet(node, loaded.rpartition("Loaded image: ")[2].strip()), daemon)
        finally:
            for name in daemon.run("ps", "-aq", check=False).stdout.split():
                daemon.run("rm", "-f", name, check=False)
            daemon.end()
    return None
