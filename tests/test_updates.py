"""Does a new release of the templates reach a project by the commands of docs/updates.md, and lose nothing?"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_documents import FILES

from msb.stacks import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "updates.md").read_text(encoding="utf-8")
CREATE, UPDATE, BRANCH, MERGE = re.findall(r"^```sh\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
ADDRESS = "https://github.com/org/msb-templates"
PERSON = {f"GIT_{role}_{what}": "owner@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def run(script: str, folder: Path, collection: Path) -> subprocess.CompletedProcess[str]:
    """Run the lines of a block with a clone in the place of GitHub."""
    configuration = collection.parent / "cookiecutter.yaml"
    configuration.write_text(
        f"cookiecutters_dir: {collection.parent / 'clones'}\nreplay_dir: {collection.parent / 'replay'}\n"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | PERSON | {"PATH": path, "COOKIECUTTER_CONFIG": str(configuration)}
    script = script.replace(ADDRESS, collection.as_uri())
    return subprocess.run(["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name}: {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def commit(folder: Path, message: str, tag: str = "") -> None:
    script = f"git add --all && git commit --quiet --message '{message}'" + f" && git tag {tag}" * bool(tag)
    subprocess.run(["bash", "-euc", script], cwd=folder, env=os.environ | PERSON, check=True)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's origin with two releases of a template in its nested folder, the first as it is here."""
    collection = tmp_path_factory.mktemp("github") / "msb-templates"
    for file in FILES:
        if file.is_relative_to(ROOT / "templates" / "go"):
            copy = collection / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
    subprocess.run(["git", "init", "--quiet", collection], check=True)
    commit(collection, "One", "v0.1.0")
    template = collection / "templates" / "go"
    project = template / "{{cookiecutter.__folder}}"
    edit(template / "cookiecutter.json", '"_release": "v0.1.0"', '"_release": "v0.2.0"')
    edit(project / "Dockerfile", "ENV GOTOOLCHAIN=local", "ENV GOTOOLCHAIN=local NEW=1")
    edit(project / "compose.yaml", "pids_limit: 128", "pids_limit: 256")
    edit(project / "internal" / "notes" / "store.go", "// Note is", "// A Note is")
    edit(project / "README.md", "To build, test and run it", "To build, to test and to run it")
    commit(collection, "Two", "v0.2.0")
    return collection


@pytest.fixture(params=["the rendered files have a commit", "the first commit has the owner's edits"])
def history(request: pytest.FixtureRequest) -> str:
    return request.param


def owned(tmp_path: Path, collection: Path, script: str) -> Path:
    """A project of the first release, with its owner's edits."""
    made = run(script, tmp_path, collection)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "hello-service"
    edit(folder / "Dockerfile", "ARG MAIN=./cmd/server", "ARG MAIN=./cmd/orders")
    edit(folder / "README.md", "To build, test and run it", "Ours. To build, test and run it")
    edit(folder / "docker" / "contract.txt", "# Exceptions of this project", "# Ours\n# Exceptions of this project")
    shutil.move(folder / "cmd" / "server", folder / "cmd" / "orders")
    shutil.rmtree(folder / "internal" / "notes")
    (folder / "own.txt").write_text("mine\n")
    return folder


def assert_updated(folder: Path) -> None:
    """What was not edited is new, and what was edited is there still."""
    assert "ARG MAIN=./cmd/orders" in (folder / "Dockerfile").read_text()
    assert "ENV GOTOOLCHAIN=local NEW=1" in (folder / "Dockerfile").read_text()
    assert "pids_limit: 256" in (folder / "compose.yaml").read_text()
    assert "msb-templates@v0.2.0" in (folder / ".github" / "workflows" / "ci.yml").read_text()
    assert "Ours. To build, test and run it" in (folder / "README.md").read_text()
    assert "# Ours\n" in (folder / "docker" / "contract.txt").read_text()
    assert (folder / "own.txt").read_text() == "mine\n"
    assert (folder / "cmd" / "orders" / "main.go").is_file()


def test_cruft_updates_what_is_not_edited_and_leaves_a_conflict_to_the_owner(
    collection: Path, history: str, tmp_path: Path
) -> None:
    kept = history.startswith("the rendered")
    folder = owned(tmp_path, collection, CREATE if kept else "".join(CREATE.splitlines(keepends=True)[:3]))
    commit(folder, "Ours")
    updated = run(UPDATE, folder, collection)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert_updated(folder)
    assert not (folder / "internal" / "notes").exists()
    readme, rejected = (folder / "README.md").read_text(), folder / "README.md.rej"
    assert ("<<<<<<< ours\nOurs. To" in readme) is kept
    assert rejected.exists() is not kept
    assert "to run it" in (readme if kept else rejected.read_text())


def test_git_and_cookiecutter_alone_do_the_same(collection: Path, tmp_path: Path) -> None:
    folder = owned(tmp_path, collection, CREATE)
    (folder / ".cruft.json").unlink()
    commit(folder, "Ours")
    for block in (BRANCH, MERGE.rpartition("git merge")[0]):
        done = run(block, folder, collection)
        assert done.returncode == 0, done.stderr
    merged = run("".join(MERGE.rpartition("git merge")[1:]), folder, collection)
    assert merged.returncode == 1
    assert "CONFLICT (content): Merge conflict in README.md" in merged.stdout
    assert_updated(folder)
    assert "<<<<<<< HEAD\nOurs. To" in (folder / "README.md").read_text()
    assert not (tmp_path / "rendered" / "hello-service").exists()
