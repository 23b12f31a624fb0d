"""The content cache: what it keeps, and what kills, tears and crowds leave of it."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pyarrow as pa
import pytest

from divfast.errors import DivfastWarning
from divfast.samples import Ragged
from divfast.views import cache as module
from divfast.views.cache import ContentCache, content_keys

WIDTH = 4


def keys_of(*texts):
    return content_keys(Ragged.from_strings(texts))


def rows_of(n, start=0):
    return np.arange(start, start + n * WIDTH, dtype=np.float32).reshape(n, WIDTH)


def fill(folder, texts, start=0, **options):
    cache = ContentCache(folder, width=WIDTH, **options)
    cache.add(keys_of(*texts), rows_of(len(texts), start))
    cache.flush()
    return cache


def look(cache, *texts):
    out = np.full((len(texts), WIDTH), -1, np.float32)
    return cache.lookup(keys_of(*texts), out), out


def arrows(folder):
    return sorted(folder.glob("*.arrow"))


def test_keys_are_blake2b_of_the_bytes():
    assert keys_of("").tobytes().hex() == "cae66941d9efbd404e4d88758ea67670"
    tape = Ragged.from_strings(["ab", "", "ä", "ab"])
    keys = content_keys(tape)
    assert keys.shape == (4, 2)
    assert keys[0].tolist() == keys[3].tolist()
    assert len({key.tobytes() for key in keys}) == 3
    np.testing.assert_array_equal(content_keys(tape.slice(1, 3)), keys[1:3])
    assert keys_of().shape == (0, 2)


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65])
def test_gives_back_what_it_was_given(tmp_path, n):
    texts = [f"text {i}" for i in range(n)]
    fill(tmp_path, texts)
    found, rows = look(ContentCache(tmp_path, width=WIDTH), *texts, "another")
    assert found.tolist() == [True] * n + [False]
    np.testing.assert_array_equal(rows, np.concatenate([rows_of(n), np.full((1, WIDTH), -1)]))


def test_finds_what_was_flushed_before_in_the_same_process(tmp_path):
    cache = ContentCache(tmp_path, width=WIDTH)
    for i in range(40):
        cache.add(keys_of(f"{i}"), rows_of(1, i))
        assert look(cache, f"{i}")[0].tolist() == [False]
        cache.flush()
    found, rows = look(cache, *(f"{i}" for i in range(40)))
    assert found.all()
    np.testing.assert_array_equal(rows[:, 0], np.arange(40))


def test_writes_when_enough_is_waiting(tmp_path):
    cache = ContentCache(tmp_path, width=WIDTH, flush_bytes=2 * 4 * WIDTH)
    cache.add(keys_of("a"), rows_of(1))
    assert not arrows(tmp_path)
    cache.add(keys_of("b"), rows_of(1))
    assert len(arrows(tmp_path)) == 1


def test_keeps_its_own_copy(tmp_path):
    cache = ContentCache(tmp_path, width=WIDTH)
    rows = rows_of(1)
    cache.add(keys_of("a"), rows)
    rows[:] = 9
    cache.flush()
    np.testing.assert_array_equal(look(cache, "a")[1], rows_of(1))


def test_two_keys_with_one_beginning_are_not_taken_for_each_other(tmp_path):
    keys = np.array([[7, 1], [7, 2]], np.uint64)
    cache = ContentCache(tmp_path, width=WIDTH)
    cache.add(keys[:1], rows_of(1))
    cache.flush()
    out = np.zeros((2, WIDTH), np.float32)
    assert cache.lookup(keys, out).tolist() == [True, False]


def test_other_widths_and_types_are_kept(tmp_path):
    cache = ContentCache(tmp_path, width=2, dtype=np.float16)
    cache.add(keys_of("a"), np.array([[1, 2]], np.float16))
    cache.flush()
    out = np.zeros((1, 2), np.float16)
    assert ContentCache(tmp_path, width=2, dtype=np.float16).lookup(keys_of("a"), out).all()
    assert out.tolist() == [[1.0, 2.0]]


# Damage.


def torn(path):
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path):
    path.write_bytes(b"")


def foreign(path):
    path.write_bytes(b"not an Arrow file at all")


def another_layout(path):
    table = pa.table({"x": [1]})
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def damaged_inside(path):
    content = bytearray(path.read_bytes())
    content[8:40] = b"\xff" * 32
    content[-40:-12] = b"\xff" * 28
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [torn, emptied, foreign, another_layout, damaged_inside])
def test_a_bad_file_is_named_and_ignored(tmp_path, damage):
    fill(tmp_path, ["a"])
    bad = arrows(tmp_path)[0]
    damage(bad)
    with pytest.warns(DivfastWarning, match=bad.name):
        cache = fill(tmp_path, ["b"], start=50)
    found, rows = look(cache, "a", "b")
    assert found.tolist() == [False, True]
    np.testing.assert_array_equal(rows[1], rows_of(1, 50)[0])


def test_another_recipe_in_the_folder_is_foreign(tmp_path):
    fill(tmp_path, ["a"])
    with pytest.warns(DivfastWarning, match="foreign"):
        assert len(ContentCache(tmp_path, width=WIDTH + 1)) == 0


def test_left_over_temporary_files_are_ignored_and_old_ones_removed(tmp_path):
    old, young, mine = tmp_path / ".old.tmp", tmp_path / ".young.tmp", tmp_path / "mine.tmp"
    for path in (old, young, mine):
        path.write_bytes(b"half a fi")
    os.utime(old, (0, 0))
    os.utime(mine, (0, 0))
    assert len(ContentCache(tmp_path, width=WIDTH)) == 0
    assert [path.exists() for path in (old, young, mine)] == [False, True, True]


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(DivfastWarning, match="DIVFAST_CACHE") as caught:
        cache = ContentCache(tmp_path / "file" / "folder", width=WIDTH)
        for i in range(3):
            cache.add(keys_of(f"{i}"), rows_of(1))
            cache.flush()
    assert len(caught) == 1
    assert look(cache, "0")[0].tolist() == [False]


def test_a_full_disk_is_said_once_and_leaves_nothing(tmp_path, monkeypatch):
    cache = fill(tmp_path, ["a"])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.warns(DivfastWarning, match="no space left") as caught:
        for i in range(3):
            cache.add(keys_of(f"{i}"), rows_of(1))
            cache.flush()
    assert len(caught) == 1
    assert look(cache, "a", "0")[0].tolist() == [True, False]
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrow"]


def test_many_small_files_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SMALL_FILES", 5)
    for i in range(7):
        fill(tmp_path, [f"{i}", "everywhere"], start=i)
    assert len(arrows(tmp_path)) < 7
    cache = ContentCache(tmp_path, width=WIDTH)
    found, rows = look(cache, *(f"{i}" for i in range(7)), "everywhere")
    assert found.all()
    np.testing.assert_array_equal(rows[:7, 0], np.arange(7))


def test_a_file_that_another_process_removes_is_no_fault(tmp_path):
    cache = fill(tmp_path, ["a"])
    gone = ContentCache(tmp_path, width=WIDTH)
    for path in arrows(tmp_path):
        path.unlink()
    assert look(gone, "a")[0].all()
    assert look(cache, "a")[0].all()
    with warnings.catch_warnings(action="error"):
        assert gone._index(tmp_path / "gone.arrow") is None


# Several processes.

WRITER = """
import sys
import numpy as np
from pathlib import Path
from divfast.samples import Ragged
from divfast.views.cache import ContentCache, content_keys
folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
cache = ContentCache(folder, width=4, flush_bytes=1 << 10)
for i in range(first, first + count):
    cache.add(content_keys(Ragged.from_strings([f"text {i}"])), np.full((1, 4), i, np.float32))
    print(i, flush=True)
cache.flush()
"""


def writer(folder, first, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(first), str(count)], stdout=subprocess.PIPE, text=True
    )


def held(folder, n):
    cache = ContentCache(folder, width=WIDTH)
    out = np.zeros((n, WIDTH), np.float32)
    found = cache.lookup(keys_of(*(f"text {i}" for i in range(n))), out)
    np.testing.assert_array_equal(out[found], np.repeat(np.flatnonzero(found)[:, None], WIDTH, axis=1))
    return found


def test_two_processes_write_at_once(tmp_path):
    processes = [writer(tmp_path, 0, 500), writer(tmp_path, 250, 500)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert held(tmp_path, 750).all()


def test_a_kill_loses_what_was_waiting_and_no_more(tmp_path):
    process = writer(tmp_path, 0, 10**9)
    for line in process.stdout:
        if int(line) > 2000:
            break
    process.kill()
    process.stdout.close()
    process.wait(timeout=60)
    found = held(tmp_path, 3000)
    assert found[:1900].all()
    fill(tmp_path, ["after"])
    assert look(ContentCache(tmp_path, width=WIDTH), "after")[0].all()


def test_10_5_rows(tmp_path):
    n = 100_000
    keys = np.random.default_rng(0).integers(0, 2**63, (n, 2), np.uint64)
    rows = np.arange(n * WIDTH, dtype=np.float32).reshape(n, WIDTH)
    cache = ContentCache(tmp_path, width=WIDTH, flush_bytes=1 << 18)
    for part in np.array_split(np.arange(n), 20):
        cache.add(keys[part], rows[part])
    cache.flush()
    again = ContentCache(tmp_path, width=WIDTH)
    out = np.zeros_like(rows)
    order = np.random.default_rng(1).permutation(n)
    assert again.lookup(keys[order], out).all()
    np.testing.assert_array_equal(out, rows[order])
