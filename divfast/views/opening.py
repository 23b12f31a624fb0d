"""Which view a metric eats, and where it comes from: checked before anything is read, opened once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from divfast.dumps import Progress, stem
from divfast.errors import MetricError, nearest
from divfast.views import View
from divfast.views.answers import AnswersView
from divfast.views.code import Code
from divfast.views.partition import PARTITION_SCOPES, Partition, Rewards
from divfast.views.text import Text
from divfast.views.tokens import CODE, open_tokenizer

if TYPE_CHECKING:
    from divfast.views.vectors import EncoderView, VectorView

EMBED = ("text", "code")
Opener = Callable[[Path | None], View]


@dataclass(frozen=True)
class Sources:
    """Where the views of one call come from; what each is says `divfast.score`."""

    tokenizer: str | None = None
    encoder: str | None = None
    dtype: str = "float32"
    embeddings: Any = None
    cache: bool = True
    partition: str = "partition"
    partition_scope: str = "prompt"
    reward: str = "scores"
    correct_field: str = "correct"
    answers_field: str = "extracted"
    progress: Progress | None = None
    language: str = "python"
    parser: str = "auto"
    code_field: str | None = None
    continuation: str = "auto"
    stop: tuple[str, ...] = ()
    embed: str = "text"
    judge: str | None = None
    judge_dtype: str = "float32"
    judge_engine: str = "transformers"

    @property
    def has_vectors(self) -> bool:
        """Whether there is something to make vectors from."""
        return self.encoder is not None or self.embeddings is not None

    @property
    def code(self) -> Code:
        """How the programs in samples are found."""
        return Code(self.language, self.code_field, self.continuation, self.stop)

    @property
    def code_columns(self) -> Sequence[str]:
        """Columns of a dump that hold the programs for tokens and vectors."""
        reads_code = self.embed == "code" or self.tokenizer in CODE
        return self.code.columns if reads_code else ()

    @cached_property
    def encoder_view(self) -> EncoderView:
        """The encoder, loaded once for all views that it makes."""
        from divfast.views import vectors

        assert self.encoder is not None
        return vectors.open_encoder(self.encoder, dtype=self.dtype, cache=self.cache, progress=self.progress)

    def check(self) -> None:
        """Raise `MetricError` where two sources exclude each other."""
        if self.encoder is not None and self.embeddings is not None:
            raise MetricError(
                "an encoder and embeddings were both given.",
                remedy="Give one of --encoder and --embeddings.",
            )
        if self.embed not in EMBED:
            raise MetricError(f"cannot embed {self.embed!r}.", remedy=nearest(self.embed, EMBED))
        if self.embed == "code" and self.encoder is None:
            raise MetricError(
                "there is no encoder that could embed code.",
                remedy="Name one with --encoder, such as microsoft/unixcoder-base, or leave out --embed code.",
            )
        self.code.check()
        if self.partition_scope not in PARTITION_SCOPES:
            raise MetricError(
                f"a partition cannot be of {self.partition_scope!r}.",
                remedy=nearest(self.partition_scope, PARTITION_SCOPES),
            )


@dataclass(frozen=True)
class Kind:
    """One kind of view.

    Attributes
    ----------
    open : callable
        Returns what opens the view for one dump; that may be the same view for all.
    lacking : callable
        Returns what to do where there is no source for this view; None where there is one.
    is_shared : callable
        Whether all dumps share one view that costs much to run, and so are scored one after the other.
    columns : callable
        Which columns of a dump the view needs.
    sample_columns : callable
        Which columns of any name it needs that have a value for every sample.
    no_corpus : callable
        Returns why rows of different prompts cannot be put together, one sentence with the remedy; None where they can.
    """

    open: Callable[[Sources], Opener]
    lacking: Callable[[Sources], str | None] = lambda sources: None
    is_shared: Callable[[Sources], bool] = lambda sources: False
    columns: Callable[[Sources], Sequence[str]] = lambda sources: ()
    sample_columns: Callable[[Sources], Sequence[str]] = lambda sources: ()
    no_corpus: Callable[[Sources], tuple[str, str] | None] = lambda sources: None


def _open_text(sources: Sources) -> Opener:
    text = Text()
    return lambda path: text


def _open_vectors(sources: Sources) -> Opener:
    from divfast.views import vectors

    if sources.encoder is not None:
        shared: VectorView = sources.encoder_view
        if sources.embed == "code":
            from divfast.views.code_vectors import CodeVectors

            shared = CodeVectors(shared, sources.code)
        return lambda path: shared

    def brought(path: Path | None) -> View:
        where = sources.embeddings
        if isinstance(where, str) and path is not None:
            where = where.replace("{stem}", stem(path))
        return vectors.open_embeddings(where)

    return brought


def _lacking_vectors(sources: Sources) -> str | None:
    if sources.has_vectors:
        return None
    return "Name an encoder with --encoder (minilm needs no network), or bring vectors with --embeddings."


def _open_programs(sources: Sources) -> Opener:
    from divfast.views.programs import ProgramView

    ProgramView(sources.code, sources.parser)
    # One for each dump: it counts what it finds.
    return lambda path: ProgramView(sources.code, sources.parser)


def _open_judgments(sources: Sources) -> Opener:
    from divfast.views import judgments

    assert sources.judge is not None
    judge = judgments.open_judge(
        sources.judge,
        dtype=sources.judge_dtype,
        engine=sources.judge_engine,
        cache=sources.cache,
        progress=sources.progress,
    )
    # One of each dump's own: the random stream of the paper preset begins anew with every dump.
    return lambda path: judgments.JudgmentView(judge)


def _lacking_judgments(sources: Sources) -> str | None:
    if sources.judge is not None:
        return None
    return (
        "Name a classifier of entailment, neutral and contradiction with --judge, such as "
        "FacebookAI/roberta-large-mnli, or a folder that holds one."
    )


def _open_prompted(sources: Sources) -> Opener:
    from divfast.views.prompted import PromptedView

    shared = PromptedView(sources.encoder_view)
    return lambda path: shared


def _lacking_prompted(sources: Sources) -> str | None:
    if sources.encoder is not None:
        return None
    return (
        "Name an encoder with --encoder: it makes the vectors of the prompts too (minilm needs no network)."
    )


def _open_partition(sources: Sources) -> Opener:
    return lambda path: Partition(sources.partition, sources.partition_scope, path)


def _open_rewards(sources: Sources) -> Opener:
    return lambda path: Rewards(sources.partition, sources.partition_scope, sources.reward, path)


def _no_corpus(sources: Sources) -> tuple[str, str] | None:
    if sources.partition_scope == "pooled":
        return None
    return (
        f"the labels of {sources.partition!r} tell apart the samples of one prompt, not those of a corpus",
        "Ask with --scope prompt alone, or say with --partition-scope pooled that a label is one class everywhere.",
    )


def _answers(sources: Sources) -> AnswersView:
    return AnswersView(sources.correct_field, sources.answers_field, sources.reward)


def _open_answers(sources: Sources) -> Opener:
    # One for each dump: it takes the print of its verdicts.
    return lambda path: _answers(sources)


# By the name that a metric gives in `view`; those over tokens are opened by tokenizer.
KINDS: Mapping[str, Kind] = {
    "text": Kind(_open_text),
    "programs": Kind(_open_programs, sample_columns=lambda sources: sources.code.columns),
    "vectors": Kind(_open_vectors, _lacking_vectors, lambda sources: sources.encoder is not None),
    "judgments": Kind(
        _open_judgments, _lacking_judgments, lambda sources: True, lambda sources: ("logprobs",)
    ),
    "prompted vectors": Kind(_open_prompted, _lacking_prompted, lambda sources: True),
    "partition": Kind(
        _open_partition, sample_columns=lambda sources: (sources.partition,), no_corpus=_no_corpus
    ),
    "rewards": Kind(
        _open_rewards,
        sample_columns=lambda sources: (sources.partition, sources.reward),
        no_corpus=_no_corpus,
    ),
    "answers": Kind(_open_answers, sample_columns=lambda sources: _answers(sources).columns),
}


def open_tokenizers(sources: Sources, defaults: Sequence[str]) -> dict[str, Any]:
    """Return tokenizers by name; where one was asked for, that one alone, under the empty name."""
    if sources.tokenizer is not None:
        return {"": open_tokenizer(sources.tokenizer, sources.code)}
    return {name: open_tokenizer(name) for name in sorted(set(defaults))}
