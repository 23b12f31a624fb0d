"""The paper's study as a file: its models, its lineages, and tasks as they are."""

from pathlib import Path

import pytest
import yaml

from divfast.generation.task import all_tasks
from divfast.quality.verifiers import verifiers

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "examples" / "olmo3.yaml"
STUDY = yaml.safe_load(FILE.read_text("utf-8"))
TASKS = all_tasks()


def test_the_study_names_what_the_paper_names(shared):
    figures = (shared / "paper" / "sbert_per_input.csv").read_text("utf-8").split("\n")[1:]
    assert set(STUDY["models"]) == {line.split(",")[0] for line in figures if line}
    assert len({model["model"] for model in STUDY["models"].values()}) == 13
    silent = [name for name, model in STUDY["models"].items() if model.get("think") is False]
    assert silent == ["think-sft-nocot", "think-dpo-nocot", "think-nocot"]
    for name in silent:
        assert STUDY["models"][name]["model"] == STUDY["models"][name.removesuffix("-nocot")]["model"]
    assert {len(stages) for stages in STUDY["lineages"].values()} == {4, 2}
    assert STUDY["generation"]["k"] == 16


def test_the_study_judges_and_draws_as_the_tasks_do():
    assert set(STUDY["tasks"]) == set(TASKS)
    for name, said in STUDY["tasks"].items():
        verify = said.get("verify", {})
        verify = dict(verify) if isinstance(verify, dict) else {"as": verify}
        assert {("verifier" if key == "as" else key): value for key, value in verify.items()} == TASKS[
            name
        ].verify
        longest = said.get("generation", {}).get("max_tokens", STUDY["generation"]["max_tokens"])
        assert longest == TASKS[name].max_tokens


def test_the_study_is_accepted():
    plan = pytest.importorskip("divfast.studies.plan")
    missing = {task.verifier for task in TASKS.values() if task.verifier} - set(verifiers())
    if missing:
        pytest.skip(f"verifiers that are not here yet: {missing}")
    study = plan.read_study(FILE)
    assert len(study.models) == 16
    assert set(study.tasks) == set(TASKS)
    for name, task in study.tasks.items():
        assert dict(task.verify or {}) == TASKS[name].verify
    assert study.dump("rl-zero-math-3.1", "gsm8k") == ROOT / "examples/dumps/rl-zero-math-3.1/gsm8k.jsonl"
