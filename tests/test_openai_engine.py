"""Samples from a server: in order, each with its own seed, with all that the server says of them."""

import pytest

from divfast.errors import DivfastWarning, MetricError, ServerError
from divfast.generation import openai_client
from divfast.generation.engines import Drawn, Request
from divfast.generation.engines.openai import open_engine
from divfast.generation.openai_protocol import drawn_chat, drawn_text
from divfast.generation.sampling import Sampling
from openai_server import Reply, Server, chat, completion

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=16, seed=3)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(openai_client, "_FIRST_PAUSE", 0.01)


def echo(_number, path, body):
    """Say what was asked."""
    if path.endswith("/chat/completions"):
        return chat(f"{body['messages'][-1]['content']} {body['seed']}")
    return completion(f"{body['prompt']} {body['seed']}")


def drawn(server, requests, sampling=SAMPLING, model="m", **options):
    with open_engine(model, sampling, {"base_url": server.url, **options}) as engine:
        return dict(engine(requests))


@pytest.mark.parametrize("concurrency", [1, 7])
def test_samples_are_in_the_order_of_their_seeds(concurrency):
    requests = [Request(i, f"prompt {i}", range(100 * i, 100 * i + 5)) for i in range(8)]
    with Server(echo) as server:
        found = drawn(server, requests, concurrency=concurrency)
        assert len(server.asked) == 40
        assert server.most <= concurrency
    assert {key: [one.text for one in samples] for key, samples in found.items()} == {
        i: [f"prompt {i} {100 * i + j}" for j in range(5)] for i in range(8)
    }


def test_text_is_gone_on_from_and_messages_are_a_chat():
    paths = []

    def noting(number, path, body):
        paths.append(path)
        return echo(number, path, body)

    with Server(noting) as server:
        found = drawn(
            server, [Request(0, "Once", [1]), Request(1, MESSAGES, [2]), Request(2, "x", [])], concurrency=1
        )
        text, talk = server.asked
    assert paths == ["/v1/completions", "/v1/chat/completions"]
    assert text == {
        "model": "m", "prompt": "Once", "max_tokens": 16, "temperature": 0.7, "top_p": 0.9, "seed": 1, "logprobs": 0,
    }  # fmt: skip
    assert talk == {
        "model": "m", "messages": MESSAGES, "max_tokens": 16, "temperature": 0.7, "top_p": 0.9, "seed": 2,
        "logprobs": True,
    }  # fmt: skip
    assert found == {0: [Drawn("Once 1", "stop")], 1: [Drawn("Hi 2", "stop")], 2: []}


def test_every_parameter_that_is_not_neutral_is_sent():
    sampling = Sampling(
        temperature=0.5, top_p=0.8, top_k=20, min_p=0.1, max_tokens=4, stop=("\n", "Q:"), presence_penalty=0.1,
        frequency_penalty=0.2, repetition_penalty=1.1,
    )  # fmt: skip
    with Server(echo) as server:
        drawn(server, [Request(0, "a", [0])], sampling, logprobs=False)
        (body,) = server.asked
    assert body == {
        "model": "m", "prompt": "a", "seed": 0, "temperature": 0.5, "top_p": 0.8, "top_k": 20, "min_p": 0.1,
        "max_tokens": 4, "stop": ["\n", "Q:"], "presence_penalty": 0.1, "frequency_penalty": 0.2,
        "repetition_penalty": 1.1,
    }  # fmt: skip


def test_what_the_server_says_of_a_sample():
    tokens = [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -0.25}]
    more = {
        "logprobs": {"content": tokens},
        "finish_reason": "length",
        "message": {"reasoning_content": "Hm."},
    }
    answer = {**chat("ab", **more), "usage": {"completion_tokens": 2}}
    assert drawn_chat(answer) == Drawn("ab", "length", 2, -1.25, "Hm.")
    assert drawn_chat(chat(None, finish_reason="length", message={"reasoning": "Hm"})) == Drawn(
        "", "length", reasoning="Hm"
    )
    assert drawn_chat(chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])).text == "ab"
    text = completion("ab", logprobs={"token_logprobs": [-1.0, None]})
    assert drawn_text(text) == Drawn("ab", "stop"), "no sum over a part"
    assert drawn_text(completion("", logprobs={"token_logprobs": []})).logprob == 0


def test_log_probabilities_that_are_refused_are_left_out():
    def answer(number, path, body):
        if "logprobs" in body:
            return Reply({"error": {"message": "This model does not support logprobs."}}, 400)
        return echo(number, path, body)

    with Server(answer) as server:
        found = drawn(server, [Request(i, MESSAGES, [i]) for i in range(20)], concurrency=2)
        assert [found[i][0].text for i in range(20)] == [f"Hi {i}" for i in range(20)]
        assert sum("logprobs" in body for body in server.asked) <= 4


def test_the_other_name_of_the_limit():
    def answer(number, path, body):
        if "max_tokens" in body:
            what = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Reply({"error": {"message": what}}, 400)
        return echo(number, path, body)

    with Server(answer) as server:
        assert drawn(server, [Request(0, MESSAGES, [4, 5])], concurrency=1)[0][1].text == "Hi 5"
        assert [body.get("max_completion_tokens") for body in server.asked] == [None, 16, 16]


def test_a_server_that_ignores_seeds_is_noticed():
    requests = [Request(i, "a", [1, 2]) for i in range(3)]
    with Server(lambda *_: completion("same")) as server:
        with pytest.warns(DivfastWarning, match="of each of 3 prompts are one text"):
            drawn(server, requests)
        drawn(server, requests[:2])
        drawn(server, requests, Sampling(temperature=0.0))
        drawn(server, [Request(i, "a", [1]) for i in range(3)])


def test_the_only_model_need_not_be_named():
    with Server(echo, models=("only",)) as server:
        drawn(server, [Request(0, "a", [0])], model=None)
        assert server.asked[0]["model"] == "only"
        with open_engine(None, SAMPLING, {"base_url": server.url}) as engine:
            assert engine.facts == {"engine": "openai", "model": "only", "base_url": server.url}
    with Server(echo, models=("a", "b")) as server, pytest.raises(MetricError, match=r"It has a, b\."):
        drawn(server, [], model=None)


def test_a_model_that_is_not_there_is_told_with_those_that_are():
    missing = Reply({"message": "The model `x` does not exist."}, 404)
    said = r"The model `x` does not exist\.\nIt has a\."
    with Server(lambda *_: missing, models=("a",)) as server, pytest.raises(ServerError, match=said):
        drawn(server, [Request(0, "a", [0])], model="x")


def test_a_server_must_be_named():
    with pytest.raises(MetricError, match="--base-url"), open_engine("m", SAMPLING, {}):
        pass
