"""The lab's quick engine: the `vllm` command without a model.

It stands for vLLM where a scenario restarts the engine many times. What it shares with vLLM: the flags of the version
asked for, the log lines, the HTTP interface, and above all Ray: one actor on each NPU of the *real* Ray cluster, and no
token without every one of them. What it has not: a model. Its answers are words drawn at random.
"""

import os

__version__ = os.environ.get("VLLM_DOUBLE_VERSION", "0.9.1")
