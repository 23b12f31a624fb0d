"""How alike models are: values by hand, against all pairs, which prompts are compared, what is written and printed."""

import csv
import io
import json
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import divfast
from divfast import neighbours
from divfast.cli import flat, main, options
from divfast.errors import DataError, MetricError
from divfast.model_similarity import STATISTICS, similarity
from divfast.reference.cosine import similarities
from test_vendi import draw, unit
from tolerances import REDUCTION

SCOPES = ("prompt", "first", "pooled")


def write(folder, name, prompts, rows):
    """Write a dump and its vectors; `prompts` are ids and numbers of samples."""
    with (folder / f"{name}.jsonl").open("w") as out:
        for id, size in prompts:
            out.write(json.dumps({"id": id, "outputs": [f"{name} {id} {i}" for i in range(size)]}) + "\n")
    np.save(folder / f"{name}.npy", rows)
    return folder / f"{name}.jsonl"


@pytest.fixture
def models(tmp_path):
    """Three dumps in orders of their own, with prompts that only some have, and an empty one."""
    sizes = {"a": [3, 2, 4, 1], "b": [2, 2, 1, 3, 2], "c": [2, 0, 5]}
    ids = {"a": ["p", "q", "r", "s"], "b": ["r", "x", "q", "p", "s"], "c": ["q", "s", "p"]}
    vectors = {name: draw(sum(sizes[name]), 6, seed=i) for i, name in enumerate(sizes)}
    paths = [
        write(tmp_path, name, list(zip(ids[name], sizes[name], strict=True)), vectors[name]) for name in sizes
    ]
    of = {}
    for name in sizes:
        ends = np.cumsum([0, *sizes[name]])
        of[name] = {
            id: vectors[name][x:y] for id, (x, y) in zip(ids[name], pairwise(ends), strict=True) if y > x
        }
    return paths, f"{tmp_path}/{{stem}}.npy", of


def groups_of(one, scope):
    if scope == "prompt":
        return [one["p"], one["q"]]
    return [np.concatenate([one[id][:1] if scope == "first" else one[id] for id in "pq"])]


def by_all_pairs(x, y, statistic):
    """Return the value of one group from the matrix of all cosines."""
    if x is y:
        cosines = similarities(x)
        np.fill_diagonal(cosines, np.nan)
    else:
        cosines = similarities(np.concatenate([x, y]))[: len(x), len(x) :]
    if x is y and len(x) < 2:
        return np.nan
    return np.nanmean(cosines if statistic == "mean" else np.nanmax(cosines, axis=1))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("limit", [2048, 2])
def test_all_pairs(models, statistic, limit, monkeypatch):
    monkeypatch.setattr(neighbours, "MATRIX_ROWS", limit)
    monkeypatch.setattr("divfast.model_vectors.MATRIX_ROWS", limit)
    paths, embeddings, of = models
    report = similarity(paths, statistic=statistic, embeddings=embeddings, scopes=SCOPES)
    assert report.models == ["a", "b", "c"]
    for scope in SCOPES:
        grouped = {name: groups_of(of[name], scope) for name in of}
        for a in of:
            for b in of:
                expected = [
                    by_all_pairs(x, y, statistic) for x, y in zip(grouped[a], grouped[b], strict=True)
                ]
                found = report[a, b, scope]
                np.testing.assert_allclose(found.values, expected, rtol=1e-6)
                assert found.value == pytest.approx(np.nanmean(expected), rel=1e-6)
                assert found.undefined == np.isnan(expected).sum()
    assert np.array_equal(report.matrix().T, report.matrix()) == (statistic == "mean")
    assert report.run["left_out"] == {
        "a": {"prompts": 2, "ids": ["r", "s"]},
        "b": {"prompts": 3, "ids": ["r", "x", "s"]},
        "c": {"prompts": 1, "ids": ["s"]},
    }


def test_signatures(models):
    paths, embeddings, _ = models
    report = similarity(paths, embeddings=embeddings, seed=3)
    recipe = report["a", "b"].signature.parts
    assert recipe["groups"] == 2
    assert recipe["rows"] == "5,4"
    assert len(recipe["emb"].split(",")) == len(recipe["data"].split(",")) == 2
    assert (recipe["bs"], recipe["rs"]) == (1000, 3)
    assert report["a", "a"].signature.parts["rows"] == "5"
    assert "bs" not in report["a", "b", "pooled"].signature.parts
    low, high = report["a", "b"].interval
    assert low <= report["a", "b"].value <= high


def test_a_model_beside_itself_is_one_minus_cosine_and_chamfer(models):
    paths, embeddings, _ = models
    scored = divfast.score([paths[0]], ["cosine", "chamfer"], embeddings=embeddings)
    for statistic, metric in (("mean", "cosine"), ("nearest", "chamfer")):
        alone = similarity(paths[:2], statistic=statistic, embeddings=embeddings)["a", "a"]
        at = [0, 1, 2, 3]  # b has all prompts of a
        np.testing.assert_allclose(alone.values, 1 - scored[metric].values[at], **REDUCTION)


def test_the_same_dump_twice_over(tmp_path):
    rows = draw(6)
    one, two = (write(tmp_path, name, [("p", 3), ("q", 3)], rows) for name in ("one", "two"))
    report = similarity([one, two], statistic="nearest", embeddings=f"{tmp_path}/{{stem}}.npy")
    assert report["one", "two"].value == pytest.approx(1)
    assert report["one", "two", "pooled"].value == pytest.approx(1)


def test_many_samples(tmp_path):
    prompts = [(str(i), 10) for i in range(3000)]
    rows = {name: unit(draw(30_000, 8, seed=i)) for i, name in enumerate("ab")}
    paths = [write(tmp_path, name, prompts, rows[name]) for name in rows]
    report = similarity(paths, embeddings=f"{tmp_path}/{{stem}}.npy")
    expected = rows["a"].mean(axis=0, dtype=float) @ rows["b"].mean(axis=0, dtype=float)
    assert report["a", "b", "pooled"].value == pytest.approx(expected, rel=1e-6)


# What is refused.


def test_errors(models, tmp_path):
    paths, embeddings, _ = models
    with pytest.raises(DataError, match="nothing to compare with"):
        similarity(paths[:1], embeddings=embeddings)
    with pytest.raises(MetricError, match="the similarity of models needs vectors"):
        similarity(paths)
    with pytest.raises(MetricError, match=r"unknown statistic 'men'.*\nDid you mean mean"):
        similarity(paths, statistic="men", embeddings=embeddings)
    other = write(tmp_path, "other", [("z", 2)], draw(2, 6))
    with pytest.raises(DataError, match="no prompt has samples in all of a, other"):
        similarity([paths[0], other], embeddings=embeddings)
    report = similarity(paths, embeddings=embeddings)
    with pytest.raises(MetricError, match="no model 'd'"):
        report["a", "d"]
    with pytest.raises(MetricError, match="no scope 'first'"):
        report["a", "b", "first"]


# From the shell.


def run(*args):
    """Run ``divfast similarity`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["similarity", *map(str, args)], catch_exceptions=False)


def test_table(models):
    paths, embeddings, _ = models
    result = run(*paths, "--embeddings", embeddings)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    report = similarity(paths, embeddings=embeddings)
    row = next(line.split() for line in lines if line.startswith("b "))
    digits = flat.decimals(report.matrix().ravel().tolist())
    assert row == ["b", *(f"{report['b', name].value:.{digits}f}" for name in "abc")]
    assert "similarity:statistic=mean|scope:prompt|groups:2|rows:*|emb:*|data:*|bs:1000|" in result.stdout
    assert result.stderr.splitlines()[1] == ("Not in all dumps, and so left out of b: 3 prompts (r, x, s).")
    assert "Undefined for some prompts in 1 pair of models" in result.stderr


def test_json_csv_md_and_files(models, tmp_path):
    paths, embeddings, _ = models
    report = similarity(paths, embeddings=embeddings)
    found = json.loads(run(*paths, "--embeddings", embeddings, "--format", "json").stdout)
    expected = report.to_dict()
    assert {key: found[key] for key in ("models", "matrix", "results")} == {
        key: expected[key] for key in ("models", "matrix", "results")
    }
    rows = list(
        csv.DictReader(io.StringIO(run(*paths, "--embeddings", embeddings, "--format", "csv").stdout))
    )
    assert [(row["a"], row["b"], row["scope"]) for row in rows] == [(r.a, r.b, r.scope) for r in report]
    assert run(*paths, "--embeddings", embeddings, "--format", "md").stdout.startswith("| a | b |")
    result = run(*paths, "--embeddings", embeddings, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, "")
    table = pq.read_table(tmp_path / "out" / "prompts.parquet")
    assert table.column_names == ["input_id", "a|a", "a|b", "a|c", "b|b", "b|c", "c|c"]
    assert table["input_id"].to_pylist() == ["p", "q"]
    assert json.loads((tmp_path / "out" / "similarity.json").read_text())["models"] == ["a", "b", "c"]


def test_options_are_those_of_the_library():
    assert tuple(STATISTICS) == options.STATISTICS


def test_nothing_in_common_is_one_sentence(models, tmp_path):
    paths, embeddings, _ = models
    other = write(tmp_path, "other", [("z", 2)], draw(2, 6))
    result = run(paths[0], other, "--embeddings", embeddings)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no prompt has samples in all of a, other.\n")
