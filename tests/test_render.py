"""Does every option set render to files that parse, say what was answered, and are clean on every system?"""

import ast
import html
import json
import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import hcl2
import pytest
import yaml
from conftest import OPTION_SETS, Rendered, bake, option_set_name
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from dockerfile_parse import DockerfileParser
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, Template
from pytest_cookies.plugin import Cookies

from msb.stacks import Stack
from msb.sync import PROJECT

FREE_TEXT = ("project_name", "description")


def strings(value: object) -> Iterator[str]:
    """Yield every string in nested data, keys and values."""
    if isinstance(value, dict):
        for item in value.items():
            yield from strings(list(item))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    else:
        yield str(value)


def dockerfile_strings(text: str) -> list[str]:
    """Return the quoted values of ENV and LABEL, as Docker unquotes them (dockerfile-parse keeps the escapes)."""
    steps = DockerfileParser(fileobj=BytesIO(text.encode())).structure
    values = " ".join(step["value"] for step in steps if step["instruction"] in ("ENV", "LABEL"))
    escape = re.compile(r'\\(["$\\])|\$\{[^}]*\}|\$\w+')
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', values)
    return [escape.sub(lambda found: found[1] or "an expanded variable", value) for value in quoted]


def quoted_strings(text: str) -> list[str]:
    """The string literals in double quotes that Go and TypeScript write alike."""
    return [json.loads(found) for found in re.findall(r'"(?:[^"\\\n]|\\["\\nt])*"', text)]


def python_strings(text: str) -> list[str]:
    constants = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def xml_strings(text: str) -> list[str]:
    return list(ElementTree.fromstring(text).itertext())  # noqa: S314 of our own template


# File name or suffix: what reads it back. Other files are plain text.
READERS: dict[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
    ".toml": tomllib.loads,
    ".hcl": hcl2.loads,
    ".go": quoted_strings,
    ".ts": quoted_strings,
    ".py": python_strings,
    ".html": html.unescape,
    ".xml": xml_strings,
    "Dockerfile": dockerfile_strings,
}


def read_back(path: Path) -> list[str]:
    """Return the strings in a rendered file, as its own format's parser reads them; raise when it does not parse."""
    text = path.read_text(encoding="utf-8")
    reader = READERS.get(path.name, READERS.get(path.suffix))
    return list(strings(reader(text))) if reader else [text]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files(folder)}


def mentions(stack: Stack, answer: str) -> list[Path]:
    """Return the files of a stack's template that use a free-text answer, by path under the project's folder."""
    template = stack.template / PROJECT
    uses = re.compile(rf"cookiecutter\.(__)?{answer}")
    return [path.relative_to(template) for path in files(template) if uses.search(path.read_text(encoding="utf-8"))]


def defaults(stack: Stack) -> dict[str, str]:
    return prompt_for_config(generate_context(str(stack.template / "cookiecutter.json")), no_input=True)


def says(project: Path, stack: Stack, answers: dict[str, str]) -> None:
    """Assert that every file which holds free text parses and still says exactly what was answered."""
    for answer in FREE_TEXT:
        names = [Template(str(path)).render(cookiecutter=answers) for path in mentions(stack, answer)]
        rendered = [project / name for name in names if not name.endswith("/") and name]
        silent = [path for path in rendered if not any(answers[answer] in text for text in read_back(path))]
        assert silent == []


def test_every_file_parses_and_free_text_reads_back_as_it_was_answered(rendered: Rendered) -> None:
    project, stack, options = rendered
    for path in files(project):
        read_back(path)
    says(project, stack, {**defaults(stack), **options.answers})


def test_answers_reach_every_kind_of_file_they_belong_in(stack: Stack) -> None:
    for answer in FREE_TEXT:
        assert {"Dockerfile", "README.md"} <= {path.name for path in mentions(stack, answer)}


# Text of every kind that the hook lets through, but for template syntax, which only a terminal takes as text.
TEXT = st.characters(
    exclude_categories=["Cc", "Cs", "Zl", "Zp"],
    exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff{",
)
FRAGMENTS = [
    "\\",
    '"',
    "'",
    "$",
    "${x}",
    "$${x}",
    "%{x}",
    "#",
    ": ",
    " #",
    "&",
    "<b>",
    "`",
    "\\n",
    "\\$",
    "---",
    "*",
    "|",
]
ANSWERS = (
    st.lists(st.text(TEXT, max_size=20) | st.sampled_from(FRAGMENTS), min_size=1, max_size=8)
    .map("".join)
    .map(str.strip)
    .filter(bool)
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(name=ANSWERS, description=ANSWERS)
def test_any_free_text_reads_back_from_every_file(
    cookies_session: Cookies, stack: Stack, name: str, description: str
) -> None:
    answers = {"project_name": name, "project_slug": "free-text", "description": description}
    says(bake(cookies_session, stack, answers), stack, {**defaults(stack), **answers})


def test_no_template_syntax_is_left_over(rendered: Rendered) -> None:
    project, *_ = rendered
    syntax = re.compile(r"\{\{\W*cookiecutter|\{%|%\}|(?<!\$)\{#")
    assert [path for path in files(project) if syntax.search(path.read_text(encoding="utf-8"))] == []


def test_lines_end_in_lf_without_trailing_spaces(rendered: Rendered) -> None:
    project, *_ = rendered
    # A fingerprint is exact text, which may end in a space.
    unclean = re.compile(rb"\r|^(?!fingerprint ).*[ \t]$|[^\n]\Z", re.MULTILINE)
    assert [path for path in files(project) if unclean.search(path.read_bytes())] == []


@pytest.mark.parametrize("part", ["template", "project"])
def test_every_path_is_legal_on_windows(rendered: Rendered, part: str) -> None:
    project, stack, _ = rendered
    folder = stack.template if part == "template" else project
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    assert [
        name for name in names if re.search(r'["|<>:?*\\]|[. ](/|$)', name) or PureWindowsPath(name).is_reserved()
    ] == []
    assert len({name.casefold() for name in names}) == len(names)
    assert max(map(len, names)) < 160


def test_no_folder_is_empty(rendered: Rendered) -> None:
    project, *_ = rendered
    assert [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def written_in(suffix: str) -> pytest.MarkDecorator:
    """Ask only of the option sets whose projects have sources of a language."""
    pairs = [(stack, options) for stack, options in OPTION_SETS if any((stack.template / PROJECT).rglob(f"*{suffix}"))]
    assert pairs
    return pytest.mark.parametrize("rendered", pairs, indirect=True, ids=option_set_name)


@written_in(".go")
def test_go_sources_are_formatted(rendered: Rendered) -> None:
    project, *_ = rendered
    go = Path(sys.executable).parent / "go"
    root = subprocess.run([go, "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    sources = [path for path in files(project) if path.suffix == ".go"]
    command = [Path(root) / "bin" / "gofmt", "-l", *sources]
    assert sources
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


@written_in(".py")
def test_python_sources_are_formatted_and_lint_clean_also_with_the_longest_answers(
    rendered: Rendered, cookies: Cookies
) -> None:
    project, stack, _ = rendered
    long = bake(cookies, stack, {"project_name": "n" * 200, "project_slug": "s" * 40, "description": "d" * 200})
    ruff = Path(sys.executable).parent / "ruff"
    for folder in (project, long):
        for command in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
            result = subprocess.run([ruff, *command], cwd=folder, capture_output=True, text=True)
            assert result.returncode == 0, result.stdout


def test_rendering_twice_gives_the_same_bytes(rendered: Rendered, cookies: Cookies) -> None:
    project, stack, options = rendered
    assert contents(bake(cookies, stack, options.answers)) == contents(project)


def test_rendering_takes_less_than_half_a_second_of_a_processor(
    cookies: Cookies, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hooks' time included; the clock on the wall would tell of what else the machine does."""
    monkeypatch.setattr(Environment, "compile", Environment.compile.__wrapped__)  # as a person's Cookiecutter does

    def seconds() -> float:
        start = sum(os.times()[:4])
        bake(cookies, stack, {})
        return sum(os.times()[:4]) - start

    assert statistics.median(seconds() for _ in range(5)) < 0.5


def test_every_private_variable_of_a_template_is_used(stack: Stack) -> None:
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    paths = [path for path in stack.template.rglob("*") if path.is_file()]
    everything = "".join(f"{path}\n{path.read_text(encoding='utf-8')}" for path in paths)
    computed = [name for name in template if name.startswith("__") and name != "__prompts__"]
    assert [name for name in computed if f"cookiecutter.{name}" not in everything] == []


# The licence, and a sentence that only its text has.
LICENCES = {
    "MIT": "The above copyright notice and this permission notice shall be included in all",
    "Apache-2.0": "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION",
    "BSD-3-Clause": "Neither the name of the copyright holder nor the names of its",
    "Proprietary": "All rights reserved.",
}


@pytest.mark.parametrize("licence", LICENCES)
def test_each_choice_of_licence_gives_one_licence_file_with_its_text(
    cookies: Cookies, stack: Stack, licence: str
) -> None:
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    assert template["license"] == list(LICENCES)
    project = bake(cookies, stack, {"license": licence})
    text = (project / "LICENSE").read_text(encoding="utf-8")
    assert [name for name, sentence in LICENCES.items() if sentence in text] == [licence]
    assert (f"Copyright (c) the {template['project_name']} authors" in text) == (licence != "Apache-2.0")
