"""``divfast metrics``: every metric, tokenizer and format."""

import json
import re

from click.testing import CliRunner

from divfast import registry
from divfast.cli import main


def run(*args):
    """Run a command in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, args, catch_exceptions=False)


def test_metrics_lists_what_there_is():
    result = run("metrics")
    assert (result.exit_code, result.stderr) == (0, "")
    for metric in registry.all_metrics():
        assert metric.name in result.stdout
    for word in (
        "n=1-5",
        "vocab_size=50257",
        "default paper",
        "cosine = sbert",
        "pooled",
        "more diverse",
        "13a",
        "jsonl",
    ):
        assert word in result.stdout


def test_metrics_as_json():
    listed = json.loads(run("metrics", "--format", "json").stdout)
    assert set(listed) == {"metrics", "tokenizers", "readers"}
    ead = next(metric for metric in listed["metrics"] if metric["name"] == "ead")
    assert ead["parameters"] == {"n": "1-5", "vocab_size": "50257"}
    assert ead["presets"] == ["default", "paper"]
    assert ead["scopes"] == ["prompt", "first", "pooled"]
    assert ead["bounds"] == [0, None]
    assert ead["backends"] == ["reference", "cpu"]
    assert {"whitespace", "paper", "words", "chars", "13a"} <= set(listed["tokenizers"])
    assert {"jsonl", "lines"} <= set(listed["readers"])


def test_metrics_explains_one():
    text = run("metrics", "distinct").stdout
    assert "arXiv 1510.03055" in text
    assert re.search(r"^range +0 to 1$", text, re.M)
    assert json.loads(run("metrics", "distinct:n=2", "--format", "json").stdout)["name"] == "distinct"
    result = run("metrics", "distincts")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: unknown metric 'distincts'.\n       Did you mean distinct or ")
