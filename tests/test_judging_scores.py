"""Scores of a judge: where they stand, what takes them, what is asked once, what an interrupted run leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import divfast
from divfast.errors import DataError, MetricError, ServerError
from divfast.judging.judge import open_language_judge
from divfast.judging.scores import score_samples
from divfast.judging.templates import find_template
from judging import alone, between, dump, length, longer, preferred, records, scored, shown  # noqa: F401
from openai_server import Reply, Server


def test_scores_stand_beside_the_dump(tmp_path):
    path = dump(
        tmp_path / "d.jsonl", [["a", "bbb"], ["cc", "dddddddddddd"]], correct=[[True, False], [False, True]],
        extracted=[["1", "2"], ["3", "4"]], model=["M", "M"], task=["t", "t"],
    )  # fmt: skip
    before = path.read_bytes()
    out = tmp_path / "out.jsonl"
    with Server(length) as server:
        found = scored(server, path, out, explain=True)
        assert len(server.asked) == 5  # 12 is no score: asked for twice
    assert path.read_bytes() == before
    first, second = records(out)
    assert (first["scores"], second["scores"]) == ([1.0, 3.0], [2.0, None])
    assert first["judge_said"] == ["Score: 1", "Score: 3"]
    assert (first["correct"], first["extracted"], first["model"]) == ([True, False], ["1", "2"], "M")
    # (1 + 3) / 2 and 2.
    assert (found.mean, found.scored, found.judged, found.malformed, found.unusable) == (2.0, 3, 4, 1, 1)
    assert f"judge_score|prompts:2|samples:4|rubric:score|judge:m/{find_template('score').digest}|" in str(
        found.signature
    )
    assert (found.model, found.task) == ("M", "t")


def test_every_field_of_the_dump_stays(tmp_path):
    first = {
        "input_id": "a", "prompt": "?", "outputs": ["x", "yy"], "reasoning": ["hm", None], "output_tokens": [1, 2],
        "finish_reasons": ["stop", "length"], "logprobs": [-0.5, None], "model": "m", "task": "t",
        "generation": {"model": "m", "seed": 7, "sampling": {"stop": ["\n"]}},
        "messages": [{"role": "user", "content": "?"}], "references": ["r"], "correct": [True, None],
        "extracted": ["x", None], "expected": "x", "checklist": ["Q"], "mine": {"a": [1, {"b": 2.50}]}, "\u00e9": 1e300,
    }  # fmt: skip
    path = tmp_path / "d.jsonl"
    path.write_text(
        "".join(json.dumps(one) + "\n" for one in (first, {"input_id": "b", "prompt": "!", "outputs": []}))
    )
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    with Server(length) as server:
        scored(server, path, once, rubric="score", explain=True)
        scored(server, once, twice, rubric="score", samples=1)
    added = {"scores": [1.0, 2.0], "judge_said": ["Score: 1", "Score: 2"]}
    assert records(once)[0] == first | added
    assert list(records(once)[0])[-2:] == ["scores", "judge_said"]
    # What an earlier judge said is replaced, not mixed with the new.
    assert records(twice)[0] == first | {"scores": [1.0, None]}
    assert records(twice)[1]["scores"] == []


def test_metrics_take_the_scores(tmp_path):
    path = dump(
        tmp_path / "d.jsonl", [["aaaaaaa b", "b", "aaaaaaaa c"], ["c", "dd e"]],
        correct=[[True, False, False], [False, True]], partition=[[0, 0, 1], [0, 1]],
    )  # fmt: skip
    out = tmp_path / "out.jsonl"
    with Server(length) as server:
        scored(server, path, out)
    report = divfast.score(str(out), ["best_of", "utility_k:p=0.5"])
    assert (
        report["best_of"].mean == 0.5
    )  # the third sample of three is best and wrong, the second of two right
    # By hand: (9 + 0 + 10 / 4) / 1.75 and (1 + 4 / 2) / 1.5.
    assert report["utility_k:p=0.5"].mean == pytest.approx(((9 + 2.5) / 1.75 + 3 / 1.5) / 2)
    high = divfast.score(str(out), ["distinct:n=1"], where="scores>=9")
    assert high.groups["n"].to_pylist() == [2, 0]
    assert high["distinct:n=1"].mean == 1.0
    assert "|where:scores>=9|" in str(high["distinct:n=1"].signature)
    assert divfast.score(str(out), ["length"], where="scores < 5").groups["n"].to_pylist() == [1, 2]
    with pytest.raises(DataError, match='no sample has a "points"'):
        divfast.score(str(out), ["length"], where="points>5")
    with pytest.raises(DataError, match="neither true nor false"):
        divfast.score(str(out), ["length"], where="scores")


def test_a_checklist_is_gone_through_where_there_is_one(tmp_path):
    lists = [["Is it  short?", "Is it true?"], "One thing; another", None, []]
    path = dump(tmp_path / "d.jsonl", [["a"], ["bb"], ["ccc"], ["d"]], checklist=lists)
    out = tmp_path / "out.jsonl"
    with Server(length) as server:
        found = scored(server, path, out)
        asked = [between(body["messages"][0]["content"], "questions", None) for body in server.asked]
        assert sorted(asked) == ["- Is it short?\n- Is it true?", "One thing; another"]
        assert [one["scores"] for one in records(out)] == [[1.0], [2.0], [None], [None]]
        assert records(out)[0]["checklist"] == lists[0]
        assert (found.rubric, found.mean, found.without_checklist, found.unusable) == ("checklist", 1.5, 2, 0)
        plain = scored(server, path, out, rubric="score")
        assert (plain.rubric, plain.scored) == ("score", 4)
        bare = dump(tmp_path / "bare.jsonl", [["a"]])
        with pytest.raises(DataError, match="no prompt has a checklist"):
            scored(server, bare, tmp_path / "no.jsonl", rubric="checklist")
        assert not (tmp_path / "no.jsonl").exists()


def test_only_the_first_samples(tmp_path):
    path, out = dump(tmp_path / "d.jsonl", [["a", "bb", "ccc"], ["d"]]), tmp_path / "out.jsonl"
    with Server(length) as server:
        found = scored(server, path, out, samples=1)
    assert [one["scores"] for one in records(out)] == [[1.0, None, None], [1.0]]
    assert (found.judged, found.samples) == (2, 4)


def test_a_second_run_asks_nothing(tmp_path):
    path, out = dump(tmp_path / "d.jsonl", [["a", "bb"], ["bb", "none" * 5]]), tmp_path / "out.jsonl"
    with Server(length) as server:
        first = scored(server, path, out)
        written, asked = out.read_bytes(), len(server.asked)
        assert asked == 3 + 1 + 1  # of the same answer to other prompts each; one that is no score twice
        url = server.url
    # The server is gone by now.
    with open_language_judge(url, "m") as judge:
        second = score_samples(path, judge, out)
    assert out.read_bytes() == written
    assert (second.mean, second.signature) == (first.mean, first.signature)
    assert (second.malformed, second.unusable) == (first.malformed, first.unusable) == (1, 1)
    assert second.run["judge"]["asked"] == 0
    with Server(length) as server:
        for more in ({"max_tokens": 7}, {"cache": False}):
            scored(server, path, out, judge=more)
        with open_language_judge(server.url, "other") as judge:
            score_samples(path, judge, out)
        assert len(server.asked) == 3 * asked


def test_killed_and_gone_on_with(tmp_path):
    path = dump(tmp_path / "d.jsonl", [[f"{'x' * i}{j}" for j in range(8)] for i in range(8)])
    out = tmp_path / "out.jsonl"
    code = """
import sys
from divfast.judging import answers
from divfast.judging.judge import open_language_judge
from divfast.judging.scores import score_samples
answers._FLUSH_SECONDS = 0.05
with open_language_judge(sys.argv[1], "m", concurrency=2) as judge:
    score_samples(sys.argv[2], judge, sys.argv[3])
"""
    for stop in (signal.SIGKILL, signal.SIGINT):
        with Server(length, slow=0.02) as server:
            process = subprocess.Popen(
                [sys.executable, "-c", code, server.url, path, out],
                stderr=subprocess.PIPE,
                env={**os.environ},
            )
            while len(server.asked) < 20:
                time.sleep(0.005)
            process.send_signal(stop)
            process.communicate(timeout=20)
            assert process.returncode != 0
            assert not out.exists()
    with Server(length) as server:
        found = scored(server, path, out)
        assert 0 < len(server.asked) < 64 - 30
    assert found.scored == 64
    assert [one["scores"] for one in records(out)] == [[float(i + 1)] * 8 for i in range(8)]


def test_what_was_said_before_an_error_is_kept(tmp_path):
    path = dump(tmp_path / "d.jsonl", [[f"{'x' * i}" for i in range(1, 9)]])

    def answer(number, path, body):
        return Reply({"error": "no more"}, 403) if number >= 5 else length(number, path, body)

    with Server(answer) as server, pytest.raises(ServerError, match="no more"):
        scored(server, path, tmp_path / "out.jsonl", judge={"concurrency": 1})
    assert not (tmp_path / "out.jsonl").exists()
    with Server(length) as server:
        assert scored(server, path, tmp_path / "out.jsonl").scored == 8
        assert len(server.asked) == 3


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    with Server(length) as server:
        url = server.url
    started = time.monotonic()
    with open_language_judge(url, "m") as judge, pytest.raises(ServerError, match="Start the server"):
        score_samples(dump(tmp_path / "d.jsonl", [["a"]]), judge, tmp_path / "out.jsonl")
    assert time.monotonic() - started < 2


def test_bad_calls_are_one_sentence(tmp_path):
    path = dump(tmp_path / "d.jsonl", [["a"]])
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"input_id": "a", "outputs": ["x"]}\n')
    with Server(length) as server:
        with pytest.raises(DataError, match="has no prompt, and a judge must see one"):
            scored(server, bare, tmp_path / "o.jsonl")
        with pytest.raises(DataError, match="has no prompt, and a judge must see one"):
            preferred(server, bare, bare)
        with pytest.raises(MetricError, match="unknown rubric"):
            scored(server, path, tmp_path / "o.jsonl", rubric="lists")
        with pytest.raises(MetricError, match="pairs"):
            preferred(server, path, path, pairs="some")
        with pytest.raises(divfast.errors.OutputError, match="is one of the dumps"):
            scored(server, path, path)
        assert not server.asked
