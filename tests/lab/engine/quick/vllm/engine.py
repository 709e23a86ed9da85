"""The engine: a rank on each NPU of the Ray cluster, and tokens that need all of them."""

import threading
import time

from vllm import faults, log
from vllm.ranks import RayWorkerWrapper

PLACEMENT_SECONDS = 1800


class EngineDead(Exception):
    """A rank is lost: no further token will come."""


class Engine:
    """start() once, then step() from any thread. Any error of a rank makes it dead for good."""

    def __init__(self, model: str, world_size: int):
        self._model = model
        self._world_size = world_size
        self._ranks = []
        self._step = threading.Lock()
        self.dead = ""

    def start(self) -> None:
        """Returns when every rank has loaded its part. Raises what vLLM raises, as ValueError or RuntimeError."""
        import ray

        faults.watch(self._lose_rank)
        ray.init(address="auto", ignore_reinit_error=True)
        group = self._place(ray)
        actor = ray.remote(num_cpus=0, resources={"NPU": 1})(RayWorkerWrapper)
        self._ranks = [
            actor.options(placement_group=group, placement_group_bundle_index=index).remote(index, self._world_size)
            for index in range(self._world_size)
        ]
        started = time.monotonic()
        self._all(ray, "init_device")
        faults.hold()
        self._all(ray, "load_model", self._model)
        for done in (0, 100):
            print(f"Loading safetensors checkpoint shards: {done:3}% Completed | {done // 50}/2 [00:00<00:00]", flush=True)
        log.info("executor_base.py:113", "# npu blocks: 2048, # CPU blocks: 0")
        log.info("executor_base.py:118", "Maximum concurrency for 4096 tokens per request: 64.00x")
        log.info("llm_engine.py:428", "init engine (profile, create kv cache, warmup model) took "
                 f"{time.monotonic() - started:.2f} seconds")

    def step(self, thinking: bool) -> str:
        """One token. Blocks as long as a rank does not answer; raises EngineDead when Ray gives one up."""
        import ray

        faults.hold()
        with self._step:
            if self.dead:
                raise EngineDead(self.dead)
            try:
                return ray.get([rank.step.remote(thinking) for rank in self._ranks])[0]
            except ray.exceptions.RayError as error:
                self.dead = f"{type(error).__name__}: {error}"
                raise EngineDead(self.dead) from error

    def stop(self) -> None:
        import ray

        log.info("ray_distributed_executor.py:128", "Shutting down Ray distributed executor.")
        for rank in self._ranks:
            ray.kill(rank)
        ray.shutdown()

    def _place(self, ray):
        """The placement group: an NPU a rank, the first on this node, as vLLM asks for it."""
        from ray.util.placement_group import placement_group

        log.info("ray_utils.py:334", "No current placement group found. Creating a new placement group.")
        address = ray.util.get_node_ip_address()
        here = ray.get_runtime_context().get_node_id()
        current_node_resource = ray._private.state.available_resources_per_node().get(here, {})
        if current_node_resource.get("NPU", 0) < 1:
            raise ValueError(f"Current node has no NPU available. {current_node_resource=}. vLLM engine cannot start "
                             "without NPU. Make sure you have at least 1 NPU available in a node "
                             f"current_node_id='{here}' current_ip='{address}'.")
        if self._world_size > ray.cluster_resources().get("NPU", 0):
            log.warning("_logger.py:72", "The number of required NPUs exceeds the total number of available NPUs in the "
                        "placement group.")
        placement_group_specs = [{"NPU": 1.0} for _ in range(self._world_size)]
        placement_group_specs[0][f"node:{address}"] = 0.001
        group = placement_group(placement_group_specs, strategy="PACK")
        self._wait_until_placed(ray, group, placement_group_specs)
        return group

    @staticmethod
    def _wait_until_placed(ray, group, placement_group_specs) -> None:
        ready, interval, started = group.ready(), 10, time.monotonic()
        while time.monotonic() - started < PLACEMENT_SECONDS:
            if ray.wait([ready], timeout=interval)[0]:
                return
            interval *= 2
            log.info("ray_utils.py:232", "Waiting for creating a placement group of specs for "
                     f"{int(time.monotonic() - started)} seconds. specs={placement_group_specs}. Check `ray status` and "
                     "`ray list nodes` to see if you have enough resources, and make sure the IP addresses used by ray "
                     "cluster are the same as VLLM_HOST_IP environment variable specified in each node if you are "
                     "running on a multi-node.")
        raise ValueError(f"Cannot provide a placement group of {placement_group_specs=} within {PLACEMENT_SECONDS} "
                         "seconds. See `ray status` and `ray list nodes` to make sure the cluster has enough resources.")

    def _all(self, ray, method: str, *arguments) -> list:
        return ray.get([rank.execute.remote(method, *arguments) for rank in self._ranks])

    def _lose_rank(self) -> bool:
        import ray

        if not self._ranks:
            return False
        ray.kill(self._ranks[-1])
        return True
