"""The laws that every registered metric obeys, whoever wrote it, and its agreement with the reference."""

import importlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divfast.rarefaction import at_k
from divfast.registry import all_metrics, parse_spec
from divfast.testing import WIDTH, Case, build
from divfast.viewed import plain_rows

# Parameters other than the defaults that a metric should also be tried with.
VARIANTS = {
    "ead": ["ead:n=2", "ead:n=2-3,vocab_size=7", "ead:vocab_size=1"],
    "ast": ["ast:height=1", "ast:height=2,exact=true", "ast:identifiers=normalise"],
    "ast_distinct": ["ast_distinct:height=2,exact=true", "ast_distinct:identifiers=normalise"],
    "chrf": ["chrf:word_order=2,beta=1", "chrf:char_order=2"],
    "distinct": ["distinct:n=3"],
    "edit": ["edit:unit=words"],
    "jaccard": ["jaccard:n=2", "jaccard:multiset=true", "jaccard:n=2,multiset=true"],
    "self_bleu": [
        "self_bleu:n=2",
        *(f"self_bleu:n=3,smoothing={method}" for method in (0, 2, 3, 4, 5, 6, 7)),
        "self_bleu:n=2,weights=0.7/0.3",
    ],
    "ngram_diversity": ["ngram_diversity:n=2-3"],
    "repetition": ["repetition:n=1-2"],
    "self_repetition": ["self_repetition:n=2"],
    "compression": ["compression:level=1"],
    "tree_edit": ["tree_edit:identifiers=normalise,most=5"],
    "type_token": [
        "type_token:measure=mattr,window=3",
        "type_token:measure=mtld",
    ],
    "entropy": ["entropy:n=2", "entropy:normalized=true"],
    "zipf": ["zipf:n=2", "zipf:ranks=3"],
    "length": [f"length:statistic={statistic}" for statistic in ("std", "p90")],
    "unique": ["unique:normalize=none", "unique:normalize=lower"],
    "nli": ["nli:sentences=all", "nli:sentences=1,seed=5"],
    "nli_clusters": [*(f"nli_clusters:rule={rule}" for rule in ("strict", "nonstrict", "either"))],
    "semantic_entropy": [
        "semantic_entropy:estimator=likelihood,rule=nonstrict",
        "semantic_entropy:estimator=likelihood,normalized=true",
        "semantic_entropy:estimator=sampled,context=prompt",
    ],
    "kernel_entropy": ["kernel_entropy:t=2,context=prompt"],
    "vendi": [
        *("vendi:q=0.5", "vendi:q=2", "vendi:q=3", "vendi:q=inf"),
        *("vendi:kernel=rbf", "vendi:q=2,kernel=rbf,scale=0.3"),
    ],
    "conditional_vendi": [
        *("conditional_vendi:q=2", "conditional_vendi:q=inf"),
        *("conditional_vendi:part=information", "conditional_vendi:part=information,q=0.5"),
    ],
    "rke": ["rke:kernel=rbf", "rke:kernel=rbf,scale=0.3"],
    "dcscore": ["dcscore:tau=0.1", "dcscore:tau=inf"],
    "nearest": ["nearest:q=0", "nearest:q=0.3", "nearest:q=1"],
    "spread": ["spread:ridge=0.01"],
    "distinct_k": ["distinct_k:k=1", "distinct_k:k=3"],
    "hill": ["hill:q=0", "hill:q=0.5", "hill:q=2", "hill:q=inf"],
    "utility_k": ["utility_k:k=3", "utility_k:k=2,p=0.5", "utility_k:scale=noveltybench"],
    "pass_at_k": ["pass_at_k:k=2", "pass_at_k:k=5"],
    "pass_hat_k": ["pass_hat_k:k=2", "pass_hat_k:k=5"],
    **{
        name: [
            f"{name}:ties={ties},unparseable={other}"
            for ties, other in (("wrong", "vote"), ("wrong", "abstain"), ("mean", "vote"))
        ]
        for name in ("majority", "mv_gain")
    },
}
SPECS = [spec for metric in all_metrics() for spec in (metric.name, *VARIANTS.get(metric.name, ()))]
CASES = [
    (spec, preset)
    for spec in SPECS
    for preset in (("default", "paper") if parse_spec(spec).metric.takes_preset else ("default",))
]

token_groups = st.lists(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=5), max_size=5)
text_groups = st.lists(st.lists(st.text("ab \n.é漢👍🏽", max_size=12), max_size=5), max_size=5)
vectors = st.lists(st.integers(-3, 3), min_size=WIDTH, max_size=WIDTH).filter(any)
vector_groups = st.lists(st.lists(vectors, max_size=7), max_size=5)
prompted_groups = st.lists(
    st.lists(st.tuples(vectors, vectors).map(lambda two: two[0] + two[1]), max_size=7), max_size=5
)
labels = st.sampled_from([(1, 1), (2, 1), (2**64 - 1, 2**63)])
trees = st.recursive(
    labels.map(lambda label: (*label, 0, ())),
    lambda below: st.builds(
        lambda label, role, children: (*label, role, tuple(children)),
        labels,
        st.integers(0, 1),
        st.lists(below, max_size=3),
    ),
    max_leaves=6,
)
program_groups = st.lists(st.lists(st.none() | trees, max_size=5), max_size=4)
judged_groups = st.lists(
    st.lists(
        st.text("ab. \n漢", max_size=12) | st.sampled_from(["a b", "b a", "a. b. a. b. c", ""]), max_size=5
    ),
    max_size=4,
)
label_groups = st.lists(st.lists(st.integers(0, 4), max_size=7), max_size=5)
reward_groups = st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 3)), max_size=7), max_size=5)
unknown_or = st.sampled_from([0.0, 1.0, float("nan")])
answer_groups = st.lists(
    st.lists(st.tuples(unknown_or, st.integers(-1, 2), unknown_or | st.just(-0.5)), max_size=7), max_size=5
)
GROUPS = {
    "text": text_groups,
    "tokens": token_groups,
    "vectors": vector_groups,
    "judgments": judged_groups,
    "prompted vectors": prompted_groups,
    "partition": label_groups,
    "rewards": reward_groups,
    "answers": answer_groups,
    "programs": program_groups,
}


def draw(case, data):
    return data.draw(GROUPS[case.metric.view])


def every(wanted):
    """Return the mark of a test that is of all metrics for which something is wanted."""
    cases = [Case(*case) for case in CASES]
    return pytest.mark.parametrize(
        "case", [case for case in cases if wanted(case)], ids=lambda case: case.name
    )


every_metric = every(lambda case: True)


@every_metric
@given(data=st.data())
def test_agrees_with_the_reference(case, data):
    groups = draw(case, data)
    rows, offsets = build(case.metric.view, groups)
    reference = getattr(importlib.import_module(f"divfast.reference.{case.metric.name}"), case.metric.name)
    expected = reference(plain_rows(rows), offsets, **case.parameters)
    np.testing.assert_allclose(case(groups), expected, **case.tolerance)


@every_metric
@given(data=st.data())
def test_locality(case, data):
    groups = draw(case, data)
    case.locality(groups)
    case.threads(groups)


@every(lambda case: not (case.sequential or case.streamed))
@given(data=st.data(), seed=st.integers(0, 99))
def test_order(case, data, seed):
    case.order(draw(case, data), np.random.default_rng(seed))


@every_metric
@given(data=st.data())
def test_bounds_and_honesty(case, data):
    case.honesty(draw(case, data))


@every_metric
def test_nothing_is_undefined(case):
    value = case([[]])[0]
    assert np.isnan(value) or not case.honest, (
        "a group without samples is NaN; only the paper preset makes up a number"
    )


@every(lambda case: case.metric.corpus is not None)
@given(data=st.data())
def test_corpus_is_one_big_group_in_any_merge_order(case, data):
    case.accumulation(draw(case, data))


@every(lambda case: case.metric.per_sample is not None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_values_per_sample_go_with_the_samples(case, data, seed):
    case.samples(draw(case, data), np.random.default_rng(seed))


# What is drawn from a stream for a subset is not what is drawn for all: there it holds on average over draws alone.
@every(lambda case: not case.streamed)
@settings(max_examples=25)
@given(data=st.data(), k=st.integers(1, 4))
def test_expectation_is_the_mean_over_subsets(case, data, k):
    groups = draw(case, data)
    rows, offsets = build(case.metric.view, groups)
    ids = np.arange(len(groups), dtype=np.uint64)
    calls = [(case.metric, case.parameters, "")]
    (values,), drawn = at_k(calls, {"": rows}, offsets, [case(groups)], k, ids=ids, draws=10**6)

    def over_subsets(group, size):
        scores = np.array([case([list(subset)])[0] for subset in itertools.combinations(group, size)])
        defined = scores[~np.isnan(scores)]
        return (defined.mean() if len(defined) else np.nan), len(defined) == len(scores)

    # Where some parts are undefined, a mean over parts weighs all others alike: what it is on the smallest subsets.
    smallest = {"rows_mean": 1, "pairs_mean": 2}.get(case.metric.expectation, k)
    expected = []
    for group in groups:
        partly = k > smallest and len(group) >= k and not over_subsets(group, smallest)[1]
        expected.append(over_subsets(group, smallest if partly else k)[0])
    assert not drawn
    np.testing.assert_allclose(values, np.array(expected, float), **case.tolerance)


@every_metric
def test_docstring_and_facts(case):
    metric = case.metric
    assert metric.unit
    assert metric.higher
    assert metric.summary.endswith(".")
