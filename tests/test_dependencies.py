"""Does what Go services and sites use most work in the image? Python's list is asked in test_python.py."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGES
from playwright.sync_api import Browser

from msb import project as projects
from msb.contract import Subject
from msb.contract.service import running
from msb.engine import Engine
from msb.image import Image
from msb.stacks import ROOT, Matrix, Stack

LISTS = tomllib.loads((ROOT / "tests" / "dependencies.toml").read_text(encoding="utf-8"))
LOCKS = ROOT / "tests" / "dependencies"

MAIN = """package main

import (
%s
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func serves(handler http.Handler) bool {
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	return answer.Code == 200
}

func main() {
	failed := []string{}
	for module, works := range map[string]func() bool{
%s
	} {
		if !works() {
			failed = append(failed, module)
		}
	}
	must(0, json.NewEncoder(os.Stdout).Encode(failed))
}
"""
STANDARD = ("context", "encoding/json", "io", "net/http", "net/http/httptest", "os", "strings", "time")


def program(uses: list[dict[str, Any]]) -> str:
    """A Go program that prints the modules whose use is false."""
    imports = [*STANDARD, *(path for one in uses for path in one.get("imports", [one["module"]]))]
    quoted = [path if '"' in path else f'"{path}"' for path in imports]
    return MAIN % (
        "\n".join(quoted),
        "\n".join(f'"{one["module"]}": func() bool {{ return {one["use"]} }},' for one in uses),
    )


@pytest.mark.parametrize("stack", ["go"], indirect=True, scope="session")
def test_each_of_the_most_used_go_modules_works_in_the_image(
    engine: Engine, stack: Stack, project: Path, tmp_path: Path
) -> None:
    copy = projects.copy(project, tmp_path / project.name)
    uses = LISTS["go"]
    assert len(uses) >= 50
    shutil.copytree(LOCKS / "go", copy, dirs_exist_ok=True)
    (copy / "cmd" / "uses").mkdir()
    (copy / "cmd" / "uses" / "main.go").write_text(program(uses))
    tag = f"{IMAGES}/go:dependencies"
    projects.build(engine, copy, tag=tag, options=(*projects.UNTESTED, "--build-arg=MAIN=./cmd/uses"))
    answer = engine.run("run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--network=none", tag)
    assert json.loads(answer.stdout) == []


def script(uses: list[dict[str, Any]]) -> str:
    """A page's program that shows the packages whose use is false or fails."""
    load = 'async () => {{ const m = await import("{0}"); return {1}; }}'
    asked = [f'["{one["dependency"]}", {load.format(one["dependency"], one["use"])}],' for one in uses]
    return "\n".join(
        [
            "const failed = [];",
            "for (const [name, works] of [",
            *asked,
            "]) {",
            "  const worked = await works().catch(String);",
            "  if (worked !== true) failed.push(`${name}: ${worked}`);",
            "}",
            "document.body.innerHTML = `<output>${JSON.stringify(failed)}</output>`;",
        ]
    )


@pytest.mark.parametrize("stack", ["node-nginx"], indirect=True, scope="session")
def test_each_of_the_most_used_packages_works_on_a_page_of_the_image(
    engine: Engine, matrix: Matrix, stack: Stack, project: Path, browser: Browser, tmp_path: Path
) -> None:
    copy = projects.copy(project, tmp_path / project.name)
    uses = LISTS["node-nginx"]
    assert len(uses) >= 50
    shutil.copytree(LOCKS / "node", copy, dirs_exist_ok=True)
    (copy / "src" / "main.tsx").write_text(script(uses))
    tag = f"{IMAGES}/node-nginx:dependencies"
    projects.build(engine, copy, tag=tag, options=projects.UNTESTED)
    with (
        Image(engine, tag) as image,
        running(Subject(engine, stack, matrix.contract, image), locked=True) as service,
        browser.new_page() as page,
    ):
        page.goto(f"http://{service.address}:{service.port}/")
        assert json.loads(page.locator("output").text_content(timeout=60_000) or "") == []
