"""Does every road to a template work: the menu, --directory, a git clone and a zip archive?"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from msb.stacks import ROOT, Matrix, Stack

MENU = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["templates"]
WRITTEN_BY_TOOLS = (".git", ".venv", ".demo", ".out", ".hypothesis", ".*_cache", "__pycache__")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which cookiecutter keeps its clones and replays in the test's own folder."""
    config = tmp_path / "config.yaml"
    config.write_text(f"cookiecutters_dir: {tmp_path / 'clones'}\nreplay_dir: {tmp_path / 'replays'}\n")
    return {**os.environ, "COOKIECUTTER_CONFIG": str(config), "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C.UTF-8"}


@pytest.fixture
def clone(tmp_path: Path, environment: dict[str, str]) -> Path:
    """A git repository that holds the collection as it is on disk, in one commit."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT, repository, ignore=shutil.ignore_patterns(*WRITTEN_BY_TOOLS))
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "the collection"]):
        git(repository, environment, "-c", "user.name=t", "-c", "user.email=t@example.com", *command)
    return repository


def git(repository: Path, environment: dict[str, str], *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def cookiecutter(source: str, stack: Stack, output: Path, environment: dict[str, str]) -> dict[str, tuple[bytes, int]]:
    """Render the defaults by the command line; return path: (content, mode) of everything written."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--output-dir", str(output)]
    command += ["--directory", f"templates/{stack.name}", source]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    files = (path for path in output.rglob("*") if path.is_file())
    return {str(path.relative_to(output)): (path.read_bytes(), path.stat().st_mode) for path in files}


def test_the_menu_the_folders_and_the_matrix_name_the_same_stacks(matrix: Matrix) -> None:
    folders = {path.parent.name for path in ROOT.glob("templates/*/cookiecutter.json")}
    assert set(MENU) == folders == set(matrix.stacks)
    assert {path.name for path in ROOT.glob("templates/*")} == folders


def test_the_menu_says_what_the_matrix_says(stack: Stack) -> None:
    expected = {"path": f"templates/{stack.name}", "title": stack.title, "description": stack.summary}
    assert MENU[stack.name] == expected


def test_the_root_asks_for_the_stack_and_nothing_else() -> None:
    assert list(json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))) == ["templates"]


def test_a_stack_asks_at_most_seven_questions_each_with_an_example(stack: Stack) -> None:
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    questions = [name for name in template if not name.startswith("_")]
    prompts = {
        name: text if isinstance(text, str) else text["__prompt__"] for name, text in template["__prompts__"].items()
    }
    assert len(questions) <= 7
    assert list(prompts) == questions
    assert [name for name, text in prompts.items() if ", for example " not in text] == []


def test_no_label_holds_square_brackets_which_the_prompt_reads_as_markup(stack: Stack) -> None:
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    choices = {name: value for name, value in template.items() if isinstance(value, list)}
    labels = json.dumps([template["__prompts__"], list(choices.values()), MENU[stack.name]], ensure_ascii=False)
    assert all("[" not in label and "]" not in label for label in json_strings(json.loads(labels)))


def json_strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for text in json_strings(list(item))]
    return [text for item in value for text in json_strings(item)] if isinstance(value, list) else [str(value)]


def test_the_menu_at_a_terminal_renders_what_was_typed(
    stack: Stack, tmp_path: Path, environment: dict[str, str]
) -> None:
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    arguments = ["-m", "cookiecutter", str(ROOT), "--output-dir", str(tmp_path / "out")]
    plain = {**environment, "TERM": "dumb", "COLUMNS": "200", "LINES": "60"}
    child = pexpect.spawn(sys.executable, arguments, env=plain, timeout=60, encoding="utf-8")
    child.expect_exact("Select a template")
    number = list(MENU).index(stack.name) + 1
    child.expect_exact(f"{number} - {stack.title} ({stack.summary})")
    child.expect_exact("Choose from")
    child.sendline(str(number))
    for name, prompt in template["__prompts__"].items():
        child.expect_exact(prompt if isinstance(prompt, str) else prompt["__prompt__"])
        # What is typed is text: never rendered as a template.
        child.sendline("Notes {{ 7*7 }}" if name == "project_name" else "")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes-7-7"]
    assert "the Notes {{ 7*7 }} authors" in (tmp_path / "out" / "notes-7-7" / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_git_clone_and_a_zip_archive_render_what_the_folder_renders(
    stack: Stack, tmp_path: Path, clone: Path, environment: dict[str, str]
) -> None:
    archive = tmp_path / "collection.zip"
    git(clone, environment, "archive", "--prefix=msb-templates/", f"--output={archive}", "HEAD")
    folder = cookiecutter(str(clone), stack, tmp_path / "from-folder", environment)
    assert folder
    assert cookiecutter(clone.as_uri(), stack, tmp_path / "from-clone", environment) == folder
    assert cookiecutter(str(archive), stack, tmp_path / "from-zip", environment) == folder


def test_no_template_file_is_kept_out_of_git_by_an_ignore_rule(clone: Path, environment: dict[str, str]) -> None:
    assert git(clone, environment, "status", "--porcelain", "--ignored") == ""
