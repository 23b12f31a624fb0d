"""A judge that vLLM runs, as a pooling model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.errors import BackendError, ModelError, nearest
from divfast.views import models
from divfast.views.judges import REMEDY, label_columns, max_tokens
from divfast.views.pair_tokens import Form, PairTokens, form_of

_PAIRS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class VllmJudge:
    """A classifier that vLLM has loaded; see `divfast.views.judges.Judge`."""

    model: Any
    prompt_of: Any
    tokenizer: Any
    name: str
    revision: str
    max_tokens: int
    form: Form
    columns: tuple[int, ...]
    dtype: str
    device: str = "cuda"

    @property
    def recipe(self) -> str:
        """As that of a `Judge`, and that it was vLLM, whose kernels round otherwise."""
        return f"{self.name}@{self.revision}/{self.max_tokens}/{models.DTYPES[self.dtype]}/vllm"

    def classify(
        self, texts: Sequence[str], pairs: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield which pairs were judged and their probabilities; vLLM makes the batches itself."""
        tokens = PairTokens(self.tokenizer, self.form, texts, pairs, self.max_tokens)
        order = np.argsort(-tokens.lengths, kind="stable")
        for start in range(0, len(order), _PAIRS_AT_ONCE):
            index = order[start : start + _PAIRS_AT_ONCE]
            asked = [self.prompt_of(prompt_token_ids=ids.tolist()) for ids in tokens.rows(index)["input_ids"]]
            found = np.array(
                [answer.outputs.probs for answer in self.model.classify(asked, use_tqdm=False)], np.float32
            )
            yield index, np.ascontiguousarray(found[:, list(self.columns)])


def load_vllm_judge(name: str, *, dtype: str = "bfloat16") -> VllmJudge:
    """Load a judge into vLLM.

    Raises
    ------
    ModelError
        Where vLLM or the model cannot be had, its labels are others, or its tokenizer takes no pairs or types of
        tokens, which vLLM does not.
    BackendError
        Where there is no GPU.
    """
    if dtype not in models.DTYPES:
        raise ModelError(f"a judge cannot run in {dtype!r}.", remedy=nearest(dtype, models.DTYPES))
    folder = models.model_folder(name, "a judge", REMEDY)
    try:
        import torch
        import transformers
        import vllm
    except ImportError as error:
        raise ModelError(
            f"the engine vllm is not installed ({error}).",
            remedy="pip install 'divfast[generate]', or use --judge-engine transformers.",
        ) from error
    if not torch.cuda.is_available():
        raise BackendError(
            "the engine vllm needs a GPU, and torch finds none.", remedy="Use --judge-engine transformers."
        )
    where = str(folder or name)
    away = None if folder else models.unreachable([name])
    with models.quiet():
        try:
            config = transformers.AutoConfig.from_pretrained(where, local_files_only=away is not None)
            columns = label_columns(config.id2label or {}, where=where)
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, local_files_only=away is not None)
            form = form_of(tokenizer, where, REMEDY)
            if form.types is not None:
                raise ModelError(
                    "this classifier takes types of tokens, which the engine vllm does not.",
                    where=where,
                    remedy="Use --judge-engine transformers.",
                )
            model = _pooling(vllm, where, dtype)
        except ModelError:
            raise
        except Exception as error:
            raise models.unavailable("judge", name, folder, away or error, REMEDY) from error
    commit = getattr(config, "_commit_hash", None)
    padding = getattr(config, "pad_token_id", None)
    # Positions of RoBERTa and its kin begin behind the one of padding.
    behind = padding + 1 if padding is not None and "roberta" in str(config.model_type) else 0
    return VllmJudge(
        model=model,
        prompt_of=vllm.TokensPrompt,
        tokenizer=tokenizer,
        name=models.word(name, folder),
        revision=models.revision(folder or models.snapshot([name], commit), commit, "judge", REMEDY),
        max_tokens=max_tokens(tokenizer, config, behind),
        form=form,
        columns=columns,
        dtype=dtype,
    )


def _pooling(vllm: Any, where: str, dtype: str) -> Any:
    """Return the model as vLLM loads classifiers, in the words of this version of it."""
    try:
        return vllm.LLM(model=where, runner="pooling", dtype=dtype)
    except TypeError:
        return vllm.LLM(model=where, task="classify", dtype=dtype)
