"""Verdicts by execution: how programs and tests are put together, and labels that others made."""

import gzip
import json

import pytest

from divfast.errors import MetricError
from divfast.quality import code
from divfast.quality.verified import verify
from divfast.quality.verifiers import Question, Settings, Verdict, find_verifier, open_judging
from divfast.sandbox.ways import why_not

HUMANEVAL = {
    "tests": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n",
    "entry_point": "square",
}
PROMPT = 'def square(x):\n    """ Return x times x. """\n'
SETTINGS = Settings(allow_code_execution=True, limit=2)


@pytest.fixture(autouse=True)
def sandbox():
    """Skip where programs cannot be closed off."""
    reasons = {way: why_not(way) for way in ("bwrap", "namespaces")}
    if all(reasons.values()):
        pytest.skip("; ".join(f"{way}: {reason}" for way, reason in reasons.items()))


def judged(name, question, settings=SETTINGS):
    with open_judging(find_verifier(name), settings) as judging:
        return next(iter(judging([question])))


def correct(name, question, settings=SETTINGS):
    return [verdict.correct for verdict in judged(name, question, settings)]


def records(path):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file.read().split("\n") if line]


def test_humaneval():
    outputs = [
        "    return x * x\n",
        "    return x * x\n\ndef other():\n    return",
        "    return x + x\n",
        "    return x *\n",
        "```python\ndef square(x):\n    return x ** 2\n```",
        "Sure!\n```\ndef square(x):\n    return helper(x)\n\ndef helper(x):\n    return x * x\n```\nDone.",
        "def square(x): return x * x",
        "",
        "    return x * x\n",
    ]
    found = judged("code", Question(outputs, HUMANEVAL, prompt=PROMPT))
    assert [one.correct for one in found] == [True, True, False, False, True, True, True, False, True]
    assert [one.error for one in found if one.error] == ["AssertionError", "SyntaxError", "AssertionError"]
    assert found[0].extracted == PROMPT + "    return x * x"
    assert found[3].extracted is None
    # Without a name, the last function of the prompt is meant.
    tests = {"tests": HUMANEVAL["tests"]}
    assert correct("code", Question(outputs[:1], tests, prompt=PROMPT)) == [True]
    assert judged("code", Question(["x = 1"], tests)) == [Verdict(None, error="no entry_point")]


def test_mbpp_and_other_tests():
    program = "import math\ndef area(r):\n    return math.pi * r * r"
    asserts = ["assert round(area(1), 2) == 3.14", "assert area(0) == 0"]
    outputs = [program, program.replace("math.pi", "3.1"), f"[BEGIN]\n```\n{program}\n```"]
    for columns in (
        {"tests": asserts},
        {"tests": "\n".join(asserts)},
        {"test_list": [asserts[0].replace("round", "rounded")], "test_setup_code": "rounded = round"},
        {"test": asserts[0], "test_imports": ["import sys"], "test_setup_code": ""},
    ):
        assert correct("code", Question(outputs, columns, prompt="Write area.")) == [True, False, True]
    for tests, error in (
        (None, "no tests"),
        ([], "no tests"),
        ({"a": 1}, "tests are not text"),
        ([1], "tests are not text"),
    ):
        assert judged("code", Question(["x"], {"tests": tests})) == [Verdict(None, error=error)]
    assert judged("code", Question(["x = 1"], {"tests": "assert ("})) == [
        Verdict(False, "x = 1", None, "SyntaxError")
    ]


def test_options_are_those_of_the_view():
    ended = Question(["    return x * x\nEND"], HUMANEVAL, prompt=PROMPT)
    assert correct("code", ended) == [False]
    assert correct("code", ended, Settings(allow_code_execution=True, stop=("\nEND",))) == [True]
    assert correct("code", ended, Settings(allow_code_execution=True, continuation="never")) == [False]
    column = Question(
        ["no program", "x"], {**HUMANEVAL, "programs": ["square = lambda x: x * x", None]}, prompt=PROMPT
    )
    assert correct("code", column, Settings(allow_code_execution=True, code_field="programs")) == [
        True,
        False,
    ]
    with pytest.raises(MetricError, match="unknown continuation"):
        code.check(Settings(allow_code_execution=True, continuation="maybe"))


def test_verify_runs_what_the_metrics_over_programs_parse():
    import divfast

    outputs = ["    return x * x\n", "```python\ndef square(x): return x*x\n```", "    return (x"]
    question = Question(outputs, HUMANEVAL, prompt=PROMPT)
    found = [verdict.extracted for verdict in judged("code", question)]
    lines = [
        {"prompt": PROMPT, "outputs": outputs},
        {"prompt": "?", "outputs": [text or "(" for text in found]},
    ]
    groups = divfast.Samples.from_lists(
        [line["outputs"] for line in lines], prompts=[line["prompt"] for line in lines]
    )
    whole, again = divfast.score(groups, ["unparseable", "ast"]).groups.to_pylist()
    assert (whole["unparseable"], whole["ast"]) == (again["unparseable"], again["ast"])
    assert whole["unparseable"] == pytest.approx(1 / 3)


def test_cruxeval_by_execution():
    functions = "def f(x):\n    return sorted(x)\nassert [1, 2] == "
    asked = {"tests": functions, "references": ["[2, 1]"]}
    outputs = [
        "f([1, 2])",
        "f([2, 1])",
        "[2, 1]",
        "f([1])",
        "f(",
        "[1, 2]",
        "f([1, 2]) or True",
        "",
        "f([2, 1]))\n#",
    ]
    found = judged("cruxeval", Question(outputs, asked))
    assert [one.correct for one in found] == [True, True, True, False, False, True, True, False, False]
    assert (found[0].extracted, found[0].expected) == ("[1, 2]", "[1, 2]")
    answer = {"tests": functions, "references": ["[1, 2]"]}
    # The function is not there to be asked.
    outputs = ["[1, 2]", "sorted([2, 1])", "f([2, 1])", "[2, 1]", "0 or True", "(1, 2)"]
    assert correct("cruxeval", Question(outputs, answer)) == [True, True, False, False, False, False]
    assert correct("cruxeval", Question(outputs, answer), Settings())[:2] == [True, False]
    fields = Settings(allow_code_execution=True, json_field="answer")
    assert correct("cruxeval", Question(['{"answer": "[1, 2]"}'], answer), fields) == [True]
    assert judged("cruxeval", Question(["1"], {"tests": "x = 1"})) == [
        Verdict(None, error="tests end with no assertion")
    ]


def test_nothing_runs_without_permission(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text(
        json.dumps({"id": "a", "prompt": PROMPT, "outputs": ["    return 1"], **HUMANEVAL}) + "\n"
    )
    with pytest.raises(MetricError, match="code runs programs that a model wrote") as caught:
        verify(path, "code", tmp_path / "out.jsonl")
    assert "--allow-code-execution" in str(caught.value)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_dump_goes_on_where_it_stood_and_says_how_it_was_run(tmp_path, monkeypatch):
    from divfast.quality import verified

    path = tmp_path / "d.jsonl"
    lines = [
        {
            "id": str(i),
            "prompt": PROMPT,
            "outputs": ["    return x * x", f"    return {i}"] * 2,
            **HUMANEVAL,
            "odd": i,
        }
        for i in range(6)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    real = verified._record
    monkeypatch.setattr(verified, "_record", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verify(path, "code", tmp_path / "out.jsonl", allow_code_execution=True)
    monkeypatch.setattr(verified, "_record", real)
    made = []
    for threads, way in ((1, "auto"), (3, "namespaces")):
        if way != "auto" and why_not(way):
            continue
        done = verify(
            path, "code", tmp_path / "out.jsonl", allow_code_execution=True, threads=threads, sandbox=way
        )
        made.append(((tmp_path / "out.jsonl").read_bytes(), str(done.signature)))
        assert done.run["sandbox"].split()[0] in ("bwrap", "namespaces")
    assert len(set(made)) == 1
    assert (done.correct, done.incorrect, done.accuracy) == (12, 12, 0.5)
    assert "prog:python/auto|python:3." in made[0][1]
    assert records(tmp_path / "out.jsonl")[0]["tests"] == HUMANEVAL["tests"]
    renamed = tmp_path / "r.jsonl"
    renamed.write_text(path.read_text().replace('"tests"', '"checks"'))
    done = verify(renamed, "code", tmp_path / "o.jsonl", gold="checks", allow_code_execution=True)
    assert done.correct == 12


def test_a_function_that_the_prompt_does_not_name_may_have_any_name():
    columns = {"tests": "assert square(3) == 9", "entry_point": "square"}
    outputs = [
        "def sq(x):\n    return x * x",
        "def square(x):\n    return x * x",
        "square = lambda x: 9",
        "x = 9",
    ]
    outputs += ["def sq(x):\n    return x + x"]
    assert correct("code", Question(outputs, columns, prompt="Write a function that squares.")) == [
        *(True, True, True, False, False)
    ]
    # HumanEval's prompts name theirs.
    assert correct(
        "code", Question(["```python\ndef sq(x):\n    return x * x\n```"], HUMANEVAL, prompt=PROMPT)
    ) == [False]
