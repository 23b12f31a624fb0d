"""LaTeX of studies without a TeX: an inverse of the escapes, and the structure of every table."""

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast.studies import study
from divfast.studies.tabular import as_tex, md_table, one_line, tex_table
from studying import outputs, write_dump, write_study

NASTY = [
    *(
        "a_b%&#$~^\\{}c",
        "[x]|<y>",
        "*",
        "--n---m",
        "''",
        "??`!`",
        ",,",
        "-12",
        "%",
        "\\\\",
        "\\end{longtable}",
        "7b",
    ),
    *(
        "$x$",
        "a & b",
        "\\_",
        "{",
        "}",
        "#1",
        "~/runs",
        "x^2",
        "new\nline\n\nend",
        "tab\there",
        "\x07",
        "\u200b",
        "",
    ),
]
WORDS = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    **{f"\\{char}": char for char in "&%$#_{}"},
    "$-$": "-",
    "{}": "",
}
TOKEN = re.compile("|".join(re.escape(word) for word in sorted(WORDS, key=len, reverse=True)) + "|(?s:.)")


def tokens(text):
    """Return commands and characters: every special sign must be part of a command that is known here."""
    found = TOKEN.findall(text)
    assert not {one for one in found if one in "\\%$#_{}~^|<>" and len(one) == 1}, text
    return found


def cells_of(line):
    """Return the cells of a row, as they would be read."""
    assert line.endswith(r" \\")
    cells = [[]]
    for token in tokens(line.removesuffix(r" \\")):
        if token == "&":
            cells.append([])
        else:
            cells[-1].append(token)
    return ["".join(WORDS.get(token, token) for token in cell).strip() for cell in cells]


def table_of(text):
    """Return headers and rows of a table, and hold it to the shape of a longtable."""
    first, top, headers, middle, head, *rows, bottom, last = text.split("\n")
    columns = re.fullmatch(r"\\begin\{longtable\}\{([lr]+)\}", first)[1]
    assert (top, middle, head, bottom) == (r"\toprule", r"\midrule", r"\endhead", r"\bottomrule")
    assert last == r"\end{longtable}"
    read = [cells_of(line) for line in (headers, *rows)]
    assert {len(cells) for cells in read} == {len(columns)}
    for line in rows:
        # Behind the end of a row these would be its options.
        assert not line.startswith(("[", "*"))
        # Neighbours that a font would join into another sign.
        assert not re.search(r"--|''|``|,,|\?`|!`", line)
    return columns, read[0], read[1:]


def as_read(cell):
    return one_line(cell).strip()


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_read_as_it_is_written(name):
    rows = [[name, "1.0"], ["x", name], [name, name]]
    _, headers, found = table_of(tex_table([name, "y"], rows))
    assert headers == [as_read(name), "y"]
    assert found == [[as_read(cell) for cell in row] for row in rows]


SIGNS = st.text("\\{}&%$#_~^-'`[]*,?!<>| \n", max_size=8)


@given(st.lists(st.tuples(st.text(max_size=8), SIGNS), min_size=1, max_size=4))
def test_any_name_is_read_as_it_is_written(rows):
    _, _, found = table_of(tex_table(["a", "b"], rows))
    assert found == [[as_read(cell) for cell in row] for row in rows]


def test_numbers_have_a_minus_and_stand_right():
    table = pa.table(
        {"model": ["a-1", "b"], "value": [-0.5, None], "low": [-0.75, None], "high": [0.25, None]}
    )
    text = as_tex(table)
    assert table_of(text)[0] == "lr"
    assert r"a-1 & $-$0.500 [$-$0.750, 0.250] \\" in text


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_markdown_keeps_its_columns(names):
    lines = md_table(names, [names]).split("\n")
    assert len(lines) == 3
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) == len(names) + 1


def test_every_file_of_a_study_with_hostile_names(tmp_path):
    import numpy as np

    random = np.random.default_rng(0)
    models, tasks = ["a_b%&#$~^\\{}c", "[x]|<y>--", "*"], ["t_1&", "100%\\"]
    for task, model in ((task, model) for task in tasks for model in models):
        write_dump(
            tmp_path / f"{model}@{task}.jsonl",
            [outputs(random, 4, 6) for _ in range(8)],
            correct=[[bool(value) for value in random.integers(0, 2, 4)] for _ in range(8)],
        )
    file = write_study(
        tmp_path / "s.yaml",
        study="100 %\nof # it",
        lineages={"l_&": [{"s_#": models[0]}, {"~": models[1]}, {"\\": models[2]}]},
        tasks={task: {"verify": "labels"} for task in tasks},
        dumps="{model}@{task}.jsonl",
        metrics=["unique"],
        options={"answers_field": "outputs"},
    )
    found = study(file, tmp_path / "out")
    for name, table in found.tables.items():
        text = (tmp_path / "out" / f"{name}.tex").read_text("utf-8")
        _, headers, rows = table_of(text.removesuffix("\n"))
        assert len(rows) == len(table)
        column = headers.index("task")
        assert [row[column] for row in rows] == table["task"].to_pylist()
    summary = (tmp_path / "out" / "summary.tex").read_text("utf-8")
    tables = re.findall(r"\\begin\{longtable\}.*?\\end\{longtable\}", summary, re.DOTALL)
    # Stages, losses, accuracies; and stages by task.
    assert len(tables) == 4
    assert table_of(tables[0])[1][:2] == ["metric", "lineage"]
    assert all(len(table_of(text)[2]) > 0 for text in tables)
    outside = re.sub(r"\\begin\{longtable\}.*?\\end\{longtable\}", "", summary, flags=re.DOTALL)
    assert all(line.startswith("%") for line in outside.split("\n") if line)
    first = (tmp_path / "out" / "summary.md").read_text("utf-8").split("\n")[0]
    assert first == "# 100 % of # it"
