"""`divfast generate` with a real vLLM (make test-vllm): repeatable, resumable, extendable; killed in the midst."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import divfast
from divfast.errors import DivfastError
from divfast.generation.engines import Request
from divfast.generation.engines.vllm import open_engine
from divfast.generation.generating import generate
from divfast.generation.opening import Engines
from divfast.generation.sampling import Sampling
from generating import TINY, assert_finished, close, records, samples, use_little, write_prompts

pytestmark = pytest.mark.vllm
# A long sample takes long to draw, so that a run can be killed in the midst.
SAMPLING = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 200}
# The recipe for a machine without a GPU; on one with a GPU it does no harm. Few samples at a time, so that prompts are
# finished one after the other.
OPTIONS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 300, "batch_size": 16}
MANY, FEW, MORE = 48, 3, 5


@pytest.fixture(scope="module")
def tiny(shared):
    pytest.importorskip("vllm")
    return str(shared / TINY)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Little memory, two threads, no network."""
    with pytest.MonkeyPatch.context() as patch:
        use_little(patch)
        yield


@pytest.fixture(scope="module")
def engines(small):
    """One engine for all tests: starting it takes most of the time."""
    with Engines() as opened:
        yield opened


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    return write_prompts(tmp_path_factory.mktemp("prompts") / "prompts.jsonl", MANY)


@pytest.fixture(scope="module")
def draw(tiny, engines, prompts):
    def run(path, k, **more):
        settings = {"engine": "vllm", "engines": engines, "sampling": SAMPLING, **OPTIONS, **more}
        return generate(tiny, settings.pop("prompts", prompts), output=path, k=k, **settings)

    return run


@pytest.fixture(scope="module")
def whole(draw, tmp_path_factory):
    """Dumps of runs in one go, by K."""
    folder = tmp_path_factory.mktemp("whole")
    for k in (FEW, MORE):
        draw(folder / f"{k}.jsonl", k)
    return {k: folder / f"{k}.jsonl" for k in (FEW, MORE)}


@pytest.fixture(scope="module")
def engine(engines, whole):
    """The engine itself, that is open."""
    return engines._engine


def asked(engine, order, k=8):
    """Return what is drawn for a few prompts, asked for in some order."""
    tokenizer = engine._llm.get_tokenizer()
    texts = [f"Once upon a time{' very' * i}" for i in range(12)]
    ids = tokenizer(texts)["input_ids"]
    engine.sampling = Sampling(temperature=0.6, top_p=0.95, max_tokens=24)
    return dict(engine(Request(i, texts[i], range(100, 100 + k), ids[i]) for i in order))


def test_a_dump(whole, tiny):
    assert_finished(whole[FEW], FEW)
    lines = records(whole[FEW])
    assert {line["input_id"] for line in lines} == {f"p{i}" for i in range(MANY)}
    said = lines[0]["generation"]
    assert (said["engine"], said["model"], said["dtype"], said["context"]) == ("vllm", tiny, "float32", 300)
    assert {"divfast", "vllm", "torch"} == set(said["versions"])
    (block,) = divfast.read(whole[FEW])
    assert block.rows == MANY * FEW
    held = samples(whole[FEW])["p0"]
    assert all(value < 0 for value in held["logprobs"])
    assert {*held["finish_reasons"]} <= {"stop", "length"}


def test_the_same_again(draw, whole, tmp_path):
    draw(tmp_path / "again.jsonl", FEW)
    assert close(tmp_path / "again.jsonl", whole[FEW])
    before = whole[FEW].read_bytes()
    assert draw(whole[FEW], FEW).drawn == 0
    assert whole[FEW].read_bytes() == before


def test_more_samples_are_those_of_a_run_in_one_go(draw, whole, tmp_path):
    path = tmp_path / "dump.jsonl"
    path.write_bytes(whole[FEW].read_bytes())
    assert draw(path, MORE).drawn == MANY * (MORE - FEW)
    assert_finished(path, MORE)
    assert close(path, whole[MORE])


def test_a_sample_does_not_depend_on_its_batch(engine):
    together = asked(engine, range(12))
    assert asked(engine, reversed(range(12))) == together
    assert {i: asked(engine, [i])[i] for i in (0, 7)} == {i: together[i] for i in (0, 7)}
    assert asked(engine, range(12), k=3) == {i: drawn[:3] for i, drawn in together.items()}


def test_samples_are_in_the_order_of_their_seeds(engine):
    """Those that vLLM draws for n samples, of which sample i has the seed of the request plus i."""
    from vllm import SamplingParams

    together = asked(engine, [3])[3]
    parameters = SamplingParams(n=8, seed=100, temperature=0.6, top_p=0.95, max_tokens=24, logprobs=0)
    (out,) = engine._llm.generate([f"Once upon a time{' very' * 3}"], parameters, use_tqdm=False)
    assert [one.text for one in out.outputs] == [one.text for one in together]


def test_greedy_is_what_transformers_draws(draw, tiny, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    greedy = {"temperature": 0.0, "max_tokens": 10}
    draw(tmp_path / "greedy.jsonl", 1, sampling=greedy, chat=False, limit=4)
    tokenizer, model = AutoTokenizer.from_pretrained(tiny), AutoModelForCausalLM.from_pretrained(tiny)
    for record in records(tmp_path / "greedy.jsonl"):
        ids = tokenizer(record["prompt"], return_tensors="pt")
        out = model.generate(**ids, do_sample=False, max_new_tokens=10)[0, ids["input_ids"].shape[1] :]
        assert record["outputs"] == [tokenizer.decode(out, skip_special_tokens=True)]


def test_a_prompt_beyond_the_context(draw, tmp_path):
    prompts = tmp_path / "long.txt"
    prompts.write_text("Why? " * 400 + "\nWhy?\n")
    with pytest.raises(DivfastError, match="the context of the model 300"):
        draw(tmp_path / "dump.jsonl", 2, prompts=prompts)
    assert not (tmp_path / "dump.jsonl").exists()
    done = draw(tmp_path / "dump.jsonl", 2, prompts=prompts, on_error="skip")
    assert (done.prompts, len(done.skipped)) == (1, 1)


def start(tiny, prompts, path, k):
    call = [sys.executable, "-m", "divfast", "generate", "--model", tiny, "--prompts", str(prompts)]
    call += ["-k", str(k), "-o", str(path), "--engine", "vllm", "--dtype", "float32", "--enforce-eager"]
    call += [
        "--max-model-len",
        "300",
        "--batch-size",
        "16",
        "--temperature",
        "0.6",
        "--top-p",
        "0.95",
        "--max-tokens",
        "200",
    ]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def children(pid):
    """Return the processes that a process has started, and those that they have."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.sub(r"^.*\) ", "", (folder / "stat").read_text("utf-8")).split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            found += [int(folder.name), *children(int(folder.name))]
    return found


def kill(process):
    """Kill a run, and wait until the workers, which notice, are gone; those that do not notice are killed as well."""
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in workers:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("k", "lines"), [(FEW, 2), (MORE, 20)])
def test_killed(tiny, prompts, draw, whole, tmp_path, k, lines):
    """Once while prompts are drawn for the first time, once while samples are added to a dump that is whole."""
    path = tmp_path / "dump.jsonl"
    if k == MORE:
        path.write_bytes(whole[FEW].read_bytes())
    before = path.read_bytes() if path.exists() else b""
    process = start(tiny, prompts, path, k)
    try:
        while process.poll() is None:
            if path.exists() and path.read_bytes().count(b"\n") >= before.count(b"\n") + lines:
                break
            time.sleep(0.002)
        assert process.poll() is None, process.stdout.read()
    finally:
        kill(process)
    left = path.read_bytes()
    assert left.startswith(before)
    assert left.count(b"\n") > before.count(b"\n")
    done = draw(path, k)
    assert done.drawn > 0
    assert_finished(path, k)
    assert close(path, whole[k])


def test_two_side_by_side(tiny, prompts, whole, tmp_path):
    done = generate(
        tiny,
        prompts,
        output=tmp_path / "dump.jsonl",
        k=FEW,
        sampling=SAMPLING,
        engine="vllm",
        data_parallel=2,
        **OPTIONS,
    )
    assert done.drawn == MANY * FEW
    assert close(tmp_path / "dump.jsonl", whole[FEW])


def test_what_cannot_be_loaded(tiny, tmp_path):
    with (
        pytest.raises(DivfastError, match="the model cannot be loaded"),
        open_engine(str(tmp_path), Sampling(), OPTIONS),
    ):
        pass
