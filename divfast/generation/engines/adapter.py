"""What an adapter (LoRA) says of itself, looked at before a model is loaded for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from divfast.errors import ModelError
from divfast.generation.rendering import not_loaded

_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")


def adapter_rank(adapter: str) -> int:
    """Return the largest rank of an adapter in the format of peft.

    Parameters
    ----------
    adapter : str
        Folder, or name on the hub.

    Raises
    ------
    ModelError
        Where it is not there, or is no adapter.
    """
    said = _config(adapter)
    ranks = (said.get("r"), *_values(said.get("rank_pattern")))
    known = [rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool) and rank > 0]
    if len(known) < len(ranks):
        raise ModelError(
            f"its {_CONFIG} names no rank (r).",
            where=adapter,
            remedy="Name an adapter that peft has saved with --lora.",
        )
    return max(known)


def allowed_rank(rank: int, allowed: Iterable[int], adapter: str) -> int:
    """Return the least of the ranks that an engine may be built for and that suffices.

    Examples
    --------
    >>> allowed_rank(24, (8, 16, 32, 64), "adapter")
    32
    """
    enough = [one for one in allowed if one >= rank]
    if not enough:
        raise ModelError(
            f"has rank {rank}, more than vLLM takes ({max(allowed)}).",
            where=adapter,
            remedy="Merge it into the model (merge_and_unload of peft), or say --engine transformers.",
        )
    return min(enough)


def _values(patterns: Any) -> tuple[Any, ...]:
    return tuple(patterns.values()) if isinstance(patterns, Mapping) else ()


def _config(adapter: str) -> Mapping[str, Any]:
    folder = Path(adapter)
    if folder.is_dir():
        missing = _CONFIG if not (folder / _CONFIG).is_file() else None
        if missing is None and not any((folder / name).is_file() for name in _WEIGHTS):
            missing = _WEIGHTS[0]
        if missing is not None:
            raise ModelError(
                f"is no adapter: it holds no {missing}.",
                where=adapter,
                remedy="Name the folder that peft has saved with --lora.",
            )
        path = folder / _CONFIG
    elif folder.is_absolute() or adapter.startswith(".") or adapter.count("/") != 1:
        raise ModelError(
            "is no folder, and no name on the hub.", where=adapter, remedy="Check the path given with --lora."
        )
    else:
        path = _from_hub(adapter)
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise not_loaded(adapter, f"its {_CONFIG}", error) from None
    return said if isinstance(said, Mapping) else {}


def _from_hub(adapter: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(adapter, _CONFIG))
    except Exception as error:  # noqa: BLE001 - whatever a hub or its library raises
        raise not_loaded(adapter, "the adapter", error) from None
