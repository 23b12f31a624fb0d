"""What a judge is shown beside a sample: references, and conversations whole; prompts without them are left out."""

import json

import pytest

from divfast.errors import DataError
from divfast.judging.shown import references_of, request_of
from divfast.judging.templates import find_template
from divfast.quality.verifiers import Question
from judging import alone, between, dump, length, longer, preferred, records, scored, shown  # noqa: F401
from openai_server import Server, chat


def asked(server, name):
    return [between(body["messages"][0]["content"], name, None) for body in server.asked]


def turns(*texts):
    roles = ("user", "assistant") * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def test_scores_beside_references(tmp_path):
    path = dump(
        tmp_path / "d.jsonl", [["a", "bb"], ["ccc"], ["dddd"], ["e"]],
        references=[["One.", "Other."], None, [], [None, " "]], gold=["not this", 42, None, None],
    )  # fmt: skip
    out = tmp_path / "out.jsonl"
    with Server(length) as server:
        found = scored(server, path, out, rubric="reference")
        assert sorted(asked(server, "reference")) == ["1. One.\n\n2. Other."] * 2 + ["42"]
    assert [one["scores"] for one in records(out)] == [[1.0, 2.0], [3.0], [None], [None]]
    assert (found.rubric, found.judged, found.without_reference, found.unusable) == ("reference", 3, 2, 0)
    assert f"|rubric:reference|judge:m/{find_template('reference').digest}|" in str(found.signature)


def test_a_field_may_be_named_for_the_reference(tmp_path):
    path = dump(tmp_path / "d.jsonl", [["a"]], references=["no"], ideal=["Yes."])
    with Server(length) as server:
        found = scored(server, path, tmp_path / "out.jsonl", rubric="reference", gold="ideal")
        assert asked(server, "reference") == ["Yes."]
        assert "|gold:ideal|" in str(found.signature)
        with pytest.raises(DataError, match="no prompt has a reference: there is no other") as caught:
            scored(server, path, tmp_path / "no.jsonl", rubric="reference", gold="other")
    assert "--gold" in caught.value.remedy
    assert not (tmp_path / "no.jsonl").exists()


def test_a_template_takes_what_it_has_fields_for(tmp_path):
    path = dump(tmp_path / "d.jsonl", [["a"], ["b"]], checklist=[["Q?"], None], gold=["x", None])
    own = tmp_path / "own.txt"
    with Server(length) as server:
        for text, rubric, judged in (
            ("{prompt} {response} Score: N", "score", 2),
            ("{prompt} {response} {reference} Score: N", "reference", 1),
            ("{prompt} {response} {checklist} {reference} Score: N", "checklist", 1),
        ):
            own.write_text(text + "<answer>\n7\n</answer>")
            found = scored(server, path, tmp_path / "out.jsonl", template=own)
            assert (found.rubric, found.judged) == (rubric, judged)


def test_a_dump_is_compared_with_its_references(tmp_path):
    # Longer than the first reference, shorter, equal; no reference.
    path = dump(
        tmp_path / "d.jsonl", [["long one", "?"], ["x"], ["same"], ["z"]],
        references=[["short", "a much longer one"], ["longer"], ["same"], None],
    )  # fmt: skip
    out = tmp_path / "pairs.jsonl"
    with Server(longer) as server:
        found = preferred(server, path, None, out)
        assert len(server.asked) == 4
        all_ = preferred(server, path, None, pairs="all")
    assert (found.a, found.b) == ("d", "references")
    assert (found.wins, found.losses, found.ties, found.identical) == (1, 1, 1, 1)
    assert (found.win_rate, found.prompts, found.only_a, found.only_b) == (0.5, 3, 1, 0)
    assert [(one["a"], one["b"]) for one in records(out)] == [(0, 0)] * 3
    # Every sample with every reference: 2 x 2 of the first prompt, of which one wins.
    assert (all_.pairs, all_.wins) == (6, 1)
    assert len(found.run["dumps"]) == 1
    # Other references are other data.
    other = dump(tmp_path / "e.jsonl", [["long one", "?"]], references=[["none"]])
    with Server(longer) as server:
        assert preferred(server, other, None).signature.parts["data"] != found.signature.parts["data"]
        bare = dump(tmp_path / "bare.jsonl", [["a"]])
        with pytest.raises(DataError, match="there is no references and no gold"):
            preferred(server, bare, None)


def test_a_pair_may_be_shown_with_a_reference(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text(
        find_template("pair").text.replace("</request>", "</request>\n<reference>\n{reference}\n</reference>")
    )
    a = dump(tmp_path / "a.jsonl", [["aa"], ["a"]])
    b = dump(tmp_path / "b.jsonl", [["b"], ["bb"]], gold=["Right.", None])
    with Server(longer) as server:
        found = preferred(server, a, b, template=own)
        assert asked(server, "reference") == ["Right."] * 2
        with pytest.raises(DataError, match="no prompt has a reference"):
            preferred(server, a, a, template=own)
    assert (found.win_rate, found.pairs, found.without_reference, found.undefined) == (1.0, 1, 1, 1)


def test_a_conversation_is_shown_whole(tmp_path):
    talk = turns("Name a tree.", "Oak.", "Another?")
    path = tmp_path / "d.jsonl"
    lines = [
        {"input_id": "a", "prompt": "Another?", "messages": talk, "outputs": ["Elm"]},
        {"input_id": "b", "prompt": talk, "outputs": ["Ash"]},
        {"input_id": "c", "prompt": "Hi", "messages": turns("Hi"), "outputs": ["Ho"]},
        {"input_id": "d", "messages": [{"role": "system", "content": "Be brief."}, *turns("Hi")], "outputs": ["x"]},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Server(length) as server:
        scored(server, path, tmp_path / "out.jsonl")
        of = dict(zip(asked(server, "answer"), asked(server, "request"), strict=True))
    assert of["Elm"] == of["Ash"]
    assert [of["Elm"].index(text) for text in ("Name a tree.", "Oak.", "Another?")] == sorted(
        of["Elm"].index(text) for text in ("Name a tree.", "Oak.", "Another?")
    )
    assert of["Elm"].count("<message from=") == 3
    assert of["Ho"] == "Hi"
    assert "Be brief." in of["x"]
    with Server(lambda *_: chat("[[A]]")) as server:
        preferred(server, path, dump(tmp_path / "b.jsonl", [["E"]], input_id=["a"]))
        assert asked(server, "request") == [of["Elm"]] * 2


def test_what_is_no_conversation_is_a_prompt():
    for prompt in ("[{", '[{"role": 1}]', '[{"a": "b"}]', "[]", "[{]", None, ""):
        assert request_of(Question([], prompt=prompt)) == prompt
    parts = [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]}]
    assert request_of(Question([], {"messages": parts})) == "OneTwo"
    # A reader may know more of a single message, such as its attachments.
    assert request_of(Question([], {"messages": parts}, prompt="x")) == "x"
    assert request_of(Question([], prompt=json.dumps(parts))) == "OneTwo"


def test_conversations_in_logs_of_others(tmp_path):
    talk = turns("Name a tree.", "Oak.", "Another?")
    sample = {"id": "a", "epoch": 1, "input": talk, "target": "Elm"}
    sample["output"] = {"choices": [{"message": {"content": "Ash"}, "stop_reason": "stop"}]}
    log = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}, "samples": [sample]}
    inspect = tmp_path / "log.json"
    inspect.write_text(json.dumps(log))
    harness = tmp_path / "samples_t.jsonl"
    harness.write_text(
        json.dumps(
            {"doc_id": 0, "doc": {}, "target": "Elm", "arguments": {"gen_args_0": {"arg_0": talk}},
             "resps": [["Ash"]], "filtered_resps": ["Ash"]}
        ) + "\n"
    )  # fmt: skip
    shown_ = []
    for path in (inspect, harness):
        with Server(length) as server:
            scored(server, path, tmp_path / "out.jsonl", judge={"cache": False})
            shown_ += asked(server, "request")
    assert len(shown_) == 2
    assert all("Oak." in text and text.count("<message from=") == 3 for text in shown_)
    assert references_of(Question([], {"references": {"a": 1}})) == ['{"a": 1}']
