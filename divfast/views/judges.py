"""Judges: any sequence classifier that tells entailment, neutral and contradiction, and what its verdicts depend on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from divfast.errors import ModelError, nearest
from divfast.views import models
from divfast.views.batching import CPU_TOKENS, GPU_TOKENS, Index, Numbers, batches, pad, run
from divfast.views.first_token import shorten
from divfast.views.pair_tokens import Form, PairTokens, form_of

LABELS = ("entailment", "neutral", "contradiction")
ENGINES = ("transformers", "vllm")
REMEDY = (
    "Name a classifier of entailment, neutral and contradiction with --judge, such as FacebookAI/roberta-large-mnli, "
    "or a folder that holds one."
)
_DEFAULT_TOKENS = 512
# The width of the encoders that CPU_TOKENS is made for, and the most tokens for narrower ones.
_WIDTH = 384
_MOST_CPU_TOKENS = 8192
# A batch of pairs of one length needs neither padding nor a mask, which is worth a batch this much smaller.
_EVEN = 0.25
# Two pairs of other lengths.
_PROBES = ("It rains.", "The street is wet, and has been so for hours.", "No")


class PairClassifier(Protocol):
    """What the engine of judged pairs asks of a loaded judge."""

    @property
    def recipe(self) -> str:
        """Everything that changes a verdict, as it stands in the signature."""

    @property
    def device(self) -> str:
        """Where it runs."""

    def classify(
        self, texts: Sequence[str], pairs: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield which pairs were judged and ``float32[b, 3]``, in the order of `LABELS`, batch by batch."""


@dataclass(frozen=True)
class Judge:
    """A loaded classifier of the transformers library.

    Attributes
    ----------
    model, tokenizer
        In float32, or in `dtype` on a device where that is the model's own arithmetic.
    name, revision : str
        Words of the signature; the revision is the start of the SHA-256 of the weights.
    max_tokens : int
        Longer pairs are cut, see `PairTokens`.
    form : Form
        How the tokenizer writes a pair.
    columns : tuple of int
        Where the model has the `LABELS`.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str
    max_tokens: int
    form: Form
    columns: tuple[int, ...]
    dtype: str
    device: str

    @property
    def recipe(self) -> str:
        """``roberta-large-mnli@1a2b3c4d/512/f32``: name, weights, most tokens of a pair, arithmetic."""
        return f"{self.name}@{self.revision}/{self.max_tokens}/{models.DTYPES[self.dtype]}"

    def classify(self, texts: Sequence[str], pairs: NDArray[np.int64]) -> Iterator[tuple[Index, Numbers]]:
        """Yield which pairs were judged and their probabilities, batch by batch, the longest pairs first.

        A probability depends on the other pairs within float rounding only, through the width of its batch.
        """
        tokens = PairTokens(self.tokenizer, self.form, texts, pairs, self.max_tokens)
        parts = list(batches(tokens.lengths, self._budget(), even=_EVEN))
        yield from run(lambda index: self._forward(tokens, index), parts, self.device)

    def _budget(self) -> int:
        if self.device != "cpu":
            return GPU_TOKENS
        width = getattr(self.model.config, "hidden_size", None) or _WIDTH
        return max(CPU_TOKENS, min(_MOST_CPU_TOKENS, CPU_TOKENS * _WIDTH // width))

    def chances(self, texts: Sequence[str], pairs: NDArray[np.int64]) -> Numbers:
        """Return the probabilities of a few pairs, as one batch."""
        tokens = PairTokens(self.tokenizer, self.form, texts, pairs, self.max_tokens)
        return self._forward(tokens, np.arange(len(pairs)))

    def _forward(self, tokens: PairTokens, index: Index) -> Numbers:
        import torch

        padded = pad(self.tokenizer, tokens.rows(index))
        if padded["attention_mask"].all():
            # Without a mask attention takes a faster way.
            del padded["attention_mask"]
        place = torch.device(self.device)
        with models.arithmetic(self.device, self.dtype):
            features = {name: torch.from_numpy(array).to(place) for name, array in padded.items()}
            logits = self.model(**features).logits.float()
            chances: Numbers = torch.softmax(logits, dim=-1)[:, list(self.columns)].cpu().numpy()
            return chances


def load_judge(name: str, *, dtype: str = "float32", device: str | None = None) -> Judge:
    """Load a judge onto a device.

    Parameters
    ----------
    name : str
        A folder, or a name on the Hugging Face Hub.
    dtype : str
        ``float32``, ``bfloat16`` or ``float16``.
    device : str, optional
        As torch names it; without it, CUDA if there is one, else the CPU.

    Raises
    ------
    ModelError
        Where the packages, the model or its weights cannot be had, it has other labels, or its tokenizer takes no
        pairs; nothing else is loaded in its place.
    BackendError
        Where the named device is not here.
    """
    if dtype not in models.DTYPES:
        raise ModelError(f"a judge cannot run in {dtype!r}.", remedy=nearest(dtype, models.DTYPES))
    folder = models.model_folder(name, "a judge", REMEDY)
    torch, transformers = _libraries(name)
    place = models.find_device(torch, device)
    with models.quiet():
        away = None if folder else models.unreachable([name])
        asked: dict[str, Any] = {"local_files_only": away is not None}
        try:
            config = transformers.AutoConfig.from_pretrained(str(folder or name), **asked)
            columns = label_columns(config.id2label or {}, where=str(folder or name))
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder or name), **asked)
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                str(folder or name), **asked
            )
        except ModelError:
            raise
        except Exception as error:
            raise models.unavailable("judge", name, folder, away or error, REMEDY) from error
    models.into_dtype(torch, model, dtype, place)
    model.to(place)
    commit = getattr(model.config, "_commit_hash", None)
    judge = Judge(
        model=model,
        tokenizer=tokenizer,
        name=models.word(name, folder),
        revision=models.revision(folder or models.snapshot([name], commit), commit, "judge", REMEDY),
        max_tokens=max_tokens(tokenizer, model.config, _first_position(model)),
        form=form_of(tokenizer, str(folder or name), REMEDY),
        columns=columns,
        dtype=dtype,
        device=place,
    )
    shorten(model, dtype, lambda: judge.chances(_PROBES, np.array([[0, 1], [2, 0]])))
    return judge


def label_columns(labels: Mapping[Any, str], *, where: str) -> tuple[int, ...]:
    """Return the columns of entailment, neutral and contradiction among the labels of a classifier.

    Raises
    ------
    ModelError
        Where its labels are others; they are named.

    Examples
    --------
    >>> label_columns({0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}, where="roberta-large-mnli")
    (2, 1, 0)
    """
    found = {str(label).strip().lower(): int(column) for column, label in labels.items()}
    if sorted(found) != sorted(LABELS):
        named = ", ".join(str(label) for label in labels.values()) or "none"
        raise ModelError(
            f"the labels of this classifier are {named}, not entailment, neutral and contradiction.",
            where=where,
            remedy=REMEDY,
        )
    return tuple(found[label] for label in LABELS)


def max_tokens(tokenizer: Any, config: Any, first_position: int = 0) -> int:
    """Return the most tokens of a pair that a model takes."""
    positions = getattr(config, "max_position_embeddings", None)
    limits = [
        tokenizer.model_max_length,
        positions - first_position if positions and positions > 0 else None,
    ]
    # Tokenizers without a limit of their own report 10^30, and relative positions none.
    known = [int(limit) for limit in limits if limit is not None and 0 < limit < 1 << 24]
    return min(known, default=_DEFAULT_TOKENS)


def _first_position(model: Any) -> int:
    """Return how many positions the model keeps for padding: those of RoBERTa begin behind it."""
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            return int(part.padding_idx) + 1
    return 0


def _libraries(name: str) -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings(action="ignore"):
            import torch
            import transformers
    except ImportError as error:
        raise ModelError(
            f"judge {name!r} needs torch and transformers ({error}).", remedy="pip install 'divfast[embed]'."
        ) from error
    return torch, transformers
