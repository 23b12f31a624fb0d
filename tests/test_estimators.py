"""Estimators of quality: values by hand, published figures, columns that are missing or wrong, samples filtered."""

import csv
import gzip
import json
import math

import numpy as np
import pytest

import divfast
from divfast.errors import DataError
from divfast.quality.estimators import Answers, drawn_without
from divfast.registry import parse_spec
from divfast.samples import Samples

NAN = float("nan")


def write(path, *records):
    lines = [{"input_id": str(i), "prompt": f"{i}?", **record} for i, record in enumerate(records)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def value(spec, correct, answer=None, score=None):
    rows = Answers(
        np.array(correct, float),
        None if answer is None else np.array(answer),
        None if score is None else np.array(score, float),
    )
    found = parse_spec(spec)
    return found.metric.function(rows, np.array([0, len(correct)]), **found.parameters)[0]


@pytest.mark.parametrize(
    ("spec", "correct", "answer", "expected"),
    [
        ("pass_at_k:k=2", [1, 0, 0], None, 2 / 3),
        ("pass_at_k:k=3", [1, 0, 0, NAN], None, 1.0),
        ("pass_at_k:k=4", [1, 0, 0, NAN], None, NAN),
        ("pass_hat_k:k=2", [1, 1, 0], None, 1 / 3),
        ("pass_hat_k:k=3", [1, 1, 0], None, 0.0),
        ("majority", [1, 1, 0], [5, 5, 6], 1.0),
        ("majority", [1, 0, 0], [5, 6, 7], 1 / 3),
        ("majority:ties=wrong", [1, 0, 0], [5, 6, 7], 0.0),
        ("majority", [1, 0, 0], [5, -1, -1], 1.0),
        ("majority:unparseable=vote", [1, 0, 0], [5, -1, -1], 0.0),
        ("majority:unparseable=vote", [1, 0], [5, -1], 0.5),
        ("majority:ties=wrong,unparseable=vote", [1, 1, 0], [5, 5, -1], 1.0),
        ("majority", [0, 0], [-1, -1], 0.0),
        ("majority", [NAN, NAN], [5, 5], NAN),
        ("mv_gain", [0, 1, 1], [4, 5, 5], 1.0),
        ("mv_gain", [1, 0, 0], [4, 5, 5], -1.0),
    ],
)
def test_by_hand(spec, correct, answer, expected):
    assert value(spec, correct, answer) == pytest.approx(expected, nan_ok=True)


def test_best_of_by_hand():
    assert value("best_of", [0, 1, 1], score=[3, 3, 1]) == 0.5
    assert value("best_of", [0, 1], score=[-5, NAN]) == 0.0
    assert math.isnan(value("best_of", [0, 1], score=[NAN, NAN]))


def test_large_n_and_k_stay_exact():
    n, c, k = 20_000, 7, 9_000
    expected = 1 - math.comb(n - c, k) / math.comb(n, k)
    assert 1 - drawn_without(np.array([n - c]), np.array([n]), k)[0] == pytest.approx(expected, rel=1e-12)
    assert value(f"pass_at_k:k={k}", [1] * c + [0] * (n - c)) == pytest.approx(expected, rel=1e-12)


def test_the_paper_preset_names_its_rule_in_the_signature(tmp_path):
    path = write(
        tmp_path / "d.jsonl", {"outputs": ["a", "b"], "correct": [True, False], "extracted": ["1", None]}
    )
    default, paper = (
        divfast.score(path, ["majority"], preset=preset)["majority"] for preset in ("default", "paper")
    )
    assert (default.mean, paper.mean) == (1.0, 0.0)
    assert default.signature.metric == "majority:ties=mean,unparseable=abstain"
    assert paper.signature.metric == "majority:ties=wrong,unparseable=vote"
    named = divfast.score(path, ["majority:ties=mean"], preset="paper")["majority:ties=mean"]
    assert named.signature.metric == "majority:ties=mean,unparseable=vote"
    assert named.mean == 0.5


def test_columns_of_other_names_and_kinds(tmp_path):
    path = write(
        tmp_path / "d.jsonl",
        {"outputs": ["a", "b", "c"], "ok": [1, 0, 1], "pred": [4, "4", None], "reward": [0.5, 2, None]},
        {"outputs": ["a"], "ok": [None], "pred": ["x"], "reward": [1]},
    )
    names = {"correct_field": "ok", "answers_field": "pred", "reward": "reward"}
    report = divfast.score(path, ["accuracy", "majority", "best_of"], scopes=["prompt"], **names)
    np.testing.assert_array_equal(report["accuracy"].values, [2 / 3, NAN])
    np.testing.assert_array_equal(report["majority"].values, [0.5, NAN])
    np.testing.assert_array_equal(report["best_of"].values, [0.0, NAN])
    assert str(report["accuracy"].signature.parts["labels"]).startswith("ok,answers=pred,scores=reward@")
    assert report["accuracy"].undefined == 1


def test_verdicts_of_more_than_one_kind(tmp_path):
    kinds = [[1, 0], ["True", "false"], [True, None]]
    path = write(tmp_path / "d.jsonl", *({"outputs": ["a", "b"], "correct": kind} for kind in kinds))
    report = divfast.score(path, ["accuracy"], scopes=["prompt"])
    np.testing.assert_array_equal(report["accuracy"].values, [0.5, 0.5, 1.0])


def test_the_signature_tells_verdicts_apart_and_not_blocks(tmp_path):
    records = [
        {"outputs": ["a", "b"], "correct": [i % 2 == 0, None], "extracted": ["x", str(i)]} for i in range(50)
    ]
    path = write(tmp_path / "d.jsonl", *records)
    first = str(divfast.score(path, ["accuracy"])["accuracy"].signature)
    small = divfast.score(path, ["accuracy"], block_rows=3, block_bytes=64)
    assert str(small["accuracy"].signature) == first
    records[7]["correct"][1] = True
    other = divfast.score(write(tmp_path / "e.jsonl", *records), ["accuracy"])
    assert str(other["accuracy"].signature) != first
    compared = divfast.compare(divfast.score(path, ["accuracy"]), other)
    assert compared is not None


@pytest.mark.parametrize(
    ("record", "metric", "options", "message"),
    [
        ({}, "accuracy", {}, 'no sample has a "correct"'),
        ({"correct": [True, 0.5]}, "accuracy", {}, "holds '0.5', which is neither true nor false"),
        ({"correct": ["yes", "no"]}, "accuracy", {}, "holds 'yes'"),
        ({"correct": [True]}, "accuracy", {}, '"correct" has 1 values for 2 outputs'),
        ({"correct": [True, False]}, "majority", {}, 'no sample has a "extracted"'),
        ({"correct": [True, False]}, "best_of", {}, 'no sample has a "scores"'),
        ({"correct": [True, False], "scores": ["x", 1]}, "best_of", {}, "must hold one number"),
        ({"correct": [True, False]}, "ead", {"where": "right"}, 'no sample has a "right"'),
    ],
)
def test_bad_columns_are_one_sentence(tmp_path, record, metric, options, message):
    path = write(tmp_path / "d.jsonl", {"outputs": ["a", "b"], **record})
    with pytest.raises(DataError, match=message):
        divfast.score(path, [metric], **options)


def test_samples_in_memory_have_no_verdicts():
    with pytest.raises(DataError, match="no sample has"):
        divfast.score([["a"]], ["accuracy"])


def test_where_scores_what_is_right_alone(tmp_path):
    path = write(
        tmp_path / "d.jsonl",
        {"outputs": ["a b", "a c", "d"], "correct": [True, True, False]},
        {"outputs": ["a", "b"], "correct": [False, None]},
        {"outputs": ["x", "y", "x"], "correct": [True, False, True]},
    )
    report = divfast.score(
        path, ["distinct:n=1", "self_bleu:n=1"], where="correct", at_k=[2], per_sample=True
    )
    plain = divfast.score([["a b", "a c"], [], ["x", "x"]], ["distinct:n=1", "self_bleu:n=1"], at_k=[2])
    for result in report:
        other = plain[result.column, result.scope]
        np.testing.assert_array_equal(result.values, other.values)
        assert result.signature.parts["where"] == "correct"
    assert report.groups["n"].to_pylist() == [2, 0, 2]
    assert report.samples["position"].to_pylist() == [0, 1, 5, 7]
    assert report["distinct:n=1"].undefined == 1


def test_where_takes_the_vectors_of_what_it_keeps(tmp_path):
    path = write(tmp_path / "d.jsonl", {"outputs": ["a", "b", "c"], "correct": [True, False, True]})
    vectors = np.array([[1.0, 0.0], [7.0, 7.0], [0.0, 1.0]])
    report = divfast.score(path, ["cosine"], embeddings=vectors, where="correct")
    assert report["cosine"].mean == pytest.approx(1.0)


def test_published_codet(shared):
    path = shared / "data" / "codet" / "humaneval__codegen-16b-mono@T0.8.jsonl.gz"
    specs = [f"pass_at_k:k={k}" for k in (1, 10, 100)]
    report = divfast.score(path, specs, scopes=["prompt"])
    assert [round(100 * report[spec].mean, 2) for spec in specs] == [22.12, 50.38, 73.78]


def test_published_game_of_24(shared):
    path = shared / "data" / "tot" / "game24__gpt-4@T0.7-io.jsonl.gz"
    report = divfast.score(path, ["accuracy", "pass_at_k:k=100"], scopes=["prompt"])
    # The paper (arXiv 2305.10601): 7.3% on average, 33% best of 100.
    assert round(100 * report["accuracy"].mean, 1) == 7.3
    assert round(100 * report["pass_at_k:k=100"].mean) == 33


def test_published_cruxeval(shared):
    with (shared / "data" / "cruxeval_leaderboard.csv").open(newline="", encoding="utf-8") as file:
        published = {row["Model"]: row for row in csv.DictReader(file)}
    checked = 0
    for model in ("phi-1", "codellama-7b+cot", "deepseek-base-33b", "gpt-4-0613+cot"):
        for task, letter in (("input", "i"), ("output", "o")):
            for temperature, k in (("0.2", 1), ("0.8", 5)):
                path = shared / "data" / "cruxeval" / f"cruxeval_{task}__{model}@T{temperature}.jsonl.gz"
                if path.exists():
                    found = divfast.score(path, [f"pass_at_k:k={k}"], scopes=["prompt"])[
                        f"pass_at_k:k={k}"
                    ].mean
                    assert abs(100 * found - float(published[model][f"{letter}@{k}"])) <= 0.0501, path.name
                    checked += 1
    assert checked >= 14


def test_published_zeroeval(shared):
    # One answer a model: the accuracy of a model is that of its column.
    folder = shared / "data" / "zeroeval"
    models = json.loads((folder / "math_l5_pool.models.json").read_text())
    with gzip.open(folder / "math_l5_pool__41-models.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        labels = np.array([json.loads(line)["correct"] for line in file.read().split("\n") if line], float)
    assert labels.shape == (721, len(models))
    whole = Answers(np.ascontiguousarray(labels.T).ravel())
    spec = parse_spec("accuracy")
    values = spec.metric.function(whole, np.arange(len(models) + 1) * 721)
    published = [model["published_acc"] for model in models]
    np.testing.assert_allclose(100 * values, published, atol=0.0051)


def test_parity_of_correct_counts(shared):
    for name in ("cruxeval__cruxeval_output__codellama-7b@T0.8", "humaneval_7b__humaneval__mistral-7b"):
        values = json.loads((shared / "parity" / f"{name}.json").read_text())
        blocks = list(divfast.read(shared / "data" / values["file"]))
        samples = Samples.concat(blocks)
        correct = samples.per_sample["correct"].to_numpy(zero_copy_only=False).astype(float)
        groups = samples.groups[: values["groups"] + 1]
        rows = Answers(correct[: groups[-1]])
        for k in (1, 5, 10):
            spec = parse_spec(f"pass_at_k:k={k}")
            found = spec.metric.function(rows, groups, **spec.parameters)
            assert found.mean() == pytest.approx(values["corpus"][f"pass_at_{k}"], rel=1e-9)
        counts = np.add.reduceat(rows.correct, groups[:-1])
        np.testing.assert_array_equal(counts, values["per_group"]["k_correct"])
