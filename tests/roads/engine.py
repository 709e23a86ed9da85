"""Runbook 3.3, 3.4, 4 and its table 4.1: a real container, Ray and `vllm serve` in it with the options of four versions."""
import json
import os
import socket
import subprocess
import sys

from parts import docker
from parts.node import TREE, Failed, Node

sys.path.insert(0, str(TREE / "tests/local"))
from contents import write_engine, write_model  # noqa: E402

VERSIONS = ("0.7.3", "0.8.4", "0.9.1", "0.11.0")
MODEL = "data2/Qwen3-235B-A22B"
CONFIG = "data2/vllm-serve.yaml"  # of --config: on a volume of the container
# The names of the runbook's table 4.1 that no vLLM has, and what each becomes.
FOREIGN = {("--Npu-memory-utilization", "0.9"): "--gpu-memory-utilization 0.9", ("--max-concurrent-requests", "32"): "--max-num-seqs 32",
           ("--model-cache-dir", "/data2/cache"): "--download-dir /data2/cache", ("--log-level", "debug"): "VLLM_LOGGING_LEVEL=DEBUG",
           ("--fp16",): "--dtype float16"}
# The rest of that table, as typed fields.
TABLE = {"pipeline_parallel_size": 1, "cpu_offload_gb": 0, "max_model_len": 8192, "max_num_batched_tokens": 8192, "swap_space": 0, "block_size": 128,
         "host": "127.0.0.1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_images(daemon, work, engine):
    """One image for each version. Its programs are this machine's, mounted: the layer has folders only."""
    layer = work / "layer"
    for folder in ("usr", "etc", "proc", "sys", "dev", "tmp", "var/log", "root"):
        (layer / folder).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (layer / name).symlink_to(f"usr/{name}")
    subprocess.run(["tar", "-C", layer, "-cf", work / "layer.tar", "."], check=True)
    for version in VERSIONS:
        daemon.run("import", "--change", f"ENV VLLM_DOUBLE_VERSION={version}", "--change", f"ENV PATH={engine}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
                   work / "layer.tar", f"vllm-ascend:v{version}")


class Fleet:
    """One node with one container: the runbook's steps 3.3 to 4."""

    def __init__(self, node, engine, version):
        self.node, self.engine_folder, self.version, self.name = node, engine, version, f"vllm-server-{version}"
        self.ray_port, self.port = free_port(), free_port()
        self.address = "127.0.0.1"

    def container(self, **more):
        return {"name": self.name, "image": f"vllm-ascend:v{self.version}", "network": "host", "shm_size": "64m", "command": ["/bin/bash"],
                "volumes": ["/usr:/usr:ro", f"{self.engine_folder}:{self.engine_folder}:ro", f"{self.node.root / 'data2'}:{self.node.root / 'data2'}"], **more}

    def ray(self):
        environment = {"HCCL_IF_IP": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo", "TP_SOCKET_IFNAME": "lo", "ASCEND_RT_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7",
                       "RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES": "1"}
        return self.node.apply("ray-head", start_ray_head={"container": self.name, "address": "127.0.0.1", "nic": "lo", "port": self.ray_port,
                                                           "chips": list(range(8)), "environment": environment})

    def want(self, *extra, environment=None, **fields):
        engine = {"served_model_name": "Qwen3-235B-A22B", "port": self.port, "tensor_parallel_size": 8, "enforce_eager": True,
                  "gpu_memory_utilization": 0.95, "enable_reasoning": True, "reasoning_parser": "deepseek_r1", "distributed_executor_backend": "ray",
                  "environment": {"VLLM_USE_V1": "0", **(environment or {})}, "extra_args": list(extra), **TABLE, **fields}
        return {"container": self.name, "model_path": str(self.node.root / MODEL), "engine": engine, "expected_chips": 8, "expected_nodes": 1,
                "address": self.address, "ray_port": self.ray_port}

    def serve(self, *extra, **more):
        return self.node.apply("serve", start_engine=self.want(*extra, **more))

    def probe(self):
        return self.node.check("probe", probe_engine={"url": f"http://{self.address}:{self.port}", "model": "Qwen3-235B-A22B", "prompt": "你是谁", "max_tokens": 16,
                                                      "deadline": "60s", "period": "60s"})


def started(outcome):
    """The line of the server, if one was started."""
    return next((line for line in outcome.lines if "vllm serve" in line and "--served-model-name" in line), "")


def refusals(checks, fleet):
    version = fleet.version
    outcome = fleet.serve("--no-such-option", "1")
    checks.fails(f"{version}: an option that its --help does not name", outcome, "CONFIG", "--no-such-option", version, signature="SRV-01")
    checks.that(f"{version}: it was refused before the start", not started(outcome), outcome)
    checks.fails(f"{version}: another model in extraArgs", fleet.serve("--model_tag", "gpt-neo-2.7B"), "CONFIG", "model.path", signature="SRV-01")
    if version == "0.7.3":
        checks.fails("0.7.3: expert parallel, which it does not have", fleet.serve(enable_expert_parallel=True), "CONFIG", "enable-expert-parallel", version)
    if version == "0.11.0":
        outcome = fleet.serve(enable_reasoning=True, reasoning_parser="")
        checks.fails("0.11.0: reasoning without a parser", outcome, "CONFIG", "reasoning-parser", signature="SRV-02")


def one_version(checks, node, engine, version):
    fleet = Fleet(node, engine, version)
    checks.succeeds(f"{version}: docker run", node.apply("container", run_container=fleet.container()))
    checks.succeeds(f"{version}: ray start --head", fleet.ray())
    refusals(checks, fleet)
    config = node.write(CONFIG, "disable-log-stats: true\n")
    extra = [word for words in FOREIGN for word in words] + ["--seed", "1024", "--config", str(config)]
    outcome = fleet.serve(*extra, enable_expert_parallel=version != "0.7.3")
    line = started(outcome)
    checks.that(f"{version}: the runbook's command line and all of its table 4.1", outcome.succeeded and line, outcome, line[:160])
    notes = "\n".join(item for item in outcome.lines if item.startswith("note: "))
    for words, became in FOREIGN.items():
        checks.that(f"{version}: {words[0]} became {became}, with a note", f"{words[0]} became {became}" in notes and words[0] not in line, notes)
    taken = next((item for item in outcome.lines if "non-default args" in item), "")
    checks.that(f"{version}: --config reaches vLLM, which names its file", f"--config {config}" in line and f"'config': '{config}'" in taken, f"{line} {taken}")
    if version == "0.11.0":
        checks.that("0.11.0: what it has no more was left out, with a note", "--enable-reasoning dropped" in notes and "VLLM_USE_V1=0 dropped" in notes
                    and "--enable-reasoning" not in line, notes)
    seen = fleet.probe()
    checks.that(f"{version}: it answers with tokens", seen.get("state") == "PRESENT", seen)
    stopped = node.stop("serve", start_engine=fleet.want())
    checks.that(f"{version}: it stops", stopped.succeeded, stopped)


def containers(checks, node, daemon, engine):
    """Runbook 3.3: the same flags are kept, others are replaced, a foreign container is refused."""
    fleet = Fleet(node, engine, VERSIONS[0])
    first = node.apply("container", run_container=fleet.container())
    again = node.apply("container", run_container=fleet.container())
    checks.that("a container with the same flags is kept", again.succeeded and not again.operation.get("changed")
                and again.observation.get("token") == first.observation.get("token"), again)
    other = fleet.container(shm_size="32m", environment={"A": "b c"})
    replaced = node.apply("container", stamp="another", run_container=other)
    shown = json.loads(daemon.run("inspect", fleet.name).stdout)[0] if replaced.succeeded else {}
    checks.that("one with other flags is replaced", replaced.succeeded and replaced.observation.get("token") != first.observation.get("token")
                and shown["HostConfig"]["ShmSize"] == 32 << 20 and "A=b c" in shown["Config"]["Env"], replaced)
    daemon.run("run", "-d", "--name", "somebodys", "--network", "host", "-v", "/usr:/usr:ro", "vllm-ascend:v0.7.3", "/usr/bin/sleep", "600")
    refused = node.apply("container", run_container=fleet.container(name="somebodys"))
    checks.that("a foreign container of the name is not touched", not refused.succeeded and refused.failure.get("advice")
                and daemon.run("inspect", "--format", "{{.State.Running}}", "somebodys").stdout.strip() == "true", refused, refused.failure.get("symptom"))


def run(checks, build, work):
    if reason := docker.cannot():
        return checks.skip("engine", reason)
    engine = work / "quick"
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    write_engine(engine)
    python = engine / "bin/python3"  # the one that the container sees
    python.write_text(f'#!/bin/sh\nPYTHONPATH={engine}/lib exec /usr/bin/python3 "$@"\n')
    with Node(build, work) as node:
        write_model(node.root / MODEL)
        node.write("etc/npufleet/interfaces", "lo 127.0.0.1\n")
        authority = docker.make_authority(work, "ours")
        daemon = docker.Dockerd(work, node, authority[0])
        try:
            make_images(daemon, work, engine)
            for version in VERSIONS:
                try:
                    one_version(checks, node, engine, version)
                except Failed as error:
                    checks.that(f"{version} was walked to its end", False, error)
                daemon.run("rm", "-f", f"vllm-server-{version}", check=False)
            containers(checks, node, daemon, engine)
        finally:
            for name in daemon.run("ps", "-aq", check=False).stdout.split():
                daemon.run("rm", "-f", name, check=False)
            daemon.end()
    return None
