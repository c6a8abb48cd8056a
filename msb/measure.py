"""What the demo measures beside the contract: rebuilds against bare commands, sizes against their floor."""

import os
import re
import shlex
import statistics
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from msb import project as projects
from msb.contract.rules import Subject
from msb.contract.service import running
from msb.engine import Engine
from msb.errors import MsbError
from msb.image import LABEL, Entry, Image, Tree
from msb.install import program
from msb.stacks import Part, Stack

STARTS = 5
"""How many times a service is started to find how long that takes."""
ROUNDS, SECONDS, CONNECTIONS = 5, 2, 32
"""How often, how long and by how many connections requests a second are measured."""
START = 1.10
"""How many times the start of a peer's image ours may take, unless stacks.toml says otherwise."""
EDITS = 5
"""How many source edits are rebuilt and how many run bare; medians are compared, since machines are noisy."""
REBUILD = 1.3
"""How many times the same commands without Docker a rebuild after a source edit may take."""
CONTEXT = "/context"
"""Where the project is mounted beside the bare commands, which copy their sources from it as the build does."""
CACHE = "msb-demo-cache"
"""The volume with the compilers' caches of the bare commands, so that a second demo need not warm them again."""


@dataclass(frozen=True)
class Figure:
    """One measured promise: what was measured, the value and the bar as text, and whether the bar holds.

    timed: whether it is a time, which a busy machine can spoil: told when it misses its bar, but no failure. key: what
    is measured, the same word in every stack; number and limit: the value and the bar in `unit` (a ratio is of the
    runtime image to the other, 1 for as much); against: what it is compared with; measured: what the number was
    computed from, by name, in seconds (`s`), bytes or requests.
    """

    name: str
    value: str
    bar: str
    holds: bool
    timed: bool = False
    _: KW_ONLY
    key: str
    number: float
    unit: Literal["s", "ratio", "count"]
    limit: float
    against: str = ""
    measured: dict[str, float] = field(default_factory=dict)


def commands(dockerfile: str, stage: str) -> list[str]:
    """Return what a stage does from its source on as shell text: ARG, WORKDIR, COPY and RUN, without their options.

    dockerfile: the file's text; stage: its name. A heredoc comes back as its body, an ARG's default, which may stand at
    the top of the file, as an export, a WORKDIR as a change of folder, a COPY from the context as a copy from CONTEXT.
    """
    found = []
    head = [line for line in dockerfile.partition("\nFROM ")[0].splitlines() if line.startswith("ARG ")]
    defaults = dict(word.split("=", 1) for line in head for word in shlex.split(line)[1:])
    lines = iter(_cut(dockerfile, stage)[1].splitlines())
    for line in lines:
        if line.startswith("ARG "):
            words = [f"{word}={defaults[word]}" if word in defaults else word for word in shlex.split(line)[1:]]
            found += [f"export {shlex.quote(word)}" for word in words if "=" in word]
        if line.startswith("WORKDIR "):
            found.append(f"mkdir -p {line.split()[1]} && cd {line.split()[1]}")
        if line.startswith("COPY ") and "--from=" not in line:
            source, target = line.split()[1:]
            found.append(f"mkdir -p {target} && cp -R {CONTEXT}/{source.rstrip('/')}/. {target}")
        if not line.startswith("RUN "):
            continue
        text = line.removeprefix("RUN ")
        while text.endswith("\\"):
            text = text.removesuffix("\\") + next(lines)
        text = re.sub(r"--(mount|network)=\S+\s*", "", text).strip()
        heredoc = re.fullmatch(r"<<-?['\"]?(\w+)['\"]?", text)
        if heredoc:
            text = "\n".join(iter(partial(next, lines), heredoc[1]))
        found.append(text)
    return found


def _cut(dockerfile: str, stage: str) -> tuple[str, str]:
    """Cut a Dockerfile in the stage where the source enters it; return all before, and the rest of the stage."""
    whole = re.search(rf"^FROM [^\n]+ AS {stage}\n.*?(?=^COPY )", dockerfile, re.M | re.S)
    if not whole:
        raise MsbError(f"the Dockerfile has no stage {stage} that copies the source")
    return dockerfile[: whole.end()], re.split(r"^FROM ", dockerfile[whole.end() :], maxsplit=1, flags=re.M)[0]


@contextmanager
def bare(engine: Engine, project: Path, work: Path) -> Iterator["Bare"]:
    """Start a container of the stage `test` as it is before the source enters it, the project mounted beside it.

    work: a folder for a Dockerfile that ends there. Yields what runs commands in the container.
    """
    cut = work / "Dockerfile.before-source"
    cut.write_text(_cut((project / "Dockerfile").read_text(encoding="utf-8"), "test")[0], encoding="utf-8")
    image = f"msb-demo/bare:{uuid.uuid4().hex[:12]}"
    projects.build(engine, project, tag=image, options=("--file", str(cut)))
    platform = engine.run("version", "--format", "{{.Server.Os}} {{.Server.Arch}}").stdout.split()
    container = engine.run(
        "run", "--detach", "--label", LABEL,
        "--volume", f"{project}:{CONTEXT}:ro", "--volume", f"{CACHE}:/root/.cache",
        "--env", f"TARGETOS={platform[0]}", "--env", f"TARGETARCH={platform[1]}",
        "--entrypoint", "sleep", image, "3600",
    ).stdout.strip()  # fmt: skip
    try:
        yield Bare(engine, container)
    finally:
        engine.run("rm", "--force", container)
        engine.run("image", "rm", image)


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


def source_edit(engine: Engine, stack: Stack, project: Path, work: Path) -> Figure:
    """Compare `docker buildx bake` after a one-line source edit with the same commands run bare, in turns.

    project: the generated project, already built; work: an empty folder for the copies. Bare, the commands of `build`
    and `test` (or what the stack says in their place) run one after the other, as a person types them, in what `test`
    has before the source enters it.
    """
    dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
    script = "\n".join(commands(dockerfile, "build") + commands(dockerfile, "test"))
    if stack.edits.bare:
        script = f"cp -R {CONTEXT}/. .\n{stack.edits.bare}"
    plain: list[float] = []
    wrapped: list[float] = []
    tag = f"msb-demo/{stack.name}:edited"
    with bare(engine, projects.copy(project, work / "bare"), work) as builder:
        for _ in range(EDITS + 1):  # the first of each warms the caches
            for folder, times in (("bare", plain), ("docker", wrapped)):
                copy = projects.copy(project, work / folder)
                projects.edit(copy, stack.edits.source)
                if folder == "bare":
                    times.append(builder.seconds(script))
                else:
                    times.append(projects.bake(engine, copy, tag=tag).seconds)
    engine.run("image", "rm", tag)
    ours, theirs = statistics.median(wrapped[1:]), statistics.median(plain[1:])
    ratio = ours / theirs
    return Figure(
        "docker buildx bake after a source edit",
        f"{ours:.1f} s, bare {theirs:.1f} s: {ratio:.2f}x",
        f"{REBUILD}x the same commands, bare",
        ratio <= REBUILD,
        timed=True,
        key="rebuild",
        number=ratio,
        unit="ratio",
        limit=REBUILD,
        against="bare",
        measured={"docker s": ours, "bare s": theirs},
    )


def test_edit(engine: Engine, stack: Stack, project: Path, work: Path) -> Figure:
    """Check that an edit to a test leaves the runtime image as it was, digest and all.

    Without provenance, which Docker adds beside the image and which tells each build from the next.
    """
    digests = []
    tag = f"msb-demo/{stack.name}:edited"
    for edited in (False, True):
        copy = projects.copy(project, work / "tested")
        if edited:
            projects.edit(copy, stack.edits.test)
        file = work / "digest"
        projects.build(engine, copy, tag=tag, options=("--provenance=false", "--iidfile", str(file)))
        digests.append(file.read_text())
    engine.run("image", "rm", tag)
    same = digests[0] == digests[1]
    value = "same digest" if same else "another digest"
    return Figure(
        "runtime image after a test-only edit",
        value,
        "same digest",
        same,
        key="test edit",
        number=not same,
        unit="count",
        limit=0,
    )


def edited_layers(subject: Subject) -> Figure:
    """Count the uncompressed bytes of each layer that a one-line source edit changes, which is what a pull brings."""
    sizes = {_place(layer): sum(entry.size for entry in layer) for layer in subject.edited.layers}
    value = ", ".join(f"{place} {size:,} bytes" for place, size in sizes.items())
    size, whole = sum(sizes.values()), subject.image.tree.size
    return Figure(
        "layers that a one-line edit changes",
        f"{value}: {size / whole:.1%} of the image",
        "less",
        size < whole,
        key="edited layers",
        number=size / whole,
        unit="ratio",
        limit=1,
        measured={f"{place} bytes": size for place, size in sizes.items()},
    )


def _place(layer: list[Entry]) -> str:
    """The deepest folder that holds every file of a layer, or its only file."""
    return "/" + os.path.commonpath([entry.path for entry in layer if entry.kind != "folder"])


def part(subject: Subject, cut: Part) -> Figure:
    """Compare a folder of the runtime image with the base's folder that it is cut from, by the bytes of their files.

    Raises MsbError where one of them holds no file.
    """
    with Image(subject.engine, cut.base) as base:
        whole = _weight(base.tree, cut.original)
    size = _weight(subject.image.tree, cut.path)
    value = f"{size:,} bytes, {size / whole:.1%} of {whole:,}"
    return Figure(
        f"{cut.path} against {cut.base}",
        value,
        f"{cut.share:.0%}",
        size <= cut.share * whole,
        key="part",
        number=size / whole,
        unit="ratio",
        limit=cut.share,
        against=cut.base,
        measured={"runtime bytes": size, "other bytes": whole},
    )


def _weight(tree: Tree, folder: str) -> int:
    size = sum(entry.size for entry in tree if f"/{entry.path}".startswith(f"{folder}/") and not entry.hard)
    if not size:
        raise MsbError(f"no file in {folder}: fix `parts` in stacks.toml")
    return size


def floor(subject: Subject, base: str) -> Figure:
    """Compare the runtime image with what it cannot be without, both as tar archives.

    That is its base, the service's own files (with the interpreter and the packages), and the machine code that they
    load; above it are records, licences and whatever else came along.
    """
    ours = tuple(prefix.lstrip("/") for prefix in subject.stack.application)
    with Image(subject.engine, base) as image:
        known, least = set(image.tree.entries), image.tree.size
    for entry in subject.image.tree:
        if entry.path not in known and (entry.elf or entry.path.startswith(ours)):
            least += 512 + (-(-entry.size // 512) * 512 if entry.kind == "file" and not entry.hard else 0)
    size, limit = subject.image.tree.size, subject.stack.budget.floor_share
    value = f"{size:,} bytes, {size / least:.3f}x of {least:,}"
    return Figure(
        "runtime image over base, service and libraries",
        value,
        f"{limit:.2f}x",
        size <= limit * least,
        key="floor",
        number=size / least,
        unit="ratio",
        limit=limit,
        against="base, service and libraries",
        measured={"runtime bytes": size, "other bytes": least},
    )


def peer(subject: Subject, name: str, image: Image) -> list[Figure]:
    """Compare the runtime image with a peer's of the same service: its size, and its start with the same command."""
    bar = subject.stack.peers.get(name, START)
    size, other = subject.image.tree.size, image.tree.size
    weighed = Figure(
        f"runtime image against {name}",
        f"{size:,} bytes, {size / other:.1%} of {other:,}",
        "less",
        size < other,
        key="size",
        number=size / other,
        unit="ratio",
        limit=1,
        against=name,
        measured={"runtime bytes": size, "other bytes": other},
    )
    return [weighed, _started(subject, replace(subject, image=image), name, bar)]


def throughput(subject: Subject, name: str, image: Image) -> Figure:
    """Compare how many requests a second for the compared page the runtime image and a peer's answer, in turns.

    Both run at once, with the engine's own log driver; one wrk asks one of them at a time.
    """
    compare = subject.stack.compare
    assert compare  # noqa: S101 the caller's
    wrk = program("wrk")
    with running(subject) as ours, running(replace(subject, image=image)) as theirs:
        rates: dict[str, list[float]] = {ours.name: [], theirs.name: []}
        for _ in range(ROUNDS + 1):  # the first of each warms the caches
            for service in (ours, theirs):
                rates[service.name].append(_rate(wrk, f"http://{service.address}:{service.port}{compare.page}"))
    first, second = (statistics.median(found[1:]) for found in rates.values())
    value = f"{first:,.0f} a second, {name} {second:,.0f}: {first / second:.2f}x"
    bar = f"{compare.requests:.2f}x"
    return Figure(
        f"requests against {name}",
        value,
        bar,
        first >= compare.requests * second,
        timed=True,
        key="requests",
        number=first / second,
        unit="ratio",
        limit=compare.requests,
        against=name,
        measured={"runtime requests per s": first, "other requests per s": second},
    )


def _rate(wrk: str, url: str) -> float:
    command = [wrk, "--threads=1", f"--connections={CONNECTIONS}", f"--duration={SECONDS}s", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Requests/sec: *([\d.]+)", output, re.M)
    if not found or "Non-2xx" in output or "Socket errors" in output:
        raise MsbError(f"wrk could not measure {url}: {output.strip()}")
    return float(found[1])


def wire(subject: Subject) -> Figure:
    """Count the bytes of the compared page and of what it loads from its own host, as a browser asks for them."""
    compare = subject.stack.compare
    assert compare  # noqa: S101 the caller's
    with running(subject) as service:
        page = service.get(compare.page).body.decode("utf-8")
        loaded = re.findall(r'<(?:script|link)\b[^>]*\b(?:src|href)="(/[^"]*)"', page)
        paths = list(dict.fromkeys([compare.page, *loaded]))
        sent, whole = (
            sum(len(service.get(path, {"Accept-Encoding": encoding}).body) for path in paths)
            for encoding in ("gzip", "identity")
        )
    value = f"{sent:,} bytes, {sent / whole:.0%} of {whole:,}"
    return Figure(
        f"bytes of {compare.page} and the {len(paths) - 1} files it loads, with gzip",
        value,
        "50%",
        sent * 2 <= whole,
        key="gzip",
        number=sent / whole,
        unit="ratio",
        limit=0.5,
        measured={"gzip bytes": sent, "identity bytes": whole},
    )


def start_against(subject: Subject, other: Subject) -> Figure:
    """Compare the start to the first answer with that of another stack's runtime image, in turns."""
    compare = subject.stack.compare
    assert compare  # noqa: S101 the caller's
    return _started(subject, other, other.stack.title, compare.start)


def _started(subject: Subject, other: Subject, name: str, bar: float) -> Figure:
    first, second = _starts(subject, other)
    return Figure(
        f"start to the first answer against {name}",
        f"{first * 1000:.0f} ms, {name} {second * 1000:.0f} ms: {first / second:.2f}x",
        f"{bar:.2f}x",
        first <= bar * second,
        timed=True,
        key="start",
        number=first / second,
        unit="ratio",
        limit=bar,
        against=name,
        measured={"runtime s": first, "other s": second},
    )


def _starts(subject: Subject, other: Subject) -> tuple[float, float]:
    """The median seconds of STARTS starts of each, in turns; the first of each warms the caches."""
    pairs = [(_start(subject), _start(other)) for _ in range(STARTS + 1)][1:]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def _start(subject: Subject) -> float:
    """Seconds from `docker run` until the health path and the ready path have answered with 200."""
    start = time.monotonic()
    with running(subject):
        return time.monotonic() - start
