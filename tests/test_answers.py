"""Does every stack answer the same question in the same way? The table of docs/answers.md, asked of running images."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator

import pytest

from msb.contract import Subject
from msb.contract.service import Answer, Service, running
from msb.stacks import Stack, load

SERVICES = [name for name, stack in load().stacks.items() if stack.service.body]
"""Stacks whose resource takes a body; a site has none."""
WITH_BODY = pytest.mark.parametrize("stack", SERVICES, indirect=True)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service(subject: Subject) -> Iterator[Service]:
    """One container a stack: with a log level in capitals, and little patience for slow bodies."""
    with running(
        subject, locked=True, envs={"LOG_LEVEL": "INFO", "READ_TIMEOUT": "1s", "WRITE_TIMEOUT": "1s"}
    ) as service:
        yield service


def ask(
    service: Service, method: str, path: str, body: str = "", headers: dict[str, str] | None = None, announced: int = -1
) -> Answer:
    """Send one request on a connection of its own; announced: a Content-Length that is not the body's."""
    fields = {"Host": "a.example.com", **(headers or {})}
    if body or announced >= 0:
        fields["Content-Length"] = str(announced if announced >= 0 else len(body.encode()))
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())])
    with socket.create_connection(("127.0.0.1", service.published), timeout=5) as connection:
        connection.sendall(f"{head}\r\n\r\n{body}".encode())
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())


def assert_problem(answer: Answer, status: int) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = json.loads(answer.body)
    assert (problem["status"], problem["request_id"]) == (status, answer.headers["x-request-id"])
    assert problem["title"]


# --- every stack ---


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_head_on_a_probe_is_its_get_without_the_body(service: Service, path: str) -> None:
    whole, head = ask(service, "GET", path), ask(service, "HEAD", path)
    assert (whole.status, head.status, head.body) == (200, 200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_another_method_on_a_probe_is_refused_with_what_is_allowed(service: Service) -> None:
    answer = ask(service, "DELETE", "/healthz")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]


def test_a_request_id_is_kept_when_it_is_fit_and_else_replaced(service: Service, stack: Stack) -> None:
    def answered(value: str) -> str:
        return ask(service, "GET", stack.service.resource, headers={"X-Request-Id": value}).headers["x-request-id"]

    assert answered("order-7.a_B") == "order-7.a_B"
    for unfit in ("", "two words", 'quoted"', "x" * 65):
        assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", answered(unfit)), unfit
        assert answered(unfit) != unfit


# --- services ---


@WITH_BODY
def test_a_path_that_is_not_there_is_a_404_problem(service: Service) -> None:
    assert_problem(ask(service, "GET", "/no/such/path"), 404)


@WITH_BODY
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_slash_more_is_another_path_and_no_redirect(service: Service, stack: Stack, method: str) -> None:
    body = stack.service.body if method == "POST" else ""
    assert_problem(ask(service, method, f"{stack.service.resource}/", body, JSON), 404)


@WITH_BODY
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"text": "a"}', 201),
        ('{"text": "a"', 400),
        ("", 400),
        ('{"text": "a", "text": "b"}', 400),
        ('{"text": "a", "colour": "b"}', 400),
        ('{"text": 7}', 400),
        ("[]", 400),
        ('{"text": ""}', 422),
        ('{"text": "   "}', 422),
        ("{}", 422),
    ],
    ids=["whole", "half", "empty", "a name twice", "an unknown name", "another type", "a list", "empty text",
         "blank text", "no text"],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_a_400_and_one_that_says_nothing_possible_a_422(
    service: Service, stack: Stack, body: str, status: int
) -> None:
    answer = ask(service, "POST", stack.service.resource, body, JSON, len(body))
    if status == 201:
        assert answer.status == status
    else:
        assert_problem(answer, status)


@WITH_BODY
def test_a_body_that_is_not_json_by_its_type_is_a_415(service: Service, stack: Stack) -> None:
    body = stack.service.body
    assert_problem(ask(service, "POST", stack.service.resource, body, {"Content-Type": "text/plain"}), 415)


@WITH_BODY
def test_a_body_over_the_limit_is_refused_before_it_comes(service: Service, stack: Stack) -> None:
    begun = time.monotonic()
    answer = ask(service, "POST", stack.service.resource, "", JSON, announced=65537)
    assert_problem(answer, 413)
    assert answer.headers["connection"] == "close"
    assert time.monotonic() - begun < 0.7


@WITH_BODY
def test_a_body_that_does_not_come_is_a_408(service: Service, stack: Stack) -> None:
    answer = ask(service, "POST", stack.service.resource, '{"te', JSON, announced=20)
    assert_problem(answer, 408)
    assert answer.headers["connection"] == "close"
    assert any("408" in line for line in service.log.splitlines() if answer.headers["x-request-id"] in line)


@WITH_BODY
def test_a_refused_value_is_told_by_its_name_alone(subject: Subject) -> None:
    arguments = ("--env", "PORT=hunter2", "--env", "READ_TIMEOUT=hunter2", subject.image.reference)
    result = subject.engine.run("run", "--rm", *arguments, check=False)
    (line,) = (result.stdout + result.stderr).splitlines()
    assert result.returncode != 0
    assert {"PORT", "READ_TIMEOUT"} <= set(re.findall(r"[A-Z_]+", json.dumps(json.loads(line))))
    assert "hunter2" not in line


@WITH_BODY
def test_a_stop_says_not_ready_first_and_goes_on_answering(subject: Subject, stack: Stack) -> None:
    with running(subject, locked=True, envs={"DRAIN_DELAY": "1s", "SHUTDOWN_TIMEOUT": "3s"}) as service:
        assert ask(service, "GET", "/readyz").status == 200
        service.engine.run("kill", "--signal", "TERM", service.name)
        end = time.monotonic() + 0.9
        while ask(service, "GET", "/readyz").status != 503:
            assert time.monotonic() < end
        assert ask(service, "GET", "/healthz").status == 200
        assert ask(service, "GET", stack.service.resource).status == 200
        while not service.ended:
            assert time.monotonic() < end + 4
