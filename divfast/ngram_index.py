"""The n-grams of a training text as one file: a page of facts, sorted fingerprints, a directory by their high bits."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.errors import DataError, OutputError, os_reason
from divfast.output import check_folder, write_whole

_MAGIC = b"divfast n-grams\n"
_PAGE = 4096
_VERSION = 1
_REMEDY = "Build it again with divfast overlap index."


@dataclass(frozen=True)
class IndexFacts:
    """What an index says of itself.

    Attributes
    ----------
    n : int
        Order of the n-grams.
    tokenizer, tokens_by : str
        Name of the tokenizer, and its signature.
    documents, tokens, grams, distinct : int
        Of the training text: documents, tokens, n-grams and different n-grams.
    fingerprint : int
        Of all n-grams, in any order.
    divfast : str
        The version that wrote it.
    """

    n: int
    tokenizer: str
    tokens_by: str
    documents: int
    tokens: int
    grams: int
    distinct: int
    fingerprint: int
    divfast: str


def is_index(path: str | Path) -> bool:
    """Whether a file is an index, by its first bytes. A pipe is none: what is read of it is gone."""
    try:
        if not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


class NgramIndex:
    """An index on disk, open for questions.

    Parameters
    ----------
    path : str or Path
        What `divfast.overlap.build_index` wrote.

    Raises
    ------
    DataError
        Where it is not whole, or was written by another version of the format.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        with Path(path).open("rb") as file:
            page = file.read(_PAGE)
            size = os.fstat(file.fileno()).st_size
            head, digest, text = page[:16], page[16:32], page[32:]
            if head != _MAGIC or len(page) < _PAGE or hashlib.sha256(text).digest()[:16] != digest:
                raise self._broken("its first page is damaged.")
            found: dict[str, Any] = json.loads(text)
            if found.pop("format") != _VERSION:
                raise self._broken("is an index in a format that this version does not know.")
            self._bits: int = found.pop("bits")
            self.facts = IndexFacts(**found)
            entries = (1 << self._bits) + 1
            whole = _PAGE + 8 * (self.facts.distinct + entries)
            if size != whole:
                raise self._broken(f"has {size:,} bytes instead of {whole:,}; it was cut off or changed.")
            file.seek(_PAGE + 8 * self.facts.distinct)
            self._directory = np.frombuffer(file.read(8 * entries), np.int64)
        ascending = bool((np.diff(self._directory) >= 0).all())
        if not ascending or self._directory[0] != 0 or self._directory[-1] != self.facts.distinct:
            raise self._broken("its directory is damaged.")

    def _broken(self, what: str) -> DataError:
        return DataError(what, where=self.name, remedy=_REMEDY)

    def contains(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of some ascending fingerprints are in it."""
        try:
            with Path(self.name).open("rb", buffering=0) as file:
                found = _core.search_index(
                    file.fileno(), _PAGE, self._bits, self._directory, keys, threads=engine.threads()
                )
        except RuntimeError as error:
            raise self._broken(f"{error}.") from None
        except OSError as error:
            raise self._broken(f"cannot be read: {os_reason(error)}.") from None
        return found.astype(np.bool_)


def write_index(
    path: Path, n: int, memory: int, fill: Callable[[_core.NgramSorter], dict[str, Any]]
) -> IndexFacts:
    """Write the n-grams that `fill` puts into a sorter, under a temporary name first.

    Parameters
    ----------
    path : Path
        An index that is there already is replaced, any other file is not.
    n, memory : int
        Order of the n-grams, and about how many bytes to sort them in.
    fill : callable
        Adds all documents and returns the facts of `IndexFacts` that a sorter does not know.

    Raises
    ------
    OutputError
        Where it cannot be written; nothing is left behind.
    """
    if path.exists() and not is_index(path):
        raise OutputError(
            "is there already and is no index.", where=str(path), remedy="Name another file with -o."
        )
    check_folder(path.absolute().parent)
    written: list[IndexFacts] = []

    def write(place: Path) -> None:
        # The file for what does not fit in memory has no name: it is gone however this ends.
        with place.open("wb+", buffering=0) as out, tempfile.TemporaryFile(dir=place.parent) as spill:
            sorter = _core.NgramSorter(n, memory, spill.fileno(), threads=engine.threads())
            known = fill(sorter)
            distinct, bits = sorter.write(out.fileno(), _PAGE)
            facts = IndexFacts(
                n=n,
                tokens=sorter.tokens,
                grams=sorter.grams,
                distinct=distinct,
                fingerprint=sorter.fingerprint,
                **known,
            )
            text = json.dumps({"format": _VERSION, "bits": bits, **asdict(facts)}).encode().ljust(_PAGE - 32)
            if len(text) > _PAGE - 32:
                raise OutputError("the name of the tokenizer is too long.", where=str(path))
            out.write(_MAGIC + hashlib.sha256(text).digest()[:16] + text)
            written.append(facts)

    write_whole({path: write})
    return written[0]
