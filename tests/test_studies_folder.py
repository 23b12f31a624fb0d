"""The folder of a study: a second run, and what a run that was killed leaves behind."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from divfast.errors import OutputError
from divfast.locks import HeldError, open_alone
from divfast.studies import folder, study
from divfast.studies.folder import LOCK, alone_in
from studying import outputs, write_dump, write_study

# Writes half of a file under its temporary name, says so, and stays there until it is killed.
WRITER = """
import sys, time
from divfast import output
from divfast.quality import verified
from divfast.studies import cells, study

def stay(path=None):
    if path is not None:
        path.write_bytes(b"half")
    print("there", flush=True)
    time.sleep(600)

file, out, where = sys.argv[1:]
replace = output.Path.replace
if where == "scored":
    cells.pq.write_table = lambda table, path: stay(path)
elif where == "verified":
    verified.lines_again = lambda *_: stay()
else:
    # When the first tables are in their places and others are not.
    output.Path.replace = lambda self, path: stay() if path.suffix == ".md" else replace(self, path)
study(file, out)
"""


@pytest.fixture
def file(tmp_path):
    random = np.random.default_rng(0)
    for model, spread in (("base", 9), ("sft", 5)):
        samples = [outputs(random, 4, spread) for _ in range(12)]
        write_dump(tmp_path / f"{model}.jsonl", samples, gold=["red cat"] * 12)
    return write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks={"t": {"verify": "exact"}},
        dumps="{model}.jsonl",
        metrics=["unique"],
    )


def started(file, out, where):
    """Return a run that has come as far as half a file."""
    run = subprocess.Popen(
        [sys.executable, "-c", WRITER, file, out, where], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout.readline()
    return run


def killed(run):
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()


def temporary(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob(".*.tmp"))


@pytest.mark.parametrize("where", ["scored", "verified", "tables"])
def test_what_a_killed_run_left_is_removed_by_the_next(file, tmp_path, where):
    out = tmp_path / "out"
    killed(started(file, out, where))
    left = temporary(out)
    assert left
    assert (out / LOCK).exists()
    study(file, out)
    assert temporary(out) == []
    assert not (out / LOCK).exists()


def test_nothing_else_is_removed(file, tmp_path):
    out = tmp_path / "out"
    study(file, out)
    (verified,) = {path.parent for path in (out / "verified").rglob("base.jsonl")}
    kept = [
        # Names that no study gives, journals of verdicts, and what is no file.
        out / ".notes.md.0123abcd.tmp",
        out / ".values.csv.tmp",
        out / ".values.csv.0123abcg.tmp",
        out / ".report.json.0123abcd.tmp",
        out / "values.csv.0123abcd.tmp",
        out / "scored" / ".mine.parquet.0123abcd.tmp",
        out / "scored" / ".values.csv.0123abcd.tmp",
        out / "verified" / ".base.jsonl.0123abcd.tmp",
        verified / ".base.jsonl.verdicts",
        verified / ".base.txt.0123abcd.tmp",
        out / "mine" / ".values.csv.0123abcd.tmp",
    ]
    (out / "mine").mkdir()
    for path in kept:
        path.write_text("mine")
    (out / ".values.csv.aaaaaaaa.tmp").mkdir()
    (out / ".values.md.aaaaaaaa.tmp").symlink_to(kept[0])
    (out / ".values.md.bbbbbbbb.tmp").write_text("dead")
    study(file, out)
    assert all(path.read_text() == "mine" for path in kept)
    assert (out / ".values.csv.aaaaaaaa.tmp").is_dir()
    assert (out / ".values.md.aaaaaaaa.tmp").is_symlink()
    assert not (out / ".values.md.bbbbbbbb.tmp").exists()


def test_a_second_run_ends_in_one_sentence_and_touches_nothing(file, tmp_path):
    out = tmp_path / "out"
    run = started(file, out, "scored")
    try:
        before = sorted(out.rglob("*"))
        began = time.monotonic()
        with pytest.raises(
            OutputError, match="another run of divfast study is at work in this folder"
        ) as raised:
            study(file, out)
        assert time.monotonic() - began < 5
        assert f"(process {run.pid} on " in raised.value.what
        assert "Wait for it" in raised.value.remedy
        assert sorted(out.rglob("*")) == before
        assert temporary(out)
        # Elsewhere there is nothing to wait for.
        assert study(file, tmp_path / "other").run["scored"] == 2
    finally:
        killed(run)
    # A lock goes with its process; what that one has verified is not verified again.
    again = study(file, out)
    assert (again.run["verified"], again.run["verified_before"], again.run["scored"]) == (0, 2, 2)


def test_tables_alone_are_not_written_into_a_folder_at_work(file, tmp_path):
    found = study(file)
    run = started(file, tmp_path / "out", "scored")
    try:
        with pytest.raises(OutputError, match="another run of divfast study"):
            found.save(tmp_path / "out")
    finally:
        killed(run)
    found.save(tmp_path / "out")
    assert (tmp_path / "out" / "values.csv").is_file()
    assert not (tmp_path / "out" / LOCK).exists()


def test_a_file_system_without_locks(file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".values.md.bbbbbbbb.tmp").write_text("perhaps of another")

    def unknown(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", unknown)
    found = study(file, out)
    assert found.run["remarks"][0] == f"{out} cannot be locked: let no other study write into it meanwhile."
    assert (out / "values.csv").is_file()
    # Nobody can tell whether it is dead.
    assert temporary(out) == [".values.md.bbbbbbbb.tmp"]
    assert not (out / LOCK).exists()


def test_a_run_that_writes_nothing_leaves_no_folder(file, tmp_path):
    with pytest.raises(KeyError), alone_in(tmp_path / "out", [], []):
        assert (tmp_path / "out" / LOCK).exists()
        raise KeyError
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="cannot be made or written into"),
        alone_in(tmp_path / "file", [], []),
    ):
        pass


def test_a_lock_is_of_one_process(tmp_path):
    path = tmp_path / "lock"
    held = open_alone(path)
    child = os.fork()
    if child == 0:
        try:
            open_alone(path)
        except HeldError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    os.close(held)
    os.close(open_alone(path))


def test_a_lock_on_a_file_that_was_replaced_is_none(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    lockf, calls = fcntl.lockf, []

    def replaced(file, how):
        calls.append(how)
        lockf(file, how)
        if len(calls) == 1:
            path.unlink()

    monkeypatch.setattr(fcntl, "lockf", replaced)
    held = open_alone(path)
    assert len(calls) == 2
    assert os.path.samestat(os.fstat(held), path.stat())
    os.close(held)


def test_names_of_temporary_files_are_those_that_are_written(tmp_path, monkeypatch):
    from divfast import output

    seen = []

    def write(path):
        seen.append(path)
        path.write_text("x")

    output.write_whole({tmp_path / "values.csv": write})
    assert folder._named(seen[0]) == "values.csv"
