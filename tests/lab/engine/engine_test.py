#!/usr/bin/env python3
"""What of the engines can be tested without Ray: the command line by version, the shapes of answers, the archives."""

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "quick"), str(HERE / "image")]

import make_archives  # noqa: E402
from vllm import answers, flags  # noqa: E402


def vllm(version: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(HERE / "quick"), "VLLM_DOUBLE_VERSION": version}
    command = [sys.executable, "-c", "import sys; from vllm.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class CommandLine(unittest.TestCase):
    def test_each_version_lists_its_flags(self):
        for version in flags.known_versions():
            help_text = vllm(version, "serve", "--help").stdout
            self.assertIn("--tensor-parallel-size", help_text)
            self.assertEqual("--enable-reasoning" in help_text, version != "0.11.0", version)

    def test_a_flag_of_another_version_is_a_usage_error(self):
        refused = vllm("0.11.0", "serve", "/model", "--enable-reasoning")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("vllm: error: unrecognized arguments: --enable-reasoning", refused.stderr)

    def test_underscores_mean_dashes(self):
        given = flags.make_parser("0.9.1").parse_args(["serve", "/model", "--distributed_executor_backend", "ray"])
        self.assertEqual(given.distributed_executor_backend, "ray")

    def test_an_unknown_version_names_the_known_ones(self):
        refused = vllm("1.0", "--version")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("0.8.4, 0.9.1", refused.stderr)


class Answers(unittest.TestCase):
    def completion(self, **request) -> answers.Completion:
        body = {"messages": [{"role": "user", "content": "你是谁"}]} | request
        return answers.Completion(json.dumps(body).encode(), True, ["Qwen"], True)

    def test_the_token_limit_is_the_finish_reason(self):
        asked = self.completion(max_tokens=1)
        whole = asked.whole(list(asked.tokens(lambda thinking: "字")))
        self.assertEqual(whole["choices"][0]["finish_reason"], "length")
        self.assertEqual(whole["usage"]["completion_tokens"], 1)

    def test_a_thought_is_apart_from_the_content(self):
        asked = self.completion()
        message = asked.whole(list(asked.tokens(lambda thinking: "T" if thinking else "C")))["choices"][0]["message"]
        self.assertEqual((set(message["reasoning_content"]), set(message["content"])), ({"T"}, {"C"}))

    def test_another_model_is_not_found(self):
        with self.assertRaises(answers.BadRequest) as refused:
            self.completion(model="other")
        self.assertEqual(refused.exception.status, 404)

    def test_the_shape_of_an_error_depends_on_the_version(self):
        self.assertIn("message", answers.error_body("0.9.1", 404, "NotFoundError", "no"))
        self.assertIn("error", answers.error_body("0.11.0", 404, "NotFoundError", "no"))


class Archive(unittest.TestCase):
    def test_an_archive_names_its_config_layer_and_tag(self):
        with tempfile.TemporaryDirectory() as name:
            layer = pathlib.Path(name, "layer.tar")
            tarfile.open(layer, "w").close()
            config = make_archives.config_of("d" * 64, "aarch64", "0.9.1", "0.9.1")
            archive = pathlib.Path(name, "image.tar.gz")
            make_archives.write_archive(archive, "a/b:c", config, layer, "d" * 64)
            with tarfile.open(archive) as opened:
                manifest = json.load(opened.extractfile("manifest.json"))[0]
                self.assertEqual(opened.extractfile(manifest["Config"]).read(), config)
                self.assertEqual(opened.getmember(manifest["Layers"][0]).size, layer.stat().st_size)
        self.assertEqual(manifest["RepoTags"], ["a/b:c"])
        self.assertEqual(json.loads(config)["architecture"], "arm64")


if __name__ == "__main__":
    unittest.main()
