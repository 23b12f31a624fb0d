"""Texts through an encoder: tokenised in bulk, sorted by length, cut into batches by a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.errors import ModelError
from divfast.views.encoders import Encoder, quiet

# Tokens of one batch, padding included. A core is fastest while a batch stays in its cache.
_CPU_TOKENS = 1024
_GPU_TOKENS = 65536

Index = NDArray[np.int64]
Tokens = dict[str, list[list[int]]]
Vectors = NDArray[np.float32]


def encode(encoder: Encoder, texts: list[str]) -> Iterator[tuple[Index, Vectors]]:
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
    on_cpu = encoder.device == "cpu"
    batches = list(_batches(tokens, _CPU_TOKENS if on_cpu else _GPU_TOKENS))
    if not on_cpu:
        for index in batches:
            yield index, _forward(encoder, tokens, index)
        return

    import torch

    before = torch.get_num_threads()
    # One core for each batch: threads that share a batch wait for each other at every layer, and much longer
    # on a busy machine.
    each = max(1, engine.threads() // len(batches))

    def forward(index: Index) -> Vectors:
        torch.set_num_threads(each)
        return _forward(encoder, tokens, index)

    try:
        yield from zip(batches, engine.map_ordered(forward, batches), strict=True)
    finally:
        torch.set_num_threads(before)


def _tokenize(encoder: Encoder, texts: list[str]) -> Tokens:
    with quiet():
        tokens = encoder.model.tokenizer(
            [encoder.prompt + text for text in texts] if encoder.prompt else texts,
            truncation=encoder.max_tokens is not None,
            max_length=encoder.max_tokens,
            return_attention_mask=False,
        )
    return {name: tokens[name] for name in ("input_ids", "token_type_ids") if name in tokens}


def _batches(tokens: Tokens, budget: int) -> Iterator[Index]:
    lengths = np.array([len(ids) for ids in tokens["input_ids"]])
    # Longest first, so that memory runs out at the start or not at all.
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + count]
        start += count


def _pad(encoder: Encoder, tokens: Tokens, index: Index) -> dict[str, NDArray[np.int64]]:
    tokenizer = encoder.model.tokenizer
    filler = {
        "input_ids": tokenizer.pad_token_id or 0,
        "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0),
    }
    lengths = [len(tokens["input_ids"][i]) for i in index]
    # A tokenizer without special tokens makes nothing of an empty text, which then is one token of padding.
    width = max(1, *lengths)
    out = {name: np.full((len(index), width), filler[name], np.int64) for name in tokens}
    mask = np.zeros((len(index), width), np.int64)
    left = tokenizer.padding_side == "left"
    for row, (i, length) in enumerate(zip(index, lengths, strict=True)):
        length = max(1, length)
        at = slice(width - length, width) if left else slice(0, length)
        mask[row, at] = 1
        for name, matrix in out.items():
            matrix[row, at] = tokens[name][i] or filler[name]
    return {**out, "attention_mask": mask}


def _forward(encoder: Encoder, tokens: Tokens, index: Index) -> Vectors:
    import torch

    padded = _pad(encoder, tokens, index)
    place = torch.device(encoder.device)
    try:
        with encoder.arithmetic():
            features: dict[str, Any] = {
                name: torch.from_numpy(array).to(place) for name, array in padded.items()
            }
            vectors = encoder.model(features)["sentence_embedding"][:, : encoder.model.truncate_dim].float()
            vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
            rows: Vectors = vectors.cpu().numpy()
            return rows
    except torch.cuda.OutOfMemoryError as error:
        if len(index) == 1:
            raise ModelError(
                f"one text does not fit into the memory of {encoder.device}.",
                remedy="Use a smaller encoder, or bfloat16, or another device.",
            ) from error
    middle = len(index) // 2
    halves = [_forward(encoder, tokens, half) for half in (index[:middle], index[middle:])]
    return np.concatenate(halves)
