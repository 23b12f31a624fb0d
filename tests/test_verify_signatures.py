"""Signatures of verdicts: they differ where what samples are judged by does."""

import json

import pytest

from divfast.quality import verified
from divfast.quality.verified import verify
from divfast.quality.verifiers import Question, Settings, find_verifier


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("exact", {"gold": ["a", "b"]}, {"gold": ["a", "c"]}),
        ("labels", {"correct": [True, False]}, {"correct": [True, True]}),
        (
            "ifeval",
            *(
                {"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"num_words": n}]}
                for n in (1, 2)
            ),
        ),
    ],
)
def test_what_samples_are_judged_by_is_in_the_signature(tmp_path, name, one, other):
    """All of it, not only what the verdicts repeat of it as expected."""
    made = []
    for columns in (one, other, one):
        path = tmp_path / "dump.jsonl"
        path.write_text(json.dumps({"input_id": "0", "outputs": ["a", "c"], **columns}))
        made.append(str(verify(path, name, tmp_path / "out.jsonl").signature))
    assert made[0] == made[2] != made[1]


def test_tests_are_in_the_signature():
    made = []
    for tests in ("assert f(1) == 1", "assert f(2) == 2"):
        tally = verified._Tally(find_verifier("code"), Settings())
        tally.ask([Question(["def f(x): return 1"], {"tests": tests})])
        made.append(tally._gold)
    assert made[0] != made[1]
