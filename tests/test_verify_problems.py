"""Answers in one file and problems in another, as harnesses leave them; the formats of HumanEval+ and MBPP+."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from divfast.errors import DivfastError
from divfast.quality.verified import verify
from divfast.sandbox.ways import why_not

ASSERTION = """import numpy as np

def is_floats(x) -> bool:
    # check if it is float; List[float]; Tuple[float]
    if isinstance(x, float):
        return True
    if isinstance(x, (list, tuple)):
        return all(isinstance(i, float) for i in x)
    if isinstance(x, np.ndarray):
        return x.dtype == np.float64 or x.dtype == np.float32
    return False


def assertion(out, exp, atol):
    exact_match = out == exp

    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if not exact_match and atol != 0:
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert exact_match

"""
# As EvalPlus publishes its problems: `test` with `check`, or a program of its own.
HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'from typing import List\n\n\ndef halves(xs: List[int]) -> List[float]:\n    """ Half of each.\n    >>> '
    'halves([1, 2])\n    [0.5, 1.0]\n    """\n',
    "canonical_solution": "\n    return [x / 2 for x in xs]\n",
    "entry_point": "halves",
    "test": f"\n\n{ASSERTION}\ndef check(candidate):\n    inputs = [[[1, 2]], [[]], [[-3, 0, 7]]]\n"
    "    results = [[0.5, 1.0], [], [-1.5, 0.0, 3.5]]\n    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    "        assertion(candidate(*inp), exp, 0)\n",
}
MBPP = {
    "task_id": 901,
    "code": "def shared(a, b):\n  return tuple(sorted(set(a) & set(b)))\n",
    "prompt": "Write a function to find the shared elements from the given two lists.",
    "source_file": "Benchmark Questions Verification V2.ipynb",
    "test_imports": ["import math"],
    "test_list": ["assert math.prod(shared((1, 2), (2, 3))) == 2"],
    "test": f"from math import inf\n{ASSERTION}\ninputs = [[(3, 4), (4, 5)], [(), (1,)], [(inf, 1), (inf, 2)]]\n"
    "results = [(4,), (), (inf,)]\nfor i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    "    assertion(shared(*inp), exp, 0)\n",
}
SAMPLES = {
    "HumanEval/900": [
        (HUMANEVAL["canonical_solution"], True),
        (f"Sure!\n```python\n{HUMANEVAL['prompt']}{HUMANEVAL['canonical_solution']}```", True),
        ("    return [x / 2 + 1e-9 for x in xs]", True),
        ("    return [x // 2 for x in xs]", False),
        ("    return [x / 2 for x in xs][:2]", False),
        ("    pass", False),
        ("", False),
    ],
    "901": [
        (MBPP["code"], True),
        ("```python\nimport math\ndef shared(a, b):\n    return tuple({*a}.intersection(b))\n```", True),
        (MBPP["code"].replace("&", "|"), False),
        (MBPP["code"].replace("tuple(", "list("), False),
        ("def other(a, b):\n    return ()", False),
    ],
}


def dump(path, records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def again(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def verified(path, tmp_path, verifier="code", **options):
    if verifier == "code":
        if reason := why_not("bwrap"):
            pytest.skip(f"bubblewrap does not work here: {reason}")
        options |= {"allow_code_execution": True, "sandbox": "bwrap"}
    return verify(path, verifier, tmp_path / "out.jsonl", **options), again(tmp_path / "out.jsonl")


def expected():
    return [[right for _, right in samples] for samples in SAMPLES.values()]


def test_records_as_evalplus_publishes_them(tmp_path):
    records = [
        problem | {"outputs": [text for text, _ in SAMPLES[str(problem["task_id"])]]}
        for problem in (HUMANEVAL, MBPP)
    ]
    _, found = verified(dump(tmp_path / "d.jsonl", records), tmp_path)
    assert [record["correct"] for record in found] == expected()
    # All that was there is there again.
    assert [{name: record[name] for name in HUMANEVAL} for record in found[:1]] == [HUMANEVAL]
    assert {name: found[1][name] for name in MBPP} == MBPP


def problems(path):
    if path.suffix == ".parquet":
        names = dict.fromkeys([*HUMANEVAL, *MBPP])
        rows = [
            {name: problem.get(name) for name in names} for problem in (HUMANEVAL, MBPP | {"task_id": "901"})
        ]
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(
            gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in (HUMANEVAL, MBPP)))
        )
    else:
        path.write_text(json.dumps([HUMANEVAL, MBPP], indent=1))
    return path


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p.json", "p.parquet"])
def test_a_line_a_sample_and_the_problems_in_a_file(tmp_path, name):
    """The samples of HumanEval's own harness say no more than an id and a completion."""
    lines = [{"task_id": id, "completion": text} for id, samples in SAMPLES.items() for text, _ in samples]
    path = dump(tmp_path / "samples.jsonl", lines)
    done, found = verified(path, tmp_path, problems=problems(tmp_path / name))
    assert [record["correct"] for record in found] == expected()
    assert [record["prompt"] for record in found] == [HUMANEVAL["prompt"], MBPP["prompt"]]
    assert "test" not in found[0]
    assert done.errors["AssertionError"] >= 2


def test_what_the_dump_says_comes_first(tmp_path):
    path = dump(tmp_path / "d.jsonl", [{"id": "a", "output": "1", "answer": "1"}, {"id": "b", "output": "2"}])
    known = dump(tmp_path / "p.jsonl", [{"id": id, "question": f"{id}?", "answer": "2"} for id in "abc"])
    _, found = verified(path, tmp_path, "exact", problems=known, gold="answer")
    assert [record["correct"] for record in found] == [[True], [True]]
    assert [record["prompt"] for record in found] == ["a?", "b?"]
    assert "answer" not in found[1]


def test_problems_without_an_id_are_known_by_their_text(tmp_path):
    """GSM8K has none."""
    path = dump(
        tmp_path / "d.jsonl", [{"question": text, "outputs": ["2", "3"]} for text in ("1+1?", "1+2?", "?")]
    )
    table = pa.table({"question": ["1+2?", "1+1?"], "answer": ["so\n#### 3", "so\n#### 2"]})
    pq.write_table(table, tmp_path / "p.parquet")
    done, found = verified(path, tmp_path, "gsm8k", problems=tmp_path / "p.parquet", gold="answer")
    assert [record["correct"] for record in found] == [[True, False], [False, True], [None, None]]
    assert done.errors == {"no gold": 2}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "x", "gold": "1"}], "has none of the ids and prompts of"),
        ([{"gold": "1"}], "holds no problems"),
        ([{"id": "a", "answer": "1"}], 'needs the field "gold" or "references", and no record has one'),
        ([], "is empty|holds no problems"),
        (["x"], "expected a JSON object"),
    ],
)
def test_bad_problems_are_one_sentence(tmp_path, lines, message):
    path = dump(tmp_path / "d.jsonl", [{"id": "a", "output": "1"}])
    with pytest.raises(DivfastError, match=message) as raised:
        verify(path, "exact", tmp_path / "out.jsonl", problems=dump(tmp_path / "p.jsonl", lines))
    assert raised.value.remedy or "object" in message
    assert not (tmp_path / "out.jsonl").exists()
