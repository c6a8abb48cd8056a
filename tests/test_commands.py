"""Does every command that a generated README names do what the text says?"""

import os
import re
import shutil
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import clients
import pexpect
import pytest
from conftest import Rendered

from msb import project as projects
from msb.engine import Engine
from msb.stacks import ROOT, Stack

RUN, SHOWN, EXAMPLE = "sh", "console", "sh example"
NO_COMMAND = {"text", "yaml"}
"""What the fenced blocks of a README hold, by their info strings; CONTRIBUTING.md says which is which."""

ELSEWHERE = {
    r"mvn ": "Maven with JDK 25 is in the builder alone",
    r"npm ": "Node 26 is in the builder alone",
    r"uv ": "fetches the Python of the image from GitHub, which not every machine reaches",
    r"docker run .* dlv attach 1": "compiles Delve, which takes minutes",
}
"""How the commands begin that are not run here, and why."""
NOT_RUN = {
    "go": ["docker run"],
    "jvm": ["mvn test", "mvn spring-boot:run"],
    "node-nginx": ["npm ci", "npm run dev", "npm run lint", "npm run typecheck", "npm test", "npm run coverage"],
    "python": ["uv venv && uv pip sync requirements-dev.txt", "uv run", "uv run"],
}
"""Those of each default project, up to their options."""
EXAMPLES = [r"git tag v1\.2\.3 && git push origin v1\.2\.3", r"gh attestation verify oci://\S+:1\.2\.3 --owner OWNER"]

ANSWERS = {r"[\r\n][~/]\S* \$ ": "exit", r"\(dlv\) ": "exit", r"kill the process\? \[Y/n\] ": "n"}
"""What a person types at the prompts of a shell and a debugger: once, though a shell may draw its prompt again."""
BUILDS = re.compile(r"docker (build|buildx bake|compose build)\b")
FETCHES = re.compile(r"docker run .*--volume \"\$PWD:/src\".* (golang|python):")


@dataclass(frozen=True)
class Command:
    """A command as a README has it: what it is said to print, and whether Ctrl-C ends it."""

    text: str
    printed: str | None = None
    lasting: bool = False


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document and the rows of its tables of commands, as (info string, content)."""
    pattern = r"^```(.*)\n((?:.*\n)*?)```$|^\| ([^|]+) \| (`.+) \|$"
    tables = re.findall(r"^\| what \| command \|\n(?:\|.*\n)+", text, re.MULTILINE)
    for match in re.finditer(pattern, text, re.MULTILINE):
        info, block, what, spans = match.groups()
        if block is not None:
            yield info, block
        elif any(match[0] in table for table in tables):
            yield RUN, "".join(f"{span}  # {what}\n" for span in re.findall(r"`([^`]+)`", spans))


def commands(text: str) -> list[Command]:
    """The commands to run, in order."""
    found = []
    for info, block in blocks(text):
        joined = block.replace("\\\n", " ")
        if info == RUN:
            for line in joined.splitlines():
                command, _, comment = line.partition("  # ")
                found.append(Command(re.sub(r" {2,}", " ", command.strip()), lasting="Ctrl-C" in comment))
        elif info == SHOWN:
            for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                found.append(Command(command, printed))
    return found


def not_run(command: Command) -> bool:
    return any(re.match(start, command.text) for start in ELSEWHERE)


@pytest.fixture
def folder(engine: Engine, project: Path, own_names: None, tmp_path: Path) -> Iterator[Path]:
    """Where the project's owner works, with its name and port to itself; what the commands make is removed."""
    folder = tmp_path / project.name
    yield folder
    name = project.name
    engine.run("rm", "--force", name, check=False)
    engine.run("compose", "--project-directory", str(folder), "--profile", "debug", "down", "--volumes", check=False)
    for tag in (f"{name}:dev", f"{name}:debug", f"ghcr.io/example/{name}:0.0.0-dev"):
        engine.run("image", "rm", "--force", tag, check=False)


@pytest.fixture(params=["distribution", "newest"])
def variables(request: pytest.FixtureRequest, engine: Engine) -> dict[str, str]:
    """What makes `docker` use this machine's plugins, or the newest ones."""
    return clients.newest(engine) if request.param == "newest" else {}


def on_this_network(command: Command) -> Command:
    """The command, with what `docker run` needs to fetch packages behind a proxy that intercepts TLS."""
    if not (projects.ca_bundle() and FETCHES.match(command.text)):
        return command
    # Behind such a proxy Go's checksum database need not answer either.
    options = "docker run --env SSL_CERT_FILE=/src/ca.pem --env GOSUMDB=off "
    return replace(command, text=command.text.replace("docker run ", options, 1))


class Terminal:
    """A person's terminal in a project's folder."""

    def __init__(self, docker: str, folder: Path, health: str, **variables: str) -> None:
        self.folder, self.health = folder, health
        programs = folder.parent / "programs"
        programs.mkdir(exist_ok=True)
        link = programs / "docker"
        if not link.is_symlink():
            link.symlink_to(shutil.which(docker) or "")
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        inherited = {name: value for name, value in os.environ.items() if name not in {"CA_CERTIFICATES", "PORT"}}
        self.environment = inherited | {"PATH": path, "BUILDKIT_PROGRESS": "plain", "TERM": "dumb"} | variables

    def run(self, command: Command) -> None:
        """Run a command to its end, and compare what it prints with what the README shows."""
        shell = pexpect.spawn(
            "bash", ["-euo", "pipefail", "-c", command.text], cwd=self.folder, env=self.environment,
            encoding="utf-8", codec_errors="replace", dimensions=(50, 400), timeout=300,
        )  # fmt: skip
        seen = ""
        if command.lasting:
            self._await(command, shell)
            shell.sendintr()
        answers = dict(ANSWERS)
        while (index := shell.expect([*answers, pexpect.EOF])) < len(answers):
            seen += shell.before + shell.after
            shell.sendline(answers.pop(list(answers)[index]))
        seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen + shell.before).replace("\r", "")
        shell.close()
        assert shell.exitstatus in ({0, 130} if command.lasting else {0}), f"$ {command.text}\n{seen}"
        if command.printed is not None:
            shown, told = ("\n".join(line for line in text.splitlines() if line) for text in (command.printed, seen))
            pattern = re.escape(shown).replace(r"\.\.\.", ".*")
            assert re.fullmatch(pattern, told), f"$ {command.text}\n{told}\nwhere the README shows\n{shown}"

    def _await(self, command: Command, shell: pexpect.spawn) -> None:
        """Wait until a service, or the debugger in it where a port is published for one, answers."""
        debugger = re.findall(r"127\.0\.0\.1:(\d+):\1", command.text)[-1:]
        end = time.monotonic() + 300
        while not (greeted(int(debugger[0])) if debugger else healthy(self.health)):
            # What it prints has to be read: a full terminal would stop it.
            ended = shell.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.5)
            assert not ended, f"$ {command.text} ended by itself:\n{shell.before}"
            assert time.monotonic() < end, f"no answer from $ {command.text}\n{shell.before}"


def greeted(port: int) -> bool:
    """Whether a debugger answers: Java's to its handshake, and debugpy by itself."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"JDWP-Handshake")
            return bool(connection.recv(1))
    except OSError:
        return False


def healthy(url: str) -> bool:
    """Whether the service answers."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 of this machine
    except OSError:
        return False
    return True


def test_every_command_of_the_generated_readme_does_what_it_says(
    engine: Engine, stack: Stack, project: Path, runtime: str, folder: Path, variables: dict[str, str]
) -> None:
    """With a CA bundle, and again those that build without one: nothing else asks for it.

    Where the network intercepts TLS, the second time takes what was fetched from the cache. That a build fetches
    without a bundle where it can is MSB705.
    """
    intercepted = projects.ca_bundle()
    bundle = Path(intercepted or ssl.get_default_verify_paths().cafile or "")
    for ca in ({"CA_CERTIFICATES": "ca.pem"}, {}):
        shutil.rmtree(folder, ignore_errors=True)
        projects.copy(project, folder)
        shutil.copy(bundle, folder / "ca.pem")
        terminal = Terminal(
            engine.command[0], folder, f"http://127.0.0.1:8080{stack.service.health}", **variables, **ca
        )
        for command in commands((folder / "README.md").read_text(encoding="utf-8")):
            if not_run(command) or not (ca or BUILDS.match(command.text)):
                continue
            terminal.run(on_this_network(command))


def test_a_prompt_is_answered_once_however_often_it_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    drawn = r"printf 'hello\r\n\r\n/ $ \033[6n\r/ $ \033[J'; read -r line; printf '/ $ '; sleep 1; echo; echo got $line"
    command = Command(f"{drawn}; ! read -rt 1 line", "hello\n...\n/ $ \ngot exit")
    Terminal("true", tmp_path / "project", "").run(command)


def test_the_documents_say_which_plugins_are_the_newest() -> None:
    buildx, compose = (version.removeprefix("v") for version in clients.pinned().values())
    assert f"| {buildx} | {compose} | in `make test`" in (ROOT / "docs/verified.md").read_text(encoding="utf-8")


def test_docker_uses_the_newest_plugins(engine: Engine, tmp_path: Path) -> None:
    terminal = Terminal(engine.command[0], tmp_path / "project", "", **clients.newest(engine))
    terminal.folder.mkdir()
    buildx, compose = clients.pinned().values()
    terminal.run(Command("docker buildx version", f"github.com/docker/buildx {buildx} ..."))
    terminal.run(Command("docker compose version --short", compose.removeprefix("v")))


def test_the_commands_that_no_test_runs_are_these(rendered: Rendered) -> None:
    project, stack, options = rendered
    text = (project / "README.md").read_text(encoding="utf-8")
    found = list(blocks(text))
    assert {info for info, _ in found} <= {RUN, SHOWN, EXAMPLE} | NO_COMMAND
    assert not re.search(r"^ {4}", re.sub(r"^```.*\n(?:.*\n)*?```$", "", text, flags=re.MULTILINE), re.MULTILINE)
    examples = "".join(block for info, block in found if info == EXAMPLE)
    assert re.fullmatch("\n".join(EXAMPLES) + "\n", examples)
    named = commands(text)
    assert named
    if options.name == "default":
        assert [command.text.split(" --")[0] for command in named if not_run(command)] == NOT_RUN[stack.name]
