"""Does the first command work on a machine where nothing is set up, and do nothing on one where all is?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from msb.stacks import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The set-up's own files alone, with a lock that names no package."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "venv.sh", tmp_path / "tools")
    (tmp_path / "requirements.lock").write_text("# nothing\n")
    (tmp_path / "bin").mkdir()
    return tmp_path


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def setup(clone: Path, python: Path | str) -> subprocess.CompletedProcess[str]:
    path = f"{clone / 'bin'}:{os.environ['PATH']}"
    env = os.environ | {"PYTHON": str(python), "PATH": path}
    return subprocess.run([clone / "tools" / "venv.sh"], env=env, capture_output=True, text=True)


def without_venv(clone: Path) -> Path:
    """Make a Python as Debian packs it: no ensurepip until `apt-get install` has run."""
    python = clone / "bin" / "python-without-venv"
    script(python, f'case "$2" in *ensurepip*) test -e {clone}/installed ;; *) exec {sys.executable} "$@" ;; esac')
    return python


def test_a_first_run_makes_the_environment_a_second_does_nothing_and_a_changed_lock_makes_it_anew(clone: Path) -> None:
    first = setup(clone, sys.executable)
    assert first.returncode == 0, first.stderr
    python = clone / ".venv" / "bin" / "python"
    made = python.lstat().st_mtime_ns
    second = setup(clone, sys.executable)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert python.lstat().st_mtime_ns == made
    (clone / "requirements.lock").write_text("# nothing, changed\n")
    assert "Setting up" in setup(clone, sys.executable).stdout
    assert python.lstat().st_mtime_ns > made


def test_root_gets_the_missing_venv_module_installed(clone: Path) -> None:
    script(clone / "bin" / "id", "echo 0")
    script(
        clone / "bin" / "apt-get", f'echo "$@" >>{clone}/calls; case "$*" in *install*) touch {clone}/installed ;; esac'
    )
    result = setup(clone, without_venv(clone))
    assert result.returncode == 0, result.stderr
    assert "python3-venv" in (clone / "calls").read_text().splitlines()[-1]
    assert (clone / ".venv" / "bin" / "python").exists()


def test_somebody_else_is_told_how_to_install_the_venv_module(clone: Path) -> None:
    script(clone / "bin" / "id", "echo 1000")
    result = setup(clone, without_venv(clone))
    assert result.returncode != 0
    assert result.stderr.splitlines() == [
        f"make: {clone}/bin/python-without-venv has no venv module: "
        "install it (on Debian and Ubuntu: apt-get install python3-venv)"
    ]


@pytest.mark.parametrize("python", ["no-such-python", "/bin/false"])
def test_a_python_that_is_too_old_or_missing_is_named(clone: Path, python: str) -> None:
    result = setup(clone, python)
    assert result.returncode != 0
    assert result.stderr.splitlines() == [
        f"make: {python} is not Python 3.11 or newer: install one, or name it (for example make PYTHON=python3.12)"
    ]
    assert not (clone / ".venv").exists()


def test_make_help_lists_every_target_that_is_meant_for_people() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"demo", "test", "check", "fix", "sync"} <= {line.split()[0] for line in text.splitlines()}
