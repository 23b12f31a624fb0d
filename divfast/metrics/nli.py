"""Diversity by natural language inference."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.judged import CONTRADICTION, ENTAILMENT, JudgedRows
from divfast.kinds import Kind, natural, positive_int
from divfast.pairs import PairCorpus
from divfast.registry import Preset, metric
from divfast.sentences import Sentences, drawn_places

# As many rows as the published code draws.
SAMPLE = 500
# Pairs of samples that are looked at together.
_PAIRS_AT_ONCE = 1 << 19

Numbers = NDArray[np.int64]


def _parse_sentences(text: str) -> int | None:
    if text == "all":
        return None
    value = int(text)
    if value < 1:
        raise ValueError("must be all, or a whole number of at least 1")
    return value


sentences_kind = Kind(_parse_sentences, lambda value: "all" if value is None else str(value))


class NliCorpus(PairCorpus):
    """NLI diversity of the pairs of rows drawn from a corpus."""

    def __init__(
        self,
        *,
        sentences: int | None = 3,
        sample: int = SAMPLE,
        seed: int = 0,
        preset: Preset = "default",
    ) -> None:
        super().__init__(sample=sample, seed=seed, sentences=sentences)
        self.seed = seed
        self.undefined = _undefined(preset)

    def means(self, rows: JudgedRows, groups: Numbers, **parameters: Any) -> NDArray[np.float64]:
        """Return the score of every group; sentences are drawn by the content of each pair under both presets."""
        return _scores(rows, groups, seed=self.seed, streamed=False, undefined=self.undefined, **parameters)

    def result(self) -> float:
        """Return the score of the rows drawn from everything seen so far."""
        return self.undefined if self.drawn.rows() is None else super().result()


def _undefined(preset: Preset) -> float:
    return 0.0 if preset == "paper" else np.nan


@metric(
    "nli",
    view="judgments",
    unit="1 - mean (P(entailment) - P(contradiction))",
    higher="more diverse",
    bounds=(0, 2),
    corpus=NliCorpus,
    parameters={"sentences": sentences_kind, "sample": positive_int, "seed": natural},
    streamed=("paper",),
)
def nli(
    rows: JudgedRows,
    groups: Numbers,
    *,
    sentences: int | None = 3,
    sample: int = SAMPLE,
    seed: int = 0,
    preset: Preset = "default",
) -> NDArray[np.float64]:
    """One minus how much the samples of a group entail, and do not contradict, one another, sentence by sentence.

    Parameters
    ----------
    rows : JudgedRows
        Texts with a judge.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    sentences : int or None
        Of every two samples at most so many sentences are compared, drawn at random; ``all`` compares all.
    sample : int
        Rows that the scopes ``first`` and ``pooled`` draw from a larger corpus; all their pairs are compared. A group
        of one prompt is never sampled.
    seed : int
        Of both draws.
    preset : str
        ``paper`` draws sentences from one random stream that runs through all pairs of all groups in order, as the
        published code does, and gives 0 to a group without pairs.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 2]; NaN for a group in which no two samples have a sentence, or where the judge has no
        answer (float16 overflows in some models).

    Notes
    -----
    Samples are cut into sentences at ``[.!?]+\\\\s+|\\\\n+``, and those of two samples aligned by their place up to the
    shorter one's last. The similarity of two aligned sentences is the mean, over both directions, of P(entailment) -
    P(contradiction); the value is one minus the mean over all aligned sentences of all pairs together, so that a pair
    of long samples weighs more. Samples without a sentence are in no pair.

    Which sentences are drawn depends on the seed and on the contents of the two samples, so a value depends on nothing
    outside its group, nor on the order in it. Under the paper preset it is ``random.Random(seed)``, from the first
    prompt of a dump to its last; there the value of a group depends on the groups before it. The published code draws
    from that stream for its two corpus scores first, and has 500 rows drawn by NumPy for them; here the corpus scopes
    draw by content under both presets. The reference begins a new stream at every block that is read.

    Each pair of different sentences is judged once in each direction: the cost is that of the judge on these, and
    O(K^2) for K samples. Means in float64 of what the judge gives in float32. Equal to the reference to rounding, and
    to the published code to 1e-5 with the same classifier.

    Stasaski and Hearst take the label alone, or its probability as a weight; the published code takes the expectation
    over the three labels, as is done here.

    References
    ----------
    Stasaski and Hearst (2022), "Semantic Diversity in Dialogue with Natural Language Inference", arXiv 2205.01497.
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.testing import build, overlap_judge
    >>> rows, groups = build("judgments", [["a b. c", "a b. d", ""]])
    >>> overlap_judge(["a b", "c", "d"], np.array([[0, 0], [1, 2]])).tolist()  # entails, neutral, contradicts
    [[0.75, 0.25, 0.0], [0.0, 0.25, 0.75]]
    >>> nli(rows, groups).tolist()  # 1 - (0.75 - 0.75) / 2
    [1.0]
    """
    return _scores(
        rows, groups, sentences=sentences, seed=seed, streamed=preset == "paper", undefined=_undefined(preset)
    )


def _scores(
    rows: JudgedRows,
    groups: Numbers,
    *,
    sentences: int | None,
    seed: int,
    streamed: bool,
    undefined: float,
) -> NDArray[np.float64]:
    texts, of = rows.distinct()
    cut = Sentences.of(texts)
    sums = np.zeros(len(groups) - 1)
    counts = np.zeros(len(groups) - 1)
    with rows.stream(seed, sentences) as stream:
        for group, a, b in _pairs(of, groups):
            # Of two texts it does not matter which is first.
            low, high = np.minimum(a, b), np.maximum(a, b)
            shared = cut.shared(low, high)
            many = np.zeros(len(low), np.bool_) if sentences is None else shared > sentences
            alone = many if streamed else np.zeros(len(low), np.bool_)
            # Under a stream a pair of texts has other sentences wherever it stands again.
            code = np.where(alone, -1 - np.arange(len(low)), low * len(texts) + high)
            _, once, back = np.unique(code, return_index=True, return_inverse=True)
            low, high, shared, many = low[once], high[once], shared[once], many[once]
            size = sentences or 0
            if streamed:
                # The codes of those drawn from the stream fall, so they stand last pair first.
                drawn = [stream.sample(range(last), size) for last in shared[many][::-1].tolist()][::-1]
                places = np.array(drawn, np.int64).reshape(-1, max(1, size))
            else:
                keys = (cut.keys[low[many]], cut.keys[high[many]])
                places = drawn_places(*keys, shared[many], size, seed)
            total, compared = _similarities(rows, cut, low, high, shared, many, places)
            sums += np.bincount(group, total[back], len(sums))
            counts += np.bincount(group, compared[back], len(sums))
    with np.errstate(invalid="ignore", divide="ignore"):
        values: NDArray[np.float64] = np.where(counts > 0, 1.0 - sums / counts, undefined)
    return values


def _pairs(of: Numbers, groups: Numbers) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    """Yield the pairs of samples of whole groups, some at a time: the group, and the texts of both."""
    waiting: list[tuple[Numbers, Numbers, Numbers]] = []
    held = 0
    for group, (start, k) in enumerate(zip(groups[:-1].tolist(), np.diff(groups).tolist(), strict=True)):
        # Of a large group some samples with all after them.
        strip = max(1, _PAIRS_AT_ONCE // max(1, k))
        for first in range(0, k - 1, strip):
            i, j = _strip(k, first, min(first + strip, k - 1))
            waiting.append((np.full(len(i), group), of[start + i], of[start + j]))
            held += len(i)
            if held >= _PAIRS_AT_ONCE:
                yield _joined(waiting)
                waiting, held = [], 0
    if waiting:
        yield _joined(waiting)


@lru_cache(maxsize=16)
def _strip(k: int, first: int, last: int) -> tuple[Numbers, Numbers]:
    """Return the pairs of rows `first` up to `last` of a group of k with all rows after each."""
    after = k - 1 - np.arange(first, last)
    i = np.repeat(np.arange(first, last), after)
    j = np.arange(len(i)) - np.repeat(np.cumsum(after) - after, after) + i + 1
    return i, j


def _joined(parts: list[tuple[Numbers, Numbers, Numbers]]) -> tuple[Numbers, Numbers, Numbers]:
    group, a, b = (np.concatenate(column) for column in zip(*parts, strict=True))
    return group, a, b


def _similarities(
    rows: JudgedRows,
    cut: Sentences,
    low: Numbers,
    high: Numbers,
    shared: Numbers,
    many: NDArray[np.bool_],
    places: Numbers,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the similarities of the aligned sentences of every pair, and how many they are."""
    few = np.flatnonzero(~many)
    counts = shared[few]
    of_few = np.repeat(few, counts)
    every = np.arange(len(of_few)) - np.repeat(np.cumsum(counts) - counts, counts)
    pair = np.concatenate([of_few, np.repeat(np.flatnonzero(many), places.shape[1])])
    place = np.concatenate([every, places.reshape(-1)])
    first, second = cut.at(low[pair], place), cut.at(high[pair], place)
    both = np.stack([np.concatenate([first, second]), np.concatenate([second, first])], axis=1)
    chances = rows.judge(cut.table, both).astype(np.float64) if len(both) else np.zeros((0, 3))
    agreement = chances[:, ENTAILMENT] - chances[:, CONTRADICTION]
    similarity = (agreement[: len(first)] + agreement[len(first) :]) / 2
    compared = np.bincount(pair, minlength=len(low)).astype(np.float64)
    sums: NDArray[np.float64] = np.bincount(pair, similarity, len(low)).astype(np.float64)
    return sums, compared
