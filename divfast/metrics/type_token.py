"""Type-token ratio, its moving average, and MTLD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import choice, positive_int, share
from divfast.means import MeanCorpus, group_means
from divfast.registry import Preset, metric
from divfast.samples import Ragged

# What the published package demands of a factor of MTLD.
_SHORTEST = 10


def richness(
    rows: Ragged, measure: str, window: int, threshold: float, preset: Preset
) -> NDArray[np.float64]:
    """Return one value a sample, ``float64[n]``; NaN where it is undefined."""
    paper = preset == "paper"
    values: NDArray[np.float64] = _core.type_token(
        rows.values,
        rows.offsets,
        measure=measure,
        window=window,
        threshold=threshold,
        shortest=_SHORTEST if paper else 1,
        open_end=paper,
        threads=engine.threads(),
    )
    return np.nan_to_num(values, nan=0.0) if paper else values


class TypeTokenCorpus(MeanCorpus):
    """Mean over all samples."""

    def __init__(self, *, measure: str, window: int, threshold: float, preset: Preset = "default") -> None:
        super().__init__()
        self.measure = measure
        self.window = window
        self.threshold = threshold
        self.preset: Preset = preset

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self.take(richness(rows, self.measure, self.window, self.threshold, self.preset))


@metric(
    "type_token",
    view="tokens",
    unit="types / tokens; mtld: tokens",
    higher="richer vocabulary",
    bounds=(0, None),
    corpus=TypeTokenCorpus,
    expectation="rows_mean",
    parameters={
        "measure": choice("ttr", "mattr", "mtld"),
        "window": positive_int,
        "threshold": share,
    },
    tokenizers={"default": "whitespace", "paper": "whitespace"},
)
def type_token(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    measure: str = "ttr",
    window: int = 50,
    threshold: float = 0.72,
    preset: Preset = "default",
) -> NDArray[np.float64]:
    """Lexical richness of a sample, mean over the samples of a group: TTR, MATTR or MTLD.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    measure : str
        ``ttr``, different tokens (types) over all tokens; ``mattr``, its mean over every run of `window` tokens;
        ``mtld``, the mean length of the runs over which it stays at `threshold` or above.
    window : int
        Of ``mattr``.
    threshold : float
        Of ``mtld``, between 0 and 1.
    preset : str
        ``paper`` follows the published package ``lexical-diversity``: a run of ``mtld`` ends with its tenth token at
        the earliest, the last token of a text always belongs to an unfinished run, and what is undefined counts as 0.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``: in (0, 1] for ``ttr`` and ``mattr``, above 1 for ``mtld``. NaN for a group of which no sample
        has a value.

    Notes
    -----
    These describe one text, so they are computed for each sample and then averaged; samples without a value are left
    out. *ttr* falls with the length of the text, which the other two are made not to do. *mattr* of a text of up to
    `window` tokens is its TTR. *mtld* reads on until the TTR of what was read falls below `threshold`, which makes one
    factor, and starts afresh; the rest is the part ``(1 - TTR) / (1 - threshold)`` of a factor, so that a text that
    never falls below the threshold has a value too, extrapolated from that part alone. Tokens over factors, mean of
    reading forwards and backwards. Where no token occurs twice there is no factor and no value, and a sample without
    a token has none in any measure. The package's own tokenizer drops punctuation, lower-cases and splits at blanks;
    here ``--tokenizer`` says what a token is. O(tokens) time, a constant amount of memory over a corpus. Equal to the
    reference to 1e-12.

    References
    ----------
    MATTR: Covington and McFall (2010), "Cutting the Gordian Knot: The Moving-Average Type-Token Ratio", Journal of
    Quantitative Linguistics 17(2). MTLD: McCarthy and Jarvis (2010), "MTLD, vocd-D, and HD-D: A Validation Study of
    Sophisticated Approaches to Lexical Diversity Assessment", Behavior Research Methods 42(2).

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b a b", "a b c"]], ["type_token"])
    >>> report["type_token"].mean  # (2/4 + 3/3) / 2
    0.75
    >>> divfast.score([["a a a a"]], ["type_token:measure=mtld"])["type_token:measure=mtld"].mean  # a factor is "a a"
    2.0
    """
    return group_means(richness(rows, measure, window, threshold, preset), groups)
