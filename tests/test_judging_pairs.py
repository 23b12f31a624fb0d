"""Which of two dumps a judge prefers: by hand, in both orders, and where there is no verdict."""

import numpy as np
import pytest

from divfast.errors import DataError
from divfast.judging.templates import find_template, packaged
from judging import alone, between, dump, length, longer, preferred, records, scored, shown  # noqa: F401
from openai_server import Server, chat


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
        assert all(
            body["temperature"] == 0 and not {"logprobs", "seed"} & body.keys() for body in server.asked
        )
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
