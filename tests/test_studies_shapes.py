"""Studies of other shapes: unequal K, factors, dumps in parts, verifiers, nothing to take shares of."""

import itertools
import json

import numpy as np
import pytest

import divfast
from divfast.errors import DataError, DivfastError
from divfast.studies import study
from studying import one, outputs, write_dump, write_study

K = 4


def test_a_pairing_shows_what_means_hide(tmp_path):
    # Prompts differ much, models little but always: unpaired noise would hide it.
    random = np.random.default_rng(1)
    kinds = [int(kind) for kind in random.integers(3, 9, 60)]
    base = [[f"w{i}" for i in range(kind)] + ["w0"] * (10 - kind) for kind in kinds]
    less = [[f"w{i}" for i in range(kind - 1)] + ["w0"] * (11 - kind) for kind in kinds]
    for name, samples in (("base", base), ("less", less)):
        write_dump(tmp_path / f"{name}.jsonl", samples)
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "less"]},
        tasks=["t"],
        dumps="{model}.jsonl",
        metrics=["unique"],
    )
    row = one(study(file)["attribution"], step="less")
    unpaired = (
        100 * np.std([kind / 10 for kind in kinds]) * np.sqrt(2 / 60) / np.mean([kind / 10 for kind in kinds])
    )
    assert row["high"] - row["low"] < 2 * 1.96 * unpaired / 4
    assert row["p"] < 0.001


def test_verifiers_run_once(tmp_path):
    golds = [str(i) for i in range(6)]
    for model, wrong in (("base", "9"), ("sft", None)):
        samples = [[f"#### {gold}", f"#### {gold if wrong is None else wrong}"] for gold in golds]
        write_dump(tmp_path / f"{model}.jsonl", samples, gold=golds)
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks={"gsm8k": {"verify": "gsm8k"}},
        dumps="{model}.jsonl",
        metrics=["unique"],
    )
    found = study(file, tmp_path / "out")
    assert (found.run["verified"], found.run["verified_before"]) == (2, 0)
    accuracies = {row["model"]: (row["accuracy"], row["majority"]) for row in found["quality"].to_pylist()}
    assert accuracies == {"base": (0.5, 0.5), "sft": (1.0, 1.0)}
    again = study(file, tmp_path / "out")
    assert (again.run["verified"], again.run["verified_before"], again.run["scored"]) == (0, 2, 0)
    assert sorted(path.name for path in (tmp_path / "out" / "verified").rglob("*.jsonl")) == [
        "base.jsonl",
        "sft.jsonl",
    ]


def test_prompts_without_a_verdict_are_counted(tmp_path):
    """They are left out of accuracies, and the table says how many they are."""
    right = [[True, False], [None, True], [None, None], [True, True]]
    for model in ("base", "sft"):
        for task in ("t", "u"):
            write_dump(tmp_path / f"{model}_{task}.jsonl", [["a", "b"]] * 4, correct=right)
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks={"t": {"verify": "labels"}, "u": {"verify": "labels", "answers_field": "outputs"}},
        dumps="{model}_{task}.jsonl",
        metrics=["unique"],
    )
    found = study(file)
    row = one(found["quality"], model="sft", task="u")
    # The first sample of the second prompt has none either.
    assert (row["accuracy"], row["accuracy_at_1"]) == (pytest.approx(2.5 / 3), 1.0)
    assert (row["prompts"], row["undefined"]) == (4, 2)
    row = one(found["quality"], model="sft", task="average")
    assert (row["prompts"], row["undefined"]) == (8, 4)
    assert "t: no answers, and so not in the averages of majority and mv_gain." in found.run["remarks"]


def test_one_prompt_is_counted(tmp_path):
    """It has no interval and no test, which does not make it one of those means whose prompts nobody knows."""
    for model, samples in (("base", ["a", "b", "c"]), ("sft", ["a", "a", "b"])):
        write_dump(tmp_path / f"{model}.jsonl", [samples], correct=[[True, True, False]])
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks={"t": {"verify": "labels"}},
        dumps="{model}.jsonl",
        metrics=["unique"],
    )
    found = study(file)
    row = one(found["attribution"], step="sft")
    assert (row["share"], row["prompts"], row["undefined"]) == (pytest.approx(-100 / 3), 1, 0)
    assert (row["low"], row["p"], row["p_holm"]) == (None, None, None)
    row = found["decomposition"].to_pylist()[0]
    assert (row["computable_base"], row["computable_model"], row["prompts"]) == (1, 1, 1)


def test_unequal_k(tmp_path):
    random = np.random.default_rng(2)
    for model, k in (("base", 6), ("sft", 4)):
        write_dump(tmp_path / f"{model}.jsonl", [outputs(random, k, 5) for _ in range(8)])
    keys = {"lineages": {"a": ["base", "sft"]}, "tasks": ["t"], "dumps": "{model}.jsonl"}
    file = write_study(tmp_path / "s.yaml", metrics=["unique", "length"], **keys)
    with pytest.raises(DataError, match="unique depends on K, which differs: 6 samples of 'p0'") as raised:
        study(file)
    assert "at_k: [4]" in raised.value.remedy
    file = write_study(tmp_path / "s.yaml", metrics=["unique", "length"], options={"at_k": [4]}, **keys)
    found = study(file)
    assert {row["metric"] for row in found["attribution"].to_pylist()} == {"unique@k=4", "length"}
    assert found.run["remarks"] == ["t: K differs, and so unique only at equal size (@k)."]


def test_factors(tmp_path):
    random = np.random.default_rng(3)
    for model, (level, spread) in itertools.product(("base", "sft"), (("cold", 3), ("hot", 9))):
        write_dump(tmp_path / f"{model}@{level}.jsonl", [outputs(random, K, spread) for _ in range(60)])
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks=["t"],
        dumps="{model}@{heat}.jsonl",
        factors={"heat": ["cold", "hot"]},
        metrics=["unique"],
    )
    found = study(file)
    assert {row["heat"] for row in found["attribution"].to_pylist()} == {"cold", "hot"}
    row = one(found["factors"], model="sft", metric="unique")
    cold, hot = (
        divfast.score(tmp_path / f"sft@{level}.jsonl", ["unique"], scopes=["prompt"])["unique"].values
        for level in ("cold", "hot")
    )
    assert (row["factor"], row["a"], row["b"]) == ("heat", "cold", "hot")
    assert row["difference"] == pytest.approx((hot - cold).mean())
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert row["p"] < 0.001


def test_several_files_are_one_dump(tmp_path):
    random = np.random.default_rng(4)
    samples = [outputs(random, K, 5) for _ in range(10)]
    write_dump(tmp_path / "base.jsonl", samples)
    write_dump(tmp_path / "sft-0.jsonl", samples[:5])
    write_dump(tmp_path / "sft-1.jsonl.gz", samples[5:], ids=[f"p{i}" for i in range(5, 10)])
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks=["t"],
        dumps="{model}*",
        metrics=["unique"],
    )
    row = one(study(file)["attribution"], step="sft")
    assert (row["share"], row["change"]) == (0, 0)


def test_nothing_to_take_shares_of(tmp_path):
    for model in ("base", "sft"):
        write_dump(tmp_path / f"{model}.jsonl", [["a", "a"]] * 5)
    file = write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks=["t"],
        dumps="{model}.jsonl",
        metrics=["distinct:n=3"],
    )
    found = study(file)["attribution"]
    assert one(found, metric="distinct:n=3", step="sft")["share"] is None
    assert one(found, metric="distinct:n=3", step="sft")["prompts"] == 0
    assert json.dumps(found.to_pylist(), allow_nan=False)


def test_programs_run_where_whoever_runs_the_study_says_so(tmp_path):
    tests = ["def check(f):\n    assert f(2) == 4\n"] * 3
    for model, body in (("base", "x + 1"), ("sft", "2 * x")):
        samples = [[f"def f(x):\n    return {body}\n", "def f(x):\n    return x * x\n"]] * 3
        write_dump(tmp_path / f"{model}.jsonl", samples, tests=tests, entry_point=["f"] * 3)
    keys = {"lineages": {"a": ["base", "sft"]}, "dumps": "{model}.jsonl", "metrics": ["unique"]}
    file = write_study(tmp_path / "s.yaml", tasks={"code": {"verify": "code"}}, **keys)
    with pytest.raises(DivfastError, match="allow-code-execution"):
        study(file)
    found = study(file, allow_code_execution=True)["quality"]
    assert {row["model"]: row["accuracy"] for row in found.to_pylist()} == {"base": 0.5, "sft": 1.0}
