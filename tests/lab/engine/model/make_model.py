"""make_model.py DIRECTORY: a Qwen3 model of 1.3 MB with random weights, in the files and names of the real one.

vLLM loads it as it loads Qwen3-235B-A22B: same architecture class, tokenizer with <think> and </think>, chat template, two
shards with an index. Its words are nonsense. What is not random: the last hidden state tells whether </think> was said, so
that an answer has a reasoning part, a content and an end, after some tens of tokens. Same bytes on each run.
"""

import json
import pathlib
import struct
import sys

import numpy
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

import words

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE = 128, 2, 16, 4, 32, 256
VOCABULARY, POSITIONS = 512, 4096
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINK, END_THINK, END = "<think>", "</think>", "<|im_end|>"

CHAT_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}"""


def make_tokenizer() -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - 2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Each word alone on its line and many times, so that it becomes one token; no line joins two words.
    corpus = [word for word in words.THINKING + words.ANSWER for _ in range(8)] + words.QUESTIONS * 2
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([THINK, END_THINK])
    return tokenizer


def single_tokens(tokenizer: tokenizers.Tokenizer, said: list[str]) -> list[int]:
    found = [tokenizer.encode(word).ids for word in said]
    return [ids[0] for ids in found if len(ids) == 1]


def make_weights(tokenizer: tokenizers.Tokenizer) -> dict[str, numpy.ndarray]:
    random = numpy.random.Generator(numpy.random.PCG64(235))

    def matrix(rows: int, columns: int, scale: float) -> numpy.ndarray:
        return random.standard_normal((rows, columns), dtype=numpy.float32) * scale

    # Dimension 0 is the same for each token; dimension 1 says "after </think>" (+) or before (-); dimension 2 marks the
    # token before a part begins, where no part may end. The layers add little to them, so they reach the head.
    embedding = matrix(VOCABULARY, HIDDEN, 1.0)
    embedding[:, 0] = 8.0
    embedding[:, 1] = -8.0
    embedding[:, 2] = 0.0
    head = matrix(VOCABULARY, HIDDEN, 0.15)
    head[:, 0] = -20.0
    head[:, [1, 2]] = 0.0
    end_think, end = tokenizer.token_to_id(END_THINK), tokenizer.token_to_id(END)
    thinking, answer = single_tokens(tokenizer, words.THINKING), single_tokens(tokenizer, words.ANSWER)
    embedding[[*answer, end_think], 1] = 8.0
    head[[*thinking, *answer, end_think, end], 0] = 0.0
    head[[*thinking, end_think], 1] = -4.0
    head[[*answer, end], 1] = 4.0
    # How often a thought and an answer end.
    head[[end_think, end], 3:] = 0.0
    embedding[[end_think, *tokenizer.encode("\n").ids], 2] = 8.0
    head[[end_think, end], 2] = -4.0
    head[end_think, 0] = 0.28
    head[end, 0] = 0.22

    weights = {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    weights["model.norm.weight"] = numpy.ones(HIDDEN, numpy.float32)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes = {
            "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
            "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
            "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
            "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
            "mlp.up_proj": (INTERMEDIATE, HIDDEN),
            "mlp.down_proj": (HIDDEN, INTERMEDIATE),
        }
        for name, (rows, columns) in shapes.items():
            weights[f"{prefix}{name}.weight"] = matrix(rows, columns, 0.02)
        for name, size in (("input_layernorm", HIDDEN), ("post_attention_layernorm", HIDDEN),
                           ("self_attn.q_norm", HEAD_DIM), ("self_attn.k_norm", HEAD_DIM)):
            weights[f"{prefix}{name}.weight"] = numpy.ones(size, numpy.float32)
    return weights


def bfloat16(values: numpy.ndarray) -> bytes:
    bits = numpy.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded >> 16).astype("<u2").tobytes()


def write_safetensors(path: pathlib.Path, weights: dict[str, numpy.ndarray]) -> int:
    """The format is a length, a JSON header and the bytes; numpy has no bfloat16 that the library would take."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, values in weights.items():
        content = bfloat16(values)
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return len(data)


def write_json(path: pathlib.Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_shards(directory: pathlib.Path, weights: dict[str, numpy.ndarray]) -> None:
    last_layer = f"model.layers.{LAYERS - 1}."
    second = {name: value for name, value in weights.items() if name.startswith((last_layer, "lm_head", "model.norm"))}
    first = {name: value for name, value in weights.items() if name not in second}
    total, place = 0, {}
    for number, shard in enumerate((first, second), 1):
        file_name = f"model-{number:05}-of-00002.safetensors"
        total += write_safetensors(directory / file_name, shard)
        place |= {name: file_name for name in shard}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))}
    write_json(directory / "model.safetensors.index.json", index)


def write_tokenizer(directory: pathlib.Path, tokenizer: tokenizers.Tokenizer) -> None:
    tokenizer.save(str(directory / "tokenizer.json"))
    added = {
        str(tokenizer.token_to_id(token)): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                                            "single_word": False, "special": token in SPECIAL}
        for token in [*SPECIAL, THINK, END_THINK]
    }
    write_json(directory / "tokenizer_config.json", {
        "added_tokens_decoder": added,
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": POSITIONS,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    })


def main() -> None:
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True)
    tokenizer = make_tokenizer()
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id("<|endoftext|>")
    write_json(directory / "config.json", {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": pad,
        "eos_token_id": end,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": POSITIONS,
        "model_type": "qwen3",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    })
    write_json(directory / "generation_config.json", {
        "bos_token_id": pad, "do_sample": True, "eos_token_id": [end, pad], "pad_token_id": pad,
        "temperature": 1.0, "top_k": 0, "top_p": 1.0,
    })
    write_tokenizer(directory, tokenizer)
    write_shards(directory, make_weights(tokenizer))


if __name__ == "__main__":
    main()
