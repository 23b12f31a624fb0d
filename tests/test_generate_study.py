"""From a task, and from a study file, to dumps that are verified and scored: one command each."""

import json

import pytest
from click.testing import CliRunner

from divfast.cli import main
from divfast.errors import DivfastError
from divfast.generation.study_runs import generate_study
from generating import TINY, assert_finished, records
from sums import SUMS, lines

pytestmark = pytest.mark.model

STUDY = """
study: Two formats
models:
  base: {{model: {model}, prompt: raw}}
  think: {{model: {model}, prompt: chat}}
  quick: {{model: {model}, prompt: chat, think: false}}
lineages:
  one: [{{base: base}}, {{rl: [think, quick]}}]
tasks:
  gsm8k: {{verify: gsm8k}}
dumps: dumps/{{model}}/{{task}}@{{temperature}}.jsonl
factors: {{temperature: [0.7, 1.0]}}
metrics: ["distinct:n=1"]
generation: {{k: 2, top_p: 0.95, max_tokens: 5, seed: 3, engine: transformers, limit: 3}}
"""


@pytest.fixture
def tiny(shared):
    pytest.importorskip("transformers")
    return str(shared / TINY)


@pytest.fixture
def data(tmp_path):
    """Questions with the columns of the data set."""
    path = tmp_path / "gsm8k.jsonl"
    rows = [{"question": f"What is {i} + {i}?", "answer": f"It is {2 * i}.\n#### {2 * i}"} for i in range(5)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def said(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_a_task_to_scores(tiny, data, tmp_path):
    dump, verified = tmp_path / "dump.jsonl", tmp_path / "verified.jsonl"
    drawing = ["--engine", "transformers", "--task", "gsm8k", "--data", data, "--max-tokens", "5", "-k", "3"]
    said("generate", "--model", tiny, "--raw", *drawing, "-o", dump)
    assert_finished(dump, 3)
    first = records(dump)[0]
    assert (first["task"], first["generation"]["sampling"]["stop"][0]) == ("gsm8k", "\nQuestion:")
    assert all(record["prompt"].startswith("Question: What is") for record in records(dump))
    said("verify", dump, "--as", "gsm8k", "-o", verified)
    assert {record["expected"] for record in records(verified)} == {"0", "2", "4", "6", "8"}
    assert "accuracy" in said("score", verified, "-m", "accuracy", "-m", "distinct:n=1")


def test_what_a_study_lacks(tiny, data, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.format(model=tiny), encoding="utf-8")
    out = said("generate", "--study", study, "--data", tmp_path / "{task}.jsonl")
    assert out.count("3 prompts x 2 samples (6 drawn now") == 6
    dumps = sorted(tmp_path.glob("dumps/*/*.jsonl"))
    assert len(dumps) == 6
    for dump in dumps:
        assert_finished(dump, 2)
        first = records(dump)[0]
        assert first["model"] == dump.parent.name
        assert first["generation"]["sampling"]["temperature"] == float(dump.stem.split("@")[1])
        assert first["generation"]["prompt"]["format"] == ("raw" if first["model"] == "base" else "chat")
        assert first["generation"]["prompt"].get("think", True) is (first["model"] != "quick")
    before = {dump: dump.read_bytes() for dump in dumps}
    dumps[2].unlink()
    out = said("generate", "--study", study, "--data", tmp_path / "{task}.jsonl")
    assert out.count("(6 drawn now") == 1 and out.count("(0 drawn now") == 5
    assert {dump: dump.read_bytes() for dump in dumps} == before


def test_a_task_file_stands_beside_the_study(tiny, tmp_path, monkeypatch):
    (tmp_path / "sums.yaml").write_text(SUMS.replace("config: easy\n", ""))
    lines(tmp_path / "sums.jsonl")
    study = tmp_path / "study.yaml"
    text = STUDY.replace("gsm8k: {{verify: gsm8k}}", "sums.yaml: {{verify: exact}}")
    study.write_text(text.format(model=tiny), encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said("generate", "--study", study, "--data", tmp_path / "sums.jsonl", "--model", "base")
    for dump in tmp_path.glob("dumps/base/*.jsonl"):
        assert {record["task"] for record in records(dump)} == {"sums"}


def test_what_a_study_does_not_say(tiny, tmp_path):
    study = tmp_path / "study.yaml"

    def refused(old, new, match, **given):
        study.write_text(STUDY.format(model=tiny).replace(old, new), encoding="utf-8")
        with pytest.raises(DivfastError, match=match):
            list(generate_study(study, **given))

    refused("", "", "has no model 'bse'", model="bse")
    refused("prompt: raw", "prompt: rough", "says prompt: rough")
    refused(
        f"{{model: {tiny}, prompt: raw}}", "{prompt: raw}", "does not say what to load for the model 'base'"
    )
    refused("dumps: dumps/", "dumps: d*/", "names no file for each dump")
