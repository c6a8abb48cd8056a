"""What the demo measures beside the contract: rebuilds against bare commands, sizes against their floor."""

import re
import shlex
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msb import project as projects
from msb.engine import Engine
from msb.stacks import Stack

EDITS = 5
"""How many source edits are rebuilt and how many run bare; medians are compared, since machines are noisy."""
CACHE = "msb-demo-cache"
"""The volume with the compilers' caches of the bare commands, so that a second demo need not warm them again."""


@dataclass(frozen=True)
class Figure:
    """One measured promise: what was measured, the value and the bar as text, and whether the bar holds."""

    name: str
    value: str
    bar: str
    holds: bool


def commands(dockerfile: str, stage: str) -> list[str]:
    """Return the RUN commands of a stage as shell text, without their mounts, in order.

    dockerfile: the file's text; stage: its name. A heredoc comes back as its body, an ARG's default as an export.
    """
    stage_text = re.search(rf"^FROM [^\n]+ AS {stage}\n(.*?)(?=^FROM |\Z)", dockerfile, re.M | re.S)
    found = []
    lines = iter(stage_text.group(1).splitlines() if stage_text else [])
    for line in lines:
        if line.startswith("ARG "):
            found += [f"export {shlex.quote(word)}" for word in shlex.split(line)[1:] if "=" in word]
        if not line.startswith("RUN "):
            continue
        text = line.removeprefix("RUN ")
        while text.endswith("\\"):
            text = text.removesuffix("\\") + next(lines)
        text = re.sub(r"--mount=\S+\s*", "", text).strip()
        heredoc = re.fullmatch(r"<<-?['\"]?(\w+)['\"]?", text)
        if heredoc:
            text = "\n".join(iter(partial(next, lines), heredoc[1]))
        found.append(text)
    return found


@contextmanager
def bare(engine: Engine, project: Path, deps_image: str) -> Iterator["Bare"]:
    """Start the deps stage's image with a project mounted as its sources; yield what runs commands in it."""
    workdir = engine.run("image", "inspect", "--format", "{{.Config.WorkingDir}}", deps_image).stdout.strip()
    platform = engine.run("version", "--format", "{{.Server.Os}} {{.Server.Arch}}").stdout.split()
    container = engine.run(
        "run", "--detach", "--label", "msb=1", "--volume", f"{project}:{workdir}", "--volume", f"{CACHE}:/root/.cache",
        "--env", f"TARGETOS={platform[0]}", "--env", f"TARGETARCH={platform[1]}",
        "--entrypoint", "sleep", deps_image, "3600",
    ).stdout.strip()  # fmt: skip
    try:
        yield Bare(engine, container)
    finally:
        engine.run("rm", "--force", container)


@dataclass(frozen=True)
class Bare:
    """A builder container with warm caches."""

    engine: Engine
    container: str

    def seconds(self, script: str) -> float:
        """Run shell text in the container and return its seconds; raise MsbError when it fails."""
        start = time.monotonic()
        self.engine.run("exec", self.container, "sh", "-euc", script)
        return time.monotonic() - start


def source_edit(engine: Engine, stack: Stack, project: Path, work: Path, deps_image: str) -> Figure:
    """Compare `docker build` after a one-line source edit with the same commands run bare, in turns.

    project: the generated project, already built; work: an empty folder for the copies; deps_image: the tag of its
    deps stage. Bare, the commands of `build` and `test` run one after the other, as a person types them.
    """
    dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
    script = "\n".join(commands(dockerfile, "build") + commands(dockerfile, "test"))
    plain: list[float] = []
    wrapped: list[float] = []
    tag = f"msb-demo/{stack.name}:edited"
    first = time.time_ns()  # no edit of an earlier run, whose build would be cached
    with bare(engine, projects.copy(project, work / "bare"), deps_image) as builder:
        for number in range(first, first + EDITS + 1):  # the first of each warms the caches
            for folder, times in (("bare", plain), ("docker", wrapped)):
                copy = projects.copy(project, work / folder)
                projects.edit(copy, stack.edits.source, number)
                if folder == "bare":
                    times.append(builder.seconds(script))
                else:
                    times.append(projects.build(engine, copy, tag=tag).seconds)
    engine.run("image", "rm", tag)
    ratio = statistics.median(wrapped[1:]) / statistics.median(plain[1:])
    value = f"{statistics.median(wrapped[1:]):.1f} s, bare {statistics.median(plain[1:]):.1f} s: {ratio:.2f}x"
    return Figure("rebuild after a source edit", value, "1.3x the same commands, bare", ratio <= 1.3)


def test_edit(engine: Engine, stack: Stack, project: Path, work: Path) -> Figure:
    """Check that an edit to a test leaves the runtime image as it was, digest and all.

    Without provenance, which Docker adds beside the image and which tells each build from the next.
    """
    digests = []
    tag = f"msb-demo/{stack.name}:edited"
    for edited in (False, True):
        copy = projects.copy(project, work / "tested")
        if edited:
            projects.edit(copy, stack.edits.test, time.time_ns())
        file = work / "digest"
        projects.build(engine, copy, tag=tag, options=("--provenance=false", "--iidfile", str(file)))
        digests.append(file.read_text())
    engine.run("image", "rm", tag)
    same = digests[0] == digests[1]
    value = "same digest" if same else "another digest"
    return Figure("runtime image after a test-only edit", value, "same digest", same)
