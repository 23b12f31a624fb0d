"""What counts as a verdict and as a template; answers on disk."""

import pytest

from divfast.errors import DataError, DivfastWarning
from divfast.judging.answers import Answer, Answers
from divfast.judging.templates import KINDS, Template, find_template, packaged
from divfast.judging.verdicts import pair_verdict, score_verdict
from judging import alone, between, dump, length, longer, preferred, records, scored, shown  # noqa: F401
from openai_server import Server


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
