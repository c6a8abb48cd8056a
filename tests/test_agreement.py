"""Do docker/verify and the contract say the same, word for word, of any tree? Needs no engine, but a Linux shell."""

import base64
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import VERIFIED
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from msb.contract import Status, Subject, check
from msb.contract.exceptions import exceptions
from msb.stacks import ROOT, load
from msb.sync import contract_data
from msb.tree import Folder, Tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="docker/verify runs in Linux containers only")

TREES = int(os.environ.get("MSB_TREES", "20"))
"""How many trees are compared; MSB_TREES asks for more."""
STACK = load().stack("go").model_copy(update={"webroot": ["/srv/"], "permits": ["java"], "keeps": ["*.py"]})

ELF = b"\x7fELF\2\1\1\0"
CONTENTS = {
    "elf": ELF,
    "gcc": ELF + b"COLLECT_GCC_OPTIONS\0gcc version %s\0",
    "go": ELF + b"path\tcmd/go\n",
    "script": b"#!/bin/sh\n",
    "zipapp": b"#!/usr/bin/python3\nPK\3\4pip/_internal/cli/main.py",
    "jar": b"PK\3\4\0\0org/codehaus/janino/SimpleCompiler.class\0bsh/Interpreter.class\0",
    "modules": b"\xda\xda\xfe\xca\0com/sun/tools/javac/main\0",
    "video": b"G@\0\x10gcc version %s\0",
    "text": b"COLLECT_GCC_OPTIONS\n",
    "empty": b"",
    "package": b"Package: x\nSection: utils\n",
    "removed": b"Package: gcc\nStatus: deinstall ok config-files\n\nPackage: libx\nSection: non-free/net\n",
    "alpine": b"P:musl\n\nP:gcc\n",
}
FOLDERS = (
    "app", "app/a b", "app/.git", "app/testdata", "app/testdata/__pycache__", "etc", "srv", "srv/node_modules",
    "usr/lib", "usr/lib/site", "usr/lib/site/__pycache__", "usr/lib/site/pip-1.dist-info", "usr/lib/apk/db",
    "var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/status.d", "var/lib/dpkg/status.d/x",
)  # fmt: skip
NAMES = (
    "x", "gcc", "ld", "go", "sh", "java", "lua51.so", "x.so.1", "x.c", "x.h", "x.py", "x.ts", "x.pyc",
    "x.cpython-314.pyc", "y.a", "a.map", ".env", ".env.local", "tests", "status", "installed", "Poetry_core.egg-info",
    "it is=a", "-x", "x.postinst", "x:amd64.config", "[gcc", "b\\ c", "x: y", "ü", "\udcff", " lead", "10-uname",
)  # fmt: skip
ACCOUNTS = (
    "root:x:0:0::/:/\n",
    "# comment\n\nroot:x:0:0::/:/\nno colon\n",
    "root::0:0::/:/\ntoor:x:0:0\n",
    "",
    "x::\n:::\n",
)
PATTERNS = ("/app/*", "/app/[gcc", "/app/[a-x]", "/app/[!a]*", "/*b\\*", "/srv/node_modules", "/app/testdata")


@dataclass(frozen=True)
class Entry:
    """What is written to a tree: a file's content, or where a link leads."""

    content: bytes
    mode: int
    target: str = ""


paths = st.builds(lambda folder, name: f"{folder}/{name}", st.sampled_from(FOLDERS), st.sampled_from(NAMES))
modes = st.sampled_from([0o644, 0o755, 0o666, 0o4755, 0o2755, 0o600, 0o775])
files = st.builds(Entry, st.sampled_from(sorted(CONTENTS)).map(CONTENTS.__getitem__), modes)
links = st.builds(
    Entry, st.just(b""), st.just(0), st.one_of(paths, paths.map("/".__add__), st.sampled_from(["x", "../x", "/", ".."]))
)
trees = st.dictionaries(paths, st.one_of(files, files, links), min_size=1, max_size=12)
records = st.lists(
    st.tuples(st.sampled_from(["dpkg", "info", "status", "wheel", "pip", "built"]), st.integers(0, 11), st.booleans()),
    max_size=8,
)
allowed = st.lists(st.tuples(st.sampled_from(sorted(VERIFIED)), st.sampled_from(PATTERNS)), max_size=3)


def write(root: Path, tree: dict[str, Entry]) -> list[str]:
    """Write what fits together; return the files that are there."""
    there = []
    for path, entry in tree.items():
        place = root / path
        if any(parent.is_symlink() or parent.is_file() for parent in place.parents) or place.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.target:
            place.symlink_to(entry.target)
            continue
        place.write_bytes(entry.content)
        place.chmod(entry.mode)
        there.append(path)
    return there


def record(root: Path, kind: str, path: str, right: bool) -> None:
    content = (root / path).read_bytes() if right else b"another"
    md5, sha = hashlib.md5(content, usedforsecurity=False).hexdigest(), hashlib.sha256(content)
    wheel = base64.urlsafe_b64encode(sha.digest()).decode().rstrip("=")
    line, place = {
        "dpkg": (f"{md5}  ./{path}\n", "var/lib/dpkg/status.d/libx.md5sums"),
        "info": (f"{md5}  {path}\n", "var/lib/dpkg/info/libx:amd64.md5sums"),
        "wheel": (f'"../../../{path}",sha256={wheel},9\n', "usr/lib/site/x-1.dist-info/RECORD"),
        # pip writes its own record with the line ends of CSV.
        "pip": (f'"../../../{path}",sha256={wheel},9\r\n', "usr/lib/site/pip-1.dist-info/RECORD"),
        "status": (f"Package: x\n /{path} {md5}\n", "var/lib/dpkg/status.d/libx"),
        "built": (f"{sha.hexdigest()}  {path}\n", "usr/share/built/x.sha256"),
    }[kind]
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    with (root / place).open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(line)


def verified(root: Path, contract: Path) -> set[str]:
    """What docker/verify says; busybox prints a link's target as it is, which GNU stat has to be told."""
    result = subprocess.run(
        ["sh", contract.with_name("verify"), root, contract.with_name("done")],
        capture_output=True,
        env={**os.environ, "QUOTING_STYLE": "shell-always", "TMPDIR": str(contract.parent)},
    )
    output = result.stdout.decode("utf-8", "surrogateescape")
    assert "verify: looked at" in output, result.stderr.decode("utf-8", "replace")
    return {line for line in output.splitlines() if line.startswith("MSB")}


def judged(root: Path, contract: Path) -> set[str]:
    """What the contract says."""
    image: Any = SimpleNamespace(tree=Tree(Folder(root), 0), config={}, env={}, command=[], layers=[], history=[])
    result = check(Subject(None, STACK, load().contract, image, exceptions=exceptions(contract)), VERIFIED)
    assert not [verdict.reason for verdict in (*result.having(Status.ERRORED), *result.having(Status.SKIPPED))]
    return {f"{found.code} {found.where}: {found.message}" for found in result.findings}


@settings(max_examples=TREES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(trees, records, st.sampled_from(ACCOUNTS), st.booleans(), allowed)
@example({"app/x.ts": Entry(b"G@\0\x10", 0o644), "etc/x.ts": Entry(b"G", 0o644)}, [], ACCOUNTS[0], False, [])
@example({"etc/x": Entry(b"", 0o644)}, [], ACCOUNTS[1], True, [])
@example({"app/testdata/x.c": Entry(b"", 0o644)}, [], ACCOUNTS[0], False, [("MSB107", "/app/testdata")])
@example({"app/[gcc": Entry(ELF, 0o755)}, [("built", 0, True)], ACCOUNTS[0], False, [("MSB104", "/app/[gcc")])
@example({"var/lib/dpkg/info/x.postinst": Entry(b"#!/bin/sh\n", 0o755)}, [("status", 0, False)], ACCOUNTS[0], False, [])
@example({"etc/x": Entry(b"#!/bin/sh\n", 0o755)}, [("status", 0, True)], ACCOUNTS[0], False, [])
@example({"app/b\\ c": Entry(ELF, 0o755)}, [("dpkg", 0, True)], ACCOUNTS[0], False, [])  # as md5sum escapes it
@example({"usr/lib/site/x.h": Entry(b"", 0o644)}, [("wheel", 0, True)], ACCOUNTS[0], False, [])
@example({"usr/lib/site/x": Entry(b"#!/bin/sh\n", 0o755)}, [("pip", 0, True)], ACCOUNTS[0], False, [])
@example(
    {"app/__pycache__/x.pyc": Entry(ELF, 0o755), "app/x.py": Entry(b"", 0o644)},
    [("wheel", 1, True)],
    ACCOUNTS[0],
    False,
    [],
)
@example(
    {"app/testdata/__pycache__/x.pyc": Entry(b"", 0o644), "app/testdata/x.py": Entry(b"", 0o644)},
    [("wheel", 1, True)],
    ACCOUNTS[0],
    False,
    [],
)
def test_verify_and_the_contract_say_the_same_of_any_tree(
    tree: dict[str, Entry],
    records: list[tuple[str, int, bool]],
    accounts: str,
    linked: bool,
    allowed: list[tuple[str, str]],
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="msb-agreement-"))
    try:
        root, contract = folder / "tree", folder / "contract.txt"
        (root / "etc").mkdir(parents=True)
        there = write(root, tree)
        for kind, number, right in records if there else ():
            record(root, kind, there[number % len(there)], right)
        if linked:
            (root / "etc/passwd").symlink_to("accounts")
        (root / f"etc/{'accounts' if linked else 'passwd'}").write_text(accounts)
        (root / "etc/group").write_text("root:x:0:\n")
        shutil.copy(ROOT / "common/docker/verify", folder)
        waivers = "".join(f"allow {code} {pattern} a reason\r\n" for code, pattern in allowed)
        contract.write_text(contract_data(load(), STACK) + waivers, newline="")
        said, all_of_it = verified(root, contract), judged(root, contract)
        cut = {line[:6]: int(line.split()[2]) for line in said if line.endswith(" more")}
        assert cut == {code: n - 20 for code in VERIFIED if (n := sum(line[:6] == code for line in all_of_it)) > 20}
        lines = {line for line in said if not line.endswith(" more")}
        assert lines <= all_of_it
        assert {line for line in all_of_it - lines if line[:6] not in cut} == set()
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IRWXU)
        shutil.rmtree(folder)
