"""Programs: where they are found, how they are parsed, and what the published code gives for them."""

import ast
import gzip
import json
import re
import threading
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast
from conftest import SHARED, parity_files
from divfast import _core
from divfast.errors import DataError, MetricError
from divfast.samples import Ragged, Samples
from divfast.views.code import LANGUAGES, STOP, Code
from divfast.views.programs import LONGEST, ProgramView, parse_python
from divfast.views.trees import Programs


def paper_subtrees(node, height):
    """Return what ast.dump writes of the subtrees of a height: slow, as published."""

    def high(node):
        return 1 + max(map(high, ast.iter_child_nodes(node)), default=0)

    return [ast.dump(part) for part in ast.walk(node) if high(part) == height]


def programs_of(*texts, **options):
    view = ProgramView(Code(**options))
    return view.build(Samples.from_lists([texts])), view


@pytest.mark.parametrize("height", [1, 2, 4])
def test_ast_is_the_published_metric(height):
    texts = [
        "def f(a):\n    return a + 1",
        "def f(b):\n    return b + 1\n",
        "x = [i for i in y]\nx = 1",
        "pass",
    ]
    spec = f"ast:height={height}"
    value = divfast.score([texts], [spec], preset="paper", scopes=["prompt"])[spec].mean
    counts = [Counter(paper_subtrees(ast.parse(text), height)) for text in texts]
    distances = [1 - (a & b).total() / (a | b).total() for a, b in combinations(filter(None, counts), 2)]
    assert value == pytest.approx(np.mean(distances), rel=1e-12)


def test_parity():
    (path,) = [path for path in parity_files() if path.stem.startswith("humaneval_7b")] or [None]
    if path is None:
        pytest.skip("the folder of shared test data is absent (DIVFAST_SHARED)")
    values = json.loads(path.read_text("utf-8"))
    with gzip.open(SHARED / "data" / values["file"], "rt", encoding="utf-8", newline="\n") as file:
        records = [json.loads(line) for line in file]
    texts = [[f"{record['prompt']}    {output}" for output in record["outputs"]] for record in records]
    specs = ["ast", "ast_distinct", "unparseable"]
    report = divfast.score(texts, specs, preset="paper", scopes=["prompt", "pooled"])
    for spec, name in (("ast", "ast_pairwise"), ("ast_distinct", "ast_distinct")):
        published = values["per_group"][f"{name}__prompt+4spaces+output"]
        expected = np.array([np.nan if value is None else value for value in published])
        # 1e-9, and half a unit of the last digit that the file prints.
        np.testing.assert_allclose(report[spec].values, expected, rtol=6e-9, atol=1e-12)
    assert 1 - report["unparseable", "pooled"].value == pytest.approx(
        values["corpus"]["ast_parseability"], abs=1e-5
    )


# Where programs are.


def code_of(text, prompt=None, **options):
    samples = Samples.from_lists([[text]], prompts=[prompt])
    found, languages = Code(**options).programs(samples)
    return found.strings()[0], LANGUAGES[languages[0]]


def test_the_longest_block_else_the_text():
    assert code_of("  no fence \n")[0] == "no fence"
    assert code_of("a\n```python\nx\n```\nb\n```\nlonger\n```\n")[0] == "longer"
    assert code_of("```python\nx = 1")[0] == "x = 1"
    assert code_of("```js\nlet longer = 1\n```\n```py\nx\n```")[0] == "x"
    assert code_of("```js\nlet a\n```\n```py\nx\n```", language="auto") == ("let a", "javascript")
    assert code_of("```\nx\n```", language="auto") == ("x", "python")
    assert code_of("```C++\nint a;\n```", language="auto") == ("int a;", "cpp")
    assert code_of("a ``` b ``` c")[0] == "a ``` b ``` c"


words = st.text("ab=\n 1", max_size=12)


@settings(max_examples=60)
@given(
    parts=st.lists(st.tuples(words, st.sampled_from(["python", "", "python "]), words), max_size=3), end=words
)
def test_extraction_is_the_published_one(parts, end):
    text = "".join(f"{said}\n```{tag}\n{code}\n```\n" for said, tag, code in parts) + end
    blocks = re.findall(r"```(?:python)?\s*\n(.*?)```", text, re.DOTALL)
    assert code_of(text)[0] == (max(blocks, key=len) if blocks else text).strip()


PROMPT = 'def f(x):\n    """Doc."""\n'


def test_completions_are_joined_to_their_prompt():
    assert code_of("    return x\n\ndef g(): pass", PROMPT)[0] == f"{PROMPT}    return x"
    assert code_of("    return x\nprint(1)", PROMPT, stop=("zzz",))[0] == f"{PROMPT}    return x\nprint(1)"
    assert code_of("return x", PROMPT)[0] == f"{PROMPT}    return x"
    assert code_of("def f(x): return x", PROMPT)[0] == "def f(x): return x"
    assert code_of("```\nx\n```", PROMPT)[0] == "x"
    assert code_of("    return x", PROMPT, continuation="never")[0] == "return x"
    assert code_of("x = 1", "Write a program.")[0] == "x = 1"
    assert code_of("x = 1", "y = 2\n", continuation="always")[0] == "y = 2\nx = 1"
    assert code_of(" return a; }", "int f(int a) {", language="c")[0] == "int f(int a) { return a; }"
    assert code_of("int g;", "int f(int a) {}", language="c")[0] == "int g;"
    with pytest.raises(DataError, match="no prompts"):
        code_of("x", None, continuation="always")
    assert len(STOP) == 5


def test_a_field_of_programs(tmp_path):
    path = tmp_path / "dump.jsonl"
    path.write_text('{"prompt": "p", "outputs": ["a b", "c"], "code": ["x = 1", null]}\n')
    report = divfast.score(path, ["ast:height=1", "unparseable"], code_field="code", scopes=["prompt"])
    assert report["unparseable"].mean == 0
    assert "prog:python/field.code@" in str(report["unparseable"].signature)
    tokens = divfast.score(path, ["length"], code_field="code", tokenizer="code", scopes=["prompt"])
    assert tokens["length"].mean == 1.5
    with pytest.raises(DataError, match="no field 'nothing'"):
        divfast.score(path, ["ast"], code_field="nothing")


def test_options_that_are_not_known():
    for options in ({"language": "cobol"}, {"continuation": "maybe"}, {"parser": "yacc"}, {"embed": "trees"}):
        with pytest.raises(MetricError, match=r"unknown|cannot embed"):
            divfast.score([["x"]], ["ast"], **options)
    with pytest.raises(MetricError, match="no encoder"):
        divfast.score([["x"]], ["ast"], embed="code")


def test_facts():
    programs, view = programs_of("x = 1", "x = 1", "x = = 1", "```python\nx = 2\n```", "x" * (LONGEST + 1))
    assert programs.parsed.tolist() == [True, True, False, True, False]
    facts = view.facts
    assert (facts["programs"], facts["different"], facts["unparseable"]) == (5, 4, 2)
    assert (facts["unparseable_share"], facts["too_long"], facts["fenced"]) == (0.4, 1, 1)
    assert len(programs.trees) <= 5


def test_identifiers_alike():
    texts = ["def f(a):\n    return a.b(c=1)", "def g(x):\n    return x.y(z=1)"]
    report = divfast.score([texts], ["ast", "ast:identifiers=normalise", "tree_edit:identifiers=normalise"])
    assert report["ast"].mean > 0.5
    assert report["ast:identifiers=normalise"].mean == report["tree_edit:identifiers=normalise"].mean == 0


# What it must survive.


def hostile():
    nested = {"(": ")", "[": "]", "{": "}"}
    deep = ["-", "not ", "lambda: ", "await ", "{1:", "f(", "x[", "*", "~", "x if y else ", "x ** "]
    return [
        *(
            "",
            "\0",
            "x = 1\0",
            "\ud800",
            "'\\ud800'",
            "\ufeffx = 1",
            "\x0c",
            "\\",
            "\\\n",
            "'",
            '"""',
            "f'{",
            "\t x",
        ),
        *(opening * 5000 + closing * 5000 for opening, closing in nested.items()),
        *(opening * 5000 for opening in nested),
        *(unit * 30_000 + "1" for unit in deep),
        *("x" + unit * 30_000 for unit in (".a", "()", "[0]", " + 1", " and x", " < x", " for x in y")),
        *("0x" + "f" * 10_000, "1" * 10_000, "x = 1\n" * 1_700_000, "'a' " * 50_000),
        "\n".join(" " * i + "if x:" for i in range(300)),
        "if a:\n  b\n" + "elif a:\n  b\n" * 3000,
    ]


def test_survives_on_a_thread_too():
    specs = ["ast", "ast_distinct", "tree_edit", "unparseable"]
    reports = []
    one = threading.Thread(
        target=lambda: reports.append(divfast.score([hostile()], specs, scopes=["prompt"]))
    )
    one.start()
    one.join()
    (report,) = reports
    assert 0.5 < report["unparseable"].mean < 1
    assert 0 < report["ast"].mean <= 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_survives_in_every_language(language):
    pytest.importorskip(f"tree_sitter_{language}")
    texts = [text[:20_000] for text in hostile()]
    report = divfast.score(
        [texts], ["unparseable"], language=language, parser="tree-sitter", scopes=["prompt"]
    )
    assert 0 < report["unparseable"].mean < 1
    divfast.score([texts], ["distinct"], language=language, tokenizer="code")


def test_rows_are_as_other_rows():
    programs, _ = programs_of("x = 1", "y", "x = = 1", "x = 1")
    taken = programs.take(np.array([3, 2, 0, 0]))
    assert taken.plain() == [programs.plain()[i] for i in (3, 2, 0, 0)]
    assert len(taken.trees) == 2
    assert taken.joined([programs]).plain() == taken.plain() + programs.plain()
    values, offsets = programs.tape()
    assert bytes(values[: offsets[1]]) == bytes(values[offsets[3] :])
    assert Programs.from_plain(programs.plain()).plain() == programs.plain()
    assert parse_python(Ragged.from_strings([])).plain() == []


def test_sizes_that_are_no_trees():
    labels, roles, offsets = np.zeros(3, np.uint64), np.zeros(3, np.uint16), np.array([0, 3])
    for sizes in ([1, 1, 1], [1, 3, 3], [0, 1, 3], [1, 2, 4], [2, 1, 3]):
        with pytest.raises(ValueError, match="those of trees"):
            _core.subtrees(labels, roles, np.array(sizes, np.int32), offsets, 1, False)
