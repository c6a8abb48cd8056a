"""Generated projects: render one, edit a copy, build it as its owner would."""

import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msb.engine import Engine
from msb.errors import MsbError
from msb.stacks import DATA, Change, Stack

UNTESTED = ("--build-arg=TEST=true",)
"""Options of a build that is asked for something else than what its tests say, and need not wait for them."""


class BuildError(MsbError):
    """A build that ended with an error; `log` is all it printed."""

    def __init__(self, log: str) -> None:
        lines = [line for line in log.splitlines() if line.startswith("ERROR:")] or log.strip().splitlines()
        super().__init__(f"docker build failed: {lines[-1] if lines else 'no message'}")
        self.log = log


@dataclass(frozen=True)
class Build:
    """A build that succeeded: seconds of wall clock, and the plain progress log."""

    seconds: float
    log: str


def render(stack: Stack, answers: Mapping[str, str], into: Path) -> Path:
    """Render `stack` with `answers` through the real cookiecutter command; return the new project's folder.

    Raises MsbError with the hook's own line when an answer is refused.
    """
    into.mkdir(parents=True, exist_ok=True)
    before = set(into.iterdir())
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "--output-dir", str(into)]
    command += ["--directory", f"templates/{stack.name}", str(DATA.parent)]
    command += [f"{key}={value}" for key, value in answers.items()]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise MsbError(f"cookiecutter failed: {lines[0]}")
    return next(iter(set(into.iterdir()) - before))


def copy(project: Path, into: Path) -> Path:
    """Copy a project so that it can be changed; return the copy's folder."""
    return Path(shutil.copytree(project, into, symlinks=True, dirs_exist_ok=True))


def edit(project: Path, changes: Change) -> Path:
    """Apply one of stacks.toml's edits to a project in place, and return the file that it changes or adds.

    Raises MsbError when the project has none of the edit's folders, or its file not the `find` text.
    `{n}` in the edit's text becomes the time in nanoseconds: an edit made twice differs, so that no step of an earlier
    build can pass for one that the edit leaves cached.
    """
    change = next((change for change in changes if (project / change.file).parent.is_dir()), None)
    if not change:
        raise MsbError(f"the project has no folder for {changes[0].file}: fix the edit in stacks.toml")
    path = project / change.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if change.find not in text:
        raise MsbError(f"{change.file} does not contain {change.find!r}: fix the edit in stacks.toml")
    new = change.text.replace("{n}", str(time.time_ns()))
    path.write_text(text.replace(change.find, new, 1) if change.find else text + new, encoding="utf-8")
    return path


def build(
    engine: Engine,
    project: Path,
    *,
    tag: str | None = None,
    target: str | None = None,
    options: tuple[str, ...] = (),
    secret: Path | None = None,
) -> Build:
    """Run `docker build` on a project and return its seconds and log; raise BuildError when it fails.

    tag, target: as the command's own options; options: further arguments; secret: the build secret `ca-certificates`,
    which is else the machine's CA bundle (SSL_CERT_FILE, when set).
    """
    given = ["--secret", f"id=ca-certificates,src={secret}"] if secret else ca_secret()
    command = [*engine.command, "build", "--progress=plain", *options, *given]
    if tag:
        command += ["--tag", tag]
    if target:
        command += ["--target", target]
    return _run([*command, "."], project, {})


def bake(engine: Engine, project: Path, *, tag: str) -> Build:
    """Run `docker buildx bake` on a project, which makes its runtime image; as build() in all else."""
    bundle = ca_bundle()
    # From buildx 0.18 on, bake asks before it reads a file outside the project, unless the second variable says not to.
    variables = {"CA_CERTIFICATES": bundle, "BUILDX_BAKE_ENTITLEMENTS_FS": "0"} if bundle else {}
    return _run(
        [*engine.command, "buildx", "bake", "--progress=plain", "--set", f"runtime.tags={tag}"], project, variables
    )


def _run(command: list[str], project: Path, variables: dict[str, str]) -> Build:
    start = time.monotonic()
    result = subprocess.run(
        command, cwd=project, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        raise BuildError(result.stdout)
    return Build(time.monotonic() - start, result.stdout)


def ca_bundle() -> str:
    """The CA bundle of a network that intercepts TLS (SSL_CERT_FILE), or "" where there is none."""
    bundle = os.environ.get("SSL_CERT_FILE", "")
    return bundle if bundle and Path(bundle).is_file() else ""


def ca_secret() -> list[str]:
    """The `--secret` option that hands the CA bundle to a build, or nothing where there is none."""
    bundle = ca_bundle()
    return ["--secret", f"id=ca-certificates,src={bundle}"] if bundle else []


def roots() -> bytes:
    """The content of the CA bundle that this machine trusts; b"" where none is known."""
    path = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    return Path(path).read_bytes() if path and Path(path).is_file() else b""
