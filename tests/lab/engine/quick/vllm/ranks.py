"""One rank: what runs on one NPU, as a Ray actor. Ray's prefix of its log lines carries its class name."""

import json
import os
import pathlib
import random
import struct
import traceback

from vllm import log

THINKING = ["嗯，", "首先", "用户", "问题", "也许", "应该", "考虑", "然后", "检查", "所以"]
ANSWER = ["随机", "权重", "模型", "没有", "答案", "，", "节点", "芯片", "天空", "月亮", "苹果", "的", "在", "和"]


class RayWorkerWrapper:
    def __init__(self, rank: int, world_size: int):
        self.rank = rank
        self.world_size = world_size

    def execute(self, method: str, *arguments):
        """Calls a method of this rank; says on this node's log what went wrong, and passes it on."""
        try:
            return getattr(self, method)(*arguments)
        except Exception:
            log.error("worker_base.py:622", f"Error executing method '{method}'. This might cause deadlock in distributed "
                      f"execution.\n{traceback.format_exc()}")
            raise

    def init_device(self) -> str:
        """Refuses what a real rank refuses in its environment; answers the address of its node."""
        import ray

        chips = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", "")
        if not os.environ.get("RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES") and "," not in chips and self.rank:
            raise RuntimeError("The argument is invalid.Reason: Set visible device failed, "
                               f"invalid device={self.rank}, input visible devices:{chips}")
        interface = os.environ.get("GLOO_SOCKET_IFNAME", "")
        if interface and not pathlib.Path("/sys/class/net", interface).exists():
            raise RuntimeError(f"Unable to find address for: {interface}")
        address = ray.util.get_node_ip_address()
        wanted = os.environ.get("HCCL_IF_IP", "")
        if wanted and wanted != address:
            raise RuntimeError(f"[Find][LocalHostIP]ip [{wanted}] of [{wanted}] is not found in the nic list")
        log.info("parallel_state.py:1065", f"rank {self.rank} in world size {self.world_size} is assigned as "
                 f"DP rank 0, PP rank 0, TP rank {self.rank}, EP rank {self.rank}")
        return address

    def load_model(self, model: str) -> int:
        """Opens every shard on this rank's own node, as far as its header; answers how many bytes they hold."""
        log.info("model_runner.py:680", f"Starting to load model {model}...")
        config = json.loads(pathlib.Path(model, "config.json").read_text(encoding="utf-8"))
        if config["num_attention_heads"] % self.world_size != 0:
            raise ValueError(f"Total number of attention heads ({config['num_attention_heads']}) must be divisible by "
                             f"tensor parallel size ({self.world_size}).")
        shards = sorted(pathlib.Path(model).glob("*.safetensors"))
        if not shards:
            raise RuntimeError(f"Cannot find any model weights with `{model}`")
        size = sum(self._read_shard(shard) for shard in shards)
        log.info("default_loader.py:272", "Loading weights took 0.01 seconds")
        return size

    @staticmethod
    def _read_shard(shard: pathlib.Path) -> int:
        with shard.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        if shard.stat().st_size != 8 + length + end:
            raise RuntimeError(f"Error while deserializing header: MetadataIncompleteBuffer: {shard}")
        return end

    def step(self, thinking: bool) -> str:
        """This rank's part of one token. All ranks must give theirs; the first one's is said."""
        return random.choice(THINKING if thinking else ANSWER)
