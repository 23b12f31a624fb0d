"""`divfast generate` with transformers and a real model: what is drawn, how prompts are put, what is refused."""

import json
import shutil

import pytest
from click.testing import CliRunner

import divfast
from divfast.cli import main
from divfast.errors import DivfastError
from divfast.generation.engines import Request
from divfast.generation.generating import generate
from divfast.generation.opening import Engines, find_engine
from divfast.generation.sampling import Sampling
from generating import TINY, assert_finished, close, records, samples, write_prompts

pytestmark = pytest.mark.model
SAMPLING = {"temperature": 0.8, "top_p": 0.95, "max_tokens": 6}


@pytest.fixture(scope="module")
def tiny(shared):
    pytest.importorskip("transformers")
    return str(shared / TINY)


@pytest.fixture(scope="module")
def engines():
    with Engines() as opened:
        yield opened


@pytest.fixture
def draw(tiny, engines, tmp_path):
    """Draw samples of a few prompts with an engine that stays open."""
    prompts = write_prompts(tmp_path / "prompts.jsonl")

    def run(name, k, *, model=None, sampling=SAMPLING, prompts=prompts, **more):
        path = tmp_path / name
        more = {"engine": "transformers", "engines": engines, **more}
        return path, generate(model or tiny, prompts, output=path, k=k, sampling=sampling, **more)

    return run


def test_a_dump(draw, tiny):
    path, done = draw("a.jsonl", 3)
    assert_finished(path, 3)
    first = records(path)[0]
    assert (done.prompts, done.drawn, done.reused, done.k) == (6, 18, 0, 3)
    assert {
        "input_id",
        "prompt",
        "outputs",
        "finish_reasons",
        "output_tokens",
        "logprobs",
        "model",
        "gold",
    } < set(first)
    said = first["generation"]
    assert (said["engine"], said["model"], said["seed"], said["context"]) == ("transformers", tiny, 0, 512)
    assert said["sampling"] | SAMPLING == said["sampling"]
    assert said["prompt"]["format"] == "chat"
    assert {"divfast", "torch", "transformers"} == set(said["versions"])
    (block,) = divfast.read(path)
    assert block.meta["model"] == tiny
    assert sorted(block.per_prompt["gold"].to_pylist()) == [0, 1, 2, 3, 4, 5]
    assert len({text for held in samples(path).values() for text in held["outputs"]}) == 18


def test_the_same_again_and_again_nothing(draw):
    path, _ = draw("a.jsonl", 2)
    again, _ = draw("b.jsonl", 2)
    assert path.read_bytes() == again.read_bytes()
    _, done = draw("a.jsonl", 2)
    assert (done.drawn, done.reused, path.read_bytes()) == (0, 12, again.read_bytes())
    other, _ = draw("c.jsonl", 2, sampling={**SAMPLING, "seed": 1})
    assert not close(path, other)


def test_more_samples_are_those_of_a_run_in_one_go(draw):
    path, _ = draw("a.jsonl", 2)
    first = samples(path)
    draw("a.jsonl", 7)
    assert_finished(path, 7)
    whole, _ = draw("b.jsonl", 7)
    assert close(path, whole)
    assert all(samples(path)[id]["outputs"][:2] == held["outputs"] for id, held in first.items())


def test_a_sample_does_not_depend_on_its_batch(draw):
    whole, _ = draw("a.jsonl", 5)
    for size in (1, 3):
        path, _ = draw(f"{size}.jsonl", 5, batch_size=size)
        assert close(path, whole)


def test_more_prompts(draw, tmp_path):
    few = write_prompts(tmp_path / "few.jsonl", 2)
    path, _ = draw("a.jsonl", 2, prompts=few)
    _, done = draw("a.jsonl", 2)
    assert (done.drawn, done.prompts) == (8, 6)
    whole, _ = draw("b.jsonl", 2)
    assert close(path, whole)


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 1.0, "top_k": 5},
        {"temperature": 1.3, "min_p": 0.2},
        {"repetition_penalty": 1.9},
        {"presence_penalty": 2.0, "frequency_penalty": 1.0},
    ],
)
def test_parameters_change_what_is_drawn(draw, sampling):
    plain, _ = draw("a.jsonl", 4, sampling={"max_tokens": 24})
    path, _ = draw("b.jsonl", 4, sampling={**sampling, "max_tokens": 24})
    assert samples(plain) != samples(path)
    again, _ = draw("c.jsonl", 4, sampling={**sampling, "max_tokens": 24}, batch_size=5)
    assert close(path, again)


def test_greedy_is_what_transformers_draws(draw, tiny):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, _ = draw("a.jsonl", 1, sampling={"temperature": 0.0, "max_tokens": 12}, chat=False)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    for record in records(path):
        ids = tokenizer(record["prompt"], return_tensors="pt")
        out = model.generate(**ids, do_sample=False, max_new_tokens=12)
        text = tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert record["outputs"] == [text]


def test_log_probabilities_are_those_of_the_model(tiny, engines):
    import torch

    asked = Sampling(temperature=0.5, top_p=0.9, max_tokens=9)
    from divfast.generation.engines.transformers import open_engine

    with open_engine(tiny, asked, {}) as engine:
        prompt = engine._tokenizer("Tell me a story")["input_ids"]
        ((_, drawn),) = engine([Request(0, "", [1, 2, 3], prompt)])
        rows = []
        kept = engine._model.generate

        def spy(**given):
            rows.append(kept(**given))

        engine._model.generate = spy
        list(engine([Request(0, "", [1, 2, 3], prompt)]))
        for row, one in zip(rows[0], drawn, strict=True):
            ids = row[: len(prompt) + one.tokens][None].clone()
            logits = torch.log_softmax(engine._model(ids).logits.double(), -1)[0, len(prompt) - 1 : -1]
            assert logits.gather(1, ids[0, len(prompt) :, None]).sum().item() == pytest.approx(
                one.logprob, abs=1e-3
            )


def test_frequencies_are_those_of_the_distribution(tiny):
    """The first token of 4,000 samples, against the model's own probabilities."""
    import torch

    from divfast.generation.engines.transformers import open_engine

    with open_engine(tiny, Sampling(temperature=0.02, max_tokens=1), {"batch_size": 500}) as engine:
        prompt = engine._tokenizer("Once upon a time")["input_ids"]
        logits = engine._model(torch.tensor([prompt])).logits[0, -1].double()
        expected = torch.softmax(logits / 0.02, -1)
        drawn = dict(engine([Request(0, "", range(4000), prompt)]))[0]
    found = torch.zeros_like(expected)
    likely = expected.topk(5).indices.tolist()
    own = torch.log_softmax(logits, -1)
    for one in drawn:
        found[(own - one.logprob).abs().argmin()] += 1
    for token in likely:
        share, n = expected[token].item(), 4000
        assert abs(found[token].item() / n - share) < 5 * (share * (1 - share) / n) ** 0.5 + 1e-9


def test_stop_strings(draw):
    free, _ = draw("a.jsonl", 4, sampling={"max_tokens": 24})
    texts = [text for held in samples(free).values() for text in held["outputs"]]
    stop = next(text[3:5] for text in texts if text[3:5].isascii() and len(text) > 5)
    path, _ = draw("b.jsonl", 4, sampling={"max_tokens": 24, "stop": [stop]})
    reasons = set()
    for id, held in samples(path).items():
        for text, whole, reason in zip(
            held["outputs"], samples(free)[id]["outputs"], held["finish_reasons"], strict=True
        ):
            assert text == whole.split(stop)[0]
            assert reason == "stop" or stop not in whole
            reasons.add(reason)
    assert reasons == {"stop", "length"}


def test_prompts_are_put_as_asked(draw, tmp_path, tiny):
    from divfast.generation.prompts import Prompt
    from divfast.generation.rendering import Format, Rendering

    prompt = Prompt("a", "Why?")

    def text(**given):
        return Rendering(tiny, Format(**given)).text(prompt)

    assert text() == "user: Why?\nassistant: <think>"
    assert text(chat=False) == "Why?"
    assert text(system="Be kind.") == "system: Be kind.\nuser: Why?\nassistant: <think>"
    assert text(prefix="Q: one\n") == "user: Q: one\nWhy?\nassistant: <think>"
    assert text(chat=False, prefix="Q: one\n") == "Q: one\nWhy?"
    assert text(think=False) == "user: Why?\nassistant: <think>\n\n</think>\n\n"
    plain = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert text(template=plain) == "Why?"
    switch = "{{ messages[0]['content'] }}{% if not enable_thinking %}<think></think>{% endif %}"
    assert text(template=switch, think=False) == "Why?<think></think>"
    unheeded = "{{ messages[0]['content'] }}{% if enable_thinking %}{% endif %}<think>"
    assert text(template=unheeded, think=False) == "Why?<think>\n\n</think>\n\n"
    mentions = "{{ messages[0]['content'].split('</think>')[-1] }}"
    assert text(template=mentions, think=False) == "Why?<think>\n\n</think>\n\n"
    with pytest.raises(DivfastError, match="has no block for thinking"):
        text(template=plain, think=False)
    with pytest.raises(DivfastError, match="a raw prompt has no block"):
        text(chat=False, think=False)
    with pytest.raises(DivfastError, match="a raw prompt has no system message"):
        text(chat=False, system="Be kind.")
    with pytest.raises(DivfastError, match="refuses a prompt: no system here"):
        text(template="{{ raise_exception('no system here') }}")
    path, _ = draw("a.jsonl", 1, think=False)
    assert records(path)[0]["generation"]["prompt"]["think"] is False


def refused(draw, said, **given):
    with pytest.raises(DivfastError, match=said):
        draw("a.jsonl", given.pop("k", 2), **given)


def test_going_on_in_another_way_is_refused(draw, tmp_path):
    path, _ = draw("a.jsonl", 2)
    before = path.read_bytes()
    refused(draw, "drawn with temperature 0.8, not 0.7", sampling={**SAMPLING, "temperature": 0.7})
    refused(draw, "drawn with seed 0, not 5", sampling={**SAMPLING, "seed": 5})
    both = "drawn with temperature 0.8, not 0.7, and seed 0, not 5.\nSay temperature 0.8 and seed 0 to go on with it"
    refused(draw, both, sampling={**SAMPLING, "temperature": 0.7, "seed": 5})
    # Also where nothing is left to draw.
    refused(draw, 'drawn with lora none, not "adapter"', lora="adapter")
    refused(draw, 'drawn with format "chat", not "raw"', chat=False)
    refused(draw, "drawn with think none, not false", think=False)
    refused(draw, 'drawn with reasoning "apart", not "keep"', reasoning="keep")
    refused(draw, "drawn with context 512, not 256", max_model_len=256, k=3)
    refused(draw, "holds 2 samples of the prompt", k=1)
    other = tmp_path / "other.txt"
    other.write_text("Something else\n")
    refused(draw, "which is not among those that are given", prompts=other)
    assert path.read_bytes() == before


def test_another_model_is_refused(draw, tiny, tmp_path):
    path, _ = draw("a.jsonl", 2)
    before = path.read_bytes()
    shutil.copytree(tiny, tmp_path / "other")
    refused(draw, "drawn with model", model=str(tmp_path / "other"))
    assert path.read_bytes() == before


def test_bad_input(draw, tiny, tmp_path):
    refused(draw, "2 samples of a prompt would all be the same at temperature 0", sampling={"temperature": 0})
    refused(draw, "unknown sampling parameter 'temprature'", sampling={"temprature": 1.0})
    refused(draw, "top_p: must be above 0 and at most 1, got 2", sampling={"top_p": 2})
    refused(draw, "the engine transformers has no option tensor-parallel", tensor_parallel=2)
    refused(draw, "holds no prompts|cannot be read", prompts=tmp_path / "missing.jsonl")
    refused(draw, "--data belongs to --task", data=tmp_path)
    refused(draw, "--id-field belongs to --prompts", prompts=None, task="gsm8k", id_field="a")
    for name, remove, said in (
        ("bare", "tokenizer.json", "holds no tokenizer"),
        ("x", "config.json", "without a model"),
    ):
        folder = tmp_path / name
        shutil.copytree(tiny, folder)
        (folder / remove).unlink()
        refused(draw, said, model=str(folder))
    broken = tmp_path / "broken"
    shutil.copytree(tiny, broken)
    (broken / "model.safetensors").write_bytes(b"no")
    refused(draw, "the model cannot be loaded", model=str(broken))
    refused(draw, "cannot be loaded: there is no such folder", model=str(tmp_path / "nowhere"))
    assert not (tmp_path / "a.jsonl").exists()


def test_a_prompt_beyond_the_context(draw, tmp_path):
    prompts = tmp_path / "long.jsonl"
    texts = ["Why? " * 400, "Why?"]
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    refused(draw, r"the prompt '1' has [\d,]+ tokens, the context of the model 512", prompts=prompts)
    path, done = draw("a.jsonl", 2, prompts=prompts, on_error="skip")
    assert [record["input_id"] for record in records(path)] == ["2"]
    assert (len(done.skipped), done.prompts) == (1, 1)
    almost = tmp_path / "almost.txt"
    almost.write_text("a" * 505 + "\n")
    path, done = draw(
        "b.jsonl", 1, prompts=almost, chat=False, sampling={"max_tokens": 50}, max_model_len=508
    )
    (record,) = records(path)
    assert record["output_tokens"][0] + 505 <= 508 + 200
    assert record["finish_reasons"] in (["length"], ["stop"])


def test_reasoning(draw, monkeypatch, tmp_path):
    from divfast.generation.engines import Drawn
    from divfast.generation.engines.transformers import Transformers

    texts = ["two and two</think>\n\n4", "<think>a</think> b </think>c", "never done", "</think>"]
    monkeypatch.setattr(
        Transformers,
        "__call__",
        lambda self, requests: (
            (one.key, [Drawn(text, "stop", 1, -1.0) for text in texts]) for one in requests
        ),
    )
    path, done = draw("apart.jsonl", 4)
    first = records(path)[0]
    assert first["outputs"] == ["4", "c", "never done", ""]
    assert first["reasoning"] == ["two and two", "a</think> b", None, ""]
    assert done.cut_thoughts == 6
    path, _ = draw("strip.jsonl", 4, reasoning="strip")
    assert "reasoning" not in records(path)[0]
    assert records(path)[0]["outputs"] == first["outputs"]
    kept, _ = draw("keep.jsonl", 4, reasoning="keep")
    assert records(kept)[0]["outputs"] == texts
    assert next(iter(divfast.read(kept))).outputs(0) == first["outputs"]


def test_engines_are_found_by_name(monkeypatch):
    with pytest.raises(DivfastError, match="unknown engine 'vlm'"):
        find_engine("vlm", {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DivfastError, match="nothing installed that could run a model"):
        find_engine("auto", {})


def test_the_command_line_knows_what_there_is():
    from divfast.cli import options_sampling
    from divfast.generation import opening, reasoning, sampling

    assert options_sampling.ENGINES == opening.ENGINES
    assert options_sampling.REASONING == reasoning.REASONING
    assert set(options_sampling.SAMPLING) == {*sampling.Sampling.__dataclass_fields__}


def test_an_adapter_without_peft(draw, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(draw, "an adapter needs the package peft", lora=str(tmp_path))


def test_an_engine_that_is_not_installed(draw):
    try:
        import vllm  # noqa: F401
    except ImportError:
        refused(draw, "the engine vllm is not installed", engine="vllm")


def test_on_the_command_line(tiny, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Why?\n\nHow?\n")
    dump = str(tmp_path / "dump.jsonl")
    say = ["generate", "--model", tiny, "--prompts", str(prompts), "--engine", "transformers", "-o", dump]
    say += ["--max-tokens", "4", "--no-think", "--limit", "2"]
    done = CliRunner().invoke(main, [*say, "-k", "2"])
    assert done.exit_code == 0, done.output
    assert "2 prompts x 2 samples (4 drawn now" in done.stdout
    done = CliRunner().invoke(main, [*say, "-k", "3"])
    assert "2 prompts x 3 samples (2 drawn now" in done.stdout
    assert [record["input_id"] for record in records(tmp_path / "dump.jsonl")] == ["1", "3"]
    done = CliRunner().invoke(main, [*say, "-k", "3", "--seed", "1"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "was drawn with seed 0, not 1." in done.stderr
    assert CliRunner().invoke(main, ["generate", "--model", tiny, "-o", dump]).exit_code == 1
    assert CliRunner().invoke(main, ["generate", "--model", tiny, "--prompts", "x"]).exit_code == 2
    done = CliRunner().invoke(main, ["score", dump, "-m", "distinct:n=1"])
    assert done.exit_code == 0, done.output
