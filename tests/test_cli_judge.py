"""``divfast judge``: what it prints, what it writes, how it ends."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from divfast.cli import judge as judge_module
from divfast.cli import main
from divfast.cli.judge import judge
from divfast.judging import scores
from divfast.judging.templates import packaged
from judging import alone, dump, length, longer  # noqa: F401
from openai_server import Server


def run(*args):
    return CliRunner().invoke(main, ["judge", *map(str, args)], catch_exceptions=False)


@pytest.fixture
def two(tmp_path):
    return (
        dump(tmp_path / "a.jsonl", [["long one"], ["x"], ["y"]]),
        dump(tmp_path / "b.jsonl", [["short"], ["longer"], ["y"]]),
    )


def test_choices_are_those_of_the_library():
    assert scores.RUBRICS == judge_module.RUBRICS
    assert all(parameter.help for parameter in judge.params if parameter.param_type_name == "option")


def test_two_dumps_are_compared(two, tmp_path):
    with Server(longer) as server:
        done = run(*two, "--base-url", server.url, "-o", tmp_path / "pairs.jsonl")
        assert server.asked[0]["model"] == "m"
    assert done.exit_code == 0
    assert "a against b" in done.stdout
    assert "50.00%" in done.stdout
    assert "The answer shown first was preferred 50.00% of the time" in done.stdout
    assert "0 of 3 pairs turned with the order" in done.stdout
    assert "Pairs of equal texts, which are ties: 1." in done.stdout
    assert "win_rate|prompts:3|pairs:first|judge:m/" in done.stdout
    assert "The judge was asked 4 times; 0 answers were there already." in done.stderr
    assert len((tmp_path / "pairs.jsonl").read_text().splitlines()) == 3


def test_one_dump_is_scored_beside_itself(two, tmp_path):
    with Server(length) as server:
        done = run(two[0], "--base-url", server.url, "--model", "m", "--explain")
        again = run(two[0], "--base-url", server.url, "--model", "m")
    assert done.exit_code == 0
    assert done.stdout.split()[:2] == ["dump", "score"]
    assert "3.333" in done.stdout
    assert "judge_score|prompts:3|samples:3|rubric:score|judge:m/" in done.stdout
    assert f"Wrote {tmp_path / 'a.judged.jsonl'}." in done.stderr
    assert "The judge was asked 0 times; 3 answers were there already." in again.stderr
    assert again.stdout == done.stdout


@pytest.mark.parametrize("form", ["json", "csv", "md"])
def test_forms(two, form):
    with Server(longer) as server:
        done = run(*two, "--base-url", server.url, "--format", form)
    if form == "json":
        (row,) = json.loads(done.stdout)["results"]
        assert (row["win_rate"], row["ties"]) == (0.5, 1)
        assert row["run"]["judge"]["asked"] == 4
    elif form == "csv":
        (row,) = csv.DictReader(io.StringIO(done.stdout))
        assert (row["win_rate"], row["wins"], row["identical"]) == ("0.5", "1", "1")
        assert float(row["interval_low"]) <= 0.5
    else:
        assert done.stdout.startswith("| a | b | win_rate |")


def test_malformed_ones_are_told(two):
    with Server(
        lambda *_: {"choices": [{"message": {"content": "Well."}, "finish_reason": "length"}]}
    ) as server:
        done = run(two[0], "--base-url", server.url)
    assert done.exit_code == 0
    assert (
        "3 answers had no verdict that could be read and were asked for once more; 3 of 3 verdicts (100.0%) are "
        "lacking for good.\n3 of these were cut off: raise --max-tokens.\n"
    ) in done.stderr


def test_the_question_is_shown(two, tmp_path):
    done = run("--show-prompt")
    assert all(packaged(kind).rstrip() in done.stdout for kind in ("pair", "score", "checklist"))
    assert run(*two, "--show-prompt").stdout == f"# pair\n{packaged('pair')}"
    assert (
        run(two[0], "--show-prompt", "--rubric", "checklist").stdout
        == f"# checklist\n{packaged('checklist')}"
    )
    own = tmp_path / "own.txt"
    own.write_text("{prompt} {response_a} {response_b} [[A]]")
    assert run(*two, "--show-prompt", "--template", own).stdout == f"{own.read_text()}\n"
    own.write_text("{prompt}")
    assert "has no field {response_a}" in run(*two, "--show-prompt", "--template", own).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "name one dump to score, or two to compare"),
        ("A A A --base-url x", "name one dump to score, or two to compare"),
        ("A", "--base-url http://HOST:PORT/v1"),
        ("A --base-url x --pairs all", "--pairs is for two dumps"),
        ("A A --base-url x --samples 2", "--samples is for one dump"),
        ("A A --base-url x --pairs 0", "is none of first, all"),
    ],
)
def test_wrong_words_are_usage(two, words, said):
    done = run(*(two[0] if word == "A" else word for word in words.split()))
    assert done.exit_code == 2
    assert said in done.stderr


def test_errors_are_one_sentence(two):
    with Server(longer) as server:
        url = server.url
    done = run(*two, "--base-url", url, "--model", "m")
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: {url}: cannot be reached: connection refused.\n"
        "       Start the server, or name another with --base-url.\n"
    )
    assert "is not an http or https URL" in run(*two, "--base-url", "localhost:1", "--model", "m").stderr


def test_options_reach_the_library(two, tmp_path, monkeypatch):
    real, seen = scores.score_samples, {}

    def noting(*args, **settings):
        seen.update(settings)
        return real(*args, samples=settings["samples"])

    monkeypatch.setattr(scores, "score_samples", noting)
    with Server(length) as server:
        words = "--samples 1 --rubric score --seed 4 --explain --max-tokens 9 --concurrency 2 --no-cache"
        words += " --retries 1 --timeout 3 --reader jsonl --memory 1MB"
        assert run(two[0], "--base-url", server.url, *words.split()).exit_code == 0
        assert server.asked[0]["max_tokens"] == 9
    assert {name: seen[name] for name in ("samples", "rubric", "seed", "explain", "reader", "memory")} == {
        "samples": 1, "rubric": "score", "seed": 4, "explain": True, "reader": "jsonl",
        "memory": 10**6,
    }  # fmt: skip
    assert not (tmp_path / "cache").exists()
