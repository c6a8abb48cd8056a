"""Does the command start, stop and fail as whoever runs it expects?"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from app import healthcheck, workers

SOURCE = str(Path(__file__).parent.parent / "src")


def environment(**variables: object) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCE, **{name: str(value) for name, value in variables.items()}}


def free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        return int(listener.getsockname()[1])


def healthy(port: int) -> bool:
    command = [sys.executable, "-m", "app.healthcheck"]
    return subprocess.run(command, env=environment(PORT=port), capture_output=True).returncode == 0


@contextmanager
def running(*arguments: str, **variables: object) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Run the service; yield its port and process as soon as it is healthy."""
    port = free_port()
    command = [sys.executable, *(arguments or ("-m", "app"))]
    variables = {"PORT": port, "DRAIN_DELAY": "10ms", **variables}
    with subprocess.Popen(command, env=environment(**variables), stdout=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + 20
            while not healthy(port):
                assert process.poll() is None
                assert time.monotonic() < end, "never healthy"
            yield port, process
        finally:
            process.kill()


def ask(port: int, path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Connection": "close"})
    return json.load(connection.getresponse())


@pytest.mark.parametrize("workers", [1, 2])
def test_the_service_starts_serves_and_stops(workers: int) -> None:
    with running(WORKERS=workers, SERVICE_VERSION="1.2.3") as (port, process):
        assert ask(port, "/readyz") == {"status": "ok"}
        assert ask(port, "/version") == {"version": "1.2.3", "revision": "unknown"}
        process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in process.communicate(timeout=20)[0].splitlines()]
    assert process.returncode == 0
    assert [line["version"] for line in lines if line["msg"].startswith("started")] == ["1.2.3"] * workers
    assert "stopped" in [line["msg"] for line in lines]


SLOW = """
import os, pathlib, sys, time
from app import __main__, main
create = main.create_app
def block():
    pathlib.Path(os.environ["ENTERED"]).touch()
    time.sleep(60)
def create_app(*arguments):
    app = create(*arguments)
    app.get("/blocking")(block)
    return app
main.create_app = create_app
sys.exit(__main__.main())
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("timeout", "signals"), [(0.7, ["SHUTDOWN_TIMEOUT"]), (5, ["first", "a second signal"])])
def test_a_handler_that_blocks_outlives_neither_the_timeout_nor_a_second_signal(
    workers: int, timeout: float, signals: list[str], tmp_path: Path
) -> None:
    entered = tmp_path / "entered"
    with (
        running("-c", SLOW, WORKERS=workers, SHUTDOWN_TIMEOUT=f"{timeout}s", ENTERED=entered) as (port, process),
        socket.create_connection(("127.0.0.1", port)) as waiting,
    ):
        waiting.sendall(b"GET /blocking HTTP/1.1\r\nHost: test\r\n\r\n")
        end = time.monotonic() + 20
        while not entered.exists():
            assert time.monotonic() < end, "the handler was never entered"
            time.sleep(0.02)
        for _ in signals:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        output = process.communicate(timeout=20)[0]
    assert process.returncode == 0
    assert next(line["cause"] for line in map(json.loads, output.splitlines()) if "unfinished" in line) == signals[-1]


def test_a_worker_that_dies_ends_the_service_with_an_error() -> None:
    with running(WORKERS=2) as (_, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        output = process.communicate(timeout=20)[0]
    assert (len(children), process.returncode) == (2, 1)
    assert '"exit_codes": [-9], "memory_kills": ' in output


def test_too_little_memory_for_the_workers_is_told_before_one_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "CGROUP", tmp_path)
    (tmp_path / "memory").mkdir()
    for file in (tmp_path / "memory.max", tmp_path / "memory" / "memory.limit_in_bytes"):
        for limit, told in (("max", False), (str(512 << 20), False), (str(256 << 20), True)):
            file.write_text(f"{limit}\n")
            assert bool(workers.short_of_memory(4)) == told
        file.unlink()


def test_a_stop_before_the_service_is_up_ends_it() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "app"]  # tells on stderr how far it is
    with subprocess.Popen(command, env=environment(PORT=free_port()), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.endswith(" json\n"):
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_bad_start_is_one_line_and_an_exit_code() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for variables, words in (
            ({"PORT": "http"}, "configuration refused: PORT: Input should be a whole number, for example {{ cookiecutter.port }}"),
            ({"PORT": port}, "Address already in use"),
        ):
            command = [sys.executable, "-m", "app"]
            result = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=20)
            lines = (result.stdout + result.stderr).splitlines()
            assert (result.returncode, len(lines)) == (1, 1)
            assert words in " ".join(str(value) for value in json.loads(lines[0]).values())


def test_the_health_check_tells_why_the_service_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port, reason in (
            (free_port(), "Connection refused"),
            (silent.getsockname()[1], "timed out"),
            ("http", "invalid literal"),
        ):
            monkeypatch.setenv("PORT", str(port))
            assert healthcheck.main() == 1
            error = capsys.readouterr().err
            assert error.startswith("unhealthy: ")
            assert reason in error
            assert error.count("\n") == 1


def test_another_answer_than_200_is_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("PORT", str(listener.getsockname()[1]))
        connection = socket.create_connection(listener.getsockname())
        monkeypatch.setattr(socket, "create_connection", lambda *_: connection)
        accepted = listener.accept()[0]
        accepted.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        assert healthcheck.main() == 1
        accepted.close()
    assert capsys.readouterr().err == "unhealthy: HTTP/1.1 503 Service Unavailable\n"
