"""From a task, and from a study file, to dumps that are verified and scored: one command each."""

import json

import pytest
from click.testing import CliRunner

from divfast.cli import main
from divfast.errors import DivfastError
from divfast.generation.study_runs import generate_study
from generating import TINY, assert_finished, records
from judging import longer
from openai_server import Server
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


def test_a_dump_is_judged_as_its_task_says(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("DIVFAST_CACHE", str(tmp_path / "cache"))
    data, dump = tmp_path / "xsum.jsonl", tmp_path / "dump.jsonl"
    rows = [{"document": f"News {i}.", "summary": f"Short {i}.", "id": i} for i in range(3)]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    drawing = ["--engine", "transformers", "--task", "xsum", "--data", data, "--max-tokens", "40", "-k", "2"]
    said("generate", "--model", tiny, "--raw", *drawing, "-o", dump)
    with Server(longer) as server:
        out = said("judge", dump, "--base-url", server.url)
        assert all("better summary" in body["messages"][0]["content"] for body in server.asked)
        said(
            "judge", dump, "--base-url", server.url, "--rubric", "reference", "-o", tmp_path / "scored.jsonl"
        )
    assert "dump against references" in out
    before, after = records(dump), records(tmp_path / "scored.jsonl")
    assert [{name: record[name] for name in record if name != "scores"} for record in after] == before
    assert all(len(record["scores"]) == 2 for record in after)


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


def test_one_model_that_is_missing_leaves_the_others(tiny, data, tmp_path):
    study = tmp_path / "study.yaml"
    text = STUDY.format(model=tiny).replace(
        "models:\n", f"models:\n  gone: {{model: {tmp_path}/gone, prompt: raw}}\n"
    )
    study.write_text(text.replace("{base: base}", "{base: [gone, base]}"), encoding="utf-8")
    words = ["generate", "--study", study, "--data", tmp_path / "{task}.jsonl"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 1
    assert done.stdout.count("(6 drawn now") == 6
    *told, error, _ = done.stderr.splitlines()[-4:]
    for line, temperature in zip(told, ("0.7", "1.0"), strict=True):
        assert line.startswith(
            f"Not drawn: {tmp_path}/dumps/gone/gsm8k@{temperature}.jsonl: {tmp_path}/gone: "
        )
        assert "there is no such folder" in line
    assert error == f"Error: {study}: 2 of 8 dumps of the study are not complete."
    # A library call ends with the first, unless it says what to do.
    with pytest.raises(DivfastError, match="no such folder"):
        list(generate_study(study, model="gone", data=str(data)))


def test_what_a_study_says_wrongly_is_told_before_anything_is_drawn(tiny, data, tmp_path):
    study = tmp_path / "study.yaml"
    for wrong, said_ in (
        (("prompt: chat, think: false", "prompt: chatty"), "says prompt: chatty"),
        (("gsm8k: {verify: gsm8k}", "gsm8k: {}\n  gsm9k: {}"), "unknown task 'gsm9k'"),
    ):
        study.write_text(STUDY.format(model=tiny).replace(*wrong), encoding="utf-8")
        done = CliRunner().invoke(main, ["generate", "--study", str(study), "--data", str(data)])
        assert (done.exit_code, said_ in done.stderr) == (1, True), done.output
        assert not (tmp_path / "dumps").exists()


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
