"""Is a new stack added as CONTRIBUTING.md says, and do the shared tests then include it?"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from msb.stacks import ROOT, load
from msb.sync import PROJECT

pytestmark = pytest.mark.slow

STACK = re.compile(rf"(?<=[\[-])({'|'.join([*load().stacks, 'toy'])})(?=[-\]])")
CHEAP = ["tests/test_menu.py", "tests/test_dockerfiles.py", "tests/test_base_names.py"]
SUMMARY = "a toy that serves notes"


def generated() -> list[str]:
    """The copies that sync writes into the Go stack."""
    command = ["git", "ls-files", "-z", "--", "templates/go"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    command = ["git", "check-attr", "-z", "--stdin", "linguist-generated"]
    fields = (
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, input=listed).stdout.decode().split("\0")
    )
    return [name for name, value in zip(fields[::3], fields[2::3], strict=False) if value == "set"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with one stack more, of the Go stack's own files."""
    root = tmp_path_factory.mktemp("clone") / "collection"
    ignore = shutil.ignore_patterns(".git", ".venv", ".demo", ".out", ".hypothesis", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, root, ignore=ignore)
    # Step 1: a template, without anything that sync writes.
    shutil.copytree(root / "templates" / "go", root / "templates" / "toy")
    for name in generated():
        (root / name.replace("templates/go", "templates/toy", 1)).unlink()
    # Step 2: its entry in stacks.toml.
    data = (root / "stacks.toml").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^\[stacks\.go\]\n.*?(?=^\[stacks\.jvm\])", data, re.MULTILINE | re.DOTALL)
    entry = entry.replace("[stacks.go", "[stacks.toy").replace('title = "Go"', 'title = "Toy"')
    entry = re.sub(r'^summary = ".*"$', f'summary = "{SUMMARY}"', entry, flags=re.MULTILINE)
    (root / "stacks.toml").write_text(f"{data}\n{entry}", encoding="utf-8")
    # Step 3: its twin.
    shutil.copytree(root / "benchmarks" / "go", root / "benchmarks" / "toy")
    # Step 4: make sync.
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in ([sys.executable, "-m", "msb", "sync"], [*git, "init", "--quiet"], [*git, "add", "--all"]):
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    # Step 5: the menu and the table.
    menu = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    menu["templates"]["toy"] = {"path": "templates/toy", "title": "Toy", "description": SUMMARY}
    (root / "cookiecutter.json").write_text(json.dumps(menu), encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    (root / "README.md").write_text(
        readme.replace("| `go` |", f"| `toy` | {SUMMARY} | 10.7 MB |\n| `go` |", 1), "utf-8"
    )
    return root


def run_pytest(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MSB_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)


def test_sync_writes_all_of_the_new_stacks_copies(clone: Path) -> None:
    copies = [name.replace("templates/go", "templates/toy", 1) for name in generated()]
    assert copies
    assert [name for name in copies if not (clone / name).is_file()] == []
    questions = json.loads((clone / "templates" / "toy" / "cookiecutter.json").read_text(encoding="utf-8"))
    assert questions["_stack"] == "toy"
    assert (clone / "templates" / "toy" / PROJECT / "docker" / "contract.txt").read_text(encoding="utf-8")


def test_every_test_that_asks_all_stacks_asks_the_new_one_too(clone: Path) -> None:
    result = run_pytest(clone, "--collect-only")
    assert result.returncode == 0, result.stdout + result.stderr
    asked: dict[str, set[str]] = defaultdict(set)
    for name, _, parameters in (line.partition("[") for line in result.stdout.splitlines() if "::" in line):
        for stack in STACK.findall(f"[{parameters}"):
            asked[stack].add(name)
    everywhere = set.intersection(*(asked[stack] for stack in load().stacks))
    assert len(everywhere) > 50
    assert everywhere - asked["toy"] == set()


def test_the_new_stack_passes_tests_that_need_no_engine(clone: Path) -> None:
    table = "tests/test_documents.py::test_the_stack_table_and_the_matrix_agree"
    result = run_pytest(clone, "-m", "not engine", "-k", "toy or matrix", *CHEAP, table)
    assert result.returncode == 0, result.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", result.stdout)[-1]) >= 20, result.stdout[-500:]
