"""Studies of means: the published tables, and what a file of means may hold."""

import csv

import pytest

from divfast.errors import DataError
from divfast.studies import study
from divfast.studies.means import read_means
from studying import write_study

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
        for one in found:
            if (one["task"], one["model"], one["metric"]) == (task, model, "d"):
                loss = float(base["d_all"]) - float(row["d_all"])
                assert one["loss"] == pytest.approx(loss)
                compared += 1
                if row["d_correct"] == "nan":
                    # Not one right program of that model.
                    assert (task, model) == ("humaneval", "rl-zero-if")
                    assert one["residual"] is one["share"] is None
                    continue
                residual = float(base["d_correct"]) - float(row["d_correct"])
                assert one["residual"] == pytest.approx(residual)
                assert one["quality_control"] == pytest.approx(loss - residual)
                if abs(loss) < 0.05 * float(base["d_all"]):
                    assert one["share"] is None
                else:
                    assert one["share"] == pytest.approx(residual / loss)
                assert (one["over"], one["loss_low"], one["prompts"]) == ("own", None, None)
    assert compared == 6 * 12
    (gsm8k,) = [one for one in found if (one["task"], one["model"]) == ("gsm8k", "instruct")]
    # 0.172 - 0.078 and 0.135 - 0.074.
    assert [round(gsm8k[name], 3) for name in ("loss", "residual", "quality_control")] == [
        0.094,
        0.061,
        0.033,
    ]
    assert round(gsm8k["share"], 2) == 0.65


@pytest.fixture
def study_of(tmp_path):
    def of(text, **keys):
        (tmp_path / "m.csv").write_text(text, encoding="utf-8")
        keys = {"lineages": {"a": ["base", "sft"]}, "means": "m.csv", **keys}
        return study(write_study(tmp_path / "s.yaml", **keys))

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
        ("model,x\nbase,1\nstf,1\n", "hold no model 'sft'"),
        ("model,x\nbase,1\nsft,1\xff\n", "where a number should be"),
    ],
)
def test_bad_files_are_one_sentence(study_of, text, told):
    with pytest.raises(DataError, match=told):
        study_of(text)


def test_a_task_that_is_in_no_file(study_of):
    with pytest.raises(DataError, match="the means hold no task 'z'"):
        study_of("model,x\nbase,1\nsft,1\n", tasks=["z"])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: no such file"):
        read_means({"": "none.csv"}, tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"model,x\n\xff,1\n")
    with pytest.raises(DataError, match="it is not UTF-8"):
        read_means({"": "bytes.csv"}, tmp_path)
