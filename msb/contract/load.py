"""Keep-alive clients that load a service while it stops, and count the requests it failed."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PAUSE = 0.1  # seconds between a client's requests: 50 clients make about 500 a second
_LIMIT = 30.0  # seconds after which a client ends in any case


@dataclass
class Load:
    """What the clients saw. answered: full answers with 2xx; failures: what went wrong, by how often."""

    stopping: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, failure: str) -> None:
        """Count an answer, or a failure when its text is not empty."""
        with self._lock:
            if failure:
                self.failures[failure] = self.failures.get(failure, 0) + 1
            else:
                self.answered += 1


@contextmanager
def load(host: str, port: int, path: str, clients: int) -> Iterator[Load]:
    """Run that many clients against http://host:port/path until the block ends.

    Set `stopping` just before the service is told to stop: from then on a refused connection means that it is gone.
    """
    seen = Load()
    threads = [threading.Thread(target=_client, args=(seen, host, port, path), daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen.over.set()
        for thread in threads:
            thread.join(timeout=10)


def _client(seen: Load, host: str, port: int, path: str) -> None:
    """One client. A kept-alive connection that the server closed between requests is retried once on a new one.

    RFC 9110 (9.2.2) lets every client do that; what fails on a new connection has failed.
    """
    connection, kept = None, False
    end = time.monotonic() + _LIMIT
    while not seen.over.is_set() and time.monotonic() < end:
        if connection is None:
            connection, kept = http.client.HTTPConnection(host, port, timeout=5), False
            try:
                connection.connect()
            except OSError as error:
                if seen.stopping.is_set():
                    return
                seen.note(f"no connection: {error}")
                connection = None
                time.sleep(_PAUSE)
                continue
        try:
            connection.request("GET", path)
            response = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            if not kept:
                seen.note("a new connection was closed without an answer")
            connection.close()
            connection = None
            continue
        except (OSError, http.client.HTTPException) as error:
            seen.note(f"no answer: {type(error).__name__}")
            return
        try:
            response.read()
        except (OSError, http.client.HTTPException):
            seen.note("an answer was cut off")
            return
        seen.note("" if 200 <= response.status < 300 else f"status {response.status}")
        kept = True
        if response.will_close:
            connection.close()
            connection = None
            if seen.stopping.is_set():
                return
        time.sleep(_PAUSE)
