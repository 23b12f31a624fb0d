"""`divfast generate` with a server: no model here, so no chat template and no tokenizer."""

import pytest
from click.testing import CliRunner

from divfast.cli import main
from divfast.errors import DivfastError
from divfast.generation.generating import generate
from generating import assert_finished, records, samples, write_prompts
from openai_server import Reply, Server, chat, completion


def echo(_number, path, body):
    """Answer with what was asked and the seed, so that a sample depends on these alone."""
    if path.endswith("/chat/completions"):
        return chat(f"<think>{body['seed']}</think>{body['messages'][-1]['content']}: {body['seed']}")
    return completion(f"{body['prompt']} {body['seed']}")


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "prompts.jsonl", 5)


def draw(server, prompts, path, k, **more):
    return generate(None, prompts, output=path, k=k, base_url=server.url, **more)


def test_a_dump_and_more_samples(prompts, tmp_path):
    with Server(echo) as server:
        done = draw(server, prompts, tmp_path / "a.jsonl", 2)
        assert (done.drawn, done.recipe["engine"], done.recipe["model"]) == (10, "openai", "m")
        draw(server, prompts, tmp_path / "a.jsonl", 5)
        draw(server, prompts, tmp_path / "b.jsonl", 5)
        assert len(server.asked) == 50
    assert_finished(tmp_path / "a.jsonl", 5)
    assert samples(tmp_path / "a.jsonl") == samples(tmp_path / "b.jsonl")
    first = samples(tmp_path / "a.jsonl")["p0"]
    assert len({*first["outputs"]}) == 5
    assert first["outputs"] == [f"Tell me a story about the number 0: {seed}" for seed in first["reasoning"]]


def test_raw_prompts_and_a_prefix(prompts, tmp_path):
    with Server(echo) as server:
        draw(server, prompts, tmp_path / "a.jsonl", 1, chat=False, prefix="Q: ")
        assert {body["prompt"][:7] for body in server.asked} == {"Q: Tell"}
    assert records(tmp_path / "a.jsonl")[0]["generation"]["prompt"]["format"] == "raw"


def test_a_server_that_breaks_keeps_what_is_finished(prompts, tmp_path):
    def breaks(number, path, body):
        return echo(number, path, body) if number < 6 else Reply({"error": {"message": "out of luck"}}, 400)

    path = tmp_path / "a.jsonl"
    with Server(breaks) as server, pytest.raises(DivfastError, match="out of luck"):
        draw(server, prompts, path, 2, concurrency=1)
    assert 1 <= len(records(path)) <= 3
    with Server(echo) as server:
        draw(server, prompts, path, 2)
        draw(server, prompts, tmp_path / "b.jsonl", 2)
    assert samples(path) == samples(tmp_path / "b.jsonl")


def test_what_a_server_cannot_do(prompts, tmp_path):
    with Server(echo) as server:
        with pytest.raises(DivfastError, match="--no-think needs the chat template"):
            draw(server, prompts, tmp_path / "a.jsonl", 1, think=False)
        with pytest.raises(DivfastError, match="has no option tensor-parallel"):
            draw(server, prompts, tmp_path / "a.jsonl", 1, tensor_parallel=2)
    say = ["generate", "--base-url", "http://127.0.0.1:9/v1", "--prompts", str(prompts)]
    done = CliRunner().invoke(main, [*say, "-o", str(tmp_path / "a.jsonl")])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: http://127.0.0.1:9/v1: ")
    assert not (tmp_path / "a.jsonl").exists()
