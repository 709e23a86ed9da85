"""The platform class of the lab's NPU."""

from vllm.platforms.cpu import CpuPlatform

KV_CACHE_BYTES = 64 << 20


class LabNpuPlatform(CpuPlatform):
    device_name = "npu"
    # What vLLM asks Ray for, and what tells a rank its chip: as vllm-ascend has them.
    ray_device_key = "NPU"
    device_control_env_var = "ASCEND_RT_VISIBLE_DEVICES"

    @classmethod
    def get_device_name(cls, device_id: int = 0) -> str:
        return "Ascend910B (lab)"

    @classmethod
    def pre_register_and_update(cls, parser=None) -> None:
        # vLLM reserves 4 GiB of host memory a rank for swapping, and refuses to start if that is too much for the host.
        # The lab's host is the small thing here, so this platform's default is none.
        if parser is not None:
            parser.set_defaults(swap_space=0)

    @classmethod
    def check_and_update_config(cls, vllm_config) -> None:
        # The CPU platform knows ranks of one host only, and would turn the Ray executor into a local one.
        executor = vllm_config.parallel_config.distributed_executor_backend
        vllm_config.parallel_config.distributed_executor_backend = None
        super().check_and_update_config(vllm_config)
        vllm_config.parallel_config.distributed_executor_backend = executor
        if vllm_config.cache_config:
            vllm_config.cache_config.cpu_kvcache_space_bytes = KV_CACHE_BYTES

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        # The CPU's own communicator uses shared memory, which ends at the host.
        return "vllm.distributed.device_communicators.base_device_communicator.DeviceCommunicatorBase"
