"""The Python template's docker/wheels: what it leaves of the libraries of packages, and what their records say."""

import base64
import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from msb.stacks import ROOT

WHEELS = ROOT / "templates" / "python" / "{{cookiecutter.__folder}}" / "docker" / "wheels"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The packages of a virtual environment in which MarkupSafe is installed, as its wheel is."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    [packages] = tmp_path.glob("lib/python*/site-packages")
    installed = distribution("markupsafe")
    for file in installed.files or ():
        if not str(file).endswith(".pyc"):
            (packages / file).parent.mkdir(exist_ok=True)
            shutil.copy(str(installed.locate_file(file)), packages / file)
    return packages


def fit(site: Path) -> None:
    environment = os.environ | {"SERVICE": "python -m app", "PROBE": "", "COMMANDS": "", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([site.parents[2] / "bin" / "python", WHEELS], env=environment, check=True)


def library(site: Path) -> Path:
    [found] = site.glob("markupsafe/*.so")
    return found


def test_a_library_loses_its_debug_information_and_still_works(site: Path) -> None:
    before = library(site).stat()
    assert b".debug_info" in library(site).read_bytes()
    fit(site)
    assert b".debug_info" not in library(site).read_bytes()
    assert library(site).stat().st_size < before.st_size / 2
    assert library(site).stat().st_mode == before.st_mode
    code = "from markupsafe import _speedups; print(_speedups._escape_inner('<'))"
    python = site.parents[2] / "bin" / "python"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True).stdout == "&lt;\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"read at run time",
        lambda data: b"\x7fELF\1" + data[5:],
        lambda _: b"/* GNU ld script */\n",
        lambda data: data[:16] + b"\1" + data[17:],
        lambda data: data[:56] + bytes(2) + data[58:],
        lambda data: data[:-64],
        lambda data: data[:20],
    ],
    ids=["data behind its sections", "32 bits", "no machine code", "an object", "no segments", "cut off", "a piece"],
)
def test_a_file_that_is_no_plain_library_stays_as_it_is(site: Path, change: Callable[[bytes], bytes]) -> None:
    content = change(library(site).read_bytes())
    library(site).write_bytes(content)
    fit(site)
    assert library(site).read_bytes() == content


def test_a_record_lists_what_ships_with_its_checksum_and_size(site: Path) -> None:
    (site / "markupsafe" / "_native.py").unlink()
    fit(site)
    [record] = site.glob("markupsafe-*.dist-info/RECORD")
    rows = {name: rest for name, *rest in csv.reader(record.read_text().splitlines())}
    assert "markupsafe/_native.py" not in rows
    assert {str(path.relative_to(site)) for path in site.glob("markupsafe*/**/*.*")} <= rows.keys()
    for name, (checksum, size) in rows.items():
        data = (site / name).read_bytes()
        if checksum:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (checksum, size) == (f"sha256={digest}", str(len(data)))
