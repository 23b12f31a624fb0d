"""Verifiers under samples, gold answers and ends that nobody wants: a verdict for every sample, in time, in order."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from divfast.quality import gsm8k
from divfast.quality.verified import verify
from divfast.quality.verifiers import Question, Settings, find_verifier, judge_here

OUTPUTS = [
    "7", "", None, "  ", "7.0", "٧", "７", "7\u2028", "\u202eשבע 7\u202c", "1,234.50", r"$\frac{1}{2}$", "1e400",
    "1e-400", r"\boxed{1e400}", r"\boxed{", r"\boxed{{7}}", "}}}{{{", "nan", "-inf", "#### 7", "#### ٧", "####" * 1000,
    "\x00", "9" * 5000, "f(" * 2000, "[" * 20_000 + "]" * 20_000, "(1," * 1000 + ")" * 1000, "$$$", "½", "1/0",
    "\\frac", r"\boxed{\frac{1}{0}}", r"\boxed{0^0}", r"\boxed{1=2=3}", "<think>7", "7</think>", "7%", "\\$7", "ﬁ",
]  # fmt: skip
GOLDS = {
    "text": "7", "list": ["7", "8"], "number": 7, "float": 7.5, "null": None, "empty": "", "none": [],
    "object": {"a": 1}, "mixed": ["7", None], "true": True, "digits": "٧", "rtl": "שבע",
    "separator": "7\u2028", "half": r"$\frac{1}{2}$",
    "huge": "1e400", "comma": "1,234.50", "open": r"\boxed{\frac{1}{2", "braces": "{" * 500, "long": "9" * 5000,
}  # fmt: skip
WITHOUT = {"null": "no gold", "none": "no gold", "object": "gold is not text", "mixed": "gold is not text"}
EVERY = [
    ("math", {}),
    ("math", {"preset": "paper"}),
    ("gsm8k", {}),
    ("gsm8k", {"preset": "paper"}),
    ("cruxeval", {}),
    ("truthfulqa", {}),
    ("truthfulqa", {"preset": "paper"}),
    ("exact", {}),
    ("regex", {"pattern": r"(\d+)"}),
]
# Each would take a parser, or the algebra behind it, for ever.
BOMBS = [
    r"\boxed{9^{9^{9^{9}}}}",
    "9**9**9**9",
    r"\boxed{10000000000!}",
    r"\boxed{\sum_{i=1}^{10^{12}} \frac{1}{i}}",
    r"\boxed{" + "x^{" * 500 + "}" * 500 + "}",
]


def dump(path, records):
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def again(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize(("name", "options"), EVERY, ids=lambda value: str(value))
def test_every_sample_has_its_verdict(tmp_path, name, options):
    if name == "math" and not options:
        pytest.importorskip("math_verify")
    samples = OUTPUTS[:16] if name == "math" else OUTPUTS
    records = [
        {"id": id, "outputs": samples[i % 3 :], "gold": gold} for i, (id, gold) in enumerate(GOLDS.items())
    ]
    records += [{"id": "K0", "outputs": [], "gold": "7"}, {"id": "K1", "outputs": ["7"], "gold": "7"}]
    done = verify(dump(tmp_path / "d.jsonl", records), name, tmp_path / "out.jsonl", threads=2, **options)
    found = again(tmp_path / "out.jsonl")
    assert [record["input_id"] for record in found] == [record["id"] for record in records]
    assert [len(record["correct"]) for record in found] == [len(record["outputs"]) for record in records]
    for id, record in zip([*GOLDS, "K0", "K1"], found, strict=True):
        known = {verdict is not None for verdict in record["correct"]}
        if id in WITHOUT:
            assert (known, set(record["error"])) == ({False}, {WITHOUT[id]})
        elif not (name == "gsm8k" and options == {}):
            assert known <= {True}
    assert found[0]["correct"][0] is True
    assert found[-1]["correct"] == [True]
    assert done.samples == sum(len(record["outputs"]) for record in records)


@pytest.mark.parametrize(
    ("gold", "right"),
    [
        ("7", ["7", "7.0", "٧", "７", "#### 7", "7\u2028", "\u202eשבע 7\u202c"]),
        ("1,234.50", ["$1,234.5", "1234.50"]),
        (7.5, ["7.50"]),
    ],
)
def test_numbers_in_any_writing_are_equal(gold, right):
    found = judge_here(find_verifier("gsm8k"), Question(right, {"gold": gold}), Settings())
    assert [verdict.correct for verdict in found] == [True] * len(right)


def test_a_bomb_costs_its_own_verdict(tmp_path):
    pytest.importorskip("math_verify")
    records = [
        {"id": "a", "outputs": ["7", *BOMBS, r"\boxed{7}"], "gold": "7"},
        {"id": "b", "outputs": ["7"], "gold": BOMBS[0]},
        {"id": "c", "outputs": ["7"], "gold": "7"},
    ]
    verify(dump(tmp_path / "d.jsonl", records), "math", tmp_path / "out.jsonl", limit=0.5, threads=2)
    first, second, third = again(tmp_path / "out.jsonl")
    assert first["correct"] == [True, *[False] * len(BOMBS), True]
    assert first["error"] == [None, *["took too long"] * len(BOMBS), None]
    assert second["correct"] != [True]
    assert third["correct"] == [True]


@pytest.mark.parametrize("name", ["regex", "gsm8k"])
def test_a_sample_of_ten_megabytes(tmp_path, name):
    text = "a 1," * 2_500_000
    records = [{"id": "a", "outputs": [text, "7", ""], "gold": "7"}]
    options = {"pattern": r"(\d+)"} if name == "regex" else {}
    verify(dump(tmp_path / "d.jsonl", records), name, tmp_path / "out.jsonl", **options)
    (record,) = again(tmp_path / "out.jsonl")
    assert record["correct"] == [False, True, False]
    assert record["outputs"][0] == text


def test_marks_without_a_number_are_passed_over_in_linear_time():
    started = time.process_time()
    assert gsm8k.extract("####" * 500_000) is None
    assert gsm8k.extract("#### " * 400_000 + "5") == "5"
    assert time.process_time() - started < 5


def test_extraction_is_that_of_the_first_line_with_a_number():
    """Against the rule in its plainest form."""

    def plain(text):
        for at in range(len(text)):
            if text.startswith("####", at) and not (at and plain.end > at):
                plain.end = at + 4
                line = text[at + 4 : at + 404].lstrip().partition("\n")[0]
                if (found := gsm8k.number(line)) is not None:
                    return found
        return gsm8k.number(text, last=True)

    rng = random.Random(1)
    for _ in range(2000):
        text = "".join(
            rng.choice(["#", "##", "####", " ", "\n", "5", "x", "-", "x" * 398]) for _ in range(12)
        )
        plain.end = 0
        assert gsm8k.extract(text) == plain(text), text


@pytest.mark.parametrize("moment", [1, 30])
def test_killed_and_taken_up_again_it_is_the_same(tmp_path, moment):
    records = [
        {
            "id": str(i),
            "prompt": "?",
            "outputs": [f"so {i % 7}", "a" * 17 + "b"],
            "gold": str(i % 5),
            "more": {"i": i},
        }
        for i in range(50)
    ]
    path = dump(tmp_path / "d.jsonl", records)
    options = {"pattern": r"^(?:a|a)+$|(\d)", "limit": 20}
    verify(path, "regex", tmp_path / "whole.jsonl", **options)
    program = (
        "import json, sys; from divfast.quality.verified import verify; "
        "verify(sys.argv[1], 'regex', sys.argv[2], threads=1, **json.loads(sys.argv[3]))"
    )
    # Slower, so that it is killed on its way.
    slow = options | {"block_rows": 4}
    argument = [str(path), str(tmp_path / "out.jsonl"), json.dumps(slow)]
    run = subprocess.Popen([sys.executable, "-c", program, *argument], start_new_session=True)
    journal = tmp_path / ".out.jsonl.verdicts"
    try:
        while run.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > moment):
            time.sleep(0.005)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert run.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.jsonl").exists()
    done = verify(path, "regex", tmp_path / "out.jsonl", **options)
    assert done.run["prompts_resumed"] >= moment
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not journal.exists()
