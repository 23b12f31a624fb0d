"""A dump that names its task is judged as the task says, and what is said goes before that."""

import json

import pytest
from click.testing import CliRunner

from divfast.cli import main
from divfast.errors import DataError
from divfast.generation.task import all_tasks, find_task
from divfast.judging.templates import OF_TASKS, find_template, packaged
from divfast.judging.ways import find_way
from judging import alone, between, dump, length, longer, records, shown  # noqa: F401
from openai_server import Server

SUMS = 'summary: Add\ndataset: me/sums\nformat: "{a}"\n'


def run(*args):
    return CliRunner().invoke(main, ["judge", *map(str, args)], catch_exceptions=False)


def digest(kind, name=None):
    return find_template(kind, name).digest


@pytest.fixture
def xsum(tmp_path):
    return dump(
        tmp_path / "x.jsonl", [["long one"], ["x"]], task=["xsum"] * 2, references=[["short"], ["yy"]]
    )


def test_every_task_names_a_question_that_is_there():
    named = {name: task.judge.get("prompt") for name, task in all_tasks().items() if "prompt" in task.judge}
    assert named == {
        "tldr": "summary", "cnn_dailymail": "summary", "xsum": "summary", "writingprompts": "story",
    }  # fmt: skip
    for name, kind in OF_TASKS.items():
        assert find_template(kind, name).text == packaged(name)


def test_a_summary_is_compared_with_its_reference(xsum, tmp_path):
    with Server(longer) as server:
        done = run(xsum, "--base-url", server.url, "-o", tmp_path / "pairs.jsonl")
        assert all("better summary" in body["messages"][0]["content"] for body in server.asked)
    assert done.exit_code == 0
    assert "x against references" in done.stdout
    assert f"|judge:m/{digest('pair', 'summary')}|" in done.stdout
    assert "Judged as the task xsum says: with the prompt summary, against its references." in done.stderr
    assert len(records(tmp_path / "pairs.jsonl")) == 2
    assert not (tmp_path / "x.judged.jsonl").exists()


def test_what_is_said_goes_before_the_task(xsum, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text(f"Mine. {packaged('score')}")
    pair = tmp_path / "pair.txt"
    pair.write_text(f"Mine. {packaged('pair')}")
    with Server(lambda *args: (longer if "answer_a" in str(args[2]) else length)(*args)) as server:
        for words, wanted in (
            (["--rubric", "score"], f"rubric:score|judge:m/{digest('score')}"),
            (["--rubric", "reference"], f"rubric:reference|judge:m/{digest('reference')}"),
            (["--template", own], f"rubric:score|judge:m/{digest('score', own)}"),
            (["--template", pair], f"pairs:first|judge:m/{digest('pair', pair)}"),
            (["--task", "gsm8k"], f"rubric:score|judge:m/{digest('score')}"),
            (["--task", "gsm8k", "--against-references"], f"pairs:first|judge:m/{digest('pair')}"),
        ):
            done = run(xsum, "--base-url", server.url, *words)
            assert (done.exit_code, wanted in done.stdout) == (0, True), done.output
            assert "Judged as" not in done.stderr


def test_two_dumps_of_a_task_are_compared_with_its_question(tmp_path):
    a = dump(tmp_path / "a.jsonl", [["aa"]], task=["writingprompts"])
    b = dump(tmp_path / "b.jsonl", [["b"]], task=["writingprompts"])
    bare = dump(tmp_path / "c.jsonl", [["c"]])
    other = dump(tmp_path / "d.jsonl", [["d"]], task=["xsum"])
    with Server(longer) as server:
        for second, name in ((b, "story"), (bare, "story"), (other, "pair")):
            done = run(a, second, "--base-url", server.url)
            assert f"|judge:m/{digest('pair', name)}|" in done.stdout, done.output
    alone_ = run(a, "--base-url", "http://127.0.0.1:1")
    assert alone_.exit_code == 1
    assert alone_.stderr == (
        f"Error: {a}: samples of the task writingprompts are compared with those of the base model.\n"
        "       Name that dump too, or ask for scores: --rubric score.\n"
    )


def test_a_checklist_of_a_task(tmp_path):
    path = dump(tmp_path / "w.jsonl", [["a"], ["bb"]], task=["wildbench"] * 2, checklist=[None, ["Short?"]])
    with Server(length) as server:
        done = run(path, "--base-url", server.url)
    assert f"rubric:checklist|judge:m/{digest('checklist')}" in done.stdout
    assert "Judged as the task wildbench says: with the prompt checklist." in done.stderr
    assert "1 samples of prompts without a checklist were not judged." in done.stderr


def test_an_unknown_task_is_told_in_one_sentence(tmp_path):
    path = dump(tmp_path / "d.jsonl", [["a"]], task=["sums"])
    with Server(length) as server:
        done = run(path, "--base-url", server.url)
        quiet = run(path, "--base-url", server.url, "--rubric", "score")
    assert (done.exit_code, f"|judge:m/{digest('score')}|" in done.stdout) == (0, True)
    assert "The task sums is none of divfast's: judged with the general prompt." in done.stderr
    assert "none of divfast's" not in quiet.stderr
    wrong = run(path, "--base-url", "http://127.0.0.1:1", "--task", "xsun")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (1, 2)
    assert "unknown task 'xsun'.\n       Did you mean xsum" in wrong.stderr


def test_a_task_of_ones_own_brings_its_question(tmp_path):
    (tmp_path / "mine.txt").write_text(f"Mine. {packaged('reference')}")
    task = tmp_path / "sums.yaml"
    task.write_text(f"{SUMS}judge: {{how: reference, prompt: mine.txt}}")
    path = dump(tmp_path / "d.jsonl", [["a"]], task=["sums"], gold=[4])
    with Server(length) as server:
        done = run(path, "--base-url", server.url, "--task", task)
    assert f"rubric:reference|judge:m/{digest('reference', tmp_path / 'mine.txt')}" in done.stdout
    for said, sentence in (
        ("{how: pair, prompt: stories}", "judge: there is no prompt 'stories' for how: pair."),
        ("{how: score, prompt: story}", "judge: there is no prompt 'story' for how: score."),
        ("{how: score, prompt: mine.txt}", "has an unknown field"),
        ("{against: base}", "judge: does not say how."),
        ("{how: score, against: base}", "judge: against is for how: pair."),
        ("{how: pair, prompt: 3}", "judge: expected text, got a number."),
    ):
        (tmp_path / "mine.txt").write_text("{prompt} {response} {what} Score: N")
        task.write_text(f"{SUMS}judge: {said}")
        with pytest.raises(DataError) as caught:
            find_task(task)
        assert sentence in str(caught.value)


def test_a_dump_of_ones_own_task_names_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.yaml").write_text(f"{SUMS}judge: {{how: reference}}")
    for drawn, how in (("tasks/sums.yaml", "reference"), ("tasks/gone.yaml", None), ("sums", None)):
        path = dump(tmp_path / "d.jsonl", [["a"]], task=["sums"], generation=[{"prompts": drawn}])
        assert find_way([path]).how == how
    # A file does not take the place of a task that there is.
    (tmp_path / "xsum.yaml").write_text(f"{SUMS}judge: {{how: score}}")
    path = dump(tmp_path / "d.jsonl", [["a"]], task=["xsum"], generation=[{"prompts": "xsum.yaml"}])
    assert find_way([path]).how == "pair"


def test_several_tasks_in_one_dump_are_not_judged_as_the_first(tmp_path):
    path = dump(tmp_path / "d.jsonl", [["a"], ["b"]], task=["wildbench", "xsum"], checklist=[["Q"], None])
    with Server(length) as server:
        done = run(path, "--base-url", server.url)
        assert (done.exit_code, server.asked) == (1, [])
        assert f"Error: {path}: holds samples of several tasks" in done.stderr
        assert run(path, "--base-url", server.url, "--rubric", "score").exit_code == 0


def test_the_judge_of_a_task_is_taken_among_several(xsum):
    with Server(longer, models=["other", "gpt-4.1-mini"]) as server:
        done = run(xsum, "--base-url", server.url)
        assert {body["model"] for body in server.asked} == {"gpt-4.1-mini"}
        assert done.exit_code == 0
        many = run(xsum, "--base-url", server.url, "--task", "gsm8k")
        assert "which model of the server?" in many.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("X --samples 1", "of the task xsum it is compared with its references: say --rubric score"),
        ("X --against-references --explain", "leave out --against-references"),
        ("X X --against-references", "leave out the second"),
        ("X --rubric score --against-references", "leave out --rubric"),
        ("X --rubric score --pairs 2", "--pairs is for two dumps, or for --against-references"),
    ],
)
def test_wrong_words_are_usage(xsum, words, said):
    done = run(*(xsum if word == "X" else word for word in words.split()), "--base-url", "http://127.0.0.1:1")
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_the_question_of_a_task_is_shown(xsum):
    assert run(xsum, "--show-prompt").stdout == f"# summary\n{packaged('summary')}"
    assert run("--task", "wildbench", "--show-prompt").stdout == f"# checklist\n{packaged('checklist')}"
    assert run("--rubric", "reference", "--show-prompt").stdout == f"# reference\n{packaged('reference')}"
    assert packaged("reference").rstrip() in run("--show-prompt").stdout


def test_the_task_is_that_of_the_first_record(tmp_path):
    for first, how in (({"task": "xsum"}, "pair"), ({"task": 3}, None), ({}, None), ("[", None)):
        path = tmp_path / "d.jsonl"
        path.write_text((first if isinstance(first, str) else json.dumps(first)) + "\n")
        assert find_way([path]).how == how
    assert find_way(["-"]).how is None
    assert find_way([tmp_path / "none.jsonl"]).how is None
