"""Templates over the columns of a data set, and conditions on them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast.errors import DataError
from divfast.generation.conditions import read_conditions
from divfast.generation.task_file import KEYS
from divfast.generation.template import TRANSFORMS, Template, Unfit

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("template", "record", "value"),
    [
        ("plain", {}, "plain"),
        ("", {}, ""),
        ("{{{a}}}", {"a": 1}, "{1}"),
        ("{a}{b}", {"a": "{b}", "b": 2.5}, "{b}2.5"),
        ("{ a name with blanks }", {"a name with blanks": "x"}, "x"),
        ("{a}", {"a": [1]}, [1]),
        ("{a}", {"a": None}, None),
        ("{a[0]}", {"a": ["x", "y"]}, "x"),
        ("{a[-1][b]}", {"a": [{"b": "x"}, {"b": "y"}]}, "y"),
        ("{a[1]}", {"a": "[1, 2]"}, 2),
        ("{a | strip | lower}", {"a": " AB "}, "ab"),
        ("{a | rstrip .!}", {"a": "hi!.!"}, "hi"),
        ("{a | after ####}", {"a": "#### 1\n#### 2 "}, "2"),
        (r"{a | first boxed}", {"a": r"\boxed{1 \boxed{\frac{1}{2}} and \boxed{3}"}, r"\boxed{\frac{1}{2}}"),
        (r"{a | last boxed}", {"a": r"\boxed{1}, \boxed{\{2\}}, \boxed{"}, r"\boxed{\{2\}}"),
        ("{a | first}", {"a": ["x", "y"]}, "x"),
        ("{a | list}", {"a": "x"}, ["x"]),
        ('{a | join "; "}', {"a": ["x", "y"]}, "x; y"),
        ("{a | join ;}", {"a": ["x", "y"]}, "x;y"),
        ("{a | lines}", {"a": '["x", "y"]'}, "x\ny"),
        ("{a | and b}", {"a": ["x"], "b": "y"}, ["x", "y"]),
        ("{a | and b}", {"a": ["x", "y"], "b": "x"}, ["x", "y"]),
        ("{a | called in b}", {"a": "def g():\n  pass\ndef f(x):\n  pass", "b": ["assert set(f(1))"]}, "f"),
        ("{a | json}", {"a": '{"b": [1]}'}, {"b": [1]}),
        ("{a | json}", {"a": [1]}, [1]),
        ("{a | each json}", {"a": ["{}", {"b": 1}]}, [{}, {"b": 1}]),
        ("{a | without nulls}", {"a": [None, {"b": None, "c": {"d": None}}]}, [None, {"c": {}}]),
        ("{a | non-ascii share}", {"a": "aé"}, 0.5),
        ("{a | non-ascii share}", {"a": ""}, 0.0),
    ],
)
def test_templates(template, record, value):
    assert Template(template).value(record) == value


def test_boxes_take_linear_time():
    text = r"\boxed{" * 100_000 + "1}"
    assert Template("{a | first boxed}").value({"a": text}) == r"\boxed{1}"


@given(st.text(), st.text())
def test_what_is_put_in_is_not_read_again(text, value):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert Template(escaped + "{a}" + escaped).text({"a": value}) == text + value + text


@pytest.mark.parametrize(
    ("template", "record", "sentence"),
    [
        ("{a}", {}, "there is no column 'a'."),
        ("- {a}", {"a": [1]}, "{a} is a list, not text."),
        ("- {a}", {"a": None}, "{a} is null, not text."),
        ("{a[3]}", {"a": ["x"]}, "{a[3]}: there is no [3] in a list."),
        ("{a[b]}", {"a": "text"}, "{a[b]}: there is no [b] in a text."),
        ("{a | lower}", {"a": 3}, "{a | lower}: expected text, got a number."),
        ("{a | lines}", {"a": [3]}, "{a | lines}: expected text, got a number."),
        ("{a | first}", {"a": "x"}, "{a | first}: expected a list, got text."),
        ("{a | first}", {"a": []}, "{a | first}: the list is empty."),
        ("{a | after ####}", {"a": "none"}, "{a | after ####}: there is no #### in it."),
        ("{a | last boxed}", {"a": r"\boxed{1"}, r"{a | last boxed}: there is no \boxed{...} in it."),
        ("{a | and b}", {"a": []}, "{a | and b}: there is no column 'b'."),
        (
            "{a | called in b}",
            {"a": "def f(): pass", "b": "g(1)"},
            "{a | called in b}: it defines no function that is called there.",
        ),
        ("{a | json}", {"a": "{"}, "{a | json}: it is not JSON."),
    ],
)
def test_values_that_do_not_fit(template, record, sentence):
    with pytest.raises(Unfit) as caught:
        Template(template).value(record)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{a", "a brace is left open in '{a'."),
        ("a}", "a brace is left open in 'a}'."),
        ("{}", "{} names no column."),
        ("{a | }", "unknown transform ''."),
        ("{a | stripp}", "unknown transform 'stripp'.\nDid you mean strip"),
        ("{a | after}", "the transform 'after' is followed by a text, not by ''."),
        ("{a | strip x}", "the transform 'strip' is followed by nothing, not by 'x'."),
    ],
)
def test_templates_that_are_none(template, sentence):
    with pytest.raises(DataError) as caught:
        Template(template)
    assert str(caught.value).startswith(sentence)


def test_the_document_lists_every_transform_and_key():
    text = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    for name, transform in TRANSFORMS.items():
        written = f"{name} {transform.argument.split()[-1].upper()}" if transform.argument else name
        assert f"| `{written}` | {transform.summary} |" in text
    table = text[text.index("| key |") : text.index("### Templates")]
    for key in KEYS:
        assert f"`{key}`" in table


# Conditions


@pytest.mark.parametrize(
    ("wanted", "value", "taken"),
    [
        (True, True, True),
        (True, "True", True),
        (True, "false", False),
        ("x", "x", True),
        ("1", 1, False),
        (1, "1", True),
        ({"at least": 2}, 2, True),
        ({"at least": 2}, "1.5", False),
        ({"at least": 2, "at most": 3}, 4, False),
        ({"not": ""}, "", False),
        ({"in": ["a", "b"]}, "b", True),
        ({"not in": ["a", "b"]}, "b", False),
    ],
)
def test_conditions(wanted, value, taken):
    conditions = read_conditions({"{a}": wanted})
    assert all(condition.holds({"a": value}) for condition in conditions) is taken


def test_what_cannot_be_compared():
    (condition,) = read_conditions({"{a}": {"at most": 3}})
    with pytest.raises(Unfit, match=r"\{a\} is text, not to be compared with 3\."):
        condition.holds({"a": "many"})
