"""What is seen of one run of a service, and asked by several rules: a container is started once for all of them."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msb.contract.rules import Subject
from msb.contract.service import Service, running
from msb.errors import MsbError
from msb.stacks import ANY

PATIENCE = 6
"""Seconds before a stop that hangs is ended with SIGKILL."""
TEXT = "ä 日本 🚀"
"""Text of one, two, three and four bytes a character in UTF-8."""
_STAT = re.compile(r"^(\d+) \((.*)\) (\S)", re.MULTILINE)
_LISTENING = "0A"
_SETTLED = 0.5  # seconds after which a child that a process waits for is gone


@dataclass(frozen=True)
class Session:
    """One run from the start to the stop, with a request for the stack's resource.

    lines: of the log; request_id: the one that the request carried, or "" where no stack says what to ask;
    written: absolute paths that were made, changed or deleted, without the folders that they are in;
    sent, answer: what was posted as text and what came back, or "" where nothing can be posted; at: when it ended.
    """

    lines: list[str]
    request_id: str
    written: list[str]
    sent: str = ""
    answer: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Processes:
    """The processes of a container that serves, by their number in it.

    uids: of process 1, real, effective, saved and of the file system; names: what each is called (15 characters);
    serving: who has the port that the image serves on, none where it declares no port; zombies: who has ended, and
    still was there half a second later.
    """

    uids: list[str]
    names: dict[int, str]
    serving: set[int]
    zombies: set[int]


def session(subject: Subject) -> Session:
    """Run a subject, ask it once, and stop it."""
    with running(subject) as service:
        request_id, sent, answer = "", "", ""
        if subject.stack.name != ANY:
            request_id, asked = f"msb-{uuid.uuid4().hex[:12]}", subject.stack.service
            service.get(asked.resource, {"X-Request-Id": request_id})
            if asked.body:
                sent, body = _in_other_words(asked.body)
                kind = {"Content-Type": "application/json"}
                answer = service.ask("POST", asked.resource, kind, body).body.decode("utf-8", "replace")
        service.stop(PATIENCE).wait(timeout=PATIENCE + 10)  # what it says when it stops is also log
        lines = service.log.splitlines()
        changes = service.engine.run("diff", service.name).stdout.splitlines()
    paths = [change.partition(" ")[2] for change in changes]
    return Session(lines, request_id, list(_deepest(paths)), sent, answer)


def processes(subject: Subject) -> Processes:
    """Run a subject, and look at its processes from inside."""
    with running(subject, toolbox=True) as service:
        inside = service.inside
        status = inside.check_output("cat /proc/1/status")
        uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
        time.sleep(_SETTLED)
        first, second = _zombies(inside), set[int]()
        if first:
            time.sleep(_SETTLED)
            second = _zombies(inside)
        names = {int(number): name for number, name, _ in _STAT.findall(_stats(inside))}
        return Processes(uids, names, holding(service), first & second)


def holding(service: Service) -> set[int]:
    """Who has the socket of the port that a service serves on; none where it declares no port.

    Raises MsbError when nobody is seen to have it.
    """
    if not service.port:
        return set()
    rows = [line.split() for line in service.inside.run("cat /proc/net/tcp /proc/net/tcp6").stdout.splitlines()]
    sockets = {
        f"socket:[{row[9]}]" for row in rows
        if len(row) > 9 and row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == service.port
    }  # fmt: skip
    holders, number = set(), 0
    for line in service.inside.run("ls -l /proc/[0-9]*/fd").stdout.splitlines():
        if match := re.fullmatch(r"/proc/(\d+)/fd:", line):
            number = int(match[1])
        elif line.rpartition(" -> ")[2] in sockets:
            holders.add(number)
    if not holders:
        raise MsbError(f"no process is seen to listen on port {service.port}")
    return holders


def _stats(inside: Any) -> str:
    return str(inside.run("cat /proc/[0-9]*/stat").stdout)  # one may end meanwhile


def _zombies(inside: Any) -> set[int]:
    return {int(number) for number, _, state in _STAT.findall(_stats(inside)) if state == "Z"}


def _in_other_words(body: str) -> tuple[str, bytes]:
    """A JSON object whose text is TEXT: that text, and the object."""
    fields = json.loads(body)
    changed = {name: TEXT if isinstance(value, str) else value for name, value in fields.items()}
    return TEXT, json.dumps(changed, ensure_ascii=False).encode()


def _deepest(paths: list[str]) -> Iterator[str]:
    """The paths that no other is in."""
    folders = {path[:at] for path in paths for at in range(1, len(path)) if path[at] == "/"}
    return (path for path in paths if path not in folders)
