"""Programs in eight languages: their trees, their tokens, and the edit distance of trees."""

import io
import tokenize
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast
from divfast import _core
from divfast.errors import ModelError
from divfast.views.code import LANGUAGES
from divfast.views.grammars import open_grammar
from divfast.views.trees import Programs

tree_sitter = pytest.importorskip("tree_sitter")

SAME = {
    "python": ("def f(a):\n    return a + 1", "def f(a):  # c\n    return a+1\n"),
    "javascript": ("function f(a) { return a + 1; }", "function f(a) {\n  // c\n  return a+1\n}"),
    "typescript": ("const f = (a: number) => a + 1;", "const f = (a: number) => a+1 /* c */"),
    "java": (
        "class A { int f(int a) { return a + 1; } }",
        "class A {\n int f(int a) {\n return a+1; } // c\n}",
    ),
    "c": ("int f(int a) { return a + 1; }", "int f(int a)\n{\n  return a+1; /* c */\n}"),
    "cpp": ("int f(int a) { return a + 1; }", "int f(int a)\n{\n  return a+1; // c\n}"),
    "go": (
        "package p\nfunc f(a int) int { return a + 1 }",
        "package p\n\nfunc f(a int) int {\n\treturn a+1 // c\n}",
    ),
    "rust": ("fn f(a: i32) -> i32 { return a + 1; }", "fn f(a: i32) -> i32 {\n    return a+1; // c\n}"),
}


def scores(language, *texts, specs=("ast", "ast:identifiers=normalise", "unparseable")):
    report = divfast.score([texts], specs, language=language, parser="tree-sitter", scopes=["prompt"])
    return [report[spec].mean for spec in specs]


@pytest.mark.parametrize("language", LANGUAGES)
def test_layout_and_comments_are_nothing(language):
    a, b = SAME[language]
    assert scores(language, a, b) == [0, 0, 0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_and_operators_are_something(language):
    a, _ = SAME[language]
    renamed, minus = a.replace("a:", "b:").replace("a)", "b)").replace("a +", "b +"), a.replace("+", "-")
    if language in ("java", "c", "cpp"):
        renamed = a.replace("int a", "int b").replace("a +", "b +")
    if language == "go":
        renamed = a.replace("a int", "b int").replace("a +", "b +")
    kept, blind, wrong = scores(language, a, renamed)
    assert kept > 0
    assert (blind, wrong) == (0, 0)
    assert scores(language, a, minus)[1] > 0
    assert np.isnan(scores(language, a, a[: len(a) // 2] + "@")[0])


def test_typescript_with_markup():
    assert scores("typescript", "let a = <b c={1}/>;", "let a = <T>x;")[2] == 0


def test_languages_of_fences():
    samples = [
        f"```{tag}\n{SAME[language][0]}\n```" for tag, language in (("js", "javascript"), ("rs", "rust"))
    ]
    report = divfast.score([samples], ["unparseable", "ast"], language="auto", scopes=["prompt"])
    assert report["unparseable"].mean == 0
    assert report["ast"].mean > 0.9
    assert report.run["dumps"][0]["programs"]["languages"] == {"javascript": 1, "rust": 1}


def test_a_grammar_that_is_not_there(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tree_sitter_rust", None)
    with pytest.raises(ModelError, match=r"(?s)rust need tree-sitter.*divfast\[programs\]"):
        open_grammar("rust")


def test_a_program_that_is_too_long_is_not_parsed():
    report = divfast.score(
        [["a < " * 16_000, "class A {}"]], ["unparseable"], language="java", scopes=["prompt"]
    )
    assert report["unparseable"].mean == 0.5
    assert report.run["dumps"][0]["programs"]["too_long"] == 1


# Tokens.


def tokens(language, text):
    return [token.decode() for token in _core.code_token_strings(text.encode(), LANGUAGES.index(language))]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "x //= 2 ** 3 # no", ["x", "//=", "2", "**", "3"]),
        ("python", 'f(rb\'a\\\'b\', """c\n\'d""")', ["f", "(", "rb'a\\'b'", ",", '"""c\n\'d"""', ")"]),
        ("python", "1e-5 .5 0x1F 1_000", ["1e-5", ".5", "0x1F", "1_000"]),
        ("javascript", "a = b / c / /d[/]e/g; // f", ["a", "=", "b", "/", "c", "/", "/d[/]e/g", ";"]),
        ("javascript", "`a${`b${c}`}d` ?? e?.f", ["`a${`b${c}`}d`", "??", "e", "?.", "f"]),
        (
            "typescript",
            "let $a: A<B> = x === 1",
            ["let", "$a", ":", "A", "<", "B", ">", "=", "x", "===", "1"],
        ),
        ("java", '/* a */ String s = """\nb"c""";', ["String", "s", "=", '"""\nb"c"""', ";"]),
        ("c", "*p->q != 'a' #x", ["*", "p", "->", "q", "!=", "'a'", "#", "x"]),
        (
            "cpp",
            'auto s = R"x(a)")x"; 1\'000 a <=> b',
            ["auto", "s", "=", 'R"x(a)")x"', ";", "1'000", "a", "<=>", "b"],
        ),
        ("go", "x := <-c &^ `a\nb`", ["x", ":=", "<-", "c", "&^", "`a\nb`"]),
        (
            "rust",
            "/* /* */ */ &'a r#\"b\"c\"# 'd' 0..=9 r#type",
            ["&", "'a", 'r#"b"c"#', "'d'", "0", "..=", "9", "r#type"],
        ),
        ("rust", "'é' b'\\n' 1.5 x.0", ["'é'", "b'\\n'", "1.5", "x", ".", "0"]),
        ("c", '"open\nx', ['"open', "x"]),
        ("java", "/* open", []),
        ("python", "", []),
        ("go", "ünï ☃", ["ünï", "☃"]),
    ],
)
def test_tokens(language, text, expected):
    assert tokens(language, text) == expected


def test_tokens_are_those_of_the_interpreter():
    nothing = {
        *(
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        ),
    }
    folder = Path(tokenize.__file__).parent
    for name in ("tokenize", "dataclasses", "textwrap", "heapq", "decimal", "ast"):
        text = (folder / f"{name}.py").read_text("utf-8")
        found = tokenize.generate_tokens(io.StringIO(text).readline)
        assert tokens("python", text) == [token.string for token in found if token.type not in nothing], name


@pytest.mark.parametrize("language", ["javascript", "java", "c", "cpp", "go", "rust"])
def test_tokens_are_those_of_pygments(language):
    lexers = pytest.importorskip("pygments.lexers")
    text = {
        "javascript": "const f = (a) => { return a.b >= 1.5 && !c || 'd' !== \"e\"; };",
        "java": 'public int f(List<String> a) { return a.size() << 2 != 0x1F ? "b" : c++; }',
        "c": 'int main(void) { char *s = "a\\"b"; return s[0] == \'c\' && --x; }',
        "cpp": "std::vector<int> v = {1, 2}; for (auto& x : v) y += x->z;",
        "go": "func f(a []int) (b int, err error) { for i := range a { b += i } ; return }",
        "rust": "fn f(a: &mut Vec<u8>) -> Option<u8> { let b = a.iter().map(|x| x + 1); None }",
    }[language]
    lexer = lexers.get_lexer_by_name(language)
    # It cuts operators and strings as it likes; joined without white space both are the text.
    assert "".join(tokens(language, text)) == "".join(
        "".join(part for _, part in lexer.get_tokens(text)).split()
    )
    words = [part.strip() for kind, part in lexer.get_tokens(text) if part.strip() and "Name" in str(kind)]
    assert set(words) <= set(tokens(language, text))


@given(text=st.text("ab1.\"'`\\/*#$rR({[ \né", max_size=30), language=st.sampled_from(LANGUAGES))
def test_tokens_stand_in_the_text(text, language):
    at = 0
    for token in tokens(language, text):
        assert token
        at = text.index(token, at) + len(token)


def test_metrics_over_words_take_them():
    samples = ["```python\nx=1 # a\n```", "x = 1"]
    for spec in ("jaccard", "edit:unit=words", "self_bleu:n=2"):
        if "unit" in spec:
            continue
        report = divfast.score([samples], [spec], tokenizer="code", scopes=["prompt"])
        assert report[spec].mean == (0 if spec == "jaccard" else 1)
        assert "tok:code/python/auto" in str(report[spec].signature)


# Edit distance of trees.


def random_tree(random, nodes):
    """Return a tree of that many nodes, whose shape is anything from a chain to a star."""
    parents = [random.integers(max(0, i - random.integers(1, i + 1)), i) for i in range(1, nodes)]
    labels = random.integers(0, 3, nodes)

    def below(i):
        return (
            int(labels[i]),
            int(labels[i]),
            0,
            tuple(below(j + 1) for j, p in enumerate(parents) if p == i),
        )

    return below(0)


def test_tree_edit_by_hand():
    def distance(a, b, **options):
        rows = Programs.from_plain([a, b])
        from divfast.metrics.tree_edit import tree_edit

        return tree_edit(rows, np.array([0, 2]), **options)[0]

    def node(label, *children):
        return (label, 0, 0, children)

    assert distance(node(1), node(1)) == 0
    assert distance(node(1), node(2)) == 2 / 3
    assert distance(node(1), node(2), identifiers="normalise") == 0
    # Zhang and Shasha's own example: f(d(a c(b)) e) and f(c(d(a b)) e) are 2 apart.
    a = node(6, node(4, node(1), node(3, node(2))), node(5))
    b = node(6, node(3, node(4, node(1), node(2))), node(5))
    assert distance(a, b) == 4 / 14
    assert np.isnan(distance(a, b, most=5))


def test_tree_edit_from_either_side():
    from divfast.metrics.tree_edit import tree_edit
    from divfast.reference.tree_edit import tree_edit as reference

    random = np.random.default_rng(5)
    for _ in range(60):
        rows = [random_tree(random, random.integers(1, 12)) for _ in range(3)]
        got = tree_edit(Programs.from_plain(rows), np.array([0, 3]))
        np.testing.assert_allclose(got, reference(rows, [0, 3]), rtol=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_tree_edit_is_that_of_zss(seed):
    zss = pytest.importorskip("zss")
    from divfast.metrics.tree_edit import tree_edit

    def converted(tree):
        made = zss.Node(str(tree[0]))
        for child in tree[3]:
            made.addkid(converted(child))
        return made

    random = np.random.default_rng(seed)
    a, b = (random_tree(random, random.integers(1, 40)) for _ in range(2))
    d = zss.simple_distance(converted(a), converted(b))
    rows = Programs.from_plain([a, b])
    expected = 2 * d / (len(rows.trees.exact) + d)
    assert tree_edit(rows, np.array([0, 2]))[0] == pytest.approx(expected, rel=1e-12)
