"""Two runs beside each other: values by hand, what pairs with what, and all that is refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import divfast
from divfast import Samples
from divfast.errors import DataError, MetricError

A = [["a b", "c d"], ["a b", "c d"], ["a b", "b a"], ["", ""]]
B = [["a a", "a a"], ["a b", "a b"], ["a a", "b b"], ["a", "b"]]
IDS = list("wxyz")


def scored(outputs, ids=None, **options):
    ids = ids or [f"p{i}" for i in range(len(outputs))]
    return divfast.score(
        Samples.from_lists(outputs, ids=ids), options.pop("metrics", ["distinct"]), **options
    )


def saved(folder, outputs, **options):
    scored(outputs, **options).save(folder)
    return folder


def edited(folder, change):
    """Change the report of a run as another version of divfast might have written it."""
    path = Path(folder) / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    change(report)
    path.write_text(json.dumps(report), encoding="utf-8")
    return folder


def test_by_hand(tmp_path):
    # B in another order, with a prompt of its own; the last prompt of A has no words
    order = [3, 1, 0, 2]
    a = saved(tmp_path / "a", A, ids=IDS)
    b = saved(tmp_path / "b", [["q"], *(B[i] for i in order)], ids=["v", *(IDS[i] for i in order)])
    comparison = divfast.compare(a, b, scopes=["prompt"])
    (result,) = comparison
    # distinct:n=1 of w x y z: 1, 1, 1/2, undefined and 1/4, 1/2, 1/2, 1
    np.testing.assert_array_equal(result.values, [-3 / 4, -1 / 2, 0.0, np.nan])
    assert (result.pairs, result.undefined) == (3, 1)
    assert result.a == pytest.approx(2.5 / 3)
    assert result.b == pytest.approx(1.25 / 3)
    assert result.difference == pytest.approx(-1.25 / 3)
    assert (result.p, result.p_holm) == (0.5, 0.5)
    assert result.interval == (-0.75, 0.0)
    assert (comparison.run["paired"], comparison.run["only_a"], comparison.run["only_b"]) == (4, 0, 1)
    assert comparison.pairs.to_pydict() == {
        "input_id": IDS,
        "n_a": [2, 2, 2, 2],
        "n_b": [2, 2, 2, 2],
        "distinct": [-0.75, -0.5, 0.0, pytest.approx(np.nan, nan_ok=True)],
        "a.distinct": [1.0, 1.0, 0.5, pytest.approx(np.nan, nan_ok=True)],
        "b.distinct": [0.25, 0.5, 0.5, 1.0],
    }
    # mean -5/12, deviations -1/3, -1/12, 5/12: a variance of 7/48
    assert result.effect.d == pytest.approx(-5 / 12 / (7 / 48) ** 0.5)
    assert (result.effect.up, result.effect.down, result.effect.superiority) == (0, 2, pytest.approx(1 / 6))
    assert [(moved.input_id, moved.a, moved.b, moved.difference) for moved in result.most_down] == [
        ("w", 1.0, 0.25, -0.75),
        ("x", 1.0, 0.5, -0.5),
    ]
    assert result.most_up == []


def test_pooled_values_have_no_interval():
    comparison = divfast.compare(scored(A), scored(B))
    result = comparison["distinct", "pooled"]
    # a b c d among 12, a b among 14
    assert result.a == pytest.approx(4 / 12)
    assert result.b == pytest.approx(2 / 14)
    assert result.difference == pytest.approx(2 / 14 - 4 / 12)
    assert np.isnan([*result.interval, result.p, result.p_holm]).all()
    assert "distinct" in comparison.pairs.column_names
    assert len(comparison) == 2


def test_the_same_run_twice():
    report = scored(A, metrics=["distinct", "ead"], at_k=(1,), draws=1)
    for result in divfast.compare(report, report):
        assert result.difference == 0.0
        assert result.scope == "pooled" or result.p == 1.0


def test_one_correction_for_all_metrics():
    random = np.random.default_rng(0)

    def texts(words):
        return [[" ".join(f"w{w}" for w in random.integers(0, words, 5)) for _ in range(4)] for _ in range(9)]

    options = {"metrics": ["distinct:n=1", "distinct:n=2", "ead:n=1"], "at_k": (2,), "scopes": ["prompt"]}
    comparison = divfast.compare(scored(texts(9), **options), scored(texts(14), **options))
    p = [result.p for result in comparison]
    assert [r.p_holm for r in comparison] == divfast.stats.holm(p)
    assert all(result.p_holm >= result.p for result in comparison)


def test_one_test_under_several_names_is_corrected_once():
    random = np.random.default_rng(0)
    offsets = np.arange(0, 81, 4)
    a, b = (
        divfast.score(
            embeddings=rows / np.linalg.norm(rows, axis=1, keepdims=True),
            groups=offsets,
            metrics=["cosine", "vendi"],
            scopes=["prompt"],
            at_k=(2, 3),
        )
        for rows in random.normal([[[0.4]], [[0.0]]], size=(2, 80, 3)).astype(np.float32)
    )
    comparison = divfast.compare(a, b)
    cosines = [comparison[name] for name in ("cosine", "cosine@k=2", "cosine@k=3")]
    assert len({(result.p, result.p_holm) for result in cosines}) == 1
    distinct_tests = {(result.p, result.p_holm) for result in comparison}
    smallest = min(distinct_tests)
    assert smallest[1] == pytest.approx(4 * smallest[0])


def test_save(tmp_path):
    comparison = divfast.compare(scored(A), scored(B))
    comparison.save(tmp_path / "new")
    report = json.loads((tmp_path / "new" / "comparison.json").read_text(encoding="utf-8"))
    assert list(report) == ["results", "run"]
    assert list(report["results"][0]) == [
        "metric", "scope", "a", "b", "difference", "interval", "p", "p_holm", "effect", "effect_interval",
        "superiority", "superiority_interval", "up", "down", "pairs", "undefined", "unit", "signature_a",
        "signature_b", "most_up", "most_down",
    ]  # fmt: skip
    assert report["results"][1]["p"] is None
    assert pq.read_table(tmp_path / "new" / "pairs.parquet").schema == comparison.pairs.schema
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["comparison.json", "pairs.parquet"]


def test_the_prompts_that_moved_most():
    random = np.random.default_rng(0)
    # random words, so that each prompt moves by its own amount

    def texts():
        return [[" ".join(f"w{w}" for w in random.integers(0, 30, 9)) for _ in range(2)] for _ in range(20)]

    a, b = (scored(texts(), scopes=["prompt"]) for _ in "ab")
    (result,) = divfast.compare(a, b, top=4)
    order = np.argsort(result.values, kind="stable")
    assert [moved.difference for moved in result.most_down] == result.values[order[:4]].tolist()
    assert [moved.difference for moved in result.most_up] == result.values[order[::-1][:4]].tolist()
    assert result.most_up[0].input_id == f"p{order[-1]}"
    assert result.effect.up + result.effect.down + (result.values == 0).sum() == 20
    assert result.to_dict()["most_up"][0] == {
        "input_id": f"p{order[-1]}",
        "a": result.values_a[order[-1]],
        "b": result.values_b[order[-1]],
        "difference": result.values[order[-1]],
    }
    (none,) = divfast.compare(a, b, top=0)
    assert (none.most_up, none.most_down) == ([], [])


@pytest.fixture
def dumps(tmp_path):
    for name, outputs in (("a", A), ("b", B)):
        lines = [
            json.dumps({"qid": i, "prompt": f"say {i}", "outputs": row})
            for i, row in zip(IDS, outputs, strict=True)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "a.jsonl", tmp_path / "b.jsonl"


def test_dumps_are_scored_alike(dumps, tmp_path):
    options = {"tokenizer": "chars", "id_field": "qid"}
    comparison = divfast.compare(*dumps, ["distinct"], seed=3, **options)
    divfast.score(dumps[0], ["distinct"], **options).save(tmp_path / "run")
    for a in (divfast.score(dumps[0], ["distinct"], **options), tmp_path / "run"):
        for other in (divfast.compare(a, dumps[1], ["distinct"], seed=3, **options),
                      divfast.compare(a, divfast.score(dumps[1], ["distinct"], **options), seed=3)):  # fmt: skip
            assert str(other.pairs.to_pydict()) == str(comparison.pairs.to_pydict())  # NaN is not itself
            for mine, theirs in zip(comparison, other, strict=True):
                assert (mine.interval, mine.p) == (theirs.interval, theirs.p) or np.isnan(mine.p)
    (down,) = comparison["distinct"].most_down[:1]
    assert (down.input_id, down.prompt) == ("w", "say w")
    assert [result.scope for result in comparison] == ["prompt", "pooled"]
    assert comparison.run["a"]["run"] == str(dumps[0])
    assert comparison.scored is not None
    same = divfast.compare(dumps[0], str(dumps[0]), ["distinct"], id_field="qid")
    assert all(result.difference == 0 for result in same)


def test_dumps_that_will_not_do(dumps, tmp_path):
    with pytest.raises(
        DataError, match=r"\*\.jsonl: names 2 dumps, and one is compared with one\.\nName one"
    ):
        divfast.compare(tmp_path / "*.jsonl", dumps[1])
    with pytest.raises(DataError, match=r"c\.jsonl: cannot be read: no such file"):
        divfast.compare(dumps[0], tmp_path / "c.jsonl")
    with pytest.raises(MetricError, match=r"unknown metric 'distinc'"):
        divfast.compare(*dumps, ["distinc"])
    with pytest.raises(
        MetricError, match=r"preset and at_k would change how dumps are scored, and both runs are"
    ):
        divfast.compare(scored(A), scored(B), preset="paper", at_k=(2,))


def test_unequal_k_needs_rarefaction():
    long = [["a b", "a b", "c"], ["a b", "c d"]]
    short = [["a b", "a"], ["a b", "c"]]
    with pytest.raises(DataError) as caught:
        divfast.compare(scored(long), scored(short))
    assert str(caught.value) == (
        "distinct depends on K, which differs for 1 of 2 prompts (3 and 2 samples of 'p0').\n"
        "Score both with --at-k 2, and compare again."
    )
    a, b = (scored(rows, at_k=(2,), scopes=["prompt"]) for rows in (long, short))
    comparison = divfast.compare(a, b)
    (result,) = comparison
    # pairs of the first prompt: two of four, three of three, three of three
    np.testing.assert_allclose(result.values, [2 / 3 - (1 / 2 + 1 + 1) / 3, 0.0])
    assert (result.k, result.column) == (2, "distinct@k=2")
    assert comparison.run["left_out"] == ["At unequal size, and so left to @k or @n: distinct (prompt)."]
    with pytest.raises(DataError, match="depends on K"):
        divfast.compare(a, b, ["distinct"])


def test_prompts_that_do_not_pair_may_be_of_any_k():
    comparison = divfast.compare(scored([["a b", "c"], ["x"] * 9]), scored([["a b", "c"]]), scopes=["prompt"])
    assert (len(comparison.pairs), comparison.run["only_a"]) == (1, 1)


def test_unequal_n_needs_rarefaction():
    a, b = scored([["a b", "c d"], ["e"]]), scored([["a b", "c d"]])
    with pytest.raises(
        DataError, match=r"grows with the corpus, and the runs have 3 and 2 rows\.\n.*--at-n 2"
    ):
        divfast.compare(a, b)
    a, b = (scored(rows, at_n=(2,)) for rows in ([["a b", "c d"], ["e"]], [["a b", "c d"]]))
    comparison = divfast.compare(a, b)
    assert [(r.column, r.scope) for r in comparison] == [("distinct", "prompt"), ("distinct@n=2", "pooled")]


def test_means_over_pairs_do_not_depend_on_k():
    rows = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 0, 1]]
    a = divfast.score(embeddings=rows, groups=[0, 3, 6], metrics=["cosine"])
    b = divfast.score(embeddings=rows[:4], groups=[0, 2, 4], metrics=["cosine"])
    comparison = divfast.compare(a, b)
    # of the first prompt all pairs are orthogonal; of the second two of three, and then one of one
    np.testing.assert_allclose(comparison["cosine"].values, [0.0, 1.0 - 2 / 3], atol=1e-12)
    assert comparison["cosine", "pooled"].pairs == 1
    a, b = (
        divfast.score(
            embeddings=rows[:n], groups=groups, metrics=["cosine"], preset="paper", scopes=["prompt"]
        )
        for n, groups in ((6, [0, 3, 6]), (3, [0, 1, 3]))
    )
    # This preset makes up 0 for a single sample.
    with pytest.raises(DataError, match="depends on K"):
        divfast.compare(a, b)


@pytest.mark.parametrize(
    ("one", "two", "part"),
    [
        ({}, {"tokenizer": "words"}, "tok (whitespace and words: distinct)"),
        ({}, {"preset": "paper"}, "preset (default and paper: distinct)"),
        ({"metrics": ["ead"]}, {"metrics": ["ead"], "vocab_size": 9},
         "metric (ead:n=1-5,vocab_size=50257 and ead:n=1-5,vocab_size=9: ead)"),
    ],
)  # fmt: skip
def test_signatures_must_agree(one, two, part):
    a, b = scored(A, **one), scored(B, **two)
    name = part.partition(" ")[0]
    with pytest.raises(DataError) as caught:
        divfast.compare(a, b)
    assert str(caught.value) == (
        f"the signatures differ in {part}.\nScore both alike, or say that they may differ: --allow {name}."
    )
    comparison = divfast.compare(a, b, allow=[name])
    assert comparison.run["allowed"] == [name]


def test_versions_must_agree(tmp_path):
    def older(report):
        for entry in report["results"]:
            entry["signature"] = entry["signature"].replace(f"v:{divfast.__version__}", "v:0.0.1")

    b = edited(saved(tmp_path / "b", B), older)
    with pytest.raises(DataError, match=r"differ in v \(.* and 0\.0\.1: distinct\)"):
        divfast.compare(scored(A), b)
    assert len(divfast.compare(scored(A), b, allow=["v"])) == 2


def test_embeddings_of_other_texts_are_other_vectors():
    rows = np.eye(4, dtype=np.float32)
    options = {"groups": [0, 2, 4], "metrics": ["vendi"]}
    a = divfast.score(embeddings=rows, **options)
    assert divfast.compare(a, divfast.score(embeddings=rows[::-1].copy(), **options))["vendi"].pairs == 2
    wider = np.eye(5, dtype=np.float32)[:4]
    with pytest.raises(DataError, match=r"emb \(4 and 5: vendi\)"):
        divfast.compare(a, divfast.score(embeddings=wider, **options))


def test_the_same_recipe_under_another_name():
    a, b = scored(A, metrics=["ead"]), scored(B, metrics=["ead:n=1-5", "distinct"])
    comparison = divfast.compare(a, b, scopes=["prompt"])
    assert [result.column for result in comparison] == ["ead"]
    assert comparison.run["left_out"] == ["Only in the report: distinct (prompt)."]


def test_several_dumps_in_one_folder(tmp_path):
    for name, outputs in (("a", A), ("b", B)):
        lines = [
            json.dumps({"input_id": str(i), "outputs": row, "model": name}) for i, row in enumerate(outputs)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    both = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    divfast.score(both, ["distinct"]).save(tmp_path / "run")
    result = divfast.compare(f"{tmp_path}/run:a", f"{tmp_path}/run:b")["distinct"]
    np.testing.assert_array_equal(result.values, [-0.75, -0.5, 0.0, np.nan])
    with pytest.raises(DataError, match=r"holds 2 dumps\.\nName one as FOLDER:MODEL, of a, b"):
        divfast.compare(tmp_path / "run", tmp_path / "run")
    with pytest.raises(DataError, match="holds no dump called 'c'"):
        divfast.compare(f"{tmp_path}/run:c", f"{tmp_path}/run:b")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metrics": ["distinc"]}, MetricError, "has no 'distinc'.\nDid you mean distinct?"),
        ({"scopes": ["first"]}, DataError, "have no metric in common"),
        ({"scopes": ["corpus"]}, MetricError, "unknown scope 'corpus'"),
        ({"allow": ["tko"]}, MetricError, "no signature here has a part 'tko'.\nDid you mean tok?"),
    ],
)
def test_refusals(options, error, message):
    with pytest.raises(error) as caught:
        divfast.compare(scored(A), scored(B), **options)
    assert message in str(caught.value)


def test_prompts_must_pair():
    with pytest.raises(DataError, match="no input_id is in both"):
        divfast.compare(scored(A), scored(B, ids=IDS))
    with pytest.raises(DataError, match="several prompts of the same input_id"):
        divfast.compare(scored(A), scored(B, ids=list("aabc")))
    with pytest.raises(DataError, match="no input_id is in both"):
        divfast.compare(scored([]), scored([]))


def test_nothing_defined():
    result = divfast.compare(scored([[""]]), scored([["a"]]))["distinct"]
    assert (result.pairs, result.undefined) == (0, 1)
    assert np.isnan([result.a, result.difference, *result.interval, result.p, result.p_holm]).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "report.json").unlink(), "is not a folder that divfast score -o wrote"),
        (lambda folder: (folder / "report.json").write_text("{"), "holds no report of divfast"),
        (lambda folder: (folder / "report.json").write_text("[]"), "holds no report of divfast"),
        (lambda folder: (folder / "groups.parquet").unlink(), "wrote: it has no groups.parquet"),
        (lambda folder: (folder / "groups.parquet").write_bytes(b"PAR"), "holds no report of divfast"),
        (
            lambda folder: edited(folder, lambda report: report["results"][0].update(signature="x")),
            "KeyError: 'rows'",
        ),
        (lambda folder: edited(folder, lambda report: report["run"].clear()), "KeyError: 'dumps'"),
        (
            lambda folder: pq.write_table(pa.table({"n": [1]}), folder / "groups.parquet"),
            "no column input_id",
        ),
    ],
)
def test_broken_runs(tmp_path, spoil, message):
    folder = saved(tmp_path / "run", A, scopes=["prompt"])
    spoil(folder)
    with pytest.raises(DataError, match=message):
        divfast.compare(folder, scored(B, scopes=["prompt"], metrics=["ead"]))


def test_a_column_is_missing(tmp_path):
    folder = saved(tmp_path / "run", A)
    table = pq.read_table(folder / "groups.parquet")
    pq.write_table(table.drop_columns(["distinct"]), folder / "groups.parquet")
    with pytest.raises(DataError, match=r"run: groups\.parquet has no column 'distinct'"):
        divfast.compare(folder, scored(B))
