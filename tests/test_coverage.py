"""Intervals hold the truth, and tests find nothing where there is nothing, as often as the documentation says."""

import importlib.util
import json
import math
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
ROWS = json.loads((ROOT / "bench" / "results" / "coverage.json").read_text(encoding="utf-8"))["rows"]
# Enough for a standard error of 1%; the committed rows are of 3,000.
SIMULATIONS = 500


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("bench_coverage", ROOT / "bench" / "interval_coverage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rate(what, values, prompts, method="divfast"):
    key = {"what": what, "values": values, "prompts": prompts, "method": method}
    (row,) = [row for row in ROWS if key.items() <= row.items()]
    return row["rate"]


@pytest.mark.parametrize("prompts", [10, 100])
@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("mean", "normal"),
        ("mean", "very skewed (lognormal)"),
        ("estimator", "accuracy over 16 samples"),
        ("paired difference", "skewed, a tenth undefined"),
        ("share of a decomposition", "uncertain loss"),
        ("stage share", "-7% of the base"),
        ("effect size", "d_z of 0.3"),
    ],
)
def test_intervals_hold_the_truth_as_often_as_was_measured(coverage, what, values, prompts):
    for row in coverage.covered(what, values, prompts, SIMULATIONS):
        known = rate(what, values, prompts, row["method"])
        error = math.sqrt(known * (1 - known) / row["simulations"])
        assert row["rate"] == pytest.approx(known, abs=4 * error), row["method"]
        assert row["simulations"] + row["undefined"] == SIMULATIONS


@pytest.mark.parametrize("values", ["normal", "skewed, of mean 0 (exponential)"])
def test_differences_are_found_as_often_as_was_measured(coverage, values):
    (row,) = coverage.found("sign-flip test", values, 30, 1000)
    known = rate("sign-flip test", values, 30)
    assert row["rate"] == pytest.approx(known, abs=4 * math.sqrt(known * (1 - known) / 1000))


def test_a_family_of_tests_finds_nothing(coverage):
    (row,) = coverage.found("any of Holm's", "20 correlated metrics, normal", 30, 200)
    assert row["rate"] <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 200)
    uncorrected = coverage.ALPHA * 20
    assert row["rate"] < uncorrected / 4


def test_rates_are_told_from_the_nominal(coverage):
    # Three standard errors of 3,000 simulations are 1.2%.
    assert coverage.within(0.94, 0.95, 3000)
    assert not coverage.within(0.935, 0.95, 3000)
    assert not coverage.within(0.965, 0.95, 3000)


def test_the_page_shows_what_was_measured(coverage):
    for table in coverage.tables(ROWS).strip().split("\n\n"):
        assert table in PAGE, "copy what bench/interval_coverage.py --table prints into docs/statistics.md"
    assert {(row["what"], row["values"]) for row in ROWS} == {*coverage.INTERVALS, *coverage.TESTS}
    assert {row["prompts"] for row in ROWS} == set(coverage.SIZES)


def test_what_the_page_says_of_the_rows():
    means = [row for row in ROWS if row["what"] in ("mean", "estimator", "paired difference", "stage share")]
    ours = [row for row in means if row["method"] == "divfast"]
    exceptions = ("very skewed (lognormal)", "accuracy@1, mean 0.9")
    usual = [row for row in ours if row["values"] not in exceptions]
    for prompts, least in ((10, 0.895), (30, 0.92), (100, 0.93)):
        assert all(row["rate"] >= least for row in usual if row["prompts"] >= prompts)
    assert all(row["within"] for row in ours if row["prompts"] == 500 and row["values"] != exceptions[0])
    for row in means:
        # Never worse than the plain percentile.
        if row["method"] == "percentile":
            assert rate(row["what"], row["values"], row["prompts"]) >= row["rate"]
    found = [row for row in ROWS if row["nominal"] == 0.05]
    symmetric = [row for row in found if not row["values"].startswith("skewed")]
    assert all(row["rate"] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 3000) for row in symmetric)
