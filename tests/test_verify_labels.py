"""Verdicts beside labels that others made, on real dumps."""

import json

import pytest

from divfast.quality import paper_answers
from divfast.quality.verified import verify
from test_verify import records

# Agreement with labels that others made. Differences were read: those of the repository's rules are named beside.
LABELLED = [
    # Numbers in answers that spell out a sum, and answers outside the JSON.
    ("zeroeval/gsm_pool__43-models.jsonl.gz", "gsm8k", {"json_field": "answer"}, 0.99),
    # Its rule takes the first of several answers, and any number of a template.
    ("zeroeval/math_l5_pool__41-models.jsonl.gz", "math", {"json_field": "answer"}, 0.985),
    ("gsm8k_openai/gsm8k_test_pool__4-models.jsonl.gz", "gsm8k", {}, 1.0),
    # One sample: its labeller does not take 10{,}000 for 10000.
    ("qwen_math/math100__qwen2.5-math-instruct-cot.jsonl.gz", "math", {}, 0.998),
    # Six samples that name two dates.
    (
        "verify_cot/date_understanding__gpt-3.5-turbo-natural_program.jsonl.gz",
        "regex",
        {"pattern": r"(\d{1,2}/\d{1,2}/\d{4})"},
        0.998,
    ),
    # It compares texts: the same value written otherwise is wrong there.
    ("zeroeval/crux_pool__51-models.jsonl.gz", "cruxeval", {"json_field": "answer"}, 0.98),
    # Expressions that are no literals.
    ("cruxeval/cruxeval_output__phi-2@T0.8.jsonl.gz", "cruxeval", {}, 0.999),
]


@pytest.mark.parametrize(("name", "verifier", "options", "least"), LABELLED, ids=[row[0] for row in LABELLED])
def test_agrees_with_labels(shared, tmp_path, name, verifier, options, least):
    path = shared / "data" / name
    if verifier == "math":
        pytest.importorskip("math_verify")
    if "zeroeval" in name:
        # Every sixteenth prompt, to be quick.
        some = tmp_path / "some.jsonl"
        some.write_text("".join(json.dumps(record) + "\n" for record in records(path)[::16]))
        path = some
    verify(path, verifier, tmp_path / "out.jsonl", **options)
    pairs = [
        (label, verdict)
        for old, new in zip(records(path), records(tmp_path / "out.jsonl"), strict=True)
        for label, verdict in zip(old["correct"], new["correct"], strict=True)
    ]
    assert sum(a == b for a, b in pairs) / len(pairs) >= least


def test_paper_answers_of_the_published_code(shared):
    values = json.loads(
        (shared / "parity" / "qwen_math__math100__qwen2.5-math-instruct-cot.json").read_text()
    )
    dump = records(shared / "data" / values["file"])
    for record, expected in zip(dump, values["per_group"]["paper_answers"], strict=True):
        assert [paper_answers.extract(text) for text in record["outputs"]] == expected
