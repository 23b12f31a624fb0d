"""A task of one's own and records for it."""

import json

SUMS = """
summary: Add two numbers
dataset: me/sums
config: easy
format: "{a} + {b} ="
columns: {gold: "{sum}"}
verify: exact
"""
RECORDS = [{"a": i, "b": "1", "sum": str(i + 1)} for i in range(10)]


def write_task(folder, more="", text=SUMS):
    """Write the task, with more in it, and return its path."""
    path = folder / "sums.yaml"
    path.write_text(text + more, encoding="utf-8")
    return path


def lines(path, records=RECORDS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
