"""Many requests at once to a server that speaks the OpenAI protocol, with the standard library alone."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from divfast import env
from divfast.errors import MetricError, ServerError
from divfast.generation.http_connection import (
    Connection,
    Garbage,
    check_base_url,
    find_proxy,
    reason,
    retry_after,
)

CONCURRENCY = 32
TIMEOUT = 600.0
RETRIES = 6
# Those that may go better another time. Any other status is told at once.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# A server that wants to be left alone for longer has no answer for this run.
_LONGEST_RETRY_AFTER = 600.0
_PATIENCE_FOR_NAMES = 30.0
_READ_OF_ERRORS = 1 << 16
_LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes
    ----------
    key : Any
        Comes back with the answer.
    path : str
        Behind the base URL: ``/chat/completions``.
    body : Mapping
        What is sent, as JSON.
    parse : callable
        Makes the answer of what came, a JSON object; raises `Garbage` where it is not one that can be used.
    amend : callable, optional
        Called with what the server said of a body that it refused; returns another body to try, or None.
    """

    key: Any
    path: str
    body: Mapping[str, Any]
    parse: Callable[[Mapping[str, Any]], Any]
    amend: Callable[[Mapping[str, Any], str], Mapping[str, Any] | None] = lambda body, message: None


class _Passing(Exception):
    """What went wrong and may go better another time: what to say, what to count, how long to wait."""

    def __init__(self, what: str, kind: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.what, self.kind, self.wait = what, kind, wait


class _Refused(Exception):
    """The server has understood and will not."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Closed(Exception):
    """The client was closed while it waited."""


class Client:
    """Connections to one server, each kept open and used by one thread.

    Parameters
    ----------
    base_url : str
        ``http://localhost:8000/v1``; without a path, ``/v1`` is meant.
    concurrency : int
        Most requests at a time.
    timeout : float
        Seconds until an answer must be there whole.
    retries : int
        How often a request is sent again that met a full or broken server, a lost connection, or an answer that is not
        one.
    seed : int
        Of the pauses before that.

    Notes
    -----
    The key is that of the environment (``OPENAI_API_KEY``), proxies are those of the environment too. The pause before
    attempt i is drawn between half and all of 0.5 x 2^i seconds, 30 at most; where the server says Retry-After, nothing
    at all is sent before that. Closing ends whatever is under way, at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        concurrency: int = CONCURRENCY,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        seed: int = 0,
    ) -> None:
        if concurrency < 1:
            raise MetricError(f"must be at least 1, got {concurrency}.", where="concurrency")
        if not timeout > 0:
            raise MetricError(f"must be greater than 0 seconds, got {timeout:g}.", where="timeout")
        if retries < 0:
            raise MetricError(f"must be at least 0, got {retries}.", where="retries")
        self._url = check_base_url(base_url)
        self.base_url = self._url.geturl()
        self.counts: Counter[str] = Counter()
        self._concurrency, self._timeout, self._retries, self._seed = concurrency, timeout, retries, seed
        self._key = env.openai_api_key()
        if self._key and any(not 32 < ord(letter) < 127 for letter in self._key):
            raise MetricError("holds characters that no key has.", where="OPENAI_API_KEY")
        self._via = find_proxy(self._url)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._resume_at = 0.0
        self._connections: list[Connection] = []
        self._waiting: queue.SimpleQueue[tuple[Ask, int, queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()
        self._threads = 0
        self._asked = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all requests that are under way."""
        self._closing.set()
        with self._lock:
            for connection in self._connections:
                connection.end()
        for _ in range(self._threads):
            self._waiting.put(None)

    def models(self) -> list[str]:
        """Return the names of the models that the server has; empty where it does not tell.

        A server that is not there is not asked twice: this is the first that is asked of it.
        """
        connection = self._connection()
        try:
            listed = self._once(connection, "GET", "/models", None, _PATIENCE_FOR_NAMES).get("data")
            found = listed if isinstance(listed, list) else []
            names = [one.get("id") for one in found if isinstance(one, dict)]
            return [name for name in names if isinstance(name, str)]
        except _Refused as error:
            if error.status in (401, 403):
                raise self._refusal("/models", error) from None
            return []
        except Garbage:
            return []
        except _Passing as error:
            if not error.kind.startswith("connection"):
                return []
            raise ServerError(
                error.what,
                where=self.base_url,
                remedy="Start the server, or name another with --base-url.",
            ) from None
        finally:
            connection.close()

    def answers(self, asks: Iterable[Ask]) -> Iterator[tuple[Any, Any]]:
        """Yield key and answer of every request, in the order in which they are answered.

        Requests are taken from `asks` as there is room for them.

        Raises
        ------
        ServerError
            Where one is refused, or none of its attempts was answered. What has been answered by then comes first.
        """
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asks = iter(asks)
        under_way, more, failure = 0, True, None
        while True:
            while more and failure is None and under_way < self._concurrency:
                ask = next(asks, None)
                if ask is None:
                    more = False
                    break
                self._hand(ask, done)
                under_way += 1
            if not under_way:
                break
            try:
                # After a failure only what is there already: others may be waiting for a server that is gone.
                key, answer, error = done.get() if failure is None else done.get_nowait()
            except queue.Empty:
                break
            under_way -= 1
            if error is None:
                yield key, answer
            else:
                failure = failure or error
        if failure is not None:
            raise failure

    def _connection(self) -> Connection:
        connection = Connection(self._url, self._key, self._via)
        with self._lock:
            self._connections.append(connection)
        return connection

    def _hand(self, ask: Ask, done: queue.SimpleQueue[Any]) -> None:
        if self._closing.is_set():
            raise ServerError("the client is closed.", where=self.base_url)
        self._asked += 1
        self._waiting.put((ask, self._asked, done))
        if self._threads < min(self._asked, self._concurrency):
            self._threads += 1
            if self._threads == 1:
                threading.Thread(target=self._watch, daemon=True, name="divfast-openai-watch").start()
            # No thread outlives an interrupt: the interpreter does not wait for these.
            threading.Thread(target=self._work, daemon=True, name="divfast-openai").start()

    def _watch(self) -> None:
        while not self._closing.wait(min(1.0, self._timeout / 4)):
            with self._lock:
                connections = list(self._connections)
            for connection in connections:
                connection.end(if_late=True)

    def _work(self) -> None:
        connection = self._connection()
        try:
            while (handed := self._waiting.get()) is not None:
                ask, number, done = handed
                try:
                    done.put((ask.key, self._answer(connection, ask, number), None))
                except Closed:
                    done.put((ask.key, None, ServerError("the client was closed.", where=self.base_url)))
                    return
                except Exception as error:  # noqa: BLE001 - raised where the answer was wanted
                    done.put((ask.key, None, error))
        finally:
            connection.close()

    def _answer(self, connection: Connection, ask: Ask, number: int) -> Any:
        body, attempt = ask.body, 0
        pauses = random.Random(f"{self._seed}/{number}")
        while True:
            self._pause_until(self._resume_at)
            wait = None
            try:
                return ask.parse(self._once(connection, "POST", ask.path, body))
            except Garbage as error:
                what, kind = f"its answer {error}.", "garbage"
            except _Passing as error:
                what, kind, wait = error.what, error.kind, error.wait
            except _Refused as error:
                amended = ask.amend(body, error.message) if error.status in (400, 403, 422) else None
                if amended is None or amended == body:
                    raise self._refusal(ask.path, error) from None
                body = amended
                continue
            self._count(kind)
            if wait is not None and wait > _LONGEST_RETRY_AFTER:
                raise ServerError(
                    f"{what.rstrip('.')}, and asks to be left alone for {wait:.0f} s.", where=self.base_url
                )
            if attempt == self._retries:
                times = "once" if attempt == 0 else f"{attempt + 1} times"
                raise ServerError(
                    what,
                    where=self.base_url,
                    remedy=f"Asked {times}; look at the server, then run the same command again: it goes on.",
                )
            if wait is not None:
                with self._lock:
                    self._resume_at = max(self._resume_at, time.monotonic() + wait)
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt) * pauses.uniform(0.5, 1.0)
            self._pause_until(time.monotonic() + max(pause, wait or 0.0))
            attempt += 1
            self._count("retries")

    def _pause_until(self, when: float) -> None:
        while (left := when - time.monotonic()) > 0:
            if self._closing.wait(left):
                break
        if self._closing.is_set():
            raise Closed

    def _count(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1

    def _once(
        self,
        connection: Connection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        most: float = float("inf"),
    ) -> Mapping[str, Any]:
        """Send one request and return the object that is its answer."""
        seconds = min(self._timeout, most)
        self._count("requests")
        data = None if body is None else json.dumps(body).encode()
        try:
            status, headers, content = connection.exchange(method, path, data, seconds)
        except TimeoutError:
            what = f"gave no answer within {seconds:g} s."
            raise self._ended() or _Passing(what, "timeouts") from None
        except (OSError, http.client.HTTPException) as error:
            what = f"cannot be reached: {reason(error)}."
            raise self._ended() or _Passing(what, "connections lost") from None
        if status == 200:
            return _object(content, headers)
        message = self._message(content, headers)
        if 300 <= status < 400:
            target = headers.get("Location") or "nowhere"
            raise _Refused(status, f"it points to {target}, which is not followed")
        # An account without money stays without, however long one waits.
        if status in _PASSING and b"insufficient_quota" not in content[:_READ_OF_ERRORS]:
            what, wait = f"it answers {status}: {message}.", retry_after(headers.get("Retry-After"))
            raise _Passing(what, f"status {status}", wait)
        raise _Refused(status, message)

    def _ended(self) -> Closed | None:
        return Closed() if self._closing.is_set() else None

    def _message(self, content: bytes, headers: http.client.HTTPMessage) -> str:
        """Return what a server says of an error, in its own words, on one line and without the key."""
        text = content[:_READ_OF_ERRORS].decode("utf-8", "replace")
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(text)
            for name in ("error", "message", "detail"):
                if isinstance(found, dict) and found.get(name):
                    found = found[name]
            text = found if isinstance(found, str) else json.dumps(found)
        if headers.get_content_type() == "text/html":
            text = "a page for browsers"
        words = " ".join(text.split()).rstrip(".") or "no reason given"
        if self._key:
            words = words.replace(self._key, "[key]")
        printable = "".join(letter if letter.isprintable() else "?" for letter in words)
        return printable if len(printable) <= _LONGEST_MESSAGE else f"{printable[:_LONGEST_MESSAGE]} ..."

    def _refusal(self, path: str, error: _Refused) -> ServerError:
        remedy = {
            401: "Put a key that is valid there into the environment variable OPENAI_API_KEY.",
            403: "Use a key that may do this, in the environment variable OPENAI_API_KEY.",
            404: "Name a model that the server has, and the base URL up to /v1.",
        }.get(error.status)
        if error.status == 404 and path != "/models":
            with contextlib.suppress(ServerError):
                if there := self.models():
                    remedy = f"It has {', '.join(there[:8])}{', ...' if len(there) > 8 else ''}."
        return ServerError(
            f"the server refuses with {error.status}: {error.message}.",
            where=f"{self.base_url}{path}",
            remedy=remedy,
        )


def _object(content: bytes, headers: http.client.HTTPMessage) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Garbage(f"is not JSON but {headers.get_content_type()}") from None
    if not isinstance(found, dict):
        raise Garbage("is not a JSON object")
    return found
