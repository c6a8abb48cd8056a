"""Keep-alive clients that load a service while it stops, and count the requests it failed."""

import http.client
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PAUSE = 0.1  # seconds between a client's requests: 50 clients make about 500 a second
_POLL = 0.01  # seconds between two looks at the count
_LIMIT = 45.0  # seconds after which a client ends in any case
_TIMEOUT = 5.0  # seconds for a connection, and for each part of an answer
_RESET = 0.05  # seconds in which a host says that a request came too late
_UNANSWERED = "a request was sent and not answered"


@dataclass
class Load:
    """What the clients saw. answered: full answers with 2xx; failures: what went wrong, by how often.

    drain: the seconds after the stop signal in which the service still takes new connections; 0: it closes all that
    wait for a request at the signal, so that what was on its way to one is lost, and no failure.
    """

    drain: float
    over: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    _drained: float = float("inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stopping(self) -> None:
        """Say that the stop signal comes now: once the drain is over, a refused connection is no failure."""
        self._drained = time.monotonic() + self.drain

    def wait(self, answers: int, seconds: float) -> None:
        """Return when there were that many answers, or failures, or when so many seconds are over."""
        end = time.monotonic() + seconds
        while self.answered < answers and not self.failures and time.monotonic() < end:
            time.sleep(_POLL)

    @property
    def drained(self) -> bool:
        """Whether the service may be gone."""
        return time.monotonic() >= self._drained

    def note(self, failure: str) -> None:
        """Count an answer, or a failure when its text is not empty."""
        with self._lock:
            if failure:
                self.failures[failure] = self.failures.get(failure, 0) + 1
            else:
                self.answered += 1


@contextmanager
def load(host: str, port: int, path: str, clients: int, drain: float) -> Iterator[Load]:
    """Run that many clients against http://host:port/path until the block ends."""
    seen = Load(drain)
    threads = [threading.Thread(target=_client, args=(seen, host, port, path), daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen.over.set()
        for thread in threads:
            thread.join(timeout=10)


class _TooLateError(Exception):
    """The server had closed the connection before the request reached it."""


def _client(seen: Load, host: str, port: int, path: str) -> None:
    """One client: a request every _PAUSE, on one connection for as long as the server keeps it."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    connection: socket.socket | None = None
    used = late = False
    end = time.monotonic() + _LIMIT
    while not seen.over.is_set() and time.monotonic() < end:
        try:
            if not connection:
                late = seen.drained  # the kernel may have taken it for a service that closes its port
                connection, used = socket.create_connection((host, port), timeout=_TIMEOUT), False
        except OSError as error:
            if seen.drained:
                return
            seen.note(f"a new connection is refused: {error.strerror or error}")
            time.sleep(_PAUSE)
            continue
        try:
            failure, kept = _ask(connection, request)
        except _TooLateError:
            connection.close()
            connection = None
            continue
        if failure == _UNANSWERED and late:
            return  # a refusal
        if not (failure == _UNANSWERED and used and seen.drained and not seen.drain):
            seen.note(failure)
        used = True
        if not kept:
            connection.close()
            connection = None
        time.sleep(_PAUSE)


def _ask(connection: socket.socket, request: bytes) -> tuple[str, bool]:
    """Send a request; return what went wrong with it, or "", and whether the connection takes another.

    Every request that reached the server has to be answered in full. Raises _TooLateError for one that came after the
    server had closed the connection: RFC 9110 (9.2.2) lets every client send that again on a new one.
    """
    if _ended(connection):
        raise _TooLateError
    response = http.client.HTTPResponse(connection)
    failure = _UNANSWERED
    try:
        connection.sendall(request)
        response.begin()
        failure = "an answer was cut off"
        response.read()
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, BrokenPipeError | http.client.RemoteDisconnected) and _reset(connection):
            raise _TooLateError from None
        return failure, False
    finally:
        response.close()
    return "" if 200 <= response.status < 300 else f"status {response.status}", not response.will_close


def _ended(connection: socket.socket) -> bool:
    """Whether the server has closed a connection between two requests, when it has nothing to say."""
    return bool(select.select([connection], [], [], 0)[0])


def _reset(connection: socket.socket) -> bool:
    """Whether the end of a connection was followed by a reset, which is what a request to a closed one gets."""
    time.sleep(_RESET)
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
