"""Benchmarks: a case for every row of the table, rows that say what they are, no time where values disagree."""

import importlib.util
import json
import multiprocessing
import re
import sys
import threading
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from divfast.cli.bench import bench
from divfast.errors import DataError, DivfastError
from divfast.throughput import cases as known
from divfast.throughput import harness, results, worker
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.cases import CASES, find_case

ROOT = Path(__file__).resolve().parent.parent
EXACT = Tolerance()


def always(value, reason=None):
    def prepare(place, **size):
        if reason is not None:
            raise Absent(reason)
        return Prepared(lambda: value, lambda result: {"value": np.array([result], float)}, {"samples": 1})

    return prepare


def breaks(place, **size):
    def run():
        raise RuntimeError("out of order")

    return Prepared(run, lambda result: {})


def toy(*implementations, tolerance=EXACT):
    return Case("toy", "a toy", ({"n": 1},), {"n": 1}, implementations, tolerance, Goal(ratio=0.0))


@pytest.fixture
def run_toy(monkeypatch):
    """Run a case of this file: in threads, since another process could not import it."""

    def start(case, implementation, place, size):
        ours, theirs = multiprocessing.Pipe()
        words = (theirs, case.name, implementation.name, place, size)
        thread = threading.Thread(target=worker.serve, args=words)
        thread.start()
        return harness._Worker(implementation, thread, ours)

    def run(case, **options):
        monkeypatch.setattr(known, "find_case", lambda name: case)
        monkeypatch.setattr(harness, "_start", start)
        return list(harness.run_cases([case], quick=True, **options))

    return run


@pytest.mark.parametrize(
    ("name", "sizes", "peers", "goal"),
    [
        ("ead", [{"prompts": 500, "samples": 16, "words": 200}], ["paper"], Goal(ratio=50)),
        ("ead-pooled", [{"prompts": 500, "samples": 16, "words": 200}], ["paper"], Goal(ratio=50)),
        ("rouge-l", [{"samples": 1000, "words": 60}], ["rapidfuzz", "rouge_score"], Goal(ratio=1)),
        ("edit", [{"samples": 1000, "words": 60}], ["rapidfuzz"], Goal()),
        ("jaccard", [{"samples": 1000, "words": 60}], ["python sets"], Goal()),
        ("chrf", [{"prompts": n // 16, "samples": 16} for n in (10**4, 10**5)], ["sacrebleu"], Goal()),
        (
            "vendi",
            [{"prompts": n // 16, "samples": 16, "dimensions": 768} for n in (8000, 10**5)],
            ["paper"],
            Goal(ratio=5),
        ),
        (
            "vendi-pooled",
            [{"samples": 8000, "dimensions": 768}],
            ["paper", "paper, float64"],
            Goal(ratio=300),
        ),
        ("cosine", [{"prompts": 500, "samples": 16, "dimensions": 768}], ["paper"], Goal(ratio=20)),
        (
            "pairs",
            [{"samples": n, "nearest": k} for n in (20_000, 100_000) for k in (1, 10)],
            ["faiss"],
            Goal(ratio=1),
        ),
        (
            "cluster",
            [{"samples": n, "distinct": 20_000} for n in (10**4, 10**5, 10**6)],
            ["scikit-learn DBSCAN"],
            Goal(seconds=600, peak=12e9),
        ),
        ("cluster-leader", [{"prompts": 62_500, "samples": 16}], ["loop over leaders"], Goal()),
        ("read-jsonl", [{"dump": "zeroeval", "megabytes": 100}], ["json", "pyarrow.json"], Goal(ratio=1)),
        ("encode", [{"dtype": "bfloat16"}], ["sentence-transformers"], Goal(ratio=3)),
        ("nli", [{"folder": "noveltybench", "prompts": 100}], ["paper"], Goal(ratio=10)),
        ("nli-collapsed", [{"folder": "cruxeval", "prompts": 800}], ["paper"], Goal(ratio=50)),
        ("score", [{"dumps": "cruxeval"}], ["paper"], Goal(seconds=3.0, peak=1e9)),
        ("growth", [{"prompts": n // 16, "samples": 16} for n in (10**4, 10**5, 10**6)], [], Goal()),
        ("overlap", [{"megabytes": 1000, "tokenizer": "words"}], ["set"], Goal(ratio=20)),
        ("overlap-index", [{"megabytes": megabytes} for megabytes in (10, 100, 1000)], ["set"], Goal()),
        ("overlap-query", [{"megabytes": 1000}], [], Goal()),
        ("lexical", [{"text": "zeroeval"}], ["peers"], Goal(ratio=100)),
        ("select-k-centre", [{"samples": n} for n in (10**4, 10**5, 10**6)], ["numpy", "fpsample"], Goal()),
        ("select-vendi", [{"samples": n} for n in (10**3, 10**4, 10**6)], ["numpy", "vendi-score"], Goal()),
        ("statistics", [{"text": "zeroeval"}], ["peers"], Goal()),
        ("compression", [{"text": "zeroeval"}], ["gzip"], Goal()),
        ("self-repetition", [{"text": "zeroeval"}], ["diversity"], Goal()),
        ("entropy", [{"text": "zeroeval"}], ["Counter"], Goal()),
        ("texts-pooled", [{"samples": n} for n in (10**4, 10**5, 10**6)], [], Goal()),
        ("help", [{}], ["python"], Goal(seconds=0.3)),
    ],
)
def test_every_row_of_the_table_has_a_case(name, sizes, peers, goal):
    case = find_case(name)
    for wanted in sizes:
        assert any(wanted.items() <= size.items() for size in case.sizes)
    assert [one.name for one in case.implementations] == ["divfast", *peers]
    assert case.goal == goal


def test_names_are_unique_and_an_unknown_one_is_answered():
    assert len({case.name for case in CASES}) == len(CASES)
    with pytest.raises(DivfastError, match="Did you mean ead"):
        find_case("eda")


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ("ead", "cosine", "growth", "help")])
def test_quick_rows_are_whole(case):
    rows = list(harness.run_cases([case], quick=True, peers=case.name == "help"))
    assert [row["implementation"] for row in rows] == (
        ["divfast", "python"] if case.name == "help" else ["divfast"]
    )
    for row in rows:
        assert row["status"] == "ok", row
        assert row["case"] == case.name and row["size"] == dict(case.quick) and row["backend"] == "cpu"
        assert row["repeats"] >= 2
        seconds = row["seconds"]
        assert 0 < seconds["best"] <= seconds["low"] <= seconds["median"] <= seconds["high"]
        assert row["peak_mb"] > 1
        assert row["threads"] >= 1 and row["versions"]["python"] and row["machine"]["cores"] >= 1
        assert "goal" not in row
    json.dumps(rows, allow_nan=False)


def test_no_time_where_values_disagree(run_toy):
    rows = run_toy(toy(Implementation("divfast", always(1.0)), Implementation("peer", always(1.1))))
    assert [row["status"] for row in rows] == ["differs", "differs"]
    assert all("0.1" in row["reason"] for row in rows)
    assert not [row for row in rows if "seconds" in row or "ratio" in row]


def test_a_tolerance_allows_what_it_says(run_toy):
    mine, peer = Implementation("divfast", always(1.0)), Implementation("peer", always(1.1))
    rows = run_toy(toy(mine, peer, tolerance=Tolerance(relative=0.2)))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert rows[1]["ratio"] > 0 and rows[1]["difference"] == pytest.approx(0.1 / 1.1)
    assert rows[1]["tolerance"] == "0.2 relative"


def test_a_coarse_peer_has_a_tolerance_of_its_own(run_toy):
    peer = Implementation("peer", always(1.1), tolerance=Tolerance(absolute=0.2))
    rows = run_toy(toy(Implementation("divfast", always(1.0)), peer))
    assert [row["status"] for row in rows] == ["ok", "ok"]


def test_an_absent_peer_says_so(run_toy):
    rows = run_toy(
        toy(Implementation("divfast", always(1.0)), Implementation("peer", always(1.0, reason="not here")))
    )
    assert [row["status"] for row in rows] == ["ok", "absent"]
    assert rows[1]["reason"] == "not here"
    assert "seconds" in rows[0] and "seconds" not in rows[1]


def test_what_breaks_is_told_and_stops_nothing(run_toy):
    rows = run_toy(toy(Implementation("divfast", always(1.0)), Implementation("peer", breaks)))
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert rows[1]["reason"] == "RuntimeError: out of order"


def test_without_peers_nothing_else_runs(run_toy):
    rows = run_toy(toy(Implementation("divfast", always(1.0)), Implementation("peer", breaks)), peers=False)
    assert [row["implementation"] for row in rows] == ["divfast"]


@pytest.mark.parametrize(
    ("mine", "theirs", "agrees"),
    [
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0, np.nan], [1.0, 2.0], False),
        ([1.0], [1.0, 1.0], False),
        ([np.inf], [np.inf], True),
        ([], [], True),
    ],
)
def test_what_agrees(mine, theirs, agrees):
    found = harness.difference({"a": np.array(mine)}, {"a": np.array(theirs)}, Tolerance(relative=1e-9))
    assert found[1] is agrees


def test_values_by_other_names_disagree():
    assert not harness.difference({"a": np.ones(1)}, {"b": np.ones(1)}, Tolerance())[1]


def row(implementation, status="ok", **more):
    machine = {"cpu": "x", "cores": 2}
    base = {"case": "ead", "implementation": implementation, "backend": "cpu", "size": {"prompts": 1}}
    return {**base, "status": status, "machine": machine, **more}


def test_saved_rows_replace_their_like_alone(tmp_path):
    path = tmp_path / "new" / "rows.json"
    results.save([row("divfast", repeats=1), row("paper", repeats=1)], path)
    results.save([row("divfast", repeats=2), row("paper", "absent", reason="gone")], path)
    assert [(one["implementation"], one.get("repeats")) for one in results.load(path)] == [
        ("divfast", 2),
        ("paper", 1),
    ]
    results.save([row("paper", "differs", reason="wrong")], path)
    assert results.load(path)[1]["status"] == "differs"
    assert [one.name for one in path.parent.iterdir()] == ["rows.json"]


@pytest.mark.parametrize("text", ["{}", "[1]", "nothing"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no file of benchmark rows"):
        results.load(path)


def test_the_table_shows_ratios_and_what_is_missing():
    time = {"seconds": {"median": 0.5}, "work": {"samples": 1000}}
    rows = [
        row("divfast", peak_mb=10.0, **time),
        row("paper", peak_mb=2000.0, ratio=51.3, goal={"ratio": 60}, reached=False, **time),
        row("other", "absent", reason="not here"),
    ]
    assert results.beside(rows) == [
        ("ead", "prompts=1", "paper", "51.3", "60 (missed)", "10", "2,000"),
        ("ead", "prompts=1", "other", "absent", "", "10", ""),
    ]
    assert results.beside(rows[:1]) == [("ead", "prompts=1", "", "in 0.5 s, 500 us a sample", "", "10", "")]
    assert results.reasons(rows) == ["ead prompts=1, other: absent, not here"]


def test_the_command_lists_and_measures(tmp_path):
    listed = CliRunner().invoke(bench, ["--list"])
    assert listed.exit_code == 0 and all(case.name in listed.stdout for case in CASES)
    file = tmp_path / "rows.json"
    words = ["ead", "--quick", "--no-peers", "--json", str(file), "--format", "json"]
    done = CliRunner().invoke(bench, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == results.load(file)


def committed():
    # What the GPU did has cases of its own: test_bench_gpu.py. What was simulated, and what metrics are worth, is no
    # timing.
    return sorted((ROOT / "bench" / "results").glob("cpu*.json"))


@pytest.mark.parametrize("path", committed(), ids=lambda path: path.stem)
def test_committed_rows_are_right_and_name_no_place(path):
    rows = results.load(path)
    assert {row["case"] for row in rows} <= {case.name for case in CASES}
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["size"] in [dict(size) for size in find_case(row["case"]).sizes] for row in rows)
    assert not re.search(r'"[^"]*/(home|work|tmp|root|usr)/', path.read_text("utf-8"))


def test_the_table_of_the_readme_can_be_made(capsys):
    spec = importlib.util.spec_from_file_location("bench_table", ROOT / "bench" / "table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    table.main()
    assert capsys.readouterr().out.startswith("| what | on | peer | times as fast |")


def test_a_place_without_data_leaves_cases_absent(tmp_path):
    place = Place(tmp_path)
    for name in ("read-jsonl", "encode", "score"):
        case = find_case(name)
        with pytest.raises(Absent, match="DIVFAST_SHARED"):
            case.implementations[0].prepare(place, **case.quick)
    with pytest.raises(Absent, match="--paper-code"):
        find_case("ead").implementations[1].prepare(place, **find_case("ead").quick)


def test_no_script_hides_a_library():
    # Scripts are run by path, so their folder comes before installed packages; numba, for one, looks for `coverage`.
    hidden = {"coverage", *sys.stdlib_module_names, *packages_distributions()}
    assert not hidden & {path.stem for path in (ROOT / "bench").glob("*.py")}
