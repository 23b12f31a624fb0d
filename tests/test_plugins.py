"""Metrics of one's own: compiled or not, from files and distributions, their mistakes and whose they are."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import divfast
from divfast import engine, registry
from divfast.cli import main
from divfast.errors import MetricError
from divfast.registry import metric, parse_spec, registry_restored
from divfast.testing import build, check_metric, random_groups

ROOT = Path(__file__).resolve().parent.parent
HAPAX = ROOT / "examples" / "plugin" / "hapax.py"
BASE = ROOT / "examples" / "demo" / "base.jsonl"
OUTPUTS = [["a b a", "b c"], ["x"], []]

FIRST_WORD = """
import divfast, numpy as np

@divfast.metric("first-word", view="text", unit="characters", higher="longer")
def first_word(rows, groups, *, least=0):
    \"\"\"Length of the first word of a group.\"\"\"
    texts = rows.strings()
    words = [" ".join(texts[a:b]).split() for a, b in zip(groups, groups[1:])]
    return np.array([max(least, len(w[0])) if w else np.nan for w in words])
"""


@pytest.fixture(autouse=True)
def _registry():
    with registry_restored():
        yield


def plugin(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def run(*args):
    return CliRunner().invoke(main, list(map(str, args)), catch_exceptions=False)


def test_the_example_from_the_command_line(tmp_path):
    result = run("score", BASE, "--plugin", HAPAX, "-m", "hapax:n=2", "-m", "distinct:n=2", "-o", tmp_path)
    assert result.exit_code == 0
    assert "Left out: pooled hapax:n=2, which is not defined over a corpus." in result.stderr
    values = pq.read_table(tmp_path / "groups.parquet")["hapax:n=2"].to_pylist()
    signature = json.loads((tmp_path / "report.json").read_text())["results"][0]["signature"]
    assert "|by:hapax.py@" in signature
    expected = []
    for line in BASE.read_text().splitlines():
        words = [text.split() for text in json.loads(line)["outputs"]]
        grams = [gram for row in words for gram in pairwise(row)]
        expected.append(sum(grams.count(gram) == 1 for gram in grams) / len(grams))
    assert values == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("spec", ["hapax", "hapax:n=2", "hapax:n=5"])
def test_the_example_obeys_the_laws(spec):
    divfast.score(OUTPUTS, ["hapax"], plugins=[HAPAX])
    check_metric(spec)


def test_the_example_on_many_threads():
    divfast.score(OUTPUTS, ["hapax"], plugins=[HAPAX])
    function = parse_spec("hapax").metric.function
    random = np.random.default_rng(0)
    sizes = np.where(random.random(400) < 0.2, 0, random.integers(0, 3000, 400))
    rows = divfast.Ragged(
        random.zipf(1.3, sizes.sum()).astype(np.uint64), np.concatenate([[0], np.cumsum(sizes)])
    )
    groups = np.sort(random.integers(0, 401, 50))
    with engine.use_threads(1):
        one = function(rows, groups, n=2)
    with engine.use_threads(4):
        np.testing.assert_array_equal(function(rows, groups, n=2), one)
    assert np.isfinite(one).sum() > 20


def test_a_function_that_fills_an_array_with_parameters_of_every_kind():
    @metric("filled", unit="u", higher="h")
    @numba.njit(nogil=True)
    def filled(token_ids, row_offsets, groups, out, times=2, plus=0.5, negate=False):
        for g in range(len(out)):
            rows = groups[g + 1] - groups[g]
            out[g] = (-1 if negate else 1) * (rows * times + plus)

    for given, canonical, expected in (
        ("filled", "filled:times=2,plus=0.5,negate=false", [4.5, 2.5, 0.5]),
        ("filled:times=3,plus=1e-3", "filled:times=3,plus=0.001,negate=false", [6.001, 3.001, 0.001]),
        ("filled:negate=true", "filled:times=2,plus=0.5,negate=true", [-4.5, -2.5, -0.5]),
    ):
        result = divfast.score(OUTPUTS, [given])[given]
        assert result.values.tolist() == expected
        assert str(result.signature).startswith(canonical + "|")
    for given in ("filled:times=1.5", "filled:negate=yes", "filled:plus=x"):
        with pytest.raises(MetricError, match=r"must be a whole number|true or false|is not a number"):
            parse_spec(given)


def test_a_group_sees_nothing_of_the_others():
    @metric("alone", unit="u", higher="h")
    @numba.njit(nogil=True)
    def alone(token_ids, row_offsets, groups):
        whole = len(token_ids) == row_offsets[-1] and len(row_offsets) == groups[-1] + 1
        return np.full(len(groups) - 1, 1.0 if groups[0] == 0 and row_offsets[0] == 0 and whole else 0.0)

    rows, groups = build("tokens", random_groups("tokens", np.random.default_rng(1), size=9))
    rows = divfast.Ragged(rows.values, rows.offsets)
    assert parse_spec("alone").metric.function(rows, groups[2:-1]).tolist() == [1.0] * (len(groups) - 4)


def test_tokens_cannot_be_written_to():
    @metric("writing", unit="u", higher="h")
    @numba.njit(nogil=True)
    def writing(token_ids, row_offsets, groups):
        token_ids[0] = 0
        return np.zeros(len(groups) - 1)

    with pytest.raises(MetricError, match="Copy what you want to write to"):
        divfast.score(OUTPUTS, ["writing"])


def test_a_fixed_signature_does_not_fit():
    @metric("fixed", unit="u", higher="h")
    @numba.njit("float64[::1](uint64[::1], int64[::1], int64[::1])", nogil=True)
    def fixed(token_ids, row_offsets, groups):
        return np.zeros(len(groups) - 1)

    with pytest.raises(MetricError, match=r"Leave the signature out of @numba\.njit"):
        divfast.score(OUTPUTS, ["fixed"])


@pytest.mark.parametrize(
    ("options", "view", "message"),
    [
        ({}, "tokens", r"write @numba\.njit\(nogil=True\)"),
        ({"nogil": True, "parallel": True}, "tokens", "parallel=True does not go with the threads"),
        ({"nogil": True}, "text", "eats tokens, not text"),
    ],
)
def test_what_will_not_do_is_said_where_it_is_written(options, view, message):
    compiled = numba.njit(**options)(lambda token_ids, row_offsets, groups: np.zeros(len(groups) - 1))
    with pytest.raises(ValueError, match=message):
        metric("odd", view=view, unit="u", higher="h")(compiled)
    with pytest.raises(MetricError, match="unknown metric"):
        parse_spec("odd")


def test_other_arguments_will_not_do():
    with pytest.raises(
        ValueError, match=r"takes \(token_ids, row_offsets, groups, \.\.\.\), not \(rows, groups\)"
    ):
        metric("odd", unit="u", higher="h")(numba.njit(nogil=True)(lambda rows, groups: groups))
    with pytest.raises(ValueError, match=r"parameters=\{'mode': divfast\.kinds\.Kind"):
        metric("odd", unit="u", higher="h")(lambda rows, groups, *, mode="fast": groups)
    with pytest.raises(ValueError, match="must be letters, digits"):
        metric("o:d", unit="u", higher="h")(lambda rows, groups: groups)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("np.zeros(1)", r"returned an array of shape \(1,\), not \(3,\)"),
        ("None", r"returned an array of shape \(\), not \(3,\)"),
        ("1 / 0", "metric mine failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_it_returns_is_checked(returned, message):
    @metric("mine", unit="u", higher="h")
    def mine(rows, groups):
        return eval(returned)

    with pytest.raises(MetricError, match=message):
        divfast.score(OUTPUTS, ["mine"])


def test_a_name_that_is_taken_shows_both(tmp_path):
    path = plugin(tmp_path, FIRST_WORD.replace("first-word", "ead"))
    with pytest.raises(MetricError) as caught:
        divfast.score(OUTPUTS, ["ead"], plugins=[path])
    assert str(caught.value).startswith(f"{path}: cannot be used: metric name 'ead' is taken: by ")
    assert "divfast/metrics/ead.py:" in str(caught.value)
    assert f"and now by {path}:4." in str(caught.value)


def test_a_file_is_loaded_once_and_again_where_it_changed(tmp_path):
    path = plugin(tmp_path, FIRST_WORD)
    first = divfast.score(OUTPUTS, ["first-word"], plugins=[path])["first-word"]
    assert first.values[:2].tolist() == [1, 1]
    entry = parse_spec("first-word").metric
    divfast.score(OUTPUTS, ["first-word"], plugins=[path, str(path)])
    assert parse_spec("first-word").metric is entry
    plugin(tmp_path, FIRST_WORD.replace("len(w[0])", "len(w[1])").replace("if w ", "if w[1:] "))
    with pytest.raises(MetricError, match="unknown metric 'x'"):
        divfast.score(OUTPUTS, ["x"], plugins=[path])
    again = divfast.score(OUTPUTS, ["first-word"], plugins=[path])["first-word"]
    assert np.isnan(again.values[1])
    assert str(again.signature).split("|by:")[1] != str(first.signature).split("|by:")[1]


def test_a_cell_that_runs_again_replaces_its_metric():
    for value in (1.0, 2.0):

        def cell(value=value):
            def mine(rows, groups):
                return np.full(len(groups) - 1, value)

            metric("mine", unit="u", higher="h")(mine)

        cell()
        assert divfast.score([["a"]], ["mine"])["mine"].value == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'."),
        ("def (", "SyntaxError: invalid syntax"),
        ("x = 1", "registers no metric.\nDecorate a function with @divfast.metric"),
        ("raise SystemExit", "SystemExit."),
        (FIRST_WORD + "\n1 / 0", "ZeroDivisionError: division by zero."),
    ],
)
def test_a_broken_file_leaves_nothing_behind(tmp_path, text, message):
    path = plugin(tmp_path, text)
    with pytest.raises(MetricError) as caught:
        divfast.score(OUTPUTS, ["ead"], plugins=[path])
    assert f"{path}: cannot be used: {message}" in str(caught.value)
    with pytest.raises(MetricError, match="unknown metric"):
        parse_spec("first-word")
    with pytest.raises(MetricError, match="cannot be read as a plugin"):
        divfast.score(OUTPUTS, ["ead"], plugins=[tmp_path / "absent.py"])


def test_metrics_tells_where_they_are_from(tmp_path):
    path = plugin(tmp_path, FIRST_WORD)
    listed = run("metrics", "--plugin", path).stdout
    row = next(line for line in listed.splitlines() if line.startswith("first-word"))
    assert row.split()[-1].startswith("mine.py@")
    assert run("metrics", "first-word", "--plugin", path).stdout.count("mine.py@") == 1
    facts = json.loads(run("metrics", "first-word", "--plugin", path, "--format", "json").stdout)
    assert facts["from"].startswith("mine.py@")
    assert (facts["backends"], facts["parameters"], facts["scopes"]) == (["cpu"], {"least": "0"}, ["prompt"])


def test_a_plugin_has_no_reference_and_says_so():
    result = run("score", BASE, "--plugin", HAPAX, "-m", "hapax", "--backend", "reference")
    assert result.exit_code == 1
    assert "hapax has no reference version." in result.stderr


@pytest.fixture
def distributions(tmp_path):
    """Two distributions, made by hand: one that works and one that does not."""
    for name, text in (("first_word_metric", FIRST_WORD), ("broken_metric", "import no_such_package")):
        plugin(tmp_path, text, f"{name}.py")
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(f"[divfast.metrics]\n{name} = {name}\n")
    return tmp_path


def fresh(folder, *args):
    """Run divfast in a process that sees the distributions of a folder."""
    program = [sys.executable, "-c", "from divfast.cli import main; main()", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "120"}
    return subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def test_an_installed_distribution(distributions):
    warning = (
        "Warning: the metrics of broken-metric@1.2 (broken_metric) are left out: ModuleNotFoundError: No module "
        "named 'no_such_package'.\n"
    )
    done = fresh(distributions, "score", BASE, "-m", "first-word:least=3", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert warning in done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert "|by:first-word-metric@1.2|" in result["signature"]
    assert result["value"] >= 3
    listed = fresh(distributions, "metrics")
    assert (listed.returncode, listed.stderr) == (0, warning)
    assert "first-word-metric@1.2" in listed.stdout
    # What is built in needs nobody else's code.
    assert fresh(distributions, "score", BASE, "-m", "ead").stderr == ""


@pytest.mark.parametrize(
    ("values", "law"),
    [
        (
            "np.where(np.diff(groups) > 0, np.arange(len(groups) - 1.0), np.nan)",
            "locality: with the other groups, and alone, number 1 is",
        ),
        ("[rows.lengths[a] if b > a else np.nan for a, b in zip(groups, groups[1:])]", "order: shuffled to"),
        ("np.diff(groups) * 1.0", "honesty: a group without samples has the value"),
        ("[np.inf if b > a else np.nan for a, b in zip(groups, groups[1:])]", "honesty: a value is infinite"),
        ("[2.0 if b > a else np.nan for a, b in zip(groups, groups[1:])]", "a value is above 1"),
    ],
)
def test_a_law_that_is_broken_is_shown_by_an_example(values, law):
    @metric("lawless", unit="u", higher="h", bounds=(0, 1) if "above" in law else (None, None))
    def lawless(rows, groups):
        return eval(values, {"np": np, "rows": rows, "groups": groups})

    with pytest.raises(AssertionError) as caught:
        check_metric("lawless")
    assert law in str(caught.value)
    assert "groups = [[" in str(caught.value) or "without samples" in law


def test_laws_of_accumulators_and_of_values_per_sample():
    class Forgetful:
        def __init__(self):
            self.rows = 0

        def add(self, rows):
            self.rows = len(rows)

        def merge(self, other):
            self.rows += other.rows

        def result(self):
            return float(self.rows) if self.rows else float("nan")

    def sizes(rows, groups):
        return np.array([b - a if b > a else np.nan for a, b in pairwise(groups)])

    metric("forgetful", unit="u", higher="h", corpus=Forgetful)(sizes)
    with pytest.raises(AssertionError, match="its accumulator: blocks added, and one big group"):
        check_metric("forgetful")

    def numbered(rows, groups):
        return np.arange(len(rows), dtype=float)

    registry.forget(parse_spec("forgetful").metric)
    metric("numbered", unit="u", higher="h", per_sample=numbered)(sizes)
    with pytest.raises(AssertionError, match="its values per sample"):
        check_metric("numbered")
