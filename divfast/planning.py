"""What to compute, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from divfast.backends import BACKENDS, why_not
from divfast.backends import remedy as remedy_for
from divfast.errors import BackendError, MetricError, nearest
from divfast.registry import PRESETS, MetricSpec, Preset, parse_spec
from divfast.scope import SCOPES, Scope, check_scope
from divfast.views import View
from divfast.views.answers import condition_column
from divfast.views.opening import KINDS, Opener, Sources, open_tokenizers

# Why these: docs/validity.md.
LEXICAL_DEFAULT = ("ead", "distinct:n=1", "distinct:n=2")
SEMANTIC_DEFAULT = ("cosine", "vendi")
JUDGED_DEFAULT = ("nli",)
SCOPE_DEFAULT: tuple[Scope, ...] = ("prompt", "pooled")
# Draws of k of a prompt's samples: on 800 prompts of 10 their luck moves a mean by 1% to 4% of half its interval, where
# draws that all prompts share moved it by 4% to 52%. And draws of n of the rows of a corpus.
SUBSETS = 32
CORPUS_DRAWS = 8
_MOST_DRAWS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """The metrics, scopes and views of one call of `divfast.score`.

    Attributes
    ----------
    views : Mapping[str, View]
        The views over tokens by tokenizer; under the empty name the tokenizer that was asked for, for all metrics.
    of_dump : Mapping[str, Callable]
        What opens each of the other views for a dump, by the name of its kind.
    is_shared : bool
        Whether all dumps share a view that costs much to run, and so are scored one after the other.
    columns, sample_columns : tuple of str
        Columns of a dump that the views need: those of known names, and those of any name with a value a sample.
    no_corpus : Mapping[str, str]
        Kinds of views whose rows of different prompts cannot be put together, and why.
    at_k, at_n : sequence of int
        Sizes to which prompts and the corpus are rarefied.
    subsets, corpus_draws : int
        How many draws of each where there is no formula.
    per_sample : bool
        Whether the values of every sample are wanted too.
    where : str, optional
        Column of verdicts: only samples for which it is true are scored.
    """

    specs: Sequence[MetricSpec]
    scopes: Sequence[Scope]
    preset: Preset
    backend: str
    seed: int
    views: Mapping[str, View]
    of_dump: Mapping[str, Opener]
    is_shared: bool
    columns: tuple[str, ...]
    sample_columns: tuple[str, ...]
    no_corpus: Mapping[str, str]
    at_k: Sequence[int]
    at_n: Sequence[int]
    subsets: int
    corpus_draws: int
    per_sample: bool = False
    where: str | None = None

    def parameters(self, spec: MetricSpec) -> dict[str, Any]:
        """Return the keyword arguments of a metric."""
        extra = {"preset": self.preset} if spec.metric.takes_preset else {}
        return {**spec.parameters, **extra}

    def covers(self, spec: MetricSpec, scope: Scope) -> bool:
        """Return whether a metric is scored in a scope; where no scope was named, only where it is defined."""
        return scope == "prompt" or (
            spec.metric.corpus is not None and spec.metric.view not in self.no_corpus
        )

    def has_samples(self, spec: MetricSpec, scope: Scope) -> bool:
        """Return whether a metric has values per sample in a scope."""
        if scope == "prompt":
            return spec.metric.per_sample is not None
        return scope == "pooled" and hasattr(spec.metric.corpus, "samples")

    def view(self, spec: MetricSpec) -> str:
        """Return the key of the view that a metric eats: its kind, or the tokenizer."""
        if spec.metric.view != "tokens":
            return spec.metric.view
        return "" if "" in self.views else spec.metric.tokenizers[self.preset]


def make_plan(
    metrics: Sequence[str] | None,
    scopes: Sequence[str],
    preset: str,
    backend: str,
    seed: int,
    sources: Sources,
    vocab_size: int | None,
    at_k: Sequence[int],
    at_n: Sequence[int],
    draws: int | None,
    per_sample: bool = False,
    where: str | None = None,
) -> Plan:
    """Return the plan of a call of `divfast.score`; the arguments are its own.

    Raises
    ------
    DivfastError
        Where an argument is unknown, or does not go with another.
    """
    if preset not in PRESETS:
        raise MetricError(f"unknown preset {preset!r}.", remedy=nearest(preset, PRESETS))
    if backend not in ("auto", *BACKENDS):
        raise BackendError(f"unknown backend {backend!r}.", remedy=nearest(backend, ["auto", *BACKENDS]))
    sources.check()
    given = metrics or (
        *LEXICAL_DEFAULT,
        *(SEMANTIC_DEFAULT if sources.has_vectors else ()),
        *(JUDGED_DEFAULT if sources.judge is not None else ()),
    )
    views = open_tokenizers(sources, ())
    if vocab_size is not None and vocab_size < 1:
        raise MetricError(f"vocab_size must be at least 1, got {vocab_size}.")
    if vocab_size is None and views:
        vocab_size = views[""].vocab_size
    defaults = {} if vocab_size is None else {"vocab_size": vocab_size}
    specs = list({spec: parse_spec(spec, defaults=defaults, preset=preset) for spec in given}.values())
    if backend != "auto":
        for spec in specs:
            if reason := why_not(spec.metric, backend):
                raise BackendError(reason, remedy=remedy_for(spec.metric, backend))
    kinds = {spec.metric.view: KINDS[spec.metric.view] for spec in specs if spec.metric.view != "tokens"}
    for spec in specs:
        lacking = kinds[spec.metric.view].lacking(sources) if spec.metric.view in kinds else None
        if lacking is not None:
            raise MetricError(f"{spec.metric.name} needs {spec.metric.view}.", remedy=lacking)
    wanted: list[Scope] = [check_scope(name) for name in scopes or SCOPE_DEFAULT]
    for spec in specs:
        if spec.metric.corpus is None and scopes and any(scope != "prompt" for scope in wanted):
            raise MetricError(
                f"{spec.metric.name} is not defined over a corpus.",
                remedy="Ask for it with --scope prompt alone.",
            )
    reasons = {name: told for name, kind in kinds.items() if (told := kind.no_corpus(sources))}
    for spec in specs:
        if spec.metric.view in reasons and scopes and any(scope != "prompt" for scope in wanted):
            because, remedy = reasons[spec.metric.view]
            raise MetricError(f"{spec.metric.name} is not defined over a corpus: {because}.", remedy=remedy)
    sizes_k, sizes_n = _sizes("at_k", at_k), _sizes("at_n", at_n)
    if sizes_k and "prompt" not in wanted:
        raise MetricError("at_k is for the scope prompt.", remedy="Add --scope prompt, or leave --at-k out.")
    if sizes_n and wanted == ["prompt"]:
        raise MetricError(
            "at_n is for the scopes first and pooled.", remedy="Add --scope pooled, or leave --at-n out."
        )
    if draws is not None and not 1 <= draws <= _MOST_DRAWS:
        raise MetricError(f"draws must be from 1 to {_MOST_DRAWS:,}, got {draws}.")
    checked: Preset = "paper" if preset == "paper" else "default"
    if sources.tokenizer is None:
        names = [spec.metric.tokenizers[checked] for spec in specs if spec.metric.view == "tokens"]
        views = open_tokenizers(sources, names)
    of_samples = [name for kind in kinds.values() for name in kind.sample_columns(sources)]
    of_samples += sources.code_columns
    if where is not None:
        of_samples.append(condition_column(where))
    plan = Plan(
        specs,
        [scope for scope in SCOPES if scope in wanted],
        checked,
        backend,
        seed,
        views,
        {name: kind.open(sources) for name, kind in kinds.items()},
        any(kind.is_shared(sources) for kind in kinds.values()),
        tuple(dict.fromkeys(column for kind in kinds.values() for column in kind.columns(sources))),
        tuple(dict.fromkeys(of_samples)),
        {name: why for name, (why, _) in reasons.items()},
        sizes_k,
        sizes_n,
        draws or SUBSETS,
        draws or CORPUS_DRAWS,
        per_sample,
        where,
    )
    if per_sample:
        _check_per_sample(plan)
    return plan


def _check_per_sample(plan: Plan) -> None:
    if plan.backend == "reference":
        raise BackendError("the reference has no values per sample.", remedy="Use --backend auto.")
    if not any(plan.has_samples(spec, scope) for spec in plan.specs for scope in plan.scopes):
        named = " or ".join(spec.given for spec in plan.specs)
        raise MetricError(
            f"there are no values per sample of {named} in the scope {' or '.join(plan.scopes)}.",
            remedy="Leave out --per-sample, or ask for a metric and a scope that divfast metrics lists with them.",
        )


def _sizes(name: str, given: Sequence[int]) -> list[int]:
    """Return the sizes given, each once."""
    for size in given:
        if size < 1:
            raise MetricError(f"{name} must be whole numbers of at least 1, got {size}.")
    return list(dict.fromkeys(given))
