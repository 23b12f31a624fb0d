"""vLLM's own server on loopback (make test-vllm): samples drawn through it, and a judge behind it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from divfast.cli import main
from divfast.errors import ServerError
from divfast.generation.engines import Request
from divfast.generation.engines.openai import open_engine
from divfast.generation.openai_client import Client
from divfast.generation.sampling import Sampling

pytestmark = pytest.mark.vllm
NAME = "tiny"
_PATIENCE = 300.0


@pytest.fixture(scope="module")
def server(shared, tmp_path_factory):
    """The base URL of a server of the tiny model."""
    pytest.importorskip("vllm")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = f"--dtype float32 --enforce-eager --max-model-len 512 --host 127.0.0.1 --port {port}"
    model = ["--model", str(shared / "models" / "tiny-lm"), "--served-model-name", NAME]
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *model, *words.split()],
            env={**quiet, **os.environ},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                with Client(url) as client:
                    assert client.models() == [NAME]
                break
            except ServerError:
                assert process.poll() is None and time.monotonic() < until, log.read_text("utf-8")[-3000:]
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def run(*words):
    done = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done


def records(path):
    return {one["input_id"]: one for one in map(json.loads, path.read_text("utf-8").splitlines())}


def lines(path, *found):
    path.write_text("".join(f"{json.dumps(one)}\n" for one in found), "utf-8")
    return path


@pytest.fixture
def prompts(tmp_path):
    return lines(
        tmp_path / "prompts.jsonl",
        *({"input_id": f"p{i}", "prompt": f"Say {'one ' * i}thing"} for i in range(4)),
    )


def generated(server, prompts, path, k):
    words = f"--engine openai --model {NAME} -k {k} --temperature 0.8 --top-p 0.95 --max-tokens 8 --seed 7".split()
    run("generate", "--base-url", server, *words, "--prompts", prompts, "-o", path)
    return records(path)


def test_samples_have_their_own_seeds(server):
    sampling = Sampling(temperature=1.0, max_tokens=12)
    talk = [{"role": "user", "content": "Hi"}]
    requests = [Request(0, "Once upon a time", range(6)), Request(1, talk, range(6))]
    with open_engine(None, sampling, {"base_url": server}) as engine:
        found, again = (dict(engine(requests)) for _ in range(2))
        one = dict(engine([Request(0, "Once upon a time", [3])]))
    assert found == again
    assert one[0][0].text == found[0][3].text
    for key in (0, 1):
        assert len({sample.text for sample in found[key]}) > 1
        assert all(sample.logprob < 0 and 0 < sample.tokens <= 12 for sample in found[key])
        assert {sample.finish_reason for sample in found[key]} <= {"stop", "length"}


def test_what_the_server_refuses_is_told(server):
    with (
        open_engine(NAME, Sampling(max_tokens=8), {"base_url": server}) as engine,
        pytest.raises(ServerError) as failed,
    ):
        dict(engine([Request(0, "word " * 1000, [0])]))
    assert "refuses with 400" in str(failed.value)
    with (
        open_engine("none", Sampling(), {"base_url": server}) as engine,
        pytest.raises(ServerError) as failed,
    ):
        dict(engine([Request(0, "a", [0])]))
    assert f"It has {NAME}." in str(failed.value)


def test_a_dump_is_drawn_and_gone_on_with(server, prompts, tmp_path):
    first = generated(server, prompts, tmp_path / "a.jsonl", 3)
    assert {key: len(one["outputs"]) for key, one in first.items()} == {f"p{i}": 3 for i in range(4)}
    other = generated(server, prompts, tmp_path / "b.jsonl", 3)
    assert {key: one["outputs"] for key, one in first.items()} == {
        key: one["outputs"] for key, one in other.items()
    }


def test_a_judge_that_knows_no_verdicts_gives_none(server, prompts, tmp_path):
    """The tiny model talks nonsense: nothing is guessed, and nothing is asked twice over."""
    for name, seed in (("a", 7), ("b", 8)):
        words = f"--engine openai --model {NAME} -k 2 --temperature 0.8 --max-tokens 8 --seed {seed}".split()
        run("generate", "--base-url", server, *words, "--prompts", prompts, "-o", tmp_path / f"{name}.jsonl")
    score, pair = tmp_path / "score.txt", tmp_path / "pair.txt"
    score.write_text("{prompt} {response} Score: N")
    pair.write_text("{prompt} {response_a} {response_b} [[A]]")
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    words = ["--base-url", server, "--model", NAME, "--max-tokens", 8, "--format", "json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIVFAST_CACHE", str(tmp_path / "cache"))
        for dumps, template in (([a], score), ([a, b], pair)):
            (found,) = json.loads(run("judge", *dumps, *words, "--template", template).stdout)["results"]
            assert found["unusable"] == found["malformed"] == 8
            (again,) = json.loads(run("judge", *dumps, *words, "--template", template).stdout)["results"]
            assert again["run"]["judge"]["asked"] == 0
            assert again["signature"] == found["signature"]
    assert all(one["scores"] == [None, None] for one in records(tmp_path / "a.judged.jsonl").values())
