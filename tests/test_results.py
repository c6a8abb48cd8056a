"""Do the results of the demo follow their schema, and do their verdicts follow from their numbers?"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from msb import results, stacks
from msb.engine import Engine
from msb.errors import MsbError
from msb.measure import Figure
from msb.report import Report, RuleRow, StageRow
from msb.stacks import ROOT

SCHEMA = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
INFO = {"NCPU": 2, "MemTotal": 8, "KernelVersion": "6.1", "Architecture": "x86_64", "Name": "a-host"}
FIGURE = Figure(
    "stop", "1.23 s", "2 s", True, key="stop", number=1.23456789, unit="s", limit=2, measured={"requests": 7}
)  # fmt: skip


def engine_that_says(text: str) -> Engine:
    """An engine whose client prints one text, whatever it is asked."""
    releases = {"engine": "26.1.5", "buildx": "0.13.1", "compose": "2.26.1"}
    command = (sys.executable, "-c", f"print({text!r})")
    return Engine(command, (26, 1), (0, 13), releases, True, True, True, Path("/var/lib/docker"))


def report() -> Report:
    return Report(
        "Go", Path("/somewhere"), {"golang:1.27-trixie": "stand-in"}, "msb-demo/go:runtime", {"Go": "1.27"}, 10, 100,
        [StageRow("build", 1.5, 90, {"build tools": 3})], [FIGURE],
        [RuleRow("MSB101", "a promise", "holds", True, []), RuleRow("MSB102", "another", "failed", False, ["x"])],
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.json"
    for name in ("go", "python"):
        results.add(path, engine_that_says(json.dumps(INFO)), stacks.load().stack(name), "default", report())
    return path


def test_what_the_demo_writes_follows_the_schema(file: Path) -> None:
    written = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.validate(written, SCHEMA)
    del written["stacks"]["go"]["runtime_bytes"]
    with pytest.raises(jsonschema.ValidationError, match="runtime_bytes"):
        jsonschema.validate(written, SCHEMA)


def test_a_demo_replaces_the_results_of_its_own_stack_alone(file: Path) -> None:
    before = results.read(file).stacks
    newer = replace(report(), runtime_bytes=11)
    results.add(file, engine_that_says(json.dumps(INFO)), stacks.load().stack("go"), "default", newer)
    after = results.read(file).stacks
    assert list(after) == ["go", "python"]
    assert (before["go"].runtime_bytes, after["go"].runtime_bytes) == (10, 11)
    assert after["python"] == before["python"]


def test_results_have_every_number_of_the_report_and_no_name_or_path_of_the_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = results.read(file).stacks["go"]
    assert found.rules == {"holds": 1, "failed": 1}
    assert found.stages == report().stages
    assert found.figure("stop") == replace(FIGURE, number=1.2346)
    assert found.machine.processors == INFO["NCPU"]
    assert "a-host" not in text
    assert "/somewhere" not in text


def test_a_tool_that_names_no_version_is_one_line_and_the_others_are_told() -> None:
    stack, tags = stacks.load().stack("go"), {"build": "an-image"}
    assert results.versions(engine_that_says("go version go1.27.1 linux/amd64"), stack, tags) == {"Go": "1.27.1"}
    with pytest.raises(MsbError, match="^go version names no version: fix `versions` in stacks.toml$"):
        results.versions(engine_that_says("nothing"), stack, tags)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("other.json", '{"stacks": {"go": {}}}', "stacks.go.title: Field required"),
        ("letters.txt", "Dear", "Invalid JSON"),
        ("missing/results.json", None, "is no folder: name a file in a folder that exists, for example results.json"),
    ],
)
def test_a_file_that_cannot_take_results_is_one_line_before_the_first_build(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    path = tmp_path / name
    if content:
        path.write_text(content)
    with pytest.raises(MsbError) as error:
        results.check(path)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not content or path.read_text() == content


def test_the_collections_results_follow_the_schema_and_their_verdicts_follow_from_their_numbers() -> None:
    jsonschema.validate(json.loads(results.FILE.read_text(encoding="utf-8")), SCHEMA)
    for name, stack in results.read().stacks.items():
        assert name in stacks.load().stacks
        for figure in stack.figures:
            least = figure.key == "requests"  # the only number that is better when it is larger
            reached = figure.number >= figure.limit if least else figure.number <= figure.limit
            reached &= not figure.measured.get("failed requests")
            assert figure.holds == reached, f"{name}: {figure.name}"
        assert set(stack.rules) == {"holds"}, f"{name}: {stack.rules}"
