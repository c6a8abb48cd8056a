"""What of a project reaches its build? Asked of the engine, which copies the whole context out."""

import subprocess
from pathlib import Path

import pytest

from msb import project as projects
from msb.contract.credentials import CANARIES
from msb.engine import Engine
from msb.stacks import Stack

TRACKED = [
    "README.md", "LICENSE", "CHANGELOG.md", ".editorconfig", ".gitignore", ".gitattributes", "web/.gitignore",
    "docs/docs.go", "docs/openapi.json", "bin/tool", "build/version.go", "dist/theme.css", "out/sample.json",
    "coverage/model.py", "src/build/page.ts", "internal/target/target.go", "internal/env/id_rsa_test.go",
    "testdata/server.pem", "internal/tls/testdata/server.key", "src/test/resources/store.p12", "tests/id.keystore",
    "testdata/golden.out", "testdata/access.log", "certs/ca.crt", ".env.example", ".yarnrc.yml", "id_rsa.pub",
]  # fmt: skip
"""Files that projects track, under names that could be taken for documents, build output or secrets."""
PIPELINE = {".dockerignore", ".github", "Dockerfile", "Dockerfile.dev", "compose.yaml", "compose.override.yaml",
            "docker-bake.hcl"}  # fmt: skip
"""What no step reads, at the root."""


def git(project: Path, *arguments: str) -> list[str]:
    """The lines that git prints in the project's folder."""
    result = subprocess.run(["git", *arguments], cwd=project, check=True, capture_output=True, text=True)
    return result.stdout.splitlines()


@pytest.fixture
def tracked(project: Path, stack: Stack, tmp_path: Path) -> Path:
    """The project with more files and secrets of every kind, all of it tracked by git."""
    copy = projects.copy(project, tmp_path / "project")
    secrets = [name for name in CANARIES if not name.startswith(".git/")]
    for name in [*TRACKED, *secrets, *(name for name in PIPELINE if "." in name[1:]), ".env.production"]:
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(f"planted as {name}\n")
    git(copy, "init", "--quiet")
    git(copy, "add", "--all", "--force")
    return copy


def arrived(engine: Engine, project: Path, into: Path) -> set[str]:
    """Every file of the build's context."""
    dockerfile = into / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    projects.build(engine, project, options=("--file", str(dockerfile), "--output", f"type=local,dest={into / 'all'}"))
    return {str(path.relative_to(into / "all")) for path in (into / "all").rglob("*") if path.is_file()}


def test_all_that_git_tracks_reaches_the_build_but_secrets_and_the_pipelines_own_files(
    engine: Engine, stack: Stack, tracked: Path, tmp_path: Path
) -> None:
    here = set(git(tracked, "ls-files"))
    there = arrived(engine, tracked, tmp_path)
    assert set(TRACKED) <= there
    public = {".env.production"} if stack.name == "node-nginx" else set()
    out = {name for name in here - there if name.partition("/")[0] not in PIPELINE}
    assert out == {*CANARIES, ".env.production"} & here - public
    assert not {name for name in there if name.partition("/")[0] in PIPELINE | {".git"}}


def test_git_tells_what_it_tracks_and_the_build_does_not_get(engine: Engine, tracked: Path, tmp_path: Path) -> None:
    """By the command that .dockerignore itself names."""
    command = (tracked / ".dockerignore").read_text().partition("are excluded: git ")[2].partition("\n")[0]
    told = set(git(tracked, *command.split()))
    assert told == set(git(tracked, "ls-files")) - arrived(engine, tracked, tmp_path)


def test_a_line_at_the_end_lets_a_file_in(engine: Engine, tracked: Path, tmp_path: Path) -> None:
    with (tracked / ".dockerignore").open("a") as file:
        file.write("!server.pem\n")
    there = arrived(engine, tracked, tmp_path)
    assert "server.pem" in there
    assert "server.key" not in there
