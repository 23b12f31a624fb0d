"""From a model to a report, a line for each step: generate, verify, score, study."""

import json
import shlex

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from divfast.cli import main

pytestmark = pytest.mark.model

STUDY = """
study: One model, hotter and colder
lineages:
  cooling: [{base: hot}, {sft: cold}]
tasks:
  letters: {verify: {as: regex, pattern: '([aeiou])'}}
dumps: "{model}.jsonl"
metrics: [ead, "distinct:n=1", length]
"""


def say(line):
    done = CliRunner().invoke(main, shlex.split(line))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_a_model_to_a_report(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-lm").symlink_to((shared / "models" / "tiny-lm").resolve())
    prompts = [{"id": f"p{i}", "prompt": f"Number {i} is", "gold": "aeiou"[i % 5]} for i in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in prompts))
    (tmp_path / "study.yaml").write_text(STUDY)

    drawn = (
        "generate --model tiny-lm --prompts prompts.jsonl --raw -k 6 --max-tokens 12 --engine transformers"
    )
    say(f"{drawn} -o hot.jsonl")
    say(f"{drawn} --top-p 0.001 -o cold.jsonl")
    verified = json.loads(say("verify hot.jsonl --as regex --pattern '([aeiou])' --format json"))["results"][
        0
    ]
    scored = json.loads(say("score hot.verified.jsonl -m accuracy -m ead --scope prompt --format json"))[
        "results"
    ]
    say("study study.yaml -o run")

    assert (verified["prompts"], verified["samples"]) == (12, 72)
    assert 0 < verified["correct"] < 72
    accuracy, ead = (one["value"] for one in scored)
    assert accuracy == pytest.approx(verified["accuracy"])
    values = pq.read_table(tmp_path / "run" / "values.parquet").to_pylist()
    hot = next(
        row for row in values if (row["model"], row["metric"], row["task"]) == ("hot", "ead", "letters")
    )
    assert hot["value"] == pytest.approx(ead)
    shares = pq.read_table(tmp_path / "run" / "attribution.parquet").to_pylist()
    loss = next(
        row for row in shares if (row["step"], row["metric"], row["task"]) == ("sft", "ead", "letters")
    )
    cold = next(
        row for row in values if (row["model"], row["metric"], row["task"]) == ("cold", "ead", "letters")
    )
    assert loss["share"] == pytest.approx(100 * (cold["value"] - hot["value"]) / hot["value"])
    assert loss["share"] < -20
    assert loss["p_holm"] < 0.05
