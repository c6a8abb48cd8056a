"""Does the load of rule 604 count every request that a server drops, and no other? Asked of servers made here."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from msb.contract import load as loads
from msb.contract.load import Load, load

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CLIENTS = 5
LATER = 3 * CLIENTS
"""The number of a request that comes on a connection which has been answered before."""

Serve = Callable[[socket.socket, int], bool]
"""Do something about the request of that number, which has come in; say whether the connection stays."""


class Server:
    """A server whose answers a test writes."""

    def __init__(self, serve: Serve) -> None:
        self._serve, self._numbers = serve, count()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self) -> None:
        """Take no new connections from now on."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        try:
            while True:
                threading.Thread(target=self._answer, args=self._listener.accept()[:1], daemon=True).start()
        except OSError:  # it refuses
            return

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while connection.recv(1, socket.MSG_PEEK) and self._serve(connection, next(self._numbers)):
                pass


def answer(connection: socket.socket, _: int, text: bytes = ANSWER) -> bool:
    connection.recv(10_000)
    connection.sendall(text)
    return True


def read_it_and_close(connection: socket.socket, _: int) -> bool:
    connection.recv(10_000)
    return False


def close_without_reading_it(_: socket.socket, __: int) -> bool:
    return False


def reset(connection: socket.socket, _: int) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def cut_the_answer(connection: socket.socket, number: int) -> bool:
    return not answer(connection, number, ANSWER[:-1])


def last(connection: socket.socket, number: int) -> bool:
    return not answer(connection, number, ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


def answer_with_an_error(connection: socket.socket, number: int) -> bool:
    return answer(connection, number, ANSWER.replace(b"200 OK", b"503 Service Unavailable"))


@contextmanager
def loaded(serve: Serve, drain: float = 0.0) -> Iterator[tuple[Server, Load]]:
    server = Server(serve)
    with load("127.0.0.1", server.port, "/", CLIENTS, drain) as seen:
        yield server, seen
    assert seen.answered > CLIENTS


def wait(seen: Load, answers: int) -> None:
    end = time.monotonic() + 20
    while seen.answered < answers and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (read_it_and_close, "a request was sent and not answered"),
        (close_without_reading_it, "a request was sent and not answered"),
        (reset, "a request was sent and not answered"),
        (cut_the_answer, "an answer was cut off"),
        (answer_with_an_error, "status 503"),
    ],
)
@pytest.mark.parametrize("number", [0, LATER], ids=["the first on its connection", "a later one"])
def test_the_one_request_that_a_server_drops_is_counted(fault: Serve, failure: str, number: int) -> None:
    with loaded(lambda connection, each: (fault if each == number else answer)(connection, each)) as (_, seen):
        wait(seen, 2 * LATER)
    assert seen.failures == {failure: 1}


@pytest.mark.parametrize(("drain", "counted"), [(0, False), (30, True)])
def test_what_is_lost_at_the_signal_is_counted_where_there_is_a_drain(drain: float, counted: bool) -> None:
    faulty = threading.Event()
    serve: Serve = lambda connection, each: (read_it_and_close if faulty.is_set() else answer)(connection, each)  # noqa: E731
    with loaded(serve, drain) as (server, seen):
        wait(seen, LATER)
        seen.stopping()
        server.refuse()
        faulty.set()
        time.sleep(0.5)
    assert seen.failures.get("a request was sent and not answered", 0) == (CLIENTS if counted else 0)


def test_a_connection_that_is_closed_between_two_requests_is_no_failure() -> None:
    with loaded(lambda connection, each: answer(connection, each) and each % 3 > 0) as (_, seen):
        wait(seen, 2 * LATER)
    assert seen.failures == {}


def test_a_request_that_comes_after_its_connection_was_closed_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client looks before it sends; here it looks away, as if the end came between the two."""
    monkeypatch.setattr(loads, "_ended", lambda _: False)
    test_a_connection_that_is_closed_between_two_requests_is_no_failure()


@pytest.mark.parametrize(("drain", "counted"), [(0.2, False), (30, True)])
def test_a_new_connection_that_is_reset_is_counted_until_the_drain_is_over(drain: float, counted: bool) -> None:
    over = threading.Event()
    with loaded(lambda connection, each: (reset if over.is_set() else last)(connection, each), drain) as (_, seen):
        wait(seen, LATER)
        seen.stopping()
        time.sleep(0.5)
        over.set()
        time.sleep(0.5)
    assert bool(seen.failures) == counted


def test_a_connection_refused_before_the_drain_is_over_is_counted_and_none_after_it() -> None:
    with loaded(last, drain=30) as (server, seen):
        wait(seen, LATER)
        seen.stopping()
        server.refuse()
        time.sleep(0.5)
    assert list(seen.failures) == ["a new connection is refused: Connection refused"]
    with loaded(last, drain=0) as (server, seen):
        wait(seen, LATER)
        seen.stopping()
        server.refuse()
        time.sleep(0.5)
    assert seen.failures == {}
