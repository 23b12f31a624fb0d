"""What a study says in words, against numbers by hand; every column of every table explained."""

import itertools

import numpy as np
import pytest

from divfast.errors import DataError
from divfast.studies import study
from divfast.studies.columns import COLUMNS, TITLES
from divfast.studies.conducting import TABLES
from divfast.studies.summary import by_task, explained, scope, sections
from studying import outputs, write_dump, write_study

LINEAGES = {"a": [{"base": "base"}, {"sft": "sft"}, {"rl": ["rl-1", "rl-2"]}]}


@pytest.fixture
def means(tmp_path):
    """Conduct a study of means."""

    def means(text, **keys):
        (tmp_path / "m.csv").write_text(text)
        keys = {"lineages": LINEAGES, "means": "m.csv", **keys}
        return study(write_study(tmp_path / "s.yaml", **keys), tmp_path / "out")

    return means


def words(found):
    return [sentence for section in sections(found.study, found.tables) for sentence in section.words]


def test_in_words(means):
    text = "task,model,d,e\nt,base,100,10\nt,sft,40,5\nt,rl-1,20,6\nt,rl-2,40,6\n"
    assert words(means(text)) == [
        "a, from base to 2 models: sft takes 50 to 60%, rl changes it by -10 to 10%; 30 to 60% are left. "
        "Most is lost at sft: by both metrics."
    ]


def test_most_is_lost_where_it_is(means):
    text = "task,model,d\n" + "".join(
        f"{task},base,100\n{task},sft,{sft}\n{task},rl-1,{rl}\n{task},rl-2,{rl}\n"
        for task, sft, rl in (("t", 90, 50), ("u", 90, 50), ("v", 50, 40))
    )
    assert words(means(text)) == [
        "a, from base to 2 models: sft takes 23%, rl takes 30%; 47% are left. "
        "Most is lost at rl: in 2 of 3 tasks."
    ]


@pytest.mark.parametrize(
    ("sft", "rl", "told"),
    [
        (110, 120, "sft adds 10%, rl adds 10%; 120% are left. No stage takes anything."),
        (100, 100, "sft changes it by 0%, rl changes it by 0%; 100% are left. No stage takes anything."),
    ],
)
def test_nothing_is_lost(means, sft, rl, told):
    found = means(f"task,model,d\nt,base,100\nt,sft,{sft}\nt,rl-1,{rl}\nt,rl-2,{rl}\n")
    assert words(found) == [f"a, from base to 2 models: {told}"]


def test_nothing_to_lose(means):
    found = means("task,model,d\nt,base,0\nt,sft,1\nt,rl-1,1\nt,rl-2,1\n")
    assert words(found) == ["a: there is nothing in the base to lose."]


def test_metrics_that_fall_with_diversity_are_not_in_words(means):
    text = "task,model,d,self_bleu\nt,base,100,1\nt,sft,40,3\nt,rl-1,30,4\nt,rl-2,30,4\n"
    told = words(means(text))
    assert told[0].startswith("a, from base to 2 models: sft takes 60%, rl takes 10%; 30% are left.")
    assert told[1] == "Left out of these words, since more of it is not more diverse: self_bleu."


def test_models_without_lineages_have_their_values(tmp_path):
    random = np.random.default_rng(2)
    for model, spread in (("one", 9), ("two", 2)):
        write_dump(tmp_path / f"{model}.jsonl", [outputs(random, 4, spread) for _ in range(20)])
    keys = {
        "models": ["one", "two"],
        "tasks": ["t"],
        "dumps": "{model}.jsonl",
        "metrics": ["unique", "distinct:n=1"],
    }
    found = study(write_study(tmp_path / "s.yaml", options={"at_k": [2]}, **keys))
    (table,) = sections(found.study, found.tables)
    assert (table.title, table.headers) == (
        "Diversity of every model, on t",
        ("model", "unique", "distinct:n=1", "length"),
    )
    assert [row[0] for row in table.rows] == ["one", "two"]
    (row,) = [
        row for row in found["values"].to_pylist() if (row["model"], row["metric"]) == ("two", "unique")
    ]
    assert table.rows[1][1] == f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


def test_right_samples(means):
    text = "task,model,d_all,d_correct\nt,base,100,60\nt,sft,40,30\n"
    found = means(text, lineages={"a": ["base", "sft"]})
    assert words(found)[0].endswith("40% are left. Among right samples alone the loss is 50% of that.")


def test_averages_over_fewer_tasks_say_so(means):
    text = "task,model,d,e\nt,base,4,4\nt,sft,2,2\nu,base,4,\nu,sft,2,\n"
    found = means(text, lineages={"a": ["base", "sft"]})
    table = next(section for section in sections(found.study, found.tables) if section.rows)
    assert table.headers == ("metric", "lineage", "tasks", "sft", "retained")
    assert table.rows == (("d", "a", "2", "-50", "50"), ("e", "a", "1", "-50", "50"))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A study with verdicts, factors, and lengths that change."""
    folder = tmp_path_factory.mktemp("study")
    random = np.random.default_rng(0)
    for model, task, heat in itertools.product(("base", "sft"), ("x", "y"), ("cold", "hot")):
        spread = {"base": 10, "sft": 3}[model]
        samples = [outputs(random, 5, spread) for _ in range(40)]
        samples[:30] = [
            [f"{text} so{' so' * int(random.integers(0, 3))}" for text in texts] for texts in samples[:30]
        ]
        # The likely ones first.
        correct = [[True, *(bool(value) for value in random.integers(0, 2, 4))] for _ in range(40)]
        write_dump(folder / f"{model}-{task}@{heat}.jsonl", samples, correct=correct)
    file = write_study(
        folder / "s.yaml",
        study="A *study*",
        lineages={"a": ["base", "sft"]},
        tasks={"x": {"verify": "labels"}, "y": {"verify": "labels"}},
        dumps="{model}-{task}@{heat}.jsonl",
        factors={"heat": ["cold", "hot"]},
        metrics=["unique", "distinct:n=3", "length"],
        options={"answers_field": "outputs", "at_k": [2]},
    )
    return study(file, folder / "out")


def test_every_column_is_explained(found):
    assert set(COLUMNS) == set(TITLES) == set(TABLES) == set(found.tables)
    for name, _, columns in explained(found.tables):
        told = {column for column, _ in columns}
        ends = {column for column in found[name].column_names if column.endswith(("_low", "_high"))}
        assert set(found[name].column_names) - told - ends == ({"heat"} if name != "factors" else set())
        # And nothing that is not there.
        assert set(COLUMNS[name]) == told


def test_summary_of_dumps(found):
    assert scope(found.study, found.tables) == "2 models, 2 tasks, 80 prompts; heat cold, hot"
    told = words(found)
    for sentence in (told[0], told[2]):
        assert sentence.startswith("a, from base to sft: sft takes ")
        assert "(significant by both metrics); " in sentence
        assert "At equal length " in sentence
    assert told[1] == "Left out of these words, since more of it is not more diverse: length."
    titles = [section.title for section in sections(found.study, found.tables)]
    assert titles[0] == "Where diversity is lost, averaged over tasks (heat cold)"
    assert len(titles) == 6
    assert next(by_task(found.study, found.tables)).title == "unique, heat cold"
    text = (found.study.folder / "out" / "summary.md").read_text("utf-8")
    for line in (
        "# A *study*",
        f"- {told[0]}",
        "### unique, heat hot",
        "### decomposition",
        "| loss | base_all - model_all: all that is lost |",
    ):
        assert line in text.split("\n")
    # A table of Markdown has as many cells everywhere.
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.strip().split("\n")}) == 1


def test_what_misleads_is_said(found):
    remarks = found.run["remarks"]
    first = next(one for one in remarks if one.startswith("x, heat cold: first samples are right in 100.0%"))
    assert first.endswith("so samples stand in an order: read gain_over_mean, not mv_gain.")
    # Two words have no three of them.
    assert any("distinct:n=3 is undefined for some model on 10 of 40 prompts" in one for one in remarks)
    assert not any("unique is undefined" in one for one in remarks)


def test_samples_in_no_order_are_not_said_to_stand_in_one(tmp_path):
    random = np.random.default_rng(1)
    for model in ("base", "sft"):
        correct = [[bool(value) for value in random.integers(0, 2, 5)] for _ in range(60)]
        write_dump(tmp_path / f"{model}.jsonl", [outputs(random, 5, 6) for _ in range(60)], correct=correct)
    keys = {
        "lineages": {"a": ["base", "sft"]},
        "tasks": {"t": {"verify": "labels"}},
        "dumps": "{model}.jsonl",
    }
    found = study(write_study(tmp_path / "s.yaml", metrics=["unique"], **keys))
    assert not [one for one in found.run["remarks"] if "order" in one]


def test_the_run_names_its_dumps(found):
    dumps = found.run["dumps"]
    assert len(dumps) == 8
    assert dumps[0] == {
        "heat": "cold",
        "model": "base",
        "task": "x",
        "files": [str(found.study.folder / "base-x@cold.jsonl")],
        "prompts": 40,
        "k": [5, 5],
    }


@pytest.mark.parametrize("name", ["p_holm", "share", "task", "metric"])
def test_no_factor_hides_a_column(tmp_path, name):
    file = write_study(
        tmp_path / "s.yaml", lineages={"a": ["b", "c"]}, tasks=["t"], dumps="{model}", factors={name: [1, 2]}
    )
    with pytest.raises(DataError, match=f"factors.{name} is not a name for a factor"):
        study(file)
