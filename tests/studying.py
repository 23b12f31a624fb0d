"""Small studies on disk, for several test files."""

import gzip
import json

import yaml

WORDS = ["red", "blue", "green", "cat", "dog", "sun", "moon", "tree", "stone", "bird"]


def outputs(random, k, spread):
    """Return samples of two words, of the first `spread` words: the fewer, the less diverse."""
    return [" ".join(WORDS[int(i)] for i in random.integers(0, spread, 2)) for _ in range(k)]


def write_dump(path, samples, *, ids=None, **columns):
    """Write one prompt a line; `columns` hold a value a prompt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, texts in enumerate(samples):
        record = {"input_id": f"p{i}" if ids is None else ids[i], "prompt": "?", "outputs": texts}
        lines.append(json.dumps(record | {name: column[i] for name, column in columns.items()}))
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def write_study(path, **keys):
    """Write a study file with these keys."""
    path.write_text(
        yaml.safe_dump({name: value for name, value in keys.items() if value is not None}, sort_keys=False)
    )
    return path


def rows(table, **wanted):
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in wanted.items())]


def one(table, **wanted):
    (row,) = rows(table, **wanted)
    return row
