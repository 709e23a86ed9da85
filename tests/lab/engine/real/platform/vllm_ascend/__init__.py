"""Stands for vllm-ascend in the lab: a vLLM platform plugin that calls itself an NPU and computes on the CPU.

vLLM, Ray, the placement of ranks on `NPU` resources and the command line stay the real ones.
"""


def register() -> str:
    """The entry point: names the platform class, which vLLM imports when it needs it."""
    return "vllm_ascend.platform.LabNpuPlatform"
