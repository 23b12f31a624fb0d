"""Bad input is one sentence with file, line and remedy; odd but legal input is read as any JSON parser reads it."""

from __future__ import annotations

import json
import os
import random
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast
from divfast import _core
from divfast.errors import DataError
from divfast.readers.fields import Fields, Malformed
from divfast.samples import Samples

FIXTURES = Path(__file__).resolve().parent / "fixtures"


def dump(tmp_path, data, name="dump.jsonl"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        list(divfast.read(path, **options))
    return str(caught.value).replace(f"{path.parent}{os.sep}", "")


GOOD = '{"outputs": ["a"]}\n'
SKIP = "Skip bad lines with --on-error skip."
RENAME = "Name another field with --outputs-field, or skip bad lines with --on-error skip."


@pytest.mark.parametrize(
    ("line", "what", "remedy"),
    [
        ('{"outputs": "a"}', '"outputs" must be a list of strings, got a string.', RENAME),
        ('{"outputs": {"a": 1}}', '"outputs" must be a list of strings, got an object.', RENAME),
        ('{"outputs": ["a", 3]}', '"outputs" must be a list of strings, got a number at position 1.', RENAME),
        ('{"output": 3}', '"output" must be a list of strings or one string, got a number.', RENAME),
        ('{"outputs": ["a"', "ends inside a JSON value; it may be cut off.", SKIP),
        ('{"outputs": ["a', "ends inside a string; it may be cut off.", SKIP),
        ('{"outputs": ["a"], "gold": NaN}', "NaN is not JSON; write null instead.", SKIP),
        ('{"outputs": ["a"], "gold": [-Infinity]}', "Infinity is not JSON; write null instead.", SKIP),
        ('{"outputs": ["a"]} {}', "more text after the JSON object.", SKIP),
        ('["a"]', "expected a JSON object on each line, got a list.", SKIP),
        ('{"outputs": ["a"], "x": tru}', "expected a JSON value but found 'tru}'.", SKIP),
        ('{"outputs": ["\\x"]}', "an unknown escape '\\x' inside a string.", SKIP),
        ('{"outputs": ["a\tb"]}', "a control character inside a string; JSON wants it escaped.", SKIP),
    ],
)
def test_a_bad_line_is_one_sentence(tmp_path, line, what, remedy):
    path = dump(tmp_path, f"{GOOD}\n{line}\n{GOOD}")
    assert refusal(path) == f"dump.jsonl:3: {what}\n{remedy}"
    blocks = divfast.read(path, on_error="skip")
    assert Samples.concat(blocks).rows == 2
    assert blocks.counts["skipped"] == 1
    assert blocks.skipped == [f"{path}:3: {what}"]


def test_a_line_that_is_not_utf8(tmp_path):
    path = dump(tmp_path, GOOD.encode() + b'{"outputs": ["\xff"]}\n')
    assert refusal(path) == f"dump.jsonl:2: not valid UTF-8 (byte 15 of the line).\n{SKIP}"


def test_a_record_without_samples(tmp_path):
    path = dump(tmp_path, '{"answer": "a", "caf\\u00e9\\n": [{"b": 1}], "c": 2}\n')
    assert refusal(path).startswith('dump.jsonl:1: no field with the samples (looked for "outputs", ')
    assert refusal(path).endswith(f'"solution"); it has "answer", "caf\\u00e9\\n", "c".\n{RENAME}')
    many = json.dumps({f"f{i}": i for i in range(100)})
    assert refusal(dump(tmp_path, many)).endswith(f'"f18", "f19", ....\n{RENAME}')
    assert refusal(dump(tmp_path, f"[{many}]")).endswith(f'"f18", "f19", ....\n{RENAME}')
    assert refusal(dump(tmp_path, "{}")).endswith(f'"solution").\n{RENAME}')


def test_a_bad_first_line_is_skipped_like_any_other(tmp_path):
    path = dump(tmp_path, f'{{"outputs": ["a\n{GOOD}')
    assert refusal(path) == f"dump.jsonl:1: ends inside a string; it may be cut off.\n{SKIP}"
    assert Samples.concat(divfast.read(path, on_error="skip")).rows == 1


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path, data):
    assert refusal(dump(tmp_path, data)) == (
        "dump.jsonl: is empty.\nCheck that the sampler finished writing it."
    )


def test_nothing_but_blank_lines(tmp_path):
    assert "is in no format that is known" in refusal(dump(tmp_path, "\n\n  \n"))


def test_a_folder_and_a_file_that_is_not_there(tmp_path):
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path / "folder") == (
        "folder: is a folder.\nName the dumps in it, for example with a pattern like 'folder/*.jsonl'."
    )
    for name in ("state.json", "info.json", "data-0.arrow", "notes.md", "more.md"):
        (tmp_path / "folder" / name).touch()
    assert "a pattern like 'folder/*.arrow'" in refusal(tmp_path / "folder")
    assert refusal(tmp_path / "none.jsonl") == (
        "none.jsonl: cannot be read: no such file or directory.\nCheck the path and its permissions."
    )


@pytest.mark.parametrize(
    ("data", "name", "what"),
    [
        (b"BZh91AY&SY", "a.jsonl.bz2", "is packed by bzip2.\nUnpack it, or pack it with gzip, zstd or xz."),
        (b"PK\x03\x04abc", "a.zip", "is packed by zip.\nUnpack it, or pack it with gzip, zstd or xz."),
        (
            b"prompt,mine\n1,2\n",
            "a.csv",
            "is in no format that is known.\nOf a table, name the column with the",
        ),
        (
            b"prompt,mine\n1,2\n",
            "a.txt",
            "is in no format that is known.\nForce one with --reader (lighteval,",
        ),
    ],
)
def test_what_no_reader_takes_says_what_to_do(tmp_path, data, name, what):
    assert refusal(dump(tmp_path, data, name)).startswith(f"{name}: {what}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = dump(tmp_path, GOOD)
    path.chmod(0)
    assert refusal(path) == (
        "dump.jsonl: cannot be read: permission denied.\nCheck the path and its permissions."
    )


def test_an_unknown_reader_suggests_the_nearest(tmp_path):
    assert (
        refusal(dump(tmp_path, GOOD), reader="parkett") == "unknown reader 'parkett'.\nDid you mean parquet?"
    )


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        ('{"outputs": ["a\u2028b\u2029c\u0085d"]}\n', ["a\u2028b\u2029c\u0085d"]),
        (b'\xef\xbb\xbf{"outputs": ["a"]}\r\n\r\n{"outputs": ["b"]}\r\n', ["a", "b"]),
        ('{"outputs": ["a"]}', ["a"]),
        ('\n\n  \n{"outputs": ["a"]}\n\n', ["a"]),
        ('{"outputs": ["a"], "outputs": ["b", "c"]}\n', ["b", "c"]),
        ('{"\\u006futputs": ["a"]}\n', ["a"]),
        (f'{{"outputs": ["a"], "n": {"9" * 10_000}}}\n', ["a"]),
        (f'{{"outputs": ["a"], "gold": {"9" * 10_000}}}\n', ["a"]),
        ('{"outputs": ["a"], "gold": 1e999}\n', ["a"]),
        ('{"outputs": ["a"], "deep": ' + "[" * 100_000 + "]" * 100_000 + "}\n", ["a"]),
        ('{"outputs": ["a"], "gold": ' + "[" * 100_000 + "]" * 100_000 + "}\n", ["a"]),
        ('{"outputs": ["%s"]}\n{"outputs": ["b"]}\n' % ("a" * 1_000_000), ["a" * 1_000_000, "b"]),
        ('{"id": "%s", "outputs": ["a"]}\n' % ("i" * 1_000_000), ["a"]),
        ('{"outputs": ["\\u0000"]}\n', ["\x00"]),
        ('{"outputs": [], "id": 1}\n{"outputs": ["", ""]}\n', ["", ""]),
        ('{"outputs": ["\\ud83c\\udf0a"]}\n', ["\U0001f30a"]),
    ],
)
@pytest.mark.parametrize("block_bytes", [16, 1 << 20])
def test_odd_but_legal_lines(tmp_path, data, texts, block_bytes):
    blocks = divfast.read(dump(tmp_path, data), block_bytes=block_bytes)
    assert blocks.reader == "jsonl"
    assert [text for block in blocks for i in range(len(block)) for text in block.outputs(i)] == texts
    assert not blocks.counts


@pytest.mark.parametrize("name", ["dump.jsonl", "dump.json"])
def test_lone_surrogates_are_replaced_and_counted(tmp_path, name):
    data = '{"id": "x", "outputs": ["a\\ud800b", "\\udc00\\ud800", "\\ud83c\\udf0a"], "gold": "\\ud800"}'
    blocks = divfast.read(dump(tmp_path, f"[{data}]" if name.endswith("json") else data, name))
    (block,) = blocks
    assert block.outputs(0) == ["a\ufffdb", "\ufffd\ufffd", "\U0001f30a"]
    assert blocks.counts == {"lone_surrogates": 3}


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (
            '[{"outputs": ["a"]},\n {"outputs": ["b"',
            "doc.json:2: ends inside a JSON value; it may be cut off.",
        ),
        (
            '[{"outputs": ["a"]},\n {"outputs": "b"}]',
            'doc.json:2: "outputs" must be a list of strings, got a string.',
        ),
        ('[{"outputs": ["a"]},\n\n 3]', "doc.json:3: expected a "),
        ('{\n"p": {"outputs": 3}}', 'doc.json:2: "outputs" must be a list of strings, got a number.'),
        ('[["a"],\n[1]]', 'doc.json:2: "outputs" must be a list of strings, got a number at position 0.'),
        ('[{"outputs": ["a"], "x": NaN}]', "doc.json:1: NaN is not JSON; write null instead."),
        ('[{"outputs": ["a"]}] x', "doc.json:1: more text after the JSON value."),
        ('["a"]\n["b"]', "doc.json:2: more text after the JSON value.\nPut all into one JSON list, or"),
        ("[]", "doc.json: holds no samples."),
        ("{}", 'doc.json:1: no field with the samples (looked for "outputs"'),
        ('{\n "id": "a",\n', "doc.json:3: ends inside a JSON value; it may be cut off."),
    ],
)
def test_a_bad_document_is_one_sentence(tmp_path, document, what):
    assert refusal(dump(tmp_path, document, "doc.json")).startswith(what)


def test_a_bad_record_of_a_document_is_skipped(tmp_path):
    path = dump(tmp_path, '[{"outputs": ["a"]},\n {"outputs": "b"},\n {"outputs": ["c"]}]', "doc.json")
    blocks = divfast.read(path, on_error="skip")
    assert [block.outputs(i) for block in blocks for i in range(len(block))] == [["a"], ["c"]]
    assert blocks.skipped == [f'{path}:2: "outputs" must be a list of strings, got a string.']


def test_one_record_spread_over_lines(tmp_path):
    record = {"id": "x", "outputs": ["a", "b"], "correct": [True, False]}
    (block,) = divfast.read(dump(tmp_path, json.dumps(record, indent=2), "doc.json"))
    assert block.outputs(0) == ["a", "b"]
    assert block.per_sample["correct"].to_pylist() == [True, False]


def test_a_long_first_record_of_any_format_is_recognised(tmp_path):
    record = {"doc_id": 0, "doc": {"x": "y" * 600_000}, "resps": [["a", "b"]], "filter": "none"}
    blocks = divfast.read(dump(tmp_path, json.dumps(record) + "\n" + json.dumps(record | {"doc_id": 1})))
    assert blocks.reader == "lm_eval"
    assert Samples.concat(blocks).rows == 4
    listed = divfast.read(dump(tmp_path, json.dumps([record]), "samples.json"))
    assert listed.reader == "lm_eval"


def test_damaged_members_of_a_log_are_named(tmp_path):
    good = b'{"id": "a", "epoch": 1, "input": "p", "output": {"choices": [{"message": {"content": "x"}}]}}'
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as log:
        log.writestr("_journal/start.json", '{"eval": {"model": "m", "task": "t"}}')
        log.writestr("samples/a_epoch_1.json", good)
        log.writestr("samples/b_epoch_1.json", '{"id": "b", "out')
    assert refusal(path) == (
        "log.eval:samples/b_epoch_1.json: ends inside a string; it may be cut off.\n"
        "Skip bad records with --on-error skip."
    )
    blocks = divfast.read(path, on_error="skip")
    assert Samples.concat(blocks).rows == 1
    assert blocks.meta == {"model": "m", "task": "t"}
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(path).startswith("log.eval: is not a whole zip archive.")


def test_attachments_are_put_back(tmp_path):
    key = "0123456789abcdef" * 2
    sample = {
        "id": 1,
        "input": [{"role": "system", "content": "s"}, {"role": "user", "content": f"attachment://{key}"}],
        "output": {
            "choices": [
                {"message": {"content": f"see attachment://{key}"}},
                {"message": {"content": "attachment://ffffffffffffffff"}},
            ]
        },
        "attachments": {key: "long text"},
    }
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w") as log:
        log.writestr("samples/1_epoch_1.json", json.dumps(sample))
    (block,) = divfast.read(path)
    assert block.prompts.to_pylist() == ["long text"]
    assert block.outputs(0) == ["see long text", "attachment://ffffffffffffffff"]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    record=st.dictionaries(st.text(max_size=4), values, max_size=4),
    outputs=st.lists(st.text() | st.none(), max_size=4),
    ascii=st.booleans(),
)
def test_random_records_are_read_as_json_reads_them(record, outputs, ascii):
    line = json.dumps(record | {"outputs": outputs}, ensure_ascii=ascii)
    data = line.encode("utf-8", "surrogatepass" if ascii else "replace")
    fields = Fields(data)
    assert dict(fields) == json.loads(data)
    (batch,) = _core.parse_jsonl(
        data, 1, outputs=[("outputs", False)], ids=["id"], prompts=[], qualifiers=[], carried=[], skip=False
    )
    values, offsets = batch["text"]
    texts = [bytes(values[a:b]).decode() for a, b in pairwise(offsets)]
    expected = [
        (text or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for text in json.loads(data)["outputs"]
    ]
    assert texts == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:0123456789.eE+-\\ntrufalse \n', max_size=60).map(str.encode))
def test_any_bytes_are_json_exactly_when_json_says_so(data):
    def refuse(name):
        raise ValueError(name)

    try:
        expected = json.loads(str(data, "utf-8"), parse_constant=refuse)
    except (ValueError, UnicodeDecodeError):
        expected = ValueError
    try:
        found = dict(Fields(data))
    except Malformed as bad:
        found = None
        assert expected is ValueError or not isinstance(expected, dict), bad
    if found is not None:
        assert found == expected


DAMAGED = [
    "plain/per_sample.jsonl",
    "paper/dict_of_records.json",
    "paper/list_of_records.json",
    "batch/openai_output.jsonl",
    "vllm/request_outputs.jsonl",
    "every_eval_ever/demo_samples.jsonl",
    "olmes/task-000-demo-predictions.jsonl",
    "alpaca_eval/seed_0/model_outputs.json",
    "evalplus/samples_eval_results.json",
    "tevet/con_test.csv",
    "inspect_ai/rewritten/superseded.eval",
    "plain/list_column.parquet",
    "plain/list_column.arrow",
    "plain/list_column.arrows",
    next((FIXTURES / "lm_eval/demo__fixture").glob("samples_demo_diversity*")).relative_to(FIXTURES),
    next((FIXTURES / "inspect_ai/json").glob("*.json")).relative_to(FIXTURES),
    next((FIXTURES / "inspect_ai/zstd").glob("*.eval")).relative_to(FIXTURES),
    next((FIXTURES / "lighteval/v0.9.2").glob("**/*.parquet")).relative_to(FIXTURES),
]


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("name", DAMAGED, ids=lambda name: str(name)[-40:])
def test_damaged_bytes_never_crash(tmp_path, name, on_error):
    whole = (FIXTURES / name).read_bytes()
    reader = divfast.read(FIXTURES / name).reader
    rng = random.Random(7)
    path = tmp_path / "damaged"
    for round in range(40):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4, 20])):
            data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), *b'{}[]",:0'])
        if round % 4 == 0:
            del data[rng.randrange(1, len(data)) :]
        path.write_bytes(data)
        for forced in (None, reader):
            try:
                Samples.concat(divfast.read(path, reader=forced, on_error=on_error))
            except DataError as error:
                assert str(error).startswith(str(path)), error
