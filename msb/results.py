"""What demos measured, as JSON (docs/results.schema.json): one entry per stack, which its next demo replaces."""

import datetime
import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from msb.engine import Engine
from msb.errors import MsbError
from msb.measure import Figure
from msb.report import Report, StageRow
from msb.stacks import ROOT, Stack

FILE = ROOT / "docs" / "results.json"
"""The results that the collection's documents tell."""
_DIGITS = 4


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Machine(_Strict):
    """What the engine ran on. memory: bytes; architecture: as in x86_64."""

    processors: int
    memory: int
    kernel: str
    architecture: str


class Versions(_Strict):
    """The Docker releases; compose is "" where it is missing."""

    engine: str
    buildx: str
    compose: str


class StackResults(_Strict):
    """One demo of a stack.

    bases: where each base image is from; tools: the version of each language tool; runtime_bytes, twin_bytes: the
    uncompressed size of the runtime image and of the single-stage twin; rules: how many rules of the contract have each
    verdict.
    """

    title: str
    options: str
    date: datetime.date
    machine: Machine
    versions: Versions
    bases: dict[str, Literal["pulled", "stand-in"]]
    tools: dict[str, str]
    stages: list[StageRow]
    runtime_bytes: int = Field(gt=0)
    twin_bytes: int = Field(gt=0)
    figures: list[Figure]
    rules: dict[str, int]

    def figure(self, key: str, against: str = "") -> Figure | None:
        """The figure with a key, and against a peer where one is named; None where it was not measured."""
        return next((each for each in self.figures if each.key == key and against in ("", each.against)), None)


class Results(_Strict):
    """The newest demo of each stack, by the stack's name."""

    stacks: dict[str, StackResults] = Field(default_factory=dict)


def read(path: Path = FILE) -> Results:
    """Read a file of results; raise MsbError that names the file and its first bad key."""
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MsbError(f"{path}: {error.strerror}: write it with `make demo RESULTS={path}`") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise MsbError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def check(path: Path) -> None:
    """Raise MsbError when `add` could not write to `path`, which a demo finds out before its first build."""
    if path.exists():
        read(path)
    elif not path.parent.is_dir():
        raise MsbError(
            f"{path}: {path.parent} is no folder: name a file in a folder that exists, for example results.json"
        )


def add(path: Path, engine: Engine, stack: Stack, options: str, report: Report) -> None:
    """Write one demo into the file at `path`, in the place of the stack's earlier one; the other stacks stay.

    Raises MsbError when the file holds something else, or cannot be written.
    """
    results = read(path) if path.exists() else Results()
    results.stacks[stack.name] = StackResults(
        title=stack.title,
        options=options,
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=_machine(engine),
        versions=Versions(**engine.releases),
        bases=report.bases,  # type: ignore[arg-type]  # checked as it enters
        tools=report.tools,
        stages=report.stages,
        runtime_bytes=report.runtime_bytes,
        twin_bytes=report.twin_bytes,
        figures=[Figure(**_rounded(asdict(figure))) for figure in report.figures],
        rules=dict(Counter(rule.verdict for rule in report.rules)),
    )
    results.stacks = dict(sorted(results.stacks.items()))
    text = json.dumps(_rounded(results.model_dump(mode="json")), indent=2, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise MsbError(
            f"{path}: {error.strerror}: name a file that can be written, for example results.json"
        ) from error


def schema() -> str:
    """Return the text of docs/results.schema.json."""
    said: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Results.model_json_schema()}
    return json.dumps(said, indent=2) + "\n"


def versions(engine: Engine, stack: Stack, tags: dict[str, str]) -> dict[str, str]:
    """Ask each language tool of a stack for its version, in the stage that has it. tags: stage -> image.

    Raises MsbError when a tool does not answer with a version.
    """
    found = {}
    for name, (stage, program, *arguments) in stack.versions.items():
        run = engine.run("run", "--rm", "--network=none", "--entrypoint", program, tags[stage], *arguments)
        version = re.search(r"\d+(?:\.\d+)*", run.stdout + run.stderr)
        if not version:
            raise MsbError(f"{program} {' '.join(arguments)} names no version: fix `versions` in stacks.toml")
        found[name] = version[0]
    return found


def _machine(engine: Engine) -> Machine:
    info = json.loads(engine.run("info", "--format", "json").stdout)
    return Machine(
        processors=info["NCPU"],
        memory=info["MemTotal"],
        kernel=info["KernelVersion"],
        architecture=info["Architecture"],
    )


def _rounded(value: Any) -> Any:
    """The same, with every fraction rounded: the rest is noise."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
