"""Programs: where they are found, how they are parsed, and what the published code gives for them."""

import ast
import gzip
import json
import random
import re
import threading
from collections import Counter
from itertools import combinations
from pathlib import Path

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
from divfast.views.trees import Programs, Trees

PLAIN = '''
import os.path as p, sys
from . import a
from ..b.c import (d as e, f,)
from typing import *
@decorator.of(1, *x, k=2, **y)
class A(B, metaclass=M):
    """Text."""
    x: int = 3
    y.z: "str"
    def f(self, a, /, b: int = 1, *args, c, d=2, **kw) -> None:
        global g, h
        if a < b <= c is not d not in e:
            return -a ** -b, *c
        elif not a or b and c or d:
            pass; yield
        else:
            x = yield a
        while True:
            break
        else:
            continue
        for i, (j, *k) in enumerate(x), y:
            a[i:j, ::2, ...] += b[1:][None] @ c // d % ~e
        try:
            raise E("a" 'b' r"\\d" """c""") from None
        except (A, B) as e:
            del a.b, c[0], (d)
        finally:
            assert a, "b\\n\\x41\\u00e9\\101\\q"
        with open(a) as b, c:
            x = y, = [z] = lambda a, *b, c=1: (a for a in b if c if d)
        try: pass
        except: x = {**a, 1: 2, "b": b"\\xff" b"\\u"}
    nonlocal q
x = {a, *b} | {i: j for i, j in k} ^ {i for i in j} & [*a, 0x1F, 1., .5, 1e5, 00]
x = a if b else c if d else f(g for g in h)(i, j=k)[l].m << 1 >> 2 - 3 + 4 * 5 / 6
print(()), [], {}, (1,), -1, +2, (yield)
a: (b)
'''.replace(", 00]", ", 0]")


def paper_subtrees(node, height):
    """Return what ast.dump writes of the subtrees of a height: slow, as published."""

    def high(node):
        return 1 + max(map(high, ast.iter_child_nodes(node)), default=0)

    return [ast.dump(part) for part in ast.walk(node) if high(part) == height]


def programs_of(*texts, **options):
    view = ProgramView(Code(**options))
    return view.build(Samples.from_lists([texts])), view


def interpreted(text):
    return Programs(Trees(*_core.ast_nodes([ast.parse(text)])), np.zeros(1, np.int64)).plain()


def parsed(text):
    nodes, plain = _core.parse_python(*_tape(text))
    return Programs(Trees(*nodes), np.zeros(1, np.int64)).plain() if plain[0] else None


def _tape(*texts):
    text = Ragged.from_strings(texts)
    return text.values, text.offsets


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")

# The parser of plain programs beside the interpreter's.


def test_plain_programs_are_parsed_as_the_interpreter_does():
    assert parsed(PLAIN) == interpreted(PLAIN)
    for line in (
        "x = 1",
        "",
        "\n\n# only\n",
        "if a: b; c\n",
        "x = 1 + \\\n  2",
        "def f(a, *, b): ...",
        "a, = b",
    ):
        assert parsed(line) == interpreted(line), line


@pytest.mark.parametrize(
    "text",
    [
        *("f'{x}'", "match [a]:\n    case 1: pass", "(x := 1)", "async def f(): pass", "if x:\n\ty", "1_000"),
        *(
            "é = 1",
            "u'a'",
            "x = 1j",
            "'\\N{DASH}'",
            "with (a): pass",
            "0" * 19 + "1",
            "x\x0c= 1",
            "x = 1\ry = 2",
        ),
        *(
            "1 + " * 200 + "1",
            "a" + ".b" * 200,
            "(" * 60 + ")" * 60,
            "not " * 100 + "a",
            "99999999999999999999",
        ),
        *("try: pass\nexcept* A: pass", "x = *a", "def f[T](): pass", "1if x else 2"),
    ],
)
def test_the_interpreter_is_asked_about_what_is_rare(text):
    assert not _core.parse_python(*_tape(text))[1][0]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x = (1",
            "x = 1)",
            "x = [1)",
            "x = '",
            "x = '''a",
            "x = '\\",
            "if x:\npass",
            "  x",
            "if x:\n    a\n  b",
        ),
        *("x =", "def f():\n", "f(1,\n", "x = 'a\n'", "{'a': 1", "if x: \n", "return 1 +\n"),
    ],
)
def test_what_is_wrong_is_wrong_for_the_interpreter(text):
    nodes, plain = _core.parse_python(*_tape(text))
    assert plain[0]
    assert nodes[-1].tolist() == [0, 0]
    with pytest.raises(SyntaxError):
        ast.parse(text)


_WORDS = (
    *(
        "x",
        "yy",
        "def",
        "if",
        "else",
        "for",
        "in",
        "not",
        "and",
        "or",
        "is",
        "lambda",
        "return",
        "yield",
        "class",
    ),
    *(
        "with",
        "as",
        "try",
        "except",
        "import",
        "from",
        "del",
        "match",
        "case",
        "print",
        "None",
        "True",
        "pass",
    ),
    *(
        "1",
        "2.5",
        "'s'",
        "b'b'",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        ";",
        ".",
        "...",
        "=",
        "==",
        "+",
        "-",
        "*",
    ),
    *(
        "**",
        "/",
        "//",
        "%",
        "@",
        "|",
        "&",
        "<<",
        "<",
        "!=",
        "+=",
        "->",
        "~",
        "\n",
        "\n    ",
        "\n        ",
        "# c\n",
    ),
)


def agrees(text):
    """Whatever the fast parser says of a text, the interpreter says."""
    nodes, plain = _core.parse_python(*_tape(text))
    if not plain[0]:
        return
    try:
        expected = interpreted(text)
    except SyntaxError:
        expected = [None]
    assert Programs(Trees(*nodes), np.zeros(1, np.int64)).plain() == expected, text


@given(words=st.lists(st.sampled_from(_WORDS), max_size=12))
def test_agrees_with_the_interpreter_on_any_words(words):
    agrees(" ".join(words).replace("\n ", "\n"))


def test_agrees_with_the_interpreter_on_broken_programs():
    rng = random.Random(7)
    words = re.findall(r"\w+|\s+|.", PLAIN)
    for _ in range(1500):
        broken = list(words)
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(broken))
            broken[at : at + rng.randint(0, 2)] = rng.choice([[], [rng.choice(_WORDS)], [broken[at]]])
        agrees("".join(broken))


def test_agrees_with_the_interpreter_on_the_standard_library():
    folder = Path(ast.__file__).parent
    texts = [path.read_text("utf-8") for path in sorted(folder.glob("[a-h]*.py"))]
    nodes, plain = _core.parse_python(*_tape(*texts))
    fast = Programs(Trees(*nodes), np.arange(len(texts)))
    slow = Trees(*_core.ast_nodes([ast.parse(text) for text in texts]))
    assert plain.mean() > 0.2
    for i in np.flatnonzero(plain):
        a, b = (slice(*trees.offsets[i : i + 2]) for trees in (fast.trees, slow))
        for name in ("exact", "blind", "roles", "sizes"):
            np.testing.assert_array_equal(getattr(fast.trees, name)[a], getattr(slow, name)[b], texts[i][:80])


# Trees of the interpreter beside ast.dump.


def test_subtrees_are_the_same_where_dumps_are():
    texts = [
        *(
            "1",
            "1.0",
            "True",
            "'1'",
            "b'1'",
            "1j",
            "None",
            "'None'",
            "...",
            "x",
            "'x'",
            "-1",
            "0",
            "False",
            "0.0",
        ),
        *(
            "{1: a, **a}",
            "{**a, 1: a}",
            "f(*a, b)",
            "f(b, *a)",
            "f(a=b)",
            "f(**b)",
            "[a, b]",
            "(a, b)",
            "{a, b}",
        ),
        *("def f(a, *, b=1, c): 0", "def f(a, *, b, c=1): 0", "def f(a, b, /): 0", "def f(a, /, b): 0"),
        *(
            "import a.b",
            "import a as b",
            "from a import b",
            "from .a import b",
            "from . import b",
            "global a, b",
        ),
        *(
            "for x in y: z",
            "for x in y: z\nelse: z",
            "while x: z",
            "x = y",
            "x += y",
            "x: y",
            "(x): y",
            "del x",
        ),
        *(
            "'\\ud800'",
            "'\\udc00'",
            "f'{x}'",
            "f'{x!r}'",
            "f'{x:y}'",
            "u'a'",
            "'a'",
            "x[1:]",
            "x[:1]",
            "x[::1]",
        ),
        *(str(10**30), str(10**30 + 1), "1e400", "0.1", "0.1000000001", "async def f(): await x", "(x := 1)"),
    ]
    trees = [ast.parse(text) for text in texts]
    dumps = [ast.dump(tree) for tree in trees]
    found = Trees(*_core.ast_nodes(trees)).subtrees(99, False, "keep")
    roots = [row[-1] for row in found]
    assert len(set(dumps)) == len(texts)
    assert len(set(roots)) == len(texts)
    parts = [part for tree in trees for part in ast.walk(tree)]
    whole = [row[-1] for row in Trees(*_core.ast_nodes(parts)).subtrees(99, False, "keep")]
    pairs = set(zip(map(ast.dump, parts), (int(print_) for print_ in whole), strict=True))
    assert len(pairs) == len({dump for dump, _ in pairs}) == len({print_ for _, print_ in pairs})


def test_roles_of_a_class_differ():
    for kind in vars(ast).values():
        if isinstance(kind, type) and issubclass(kind, ast.AST):
            fields = kind._fields
            roles = set()
            for field in fields:
                node = ast.Module(body=[], type_ignores=[])
                tree = type("Holder", (ast.AST,), {"_fields": (field,)})()
                setattr(tree, field, node)
                roles.add(int(_core.ast_nodes([tree])[2][0]))
            assert len(roles) == len(fields), kind


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
