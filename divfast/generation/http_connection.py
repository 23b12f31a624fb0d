"""One connection to a server, kept open from one request to the next."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import socket
import ssl
import threading
import time
from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit

from divfast import env
from divfast.errors import MetricError, os_reason

_MOST_BYTES = 64 << 20
_CHUNK = 1 << 16


class Garbage(Exception):
    """An answer that is not what the protocol says, as the end of a sentence that begins with "its answer"."""


def check_base_url(text: str) -> SplitResult:
    """Return the parts of a base URL, its path ``/v1`` where it has none; raise `MetricError` where it is not one.

    Examples
    --------
    >>> check_base_url("http://localhost:8000/").path
    '/v1'
    """
    text = text.strip()
    remedy = "Name the server as http://HOST:PORT/v1."
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise MetricError(f"is not a URL: {error}.", where="base URL", remedy=remedy) from None
    if parts.username is not None or parts.password is not None:
        raise MetricError(
            "holds a name or a password, which would be written into files.",
            where="base URL",
            remedy="Put the key into the environment variable OPENAI_API_KEY.",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MetricError(
            f"{text!r} is not an http or https URL with a host.", where="base URL", remedy=remedy
        )
    if parts.query or parts.fragment or not all("!" <= letter <= "~" for letter in text):
        what = f"{text!r} has more than a scheme, a host and a path."
        raise MetricError(what, where="base URL", remedy=remedy)
    path = parts.path.rstrip("/")
    if path.endswith("/completions"):
        remedy = "Leave out what stands behind /v1."
        raise MetricError(f"{text!r} is the URL of one request.", where="base URL", remedy=remedy)
    return parts._replace(path=path or "/v1")


class Connection:
    """A connection over which one thread sends one request after another.

    Parameters
    ----------
    url : SplitResult
        Base URL.
    key : str or None
        Goes into the header of every request, and nowhere else.
    via : SplitResult or None
        A proxy.

    Notes
    -----
    An answer may be 64 MiB long.
    """

    def __init__(self, url: SplitResult, key: str | None, via: SplitResult | None) -> None:
        self._url, self._via = url, via
        self._headers = {"Accept": "application/json", "User-Agent": "divfast"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._deadline = float("inf")
        self._ended = False

    def exchange(
        self, method: str, path: str, data: bytes | None, seconds: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Return status, headers and content of the answer to one request.

        Raises
        ------
        Garbage
            Where it is too long.
        TimeoutError
            Where it is not there whole within `seconds`.
        OSError, http.client.HTTPException
            Where the connection is lost.
        """
        self._deadline = time.monotonic() + seconds
        kept = self._connection is not None
        try:
            try:
                return self._exchange(method, path, data)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not kept or self._ended or self._late():
                    raise
            # The server has closed a connection that was not in use, as servers do after some seconds.
            self.close()
            return self._exchange(method, path, data)
        except (OSError, http.client.HTTPException):
            self.close()
            if self._late():
                raise TimeoutError from None
            raise
        except BaseException:
            self.close()
            raise
        finally:
            self._deadline = float("inf")

    def _exchange(
        self, method: str, path: str, data: bytes | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        target, headers = f"{self._url.path}{path}", self._headers
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        if self._via is not None and self._url.scheme == "http":
            target = f"http://{self._url.netloc}{target}"
            headers = {**headers, **_proxy_headers(self._via)}
        connection = self._connection or self._connected()
        if connection.sock is not None:
            connection.sock.settimeout(self._left())
        connection.request(method, target, data, headers)
        response = connection.getresponse()
        parts, many = [], 0
        while part := response.read(_CHUNK):
            parts.append(part)
            many += len(part)
            if many > _MOST_BYTES:
                raise Garbage(f"is longer than {_MOST_BYTES >> 20} MiB")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        if response.will_close:
            self.close()
        return response.status, response.headers, b"".join(parts)

    def _connected(self) -> http.client.HTTPConnection:
        secure, via = self._url.scheme == "https", self._via
        host, port = self._url.hostname or "", self._url.port or (443 if secure else 80)
        place = (host, port) if via is None else (via.hostname or "", via.port or 80)
        connection: http.client.HTTPConnection
        if secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(*place, timeout=self._left(), context=context)
        else:
            connection = http.client.HTTPConnection(*place, timeout=self._left())
        if secure and via is not None:
            connection.set_tunnel(host, port, _proxy_headers(via))
        connection.connect()
        with self._lock:
            # After the answer has begun, the connection may have let go of its socket.
            self._connection, self._socket = connection, connection.sock
        if self._ended:
            self.end()
        return connection

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _left(self) -> float:
        if self._late():
            raise TimeoutError
        return self._deadline - time.monotonic() + 0.001

    def end(self, *, if_late: bool = False) -> None:
        """Let what waits on this connection fail at once, or if its time is over; called by another thread.

        A socket's own limit is for each piece that comes, however small.
        """
        if if_late and not self._late():
            return
        self._ended = self._ended or not if_late
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; the next request opens it again."""
        with self._lock:
            connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()


def find_proxy(url: SplitResult) -> SplitResult | None:
    """Return the proxy for a base URL, if the environment names one; raise `MetricError` where it is not one."""
    found = env.proxy(url.scheme, url.netloc)
    if not found:
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    if parts.scheme != "http" or not parts.hostname:
        raise MetricError(
            "the proxy of the environment is not an http URL.",
            where=f"{url.scheme}_proxy",
            remedy="Name it as http://HOST:PORT.",
        )
    return parts


def _proxy_headers(via: SplitResult) -> dict[str, str]:
    if via.username is None:
        return {}
    word = f"{unquote(via.username)}:{unquote(via.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(word).decode()}"}


def reason(error: Exception) -> str:
    """Return what became of a connection, as the end of a sentence."""
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({(error.reason or 'no reason given').lower().replace('_', ' ')})"
    if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "the connection was cut"
    if isinstance(error, http.client.HTTPException):
        return "what came is not HTTP"
    return os_reason(error) if isinstance(error, OSError) else type(error).__name__


def retry_after(text: str | None) -> float | None:
    """Return the seconds of a header Retry-After, which names their number or a date; None where it does not.

    Examples
    --------
    >>> retry_after("1.5"), retry_after("soon"), retry_after("Thu, 01 Jan 1970 00:00:00 GMT")
    (1.5, None, 0.0)
    """
    if not text:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        seconds = float(text)
        return seconds if 0 <= seconds < float("inf") else None
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None
