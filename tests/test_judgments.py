"""Judged pairs: asked once, kept, resumed; what a judge must be, and what is said of one that is not."""

import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import divfast
from conftest import SHARED
from divfast import engine
from divfast.cli import main
from divfast.errors import MetricError, ModelError
from divfast.samples import Samples
from divfast.testing import overlap_judge
from divfast.views import judgments
from divfast.views.batching import batches
from divfast.views.judges import label_columns, max_tokens
from divfast.views.judgments import JudgmentView, PairJudge, log_probabilities, pair_keys
from divfast.views.pair_tokens import PairTokens, form_of

TINY = SHARED / "models" / "tiny-nli"
ABSENT = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
TEXTS = ["a b", "b a", "a", "", "漢", "c. d"]
ALL = np.array([(i, j) for i in range(6) for j in range(6)])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIVFAST_CACHE", str(tmp_path / "cache"))


class Words:
    """A classifier that looks at words, three pairs at a time, and counts what it is asked."""

    recipe, device = "words@1/512/f32", "cpu"

    def __init__(self, *, fails_at=math.inf):
        self.asked = []
        self.fails_at = fails_at

    def classify(self, texts, pairs):
        for start in range(0, len(pairs), 3):
            if len(self.asked) >= self.fails_at:
                raise KeyboardInterrupt
            index = np.arange(start, min(start + 3, len(pairs)))
            self.asked.extend((texts[a], texts[b]) for a, b in pairs[index])
            yield index, overlap_judge(texts, pairs[index])


# The engine.


@pytest.mark.parametrize("cache", [True, False])
def test_each_pair_is_judged_once(cache):
    words = Words()
    judge = PairJudge(words, cache=cache)
    np.testing.assert_array_equal(judge(TEXTS, ALL), overlap_judge(TEXTS, ALL))
    assert len(words.asked) == len(set(words.asked)) == 36
    # The same texts under other numbers, some twice.
    doubled = [*TEXTS[::-1], *TEXTS]
    pairs = np.array([(0, 11), (5, 6), (6, 5), (3, 8)])
    np.testing.assert_array_equal(judge(doubled, pairs), overlap_judge(doubled, pairs))
    assert len(words.asked) == 36
    assert judge.counts == {"pairs": 40, "unique": 39, "cached": 3, "judged": 36, "without_answer": 0}
    again = Words()
    np.testing.assert_array_equal(PairJudge(again, cache=cache)(TEXTS, ALL), overlap_judge(TEXTS, ALL))
    assert len(again.asked) == (0 if cache else 36)


def test_no_pairs():
    assert PairJudge(Words())([], np.zeros((0, 2), np.int64)).shape == (0, 3)
    assert PairJudge(Words())(TEXTS, np.zeros((0, 2), np.int64)).shape == (0, 3)


def test_keys_tell_pairs_apart():
    texts = ["a", "b", "ab", "", "a\x00", "\x00b"]
    pairs = np.array([(i, j) for i in range(6) for j in range(6)])
    assert len({key.tobytes() for key in pair_keys(texts, pairs)}) == 36


def test_what_was_judged_before_a_failure_is_kept():
    words = Words(fails_at=12)
    with pytest.raises(KeyboardInterrupt):
        PairJudge(words)(TEXTS, ALL)
    rest = Words()
    np.testing.assert_array_equal(PairJudge(rest)(TEXTS, ALL), overlap_judge(TEXTS, ALL))
    assert len(words.asked) == 12 and not set(words.asked) & set(rest.asked)
    assert len(rest.asked) == 24


KILLED = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from test_judgments import ALL, TEXTS, Words
from divfast.views import judgments
judgments._FLUSH_SECONDS = 0.0
class Telling(Words):
    def classify(self, texts, pairs):
        for index, chances in super().classify(texts, pairs):
            print(len(self.asked), flush=True)
            yield index, chances
            if len(self.asked) == 18:
                sys.stdin.read()
judgments.PairJudge(Telling())(TEXTS, ALL)
"""


def test_a_kill_loses_no_pair_that_was_flushed(tmp_path):
    place = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if int(line) == 18:
            break
    # It has asked for 18 and waits; the batches before the last have been written.
    process.kill()
    process.wait(timeout=60)
    process.stdin.close()
    process.stdout.close()
    rest = Words()
    np.testing.assert_array_equal(PairJudge(rest)(TEXTS, ALL), overlap_judge(TEXTS, ALL))
    assert 18 <= len(rest.asked) <= 21


def test_no_answer_is_counted_and_not_kept():
    class Overflowing(Words):
        def classify(self, texts, pairs):
            for index, chances in super().classify(texts, pairs):
                chances[[texts[a] == "漢" for a, _ in pairs[index]], 1] = np.inf
                yield index, chances

    judge = PairJudge(Overflowing())
    found = judge(TEXTS, ALL)
    assert np.isnan(found).all(axis=1).sum() == np.isnan(found).any(axis=1).sum() == 6
    assert judge.counts["without_answer"] == 6
    again = Words()
    assert np.isfinite(PairJudge(again)(TEXTS, ALL)).all()
    assert {premise for premise, _ in again.asked} == {"漢"}


def test_progress():
    calls = []
    PairJudge(Words(), progress=lambda *call: calls.append(call))(TEXTS, ALL[:7])
    assert calls == [(3, 7, "pairs"), (6, 7, "pairs"), (7, 7, "pairs")]


def test_the_view_brings_prompts_and_log_probabilities():
    samples = Samples.from_lists([["a", "b"], [], ["c"]], prompts=["?", "!", None])
    samples.per_sample["logprobs"] = pa.array([[-1.0, -2.0], None, [-0.5]])
    rows = JudgmentView(PairJudge(Words())).build(samples)
    plain = rows.plain()
    assert [(row.text, row.prompt) for row in plain] == [("a", "?"), ("b", "?"), ("c", None)]
    np.testing.assert_array_equal([row.logprob for row in plain], [-3.0, np.nan, -0.5])
    np.testing.assert_array_equal([row.tokens for row in plain], [2.0, np.nan, 1.0])
    assert plain[0].judge("a b", "a") == [0.75, 0.25, 0.0]
    both = rows.take(np.array([2, 0])).joined([rows])
    assert [(row.text, row.prompt) for row in both.plain()][:3] == [("c", None), ("a", "?"), ("a", "?")]
    assert bytes(both.tape()[0]) == b"caabc"


@pytest.mark.parametrize(
    "column", [None, pa.nulls(2), pa.array(["x", "y"]), pa.array([["x"], None]), pa.array([True, False])]
)
def test_log_probabilities_that_are_none(column):
    for numbers in log_probabilities(column, 2):
        assert np.isnan(numbers).all()


@pytest.mark.parametrize("even", [1.0, 0.25, 0.0])
def test_batches_hold_every_text_once_in_the_budget(even):
    lengths = np.random.default_rng(0).integers(0, 40, 500)
    parts = list(batches(lengths, 200, even=even))
    assert sorted(np.concatenate(parts)) == list(range(500))
    assert all(len(part) == 1 or len(part) * max(1, lengths[part].max()) <= 200 for part in parts)
    if even == 0:
        assert all(len(set(lengths[part])) == 1 for part in parts)
    assert list(batches(np.zeros(0, np.int64), 200)) == []


# What a judge must be.


def test_labels_in_any_order_and_case():
    assert label_columns({"0": "entailment", "1": "Neutral", "2": "CONTRADICTION"}, where="x") == (0, 1, 2)
    for labels in ({0: "LABEL_0", 1: "LABEL_1"}, {0: "entailment", 1: "not_entailment"}, {}):
        with pytest.raises(ModelError, match="labels of this classifier are") as caught:
            label_columns(labels, where="x")
        assert ", ".join(labels.values()) in str(caught.value)


def test_most_tokens():
    def of(tokenizer, positions, first=0):
        made = type("Any", (), {"model_max_length": tokenizer, "max_position_embeddings": positions})
        return max_tokens(made, made, first)

    assert of(512, 514, 2) == 512
    assert of(10**30, 514, 2) == 512
    assert of(10**30, -1) == of(10**30, None) == 512
    assert of(128, 512) == 128


def test_a_metric_without_a_judge_says_how():
    with pytest.raises(MetricError, match="nli needs judgments") as caught:
        divfast.score([["a", "b"]], ["nli"])
    assert "--judge" in caught.value.remedy


@pytest.fixture(scope="module")
def judge():
    from divfast.views.judges import load_judge

    return load_judge(str(TINY))


@pytest.mark.model
@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (the embed extra)")
@pytest.mark.skipif(not TINY.is_dir(), reason="the folder of shared test data is absent (DIVFAST_SHARED)")
class TestWithAModel:
    @staticmethod
    def plainly(texts, pairs):
        """Return what the transformers library says, one pair at a time."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        # Threads that share so little work wait for each other, on a busy machine for minutes.
        torch.set_num_threads(1)
        model = AutoModelForSequenceClassification.from_pretrained(str(TINY)).eval()
        tokenizer = AutoTokenizer.from_pretrained(str(TINY))
        out = []
        for a, b in pairs:
            # In lists, since of a text and an empty one it makes no pair. And not the whole of long ones: of two that
            # are cut it makes every combination of what is left over.
            inputs = tokenizer(
                [texts[a][:2000]], [texts[b][:2000]], truncation=True, max_length=512, return_tensors="pt"
            )
            with torch.inference_mode():
                out.append(torch.softmax(model(**inputs).logits[0], -1).numpy()[[2, 1, 0]])
        return np.array(out)

    def test_is_what_transformers_says(self, judge):
        texts = [*TEXTS[:4], "word " * 300, "x" * 100_000, "\x00\u200d"]
        pairs = np.array([(i, j) for i in range(len(texts)) for j in range(len(texts))])
        with engine.use_threads(2):
            found = PairJudge(judge, cache=False)(texts, pairs)
        # No more of a text is seen; the library itself takes 20 GB to cut a pair of such lengths.
        short = [text[:4000] for text in texts]
        np.testing.assert_allclose(found, self.plainly(short, pairs), atol=2e-6)

    def test_pairs_are_cut_as_the_tokenizer_cuts_them(self, judge):
        rng = np.random.default_rng(0)
        texts = ["".join(rng.choice(list("ab c"), size)) for size in (0, 1, 5, 10, 11, 12, 30, 31, 60)]
        pairs = np.array([(i, j) for i in range(9) for j in range(9)])
        for most in (8, 9, 20, 21, 64):
            tokens = PairTokens(judge.tokenizer, judge.form, texts, pairs, most)
            rows = tokens.rows(np.arange(81))["input_ids"]
            expected = [
                judge.tokenizer([texts[a]], [texts[b]], truncation=True, max_length=most)["input_ids"][0]
                for a, b in pairs
            ]
            assert [row.tolist() for row in rows] == expected
            assert tokens.lengths.tolist() == [len(ids) for ids in expected]

    def test_types_of_tokens(self):
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        vocabulary = {word: i for i, word in enumerate(["[CLS]", "[SEP]", "[UNK]", "[PAD]", "one", "a", "x"])}
        bare = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
        bare.pre_tokenizer = pre_tokenizers.Whitespace()
        plain = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]")
        with pytest.raises(ModelError, match="no pairs of texts"):
            form_of(plain, "here", "Another.")
        bare.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 0), ("[SEP]", 1)],
        )
        names = ["input_ids", "token_type_ids", "attention_mask"]
        typed = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]", model_input_names=names)
        tokens = PairTokens(typed, form_of(typed, "here", ""), ["one a", "x"], np.array([[0, 1]]), 512)
        rows = tokens.rows(np.array([0]))
        expected = typed("one a", "x")
        assert rows["input_ids"][0].tolist() == expected["input_ids"]
        assert rows["token_type_ids"][0].tolist() == expected["token_type_ids"] == [0, 0, 0, 0, 1, 1]

    def test_labels_are_found_where_they_are(self, judge, tmp_path):
        import torch
        from safetensors.torch import load_file, save_file

        from divfast.views.judges import load_judge

        folder = tmp_path / "turned"
        shutil.copytree(TINY, folder)
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = {"0": "entailment", "1": "contradiction", "2": "Neutral"}
        config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
        (folder / "config.json").write_text(json.dumps(config))
        weights = load_file(folder / "model.safetensors")
        for name in ("classifier.out_proj.weight", "classifier.out_proj.bias"):
            weights[name] = weights[name][torch.tensor([2, 0, 1])].contiguous()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        turned = load_judge(str(folder))
        assert turned.recipe != judge.recipe
        pairs = ALL[:9]
        np.testing.assert_allclose(turned.chances(TEXTS, pairs), judge.chances(TEXTS, pairs), atol=1e-6)

    def test_other_labels_are_named(self, tmp_path):
        folder = tmp_path / "other"
        shutil.copytree(TINY, folder)
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = {"0": "good", "1": "bad", "2": "ugly"}
        config["label2id"] = {"good": 0, "bad": 1, "ugly": 2}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ModelError, match="are good, bad, ugly, not"):
            judgments.open_judge(str(folder))

    def test_the_last_layer_is_shortened_only_where_it_is_the_same(self, judge, monkeypatch):
        from divfast.views import first_token

        assert judge.model.base_model.encoder.layer[-1].forward.__module__ == first_token.__name__
        plain = type("Plain", (), {"base_model": object()})()
        assert not first_token.shorten(plain, "float32", lambda: None)
        answers = iter([np.zeros(3), np.zeros(3), np.ones(3)])
        layer = judge.model.base_model.encoder.layer[-1]
        before = layer.forward
        assert not first_token.shorten(judge.model, "float32", lambda: next(answers))
        assert layer.forward is before

    @pytest.mark.parametrize(("dtype", "word", "far"), [("bfloat16", "bf16", 2e-2), ("float16", "f16", 5e-3)])
    def test_shorter_numbers_are_close_and_signed(self, judge, dtype, word, far):
        other = judgments.open_judge(str(TINY), dtype=dtype)
        assert other.judge.recipe.endswith(f"/512/{word}")
        assert np.abs(other(TEXTS, ALL) - judge.chances(TEXTS, ALL)).max() < far

    def test_from_the_command_line(self, tmp_path):
        dump = tmp_path / "dump.jsonl"
        lines = [
            {
                "input_id": "x",
                "prompt": "Why?",
                "outputs": ["It rains. So.", "It is wet."],
                "logprobs": [-1, -2],
            }
        ]
        dump.write_text("".join(json.dumps(line) + "\n" for line in lines))
        specs = [
            *("-m", "nli", "-m", "kle"),
            *("-m", "semantic_entropy:estimator=likelihood,context=prompt"),
        ]
        command = ["score", str(dump), "--judge", str(TINY), "--format", "json", "--scope", "prompt", *specs]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        results = json.loads(done.stdout)["results"]
        assert len(results) == 3 and all(math.isfinite(result["value"]) for result in results)
        reference = CliRunner().invoke(main, [*command, "--backend", "reference"])
        for one, other in zip(results, json.loads(reference.stdout)["results"], strict=True):
            assert one["value"] == pytest.approx(other["value"], rel=1e-6)
        for words, bad in (
            ("no such folder", ["--judge", "./nowhere"]),
            ("is not installed|needs a GPU", ["--judge", str(TINY), "--judge-engine", "vllm"]),
        ):
            failed = CliRunner().invoke(main, ["score", str(dump), "-m", "nli", *bad])
            assert failed.exit_code == 1
            assert re.search(words, failed.stderr), failed.stderr
