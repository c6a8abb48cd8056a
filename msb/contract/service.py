"""A service under test: one container of the image on a loopback port, always removed."""

import http.client
import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from types import ModuleType
from typing import Any

from msb.contract.rules import Subject
from msb.engine import Engine
from msb.errors import MsbError, SkippedError
from msb.image import LABEL, Image, remove
from msb.stacks import ANY

START = 60.0
"""Seconds that a service may take to answer its health path."""
SETTLE = 5.0
"""Seconds from its first answer in which a service that still starts may answer with an error."""
_POLL = 0.03
_UP = 2.0
"""Seconds after which a container of which nobody knows how it answers counts as started."""
TOOLBOX = "gcr.io/distroless/static-debian13:debug-nonroot"
"""The image whose /busybox is mounted into a container that is looked at from inside."""
_LOCKED: dict[str, Any] = {
    "read_only": True,
    "tmpfs": ["/tmp:rw,size=64m"],  # noqa: S108 the container's, not this machine's
    "cap_drop": ["ALL"],
    "security_options": ["no-new-privileges"],
    "memory": "512m",
    "pids_limit": 256,
}
_SANDBOX: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "security_options": ["no-new-privileges"],
    "memory": "512m",
    "memory_swap": "512m",
    "cpus": 2,
    "pids_limit": 256,
    "log_driver": "json-file",
    "log_opt": ["max-size=10m", "max-file=1"],
}
"""What `msb contract --run` adds for an image of which nobody knows what it does; its network leads nowhere."""
_FLAGS = {"envs": "env", "volumes": "volume", "security_options": "security-opt", "labels": "label"}


class StartError(MsbError):
    """The container did not start, or ended before it answered."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Service:
    """A started container.

    port: the one that it serves on, or 0 where the image declares none; internal: whether no port of it is published.
    """

    engine: Engine
    name: str
    port: int
    internal: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """The engine's view of the container: State, NetworkSettings and so on, as it is now."""
        found: list[dict[str, Any]] = json.loads(self.engine.run("container", "inspect", self.name).stdout)
        return found[0]

    @cached_property
    def published(self) -> int:
        """The loopback port of this machine that leads to the service; 0 where the image declares none."""
        if not self.port:
            return 0
        bindings = self.state["NetworkSettings"]["Ports"].get(f"{self.port}/tcp")
        if not bindings:
            raise StartError(f"the container ended at once: {self.last_line}")
        return int(bindings[0]["HostPort"])

    @cached_property
    def address(self) -> str:
        """The container's own address on the engine's bridge."""
        networks = self.state["NetworkSettings"]["Networks"].values()
        return next(str(network["IPAddress"]) for network in networks)

    @property
    def log(self) -> str:
        """All that the container wrote to stdout and stderr, the two one after the other."""
        result = self.engine.run("logs", self.name)
        return result.stdout + result.stderr

    @property
    def last_line(self) -> str:
        """The last line of the log."""
        return (self.log.strip().splitlines() or ["it wrote nothing"])[-1]

    @cached_property
    def inside(self) -> Any:
        """The container as a testinfra host; only for one that runs with the toolbox."""
        return _looking().inside(self.engine, self.name)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one GET, as ask does."""
        return self.ask("GET", path, headers or {})

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send one request on a connection of its own; raise OSError or HTTPException when there is no answer.

        Raises MsbError when the image declares no port to ask.
        """
        host, port = (self.address, self.port) if self.internal else ("127.0.0.1", self.published)
        if not port:
            raise MsbError("the image declares no port, so there is nothing to ask (rule 302)")
        connection = http.client.HTTPConnection(host, port, timeout=5)
        try:
            connection.request(method, path, body, {"Connection": "close", **headers})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        finally:
            connection.close()

    def wait(self, path: str, seconds: float = START) -> None:
        """Wait until `path` answers with 200, or has answered with an error for SETTLE seconds, which is left to rules.

        Raises StartError when the container ends, or stays silent for `seconds`.
        """
        answered, end = False, time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                status = self.get(path).status
            except (OSError, http.client.HTTPException):
                if self.ended:
                    raise StartError(f"the container ended: {self.last_line}") from None
            else:
                if status == HTTPStatus.OK:
                    return
                if not answered:
                    answered, end = True, time.monotonic() + SETTLE
            time.sleep(_POLL)
        if not answered:
            raise StartError(f"{path} does not answer within {seconds:.0f} s")

    @property
    def ended(self) -> bool:
        """Whether the container has stopped."""
        return not self.state["State"]["Running"]

    def stop(self, seconds: int) -> "subprocess.Popen[bytes]":
        """Begin `docker stop`: the image's stop signal, and after `seconds` SIGKILL."""
        return subprocess.Popen(
            [*self.engine.command, "stop", "--time", str(seconds), self.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def running(
    subject: Subject, *, locked: bool = False, toolbox: bool = False, wait: bool = True, **options: Any
) -> Iterator[Service]:
    """Run the subject's image; yield the service once it is healthy and ready, and remove it whatever happens.

    locked: read-only root, tmpfs on /tmp, no capabilities, no new privileges, limits; toolbox: mount busybox for
    `inside`; wait: whether to, until it is ready; options: further options of `docker run`, with _ for - (a list for
    one that is given more than once).
    Raises StartError when the container does not start or never answers; one that answers with errors is yielded late.
    """
    if not subject.runs:
        raise SkippedError("needs --run, which starts the image")
    engine, image = subject.engine, subject.image
    if engine.platform and not image.platform.startswith(engine.platform):
        raise SkippedError(f"needs an engine on {image.platform}")
    arguments = (_LOCKED if locked else {}) | options
    if toolbox:
        arguments["volumes"] = [(_toolbox(subject), "/busybox", "ro")]
    service = Service(engine, f"msb-{uuid.uuid4().hex[:12]}", serving(image), subject.sandboxed)
    with _network(subject) as network:
        arguments |= network
        command = ["--name", service.name, "--label", LABEL, "--detach", "--pull", "never", *_flags(arguments)]
        try:
            result = engine.run("run", *command, image.reference, check=False)
            if result.returncode:
                raise StartError(f"the container does not start: {_last_line(result.stderr)}")
            if wait:
                ready(subject, service)
            yield service
        finally:
            remove(engine, service.name)


def serving(image: Image) -> int:
    """Return the declared port that an image serves on: the one of its own PORT, else the first that was declared."""
    steps = (re.findall(r"(\d+)(?:/tcp)?", step) for step in reversed(image.history) if "EXPOSE" in step)
    said = [image.env.get("PORT", ""), *(port for step in steps for port in step)]
    return next(
        (int(port) for port in said if port.isdecimal() and int(port) in image.ports), next(iter(image.ports), 0)
    )


def ready(subject: Subject, service: Service) -> None:
    """Wait until the service is healthy and ready; where nobody has said how it answers, see that it stays up."""
    if subject.stack.name != ANY:
        for path in (subject.stack.service.health, subject.stack.service.ready):
            service.wait(path)
        return
    time.sleep(_UP)
    if service.ended:
        raise StartError(f"the container ended: {service.last_line}")


@contextmanager
def _network(subject: Subject) -> Iterator[dict[str, Any]]:
    """The options of the container's network: a loopback port of this machine, or in the sandbox a net of its own."""
    if not subject.sandboxed:
        yield {"publish": [f"127.0.0.1::{port}" for port in [serving(subject.image)] if port]}
        return
    name = f"msb-{uuid.uuid4().hex[:12]}"
    try:
        subject.engine.run("network", "create", "--internal", "--label", LABEL, name)
        yield _SANDBOX | {"network": name}
    finally:
        subject.engine.run("network", "rm", "--force", name, check=False)


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Options of `docker run` as arguments: True is a bare flag, a mapping NAME=value, a tuple a:b:c, seconds 1s."""
    for name, value in options.items():
        flag = "--" + _FLAGS.get(name, name).replace("_", "-")
        several = value if isinstance(value, list) else [value]
        if isinstance(value, Mapping):
            several = [f"{key}={each}" for key, each in value.items()]
        for each in several:
            text = ":".join(map(str, each)) if isinstance(each, tuple) else str(each)
            if name.startswith("health_") and isinstance(each, int | float) and name != "health_retries":
                text += "s"
            yield from ([flag] if each is True else [f"{flag}={text}"])


def _toolbox(subject: Subject) -> str:
    folder = _looking().folder
    if subject.engine.run("image", "inspect", TOOLBOX, check=False).returncode:
        raise SkippedError(f"needs the toolbox: docker pull {TOOLBOX}")
    return str(folder(subject.engine, TOOLBOX))


def _looking() -> ModuleType:
    """The module that looks inside a container, whose library not every installation has."""
    try:
        from msb.contract import toolbox
    except ImportError:
        raise SkippedError("needs the package pytest-testinfra: install msb-templates[run]") from None
    return toolbox


def _last_line(text: str | None) -> str:
    """The engine's own message: the last line that is not its hint about --help."""
    lines = [line for line in (text or "").strip().splitlines() if line and "--help" not in line]
    return lines[-1] if lines else "no message"
