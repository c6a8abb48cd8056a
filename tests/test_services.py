"""How does the running image look from inside? Asked by testinfra over a busybox that is mounted read-only."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain, repeat
from threading import Thread
from typing import Any
from unittest.mock import ANY

import pytest

from msb.contract import Subject
from msb.contract import service as services
from msb.contract.service import Service, running
from msb.errors import MsbError
from msb.stacks import Stack

MESSAGES = {"msg", "message"}
"""What the stacks' loggers call a line's text."""


@pytest.fixture(scope="module")
def service(subject: Subject) -> Iterator[Service]:
    """The runtime image with a read-only root, a tmpfs on /tmp, no capabilities and no new privileges."""
    with running(subject, locked=True, toolbox=True) as service:
        yield service


@pytest.fixture(scope="module")
def host(service: Service) -> Any:
    return service.inside


def status(host: Any) -> dict[str, str]:
    lines = host.check_output("cat /proc/1/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_service_itself_is_process_one(host: Any, subject: Subject) -> None:
    # A service may put its role before its command, as nginx does.
    words = host.file("/proc/1/cmdline").content_string.replace("\0", " ").split()
    assert subject.image.command[0] in words
    assert not any(subject.footholds.match(word.rpartition("/")[2]) for word in words)


def test_every_uid_and_gid_of_the_process_is_nonroot(host: Any) -> None:
    assert status(host)["Uid"].split() == ["65532"] * 4
    assert status(host)["Gid"].split() == ["65532"] * 4


def test_the_process_has_no_capability_and_can_gain_none(host: Any) -> None:
    assert int(status(host)["CapEff"], 16) == 0
    assert int(status(host)["CapBnd"], 16) == 0
    assert status(host)["NoNewPrivs"] == "1"


def test_the_declared_port_and_no_other_is_listened_on(host: Any, service: Service) -> None:
    listening = "0A"  # proc(5): TCP_LISTEN
    rows = host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    fields = [row.split() for row in rows]
    ports = {int(field[1].rpartition(":")[2], 16) for field in fields if len(field) > 3 and field[3] == listening}
    assert ports == {service.port}


def test_the_only_shell_is_the_mounted_one(host: Any, subject: Subject) -> None:
    def found(path: str, name: str) -> bool:
        """By its own path: a busybox whose shell knows no applets would find no `which` on the image's PATH."""
        result = host.run("PATH=%s /busybox/which %s", path, name)
        assert result.rc in (0, 1), result.stderr
        return result.rc == 0

    assert found("/busybox", "sh")
    assert [name for name in subject.contract.footholds["shells"] if found(subject.image.env["PATH"], name)] == []


def test_the_root_is_read_only_and_tmp_is_writable(host: Any) -> None:
    refused = host.run("touch /planted")
    assert refused.rc != 0
    assert "Read-only file system" in refused.stderr
    assert host.run("touch /tmp/written").rc == 0
    assert host.check_output("stat -c %u /tmp/written") == "65532"


def test_the_application_is_roots_and_not_writable(host: Any, subject: Subject) -> None:
    found = subject.image.tree.which(subject.image.command[0], subject.image.env["PATH"])
    assert found
    program = host.file(f"/{found.path}")
    assert program.is_file
    assert (program.uid, program.mode & 0o022) == (0, 0)


def test_every_line_on_stdout_is_json_with_a_message(service: Service, stack: Stack) -> None:
    service.get(stack.service.resource)
    lines = service.engine.run("logs", service.name).stdout.splitlines()
    assert lines
    assert all(any(json.loads(line).get(name) for name in MESSAGES) for line in lines)


def test_an_answer_names_its_request(service: Service, stack: Stack) -> None:
    answer = service.get(stack.service.resource, {"X-Request-Id": "from-a-test"})
    assert (answer.status, answer.headers["x-request-id"]) == (200, "from-a-test")


def test_a_look_into_a_stopped_container_is_an_error_and_no_failed_command(subject: Subject) -> None:
    with running(subject, toolbox=True) as stopped:
        stopped.stop(5).wait(timeout=20)
        with pytest.raises(MsbError, match="cannot look inside"):
            stopped.inside.run("true")


# --- the wait for a start ---


def answering(statuses: Iterator[int]) -> HTTPServer:
    """A server on a free port that answers with one status after the other."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(next(statuses))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return HTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Iterator[int]], Service]]:
    """Make a service of a server's answers."""
    servers = []

    def start(statuses: Iterator[int]) -> Service:
        server = answering(statuses)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(Service, "published", server.server_port)
        return Service(ANY, "no container", 8080)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_service_that_answers_with_errors_while_it_starts_is_waited_for(
    started: Callable[[Iterator[int]], Service],
) -> None:
    service = started(chain([503, 503, 503], repeat(200)))
    service.wait("/healthz")
    assert service.get("/healthz").status == 200


def test_a_service_that_goes_on_answering_with_errors_is_left_to_the_rules(
    started: Callable[[Iterator[int]], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "SETTLE", 0.2)
    service = started(repeat(503))
    service.wait("/healthz")
    assert service.get("/healthz").status == 503
