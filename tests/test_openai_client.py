"""Requests to a server that answers well, late, wrongly, or not at all."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from divfast.errors import MetricError, ServerError
from divfast.generation import http_connection, openai_client
from divfast.generation.openai_client import Ask, Client
from divfast.generation.openai_protocol import drawn_chat
from openai_server import Reply, Server, chat


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(openai_client, "_FIRST_PAUSE", 0.01)


def asks(many, parse=drawn_chat):
    return [Ask(i, "/chat/completions", {"model": "m", "number": i}, parse) for i in range(many)]


def texts(client, many=1):
    return {key: drawn.text for key, drawn in client.answers(asks(many))}


def first(*replies):
    """Answer with these, then well."""

    def answer(number, _path, body):
        return replies[number] if number < len(replies) else chat(f"answer {body['number']}")

    return answer


def test_every_request_has_its_own_answer():
    with Server(first()) as server, Client(server.url, concurrency=4) as client:
        assert texts(client, 50) == {i: f"answer {i}" for i in range(50)}
        assert len(server.asked) == client.counts["requests"] == 50
        assert texts(client, 3) == {i: f"answer {i}" for i in range(3)}
        # Kept open, one for each thread.
        assert server.connections <= 4


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_at_a_time_than_said(concurrency):
    taken = []

    def taking():
        for ask in asks(12):
            taken.append((ask.key, len(server.asked)))
            yield ask

    with Server(first(), slow=0.02) as server, Client(server.url, concurrency=concurrency) as client:
        assert len(dict(client.answers(taking()))) == 12
        assert server.most == concurrency
        # Nor are more taken from those that wait.
        assert all(key <= started + concurrency for key, started in taken)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_full_or_broken_server_is_asked_again(status):
    with Server(first(Reply({"error": "later"}, status))) as server, Client(server.url) as client:
        assert texts(client) == {0: "answer 0"}
        assert client.counts == {"requests": 2, f"status {status}": 1, "retries": 1}


def test_retry_after_holds_for_all():
    busy = Reply({"error": {"message": "slow down"}}, 429, Retry_After="1")
    with Server(first(busy)) as server, Client(server.url, concurrency=2) as client:
        assert len(texts(client, 6)) == 6
        late = [when - server.times[0] for when in server.times[1:]]
        assert sum(when >= 0.95 for when in late) >= 5  # one may have been under way
        assert max(late) < 3


def test_one_that_wants_hours_is_not_waited_for():
    busy = Reply({"error": {"message": "quota"}}, 429, Retry_After="7200")
    said = "it answers 429: quota, and asks to be left alone for 7200 s"
    with Server(first(busy)) as server, Client(server.url) as client, pytest.raises(ServerError, match=said):
        texts(client)


def test_the_end_of_patience_says_what_the_server_said():
    with Server(lambda *_: Reply({"error": {"message": "out of memory"}}, 500)) as server:
        with Client(server.url, retries=2) as client, pytest.raises(ServerError) as failed:
            texts(client)
        assert len(server.asked) == 3
        assert str(failed.value) == (
            f"{server.url}: it answers 500: out of memory.\n"
            "Asked 3 times; look at the server, then run the same command again: it goes on."
        )


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            400,
            {"error": {"message": "max_tokens is too large."}},
            "refuses with 400: max_tokens is too large.",
        ),
        (401, {"error": {"message": "Incorrect API key"}}, "refuses with 401: Incorrect API key.\nPut a key"),
        (
            404,
            {"object": "error", "message": "no model x"},
            "refuses with 404: no model x.\nIt has m, other.",
        ),
        (422, {"detail": [{"msg": "field required"}]}, 'refuses with 422: [{"msg": "field required"}].'),
        (
            429,
            {"error": {"message": "No money", "code": "insufficient_quota"}},
            "refuses with 429: No money.",
        ),
        (301, {}, "points to https://elsewhere, which is not followed."),
    ],
)
def test_a_refusal_is_told_at_once(status, body, said):
    refusal = Reply(body, status, Location="https://elsewhere")
    with Server(first(refusal), models=("m", "other")) as server, Client(server.url) as client:
        with pytest.raises(ServerError) as failed:
            texts(client)
        assert said in str(failed.value)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"<html>hello</html>", kind="text/html"), "its answer is not JSON but text/html"),
        (Reply(b'{"choices": [', kind="application/json"), "its answer is not JSON but application/json"),
        (Reply([1]), "its answer is not a JSON object"),
        (Reply({}), "its answer has no choices"),
        (Reply({"choices": []}), "its answer has no choices"),
        (Reply({"choices": [{"text": "a"}]}), "its answer has a choice without a message"),
        (Reply({"choices": [{"message": {"content": 3}}]}), "its answer has a choice without a text"),
        (Reply(b"[" * 100_000), "its answer is not JSON"),
        (Reply(b"", kind="text/plain"), "its answer is not JSON but text/plain"),
        (Reply(b"\xff\xfe\x00"), "its answer is not JSON"),
    ],
)
def test_garbage_is_counted_and_asked_again(reply, said):
    with Server(first(reply)) as server, Client(server.url) as client:
        assert texts(client) == {0: "answer 0"}
        assert client.counts["garbage"] == 1
    with Server(lambda *_: reply) as server, Client(server.url, retries=1) as client:
        with pytest.raises(ServerError, match=said):
            texts(client)
        assert client.counts["garbage"] == 2


def test_json_is_json_whatever_its_type_is_called():
    with Server(lambda *_: Reply(chat("yes"), kind="text/plain")) as server, Client(server.url) as client:
        assert texts(client) == {0: "yes"}


def test_a_cut_connection_is_opened_again():
    cut = Reply(chat("x" * 1000), cut=100)
    with Server(first(cut)) as server, Client(server.url) as client:
        assert texts(client, 2) == {0: "answer 0", 1: "answer 1"}
        assert client.counts["connections lost"] == 1
    with (
        Server(lambda *_: cut) as server,
        Client(server.url, retries=1) as client,
        pytest.raises(ServerError, match="cannot be reached: the connection was cut"),
    ):
        texts(client)


def test_a_connection_closed_while_it_was_idle_costs_nothing():
    def answer(*_):
        return Reply(chat("a"), Connection="close") if len(server.asked) == 1 else Reply(chat("b"))

    with Server(answer) as server, Client(server.url, concurrency=1) as client:
        assert texts(client) == {0: "a"}
        assert texts(client) == {0: "b"}
        (connection,) = client._connections
        connection._connection.sock.shutdown(socket.SHUT_RDWR)  # as after a server's limit
        assert texts(client) == {0: "b"}
        assert not client.counts["retries"]


def test_a_slow_server_is_given_up():
    with Server(first(), slow=5) as server, Client(server.url, timeout=0.2, retries=1) as client:
        started = time.monotonic()
        with pytest.raises(ServerError, match=r"gave no answer within 0\.2 s"):
            texts(client)
        assert time.monotonic() - started < 2
        assert client.counts["timeouts"] == 2


def test_drops_of_an_answer_are_no_answer():
    """Each piece comes in time; the whole does not."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip():
            for _ in range(2):
                sock, _ = listening.accept()
                threading.Thread(target=drops, args=(sock,), daemon=True).start()

        def drops(sock):
            sock.recv(65536)
            try:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(100):
                    sock.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                pass

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(url, timeout=0.4, retries=0) as client:
            started = time.monotonic()
            with pytest.raises(ServerError, match=r"gave no answer within 0\.4 s"):
                texts(client)
            assert time.monotonic() - started < 2


def test_a_huge_answer_is_not_kept(monkeypatch):
    monkeypatch.setattr(http_connection, "_MOST_BYTES", 1 << 20)
    with (
        Server(lambda *_: chat("x" * (2 << 20))) as server,
        Client(server.url, retries=0) as client,
        pytest.raises(ServerError, match="its answer is longer than 1 MiB"),
    ):
        texts(client)
    with Server(lambda *_: chat("x" * (1 << 19))) as server, Client(server.url) as client:
        assert texts(client) == {0: "x" * (1 << 19)}


def nowhere():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def test_no_server_there():
    url = nowhere()
    with Client(url) as client, pytest.raises(ServerError) as failed:
        client.models()
    assert str(failed.value) == (
        f"{url}: cannot be reached: connection refused.\nStart the server, or name another with --base-url."
    )
    with Client(url, retries=2) as client, pytest.raises(ServerError, match="Asked 3 times"):
        texts(client)
    with Client("http://no-such-host.invalid/v1") as client, pytest.raises(ServerError, match="not known"):
        client.models()


def test_something_else_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet():
            for _ in range(2):
                sock, _ = listening.accept()
                with sock:
                    sock.sendall(b"SSH-2.0-server\r\n")
                    sock.recv(65536)

        threading.Thread(target=greet, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(url, retries=0) as client, pytest.raises(ServerError, match="what came is not HTTP"):
            texts(client)
        url = url.replace("http", "https")
        with Client(url, retries=0) as client, pytest.raises(ServerError, match="TLS fails"):
            texts(client)


def test_what_was_answered_comes_before_the_error():
    def answer(_number, _path, body):
        return Reply({"error": "no"}, 400) if body["number"] == 5 else chat("yes")

    with Server(answer) as server, Client(server.url, concurrency=1) as client:
        found = []
        with pytest.raises(ServerError):
            found.extend(key for key, _ in client.answers(asks(10)))
        assert found == [0, 1, 2, 3, 4]
        assert len(server.asked) == 6


def test_models():
    with Server(first(), models=("a", "b")) as server, Client(server.url) as client:
        assert client.models() == ["a", "b"]
    with Server(first(), models=None) as server, Client(server.url) as client:
        assert client.models() == []


def test_limits_are_checked():
    for wrong in ({"concurrency": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}):
        with pytest.raises(MetricError, match=next(iter(wrong))):
            Client("http://localhost/v1", **wrong)


def test_an_interrupt_ends_it_at_once():
    code = """
import sys
from divfast.generation.openai_client import Ask, Client
with Client(sys.argv[1], concurrency=8) as client:
    print("asking", flush=True)
    dict(client.answers(Ask(i, "/chat/completions", {}, dict) for i in range(1000)))
"""
    with Server(first(), slow=60) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", code, server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "no_proxy": "*"},
            text=True,
        )
        process.stdout.readline()
        while len(server.asked) < 8:
            time.sleep(0.01)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert time.monotonic() - started < 3
        assert "KeyboardInterrupt" in said
        assert "Exception in thread" not in said


def test_what_is_sent_is_json():
    hostile = {"model": "m", "number": 0, "messages": [{"role": "user", "content": 'a\ud800\x00"\n日本'}]}
    with Server(first()) as server, Client(server.url) as client:
        ((_, drawn),) = client.answers([Ask(0, "/chat/completions", hostile, drawn_chat)])
        assert drawn.text == "answer 0"
        assert json.dumps(server.asked[0]) == json.dumps(hostile)
