"""Python programs are parsed as the interpreter does, and subtrees are the same where ast.dump says so."""

import ast
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import _core
from divfast.samples import Ragged
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
