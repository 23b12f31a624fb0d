"""How samples are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from divfast.errors import MetricError, nearest


@dataclass(frozen=True)
class Sampling:
    """Parameters of a sampler; each engine takes those that it knows.

    Attributes
    ----------
    temperature, top_p : float
        Of the distribution of the next token.
    top_k : int
        Only so many tokens; 0 for all.
    min_p : float
        Only tokens at least so likely, relative to the likeliest.
    max_tokens : int
        Of one sample.
    stop : sequence of str
        Texts before which a sample ends.
    presence_penalty, frequency_penalty, repetition_penalty : float
        0, 0 and 1 for none.
    seed : int
        Of the run.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int = 1024
    stop: Sequence[str] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0


# What a parameter may be: its kind, whether a value will do, and that in words.
_BOUNDS: Mapping[str, tuple[type, Any, str]] = {
    "temperature": (float, lambda value: 0 <= value < float("inf"), "at least 0"),
    "top_p": (float, lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "top_k": (int, lambda value: value >= 0, "a whole number, 0 for all tokens"),
    "min_p": (float, lambda value: 0 <= value <= 1, "from 0 to 1"),
    "max_tokens": (int, lambda value: value >= 1, "a whole number of at least 1"),
    "presence_penalty": (float, lambda value: -2 <= value <= 2, "from -2 to 2"),
    "frequency_penalty": (float, lambda value: -2 <= value <= 2, "from -2 to 2"),
    "repetition_penalty": (float, lambda value: 0 < value <= 2, "above 0 and at most 2"),
    "seed": (int, lambda value: 0 <= value < 2**63, "a whole number from 0"),
}


def sampling_of(given: Mapping[str, Any], base: Sampling | None = None) -> Sampling:
    """Return the parameters that were given, the others as they are in `base`.

    Parameters
    ----------
    given : Mapping[str, Any]
        By name; None leaves a parameter as it is.
    base : Sampling, optional
        Where the others come from.

    Raises
    ------
    MetricError
        For a parameter that there is not, or a value that it cannot take.

    Examples
    --------
    >>> sampling_of({"temperature": 0.6, "stop": ["Question:"]}).stop
    ('Question:',)
    """
    known = [field.name for field in fields(Sampling)]
    taken: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise MetricError(f"unknown sampling parameter {name!r}.", remedy=nearest(name, known))
        if value is not None:
            taken[name] = _stops(value) if name == "stop" else _number(name, value)
    return replace(base or Sampling(), **taken)


def _number(name: str, value: Any) -> Any:
    kind, will_do, words = _BOUNDS[name]
    kinds = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not will_do(value):
        raise MetricError(f"must be {words}, got {value!r}.", where=name)
    return kind(value)


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, Sequence) or not all(isinstance(one, str) and one for one in stops):
        raise MetricError(f"must be texts that are not empty, got {value!r}.", where="stop")
    return tuple(stops)


def check_varied(sampling: Sampling, k: int) -> None:
    """Raise `MetricError` where `k` samples of a prompt would all be the same."""
    if k < 2:
        return
    for name, same in (("temperature", sampling.temperature == 0), ("top_k", sampling.top_k == 1)):
        if same:
            raise MetricError(
                f"{k} samples of a prompt would all be the same at {name} {getattr(sampling, name):g}.",
                remedy=f"Ask for one sample (-k 1), or for a higher {name}.",
            )


def sample_seeds(seed: int, id: str, start: int, stop: int) -> list[int]:
    """Return the seeds of samples `start` to `stop` of a prompt.

    Each is a hash of the run's seed, the id of the prompt and the number of the sample, so it does not depend on how
    many are asked for. 53 bits, which every JSON number holds.

    Examples
    --------
    >>> sample_seeds(0, "a", 0, 4)[2:] == sample_seeds(0, "a", 2, 4)
    True
    """
    return [_seed(f"{seed}\0{id}\0{at}") for at in range(start, stop)]


def _seed(name: str) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 11
