"""The laws that every registered metric obeys, whoever wrote it, and its agreement with the reference."""

import importlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast.registry import all_metrics, parse_spec
from divfast.samples import Ragged
from tolerances import REDUCTION, SPECTRAL

# Parameters other than the defaults that a metric should also be tried with.
VARIANTS = {
    "ead": ["ead:n=2", "ead:n=2-3,vocab_size=7", "ead:vocab_size=1"],
    "distinct": ["distinct:n=3"],
    "ngram_diversity": ["ngram_diversity:n=2-3"],
    "repetition": ["repetition:n=1-2"],
    "self_repetition": ["self_repetition:n=2"],
    "compression": ["compression:level=1"],
    "type_token": [
        "type_token:measure=mattr,window=3",
        "type_token:measure=mtld",
    ],
    "entropy": ["entropy:n=2", "entropy:normalized=true"],
    "zipf": ["zipf:n=2", "zipf:ranks=3"],
    "length": [f"length:statistic={statistic}" for statistic in ("std", "p90")],
    "unique": ["unique:normalize=none", "unique:normalize=lower"],
    "vendi": ["vendi:q=0.5", "vendi:q=2", "vendi:q=3", "vendi:q=inf"],
}
SPECS = [spec for metric in all_metrics() for spec in (metric.name, *VARIANTS.get(metric.name, ()))]
CASES = [
    (spec, preset)
    for spec in SPECS
    for preset in (("default", "paper") if parse_spec(spec).metric.takes_preset else ("default",))
]
WIDTH = 5

token_groups = st.lists(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=5), max_size=5)
text_groups = st.lists(st.lists(st.text("ab \n.é漢👍🏽", max_size=12), max_size=5), max_size=5)
vector_groups = st.lists(
    st.lists(st.lists(st.integers(-3, 3), min_size=WIDTH, max_size=WIDTH).filter(any), max_size=7), max_size=5
)
GROUPS = {"text": text_groups, "tokens": token_groups, "vectors": vector_groups}


def build(view, groups):
    """Return rows of a view and group offsets from nested lists."""
    flat = [row for group in groups for row in group]
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int64)
    if view == "tokens":
        bounds = np.concatenate([[0], np.cumsum([len(row) for row in flat])]).astype(np.int64)
        return Ragged(np.array([token for row in flat for token in row], np.uint64), bounds), offsets
    if view == "text":
        return Ragged.from_strings(flat), offsets
    vectors = np.array(flat, np.float64).reshape(-1, WIDTH)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), offsets


def plain(rows):
    if not isinstance(rows, Ragged):
        return rows.astype(np.float64)
    return rows.strings() if rows.values.dtype == np.uint8 else [row.tolist() for row in rows]


class Case:
    """A metric with bound parameters."""

    def __init__(self, spec, preset):
        parsed = parse_spec(spec)
        self.metric = parsed.metric
        self.parameters = dict(parsed.parameters) | ({"preset": preset} if self.metric.takes_preset else {})
        self.tolerance = SPECTRAL if self.metric.view == "vectors" else REDUCTION
        self.honest = preset == "default"
        self.sequential = preset in self.metric.sequential

    def groups(self, data):
        return data.draw(GROUPS[self.metric.view])

    def __call__(self, groups):
        return self.metric.function(*build(self.metric.view, groups), **self.parameters)

    def corpus(self, blocks):
        accumulators = []
        for block in blocks:
            accumulator = self.metric.corpus(**self.parameters)
            accumulator.add(build(self.metric.view, [block])[0])
            accumulators.append(accumulator)
        return accumulators


every_metric = pytest.mark.parametrize(
    "case", [Case(*case) for case in CASES], ids=["-".join(case) for case in CASES]
)


@every_metric
@given(data=st.data())
def test_agrees_with_the_reference(case, data):
    groups = case.groups(data)
    rows, offsets = build(case.metric.view, groups)
    reference = getattr(importlib.import_module(f"divfast.reference.{case.metric.name}"), case.metric.name)
    values = case.metric.function(rows, offsets, **case.parameters)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, reference(plain(rows), offsets, **case.parameters), **case.tolerance)


@every_metric
@given(data=st.data())
def test_locality(case, data):
    groups = case.groups(data)
    alone = [case([group])[0] for group in groups]
    np.testing.assert_allclose(case(groups), np.array(alone, float), **case.tolerance)


@every_metric
@given(data=st.data(), seed=st.integers(0, 99))
def test_order(case, data, seed):
    if case.sequential:
        pytest.skip(f"{case.metric.name} reads the rows of a group as one text")
    groups = case.groups(data)
    random = np.random.default_rng(seed)
    shuffled = [[group[i] for i in random.permutation(len(group))] for group in groups]
    np.testing.assert_allclose(case(shuffled), case(groups), **case.tolerance)


@every_metric
@given(data=st.data())
def test_bounds_and_honesty(case, data):
    values = case(case.groups(data))
    low, high = case.metric.bounds
    defined = values[~np.isnan(values)]
    slack = 1e-5
    assert not np.isinf(values).any()
    assert low is None or (defined >= (0.0 if not case.honest else low) - slack).all()
    assert high is None or (defined <= high + slack).all()


@every_metric
def test_nothing_is_undefined(case):
    value = case([[]])[0]
    assert np.isnan(value) or not case.honest, (
        "a group without samples is NaN; only the paper preset makes up a number"
    )


@every_metric
@given(data=st.data())
def test_corpus_is_one_big_group_in_any_merge_order(case, data):
    if case.metric.corpus is None:
        pytest.skip(f"{case.metric.name} is not defined over a corpus")
    blocks = case.groups(data) or [[]]
    expected = case([list(itertools.chain.from_iterable(blocks))])[0]
    forwards, backwards = case.corpus(blocks), case.corpus(blocks)
    whole = case.metric.corpus(**case.parameters)
    for block in blocks:
        whole.add(build(case.metric.view, [block])[0])
    first, last = forwards[0], backwards[-1]
    for other in forwards[1:]:
        first.merge(other)
    for other in reversed(backwards[:-1]):
        last.merge(other)
    results = [whole.result(), first.result()]
    np.testing.assert_allclose(results, [expected] * 2, **case.tolerance)
    if case.sequential:  # what is merged comes behind
        expected = case([list(itertools.chain.from_iterable(reversed(blocks)))])[0]
    np.testing.assert_allclose(last.result(), expected, **case.tolerance)


@every_metric
def test_docstring_and_facts(case):
    metric = case.metric
    assert metric.unit
    assert metric.higher
    assert metric.summary.endswith(".")
