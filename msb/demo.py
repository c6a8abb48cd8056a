"""`make demo`: from `cookiecutter` to a checked image, and one report at the end."""

import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from cookiecutter.main import cookiecutter

from msb import bases, measure, results, stacks
from msb import project as projects
from msb.console import console, step
from msb.contract import Sees, Status, Subject, check
from msb.contract.behaviour import CLIENTS, stop_under_load
from msb.contract.service import running
from msb.engine import Engine
from msb.errors import MsbError
from msb.image import Image, Tree
from msb.measure import Figure
from msb.report import Report, RuleRow, StageRow, show
from msb.stacks import OptionSet, Stack

SCANS = {"tree and metadata": ((Sees.TREE, Sees.METADATA), 2.0), "layer": ((Sees.LAYERS,), 5.0)}
"""Seconds that the rules of some sets may take together for one image."""
RENDERING, STOP = 0.5, 2
"""Seconds that rendering and a stop may take."""
MARKER = ".made-by-msb-demo"
"""The empty file that tells a folder of the demo's own, which it may delete, from a person's."""


def demo(
    stack: Stack, options: OptionSet, engine_of: Callable[[], Engine], output: Path, file: Path | None = None
) -> int:
    """Run all steps for one option set of `stack`, print the report, write the results, and return the exit code.

    engine_of: finds an engine, or installs and starts one; output: the folder for the generated project, new, empty or
    of an earlier demo; file: where the results go, by default a file in that folder. Exit code 0 when every rule holds,
    and every figure that is not a time; else 1. Raises MsbError when it cannot go on.
    """
    if file:
        results.check(file)
    clear(output)
    engine = engine_of()
    engine.need_disk()
    origins = bases.ensure(engine, stack.bases)
    with step(f"Rendering the {stack.title} service, option set {options.name}"):
        project, rendering = _render(stack, options, output)
    report = Report(stack.title, project, origins, f"msb-demo/{stack.name}:runtime")
    stages = _build(engine, stack, project, report)
    report.tools = results.versions(engine, stack, stages)
    peers = _peers(engine, stack, project)
    with ExitStack() as entered, tempfile.TemporaryDirectory(prefix="msb-demo-") as work:
        kept = {name: entered.enter_context(Image(engine, stages[name])) for name in ("runtime", "build", "twin")}
        subject = Subject(engine, stack, stacks.load().contract, kept["runtime"], kept["build"], kept["twin"], project)
        with step("Measuring every stage"):
            report.runtime_bytes = kept["runtime"].tree.size
            report.twin_bytes = kept["twin"].tree.size
            report.stages = [_weighed(row, subject, kept.get(row.name), stages[row.name]) for row in report.stages]
        report.figures += [rendering, measure.floor(subject, stack.bases[0])]
        report.figures += [measure.part(subject, cut) for cut in stack.parts]
        _serve(subject)
        with step("Checking the contract"):
            result = check(subject)
        for verdict in result.verdicts.values():
            details = [str(finding) for finding in verdict.findings] or [verdict.reason] * bool(verdict.reason)
            holds = verdict.status is Status.PASSED
            row = RuleRow(verdict.rule.code, verdict.rule.promise, "holds" if holds else verdict.status, holds, details)
            report.rules.append(row)
        for name, (sets, bar) in SCANS.items():
            scan = [each for each in result.verdicts.values() if each.rule.sees in sets and not each.rule.needs]
            seconds = sum(verdict.seconds for verdict in scan)
            report.figures.append(
                Figure(
                    f"scan by the {name} rules",
                    f"{seconds:.2f} s",
                    f"{bar:.0f} s",
                    seconds < bar,
                    timed=True,
                    key=f"{name} scan",
                    number=seconds,
                    unit="s",
                    limit=bar,
                )
            )
        with step("Stopping under load"):
            report.figures.append(_stop(subject))
        for name, tag in peers.items():
            with step(f"Comparing with {name}"), Image(engine, tag) as image:
                report.figures += measure.peer(subject, name, image)
                report.figures += [measure.throughput(subject, name, image)] if stack.compare else []
        if stack.compare:
            report.figures.append(measure.wire(subject))
            other = stacks.load().stack(stack.compare.stack)
            with step(f"Comparing the start with the {other.title} service's"), _other(subject, other) as started:
                report.figures.append(measure.start_against(subject, started))
        with step("Rebuilding after edits, and running the same commands without Docker"):
            report.figures.append(measure.source_edit(engine, stack, project, Path(work)))
            report.figures.append(measure.test_edit(engine, stack, project, Path(work)))
            report.figures.append(measure.edited_layers(subject))
    show(report)
    written = file or output / "results.json"
    results.add(written, engine, stack, options.name, report)
    console.print(f"results           {written}", soft_wrap=True)
    return 1 if report.broken else 0


def clear(output: Path) -> None:
    """Make `output` an empty folder of the demo's own; raise MsbError when it holds anything that no demo made."""
    try:
        if output.is_dir() and any(output.iterdir()):
            if not (output / MARKER).is_file():
                raise MsbError(
                    f"{output} is not empty and no demo made it: name a new folder, for example --output /tmp/demo"
                )
            shutil.rmtree(output)
        output.mkdir(parents=True, exist_ok=True)
        (output / MARKER).touch()
    except OSError as error:
        raise MsbError(
            f"{output}: {error.strerror}: name a folder that can be created, for example --output /tmp/demo"
        ) from error


def left_behind(subject: Subject, tree: Tree) -> dict[str, int]:
    """Count what of a stage the runtime image must not have: build tools, shells and the like, and source files."""
    names = {entry.name for entry in tree if (real := tree.resolve(entry.path)) and real.program}
    counts = {
        "build tools": sum(bool(subject.tools.match(name)) for name in names),
        "shells, package managers and network clients": sum(bool(subject.footholds.match(name)) for name in names),
        "source files": sum(bool(subject.sources.match(entry.name)) for entry in tree if entry.kind == "file"),
    }
    return {what: count for what, count in counts.items() if count}


def _weighed(row: StageRow, subject: Subject, kept: Image | None, tag: str) -> StageRow:
    if kept:
        return replace(row, bytes=kept.tree.size, left=left_behind(subject, kept.tree))
    with Image(subject.engine, tag) as image:  # a builder's files are close to a gigabyte: not kept
        return _weighed(row, subject, image, tag)


def _render(stack: Stack, options: OptionSet, output: Path) -> tuple[Path, Figure]:
    """Render with the real command; measure the rendering itself, hooks included, without Python's own start."""
    seconds = []
    with tempfile.TemporaryDirectory(prefix="msb-render-") as folder:
        for number in range(3):
            start = time.monotonic()
            cookiecutter(
                str(stack.template), no_input=True, default_config=True,
                extra_context=options.answers, output_dir=f"{folder}/{number}",
            )  # fmt: skip
            seconds.append(time.monotonic() - start)
    median = statistics.median(seconds)
    figure = Figure(
        "rendering, hooks included",
        f"{median:.2f} s",
        f"{RENDERING} s",
        median < RENDERING,
        timed=True,
        key="rendering",
        number=median,
        unit="s",
        limit=RENDERING,
    )
    return projects.render(stack, options.answers, output), figure


def _build(engine: Engine, stack: Stack, project: Path, report: Report) -> dict[str, str]:
    """Build each stage by itself, in order, and the twin; return name -> tag and note the seconds in the report."""
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    tags = {}
    for name in re.findall(r"^FROM .+ AS (\w+)$", text, re.M):
        if name == "toolbox":
            continue
        tag = f"msb-demo/{stack.name}:{name}"
        with step(f"Building stage {name}"):
            built = projects.build(engine, project, tag=tag, target=name)
        report.stages.append(StageRow(name, built.seconds, 0, {}))
        tags[name] = tag
    twin = f"msb-demo/{stack.name}:twin"
    with step("Building the single-stage twin"):
        projects.build(engine, project, tag=twin, options=("--file", str(stack.benchmarks / "Dockerfile.twin")))
    return tags | {"twin": twin}


def _peers(engine: Engine, stack: Stack, project: Path) -> dict[str, str]:
    """Build the same service in the ways of others, benchmarks/STACK/Dockerfile.NAME; return name -> tag."""
    tags = {}
    for path in sorted(stack.benchmarks.glob("Dockerfile.*")):
        name = path.suffix.removeprefix(".")
        if name != "twin":
            tags[name] = f"msb-demo/{stack.name}:peer-{name}"
            with step(f"Building it as {name} does"):
                projects.build(engine, project, tag=tags[name], options=("--file", str(path)))
    return tags


@contextmanager
def _other(subject: Subject, stack: Stack) -> Iterator[Subject]:
    """Another stack's default service, rendered and built in the same run."""
    bases.ensure(subject.engine, stack.bases)
    with tempfile.TemporaryDirectory(prefix="msb-other-") as folder:
        tag = f"msb-demo/{stack.name}:compared"
        projects.build(subject.engine, projects.render(stack, {}, Path(folder)), tag=tag)
        with Image(subject.engine, tag) as image:
            yield Subject(subject.engine, stack, subject.contract, image)


def _stop(subject: Subject) -> Figure:
    stop = stop_under_load(subject)
    failed = sum(stop.failures.values())
    value = f"{stop.seconds:.2f} s, {failed} of {stop.answered + failed:,} requests failed"
    return Figure(
        f"stop while {CLIENTS} clients load it",
        value,
        f"{STOP} s, none",
        stop.seconds < STOP and not failed,
        key="stop",
        number=stop.seconds,
        unit="s",
        limit=STOP,
        measured={"failed requests": failed, "requests": stop.answered + failed},
    )


def _serve(subject: Subject) -> None:
    """Run the image read-only and without capabilities, ask it, stop it, and print what it said."""
    service = subject.stack.service
    with step("Running it: read-only root, no capabilities"), running(subject, locked=True) as container:
        for path in (service.health, service.ready, service.resource):
            answer = container.get(path)
            body = answer.body.decode("utf-8", "replace").strip()
            console.print(f"  GET {path:12} {answer.status} {body[:80]}", markup=False)
        start = time.monotonic()
        container.stop(10).wait()
        console.print(f"  stopped in {time.monotonic() - start:.2f} s")
