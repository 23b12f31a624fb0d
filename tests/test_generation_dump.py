"""The file that `divfast generate` appends to: whatever ends the process, what is finished stays, and once."""

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys

import pytest

import divfast
from divfast.errors import DataError, DivfastError, OutputError
from divfast.generation.dump import Dump
from divfast.generation.prompts import Prompt
from generating import records, samples

RECIPE = {
    "model": "m",
    "sampling": {"temperature": 0.6},
    "seed": 0,
    "k": 2,
    "versions": {"vllm": "1"},
    "run": {"device": "cpu"},
}


def record(id, start, stop):
    return {
        "input_id": id,
        "prompt": f"{id}?",
        "outputs": [f"{id} sample {i} \u2028é" for i in range(start, stop)],
        "logprobs": [-float(i) for i in range(start, stop)],
        "model": "m",
    }


def draw(path, k, ids=("a", "b", "c"), recipe=RECIPE):
    """Do what a run does: add what is missing."""
    with Dump(path) as dump:
        dump.start({**recipe, "k": k})
        for id in ids:
            if dump.held(id) < k:
                dump.append(record(id, dump.held(id), k))
        dump.finish(k)
    return path


def test_a_run_that_is_whole(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2)
    lines = records(path)
    assert [line["input_id"] for line in lines] == ["a", "b", "c"]
    assert lines[0]["generation"] == RECIPE
    assert "generation" not in lines[1]
    before = path.read_bytes()
    assert draw(path, 2).read_bytes() == before


def test_more_samples_come_after_those_that_are_there(tmp_path):
    longer = draw(draw(tmp_path / "a.jsonl", 2), 5)
    whole = draw(tmp_path / "b.jsonl", 5)
    assert longer.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("k", [2, 5])
def test_cut_anywhere(tmp_path, k):
    """Wherever the last bytes were lost, the file that is gone on with is the one of a run in one go."""
    path = tmp_path / "dump.jsonl"
    whole = draw(tmp_path / "whole.jsonl", k).read_bytes()
    grown = whole
    if k == 5:
        with Dump(draw(path, 2)) as dump:
            dump.start({**RECIPE, "k": 5})
            for id in "abc":
                dump.append(record(id, 2, 5))
        grown = path.read_bytes()
        assert len(records(path)) == 6
        assert divfast.read(path).__iter__().__next__().outputs(0) == record("a", 0, 5)["outputs"]
    ends = [at + 1 for at, byte in enumerate(grown) if byte == ord("\n")]
    # Around the end of every line, inside a character of several bytes, and here and there.
    cuts = {
        *range(0, len(grown) + 1, 37),
        *range(17),
        *(end + by for end in ends for by in (-2, -1, 0, 1)),
    }
    for cut in sorted(cuts | {grown.index("é".encode()) + 1}):
        path.write_bytes(grown[:cut])
        assert draw(path, k).read_bytes() == whole, cut


def test_the_reader_joins_what_is_not_yet_joined(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2)
    with Dump(path) as dump:
        dump.start(RECIPE)
        dump.append(record("a", 2, 4))
    (block,) = divfast.read(path)
    assert block.outputs(0) == record("a", 0, 4)["outputs"]
    assert len(block) == 3


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "dump.jsonl"
    code = (
        "import sys; from divfast.generation.dump import Dump; from pathlib import Path\n"
        "try:\n    Dump(Path(sys.argv[1])).close()\nexcept Exception as error:\n    print(error); sys.exit(1)"
    )
    with Dump(path):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[0]) == (1, f"{path}: is being written by another run.")
    assert not path.exists()
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "n"}, 'was drawn with model "m", not "n".'),
        ({"sampling": {"temperature": 0.7}}, "was drawn with temperature 0.6, not 0.7."),
        ({"seed": 1}, "was drawn with seed 0, not 1."),
        ({"sampling": {"temperature": 0.6, "top_p": 0.5}}, "was drawn with top_p none, not 0.5."),
    ],
)
def test_another_recipe(tmp_path, changed, said):
    path = draw(tmp_path / "dump.jsonl", 2)
    before = path.read_bytes()
    with pytest.raises(OutputError) as caught:
        draw(path, 2, recipe={**RECIPE, **changed})
    assert caught.value.what == said
    assert path.read_bytes() == before


def test_other_versions_are_written_down(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2, ids=("a",))
    newer = {**RECIPE, "versions": {"vllm": "2"}}
    draw(path, 2, recipe=newer)
    assert [line.get("generation", {}).get("versions") for line in records(path)] == [
        {"vllm": "1"},
        {"vllm": "2"},
        None,
    ]
    draw(path, 3, recipe=newer)
    first, *others = records(path)
    assert first["generation"]["later"] == [{"versions": {"vllm": "2"}, "run": {"device": "cpu"}}]
    assert not any("generation" in line for line in others)


@pytest.mark.parametrize(
    ("prompts", "k", "said"),
    [
        ([Prompt("a", "other?"), Prompt("b", "b?")], 2, "holds another prompt under the id 'a'"),
        ([Prompt("a", "a?", None, {"gold": 1}), Prompt("b", "b?")], 2, "holds another gold under the id 'a'"),
        ([Prompt("a", "a?")], 2, "holds samples of the prompt 'b', which is not among"),
        ([Prompt("a", "a?"), Prompt("b", "b?")], 1, "holds 2 samples of the prompt 'a', more than 1."),
    ],
)
def test_other_prompts(tmp_path, prompts, k, said):
    path = draw(tmp_path / "dump.jsonl", 2, ids=("a", "b"))
    before = path.read_bytes()
    with Dump(path) as dump, pytest.raises(OutputError, match=said):
        dump.check_prompts(prompts, k)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"notes\n", b"notes", b'{"input_id": "a", "outputs": ["x"]}\n', b'{"outputs"', b"\x00\x00", b"[]\n"],
)
def test_a_file_of_someone_else(tmp_path, content):
    path = tmp_path / "dump.jsonl"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="not written by divfast generate"):
        Dump(path)
    assert path.read_bytes() == content


def test_a_damaged_line(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:20], *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"dump\.jsonl:2: is damaged"):
        Dump(path)
    assert path.read_bytes() == before


def test_no_place_to_write(tmp_path):
    with pytest.raises(OutputError, match="Make the folder"):
        Dump(tmp_path / "missing" / "dump.jsonl")
    with pytest.raises(OutputError, match="cannot be compressed"):
        Dump(tmp_path / "dump.jsonl.gz")
    with pytest.raises(OutputError, match="is a directory"):
        Dump(tmp_path)
    Dump(tmp_path / "dump.jsonl").close()
    assert not list(tmp_path.iterdir())


def test_read_only(tmp_path, monkeypatch):
    path = draw(tmp_path / "dump.jsonl", 2)
    path.chmod(0o444)
    if os.geteuid() == 0:
        # Root may write anywhere, but not where a file system is mounted for reading alone.
        def refuse(*_):
            raise OSError(errno.EROFS, "")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        OutputError, match=r"dump\.jsonl: cannot be written: (permission denied|read-only file)"
    ):
        Dump(path)


@contextlib.contextmanager
def room(size):
    """Let no file grow beyond a size, as where the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("many", [0, 1, 2])
def test_disk_full(tmp_path, many):
    path = tmp_path / "dump.jsonl"
    whole = draw(tmp_path / "whole.jsonl", 2).read_bytes()
    lines = whole.splitlines(keepends=True)
    fits = sum(len(line) for line in whole.split(b"\n")[:many]) + many
    with room(fits + 30), pytest.raises(OutputError, match="What is in it stays"):
        draw(path, 2)
    assert (path.read_bytes() if path.exists() else b"") == whole[:fits]
    assert lines
    assert draw(path, 2).read_bytes() == whole


def test_disk_full_while_lines_are_joined(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2)
    with Dump(path) as dump:
        dump.start({**RECIPE, "k": 5})
        for id in "abc":
            dump.append(record(id, 2, 5))
        with room(200), pytest.raises(DivfastError, match="cannot be written"):
            dump.finish(5)
    assert samples(path) == samples(draw(tmp_path / "whole.jsonl", 5))
    assert [name.name for name in tmp_path.iterdir() if name.suffix == ".tmp"] == []
    assert draw(path, 5).read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_a_killed_run_left_aside_is_removed(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2)
    (tmp_path / ".dump.jsonl.0123abcd.tmp").write_bytes(b"half")
    draw(path, 2)
    assert sorted(name.name for name in tmp_path.iterdir()) == ["dump.jsonl"]


def test_a_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    path = tmp_path / "dump.jsonl"
    path.symlink_to("there/real.jsonl")
    for k in (2, 3):
        draw(path, k)
    assert path.is_symlink()
    assert len(samples(tmp_path / "there" / "real.jsonl")["a"]["outputs"]) == 3


def test_many_prompts(tmp_path):
    path = draw(tmp_path / "dump.jsonl", 2, ids=[str(i) for i in range(5_000)])
    draw(path, 3, ids=[str(i) for i in range(5_000)])
    assert sum(len(json.loads(line)["outputs"]) for line in path.open()) == 15_000
