"""The laws that every metric obeys, to try on one of your own: `check_metric`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.judged import JudgedRows
from divfast.quality.estimators import Answers
from divfast.registry import Preset, ViewName, parse_spec
from divfast.samples import Ragged
from divfast.views.prompted import PromptedVectors
from divfast.views.trees import Programs

# How far two ways to the same number may be apart: sums, and what comes from vectors.
REDUCTION = {"rtol": 1e-9, "atol": 1e-12}
SPECTRAL = {"rtol": 1e-5, "atol": 1e-9}

WIDTH = 5
_SLACK = 1e-5
# Of random classes 0 to 2 and none: right twice as often as wrong or unknown.
_OR_NONE = {-1: float("nan"), 0: 0.0, 1: 1.0, 2: 1.0}
_TEXT = "ab \n.é漢👍🏽"
# Fingerprints are any 64 bits; what takes them for small numbers shall fail here.
_TOKENS = [0, 1, 0xFFFFFFFFFFFFFFFF, 0x8000000000000000, 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93]

Groups = Sequence[Sequence[Any]]


def build(view: ViewName, groups: Groups) -> tuple[Any, NDArray[np.int64]]:
    """Return the rows of a view and the offsets of their groups from nested lists.

    Examples
    --------
    >>> rows, groups = build("tokens", [[[1, 2], [3]], []])
    >>> rows.values.tolist(), rows.offsets.tolist(), groups.tolist()
    ([1, 2, 3], [0, 2, 3], [0, 2, 2])
    """
    flat = [row for group in groups for row in group]
    offsets = np.cumsum([0, *(len(group) for group in groups)], dtype=np.int64)
    if view == "tokens":
        bounds = np.cumsum([0, *(len(row) for row in flat)], dtype=np.int64)
        return Ragged(np.array([token for row in flat for token in row], np.uint64), bounds), offsets
    if view == "answers":
        columns = list(zip(*flat, strict=True)) or [(), (), ()]
        correct, score = (np.array(columns[i], np.float64) for i in (0, 2))
        return Answers(correct, np.array(columns[1], np.int64), score), offsets
    if view == "text":
        return Ragged.from_strings(flat), offsets
    if view == "programs":
        return Programs.from_plain(flat), offsets
    if view == "judgments":
        return _judged(flat), offsets
    if view == "partition":
        return np.array(flat, np.int64), offsets
    if view == "rewards":
        return np.array(flat, np.float64).reshape(-1, 2), offsets
    vectors = np.array(flat, np.float64).reshape(-1, WIDTH)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    if view == "prompted vectors":
        # Each row is a sample and behind it its prompt.
        return PromptedVectors(unit[0::2].copy(), unit[1::2].copy()), offsets
    return unit, offsets


def overlap_judge(texts: Sequence[str], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the verdicts of a judge that needs no model, ``float32[m, 3]``: it looks at words alone.

    A hypothesis whose words are all in the premise is entailed, one that shares none contradicts, others are neutral.

    Examples
    --------
    >>> overlap_judge(["a b", "a"], np.array([[0, 1], [1, 0]])).tolist()
    [[0.75, 0.25, 0.0], [0.25, 0.5, 0.25]]
    """
    words = [set(text.split()) for text in texts]
    out = np.empty((len(pairs), 3), np.float32)
    for row, (premise, hypothesis) in zip(out, pairs.tolist(), strict=True):
        shared = len(words[premise] & words[hypothesis])
        if shared == len(words[hypothesis]):
            row[:] = 0.75, 0.25, 0.0
        else:
            row[:] = (0.25, 0.5, 0.25) if shared else (0.0, 0.25, 0.75)
    return out


def _judged(texts: Sequence[str]) -> JudgedRows:
    """Return rows with the `overlap_judge`, one prompt, and log-probabilities that depend on the texts alone."""
    tokens = np.array([1 + len(text) for text in texts], np.float64)
    prompts = Ragged.from_strings(["a"])
    of = np.zeros(len(texts), np.int64)
    return JudgedRows(Ragged.from_strings(texts), overlap_judge, prompts, of, -0.5 - tokens / 4, tokens)


def random_groups(view: ViewName, random: np.random.Generator, *, size: int) -> list[list[Any]]:
    """Return at most `size` groups of at most `size` small rows of a view, some empty, many alike."""

    def vector() -> Any:
        found = random.integers(-3, 4, WIDTH)
        return (found if found.any() else np.ones(WIDTH, int)).tolist()

    def row() -> Any:
        if view == "partition":
            return int(random.integers(0, 4))
        if view == "rewards":
            return [int(random.integers(0, 4)), int(random.integers(-8, 3))]
        if view == "answers":
            verdict, answer, score = random.integers(-1, 3, 3).tolist()
            return (_OR_NONE[verdict], min(answer, 1), _OR_NONE[score])
        if view == "vectors":
            return vector()
        if view == "prompted vectors":
            return vector() + vector()
        if view == "programs":
            return _random_tree(random, size) if random.random() < 0.8 else None
        of: Sequence[Any] = _TOKENS if view == "tokens" else _TEXT
        picked = [of[i] for i in random.integers(0, len(of), random.integers(0, size + 1))]
        return picked if view == "tokens" else "".join(picked)

    def group() -> list[Any]:
        rows = [row() for _ in range(random.integers(0, size + 1))]
        if len(rows) > 1 and random.random() < 0.3:
            rows[-1] = rows[0]
        return rows

    return [group() for _ in range(random.integers(0, size + 1))]


def _random_tree(random: np.random.Generator, size: int) -> tuple[Any, ...]:
    """Return a tree of few different nodes as `divfast.views.trees.Programs.plain` writes it."""
    label, role = (int(number) for number in random.integers(0, 3, 2))
    below = random.integers(0, 3) if size else 0
    children = tuple(_random_tree(random, size // 2) for _ in range(below))
    return _TOKENS[label], _TOKENS[label % 2], role, children


class Case:
    """A metric with its parameters, and its laws; each takes nested lists and raises `AssertionError`."""

    def __init__(self, spec: str, preset: Preset = "default") -> None:
        parsed = parse_spec(spec, preset=preset)
        self.name = spec if preset == "default" else f"{spec} ({preset})"
        self.metric = parsed.metric
        self.parameters = dict(parsed.parameters) | ({"preset": preset} if self.metric.takes_preset else {})
        self.tolerance = SPECTRAL if self.metric.view in ("vectors", "prompted vectors") else REDUCTION
        self.honest = preset == "default"
        self.sequential = preset in self.metric.sequential
        self.streamed = preset in self.metric.streamed

    def __call__(self, groups: Groups) -> NDArray[np.float64]:
        """Return the values of groups."""
        values = self.metric.function(*build(self.metric.view, groups), **self.parameters)
        shape = (len(groups),)
        assert isinstance(values, np.ndarray), f"{self.name} gives {type(values).__name__}, not an array"
        assert values.dtype == np.float64, f"{self.name} gives {values.dtype}, not float64"
        assert values.shape == shape, f"{self.name} gives an array of shape {values.shape}, not {shape}"
        return values

    def locality(self, groups: Groups) -> None:
        """Value i depends on group i alone, unless one random stream runs through all groups."""
        if self.streamed:
            return
        alone = np.array([self([group])[0] for group in groups], np.float64)
        self._same(self(groups), alone, "locality: with the other groups, and alone", groups)

    def threads(self, groups: Groups) -> None:
        """The number of threads changes no digit."""
        with engine.use_threads(1):
            one = self(groups)
        with engine.use_threads(3):
            three = self(groups)
        if not np.array_equal(one, three, equal_nan=True):
            self._same(three, one, "locality: on three threads, and on one", groups, exactly=True)

    def order(self, groups: Groups, random: np.random.Generator) -> None:
        """Permuting rows within a group changes nothing beyond rounding.

        Unless the group is read as one text, or what is drawn for it comes from a stream.
        """
        if self.sequential or self.streamed:
            return
        orders = [random.permutation(len(group)) for group in groups]
        shuffled = [[group[i] for i in order] for group, order in zip(groups, orders, strict=True)]
        self._same(self(shuffled), self(groups), f"order: shuffled to {shuffled!r}, and as it was", groups)

    def honesty(self, groups: Groups) -> None:
        """No infinity, nothing out of bounds, and a group without samples is NaN."""
        values = self(groups)
        defined = values[~np.isnan(values)]
        low, high = self.metric.bounds
        if low is not None and not self.honest:
            low = min(low, 0.0)
        told = f"\ngroups = {groups!r}\nvalues = {values.tolist()!r}"
        assert not np.isinf(values).any(), f"{self.name} breaks honesty: a value is infinite{told}"
        assert low is None or (defined >= low - _SLACK).all(), f"{self.name}: a value is below {low}{told}"
        assert high is None or (defined <= high + _SLACK).all(), f"{self.name}: a value is above {high}{told}"
        nothing = self([[]])[0]
        assert not self.honest or np.isnan(nothing), (
            f"{self.name} breaks honesty: a group without samples has the value {nothing!r}, not NaN"
        )

    def accumulation(self, blocks: Groups) -> None:
        """The accumulator gives the value of one big group, in any split and any merge order.

        Where a group is read as one text, what is merged comes behind. Where random draws make a value depend on what
        was drawn before, only the accumulators are compared, with one that was given everything at once.
        """
        if self.metric.corpus is None:
            return
        blocks = blocks or [[]]
        expected = self([[row for block in blocks for row in block]])
        reversed_ = (
            self([[row for block in reversed(blocks) for row in block]]) if self.sequential else expected
        )
        forwards, backwards, whole = self._corpora(blocks), self._corpora(blocks), self._corpora([[]])[0]
        for block in blocks:
            whole.add(build(self.metric.view, [block])[0])
        if self.streamed:
            together = self._corpora([[row for block in blocks for row in block]])[0]
            expected = reversed_ = np.array([together.result()])
        first, last = forwards[0], backwards[-1]
        for other in forwards[1:]:
            first.merge(other)
        for other in reversed(backwards[:-1]):
            last.merge(other)
        for corpus, how, value in (
            (whole, "added", expected),
            (first, "merged", expected),
            (last, "merged backwards", reversed_),
        ):
            what = f"its accumulator: blocks {how}, and one big group"
            self._same(np.array([corpus.result()]), value, what, blocks)

    def samples(self, groups: Groups, random: np.random.Generator) -> None:
        """The value of a sample goes with the sample, and has nothing to do with other groups."""
        if self.metric.per_sample is None:
            return
        values = self._per_sample(groups)
        alone = [self._per_sample([group]) for group in groups]
        told = "its values per sample: with the other groups, and alone"
        self._same(values, np.concatenate([np.zeros(0), *alone]), told, groups)
        for group, expected in zip(groups, alone, strict=True):
            order = random.permutation(len(group))
            told = f"its values per sample: in the order {order.tolist()}, and as it was"
            self._same(self._per_sample([[group[i] for i in order]]), expected[order], told, [group])

    def _per_sample(self, groups: Groups) -> NDArray[np.float64]:
        assert self.metric.per_sample is not None
        values = self.metric.per_sample(*build(self.metric.view, groups), **self.parameters)
        n = sum(map(len, groups))
        assert values.shape == (n,), f"{self.name} gives {values.shape} values per sample for {n} samples"
        return values

    def _corpora(self, blocks: Groups) -> list[Any]:
        corpora = []
        for block in blocks:
            assert self.metric.corpus is not None
            corpora.append(self.metric.corpus(**self.parameters))
            corpora[-1].add(build(self.metric.view, [block])[0])
        return corpora

    def _same(
        self,
        got: NDArray[np.float64],
        expected: NDArray[np.float64],
        what: str,
        groups: Groups,
        *,
        exactly: bool = False,
    ) -> None:
        near = 0.0 if exactly else 1.0
        limits = {key: near * value for key, value in self.tolerance.items()}
        wrong = np.flatnonzero(~np.isclose(got, expected, equal_nan=True, **limits))
        assert not len(wrong), (
            f"{self.name} breaks {what}, number {wrong[0]} is {got[wrong[0]]!r} and {expected[wrong[0]]!r}\n"
            f"groups = {groups!r}"
        )


def check_metric(spec: str, *, preset: Preset = "default", examples: int = 300, seed: int = 0) -> None:
    """Try the laws of a metric on random groups, small ones first.

    Parameters
    ----------
    spec : str
        ``name`` or ``name:key=value,...`` of a registered metric.
    preset : {"default", "paper"}
        For metrics that have presets.
    examples : int
        How many times.
    seed : int
        Of the random groups.

    Raises
    ------
    AssertionError
        With the law, the groups that break it, and both values.

    Notes
    -----
    *Locality*: the value of a group is the same among other groups, alone, and on any number of threads. *Order*:
    permuting the samples of a group changes nothing beyond rounding. *Honesty*: a group without samples is NaN, no
    value is infinite or out of the metric's bounds. Where there is an accumulator, it gives the value of one big group
    in any split and merge order; where there are values per sample, they go with the samples.

    Examples
    --------
    >>> check_metric("distinct:n=2")
    """
    case = Case(spec, preset)
    random = np.random.default_rng(seed)
    laws: list[Callable[[Groups], None]] = [
        case.honesty,
        case.locality,
        case.threads,
        lambda groups: case.order(groups, random),
        case.accumulation,
        lambda groups: case.samples(groups, random),
    ]
    for i in range(examples):
        groups = random_groups(case.metric.view, random, size=1 + i * 8 // examples)
        for law in laws:
            law(groups)
