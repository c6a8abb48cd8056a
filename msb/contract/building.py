"""7xx: what `docker build` promises, seen on edited copies of the generated project."""

import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msb import project as projects
from msb.contract.rules import Need, Sees, Subject, rule
from msb.errors import MsbError
from msb.stacks import ROOT

_BIN = Path(sys.executable).parent
ACTIONLINT = [str(_BIN / "go"), "-C", str(ROOT / "tools"), "tool", "actionlint"]
"""The pinned actionlint of tools/go.mod; it takes absolute paths of workflow files."""
_CANDIDATE = re.compile(r"^FROM .* AS candidate$", re.MULTILINE)
_NO_IMAGE = "--output=type=cacheonly"  # builds all of it, and leaves no untagged image behind
_PLANTED = "COPY --from=toolbox /busybox/busybox /usr/bin/gcc"


@rule(701, Need.PROJECT, sees=Sees.BUILD)
def failing_test(subject: Subject) -> Iterator[tuple[str, str]]:
    """A failing unit test fails `docker build .`, in the stage `test`.

    Why: BuildKit skips a stage that nothing needs, and an image whose tests failed looks like any other.
    Example: `MSB701 docker build: makes an image though a unit test fails`
    Fix: `runtime` copies the empty folder /out/tests-passed/ that `test` makes last.
    """
    with _copy(subject) as project:
        projects.edit(project, subject.stack.edits.failing_test)
        log = _failure(subject, project)
    if log is None:
        yield "docker build", "makes an image though a unit test fails: let runtime copy /out/tests-passed/"
    elif not re.search(r"^ > \[(?:\S+ )?test ", log, re.MULTILINE):
        yield "docker build", f"fails, but not in the stage test: {_error(log)}"


@rule(702, Need.PROJECT, sees=Sees.BUILD)
def cached_dependencies(subject: Subject) -> Iterator[tuple[str, str]]:
    """A source edit leaves every step of `deps` cached.

    Why: fetching the dependencies again is the slowest part of a build, and needs the network.
    Example: `MSB702 deps: RUN go mod download: runs again after a source edit`
    Fix: bind-mount only manifests and lock files into `deps`; copy the source in the stages after it.
    """
    log = subject.edited.log
    steps = {
        number: text
        for number, text in re.findall(r"^#(\d+) \[(?:\S+ )?deps \d+/\d+\] (.*)$", log, re.MULTILINE)
        if not text.startswith("FROM ")
    }
    if not steps:
        yield "deps", "has no step in the build's log: give it one"
    for number, text in steps.items():
        if not re.search(rf"^#{number} CACHED$", log, re.MULTILINE):
            yield f"deps: {text[:60]}", "runs again after a source edit"


@rule(704, Need.PROJECT, sees=Sees.BUILD)
def reproducible(subject: Subject) -> Iterator[tuple[str, str]]:
    """Two builds of the same source give the same image, the times of its files aside.

    Why: whoever builds a commit again can prove that the image is made of it, and a registry stores a layer that did
    not change once. What the stack cannot make alike twice is its `varies` in stacks.toml. A build with
    `SOURCE_DATE_EPOCH` and the exporter's `rewrite-timestamp` sets the times too.
    Example: `MSB704 app/server: has another content in a second build of the same source`
    Fix: take names, times and random numbers out of what the build writes, and sort what it lists.
    """
    for path, difference in subject.rebuilt.differ.items():
        if f"/{path}" not in subject.stack.varies:
            yield path, difference


@rule(705, Need.PROJECT, sees=Sees.BUILD)
def optional_secret(subject: Subject) -> Iterator[tuple[str, str]]:
    """The project builds without the secret `ca-certificates`, where the network does not ask for it.

    Why: most networks need no CA bundle of their own. That none of it stays is rule 402's.
    Example: `MSB705 docker build: fails without the secret: ERROR: secret ca-certificates: not found`
    Fix: `RUN --mount=type=secret,id=ca-certificates,target=/etc/ssl/certs/ca-certificates.crt`, without `required`.
    """
    with _copy(subject) as project, _trusting_base(subject, project) as options:
        asking = _stages_with_secrets(project)
        target = [f"--target={asking[0]}"] if len(asking) == 1 else []  # the stages after it ask for nothing
        # A cached step asks for no secret.
        options = [*options, *projects.UNTESTED, _NO_IMAGE]
        log = _run_build(subject, project, "--no-cache-filter=deps", *target, *options)
    if log is not None:
        yield "docker build", f"fails without the secret: {_error(log)}"


@rule(706, Need.PROJECT, sees=Sees.BUILD)
def linters(subject: Subject) -> Iterator[tuple[str, str]]:
    """hadolint, ShellCheck, yamllint, zizmor and actionlint have nothing to say about the project.

    Why: its owner will run them, and should start clean.
    Example: `MSB706 hadolint Dockerfile: -:3 DL3006 warning: Always tag the version of an image explicitly`
    Fix: fix it, or ignore the one line with a reason beside it.
    """
    assert subject.project  # noqa: S101 the rule's need
    project = subject.project
    workflows = sorted(str(path) for path in (project / ".github" / "workflows").glob("*.yml"))
    if not workflows:
        yield ".github/workflows", "holds no workflow"
    scripts = [str(path.relative_to(project)) for path in sorted((project / "docker").iterdir()) if _is_script(path)]
    yaml = ["compose.yaml", ".github"]
    commands: list[list[str]] = [
        [str(_BIN / "hadolint"), "Dockerfile"],
        [str(_BIN / "shellcheck"), *scripts],
        [str(_BIN / "yamllint"), "--strict", "--config-file", str(ROOT / ".yamllint"), *yaml],
        [str(_BIN / "zizmor"), "--quiet", "--offline", "--no-progress", ".github"],
        [*ACTIONLINT, *workflows],
    ]
    for command in commands:
        if not Path(command[0]).exists():
            raise MsbError(f"{Path(command[0]).name} is not installed: run `make setup`")
        result = subprocess.run(
            command,
            cwd=project,
            capture_output=True,
            text=True,
            env=os.environ | {"GOFLAGS": "", "GOTOOLCHAIN": "local"},
        )
        if result.returncode:
            name = "actionlint" if command[: len(ACTIONLINT)] == ACTIONLINT else Path(command[0]).name
            output = (result.stdout or result.stderr).strip().splitlines() or ["no message"]
            yield name, next((line.strip() for line in output if line.strip()), "no message")


@rule(707, Need.PROJECT, sees=Sees.BUILD)
def verified(subject: Subject) -> Iterator[tuple[str, str]]:
    """A candidate whose tree breaks the contract fails `docker build .`, with the line that says why.

    Why: the image proves itself wherever it is built, also where nobody runs this contract. A program called gcc is
    planted in the candidate to see.
    Example: `MSB707 docker build: makes an image though its candidate holds usr/bin/gcc`
    Fix: `runtime` copies the empty folder that `verify` makes last.
    """
    with _copy(subject) as project:
        path = project / "Dockerfile"
        text = path.read_text(encoding="utf-8")
        if not _CANDIDATE.search(text):
            raise MsbError("the Dockerfile has no stage `candidate` to plant a tool in")
        path.write_text(_CANDIDATE.sub(lambda line: f"{line.group()}\n{_PLANTED}", text, count=1), encoding="utf-8")
        log = _failure(subject, project)
    if log is None:
        yield "docker build", "makes an image though its candidate holds usr/bin/gcc: let runtime need verify"
    elif "MSB101 usr/bin/gcc" not in log:
        yield "docker build", f"fails, but without a line MSB101 usr/bin/gcc: {_error(log)}"


@contextmanager
def _copy(subject: Subject) -> Iterator[Path]:
    assert subject.project  # noqa: S101 the rule's need
    with tempfile.TemporaryDirectory(prefix="msb-build-") as folder:
        yield projects.copy(subject.project, Path(folder) / "project")


@contextmanager
def _image(subject: Subject) -> Iterator[str]:
    """A tag for an image that is removed at the end."""
    tag = f"msb-build:{uuid.uuid4().hex[:12]}"
    try:
        yield tag
    finally:
        subject.engine.run("image", "rm", "--force", tag, check=False)


@contextmanager
def _trusting_base(subject: Subject, project: Path) -> Iterator[list[str]]:
    """Options that put a base which trusts this machine's CA bundle in the place of the one that `deps` names.

    So a build without the secret goes as it would on a network that does not intercept TLS.
    """
    base = re.search(r"^FROM (?:--platform=\S+ )?(\S+) AS deps$", (project / "Dockerfile").read_text("utf-8"), re.M)
    if not base or not projects.roots():
        yield []
        return
    with _image(subject) as tag, tempfile.TemporaryDirectory(prefix="msb-base-") as folder:
        (Path(folder) / "bundle.crt").write_bytes(projects.roots())
        (Path(folder) / "Dockerfile").write_text(
            f"FROM {base[1]}\nCOPY --chmod=644 bundle.crt /etc/ssl/certs/ca-certificates.crt\n", encoding="utf-8"
        )
        subject.engine.run("build", "--quiet", "--tag", tag, folder)
        yield [f"--build-context={base[1]}=docker-image://{tag}"]


def _stages_with_secrets(project: Path) -> list[str]:
    """The names of the stages with a step that mounts a secret, in the order of the Dockerfile."""
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    stages = re.split(r"^FROM .* AS (\S+)$", text, flags=re.MULTILINE)[1:]
    return [name for name, steps in zip(stages[::2], stages[1::2], strict=True) if "--mount=type=secret" in steps]


def _failure(subject: Subject, project: Path) -> str | None:
    """The log of a build that fails, or None when it succeeds."""
    try:
        projects.build(subject.engine, project, options=(_NO_IMAGE,))
    except projects.BuildError as error:
        return error.log
    return None


def _run_build(subject: Subject, project: Path, *options: str) -> str | None:
    """As _failure, without a secret."""
    result = subject.engine.run("build", "--progress=plain", *options, str(project), check=False)
    return result.stdout + result.stderr if result.returncode else None


def _is_script(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(b"#!")


def _error(log: str) -> str:
    """The line of a build's log that says what went wrong."""
    lines: Sequence[str] = [line for line in log.splitlines() if line.startswith("ERROR:")]
    return lines[-1] if lines else (log.strip().splitlines() or ["no message"])[-1]
