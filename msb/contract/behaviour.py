"""6xx: how the running service behaves. Each rule runs the image and removes the container whatever happens."""

import http.client
import json
import re
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msb.contract.load import load
from msb.contract.observed import PATIENCE, holding
from msb.contract.rules import Sees, Subject, rule
from msb.contract.service import Service, StartError, ready, running
from msb.errors import SkippedError
from msb.stacks import ANY

STOP = 2.0
"""Seconds that a stop may take, an in-flight request included."""
_WARM = 1000  # answers after which a service is as warm as one that a rollout replaces
_WARMING = 15.0  # seconds that it may take
_REFUSING = 20.0  # seconds in which a service that refuses its configuration has ended, on a busy machine too
CLIENTS = 50
"""Keep-alive clients that load the service while it stops."""
_HEALTH: dict[str, Any] = {"health_interval": 1, "health_timeout": 1, "health_retries": 1, "health_start_period": 0}
_MEMORY = "512m"  # what the service has, and what the look from inside takes all of
_ENDING = 5.0  # seconds in which a container whose service the kernel ended has ended
_INITS = ("tini", "docker-init", "dumb-init", "catatonit", "s6-svscan")
_UTC = ("UTC", "UTC0", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "GMT", "GMT0", "Etc/GMT", "Universal")
_TIME = re.compile(  # ISO 8601
    r"\b20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d)[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d{1,9})?"
    r"(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)?"
)
_STEP, _FURTHEST = timedelta(minutes=15), timedelta(hours=15)  # a zone is so many steps away, and less than that
_AGO = timedelta(minutes=3)  # a session is shorter: a time further from a zone's says something else
_ANY_USER = "12345:0"  # as platforms that give every project its own uid do


@dataclass(frozen=True)
class Stop:
    """One stop under load. seconds: from the signal to the end; exit_code: the service's.

    in_flight: what went wrong with the request in flight, or ""; answered: full answers to the other clients;
    failures: how many of their requests failed, by what went wrong.
    """

    seconds: float
    exit_code: int
    in_flight: str
    answered: int
    failures: dict[str, int]


def stop_under_load(subject: Subject, **options: Any) -> Stop:
    """Run the image, load it with CLIENTS clients and one slow request, stop it, and say what they saw.

    options: further options of `docker run`.
    """
    asked = subject.stack.service
    with (
        running(subject, **options) as service,
        # The container's own address: the engine's proxy on the published port accepts when the service is long gone.
        load(service.address, service.port, asked.resource, CLIENTS, asked.drain) as seen,
    ):
        seen.wait(_WARM, _WARMING)
        in_flight = _InFlight(service, subject)
        seen.stopping()
        start = datetime.now(UTC)
        stop = service.stop(PATIENCE)
        in_flight.finish(after=0.7)
        stop.wait(timeout=PATIENCE + 10)
        state = service.state["State"]
    # The engine's own time of the end: what it takes to clean up after the process is not the service's.
    seconds = (datetime.fromisoformat(state["FinishedAt"]) - start).total_seconds()
    return Stop(seconds, int(state["ExitCode"]), in_flight.failure, seen.answered, seen.failures)


@rule(601, sees=Sees.RUN)
def locked_down(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service serves with a read-only root, no capabilities, no new privileges, and limits.

    Why: that is how it should be deployed; a service that cannot is deployed without. Only /tmp is writable.
    Example: `MSB601 GET /readyz: answers 503`
    Fix: write nowhere but /tmp, and listen on a port from 1024 on.
    """
    try:
        with running(subject, locked=True) as service:
            yield from _serves(subject, service)
    except StartError as error:
        yield "start", str(error)


@rule(602, sees=Sees.RUN)
def any_user(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service serves as any uid with gid 0, locked down as in 601.

    Why: some platforms (OpenShift) pick the uid themselves.
    Example: `MSB602 start: the container does not start: permission denied`
    Fix: make the application's files readable for all (755 and 644), and never look the user up.
    """
    try:
        with running(subject, locked=True, user=_ANY_USER) as service:
            yield from _serves(subject, service)
    except StartError as error:
        yield "start", str(error)


@rule(603, sees=Sees.RUN)
def written_places(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service writes only in the places that its stack declares (`writes` in stacks.toml).

    Why: what it writes elsewhere is lost with the container, fills the disk of the machine, and fails where the root is
    read-only. Writing is making, changing and deleting, from the start to the stop.
    Example: `MSB603 home/nonroot/notes.log: was written by the running service: write only under /tmp`
    Fix: write to /tmp, or to a volume whose place the stack declares.
    """
    places = subject.stack.service.writes
    for path in subject.session.written:
        if not any(path == place or path.startswith(f"{place}/") for place in places):
            yield path.lstrip("/"), f"was written by the running service: write only under {' '.join(places)}"


@rule(604, sees=Sees.RUN)
def graceful_stop(subject: Subject) -> Iterator[tuple[str, str]]:
    """The stop signal ends the service in under 2 s with exit code 0 or 143, and no request fails.

    Why: every deployment stops the old version under load. An in-flight request (half of it sent before the signal)
    gets its whole answer, and 50 keep-alive clients see no failed request. Failed is a status other than 2xx, an
    answer cut off, a request that reached the service and got no answer, or a new connection that is refused before
    the stack's `drain` in stacks.toml is over; after it one may be refused or reset, since the kernel takes connections
    until the service has closed its port. A request on a connection that the service had closed before is sent
    again on a new one, as every client may. A service without a drain closes what waits for a request at the signal:
    what was on its way there is no failure, and whoever runs it stops sending to it first.
    Example: `MSB604 stop: takes 6.1 s`
    Fix: on the signal, go on for the drain, answer with `Connection: close`, finish what is in flight, then exit; let
    the service be process 1 (exec form).
    """
    seen = stop_under_load(subject)
    if seen.seconds >= STOP:
        yield "stop", f"takes {seen.seconds:.1f} s: finish on the stop signal in under {STOP:.0f} s"
    if seen.exit_code not in (0, 143):
        yield "exit code", f"is {seen.exit_code}: 0 or 143 says that the service stopped by itself"
    if seen.in_flight:
        yield "in-flight request", seen.in_flight
    for failure, count in seen.failures.items():
        yield "load", f"{count} requests failed ({seen.answered} did not): {failure}"
    if not seen.answered:
        yield "load", f"no request to {subject.stack.service.resource} was answered"


@rule(605, sees=Sees.RUN)
def first_process(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service is process 1, and no process that has ended is left over.

    Why: process 1 gets the stop signal and the exit code; a shell there keeps both to itself. It also inherits every
    orphan, and one that waits for none collects zombies until no process can start. Process 1 has the port that the
    image serves on, or is an init that hands signals on (tini, dumb-init, catatonit).
    Example: `MSB605 process 1: is sh, and server serves: write the entrypoint in exec form`
    Fix: `ENTRYPOINT ["/app/server"]`; a script that must come first ends in `exec`.
    """
    seen = subject.processes
    first = seen.names.get(1, "gone")
    if seen.serving and 1 not in seen.serving and first not in _INITS:
        serving = ", ".join(sorted({seen.names.get(number, str(number)) for number in seen.serving}))
        yield "process 1", f"is {first}, and {serving} serves: write the entrypoint in exec form"
    for number in sorted(seen.zombies):
        yield f"process {number}", f"is a zombie ({seen.names.get(number, 'gone')}): process 1 waits for no child"


@rule(606, sees=Sees.RUN)
def health(subject: Subject) -> Iterator[tuple[str, str]]:
    """The container becomes healthy, and unhealthy when the service hangs.

    Why: a health check that cannot fail hides every hang. The service is frozen with SIGSTOP to see. Where the image
    has no health check (rule 304), whoever runs it asks the health path: 200 while it serves, and no answer from a
    frozen container.
    Example: `MSB606 health check: stays healthy while the service is frozen`
    Fix: let the check ask the service over HTTP, with a timeout.
    """
    if subject.stack.service.unprobed:
        yield from _asked_from_outside(subject)
        return
    with running(subject, **_HEALTH) as service:
        if not _becomes(service, "healthy"):
            yield "health check", f"does not become healthy: {_probe(service)}"
            return
        subject.engine.run("kill", "--signal", "STOP", service.name)
        if not _becomes(service, "unhealthy"):
            yield "health check", "stays healthy while the service is frozen: let it ask the service"


@rule(607, sees=Sees.RUN)
def out_of_memory(subject: Subject) -> Iterator[tuple[str, str]]:
    """Running out of memory ends the container with exit code 137, and it starts again as it is.

    Why: a container that goes on without its service looks well to whoever runs it, and one that finds its own
    leftovers at the next start (a lock, a socket, a half-written file) does not come back. The kernel is made to choose
    the process that serves.
    Example: `MSB607 start: does not start again: the container ended: lock exists`
    Fix: let the service be process 1, and make what it leaves in /tmp harmless to the next start.
    """
    with running(subject, toolbox=True, memory=_MEMORY, memory_swap=_MEMORY) as service:
        holders = holding(service)
        victim = 1 if not holders or 1 in holders else min(holders)
        service.inside.run(
            f"echo 1000 >/proc/{victim}/oom_score_adj && exec dd if=/dev/zero of=/dev/null bs=2G count=1"
        )
        end = time.monotonic() + _ENDING
        while not service.ended and time.monotonic() < end:
            time.sleep(0.1)
        state = service.state["State"]
        if state["Running"]:
            yield "container", "goes on though its service ran out of memory: let the service be process 1"
            return
        if state["ExitCode"] != 137:
            yield "exit code", f"is {state['ExitCode']} after the kernel ended the service: 137 says so"
        subject.engine.run("start", service.name)
        try:
            ready(subject, replace(service))  # whose port and address are new
        except StartError as error:
            yield "start", f"does not start again: {error}"


@rule(608, sees=Sees.RUN)
def offline(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service starts without a network.

    Why: a start that waits for another service, or for a download, makes one outage into two. It should start, say that
    it is not ready, and try again. Its network leads nowhere; no name is found on it.
    Example: `MSB608 start: the container ended: could not resolve db.example.com`
    Fix: connect when it is first needed, or in the background; let /readyz say what is missing.
    """
    try:
        with running(replace(subject, sandboxed=True)) as service:
            yield from _serves(subject, service)
    except StartError as error:
        yield "start", str(error)


@rule(609, sees=Sees.RUN)
def logs(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service logs JSON lines to stdout and stderr, with the request's id.

    Why: the platform collects those streams, and reads what is in them. That it writes no file is rule 603's.
    Example: `MSB609 log: line 1 is not a JSON object: listening on 8080`
    Fix: log every line with the one JSON logger, start and stop included; take the id from X-Request-Id.
    """
    if subject.stack.name == ANY:
        raise SkippedError("needs --stack, which says what the service is")
    seen = subject.session
    for number, line in enumerate(seen.lines, 1):
        if line.strip() and not _json_object(line):
            yield "log", f"line {number} is not a JSON object: {line[:80]}"
    if not any(seen.request_id in line for line in seen.lines):
        yield "log", "no line carries the X-Request-Id of the request"


@rule(610, sees=Sees.RUN)
def bad_configuration(subject: Subject) -> Iterator[tuple[str, str]]:
    """A bad configuration ends the service at once: one line that names the variable or file, non-zero exit.

    Why: a service that starts all the same fails later, and elsewhere. The stack's `bad_configuration` in stacks.toml
    has variables of the environment, and files by their absolute path.
    Example: `MSB610 PORT=http: the service starts all the same`
    Fix: check the whole configuration before anything else, and print one line.
    """
    for name, value in subject.stack.service.bad_configuration.items():
        where = name if name.startswith("/") else f"{name}={value}"
        with _configured(name, value) as options, running(subject, wait=False, **options) as service:
            end = time.monotonic() + _REFUSING
            while not service.ended and time.monotonic() < end:
                time.sleep(0.1)
            if not service.ended:
                yield where, "the service starts all the same"
                continue
            lines = service.log.strip().splitlines()
            if service.state["State"]["ExitCode"] == 0:
                yield where, "the exit code is 0"
        if len(lines) != 1:
            yield where, f"{len(lines)} lines are printed, not one"
        elif name not in lines[0]:
            yield where, f"the line does not name {name}: {lines[0][:80]}"


@rule(611, sees=Sees.RUN)
def time_and_text(subject: Subject) -> Iterator[tuple[str, str]]:
    """The service runs in UTC and UTF-8.

    Why: logs of two services are compared by their times, and a zone of its own moves them; text in another encoding is
    broken at the first name that is not English. Asked are the environment, /etc/localtime, the times in the log, and
    text of one to four bytes a character that is posted and read back.
    Example: `MSB611 env TZ: is Asia/Tokyo, not UTC`
    Fix: drop TZ and /etc/localtime; set LANG=C.UTF-8 where the language asks for it.
    """
    image = subject.image
    if image.env.get("TZ", "UTC").lstrip(":") not in _UTC:
        yield "env TZ", f"is {image.env['TZ']}, not UTC"
    zone = image.tree.resolve("etc/localtime")
    if zone and not image.tree.read(zone).endswith((b"\nUTC0\n", b"\nGMT0\n")):
        yield "etc/localtime", "is not UTC"
    name = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if image.env.get(name)), "")
    if name and not re.search(r"utf-?8", image.env[name], re.IGNORECASE):
        yield f"env {name}", f"is {image.env[name]}, not C.UTF-8"
    seen = subject.session
    for number, line in enumerate(seen.lines, 1):
        for text in _TIME.findall(line):
            told = datetime.fromisoformat(text)
            away = told.replace(tzinfo=UTC) - seen.at if told.tzinfo is None else told.utcoffset() or timedelta(0)
            steps = round(away / _STEP)
            if steps and abs(away - steps * _STEP) < _AGO and abs(away) < _FURTHEST:
                yield "log", f"line {number} has a time that is not UTC: {text}"
    if seen.sent and seen.sent not in _unescaped(seen.answer):
        yield "text", f"{seen.sent} comes back as {seen.answer[:80]}"


@contextmanager
def _configured(name: str, value: str) -> Iterator[dict[str, Any]]:
    """Arguments of `run` that set a variable, or mount a file with that content."""
    if not name.startswith("/"):
        yield {"envs": {name: value}}
        return
    with tempfile.TemporaryDirectory(prefix="msb-mounted-") as folder:
        file = Path(folder) / "file"
        file.write_text(value, encoding="utf-8")
        file.chmod(0o644)
        yield {"volumes": [(str(file), name, "ro")]}


class _InFlight:
    """A request whose first half is sent at once, and whose rest follows while the service stops.

    Half is half the body, or, where nothing can be posted, the headers without their end.
    """

    def __init__(self, service: Service, subject: Subject) -> None:
        path, body = subject.stack.service.resource, subject.stack.service.body.encode()
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {service.address}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.failure = ""
        self._rest = body[len(body) // 2 :] or b"Connection: close\r\n\r\n"
        self._socket = socket.create_connection((service.address, service.port), timeout=10)
        self._socket.sendall(head.encode() + body[: len(body) // 2])
        time.sleep(0.2)  # let the service read it: from then on the request is its own

    def finish(self, after: float) -> None:
        """Send the rest after so many seconds, and read the answer."""
        time.sleep(after)
        try:
            self._socket.sendall(self._rest)
            response = http.client.HTTPResponse(self._socket)
            response.begin()
            response.read()
            if not 200 <= response.status < 300:
                self.failure = f"was answered with {response.status}"
        except (OSError, http.client.HTTPException) as error:
            self.failure = f"got no whole answer ({type(error).__name__}): finish it before the exit"
        finally:
            self._socket.close()


def _asked_from_outside(subject: Subject) -> Iterator[tuple[str, str]]:
    path = subject.stack.service.health
    with running(subject) as service:
        status = service.get(path).status
        if status != 200:
            yield f"GET {path}", f"answers {status} while the service runs"
        subject.engine.run("pause", service.name)
        try:
            service.get(path)
            yield f"GET {path}", "is answered while the service is frozen"
        except (OSError, http.client.HTTPException):
            pass
        finally:
            subject.engine.run("unpause", service.name)


def _serves(subject: Subject, service: Service) -> Iterator[tuple[str, str]]:
    if subject.stack.name == ANY:
        return  # nobody has said what it answers; that it started and stays up was seen
    asked = subject.stack.service
    for path in (asked.health, asked.ready, asked.resource):
        try:
            status = service.get(path).status
        except (OSError, http.client.HTTPException) as error:
            yield f"GET {path}", f"is not answered: {error}"
        else:
            if status != 200:
                yield f"GET {path}", f"answers {status}"


def _unescaped(text: str) -> str:
    """JSON with its characters as they are, none of them escaped; other text as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return text


def _becomes(service: Service, wanted: str) -> bool:
    end = time.monotonic() + 8
    while time.monotonic() < end:
        if (service.state["State"].get("Health") or {}).get("Status") == wanted:
            return True
        time.sleep(0.1)
    return False


def _probe(service: Service) -> str:
    log = (service.state["State"].get("Health") or {}).get("Log") or []
    output = str(log[-1]["Output"]).strip() if log else "there is no health check"
    return output or f"the check exits with {log[-1]['ExitCode']} and says nothing"


def _json_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
