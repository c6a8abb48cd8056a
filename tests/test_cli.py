"""Do our own commands answer bad input with one clear line, and leave nothing running when interrupted?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from msb import stacks
from msb.demo import MARKER, clear
from msb.engine import Engine
from msb.stacks import ROOT, Stack


def msb(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "msb", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("command", [("demo",), ("contract", "some-image"), ("bases",)], ids=" ".join)
def test_an_unknown_stack_is_one_line_that_names_the_known_ones(command: tuple[str, ...]) -> None:
    result = msb(*command, "--stack", "cobol")
    assert result.returncode == 2
    known = ", ".join(stacks.load().stacks)
    assert result.stderr == f"msb: unknown stack 'cobol': the stacks are {known} (for example --stack go)\n"


def test_no_engine_is_one_line_and_exit_code_two() -> None:
    result = msb("demo", DOCKER_HOST="tcp://127.0.0.1:1")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "msb: no Docker engine answers at DOCKER_HOST=tcp://127.0.0.1:1: start it, or unset DOCKER_HOST"
    ]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_the_demo_deletes_nothing_that_it_did_not_make(tmp_path: Path, make: Callable[[Path], None]) -> None:
    mine = tmp_path / "letters"
    make(mine)
    output = mine if mine.is_file() else tmp_path
    result = msb("demo", "--output", str(output), DOCKER_HOST="tcp://127.0.0.1:1")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"msb: {output}")
    assert line.endswith("for example --output /tmp/demo")
    assert mine.exists()


def test_the_demo_empties_the_folder_of_an_earlier_one(tmp_path: Path) -> None:
    output = tmp_path / "new"
    clear(output)
    (output / "project").mkdir()
    clear(output)
    assert [path.name for path in output.iterdir()] == [MARKER]


def test_an_image_that_does_not_exist_is_one_line_and_exit_code_two(engine: Engine) -> None:
    result = msb("contract", "msb-test/absent:none", "--stack", "go")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "msb-test/absent:none" in result.stderr


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "cannot be read: name a project's docker/contract.txt"),
        ("allow MSB107 /app/x.c\n", "'allow MSB107 /app/x.c' is not allow CODE /PATH REASON, as in"),
        ("allow MSB107 app/x.c it is needed\n", "is not allow CODE /PATH REASON, as in"),
        ("allow 107 /app/x.c it is needed\n", "is not allow CODE /PATH REASON, as in"),
        ("allow MSB107 /app/x.c until spring it is needed\n", "'spring' is no date, as in until 2027-01-31"),
    ],
)
def test_a_bad_file_of_exceptions_is_one_line_and_exit_code_two(tmp_path: Path, text: str | None, error: str) -> None:
    file = tmp_path / "contract.txt"
    if text:
        file.write_text(text)
    result = msb("contract", "an-image", "--waivers", str(file))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"msb: {file}: ")
    assert error in line


def test_the_status_of_the_engine_is_told_without_changing_it(engine: Engine) -> None:
    result = msb("engine", "--status")
    assert result.returncode == 0
    assert f"client     {engine.command[0]}" in result.stdout


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start msb as a person at a terminal does: what a script starts in the background has Ctrl-C ignored."""
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, "-m", "msb", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        signal.signal(signal.SIGINT, ours)
    with process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(
    process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT, word: str = "interrupted"
) -> None:
    """Press Ctrl-C, or send another signal: msb ends with the code that shells know, and with one line about it."""
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert output.splitlines()[-1] == f"msb: {word}"
    assert "Traceback" not in output


@pytest.mark.parametrize("stack", ["go"], indirect=True)
@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_an_interrupted_contract_check_leaves_no_container_or_network_behind(
    engine: Engine, stack: Stack, runtime: str, number: signal.Signals, word: str
) -> None:
    with started("contract", runtime, "--stack", stack.name, "--run", "--only", "MSB604") as process:
        end = time.monotonic() + 60
        while not containers(engine, process) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert containers(engine, process), "it ended before it could be interrupted"
        interrupt(process, number, word)
    assert not containers(engine, process)
    assert not engine.run("network", "ls", "--quiet", "--filter", f"label=msb={process.pid}").stdout


def test_an_interrupted_demo_build_says_so_and_leaves_no_container_behind(
    engine: Engine, stack: Stack, tmp_path: Path
) -> None:
    with started("demo", "--stack", stack.name, "--output", str(tmp_path)) as process:
        assert process.stdout
        for line in process.stdout:
            if "Rendering" in line:
                break
        time.sleep(0.5)
        interrupt(process)
    assert not containers(engine, process)


def containers(engine: Engine, process: subprocess.Popen[str]) -> list[str]:
    """The containers that the process made, and no other's: there are other workers and sessions."""
    return engine.run("ps", "--all", "--quiet", "--filter", f"label=msb={process.pid}").stdout.split()
