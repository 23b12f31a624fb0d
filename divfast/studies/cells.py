"""The dumps of a study, and what was scored of each: kept in the folder of the study, so that it is done once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from divfast.errors import DataError, os_reason
from divfast.output import write_whole
from divfast.readers import find_dumps
from divfast.studies.plan import Study

Floats = NDArray[np.float64]
# A file may change twice within one tick of its clock: a print as young as this is not believed.
_RACE_NS = 2_000_000_000
_META = b"divfast.study"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Cell:
    """One model on one task in one setting of the factors, and the files of its dump."""

    task: str
    model: str
    factors: Mapping[str, str]
    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return " ".join([self.model, self.task, *(f"{key}={value}" for key, value in self.factors.items())])


@dataclass
class Column:
    """The values of one metric: one a prompt, what they measure and their recipe."""

    values: Floats
    unit: str
    signature: str


@dataclass
class Scores:
    """What is known of a dump under one recipe.

    Attributes
    ----------
    ids : pyarrow.Array
        Ids of its prompts.
    sizes : numpy.ndarray
        ``int64[g]``, K of each.
    columns : dict of Column
        By the name of the column.
    """

    ids: pa.Array
    sizes: NDArray[np.int64]
    columns: dict[str, Column] = field(default_factory=dict)


def find_cells(study: Study) -> list[Cell]:
    """Return all dumps of a study, task by task.

    Raises
    ------
    DataError
        Where a pattern matches nothing, or two models share a file.
    """
    cells = []
    owner: dict[Path, Cell] = {}
    for task in study.tasks:
        for factors in study.settings():
            for model in study.models:
                pattern = study.dump(model, task, **factors)
                paths = tuple(path for path in find_dumps([pattern]) if path.is_file())
                cell = Cell(task, model, factors, paths)
                if not paths:
                    raise DataError(
                        f"no such file, which would be the dump of {cell.name}.",
                        where=str(pattern),
                        remedy="Check dumps in the study file, or where its names begin with --dumps FOLDER.",
                    )
                for path in paths:
                    if path in owner:
                        raise DataError(
                            f"is of both {owner[path].name} and {cell.name}.",
                            where=str(path),
                            remedy="Make the pattern of dumps so narrow that it tells them apart.",
                        )
                    owner[path] = cell
                cells.append(cell)
    return cells


def recipe_key(recipe: Mapping[str, Any]) -> str:
    """Return the print of a recipe."""
    text = json.dumps(recipe, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Store:
    """Scores in a folder: a file for every dump and recipe, found by what is in the dump.

    Parameters
    ----------
    folder : Path
        The folder of a study. ``scored`` and ``verified`` are made in it.

    Notes
    -----
    A dump is known by a digest of its bytes. Files of the same path, size and time of change as when they were last
    read are taken to be the same; such as changed within two seconds of being read are read again. Every file is there
    whole or not at all, so a run that was killed loses what it was working on and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index_path = folder / "scored" / "digests.json"
        self._index: dict[str, list[Any]] = {}
        try:
            found = json.loads(self._index_path.read_text(encoding="utf-8"))
            self._index = {str(key): list(value) for key, value in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            # It only spares reading: without it the dumps are read again.
            self._index = {}

    def digest(self, paths: Iterable[Path]) -> str:
        """Return the digest of what is in files."""
        digests = [self._digest(path) for path in paths]
        return digests[0] if len(digests) == 1 else recipe_key({"parts": digests})

    def _digest(self, path: Path) -> str:
        key = str(path.absolute())
        try:
            stat = path.stat()
            now = [stat.st_size, stat.st_mtime_ns]
            known = self._index.get(key)
            if known is not None and known[:2] == now and known[3] - known[1] > _RACE_NS:
                return str(known[2])
            read_at = time.time_ns()
            found = hashlib.blake2b(digest_size=16)
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        except OSError as error:
            raise DataError(
                f"cannot be read: {os_reason(error)}.", where=str(path), remedy="Check the file."
            ) from None
        self._index[key] = [*now, found.hexdigest(), read_at]
        return found.hexdigest()

    def remember(self) -> None:
        """Keep the digests."""
        self._folder("scored")
        text = json.dumps(self._index, indent=0)
        write_whole({self._index_path: lambda path: path.write_text(text, encoding="utf-8")})

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _path(self, digest: str, recipe: str) -> Path:
        return self.folder / "scored" / f"{digest}-{recipe}.parquet"

    def load(self, digest: str, recipe: str) -> Scores | None:
        """Return what is known; None where there is nothing, or it cannot be read."""
        try:
            table = pq.read_table(self._path(digest, recipe))
            told = json.loads(table.schema.metadata[_META])
            columns = {
                name: Column(np.asarray(table[name], np.float64), unit, signature)
                for name, (unit, signature) in told.items()
            }
            ids = table["input_id"].cast(pa.large_string()).combine_chunks()
            return Scores(ids, np.asarray(table["n"], np.int64), columns)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None

    def save(self, digest: str, recipe: str, scores: Scores) -> None:
        """Keep what is known."""
        self._folder("scored")
        table = pa.table(
            {"input_id": scores.ids, "n": scores.sizes}
            | {name: column.values for name, column in scores.columns.items()}
        )
        told = {name: (column.unit, column.signature) for name, column in scores.columns.items()}
        table = table.replace_schema_metadata({_META: json.dumps(told).encode()})
        write_whole({self._path(digest, recipe): lambda path: pq.write_table(table, path)})

    def verified(
        self, cell: Cell, settings: Mapping[str, Any], verify: Callable[[Path], object]
    ) -> tuple[Path, bool]:
        """Return a cell's dump with verdicts, and whether it was made now."""
        digest = self.digest(cell.paths)
        key = recipe_key({"dump": digest, "verify": settings})
        # The name stays, for embeddings that are found by it.
        name = cell.paths[0].name.removesuffix(".gz").removesuffix(".zst").removesuffix(".xz")
        path = self.folder / "verified" / key / f"{Path(name).stem}.jsonl"
        if path.is_file():
            return path, False
        path.parent.mkdir(parents=True, exist_ok=True)
        verify(path)
        return path, True
