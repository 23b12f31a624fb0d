"""Verifiers: what they extract and say, on hand-made samples, hostile ones and real labelled dumps."""

import gzip
import json

import pytest

import divfast
from divfast import engine
from divfast.errors import DivfastError
from divfast.quality import gsm8k, paper_answers, verified
from divfast.quality.journal import Journal
from divfast.quality.verified import verify
from divfast.quality.verifiers import (
    Question,
    Settings,
    Verdict,
    find_verifier,
    json_field,
    judge_here,
    verifiers,
)
from divfast.quality.workers import Workers


def write(path, *records):
    """Write a dump of (outputs, columns)."""
    lines = [
        {"input_id": str(i), "prompt": f"{i}?", "outputs": outputs, **columns}
        for i, (outputs, columns) in enumerate(records)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


def records(path):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file.read().split("\n") if line]


def said(name, outputs, gold, **settings):
    return judge_here(find_verifier(name), Question(outputs, {"gold": gold}), Settings(**settings))


def correct(name, outputs, gold, **settings):
    return [verdict.correct for verdict in said(name, outputs, gold, **settings)]


def test_every_verifier_is_named_as_its_module():
    assert [verifier.name for verifier in verifiers().values()] == list(verifiers())
    assert all(verifier.summary.endswith(".") and verifier.version >= 1 for verifier in verifiers().values())


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (
            r"\frac{3}{4}",
            [r"\boxed{75\%}", r"\boxed{0.75}", r"so $\frac{6}{8}$", "It is 3/4 cm."],
            [r"\boxed{4/3}"],
        ),
        ("50\\%", ["50%", r"\boxed{0.5}"], [r"\boxed{5\%}"]),
        ("(1,2]", ["$(1,2]$", r"\boxed{(1, 2]}"], [r"\boxed{(1,2)}", r"\boxed{[1,2]}"]),
        (r"\{1,2,3\}", [r"\boxed{\{3,2,1\}}"], [r"\boxed{\{1,2\}}"]),
        ("1,2", [r"\boxed{2,1}", "$1$ and $2$"], [r"\boxed{1}"]),
        (r"\text{Tuesday}", [r"\boxed{Tuesday}", r"\boxed{\text{tuesday}}"], [r"\boxed{\text{Monday}}"]),
        (r"4:30 \text{ p.m.}", [r"\boxed{4:30\text{ p.m.}}"], [r"\boxed{5:30 \text{ p.m.}}"]),
        ("1,234", ["1234", "$1,234.00$"], ["1235"]),
        (r"10\text{ cm}", [r"\boxed{10}", r"\boxed{10\,\mathrm{cm}}"], [r"\boxed{11 cm}"]),
        (r"2\sqrt{3}", [r"\boxed{\sqrt{12}}"], [r"\boxed{3\sqrt2}"]),
        (r"\left( 3, \frac{\pi}{2} \right)", [r"\boxed{(3, \pi/2)}"], [r"\boxed{(3, \pi)}"]),
        ("x^2+2x+1", [r"\boxed{(x+1)^2}"], [r"\boxed{(x-1)^2}"]),
        (-5, [r"\boxed{-5}"], [r"\boxed{5}", "", "none"]),
    ],
)
def test_math(gold, right, wrong):
    pytest.importorskip("math_verify")
    assert correct("math", [*right, *wrong], gold) == [True] * len(right) + [False] * len(wrong)


def test_integers_are_what_the_parser_makes_of_them():
    pytest.importorskip("math_verify")
    from divfast.quality import math

    texts = ["0", "7", "-12", "1000", "123456789012345678", "-99", "360", "2024"]
    for text in texts:
        assert math._integer(text) == math._parse(text) == math._parse(rf"\boxed{{{text}}}"), text
    for text in ("", "-", "-0", "007", "1.0", "+3", "1,000", "1e3", "٧", "7\n", " 7", "--7", "1 2"):
        assert math._integer(text) == []
    import math_verify

    for gold in texts:
        for other in texts:
            one, two = math._parse(gold), math._parse(other)
            assert math._same(one, two) == math_verify.verify(one, two, timeout_seconds=None)


def test_math_writes_equal_answers_alike():
    pytest.importorskip("math_verify")
    halves = [r"\boxed{\frac12}", r"\boxed{0.5}", r"\boxed{50\%}", "1/2"]
    assert {verdict.extracted for verdict in said("math", halves, "7")} == {"1/2"}
    names = [r"\boxed{\text{Evelyn}}", r"\boxed{Evelyn}"]
    assert {verdict.extracted for verdict in said("math", names, "7")} == {"evelyn"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7\n#### 7", "7"),
        ("#### 7\n\nQuestion: 12 apples\n#### 9", "7"),
        ("#### $1,234.50", "1234.5"),
        ("####\n", None),
        ("It costs $1,000.00 in all.", "1000"),
        ("from 3-5 eggs", "5"),
        ("minus: -5", "-5"),
        (".5 of it", "0.5"),
        ("1,2,3", "3"),
        ("-0.0", "0"),
        ("none", None),
    ],
)
def test_gsm8k_extracts(text, answer):
    assert gsm8k.extract(text) == answer


def test_gsm8k_compares_exactly():
    assert (
        correct("gsm8k", ["18", "18.00", "$18", "18.0000001", ""], "so\n#### 18") == [True] * 3 + [False] * 2
    )
    long = "1" + "0" * 5000
    assert correct("gsm8k", [long, long + "1"], long) == [True, False]
    assert said("gsm8k", ["1"], "none")[0] == Verdict(None, None, "none", "no number in gold")


def test_the_papers_extraction_by_hand():
    assert paper_answers.extract(r"\boxed{\frac{1}{2}}") == r"\frac{1"
    assert paper_answers.extract("<think>\\boxed{1}</think>the answer is $1,200.50.") == "1200.5"
    assert paper_answers.extract("reasoning 7</think>8") == "8"
    assert paper_answers.extract("#### 3 eggs\n\\boxed{4}") == "3 eggs"
    assert paper_answers.extract("no number") is None
    assert paper_answers.extract("it is 3.50%.") == "3.5"
    assert paper_answers.match("0.3333333", "0.3333334")
    assert not paper_answers.match(None, "1")


def test_cruxeval_compares_literals():
    outputs = ["[1,2]", " [1, 2]", "f([1, 2])", "[1, 2", "[True, 2]", "[2, 1]", "f(x)", "[1] + [2]"]
    assert correct("cruxeval", outputs, "[1, 2]") == [True, True, True, False, True, False, False, False]
    assert correct("cruxeval", ["f(1, 'a')", "(1, 'a')", "x"], "1, 'a'") == [True, True, False]
    assert correct("cruxeval", ["f(x)", "f(y)"], "x") == [True, False]
    assert (
        correct("cruxeval", ['{"answer": "ab"}', '{"answer": "\'ab\'"}'], "'ab'", json_field="answer")
        == [True] * 2
    )
    # Blanks belong to a string, and its literal may stand without quotes.
    fields = [json.dumps({"answer": text}) for text in (" a\nb ", r" a\nb ", "a\nb", "' a\\nb '")]
    assert correct("cruxeval", fields, r"' a\nb '", json_field="answer") == [True, True, False, True]


def test_exact_regex_labels_and_truthfulqa():
    assert correct("exact", ["Paris", " paris\n", "Paris.", ""], "Paris") == [True, True, False, False]
    assert correct("exact", ["b", "c"], ["a", "B"]) == [True, False]
    verdicts = said("regex", ["so A, or B.", "so c", "none"], "b", pattern=r"\b([A-D])\b")
    assert [(one.correct, one.extracted) for one in verdicts] == [(True, "b"), (False, None), (False, None)]
    labels = Question(["x"] * 5, {"ok": [True, 0, "TRUE", None, 1.0]})
    found = judge_here(find_verifier("labels"), labels, Settings(labels="ok"))
    assert [one.correct for one in found] == [True, False, True, None, True]
    answers = ["No, it does not.", "no", "Nothing happens", "nothing happens to you at all", ""]
    assert correct("truthfulqa", answers, ["Nothing happens to you", "No"]) == [
        True,
        True,
        False,
        True,
        False,
    ]
    # The paper's code: letters within words, and any part of a reference.
    assert correct("truthfulqa", answers, ["Nothing happens to you", "No"], preset="paper") == [True] * 4 + [
        False
    ]


def test_json_field_survives_broken_json():
    assert json_field('{"answer": {"a": 1}}', "answer") == '{"a": 1}'
    assert json_field('{"reasoning": "a "quote"", "answer": "x\\ny"}', "answer") == "x\ny"
    assert json_field('{"answer": 12', "answer") == "12"
    assert json_field("12", "answer") is None
    assert correct("gsm8k", ['{"answer": "4"}', "so 4"], "4", json_field="answer") == [True, True]


def test_hostile_samples_cost_their_own_verdict_alone():
    pytest.importorskip("math_verify")
    hang = "$" + "{" * 100_000 + "$"
    outputs = [
        r"\boxed{7}",
        hang,
        "7",
        "{" * 100_000,
        "\\boxed{" * 20_000 + "7" + "}" * 20_000,
        "(" * 100_000,
    ]
    questions = [
        Question(outputs, {"gold": "7"}),
        Question(["7", "8"], {"gold": hang}),
        Question(["7"], {"gold": 7}),
    ]
    with engine.use_threads(2), Workers("math", Settings(limit=0.6)) as workers:
        first, second, third = workers.verdicts(questions)
    assert [one.correct for one in first] == [True, False, True, False, True, False]
    assert [one.error for one in first] == [None, "took too long", None, None, None, None]
    assert second == [Verdict(None, error="gold took too long")] * 2
    assert third == [Verdict(True, "7", "7")]


def test_a_pattern_that_backtracks_for_ever_is_ended():
    settings = Settings(pattern="^(a+)+$", limit=0.5)
    with Workers("regex", settings) as workers:
        ((slow, fast),) = workers.verdicts([Question(["a" * 60 + "b", "aa"], {"gold": "a"})])
    assert (slow.correct, slow.error) == (False, "took too long")
    assert fast.error is None


def test_a_process_that_cannot_start_is_one_sentence(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with Workers("exact", Settings()) as workers, pytest.raises(DivfastError, match="do not start"):
        list(workers.verdicts([Question(["1"], {"gold": "1"})]))


def test_dump_is_written_again_with_its_columns(tmp_path):
    path = write(
        tmp_path / "dump.jsonl",
        (["a", None, "b"], {"gold": "a", "scores": [1, 2.5, None], "task": "t", "model": "m", "level": 3}),
        ([], {"gold": "[1]", "references": ["x"], "correct": [], "task": "t", "model": "m"}),
        (["42", "é"], {"gold": 42, "task": "t", "model": "m", "tests": {"k": [1]}}),
    )
    done = verify(path, "exact", tmp_path / "out.jsonl.gz")
    first, second, third = records(tmp_path / "out.jsonl.gz")
    assert first == {
        "input_id": "0", "prompt": "0?", "outputs": ["a", "", "b"], "scores": [1, 2.5, None], "gold": "a",
        "task": "t", "model": "m", "level": 3, "correct": [True, False, False], "extracted": ["a", None, "b"],
        "expected": "a",
    }  # fmt: skip
    assert (second["outputs"], second["gold"], second["references"]) == ([], "[1]", ["x"])
    assert (third["gold"], third["tests"], third["correct"]) == (42, {"k": [1]}, [True, False])
    assert (done.prompts, done.samples, done.correct, done.incorrect, done.unparseable) == (3, 5, 2, 3, 1)
    assert done.accuracy == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert done.run["dumps"][0]["counts"] == {"null_outputs": 1}
    again = verify(tmp_path / "out.jsonl.gz", "exact", tmp_path / "again.jsonl.gz")
    assert (tmp_path / "again.jsonl.gz").read_bytes() == (tmp_path / "out.jsonl.gz").read_bytes()
    assert str(again.signature) == str(done.signature)
    report = divfast.score(tmp_path / "out.jsonl.gz", ["accuracy", "majority"])
    assert report["accuracy"].mean == done.accuracy


@pytest.mark.parametrize("name", ["exact", "regex"])
def test_threads_and_blocks_change_nothing(tmp_path, name):
    groups = [([f"so {i % 7}", f"so {i % 3}"] * 3, {"gold": str(i % 5)}) for i in range(200)]
    path = write(tmp_path / "dump.jsonl", *groups)
    pattern = r"(\d)" if name == "regex" else None
    made = []
    for threads, size in ((1, 1 << 20), (3, 64)):
        out = tmp_path / f"{threads}.jsonl"
        done = verify(path, name, out, pattern=pattern, threads=threads, block_bytes=size, block_rows=size)
        made.append((out.read_bytes(), str(done.signature), done.errors))
    assert made[0] == made[1]


def test_a_line_per_sample_is_grouped(tmp_path):
    lines = [
        {"id": "a", "output": text, "ok": ok, "gold": "x"} for text, ok in (("x", 1), ("y", 0), ("x", 1))
    ]
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    verify(path, "labels", tmp_path / "out.jsonl", labels="ok")
    (record,) = records(tmp_path / "out.jsonl")
    assert (record["outputs"], record["correct"]) == (["x", "y", "x"], [True, False, True])


def test_interrupted_work_goes_on(tmp_path):
    questions = [Question([str(i)], {"gold": "1"}) for i in range(5)]
    asked = []

    def judging(some):
        for question in some:
            asked.append(question.outputs[0])
            yield [Verdict(True, question.outputs[0])]

    path = tmp_path / "journal"
    first = Journal(path, "recipe")
    stream = first.verdicts(iter(questions), judging)
    before = [next(stream) for _ in range(3)]
    first.close(done=False)
    with path.open("ab") as file:
        file.write(b'["torn')
    asked.clear()
    second = Journal(path, "recipe")
    assert [*second.verdicts(iter(questions[:2]), judging)] == before[:2]
    assert list(second.verdicts(iter(questions[2:]), judging))[:1] == before[2:]
    assert (asked, second.reused) == (["3", "4"], 3)
    second.close(done=False)
    changed = [*questions[:2], Question(["new"], {"gold": "1"}), *questions[3:]]
    asked.clear()
    third = Journal(path, "recipe")
    list(third.verdicts(iter(changed), judging))
    third.close(done=False)
    assert asked == ["new", "3", "4"]
    asked.clear()
    other = Journal(path, "other recipe")
    list(other.verdicts(iter(questions), judging))
    assert len(asked) == 5
    other.close(done=True)
    assert not path.exists()


def test_a_run_that_fails_leaves_its_verdicts_and_no_dump(tmp_path, monkeypatch):
    path = write(tmp_path / "dump.jsonl", *((["1"], {"gold": "1"}) for _ in range(3)))
    real = verified._record
    monkeypatch.setattr(verified, "_record", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verify(path, "cruxeval", tmp_path / "out.jsonl")
    assert [file.name for file in tmp_path.iterdir() if file != path] == [".out.jsonl.verdicts"]
    monkeypatch.setattr(verified, "_record", real)
    done = verify(path, "cruxeval", tmp_path / "out.jsonl")
    assert (done.run["prompts_resumed"], done.accuracy) == (3, 1.0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dump.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"solution_text": "1"},
            {},
            'needs the field "gold" or "references", and no record has one; the fields of its first record are',
        ),
        ({"gold": "1"}, {"gold": "answer"}, 'needs the field "answer", and no record'),
        ({"gold": "1", "scores": [1, 2]}, {}, '"scores" has 2 values for 1 outputs'),
        ({"gold": "1"}, {"verifier": "labels"}, 'labels needs the field "correct", and no record'),
        ({"ok": ["maybe"]}, {"verifier": "labels", "labels": "ok"}, "neither true nor false"),
        ({"gold": "1"}, {"verifier": "regex"}, "regex needs a pattern"),
        ({"gold": "1"}, {"verifier": "regex", "pattern": "("}, "no regular expression"),
        ({"gold": "1"}, {"verifier": "regex", "pattern": "a"}, "has 0 groups"),
        ({"gold": "1"}, {"pattern": "(a)"}, "a pattern is for regex"),
        ({"gold": "1"}, {"preset": "paper"}, "exact has no preset paper"),
        ({"gold": "1"}, {"verifier": "maths"}, "unknown verifier 'maths'"),
        ({"gold": "1"}, {"limit": 0}, "limit must be greater than 0"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, columns, options, message):
    path = write(tmp_path / "dump.jsonl", (["1"], columns))
    with pytest.raises(DivfastError, match=message.replace("(", r"\(").replace("?", r"\?")):
        verify(path, options.pop("verifier", "exact"), tmp_path / "out.jsonl", **options)
    assert not (tmp_path / "out.jsonl").exists()


def test_gold_of_other_types_is_counted(tmp_path):
    golds = [{"a": 1}, [["x"]], None, [], True, 1.5, ["x", 2]]
    path = write(tmp_path / "dump.jsonl", *((["x", "2"], {"gold": gold}) for gold in golds))
    done = verify(path, "exact", tmp_path / "out.jsonl")
    assert done.errors == {"gold is not text": 4, "no gold": 4}
    assert (done.correct, done.incorrect) == (2, 4)


def test_the_dump_itself_is_never_overwritten(tmp_path):
    path = write(tmp_path / "dump.jsonl", (["1"], {"gold": "1"}))
    with pytest.raises(DivfastError, match="is one of the dumps"):
        verify(path, "exact", path)
