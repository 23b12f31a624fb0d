"""Where a request goes and what it carries: URLs, keys, proxies, headers."""

import time

import pytest

from divfast.errors import MetricError, ServerError
from divfast.generation.http_connection import check_base_url, retry_after
from divfast.generation.openai_client import Client
from openai_server import Reply, Server
from test_openai_client import _short, first, texts  # noqa: F401


def test_the_key_goes_to_the_server_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")

    def answer(*_):
        return Reply({"error": {"message": "the key sk-secret-123 is not known"}}, 401)

    with Server(answer) as server, Client(server.url) as client:
        with pytest.raises(ServerError) as failed:
            texts(client)
        assert server.headers[0]["Authorization"] == "Bearer sk-secret-123"
        assert "secret" not in str(failed.value)
        assert "the key [key] is not known" in str(failed.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk\nX-Header: 1")
    with pytest.raises(MetricError, match="OPENAI_API_KEY"):
        Client(server.url)


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    with Server(first()) as server:
        monkeypatch.setenv("http_proxy", server.url.replace("http://", "http://me:pass@").removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "")
        with Client("http://model.invalid/v1") as client:
            assert texts(client) == {0: "answer 0"}
        assert server.headers[0]["Host"] == "model.invalid"
        assert server.headers[0]["Proxy-Authorization"] == "Basic bWU6cGFzcw=="
        monkeypatch.setenv("no_proxy", "model.invalid")
        with Client("http://model.invalid/v1") as client, pytest.raises(ServerError, match="not known"):
            client.models()
        monkeypatch.setenv("http_proxy", "socks5://localhost:1")
        with pytest.raises(MetricError, match="proxy"):
            Client(server.url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        (" https://api.example.org/v1/ ", "https://api.example.org/v1"),
        ("http://[::1]:80/openai/v2", "http://[::1]:80/openai/v2"),
    ],
)
def test_base_urls(text, url):
    assert check_base_url(text).geturl() == url


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "localhost:8000",
            "ftp://host/v1",
            "http://",
            "http://host:port/",
            "http://host:99999",
            "http://[::1",
        ),
        *(
            "http://me:key@host/v1",
            "http://host/v1?key=1",
            "http://host/v1#x",
            "http://host/a b",
            "http://höst/v1",
        ),
        *("http://host/v1\r\nX: 1", "http://host/v1/chat/completions"),
    ],
)
def test_what_is_no_base_url(text):
    with pytest.raises(MetricError) as failed:
        check_base_url(text)
    assert "base URL: " in str(failed.value)
    assert "key@" not in str(failed.value)


def test_retry_after_is_seconds_or_a_date():
    assert retry_after("3") == 3
    assert (
        3590
        < retry_after(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600)))
        <= 3600
    )
    assert [retry_after(text) for text in (None, "", "-1", "nan", "inf", "x" * 1000)] == [None] * 6
