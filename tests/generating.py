"""What the tests of `divfast generate` share: prompts, dumps, and what must be equal in two of them."""

import json
import os

TINY = "models/tiny-lm"
# Little memory, two threads, no network, for a vLLM on a CPU.
_LITTLE = {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
PER_SAMPLE = ("outputs", "finish_reasons", "output_tokens", "logprobs", "reasoning")


def use_little(patch):
    """Let vLLM use little, unless the environment says otherwise."""
    for name, value in _LITTLE.items():
        patch.setenv(name, os.environ.get(name, value))


def write_prompts(path, many=6):
    records = [
        {"id": f"p{i}", "prompt": f"Tell me a story about the number {i}" + " indeed" * (i % 5), "gold": i}
        for i in range(many)
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def records(path):
    """Return the records of a dump; every line must be whole."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def samples(path):
    """Return what is said of every sample, by prompt; the lines of a prompt one after the other."""
    found = {}
    for record in records(path):
        held = found.setdefault(record["input_id"], {name: [] for name in PER_SAMPLE if name in record})
        for name in held:
            held[name] += record[name]
    return found


def close(one, other):
    """Return whether two dumps hold the same samples; log-probabilities up to rounding."""
    one, other = samples(one), samples(other)
    if one.keys() != other.keys():
        return False
    for id, held in one.items():
        rounded = [{**x, "logprobs": [round(value, 3) for value in x["logprobs"]]} for x in (held, other[id])]
        if rounded[0] != rounded[1]:
            return False
    return True


def assert_finished(path, k):
    """Check that there is a line for every prompt, each with `k` samples, and one that says how they were drawn."""
    lines = records(path)
    ids = [record["input_id"] for record in lines]
    assert len(set(ids)) == len(ids)
    assert {len(record["outputs"]) for record in lines} == {k}
    assert [at for at, record in enumerate(lines) if "generation" in record] == [0]
    assert lines[0]["generation"]["k"] == k
