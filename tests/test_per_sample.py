"""Values of every sample: beside which sample they stand, what they add up to, where they go."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import divfast
from divfast.cli import main
from divfast.errors import BackendError, MetricError, OutputError
from divfast.metrics.cosine import distance_to_others
from divfast.registry import all_metrics, metric, registry_restored
from divfast.testing import build, random_groups
from tolerances import REDUCTION


class LengthCorpus:
    """Mean length in tokens, with the lengths themselves."""

    def __init__(self):
        self.lengths = []

    def add(self, rows):
        self.lengths.extend(np.diff(rows.offsets))

    def merge(self, other):
        self.lengths.extend(other.lengths)

    def result(self):
        return float(np.mean(self.lengths)) if self.lengths else float("nan")

    def samples(self):
        return np.array(self.lengths, float)


@pytest.fixture
def tokens_in_a_sample():
    """A metric whose values are easy to tell by looking at the samples."""
    with registry_restored():

        def lengths(rows, groups, *, preset="default"):
            return np.diff(rows.offsets)[groups[0] : groups[-1]].astype(float)

        @metric(
            "tokens-in-a-sample",
            view="tokens",
            unit="tokens",
            higher="longer",
            corpus=LengthCorpus,
            tokenizers={"default": "whitespace", "paper": "whitespace"},
            per_sample=lambda rows, groups: lengths(rows, groups),
        )
        def mean_length(rows, groups):
            """Mean number of tokens."""
            values = lengths(rows, groups)
            return np.array([values[a:b].mean() if b > a else np.nan for a, b in pairwise(groups)])

        yield "tokens-in-a-sample"


def test_registering_asks_for_the_same_parameters():
    with registry_restored(), pytest.raises(ValueError, match="per_sample has not the parameters"):

        @metric("odd", view="tokens", unit="u", higher="h", per_sample=lambda rows, groups, *, k=2: rows)
        def odd(rows, groups):
            return np.zeros(len(groups) - 1)


# `nearest` is a quantile of its parts.
@pytest.mark.parametrize(
    "of",
    [m for m in all_metrics() if m.per_sample is not None and m.name != "nearest"],
    ids=lambda entry: entry.name,
)
@pytest.mark.parametrize("seed", range(20))
def test_the_mean_of_a_group_is_its_value(of, seed):
    rows, groups = build(of.view, random_groups(of.view, np.random.default_rng(seed), size=6))
    values = of.per_sample(rows, groups)
    means = [values[a:b].mean() if b > a else np.nan for a, b in pairwise(groups)]
    expected = of.function(rows, groups)
    defined = ~np.isnan(expected)
    np.testing.assert_allclose(np.array(means)[defined], expected[defined], **REDUCTION)


def test_distance_to_others_by_hand():
    rows = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    assert distance_to_others(rows, np.array([0, 3])).tolist() == [0.5, 0.5, 1.0]
    np.testing.assert_array_equal(distance_to_others(rows, np.array([3, 4])), [np.nan])
    assert distance_to_others(rows, np.array([3, 4]), preset="paper").tolist() == [0.0]
    assert distance_to_others(rows, np.array([2, 2, 4])).tolist() == [1.0, 1.0]


def test_rows_follow_the_dump(tmp_path, tokens_in_a_sample):
    lines = [("a", "1 2 3"), ("b", "1"), ("a", ""), ("c", "1 2"), ("b", "1 2 3 4"), ("a", "1")]
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps({"id": i, "output": text}) + "\n" for i, text in lines))
    report = divfast.score(path, [tokens_in_a_sample], per_sample=True)
    assert report.samples.to_pydict() == {
        "input_id": list("abacba"),
        "position": [0, 1, 2, 3, 4, 5],
        tokens_in_a_sample: [3, 1, 0, 2, 4, 1],
        f"{tokens_in_a_sample}@pooled": [3, 1, 0, 2, 4, 1],
    }
    assert report.groups["input_id"].to_pylist() == ["a", "b", "c"]


def test_blocks_change_nothing(tmp_path, tokens_in_a_sample):
    random = np.random.default_rng(3)
    outputs = [["w " * int(k) for k in random.integers(0, 40, random.integers(0, 5))] for _ in range(2000)]
    path = tmp_path / "dump.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "outputs": o}) + "\n" for i, o in enumerate(outputs)))
    whole = divfast.score(outputs, [tokens_in_a_sample], per_sample=True).samples
    assert divfast.score(path, [tokens_in_a_sample], per_sample=True, memory=1 << 16).samples == whole
    assert whole[tokens_in_a_sample].to_pylist() == [len(text.split()) for group in outputs for text in group]


@pytest.mark.parametrize(
    ("scopes", "columns"),
    [(["prompt"], [""]), (["pooled", "first"], ["@pooled"]), (["prompt", "first"], [""])],
)
def test_a_column_for_each_scope(tokens_in_a_sample, scopes, columns):
    samples = divfast.score([["a", "b"]], [tokens_in_a_sample], scopes=scopes, per_sample=True).samples
    assert samples.column_names[2:] == [tokens_in_a_sample + end for end in columns]


def test_several_dumps_carry_their_names(tmp_path, tokens_in_a_sample):
    for name in "xy":
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"outputs": ["a b", name]}) + "\n")
    samples = divfast.score(str(tmp_path / "*.jsonl"), [tokens_in_a_sample], per_sample=True).samples
    assert samples.column_names[:4] == ["model", "task", "input_id", "position"]
    assert samples["model"].to_pylist() == ["x", "x", "y", "y"]
    assert samples["position"].to_pylist() == [0, 1, 0, 1]


def test_no_samples_at_all(tokens_in_a_sample):
    samples = divfast.score([], [tokens_in_a_sample], per_sample=True).samples
    assert (len(samples), samples.schema.field(2).type) == (0, pa.float64())


def test_refusals(tokens_in_a_sample):
    with pytest.raises(
        MetricError, match="no values per sample of ead or distinct:n=2 in the scope prompt or"
    ):
        divfast.score([["a"]], ["ead", "distinct:n=2"], per_sample=True)
    with pytest.raises(MetricError, match=f"of {tokens_in_a_sample} in the scope first"):
        divfast.score([["a"]], [tokens_in_a_sample], scopes=["first"], per_sample=True)
    with pytest.raises(BackendError, match="the reference has no values per sample"):
        divfast.score([["a"]], ["ead"], backend="reference", per_sample=True)
    assert divfast.score([["a"]], ["ead"]).samples is None


def run(*args):
    return CliRunner().invoke(main, ["score", *map(str, args)], catch_exceptions=False)


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "samples.parquet"
    pq.write_table(pa.table({"outputs": [["a b", "c"], ["d"]]}), path)
    return path


def test_the_command_line(tmp_path, dump, tokens_in_a_sample):
    result = run(dump, "-m", tokens_in_a_sample, "-m", "ead", "--per-sample", "-o", tmp_path / "run")
    assert result.exit_code == 0
    assert "No values per sample: ead.\n" in result.stderr
    assert f"and {tmp_path / 'run' / 'samples.parquet'}.\n" in result.stderr
    written = pq.read_table(tmp_path / "run" / "samples.parquet")
    assert written[tokens_in_a_sample].to_pylist() == [2, 1, 1]
    # A later report without them does not leave another's values beside it.
    assert run(dump, "-m", "ead", "-o", tmp_path / "run").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["groups.parquet", "report.json"]


def test_per_sample_needs_a_folder(dump):
    result = run(dump, "--per-sample")
    assert result.exit_code == 2
    assert "--per-sample needs -o DIR" in result.stderr


def test_a_dump_of_that_name_is_not_touched(tmp_path, dump, tokens_in_a_sample):
    before = dump.read_bytes()
    result = run(dump, "-m", tokens_in_a_sample, "--per-sample", "-o", tmp_path)
    assert result.exit_code == 1
    assert "samples.parquet: is there already and was not written by divfast." in result.stderr
    report = divfast.score(dump, [tokens_in_a_sample], per_sample=True)
    with pytest.raises(OutputError, match="is there already"):
        report.save(tmp_path)
    assert run(dump, "-m", "ead", "-o", tmp_path).exit_code == 0
    assert dump.read_bytes() == before
