"""The main job from Python: what is scored, what is signed, what is refused."""

import json
import re
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest

import divfast
from divfast import Samples
from divfast.errors import BackendError, DataError, DivfastError, MetricError

OUTPUTS = [["a b c", "a b d"], ["x"], [], ["y y", "y y", ""]]


def dump(tmp_path, name, outputs, **fields):
    path = tmp_path / name
    lines = [
        json.dumps({"input_id": str(i), "prompt": f"p{i}", "outputs": row, **fields})
        for i, row in enumerate(outputs)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_values_by_hand():
    report = divfast.score(OUTPUTS, ["distinct:n=1", "distinct:n=2"], scopes=["prompt", "first", "pooled"])
    # a b c d among 6; x; nothing; y among 4
    np.testing.assert_array_equal(report["distinct:n=1"].values, [4 / 6, 1.0, np.nan, 1 / 4])
    # ab bc bd among 4; none; nothing; yy among 2
    np.testing.assert_array_equal(report["distinct:n=2"].values, [3 / 4, np.nan, np.nan, 1 / 2])
    result = report["distinct:n=2"]
    assert (result.value, result.groups, result.undefined) == (0.625, 4, 2)
    # the first samples: "a b c", "x", "y y"
    assert report["distinct:n=1", "first"].value == 5 / 6
    # all: a b c d x y among 11
    assert report["distinct:n=1", "pooled"].value == 6 / 11
    assert report["distinct:n=1", "pooled"].undefined == 0


def test_groups_table():
    table = divfast.score(OUTPUTS, ["distinct:n=1", "ead"]).groups
    assert table.column_names == ["input_id", "n", "distinct:n=1", "ead"]
    assert table["input_id"].to_pylist() == ["0", "1", "2", "3"]
    assert table["n"].to_pylist() == [2, 1, 0, 3]
    assert str(table["ead"].type) == "double"


def test_signature():
    report = divfast.score(OUTPUTS, ["ead:n=2"], scopes=["prompt", "pooled"], preset="paper", seed=5)
    version = re.escape(divfast.__version__)
    assert re.fullmatch(
        r"ead:n=2,vocab_size=50257\|scope:prompt\|groups:4\|rows:6\|preset:paper\|tok:paper"
        rf"\|data:[0-9a-f]{{8}}\|bs:1000\|rs:5\|v:{version}",
        str(report["ead:n=2"].signature),
    )
    assert re.fullmatch(
        r"ead:n=2,vocab_size=50257\|scope:pooled\|groups:1\|rows:6\|preset:paper\|tok:paper\|data:[0-9a-f]{8}"
        rf"\|v:{version}",
        str(report["ead:n=2", "pooled"].signature),
    )


def data_part(report):
    return report.results[0].signature.parts["data"]


def test_fingerprint_follows_content_and_groups_only(tmp_path):
    base = data_part(divfast.score(OUTPUTS, ["ead"]))
    assert data_part(divfast.score(dump(tmp_path, "a.jsonl", OUTPUTS, model="m"), ["ead"])) == base
    assert data_part(divfast.score(OUTPUTS, ["distinct"], scopes=["first"])) == base
    changed = [
        [["a b c", "a b d"], ["x"], [], ["y y", "y y", " "]],
        [["a b c"], ["a b d", "x"], [], ["y y", "y y", ""]],
        [["a b c", "a b d"], ["x"], ["y y", "y y", ""], []],
    ]
    assert len({base, *(data_part(divfast.score(other, ["ead"])) for other in changed)}) == 4


@pytest.mark.parametrize("scopes", [["prompt"], ["first"], ["pooled"], ["prompt", "first", "pooled"]])
def test_blocks_threads_and_memory_change_nothing(tmp_path, scopes):
    random = np.random.default_rng(0)
    outputs = [
        [
            " ".join(f"w{w}" for w in random.integers(0, 40, random.integers(0, 9)))
            for _ in range(random.integers(0, 6))
        ]
        for _ in range(700)
    ]
    path = dump(tmp_path, "dump.jsonl", outputs)
    whole = divfast.score(outputs, ["ead", "distinct:n=2"], scopes=scopes, threads=1)
    for options in ({"memory": 1 << 16}, {"threads": 3}, {"memory": 1 << 16, "threads": 2}):
        pieces = divfast.score(path, ["ead", "distinct:n=2"], scopes=scopes, **options)
        assert len(pieces) == len(whole)
        for a, b in zip(whole, pieces, strict=True):
            np.testing.assert_array_equal(a.values, b.values)
            assert a.interval == b.interval or np.isnan(a.interval).all()
            assert str(a.signature) == str(b.signature)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_reference_backend_agrees(preset):
    options = {"scopes": ["prompt", "first", "pooled"], "preset": preset}
    fast = divfast.score(OUTPUTS, ["ead", "distinct:n=2"], **options)
    slow = divfast.score(OUTPUTS, ["ead", "distinct:n=2"], backend="reference", **options)
    assert slow.run["backend"] == "reference"
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-12)


def test_several_dumps(tmp_path):
    dump(tmp_path, "b.jsonl", OUTPUTS, model="sft", task="t")
    dump(tmp_path, "a.jsonl", [["q q"]])
    report = divfast.score(str(tmp_path / "*.jsonl"), ["distinct"], scopes=["prompt"])
    assert [(r.model, r.task, r.value) for r in report] == [
        ("a", None, 0.5),
        ("sft", "t", (4 / 6 + 1 + 1 / 4) / 3),
    ]
    assert report.groups.column_names == ["model", "task", "input_id", "n", "distinct"]
    assert report.groups["model"].to_pylist() == ["a"] + ["sft"] * 4
    assert {"model", "task"} < set(report.to_dict()["results"][0])


def test_joined_dumps_are_one(tmp_path):
    parts = [dump(tmp_path, "1.jsonl", [["a"], ["b"]]), dump(tmp_path, "2.jsonl", [["a"], ["c"]])]
    report = divfast.score(parts, ["distinct"], join=True)
    assert report["distinct"].values.tolist() == [0.5, 1.0]
    assert report.groups["n"].to_pylist() == [2, 2]


def test_defaults_say_what_they_leave_out():
    report = divfast.score(OUTPUTS)
    assert [r.metric for r in report if r.scope == "prompt"] == ["ead", "distinct:n=1", "distinct:n=2"]
    assert {r.scope for r in report} == {"prompt", "pooled"}
    assert "cosine and vendi need vectors" in report.run["left_out"]


def test_save(tmp_path):
    report = divfast.score(OUTPUTS, ["distinct:n=2"])
    report.save(tmp_path / "new" / "run")
    saved = json.loads((tmp_path / "new" / "run" / "report.json").read_text(encoding="utf-8"))
    assert set(saved) == {"results", "run"}
    assert set(saved["results"][0]) == {
        "metric", "scope", "value", "std", "interval", "groups", "undefined", "unit", "signature",
    }  # fmt: skip
    assert saved["results"][0]["value"] == 0.625
    assert saved["results"][1]["interval"] == [None, None]
    table = pq.read_table(tmp_path / "new" / "run" / "groups.parquet")
    assert table.schema == report.groups.schema
    np.testing.assert_array_equal(table["distinct:n=2"], report.groups["distinct:n=2"])
    assert sorted(p.name for p in (tmp_path / "new" / "run").iterdir()) == ["groups.parquet", "report.json"]


def test_save_leaves_nothing_half_written(tmp_path, monkeypatch):
    report = divfast.score(OUTPUTS, ["distinct"])
    report.save(tmp_path)
    before = (tmp_path / "report.json").read_bytes()

    def full(table, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("divfast.output.pq.write_table", full)
    with pytest.raises(DivfastError, match=r"groups\.parquet: cannot be written: no space left on device"):
        report.save(tmp_path)
    assert (tmp_path / "report.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["groups.parquet", "report.json"]


def test_save_where_a_file_stands(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DivfastError, match="cannot be made"):
        divfast.score(OUTPUTS, ["distinct"]).save(tmp_path / "taken")


def test_unknown_result_suggests():
    with pytest.raises(MetricError, match="Did you mean distinct:n=2"):
        divfast.score(OUTPUTS, ["distinct:n=2"])["distinct:n=3"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metrics": ["vendi"]}, MetricError, "--encoder"),
        ({"metrics": ["ead"], "scopes": ["corpus"]}, MetricError, "unknown scope 'corpus'"),
        ({"metrics": ["ead"], "preset": "papers"}, MetricError, "Did you mean paper"),
        ({"metrics": ["ead"], "backend": "gpu"}, BackendError, "unknown backend"),
        ({"metrics": ["ead"], "backend": "cuda"}, BackendError, "has no CUDA kernel"),
        ({"metrics": ["ead"], "encoder": "minilm", "embeddings": "a.npy"}, MetricError, "both"),
    ],
)
def test_refusals(options, error, message):
    if options["metrics"] == ["vendi"]:
        pytest.importorskip("divfast.metrics.vendi")
    with pytest.raises(error, match=message):
        divfast.score(OUTPUTS, **options)


def test_nothing_to_score():
    with pytest.raises(DataError, match="nothing to score"):
        divfast.score()
    with pytest.raises(DataError, match="matches no file"):
        divfast.score("no-such-folder/*.jsonl")
    with pytest.raises(DataError, match=r"no-such\.jsonl: cannot be read: no such file"):
        divfast.score("no-such.jsonl")


def test_no_groups_at_all_is_data():
    report = divfast.score([], ["ead"], scopes=["prompt", "first", "pooled"])
    assert [r.groups for r in report] == [0, 1, 1]
    assert np.isnan([r.value for r in report]).all()


def test_nothing_is_printed_and_threads_may_share_it(capfd):
    expected = divfast.score(OUTPUTS, ["ead"])["ead"].value
    got = []
    workers = [
        threading.Thread(target=lambda: got.append(divfast.score(OUTPUTS, ["ead"], threads=2)["ead"].value))
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == [expected] * 8
    assert capfd.readouterr() == ("", "")


def test_samples_are_taken_as_they_are():
    samples = Samples.from_lists(OUTPUTS, ids=list("wxyz"))
    assert divfast.score(samples, ["ead"]).groups["input_id"].to_pylist() == list("wxyz")


def test_one_metric_scope_or_size_needs_no_list():
    texts = [["a b", "a c"], ["x", "x"]]
    report = divfast.score(texts, "distinct", scopes="prompt", at_k=1)
    assert [result.column for result in report] == ["distinct", "distinct@k=1"]


def test_a_misspelt_option_is_refused_in_memory_too(tmp_path):
    for source in ([["a"]], tmp_path / "dump.jsonl"):
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'encoders'\. Did you mean encoder"):
            divfast.score(source, "ead", encoders="minilm")


def test_a_report_shows_a_line_a_result():
    shown = repr(divfast.score([["a b", "a c"], ["x", "x"]], ["distinct:n=1"]))
    assert shown.splitlines()[1] == "pooled distinct:n=1 0.666667"
    assert re.fullmatch(r"prompt distinct:n=1 0\.625 \[0\.5, 0\.75\]", shown.splitlines()[0])
