"""Does sync keep the committed copies equal to their sources, and say so when they are not?"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import msb
from msb import stacks
from msb.errors import MsbError
from msb.stacks import ROOT, Matrix, Stack
from msb.sync import PROJECT, contract_data, sync


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small collection with the real sources, in sync."""
    for name in ("common", "hooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("stacks.toml", ".gitattributes"):
        shutil.copy(ROOT / name, tmp_path / name)
    sync(check=False, root=tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def project(root: Path, stack: Stack) -> Path:
    return root / "templates" / stack.name / PROJECT


def test_every_template_gets_all_common_files_the_hooks_and_its_contract(root: Path, stack: Stack) -> None:
    copies = {path.relative_to(project(root, stack)) for path in contents(project(root, stack))}
    sources = {path.relative_to(root / "common") for path in contents(root / "common")}
    assert copies == {*sources, Path("docker/contract.txt")}
    for source in sources:
        copy = project(root, stack) / source
        assert copy.read_bytes() == (root / "common" / source).read_bytes()
        assert copy.stat().st_mode & 0o100 == (root / "common" / source).stat().st_mode & 0o100
    hooks = {path.name: content for path, content in contents(root / "hooks").items()}
    assert {path.name: content for path, content in contents(project(root, stack).parent / "hooks").items()} == hooks


def test_a_second_sync_changes_nothing(root: Path) -> None:
    assert sync(check=True, root=root) == []
    assert sync(check=False, root=root) == []


def change_a_copy(root: Path, stack: Stack) -> Path:
    path = project(root, stack) / ".editorconfig"
    path.write_text("edited here, which the next sync would lose\n")
    return path


def delete_a_copy(root: Path, stack: Stack) -> Path:
    path = project(root, stack).parent / "hooks" / "pre_gen_project.py"
    path.unlink()
    return path


def lose_an_executable_bit(root: Path, stack: Stack) -> Path:
    path = project(root, stack) / "docker" / "verify"
    path.chmod(0o644)
    return path


def edit_the_contract(root: Path, stack: Stack) -> Path:
    path = project(root, stack) / "docker" / "contract.txt"
    path.write_text(path.read_text().replace("tool gcc\n", ""))
    return path


def drop_a_source(root: Path, stack: Stack) -> Path:
    (root / "common" / ".editorconfig").unlink()
    return project(root, stack) / ".editorconfig"


def add_a_source(root: Path, stack: Stack) -> Path:
    name = "{% if cookiecutter.license == 'MIT' %}new{% endif %}"
    (root / "common" / "folder").mkdir()
    (root / "common" / "folder" / name).write_text("new\n")
    return project(root, stack) / "folder" / name


@pytest.mark.parametrize(
    "differ",
    [change_a_copy, delete_a_copy, lose_an_executable_bit, edit_the_contract, drop_a_source, add_a_source],
    ids=lambda function: function.__name__,
)
def test_a_difference_is_named_by_check_without_writing_and_mended_by_sync(
    root: Path, stack: Stack, differ: Callable[[Path, Stack], Path]
) -> None:
    path = differ(root, stack)
    before = contents(root)
    assert path in sync(check=True, root=root)
    assert contents(root) == before
    assert path in sync(check=False, root=root)
    assert sync(check=True, root=root) == []
    assert path.exists() == (differ is not drop_a_source)


def test_the_address_of_the_collection_is_written_into_every_template(root: Path, stack: Stack) -> None:
    address = "https://git.example.com/platform/templates"
    questions = root / "templates" / stack.name / "cookiecutter.json"
    shutil.copy(ROOT / "templates" / stack.name / "cookiecutter.json", questions)
    data = root / "stacks.toml"
    data.write_text(re.sub(r'^address = ".*"$', f'address = "{address}"', data.read_text(), flags=re.MULTILINE))
    stacks.load.cache_clear()
    before = json.loads(questions.read_text())
    assert questions in sync(check=True, root=root)
    assert questions in sync(check=False, root=root)
    found = json.loads(questions.read_text())
    assert found == before | {"_collection": address}
    assert (found["_stack"], found["_release"]) == (stack.name, f"v{msb.__version__}")


def test_a_folder_whose_last_copy_went_stale_goes_with_it(root: Path, stack: Stack) -> None:
    added = add_a_source(root, stack)
    sync(check=False, root=root)
    shutil.rmtree(root / "common" / "folder")
    sync(check=False, root=root)
    assert not added.parent.exists()


def test_files_of_the_stacks_own_are_left_alone(root: Path, stack: Stack) -> None:
    own = project(root, stack) / "docker" / "own.txt"
    own.write_text("the stack's own\n")
    assert sync(check=False, root=root) == []
    assert own.read_text() == "the stack's own\n"


def test_git_marks_every_copy_as_generated_and_nothing_else(root: Path, stack: Stack) -> None:
    copies = set(contents(root / "templates"))
    own = project(root, stack) / "Dockerfile"
    own.write_text("FROM scratch\n")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    names = "\0".join(str(path.relative_to(root)) for path in [*copies, own])
    command = ["git", "-C", root, "check-attr", "-z", "--stdin", "linguist-generated"]
    fields = subprocess.run(command, input=names, check=True, capture_output=True, text=True).stdout.split("\0")
    assert {root / name for name, value in zip(fields[::3], fields[2::3], strict=False) if value == "set"} == copies


def entries(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(kind, value) for kind, _, value in (line.partition(" ") for line in lines)]


def test_the_contract_data_holds_the_whole_matrix_one_entry_a_line(matrix: Matrix, stack: Stack) -> None:
    content = matrix.contract.content
    found = entries(contract_data(matrix, stack))
    decoded = {value.replace("\\t", "\t").replace("\\n", "\n") for kind, value in found if kind == "fingerprint"}
    assert decoded == {f"{name}={text}" for name, text in content.fingerprints.items()}
    expected = {
        "tool": [name for family in matrix.contract.tools.values() for name in family if name not in stack.permits],
        "foothold": [name for family in matrix.contract.footholds.values() for name in family],
        "package": content.packages,
        "header": content.headers,
        "source": [name for name in content.sources if name not in stack.keeps],
        "application": stack.application,
    }
    assert {kind: [value for k, value in found if k == kind] for kind in expected} == expected


def test_the_contract_data_leaves_out_what_a_stack_permits_and_keeps(matrix: Matrix, stack: Stack) -> None:
    strict = stack.model_copy(update={"permits": [], "keeps": []})
    lenient = stack.model_copy(update={"permits": ["gcc-*"], "keeps": ["*.py"]})
    left_out = set(entries(contract_data(matrix, strict))) - set(entries(contract_data(matrix, lenient)))
    assert left_out == {("tool", "gcc-*"), ("source", "*.py")}


@pytest.mark.parametrize("key", ["permits", "keeps"])
def test_a_permitted_name_that_nothing_denies_is_an_error_that_names_it(matrix: Matrix, stack: Stack, key: str) -> None:
    with pytest.raises(MsbError, match=f"stacks.{stack.name}.{key}: 'gcx' is not a pattern"):
        contract_data(matrix, stack.model_copy(update={key: ["gcx"]}))


def test_the_contract_data_holds_nothing_that_cookiecutter_would_render(matrix: Matrix, stack: Stack) -> None:
    text = contract_data(matrix, stack)
    assert not any(mark in text for mark in ("{{", "{%", "{#"))
