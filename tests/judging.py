"""A judge for tests: dumps, servers that prefer or score by length, and where answers are kept."""

import json

import pytest

from divfast.generation import openai_client
from divfast.judging.judge import open_language_judge
from divfast.judging.pairwise import prefer
from divfast.judging.scores import score_samples
from openai_server import chat


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("DIVFAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(openai_client, "_FIRST_PAUSE", 0.01)


def dump(path, outputs, **columns):
    records = []
    for i, texts in enumerate(outputs):
        record = {"input_id": f"p{i}", "prompt": f"Prompt {i}?", "outputs": texts}
        records.append(record | {name: values[i] for name, values in columns.items()})
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def between(text, start, stop):
    return text.partition(f"<{start}>\n")[2].partition(f"\n</{stop or start}>")[0]


def shown(body):
    """Return (prompt, A, B) of what the judge was asked."""
    text = body["messages"][0]["content"]
    return tuple(between(text, name, None) for name in ("request", "answer_a", "answer_b"))


def longer(_number, _path, body):
    """Prefer the longer answer."""
    _, a, b = shown(body)
    return chat(f"Reasons.\n\nVerdict: {'A' if len(a) > len(b) else 'B' if len(b) > len(a) else 'tie'}")


def length(_number, _path, body):
    """Give a point for each letter."""
    return chat(f"Score: {len(between(body['messages'][0]['content'], 'answer', None))}")


def preferred(server, a, b, output=None, judge=None, **more):
    with open_language_judge(server.url, "m", **(judge or {})) as asked:
        return prefer(a, b, asked, output, **more)


def scored(server, path, output, judge=None, **more):
    with open_language_judge(server.url, "m", **(judge or {})) as asked:
        return score_samples(path, asked, output, **more)


def records(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
