"""Outside: values of the published implementations on real model outputs (see the shared folder's README)."""

import math

import numpy as np
import pytest

import divfast
from conftest import parity_case, parity_files

pytestmark = pytest.mark.skipif(
    not parity_files(), reason="the folder of shared test data is absent (DIVFAST_SHARED)"
)

# 1e-9, and half a unit of the ninth significant digit, the last that the files print.
PRINTED = 1e-9 + 5e-9


def published(values):
    return np.array([math.nan if value is None else value for value in values], float)


@pytest.fixture(scope="module", params=parity_files(), ids=lambda path: path.stem)
def case(request):
    values, outputs = parity_case(request.param)
    specs = ["ead", *(f"ead:n={n}" for n in range(1, 6)), *(f"distinct:n={n}" for n in range(1, 5))]
    return values, divfast.score(outputs, specs, scopes=["prompt", "first", "pooled"], preset="paper")


@pytest.mark.parametrize(
    ("spec", "key"), [("ead", "ead"), *((f"ead:n={n}", f"ead_{n}") for n in range(1, 6))]
)
def test_ead_per_prompt(case, spec, key):
    values, report = case
    np.testing.assert_allclose(report[spec].values, published(values["per_group"][key]), rtol=PRINTED, atol=0)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_distinct_per_prompt(case, n):
    values, report = case
    np.testing.assert_allclose(
        report[f"distinct:n={n}"].values,
        published(values["per_group"][f"distinct_{n}"]),
        rtol=PRINTED,
        atol=0,
    )


def test_corpus(case):
    values, report = case
    corpus = values["corpus"]
    assert report["ead", "first"].value == pytest.approx(corpus["ead_across_first"], rel=PRINTED)
    assert report["ead", "pooled"].value == pytest.approx(corpus["ead_overall"], rel=PRINTED)
    for n in range(1, 5):
        assert report[f"distinct:n={n}", "pooled"].value == pytest.approx(
            corpus[f"distinct_{n}"], rel=PRINTED
        )
