"""``divfast cluster``: what it prints, what it writes, how it ends; the options of partitions in ``divfast score``."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import divfast
from divfast import clusters
from divfast.cli import main, options
from divfast.cli.cluster import cluster
from divfast.clusters import recipe
from divfast.views.partition import PARTITION_SCOPES

FOUR = np.array([[1, 0], [0.9, 0.1], [0, 1], [0, 1]])


def run(*args, **more):
    """Run ``divfast`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, [*map(str, args)], catch_exceptions=False, **more)


@pytest.fixture
def dump(tmp_path):
    """A dump of two prompts with rewards, and vectors beside it."""
    lines = [
        {"input_id": "a", "prompt": "a?", "outputs": ["x", "x y", "z\x1b[2J"], "scores": [1, 2, 3]},
        {"input_id": "b", "prompt": "b?", "outputs": ["z"], "scores": [4]},
    ]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    np.save(tmp_path / "d.npy", FOUR)
    return path


def vectors(dump):
    return ["--embeddings", str(dump.with_suffix(".npy"))]


def test_choices_are_those_of_the_library():
    assert options.CLUSTER_METHODS == recipe.METHODS
    assert recipe.SCOPES == options.CLUSTER_SCOPES
    assert PARTITION_SCOPES == options.CLUSTER_SCOPES
    assert options.INDEXES == recipe.INDEXES
    arguments = {parameter.name for parameter in cluster.params}
    assert set(options.READING) <= arguments
    assert all(parameter.help for parameter in cluster.params if parameter.param_type_name == "option")


def test_options_reach_the_library(dump, monkeypatch):
    real, seen = clusters.cluster, {}

    def noting(source, **settings):
        seen.update(settings, source=source)
        return real([["x"]], embeddings=FOUR[:1])

    monkeypatch.setattr(clusters, "cluster", noting)
    run(
        "cluster", dump, "--method", "kmeans", "--tau", 0.6, "-k", 3, "--scope", "pooled", "--encoder", "e", "--dtype",
        "float16", "--no-cache", "--index", "flat", "--probes", 2, "--reward", "r", "--seed", 3, "--join", "--threads",
        1, "--memory", "64MB", "--reader", "jsonl", "--outputs-field", "outputs", "--id-field", "i", "--prompt-field",
        "p", "--prompts", "x.jsonl", "--keep-reasoning", "--on-error", "skip",
    )  # fmt: skip
    assert seen == {
        "source": [str(dump)], "method": "kmeans", "tau": 0.6, "k": 3, "scope": "pooled", "encoder": "e",
        "dtype": "float16", "embeddings": None, "cache": False, "index": "flat", "probes": 2, "reward": "r", "seed": 3,
        "join": True, "threads": 1, "memory": 64_000_000, "reader": "jsonl", "outputs_field": "outputs",
        "id_field": "i", "prompt_field": "p", "prompts": "x.jsonl", "keep_reasoning": True, "on_error": "skip",
        "progress": None,
    }  # fmt: skip


def test_the_table(dump):
    result = run("cluster", dump, *vectors(dump))
    assert result.exit_code == 0 and result.stderr == ""
    words = [line.split() for line in result.stdout.splitlines()]
    assert next(line for line in words if line[:1] == ["distinct_k"])[:3] == ["distinct_k", "prompt", "1.500"]
    assert any(line[:2] == ["utility_k", "prompt"] for line in words)
    assert "3 clusters, 2 of one sample." in result.stdout
    assert "\x1b" not in result.stdout
    assert "part:threshold/tau=0.8/of=prompt|emb:" in result.stdout


def test_recall_is_printed(tmp_path):
    pytest.importorskip("faiss")
    rows = np.random.default_rng(0).standard_normal((40, 3)).round(1)
    np.save(tmp_path / "d.npy", rows)
    dump = tmp_path / "d.jsonl"
    dump.write_text("".join(json.dumps({"id": str(i), "outputs": [str(i)]}) + "\n" for i in range(40)))
    asked = (
        "cluster",
        dump,
        "--embeddings",
        tmp_path / "d.npy",
        "--scope",
        "pooled",
        "--index",
        "ivf",
        "--tau",
        0.9,
    )
    result = run(*asked)
    assert "ivf/lists=6/probes=4/rs=0: " in result.stdout
    assert "of the similar pairs found, measured on a sample of rows against all" in result.stdout
    whole = json.loads(run(*asked, "--format", "json").stdout)
    assert 0 <= whole["clusters"]["recall"] <= 1
    assert all("|index:ivf/lists=6" in entry["signature"] for entry in whole["results"])


def test_other_forms_agree(dump):
    whole = json.loads(run("cluster", dump, *vectors(dump), "--scope", "pooled", "--format", "json").stdout)
    assert whole["clusters"]["largest"][0] == {
        "cluster": 0,
        "size": 2,
        "input_id": "a",
        "position": 0,
        "text": "x",
    }
    text = run("cluster", dump, *vectors(dump), "--scope", "pooled", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["value"]) for row in rows] == [entry["value"] for entry in whole["results"]]
    lines = run("cluster", dump, *vectors(dump), "--scope", "pooled", "--format", "md").stdout.splitlines()
    assert len(lines) == len(rows) + 2


def test_files_are_written_beside_the_dump(dump, tmp_path):
    before = dump.read_bytes()
    folder, written = tmp_path / "run", tmp_path / "p.jsonl"
    result = run("cluster", dump, *vectors(dump), "-o", folder, "--partitioned", written)
    assert result.exit_code == 0 and result.stdout == ""
    files = ", ".join(str(folder / f"{name}.parquet") for name in ("samples", "clusters", "groups"))
    assert result.stderr == f"Wrote {files} and {folder / 'report.json'}.\nWrote {written}.\n"
    table = pq.read_table(folder / "samples.parquet").to_pydict()
    assert table["input_id"] == ["a", "a", "a", "b"] and table["cluster"] == [0, 0, 1, 2]
    assert table["size"] == [2, 2, 1, 1] and table["exemplar"] == [True, False, True, True]
    records = [json.loads(line) for line in written.read_text("utf-8").splitlines()]
    assert [record["partition"] for record in records] == [[0, 0, 1], [0]]
    report = json.loads((folder / "report.json").read_text())
    for entry in report["results"]:
        again = divfast.score(str(written), [entry["metric"]])
        assert again[entry["metric"]].value == entry["value"]
    assert dump.read_bytes() == before


def test_score_takes_partitions(dump, tmp_path):
    run("cluster", dump, *vectors(dump), "--scope", "pooled", "--partitioned", tmp_path / "p.jsonl")
    asked = ("score", tmp_path / "p.jsonl", "-m", "distinct_k", "-m", "utility_k", "--format", "json")
    result = run(*asked)
    assert result.exit_code == 0
    assert "the labels of 'partition' tell apart the samples of one prompt" in result.stderr
    whole = json.loads(run(*asked, "--partition-scope", "pooled", "--reward", "partition").stdout)
    values = {(entry["metric"], entry["scope"]): entry["value"] for entry in whole["results"]}
    assert values["distinct_k", "pooled"] == 2
    refused = run("score", tmp_path / "p.jsonl", "-m", "distinct_k", "--scope", "pooled")
    assert refused.exit_code == 1 and "Ask with --scope prompt alone" in refused.stderr
    missing = run("score", dump, "-m", "distinct_k", "--partition", "topic")
    assert missing.exit_code == 1
    assert missing.stderr.startswith(
        f'Error: {dump}: has no column "topic". It has input_id, prompt, outputs, scores.'
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["nope.jsonl", "--embeddings", "d.npy"],
            "Error: nope.jsonl: cannot be read: no such file or directory.\n",
        ),
        (["d.jsonl"], "Error: clusters need vectors.\n       Name an encoder with --encoder"),
        (["d.jsonl", "--embeddings", "no.npy"], "Error: no.npy: no such file.\n"),
        (
            ["d.jsonl", "--embeddings", "d.npy", "-k", "2"],
            "Error: k is for the method kmeans, not for threshold.\n",
        ),
        (
            ["d.jsonl", "--embeddings", "d.npy", "-k", "9", "--method", "kmeans"],
            "Error: prompt 'a' has 3 samples",
        ),
        (
            ["d.jsonl", "--embeddings", "d.npy", "--index", "ivf"],
            "Error: an index has no use for the scope prompt",
        ),
        (
            ["d.jsonl", "--embeddings", "d.npy", "-o", "d.jsonl/x"],
            "Error: d.jsonl/x: cannot be made or written into",
        ),
        (
            ["d.jsonl", "--embeddings", "d.npy", "--partitioned", "d.jsonl"],
            "Error: d.jsonl: is one of the dumps.\n",
        ),
        (["-", "--embeddings", "d.npy", "--partitioned", "x"], "Error: stdin: can be read only once"),
        (["d.jsonl", "e.jsonl", "--embeddings", "d.npy"], "Error: several dumps cannot be clustered at once"),
    ],
)
def test_errors_are_one_sentence_with_a_remedy(dump, args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.jsonl").write_bytes(dump.read_bytes())
    before = {path.name for path in tmp_path.iterdir()}
    result = run("cluster", *args)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith(message)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "args", [[], ["--tau", "1.5"], ["--scope", "first"], ["-k", "0"], ["--probes", "99"]]
)
def test_wrong_usage_exits_2(dump, args):
    assert run("cluster", *([dump] if args else []), *args).exit_code == 2


def test_a_folder_with_a_dump_in_it_is_kept(dump, tmp_path):
    pq.write_table(pq.read_table(_parquet(tmp_path)), tmp_path / "samples.parquet")
    result = run("cluster", dump, *vectors(dump), "-o", tmp_path)
    assert result.exit_code == 1 and "is there already and was not written by divfast" in result.stderr


def _parquet(folder):
    import pyarrow as pa

    pq.write_table(pa.table({"outputs": [["a"]]}), folder / "other.parquet")
    return folder / "other.parquet"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_end_before_its_time_leaves_no_half_files(tmp_path, how):
    rows = np.random.default_rng(0).standard_normal((30_000, 64)).astype(np.float32)
    np.save(tmp_path / "d.npy", rows)
    dump = tmp_path / "d.jsonl"
    dump.write_text("".join(json.dumps({"id": str(i), "outputs": [str(i)]}) + "\n" for i in range(len(rows))))
    words = [
        "cluster",
        dump,
        "--embeddings",
        tmp_path / "d.npy",
        "--scope",
        "pooled",
        "--index",
        "flat",
        "-o",
    ]
    out = tmp_path / "run"
    command = [sys.executable, "-P", "-m", "divfast", *map(str, words), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "DIVFAST_THREADS": "1"})
    time.sleep(1.5)
    process.send_signal(how)
    process.communicate(timeout=60)
    if process.returncode:
        assert not out.exists()
        assert {path.name for path in tmp_path.iterdir()} == {"d.npy", "d.jsonl"}
    else:
        assert {path.name for path in Path(out).iterdir()} >= {"samples.parquet", "report.json"}
