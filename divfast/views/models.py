"""What encoders and judges share: where a model lies, what its weights are, where and in what arithmetic it runs."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from divfast.errors import BackendError, DivfastError, ModelError

DTYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_LFS_SHA256 = re.compile(r"[0-9a-f]{64}")


def model_folder(name: str, kind: str, remedy: str) -> Path | None:
    """Return the folder that a name means, or None where it is a name on the Hub.

    Raises
    ------
    ModelError
        Where it can only be a path and is no folder, or the folder holds no weights; `kind` is what is looked for,
        ``an encoder``.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return with_weights(path, remedy)
    if path.exists():
        raise ModelError(f"{kind} is a folder, and this is a file.", where=name, remedy=remedy)
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError("no such folder.", where=name, remedy=remedy)
    return None


def with_weights(folder: Path, remedy: str) -> Path:
    """Return a folder that holds weights, or raise `ModelError`."""
    if not weight_files(folder):
        raise ModelError(
            "no weights in this folder (no .safetensors file, no pytorch_model.bin).",
            where=str(folder),
            remedy=remedy,
        )
    return folder


def find_device(torch: Any, device: str | None) -> str:
    """Return the device that is named, or the best one there is; `BackendError` where it is not here."""
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


def into_dtype(torch: Any, model: Any, dtype: str, device: str) -> None:
    """Put a model into its arithmetic, in evaluation mode.

    Weights that come in bfloat16 are widened without loss. On the CPU, autocast keeps norms and softmax in float32; it
    would narrow the matrices anew for every batch, so they are narrowed here.
    """
    model.to(getattr(torch, dtype) if device.startswith("cuda") else torch.float32)
    if not device.startswith("cuda"):
        for part in model.modules():
            if isinstance(part, torch.nn.Linear):
                part.to(getattr(torch, dtype))
    model.eval()


@contextmanager
def arithmetic(device: str, dtype: str) -> Iterator[None]:
    """Within the block models run in this dtype and keep nothing for gradients."""
    import torch

    kind = torch.device(device).type
    cast = kind != "cuda" and dtype != "float32"
    with torch.inference_mode(), torch.autocast(kind, getattr(torch, dtype), enabled=cast):
        yield


def unreachable(repositories: Sequence[str]) -> Exception | None:
    """Return why the Hub shows none of these repositories, or None if it shows one.

    Asked once before loading, which would ask for a dozen files, each again and again, for minutes.
    """
    from huggingface_hub import HfApi

    reason = None
    for repository in repositories:
        try:
            HfApi().model_info(repository, timeout=10)
        except Exception as error:  # noqa: BLE001 - the Hub's client has had three HTTP libraries so far
            reason = reason or error
        else:
            return None
    return reason


def unavailable(kind: str, name: str, folder: Path | None, error: Exception, remedy: str) -> DivfastError:
    """Return the error that says why a model, ``encoder`` or ``judge``, cannot be loaded."""
    reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    if folder is not None:
        article = "an" if kind[0] in "aeiou" else "a"
        what = f"this folder cannot be loaded as {article} {kind}: {reason}."
        return ModelError(what, where=str(folder), remedy=remedy)
    what = f"{kind} {name!r} is not in the local cache and cannot be had from the Hugging Face Hub: {reason}."
    return ModelError(what, remedy=remedy)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights of a model."""
    # Modules after the transformer keep their weights in folders of their own: 1_Pooling, 2_Dense,
    # 0_StaticEmbedding.
    modules = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[:1].isdigit())
    found: list[Path] = []
    for place in (folder, *modules):
        files = sorted(place.glob("*.safetensors")) or sorted(place.glob("pytorch_model*.bin"))
        found.extend(path for path in files if path.is_file())
    return found


def snapshot(repositories: Sequence[str], commit: str | None) -> Path | None:
    """Return the folder of the Hub's cache that a model was read from."""
    from huggingface_hub import try_to_load_from_cache

    for repository in repositories:
        for file in ("modules.json", "config.json"):
            path = try_to_load_from_cache(repository, file, revision=commit)
            if isinstance(path, str):
                return Path(path).parent
    return None


def revision(source: Path | None, commit: str | None, kind: str, remedy: str) -> str:
    """Return the start of the SHA-256 of the weights, or of the commit where they are not to be found."""
    digests = [_sha256(path) for path in weight_files(source)] if source else []
    if len(digests) == 1:
        return digests[0][:8]
    if digests:
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:8]
    if commit:
        return commit[:8]
    raise ModelError(
        f"the weights of this {kind} cannot be found again, so its revision is not known.", remedy=remedy
    )


def _sha256(path: Path) -> str:
    # The Hub's cache links every large file to a blob that is named by its SHA-256.
    if path.is_symlink() and _LFS_SHA256.fullmatch(blob := path.readlink().name):
        return blob
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def word(name: str, folder: Path | None) -> str:
    """Return the name of a model as it stands in a signature."""
    last = folder.resolve().name if folder else name.split("/")[-1]
    return re.sub(r"[^\w.+-]", "_", last)


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
