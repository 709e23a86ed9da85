"""The command line of `vllm serve`, by version.

flags/VERSION.txt has a line for each option: its names, what it takes (flag, bool, value, values, optional, append) and
the choices if it has some.
"""

import argparse
import pathlib
import sys

# What the engine reads; any other option is accepted and has no effect.
TYPES = {
    "--port": (int, 8000),
    "--host": (str, None),
    "--tensor-parallel-size": (int, 1),
    "--pipeline-parallel-size": (int, 1),
    "--block-size": (int, None),
    "--gpu-memory-utilization": (float, 0.9),
    "--swap-space": (float, 4.0),
    "--max-model-len": (int, None),
    "--max-num-seqs": (int, None),
}


class Parser(argparse.ArgumentParser):
    """argparse, but `--a_b` means `--a-b`, as vLLM has it."""

    def parse_known_args(self, args=None, namespace=None):
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._dashed(word) for word in given], namespace)

    @staticmethod
    def _dashed(word: str) -> str:
        if not word.startswith("--"):
            return word
        name, equals, value = word.partition("=")
        return name.replace("_", "-") + equals + value


def known_versions() -> list[str]:
    return sorted(file.stem for file in _directory().glob("*.txt"))


def make_parser(version: str) -> argparse.ArgumentParser:
    parser = Parser(prog="vllm", description="vLLM CLI")
    parser.add_argument("-v", "--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=False)
    serve = commands.add_parser(
        "serve",
        help="Start the vLLM OpenAI Compatible API server.",
        description="Start the vLLM OpenAI Compatible API server.",
        usage="vllm serve [model_tag] [options]",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve.add_argument("model_tag", nargs="?", help="The model tag to serve (optional if specified in config)")
    for line in (_directory() / f"{version}.txt").read_text(encoding="utf-8").splitlines():
        _add_option(serve, *line.split(" "))
    return parser


def _directory() -> pathlib.Path:
    return pathlib.Path(__file__).with_name("flags")


def _add_option(parser: argparse.ArgumentParser, names: str, kind: str, choices: str = "") -> None:
    names_of_option = names.split(",")
    value_type, default = TYPES.get(names_of_option[0], (str, None))
    options = {"default": default, "help": " "}
    if kind == "flag":
        options |= {"action": "store_true", "default": False}
    elif kind == "bool":
        options |= {"action": argparse.BooleanOptionalAction, "default": False}
    else:
        options["type"] = value_type
        if choices:
            options["choices"] = [value_type(choice) for choice in choices.split(",")]
        options |= {"value": {}, "values": {"nargs": "+"}, "optional": {"nargs": "?"}, "append": {"action": "append"}}[kind]
    parser.add_argument(*names_of_option, **options)
