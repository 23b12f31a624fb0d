"""Specs: what users write, what they get, what they are told."""

import numpy as np
import pytest

from divfast.errors import MetricError
from divfast.kinds import positive_int
from divfast.registry import metric, parse_spec


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("ead", "ead:n=1-5,vocab_size=50257"),
        ("ead:n=3", "ead:n=3,vocab_size=50257"),
        ("ead: vocab_size=10 , n=2-4", "ead:n=2-4,vocab_size=10"),
        ("distinct", "distinct:n=1"),
    ],
)
def test_canonical(given, canonical):
    spec = parse_spec(given)
    assert spec.canonical == canonical
    assert spec.given == given


def test_defaults_apply_only_where_the_metric_has_them():
    assert parse_spec("ead", defaults={"vocab_size": 7}).parameters["vocab_size"] == 7
    assert "vocab_size" not in parse_spec("distinct", defaults={"vocab_size": 7}).parameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("eat", "unknown metric 'eat'.\nDid you mean ead"),
        ("", "unknown metric ''"),
        ("distinct:m=2", "no parameter 'm'"),
        ("distinct:n", "parameter n of distinct has no value"),
        ("distinct:n=0", "must be a whole number of at least 1"),
        ("distinct:n=two", "'two' is not a number"),
        ("ead:n=5-2", "must be an n-gram order"),
        ("ead:n=1-1000", "must be an n-gram order"),
    ],
)
def test_mistakes_are_one_sentence(given, message):
    with pytest.raises(MetricError) as caught:
        parse_spec(given)
    assert message in str(caught.value)


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="taken"):

        @metric("ead", view="tokens", unit="u", higher="h")
        def another(rows, groups):
            return np.zeros(len(groups) - 1)


def test_every_keyword_needs_a_kind():
    with pytest.raises(ValueError, match="are not the keywords"):

        @metric("unheard-of", view="tokens", unit="u", higher="h", parameters={"k": positive_int})
        def other(rows, groups, *, n=1):
            return np.zeros(len(groups) - 1)
