"""Scores and preferences of a judge: what it is asked, what counts as a verdict, what is asked only once."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import divfast
from divfast.errors import DataError, DivfastWarning, MetricError, ServerError
from divfast.generation import openai_client
from divfast.judging.answers import Answer, Answers
from divfast.judging.judge import open_language_judge
from divfast.judging.pairwise import prefer
from divfast.judging.scores import score_samples
from divfast.judging.templates import KINDS, Template, find_template, packaged
from divfast.judging.verdicts import pair_verdict, score_verdict
from openai_server import Reply, Server, chat


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
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


def test_a_win_rate_by_hand(tmp_path):
    # A wins the first prompt, loses the second and the third, ties the fourth: 1.5 of 4.
    a = dump(tmp_path / "a.jsonl", [["long one"], ["x"], ["y"], ["same"]])
    b = dump(tmp_path / "b.jsonl", [["short"], ["longer"], ["yy"], ["mase"]])
    with Server(longer) as server:
        found = preferred(server, a, b, tmp_path / "pairs.jsonl")
        assert len(server.asked) == 8
        assert sorted(map(shown, server.asked)) == sorted(
            (f"Prompt {i}?", *texts)
            for i, (one, other) in enumerate(
                [("long one", "short"), ("x", "longer"), ("y", "yy"), ("same", "mase")]
            )
            for texts in ((one, other), (other, one))
        )
        assert all(body["temperature"] == 0 and "logprobs" not in body for body in server.asked)
    assert (found.win_rate, found.wins, found.ties, found.losses) == (1.5 / 4, 1, 1, 2)
    assert found.interval[0] < found.win_rate < found.interval[1]
    assert (found.shown_first, found.shown_second, found.called_tie) == (3, 3, 2)
    assert (found.position_bias, found.contradicted, found.without_verdict) == (0.5, 0, 0)
    digest = find_template("pair").digest
    assert str(found.signature).startswith(
        f"win_rate|prompts:4|pairs:first|judge:m/{digest}|tokens:2048|data:"
    )
    assert [(one["verdicts"], one["win"]) for one in records(tmp_path / "pairs.jsonl")] == [
        (["A", "A"], 1.0), (["B", "B"], 0.0), (["B", "B"], 0.0), (["tie", "tie"], 0.5),
    ]  # fmt: skip


def test_the_other_way_round_is_the_rest(tmp_path):
    a = dump(tmp_path / "a.jsonl", [["long one"], ["x"], ["y"]])
    b = dump(tmp_path / "b.jsonl", [["short"], ["longer"], ["yy"]])
    with Server(longer) as server:
        one, other = preferred(server, a, b), preferred(server, b, a)
        # The same questions, in another order of orders.
        assert len(server.asked) == 6
    assert one.win_rate == pytest.approx(1 - other.win_rate)
    assert (one.wins, one.losses) == (other.losses, other.wins)


def test_a_judge_that_likes_a_place_adds_nothing(tmp_path):
    a, b = dump(tmp_path / "a.jsonl", [["x"], ["y"]]), dump(tmp_path / "b.jsonl", [["v"], ["w"]])
    with Server(lambda *_: chat("[[A]]")) as server:
        found = preferred(server, a, b)
    assert (found.win_rate, found.ties, found.contradicted, found.position_bias) == (0.5, 2, 2, 1.0)


def test_a_tie_in_one_order_is_half_a_win_more(tmp_path):
    def answer(_number, _path, body):
        return chat("Verdict: A" if shown(body)[1] == "x" else "Verdict: tie")

    a, b = dump(tmp_path / "a.jsonl", [["x"]]), dump(tmp_path / "b.jsonl", [["v"]])
    with Server(answer) as server:
        found = preferred(server, a, b)
    assert (found.win_rate, found.wins, found.shown_first, found.called_tie) == (0.75, 1, 1, 1)
    assert np.isnan(found.interval).all()


@pytest.mark.parametrize(
    ("pairs", "which"),
    [("first", [(0, 0)]), ("all", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]), (2, [(0, 0), (1, 1)]),
     (9, [(0, 0), (1, 1)])],
)  # fmt: skip
def test_which_samples_are_paired(tmp_path, pairs, which):
    a, b = dump(tmp_path / "a.jsonl", [["a", "aa", "aaa"]]), dump(tmp_path / "b.jsonl", [["b", "bb"]])
    with Server(longer) as server:
        found = preferred(server, a, b, tmp_path / "pairs.jsonl", pairs=pairs)
    assert [(one["a"], one["b"]) for one in records(tmp_path / "pairs.jsonl")] == which
    # By length: the mean over pairs of 1, 0.5 or 0.
    assert found.win_rate == pytest.approx(np.mean([np.sign(i - j) / 2 + 0.5 for i, j in which]))
    assert f"pairs:{pairs}|" in str(found.signature)


def test_equal_texts_are_ties_without_a_question(tmp_path):
    a, b = dump(tmp_path / "a.jsonl", [["x"], ["yy"]]), dump(tmp_path / "b.jsonl", [["x"], ["z"]])
    with Server(longer) as server:
        found = preferred(server, a, b)
        assert len(server.asked) == 2
    assert (found.win_rate, found.identical, found.ties) == (0.75, 1, 1)


def test_prompts_are_joined_by_their_ids(tmp_path):
    a = dump(tmp_path / "a.jsonl", [["aa"], ["a"]])
    b = tmp_path / "b.jsonl"
    b.write_text(
        '{"input_id": "p9", "prompt": "?", "outputs": ["b"]}\n'
        '{"input_id": "p0", "prompt": "Another text", "outputs": ["b"]}\n'
    )
    with Server(longer) as server:
        found = preferred(server, a, b)
        assert {shown(body)[0] for body in server.asked} == {"Prompt 0?"}
    assert (found.prompts, found.only_a, found.only_b, found.different_prompts, found.win_rate) == (
        1,
        1,
        1,
        1,
        1.0,
    )
    with Server(longer) as server, pytest.raises(DataError, match="no input_id is in both"):
        preferred(
            server,
            dump(tmp_path / "c.jsonl", []) if False else a,
            dump(tmp_path / "d.jsonl", [["x"]], input_id=["q"]),
        )


def test_malformed_verdicts_are_asked_for_once_more_and_never_guessed(tmp_path):
    def answer(_number, _path, body):
        _, a, b = shown(body)
        text = body["messages"][0]["content"]
        if "bad" in (a, b):
            return chat("I like A.", finish_reason="length")
        if "slow" in (a, b) and packaged("reminder") not in text:
            return chat("Verdict: A\nVerdict: B")
        return longer(_number, _path, body)

    a = dump(tmp_path / "a.jsonl", [["bad"], ["slow"], ["good"]])
    b = dump(tmp_path / "b.jsonl", [["x"], ["x"], ["x"]])
    with Server(answer) as server:
        found = preferred(server, a, b)
        assert len(server.asked) == 6 + 4
    assert (found.malformed, found.unusable, found.without_verdict, found.undefined) == (4, 2, 1, 1)
    assert (found.win_rate, found.wins) == (1.0, 2)
    assert found.run["judge"]["cut"] == 2


def test_one_order_alone_is_no_verdict_on_a_pair(tmp_path):
    def answer(_number, _path, body):
        return chat("Verdict: A" if shown(body)[1] == "x" else "none")

    a, b = dump(tmp_path / "a.jsonl", [["x"]]), dump(tmp_path / "b.jsonl", [["v"]])
    with Server(answer) as server:
        found = preferred(server, a, b)
    assert np.isnan(found.win_rate)
    assert (found.wins, found.without_verdict, found.unusable, found.shown_first) == (0, 1, 1, 1)


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


def test_answers_survive_torn_files_and_many_files(tmp_path):
    folder = tmp_path / "answers"
    many = Answers(folder)
    for i in range(70):
        many.add(i.to_bytes(16, "little"), Answer(f"text {i} \ud800", i % 2 == 0))
        many.flush()
    assert len(list(folder.glob("*.arrow"))) == 70
    again = Answers(folder)
    assert len(list(folder.glob("*.arrow"))) == 1
    assert again.get((3).to_bytes(16, "little")) == Answer("text 3 ?", False)
    (folder / "torn.arrow").write_bytes(next(folder.glob("*.arrow")).read_bytes()[:500])
    with pytest.warns(DivfastWarning, match="torn or foreign"):
        assert Answers(folder).get((69).to_bytes(16, "little")) == Answer("text 69 ?", False)


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path):
    (tmp_path / "file").write_text("")
    answers = Answers(tmp_path / "file" / "answers")
    answers.add(b"k" * 16, Answer("a", False))
    with pytest.warns(DivfastWarning, match="judging goes on without"):
        answers.flush()
    answers.add(b"l" * 16, Answer("b", False))
    answers.flush()
    assert answers.get(b"k" * 16) == Answer("a", False)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Verdict: A",
            "verdict: a",
            "**Verdict: A**",
            "__Verdict:__ A",
            "So\nFinal verdict: A.\n",
            "# Verdict\n[[A]]",
        ),
        *(
            "[[A]]",
            "[[A>B]]",
            "x [[A>>B]] y",
            "[[B<A]]",
            "[[ A > B ]]",
            "<think>Verdict: B</think>Verdict: A",
        ),
        "Verdict: A\n\nVerdict: A",
    ],
)
def test_verdicts_for_a(text):
    assert pair_verdict(text) == "A"


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "The verdict: A is better", "Verdict: C", "Verdict: A or B", "Verdict: A\nVerdict: tie"),
        *(
            "Verdict: AB",
            "[[A>B]] [[B>A]]",
            "Verdict: A</think>",
            "[[D]]",
            "Verdict:\nnone",
            "Verdict: \u0410",
        ),
        *("\n" * 200_000, "*" * 200_000, "Verdict: " * 50_000, "[[" * 100_000, "-\n" * 100_000),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_verdict(text):
    assert pair_verdict(text) is None


def test_ties():
    assert [
        pair_verdict(text) for text in ("Verdict: tie", "Verdict: Tie.", "[[A=B]]", "[[C]]", "[[tie]]")
    ] == ["tie"] * 5


@pytest.mark.parametrize(
    ("text", "score"),
    [
        *(
            ("Score: 7", 7),
            ("**Score:** 10", 10),
            ("Rating: [[3]]", 3),
            ("score: 7.5", 7.5),
            ("Score: 4 out of 10", 4),
        ),
        *(
            ('{"strengths": "x", "score": "6"}', 6),
            ('"score": 6,', 6),
            ("Score: 5\nScore: 5", 5),
            ("Score: 1.", 1),
        ),
        *(
            ("Score: 0", None),
            ("Score: 11", None),
            ("Score: -3", None),
            ("Score: 5\nScore: 6", None),
            ("7", None),
        ),
        *(
            ("I give it 7/10", None),
            ("Score: seven", None),
            ("Score: 7 or 8", None),
            ("Score: 7/100", None),
            ("", None),
        ),
    ],
)
def test_scores(text, score):
    assert score_verdict(text) == score


@pytest.mark.parametrize("kind", KINDS)
def test_the_texts_of_the_package_are_templates(kind, tmp_path):
    file = tmp_path / "own.txt"
    file.write_text(packaged(kind), "utf-8")
    assert find_template(kind, file) == find_template(kind)
    assert len(find_template(kind).digest) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{prompt} Score: N", r"has no field {response}"),
        ("{prompt} {response} {gold} Score: N", r"has an unknown field {gold}"),
        ("{prompt} {response}", "does not say how the verdict"),
    ],
)
def test_what_is_no_template(text, said, tmp_path):
    file = tmp_path / "own.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=said):
        find_template("score", file)
    with pytest.raises(DataError, match="cannot be read"):
        find_template("score", tmp_path / "none.txt")


def test_a_template_of_ones_own_is_asked_and_signed(tmp_path):
    file = tmp_path / "own.txt"
    file.write_text('Q: {prompt} <answer>\n{response}\n</answer> JSON {"score": "[1-10]"}, {0}')
    path = dump(tmp_path / "d.jsonl", [["{prompt}"]])
    with Server(length) as server:
        found = scored(server, path, tmp_path / "out.jsonl", template=file)
        assert server.asked[0]["messages"][0]["content"] == (
            'Q: Prompt 0? <answer>\n{prompt}\n</answer> JSON {"score": "[1-10]"}, {0}'
        )
    assert f"judge:m/{Template('score', file.read_text()).digest}|" in str(found.signature)


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
