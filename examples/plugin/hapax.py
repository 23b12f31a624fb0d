"""A metric of one's own: the share of n-grams that occur once.

divfast score examples/demo/base.jsonl --plugin examples/plugin/hapax.py -m hapax:n=2
"""

import numba
import numpy as np

import divfast


# nogil lets the groups be spread over all cores; cache keeps the compiled code beside this file.
@divfast.metric("hapax", unit="n-grams that occur once / all n-grams", higher="more diverse", bounds=(0, 1))
@numba.njit(nogil=True, cache=True)
def hapax(token_ids, row_offsets, groups, n=1):
    """Share of the n-grams of a group that occur nowhere else in it.

    Parameters
    ----------
    token_ids : uint64[m]
        The same word is the same number; the numbers mean nothing else.
    row_offsets : int64[rows + 1]
        Sample i is token_ids[row_offsets[i] : row_offsets[i + 1]].
    groups : int64[g + 1]
        Group i is the samples groups[i] up to groups[i + 1].
    n : int
        Order of the n-grams; they never cross samples.

    Returns
    -------
    float64[g]
        In [0, 1]; NaN for a group without an n-gram.
    """
    shares = np.full(len(groups) - 1, np.nan)
    for g in range(len(shares)):
        first, last = groups[g], groups[g + 1]
        size = 16
        while size < 2 * (row_offsets[last] - row_offsets[first]):
            size *= 2
        grams = np.empty(size, np.uint64)
        seen = np.zeros(size, np.uint8)
        once = total = 0
        for row in range(first, last):
            for start in range(row_offsets[row], row_offsets[row + 1] - n + 1):
                gram = np.uint64(0)
                for token in token_ids[start : start + n]:
                    gram = (gram ^ token) * np.uint64(0x9E3779B97F4A7C15)
                    gram ^= gram >> np.uint64(29)
                slot = np.int64(gram) & (size - 1)
                while seen[slot] and grams[slot] != gram:
                    slot = (slot + 1) & (size - 1)
                if seen[slot] == 0:
                    grams[slot] = gram
                    seen[slot] = 1
                    once += 1
                elif seen[slot] == 1:
                    seen[slot] = 2
                    once -= 1
                total += 1
        if total:
            shares[g] = once / total
    return shares
