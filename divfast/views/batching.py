"""Batches by a budget of tokens, sorted by length, and models run over them: what encoders and judges share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.errors import ModelError
from divfast.views.encoders import Encoder
from divfast.views.models import quiet

# Tokens of one batch, padding included. A core is fastest while a batch stays in its cache.
CPU_TOKENS = 1024
GPU_TOKENS = 65536

Index = NDArray[np.int64]
Tokens = dict[str, list[list[int]]]
Numbers = NDArray[np.float32]
Forward = Callable[[Index], Numbers]


def encode(encoder: Encoder, texts: list[str]) -> Iterator[tuple[Index, Numbers]]:
    """Yield unit rows, and which texts they are of, batch by batch; NaN where a row has no direction.

    The vector of a text depends on the other texts within float rounding only, through the width of its
    batch.
    """
    if not texts:
        return
    if not encoder.batchable:
        with encoder.arithmetic():
            rows = encoder.model.encode(texts, show_progress_bar=False, convert_to_numpy=True)
        with np.errstate(invalid="ignore"):
            rows = np.asarray(rows, np.float32)
            yield np.arange(len(texts)), rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return
    tokens = _tokenize(encoder, texts)
    lengths = np.array([len(ids) for ids in tokens["input_ids"]])
    parts = list(batches(lengths, CPU_TOKENS if encoder.device == "cpu" else GPU_TOKENS))
    yield from run(lambda index: _forward(encoder, tokens, index), parts, encoder.device)


def run(forward: Forward, parts: Sequence[Index], device: str) -> Iterator[tuple[Index, Numbers]]:
    """Yield what a model makes of every batch, in order, and the batch; on the CPU several at a time."""
    whole = _in_halves(forward, device)
    if device != "cpu":
        for index in parts:
            yield index, whole(index)
        return

    import torch

    before = torch.get_num_threads()
    # One core for each batch: threads that share a batch wait for each other at every layer, and much longer
    # on a busy machine.
    each = max(1, engine.threads() // max(1, len(parts)))

    def alone(index: Index) -> Numbers:
        torch.set_num_threads(each)
        return whole(index)

    try:
        yield from zip(parts, engine.map_ordered(alone, parts), strict=True)
    finally:
        torch.set_num_threads(before)


def batches(lengths: NDArray[np.int64], budget: int, *, even: float = 1.0) -> Iterator[Index]:
    """Yield the numbers of texts of these lengths in batches of at most `budget` tokens, padding included.

    A batch ends where the length changes, and so needs no padding, if it then has this share of the budget.
    """
    # Longest first, so that memory runs out at the start or not at all.
    order = np.argsort(-lengths, kind="stable")
    falling = -lengths[order]
    start = 0
    while start < len(order):
        width = max(1, int(-falling[start]))
        stop = min(len(order), start + max(1, budget // width))
        alike = int(np.searchsorted(falling, falling[start], side="right"))
        if (min(alike, stop) - start) * width >= even * budget:
            stop = min(alike, stop)
        yield order[start:stop]
        start = stop


def _tokenize(encoder: Encoder, texts: list[str]) -> Tokens:
    with quiet():
        tokens = encoder.model.tokenizer(
            [encoder.prompt + text for text in texts] if encoder.prompt else texts,
            truncation=encoder.max_tokens is not None,
            max_length=encoder.max_tokens,
            return_attention_mask=False,
        )
    return {name: tokens[name] for name in ("input_ids", "token_type_ids") if name in tokens}


def pad(tokenizer: Any, rows: Mapping[str, Sequence[Any]]) -> dict[str, NDArray[np.int64]]:
    """Return the rows of a batch, ``input_ids`` and what goes with them, as matrices with an ``attention_mask``."""
    filler = {
        "input_ids": tokenizer.pad_token_id or 0,
        "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0),
    }
    lengths = [len(ids) for ids in rows["input_ids"]]
    # A tokenizer without special tokens makes nothing of an empty text, which then is one token of padding.
    width = max(1, *lengths)
    out = {name: np.full((len(lengths), width), filler[name], np.int64) for name in rows}
    mask = np.zeros((len(lengths), width), np.int64)
    left = tokenizer.padding_side == "left"
    for row, length in enumerate(lengths):
        length = max(1, length)
        at = slice(width - length, width) if left else slice(0, length)
        mask[row, at] = 1
        for name, matrix in out.items():
            if len(rows[name][row]):
                matrix[row, at] = rows[name][row]
    return {**out, "attention_mask": mask}


def _forward(encoder: Encoder, tokens: Tokens, index: Index) -> Numbers:
    import torch

    padded = pad(encoder.model.tokenizer, {name: [rows[i] for i in index] for name, rows in tokens.items()})
    place = torch.device(encoder.device)
    with encoder.arithmetic():
        features: dict[str, Any] = {name: torch.from_numpy(array).to(place) for name, array in padded.items()}
        vectors = encoder.model(features)["sentence_embedding"][:, : encoder.model.truncate_dim].float()
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        found: Numbers = vectors.cpu().numpy()
        return found


def _in_halves(forward: Forward, device: str) -> Forward:
    """Return `forward` that takes a batch in halves where it does not fit into the memory of the device."""
    import torch

    def whole(index: Index) -> Numbers:
        try:
            return forward(index)
        except torch.cuda.OutOfMemoryError as error:
            if len(index) == 1:
                raise ModelError(
                    f"one text does not fit into the memory of {device}.",
                    remedy="Use a smaller model, or bfloat16, or another device.",
                ) from error
        middle = len(index) // 2
        return np.concatenate([whole(half) for half in (index[:middle], index[middle:])])

    return whole
