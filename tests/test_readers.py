"""Every format as its harness wrote it: the reader is recognised, and what went in comes out."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import divfast
from divfast.errors import DataError
from divfast.readers import formats
from divfast.samples import Samples

FIXTURES = Path(__file__).resolve().parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "EXPECTED.json").read_text(encoding="utf-8"))
WITH_SAMPLES = {name: entry for name, entry in EXPECTED.items() if entry["groups"]}
WITHOUT = sorted(set(EXPECTED) - set(WITH_SAMPLES))
JSON_FILES = [name for name in WITH_SAMPLES if name.endswith((".json", ".jsonl")) and " + " not in name]


def paths_of(name):
    paths = [FIXTURES / part for part in name.split(" + ")]
    return paths[0] if len(paths) == 1 else paths


def options_of(name):
    entry = EXPECTED[name]
    options = {"keep_reasoning": True}
    if "with" in entry:
        options["prompts"] = FIXTURES / entry["with"]
    if entry["reader"] == "lines":
        options["reader"] = "lines"
    if name == "plain/renamed.jsonl":
        options |= {"outputs_field": "answers", "id_field": "nr", "prompt_field": "ask"}
    return options


def groups_of(blocks):
    return [
        [id, prompt, block.outputs(i)]
        for block in blocks
        for i, (id, prompt) in enumerate(zip(block.ids.to_pylist(), block.prompts.to_pylist(), strict=True))
    ]


def short(name):
    return name.split(" + ")[0][-48:]


@pytest.mark.parametrize("name", WITH_SAMPLES, ids=short)
def test_fixture_is_read_as_expected(name):
    blocks = divfast.read(paths_of(name), **options_of(name))
    assert groups_of(blocks) == EXPECTED[name]["groups"]
    assert blocks.reader == EXPECTED[name]["reader"]


@pytest.mark.parametrize("name", WITH_SAMPLES, ids=short)
def test_fixture_is_the_same_in_tiny_blocks(name):
    blocks = divfast.read(paths_of(name), block_bytes=64, block_rows=2, **options_of(name))
    assert groups_of(blocks) == EXPECTED[name]["groups"]


@pytest.mark.parametrize("name", WITH_SAMPLES, ids=short)
def test_fixture_is_read_by_the_forced_reader(name):
    options = options_of(name) | {"reader": EXPECTED[name]["reader"]}
    assert groups_of(divfast.read(paths_of(name), **options)) == EXPECTED[name]["groups"]


@pytest.mark.parametrize("name", WITHOUT, ids=short)
def test_a_file_without_samples_is_refused_in_one_sentence(name):
    with pytest.raises(DataError) as caught:
        list(divfast.read(FIXTURES / name))
    assert str(FIXTURES / name) in str(caught.value)
    assert caught.value.remedy


def compressed(kind, data):
    if kind == "gz":
        return gzip.compress(data)
    if kind == "gz in two members":
        half = len(data) // 2
        return gzip.compress(data[:half]) + gzip.compress(data[half:])
    if kind == "xz":
        return lzma.compress(data)
    zstandard = pytest.importorskip("zstandard")
    half = len(data) // 2 if kind == "zst in two frames" else len(data)
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:]) if part)


KINDS = ("gz", "gz in two members", "xz", "zst", "zst in two frames")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", JSON_FILES, ids=short)
def test_compressed_json_is_the_same(tmp_path, name, kind):
    folder = tmp_path / "demo__fixture"
    folder.mkdir()
    path = folder / Path(name).name
    path.write_bytes(compressed(kind, (FIXTURES / name).read_bytes()))
    blocks = divfast.read(path, **options_of(name))
    assert groups_of(blocks) == EXPECTED[name]["groups"]
    assert blocks.reader == EXPECTED[name]["reader"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_off_compressed_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / "dump"
    data = b"".join(b'{"id": %d, "outputs": ["%d"]}\n' % (i, i * 7919) for i in range(50_000))
    path.write_bytes(compressed(kind, data)[:-9])
    with pytest.raises(DataError) as caught:
        list(divfast.read(path))
    assert str(caught.value) == (
        f"{path}: the {'gzip' if 'gz' in kind else 'zstd' if 'zst' in kind else 'xz'} data end early or are damaged.\n"
        "Copy or compress the file again."
    )


READ_STDIN = """
import json, sys, divfast
blocks = divfast.read("-", keep_reasoning=True, block_bytes=300, prompts=sys.argv[1] or None)
groups = [[id, prompt, block.outputs(i)] for block in blocks
          for i, (id, prompt) in enumerate(zip(block.ids.to_pylist(), block.prompts.to_pylist()))]
print(json.dumps([blocks.reader, groups]))
"""


@pytest.mark.parametrize(
    "name",
    [
        "plain/per_sample_scattered.jsonl",
        "paper/dict_of_records.json",
        "plain/list_column.parquet",
        "plain/list_column.arrows",
        "inspect_ai/rewritten/superseded.eval",
        "batch/openai_output.jsonl",
    ],
)
def test_standard_input(name):
    prompts = EXPECTED[name].get("with")
    done = subprocess.run(
        [sys.executable, "-c", READ_STDIN, str(FIXTURES / prompts) if prompts else ""],
        input=(FIXTURES / name).read_bytes(),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == [EXPECTED[name]["reader"], EXPECTED[name]["groups"]]


def test_a_pipe_by_name():
    name = "plain/per_sample_scattered.jsonl"
    code = "import divfast, sys; print(sum(b.rows for b in divfast.read(sys.argv[1], block_bytes=200)))"
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c '{code}' <(cat {FIXTURES / name})"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == "15"


@pytest.mark.parametrize("name", ["plain/list_column.parquet", "plain/list_column.arrow"])
def test_a_compressed_table_is_read(tmp_path, name):
    path = tmp_path / "table.gz"
    path.write_bytes(gzip.compress((FIXTURES / name).read_bytes()))
    assert groups_of(divfast.read(path, keep_reasoning=True)) == EXPECTED[name]["groups"]


def test_counts_and_what_the_dump_says_of_itself():
    def of(name):
        blocks = divfast.read(FIXTURES / name)
        list(blocks)
        return blocks.counts, blocks.meta

    assert of("batch/vllm_output.jsonl") == (
        {"null_outputs": 1, "failed_requests": 2},
        {"model": "demo/fixture"},
    )
    (log,) = [name for name in WITH_SAMPLES if name.startswith("inspect_ai/zstd")]
    counts, meta = of(log)
    assert counts["failed_samples"] == 1
    assert meta == {"model": "mockllm/model", "task": "demo_diversity"}
    assert of("novelty_bench/scores.jsonl")[1] == {"model": "demo/fixture"}
    (samples,) = [name for name in WITH_SAMPLES if name.startswith("lm_eval")]
    assert of(samples)[1] == {"model": "demo/fixture", "task": "demo_diversity"}


def test_columns_are_carried_along():
    def column(name, which):
        whole = Samples.concat(divfast.read(FIXTURES / name))
        return (whole.per_sample | whole.per_prompt)[which].to_pylist()

    assert (
        column("human_eval/samples.jsonl_results.jsonl", "correct") == [True, False, False, True] + [True] * 3
    )
    assert column("evalplus/samples_eval_results.json", "correct")[:4] == [True, False, False, True]
    assert column("novelty_bench/scores.jsonl", "scores")[:4] == [7, 1, 9, 5]
    assert column("novelty_bench/scores.jsonl", "partition")[:4] == [0, 1, 2, 3]
    assert column("plain/per_prompt.jsonl", "finish_reasons")[:2] == ["stop", "stop"]
    assert column("vllm/request_outputs.jsonl", "logprobs")[1] == -1.5
    assert column("plain/list_column.parquet", "gold") == ["", "42", "да", "The fox runs over the bridge."]
    (details,) = [name for name in WITH_SAMPLES if "/fixture/" in name and "v0.13.0" in name]
    assert column(details, "gold") == ["да", "42", "The fox runs over the bridge.", ""]
    (log,) = [name for name in WITH_SAMPLES if name.startswith("inspect_ai/deflate")]
    assert column(log, "gold")[:3] == ["", "42", "да"]
    scores = column(log, "scores")
    assert scores[0] == 1.0
    assert np.isnan(scores[1])


def test_no_columns_when_none_are_asked_for():
    blocks = divfast.read(FIXTURES / "plain/per_prompt.jsonl", columns=())
    assert all(not block.per_sample and not block.per_prompt for block in blocks)


def test_prompts_of_a_second_file_go_to_any_format():
    blocks = divfast.read(
        FIXTURES / "human_eval/samples.jsonl", prompts=FIXTURES / "human_eval/problems.jsonl"
    )
    (block,) = blocks
    assert [prompt[:9] for prompt in block.prompts.to_pylist()] == ["def add(a", "def shout"]


def test_a_table_in_memory():
    table = pa.table({"nr": [1, 1, 2], "text": ["a", None, "c"], "ask": ["p", "p", "q"]})
    samples = Samples.from_arrow(table, outputs_field="text", id_field="nr", prompt_field="ask")
    assert groups_of([samples]) == [["1", "p", ["a", ""]], ["2", "q", ["c"]]]
    lists = pa.table({"outputs": pa.chunked_array([[["a", "b"]], [[], None, ["c"]]])})
    assert groups_of([Samples.from_arrow(lists)]) == [
        ["1", None, ["a", "b"]],
        ["2", None, []],
        ["3", None, []],
        ["4", None, ["c"]],
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([["é", b"\xff-".decode("latin-1")]], pa.list_(pa.large_string())),
        pa.array([["é", "ÿ-"]], pa.large_list(pa.string())),
        pa.array([["é", "ÿ-"]], pa.list_(pa.string(), 2)),
        pa.array([["é".encode(), "ÿ-".encode()]], pa.list_(pa.binary())),
        pa.array([["é", "ÿ-"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    ],
    ids=lambda column: str(column.type),
)
def test_every_kind_of_list_of_texts(column):
    samples = Samples.from_arrow(pa.table({"outputs": column}))
    assert samples.outputs(0) == ["é", "ÿ-"]


def test_bytes_that_are_not_utf8_are_replaced_and_counted(tmp_path):
    path = tmp_path / "dump.parquet"
    pq.write_table(pa.table({"outputs": pa.array([[b"a\xff", b"b"]], pa.list_(pa.binary()))}), path)
    blocks = divfast.read(path)
    assert groups_of(blocks) == [["1", None, ["a\ufffd", "b"]]]
    assert blocks.counts == {"invalid_utf8": 1}


def test_a_table_without_samples_is_refused(tmp_path):
    path = tmp_path / "dump.parquet"
    pq.write_table(pa.table({"outputs": [1, 2]}), path)
    with pytest.raises(DataError) as caught:
        list(divfast.read(path))
    assert str(caught.value) == (
        f'{path}: column "outputs" must hold lists of strings, got int64.\n'
        "Name another column with --outputs-field."
    )


def test_columns_of_a_table_that_do_not_fit_their_outputs(tmp_path):
    path = tmp_path / "dump.parquet"
    rows = [
        {"id": "a", "outputs": ["x", "y"], "scores": [1.0, 2.0]},
        {"id": "b", "outputs": ["x"], "scores": [1.0, 2.0]},
        {"id": "c", "outputs": ["x"], "scores": None},
        {"id": "d", "outputs": ["x"], "scores": [4.0]},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(DataError, match=r'dump\.parquet:2: "scores" has 2 values for 1 outputs\.'):
        list(divfast.read(path))
    (block,) = divfast.read(path, on_error="skip")
    assert block.per_sample["scores"].to_pylist() == [1.0, 2.0, None, None, 4.0]


def test_what_a_csv_row_lacks_is_no_sample(tmp_path):
    path = tmp_path / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ["sample_id", "context", "resp_0", "resp_1", "resp_2"],
                ["a", "p", "x", "", "z"],
                ["b", "q", "y", "", ""],
            ]
        )
    assert groups_of(divfast.read(path)) == [["a", "p", ["x", "", "z"]], ["b", "q", ["y"]]]


def test_every_format_says_what_it_is():
    for name, module in formats().items():
        assert name == module.NAME
        assert module.SUMMARY


def test_the_files_of_the_manifest(shared):
    with (shared / "data" / "MANIFEST.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 168
    wrong = []
    for row in rows:
        blocks = divfast.read(shared / "data" / row["file"], columns=(), keep_reasoning=True)
        sizes = np.concatenate([np.diff(block.groups) for block in blocks])
        found = (len(sizes), int(sizes.sum()), int(sizes.min()), int(sizes.max()))
        if found != tuple(int(row[name]) for name in ("prompts", "texts", "k_min", "k_max")):
            wrong.append((row["file"], found))
        if blocks.meta != {"model": row["model"], "task": row["task"]}:
            wrong.append((row["file"], blocks.meta))
    assert not wrong
