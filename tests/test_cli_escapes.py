"""What a model has named is printed without what a terminal would obey."""

import json
import re

import pytest
from click.testing import CliRunner

from divfast.cli import main

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"


@pytest.fixture
def dumps(tmp_path):
    for model, same in (("a", False), ("b", True)):
        outputs = ["x y", "z w", "x y" if same else "v"]
        lines = [
            {"id": f"{name}{EVIL}", "prompt": EVIL, "outputs": outputs, "correct": [1, 0, 1], "model": model + EVIL}
            for name in "pq"
        ]  # fmt: skip
        (tmp_path / f"{model}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["score", "a.jsonl", "-m", "distinct"],
        ["score", "a.jsonl", "b.jsonl", "-m", "distinct"],
        ["compare", "a.jsonl", "b.jsonl", "-m", "distinct"],
        ["verify", "a.jsonl", "--as", "labels", "-o", "out.jsonl"],
        ["dedupe", "a.jsonl"],
    ],
)
def test_names_do_not_steer_the_terminal(dumps, monkeypatch, words):
    monkeypatch.chdir(dumps)
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.output)


def test_nor_do_names_of_exceptions(tmp_path, monkeypatch):
    from divfast.quality import exact
    from divfast.quality.verifiers import Verdict

    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "p", "outputs": ["x"], "gold": "x"}))
    judge = lambda question, settings: lambda i: Verdict(False, "x", "x", f"Error{EVIL}\nof two lines")  # noqa: E731
    monkeypatch.setattr(exact, "VERIFIER", exact.VERIFIER.__class__("exact", "Exact.", 1, judge))
    words = ["verify", str(tmp_path / "a.jsonl"), "--as", "exact", "-o", str(tmp_path / "out.jsonl")]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    (line,) = [line for line in done.output.splitlines() if "Error" in line]
    assert line.isprintable()
    assert "of two lines" in line
