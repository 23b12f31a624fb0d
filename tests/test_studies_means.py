"""Studies of means: the published tables, and what a file of means may hold."""

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from divfast.errors import DataError
from divfast.studies import study
from divfast.studies.means import read_means
from studying import one, write_study

OLMO = {
    "think": [{"base": "base"}, {"sft": "think-sft"}, {"dpo": "think-dpo"}, {"rl": "think"}],
    "instruct": [{"base": "base"}, {"sft": "instruct-sft"}, {"dpo": "instruct-dpo"}, {"rl": "instruct"}],
    "rl_zero": [
        {"base": "base"},
        {"rl": [f"rl-zero-{name}" for name in ("math", "code", "if", "general", "math-3.1", "code-3.1")]},
    ],
}


def test_stage_attribution_of_the_paper(shared, tmp_path):
    file = write_study(tmp_path / "s.yaml", study="Olmo 3", lineages=OLMO)
    found = study(file, means={"cosine": str(shared / "paper" / "sbert_per_input.csv")})
    share = {
        (row["task"], f"{row['lineage']}_{row['step']}"): row["share"]
        for row in found["attribution"].to_pylist()
    }
    cells = 0
    with (shared / "paper" / "stage_attribution.csv").open() as published:
        for row in csv.DictReader(published):
            task = row.pop("task")
            for name, value in row.items():
                # Both are rounded: the means to 0.001, the shares to a whole percent.
                assert abs(round(share[task, name]) - int(value)) <= 1, (task, name)
                cells += 1
    assert cells == 16 * 9
    averages = {name: round(value) for (task, name), value in share.items() if task == "average"}
    wanted = {"think_sft": -62, "think_dpo": -4, "think_rl": 4, "instruct_sft": -38, "instruct_dpo": -23}
    assert {name: averages[name] for name in wanted} == wanted
    assert all(row["low"] is None and row["p"] is None for row in found["attribution"].to_pylist())
    assert found.run["remarks"][-1] == "Of means there are neither intervals nor tests."


def test_decomposition_of_the_paper(shared, tmp_path):
    path = shared / "paper" / "quality_filtered.csv"
    file = write_study(tmp_path / "s.yaml", lineages=OLMO, means=str(path))
    found = study(file)["decomposition"].to_pylist()
    with path.open() as published:
        rows = {(row["task"], row["model"]): row for row in csv.DictReader(published)}
    compared = 0
    for (task, model), row in rows.items():
        base = rows[task, "base"]
        for taken in found:
            if (taken["task"], taken["model"], taken["metric"]) == (task, model, "d"):
                loss = float(base["d_all"]) - float(row["d_all"])
                assert taken["loss"] == pytest.approx(loss)
                compared += 1
                if row["d_correct"] == "nan":
                    # Not one right program of that model.
                    assert (task, model) == ("humaneval", "rl-zero-if")
                    assert taken["residual"] is taken["share"] is None
                    continue
                residual = float(base["d_correct"]) - float(row["d_correct"])
                assert taken["residual"] == pytest.approx(residual)
                assert taken["quality_control"] == pytest.approx(loss - residual)
                if abs(loss) < 0.05 * float(base["d_all"]):
                    assert taken["share"] is None
                else:
                    assert taken["share"] == pytest.approx(residual / loss)
                assert (taken["over"], taken["loss_low"], taken["prompts"]) == ("own", None, None)
    assert compared == 6 * 12
    (gsm8k,) = [taken for taken in found if (taken["task"], taken["model"]) == ("gsm8k", "instruct")]
    # 0.172 - 0.078 and 0.135 - 0.074.
    assert [round(gsm8k[name], 3) for name in ("loss", "residual", "quality_control")] == [
        0.094,
        0.061,
        0.033,
    ]
    assert round(gsm8k["share"], 2) == 0.65


def test_the_study_of_the_paper_goes_on_with_the_tasks_of_a_file(shared, tmp_path):
    olmo3 = Path(__file__).resolve().parent.parent / "examples" / "olmo3.yaml"
    path = str(shared / "paper" / "quality_filtered.csv")
    with pytest.raises(
        DataError, match="the study has 15, of which the means hold 6; there is no tldr, cnn"
    ) as raised:
        study(olmo3, means={"": path})
    assert raised.value.remedy == "Go on with those that are in both: --intersect."
    found = study(olmo3, tmp_path / "out", means={"": path}, intersect=True)
    assert found.run["remarks"][0].startswith(
        "Without 9 of the 15 tasks, of which there are no means: tldr, "
    )
    assert list(found.study.tasks) == [
        "humaneval",
        "mbpp",
        "gsm8k",
        "math_algebra",
        "math_geometry",
        "ifeval",
    ]
    # Of diversity is one column; the accuracy is none, and right samples alone cannot be compared.
    assert {row["metric"] for row in found["attribution"].to_pylist()} == {"d"}
    assert "vendi_correct is left out: there is no vendi_all to compare it with." in found.run["remarks"]
    assert one(found["quality"], model="base", task="gsm8k")["accuracy_percent"] == 52
    row = one(found["decomposition"], model="instruct", task="gsm8k")
    assert [round(row[name], 3) for name in ("loss", "residual", "quality_control")] == [0.094, 0.061, 0.033]
    # Of all its pairs, as by the file alone.
    alone = study(write_study(tmp_path / "s.yaml", lineages=OLMO, means=path))["decomposition"].to_pylist()
    by_pair = {(row["task"], row["model"]): row for row in found["decomposition"].to_pylist()}
    assert all(
        by_pair[row["task"], row["model"]]["share"] == row["share"]
        for row in alone
        if row["task"] != "average"
    )
    # Under the name that it is given.
    named = study(olmo3, means={"cosine": path}, intersect=True)
    assert {row["metric"] for row in named["decomposition"].to_pylist()} == {"cosine"}
    assert named["decomposition"]["loss"].equals(found["decomposition"]["loss"])


@pytest.fixture
def study_of(tmp_path):
    def of(text, *, intersect=False, name="", **keys):
        (tmp_path / "m.csv").write_text(text, encoding="utf-8")
        keys = {"lineages": {"a": ["base", "sft"]}, "means": {name: "m.csv"} if name else "m.csv", **keys}
        return study(write_study(tmp_path / "s.yaml", **keys), intersect=intersect)

    return of


def test_by_hand(study_of):
    found = study_of("model,x,y\nbase,0.4,0.2\nsft,0.1,0.3\nother,9,9\n")
    share = {(row["task"], row["step"]): row["share"] for row in found["attribution"].to_pylist()}
    assert share == pytest.approx(
        {
            ("x", "sft"): -75,
            ("x", "retained"): 25,
            ("y", "sft"): 50,
            ("y", "retained"): 150,
            ("average", "sft"): -12.5,
            ("average", "retained"): 87.5,
        }
    )
    assert {row["metric"] for row in found["values"].to_pylist()} == {"m"}


def test_long_files_name_their_metrics(study_of):
    found = study_of("task,model,ead,vendi_all,vendi_correct\nt,base,1,4,3\nt,sft,0.5,3,2.5\n")
    assert {row["metric"] for row in found["values"].to_pylist()} == {"ead", "vendi"}
    (row,) = found["decomposition"].to_pylist()
    assert (row["metric"], row["loss"], row["residual"], row["share"]) == ("vendi", 1, 0.5, 0.5)


def test_a_loss_of_nothing_has_no_share(study_of):
    found = study_of("task,model,d_all,d_correct\nt,base,0,0\nt,sft,0,0\nu,base,0.5,0.2\nu,sft,0.5,0.1\n")
    rows = found["decomposition"].to_pylist()
    assert [(row["task"], row["loss"], row["share"]) for row in rows] == [
        ("t", 0, None),
        ("u", 0, None),
        ("average", 0, None),
    ]


def test_what_is_missing_is_undefined(study_of):
    found = study_of("model,x,y\nbase,0.4,0\nsft,,0.1\n")
    assert [row["share"] for row in found["attribution"].to_pylist()] == [None] * 4


def test_tasks_and_models_may_be_chosen(study_of):
    found = study_of("model,x,y\nbase,0.4,1\nsft,0.1,1\n", tasks=["x"])
    assert {row["task"] for row in found["values"].to_pylist()} == {"x"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column model, but nothing"),
        ("name,x\nbase,1\n", "has no column model, but name, x"),
        ("model,x\nbase,1\nsft,a\n", r"m\.csv:3: has 'a' where a number should be"),
        ("model,x\nbase,1\nsft,inf\n", r"m\.csv:3: has 'inf' where a number should be"),
        ("model,x\nbase,1\nsft,1e999\n", r"m\.csv:3: has '1e999' where a number should be"),
        ("model,x\nbase,1\nsft\n", r"m\.csv:3: has 1 cells where the first line has 2"),
        ("model,x\nbase,1\nbase,1\n", r"m\.csv:3: has base a second time"),
        (
            "model,x\nbase,1\nstf,1\n",
            "the models differ: the study has 2, of which the means hold 1; there is no sft",
        ),
        ("model,x\na,1\nb,1\n", r"hold none of the models of the study \(base and sft\), but a and b"),
        ("task,model,d\nt,base,1\nu,sft,1\n", "the means of d on t hold no model 'sft', and 1 more lack"),
        ("model,x,x\nbase,1,2\nsft,1,2\n", "m.csv:1: has 2 columns 'x'"),
        ("task,model,d,d_all\nt,base,1,1\n", "m.csv:1: has 2 columns 'd'"),
        ("model,x,\nbase,1,\nsft,1,\n", "m.csv:1: has a column without a name"),
        ("model,average\nbase,1\nsft,1\n", "has a task called average"),
        ("model,x\nbase,inf\nsft,1\n", "m.csv:2: has 'inf' where a number should be"),
        ("task,model\nt,base\n", "has no numbers beside task, model"),
        ("model,x\nbase,1\n,1\n", "m.csv:3: names no model"),
        ("task,model,d\n,base,1\n", "m.csv:2: names no task"),
        ("task,model,d\nt,base,1\nt,base,1\n", "m.csv:3: has base on t a second time"),
        ("task,model,accuracy\nt,base,1\nt,sft,1\n", "hold no metric of diversity, but accuracy"),
        ("model,x\nbase,1\nsft,1\xff\n", "where a number should be"),
    ],
)
def test_bad_files_are_one_sentence(study_of, text, told):
    with pytest.raises(DataError, match=told):
        study_of(text)


def test_a_task_that_is_in_no_file(study_of):
    with pytest.raises(DataError, match=r"the means hold none of the tasks of the study \(z\), but x"):
        study_of("model,x\nbase,1\nsft,1\n", tasks=["z"])
    with pytest.raises(DataError, match="of which the means hold 1; there is no yy") as raised:
        study_of("model,x,y\nbase,1,1\nsft,1,1\n", tasks=["x", "yy"])
    assert raised.value.remedy == "Did you mean y? Or go on with those that are in both: --intersect."


LONG = "task,model,ead,vendi_all,vendi_correct,accuracy\nt,base,1,4,3,0.5\nt,sft,0.5,3,2.5,0.75\n"


def test_a_name_takes_a_metric_of_a_file_or_names_the_only_one(study_of):
    found = study_of(LONG, name="vendi")
    assert {row["metric"] for row in found["values"].to_pylist()} == {"vendi"}
    assert found["decomposition"]["share"].to_pylist() == [0.5]
    assert one(found["quality"], model="sft", task="t")["accuracy"] == 0.75
    with pytest.raises(DataError, match=r"m\.csv: holds no metric 'cosine', but ead and vendi\."):
        study_of(LONG, name="cosine")
    found = study_of(LONG.replace(",ead", ",accuracy_at_1"), name="cosine")
    assert {row["metric"] for row in found["values"].to_pylist()} == {"cosine"}
    assert found["decomposition"]["share"].to_pylist() == [0.5]


def test_lineages_without_means_are_left_out_where_one_says_so(study_of):
    lineages = {"a": ["base", "sft"], "b": ["base", "dpo"]}
    text = "task,model,d\nt,base,4\nt,sft,1\nu,base,2\n"
    with pytest.raises(DataError, match="the models differ: the study has 3, of which the means hold 2"):
        study_of(text, lineages=lineages)
    found = study_of(text, lineages=lineages, intersect=True)
    assert found.run["remarks"][:2] == [
        "Without 1 of the 3 models, of which there are no means: dpo, and so without the lineages b.",
        "1 means are missing and undefined; the means of d on u hold no model 'sft'.",
    ]
    share = {
        (row["lineage"], row["task"], row["step"]): row["share"] for row in found["attribution"].to_pylist()
    }
    assert share["a", "t", "sft"] == -75
    assert share["a", "u", "sft"] is None
    assert {lineage for lineage, _, _ in share} == {"a"}


@given(st.text('modeltask,base\n\r"x0.1-_ \ufeff', max_size=60), st.booleans(), st.sampled_from(["", "x"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_means_or_one_sentence(tmp_path, text, intersect, name):
    head = "task,model,x,x_correct\nt,base,1,1\nt,a,1,1\n" if intersect else "model,x\nbase,1\na,1\n"
    for whole in (text, head + text):
        (tmp_path / "m.csv").write_text(whole, encoding="utf-8", newline="")
        file = write_study(
            tmp_path / "s.yaml", lineages={"l": ["base", "a"]}, means={name: "m.csv"} if name else "m.csv"
        )
        try:
            found = study(file, intersect=intersect)
        except DataError as error:
            assert error.remedy
            assert error.where
        else:
            assert len(found["values"]) >= 2


def test_a_mean_in_two_files(tmp_path):
    for name in ("m", "n"):
        (tmp_path / f"{name}.csv").write_text("task,model,d\nt,base,1\nt,sft,1\n")
    file = write_study(tmp_path / "s.yaml", lineages={"a": ["base", "sft"]})
    with pytest.raises(DataError, match=r"n\.csv: has d of base on t a second time; another file"):
        study(file, means={"": str(tmp_path / "m.csv"), "d": str(tmp_path / "n.csv")})


def test_a_bom_ends_of_lines_and_undefined_values(study_of):
    found = study_of("\ufefftask,model,d\r\nt,base,1\r\nt,sft,NaN\r\n")
    assert [row["value"] for row in found["values"].to_pylist()] == [1, None]
    assert one(found["attribution"], step="sft")["share"] is None


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: no such file"):
        read_means({"": "none.csv"}, tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"model,x\n\xff,1\n")
    with pytest.raises(DataError, match="it is not UTF-8"):
        read_means({"": "bytes.csv"}, tmp_path)
