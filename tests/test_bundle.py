"""docker/bundle, in the real builder image, on real programs; what it lays out runs on the real static base.

Every machine that runs these tests has one architecture, so its ldd speaks for itself; the paths of arm64 are tested
with a replacement of ldd that prints what arm64's prints.
"""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import IMAGES

from msb.engine import Engine, Output
from msb.stacks import ROOT, Matrix

SCRIPT = ROOT / "common" / "docker" / "bundle"
RECORDS = "var/lib/dpkg/status.d"

Run = Callable[[str], Output]


@pytest.fixture(scope="module")
def base(matrix: Matrix) -> str:
    return next(base for stack in matrix.stacks.values() for base in stack.bases if base.endswith(":nonroot"))


@pytest.fixture(scope="module")
def builder(matrix: Matrix) -> str:
    """A Debian image with a C compiler."""
    return matrix.stack("go").builder


@pytest.fixture
def run(engine: Engine, builder: str) -> Run:
    """Run a shell script as root in the builder, with `bundle PATH...` at hand; its output is a plain result."""

    def in_builder(script: str) -> Output:
        prelude = 'set -eu\nbundle() { sh /bundle "$@"; }\ncd /opt\necho "int main(void) { return 0; }" >main.c\n'
        mount = f"{SCRIPT}:/bundle:ro"
        return engine.run("run", "--rm", "--volume", mount, builder, "sh", "-c", prelude + script, check=False)

    return in_builder


def test_bundle_is_short_and_shellcheck_has_nothing_to_say() -> None:
    assert len(SCRIPT.read_text(encoding="utf-8").splitlines()) < 40
    shellcheck = [Path(sys.executable).parent / "shellcheck", "--shell=sh", SCRIPT]
    result = subprocess.run(shellcheck, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.fixture(scope="module")
def tree(engine: Engine, builder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/out/rootfs of `bundle /usr/bin/git`, a program of a package with libraries of others."""
    folder = tmp_path_factory.mktemp("bundle")
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {builder} AS bundled\n"
        'RUN --mount=type=bind,source=bundle,target=/bundle ["sh", "/bundle", "/usr/bin/git"]\n'
        "FROM scratch\nCOPY --from=bundled /out/rootfs/ /\n"
    )
    (context / "bundle").write_bytes(SCRIPT.read_bytes())
    engine.run("build", "--output", f"type=local,dest={folder / 'tree'}", str(context))
    return folder / "tree"


def test_a_dynamic_program_runs_on_the_base_that_has_no_libraries(
    engine: Engine, base: str, tree: Path, tmp_path: Path
) -> None:
    tag = f"{IMAGES}/bundle:git"
    (tmp_path / "Dockerfile").write_text(f'FROM {base}\nCOPY / /\nENTRYPOINT ["/usr/bin/git"]\n')
    engine.run("build", "--quiet", "--tag", tag, "--file", str(tmp_path / "Dockerfile"), str(tree))
    assert engine.run("run", "--rm", tag, "version").stdout.startswith("git version ")


def test_each_owning_package_leaves_its_record_and_copyright(tree: Path) -> None:
    records = [path for path in (tree / RECORDS).iterdir() if path.suffix != ".md5sums"]
    assert {"git", "libc6", "zlib1g"} <= {record.name for record in records}
    for record in records:
        lines = record.read_text().splitlines()
        assert lines[0] == f"Package: {record.name}"
        assert any(line.startswith("Version: ") for line in lines)
        assert (tree / "usr/share/doc" / record.name / "copyright").stat().st_size > 0


def test_the_checksums_are_those_of_every_file_that_ships(tree: Path) -> None:
    recorded = {}
    for sums in (tree / RECORDS).glob("*.md5sums"):
        for line in sums.read_text().splitlines():
            digest, path = line.split("  ", 1)
            recorded[path] = digest
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    programs = [path for path in files if path.read_bytes()[:4] == b"\x7fELF"]
    assert recorded == {
        str(path.relative_to(tree)): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in programs
    }


def test_files_stand_at_their_real_paths_so_that_the_bases_links_stay_links(tree: Path) -> None:
    assert sorted(path.name for path in tree.iterdir()) == ["usr", "var"]
    assert not [path for path in tree.rglob("*") if path.is_symlink()]


def test_a_static_program_brings_nothing_but_a_record_of_its_checksum(run: Run) -> None:
    result = run(
        "gcc -static -o app main.c\nbundle /opt/app\ncd /out/rootfs\nfind . ! -type d | sort\n"
        "sha256sum -c usr/share/built/rootfs.sha256"
    )
    assert result.stdout.splitlines() == ["./opt/app", "./usr/share/built/rootfs.sha256", "opt/app: OK"]


def test_what_stands_in_a_named_folder_has_no_record_but_the_one_that_an_earlier_step_wrote(run: Run) -> None:
    result = run(
        "mkdir made /usr/share/built\ngcc -static -o made/x main.c\nsha256sum made/x >/usr/share/built/made.sha256\n"
        "cp made/x made/planted\nbundle /opt/made\ncd /out/rootfs/usr/share/built\ngrep -c . *"
    )
    assert result.stdout.split() == ["1"]


def test_a_folder_keeps_its_links_and_brings_the_libraries_of_its_programs(run: Run) -> None:
    result = run(
        "mkdir -p '/srv/a b/bin'\ngcc -o '/srv/a b/bin/x y' main.c\nln -s bin '/srv/a b/link'\ntouch /srv/plain\n"
        "bundle '/srv/a b' /srv/plain\ncd /out/rootfs\nfind . ! -type d | sort\nreadlink 'srv/a b/link'"
    )
    lines = result.stdout.splitlines()
    assert lines[-1] == "bin"
    assert {"./srv/a b/bin/x y", "./srv/a b/link", "./srv/plain"} <= set(lines)
    assert any(line.endswith("/libc.so.6") for line in lines)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        pytest.param(
            "echo 'int f(void) { return 1; }' >f.c\ngcc -shared -o libf.so f.c\n"
            "gcc -o app main.c -Wl,--no-as-needed -L. -lf",
            "libf.so => not found",
            id="library",
        ),
        pytest.param(
            r"printf '\177ELF\2\1\1\0\0/lib/ld-linux-other.so.1\0' >app; chmod +x app",
            "/opt/app: loader not found",
            id="loader of another machine",
        ),
        pytest.param("true", "cannot stat '/opt/app'", id="file"),
    ],
)
def test_what_is_missing_fails_the_build_and_is_named(run: Run, script: str, line: str) -> None:
    result = run(f"{script}\nbundle /opt/app")
    assert result.returncode != 0
    assert line in result.stderr


LACKING = (
    "mkdir -p tree/app tree/libs\necho 'int f(void) { return 1; }' >f.c\ngcc -shared -o libf.so f.c\n"
    "gcc -o tree/app/x main.c -Wl,--no-as-needed -L. -lf\n"
)


def test_a_library_beside_in_the_folder_counts_as_found(run: Run) -> None:
    """As in wheels, whose modules load the libraries of their *.libs folder before those that want them."""
    assert run(f"{LACKING}mv libf.so tree/libs/\nbundle /opt/tree").returncode == 0


@pytest.mark.parametrize(
    ("line", "allowed"), [("libf.so only for reports", True), ("libf.so", False), ("libg.so only for reports", False)]
)
def test_a_library_may_be_missing_where_its_owner_says_why(run: Run, line: str, allowed: bool) -> None:
    mounted = f"cp /bundle docker-bundle\necho '{line}' >optional.txt\n"
    result = run(f"{LACKING}rm libf.so\n{mounted}sh /opt/docker-bundle /opt/tree")
    assert (result.returncode == 0) == allowed
    assert result.stderr == ("" if allowed else "bundle: /opt/tree/app/x: libf.so => not found\n")


def test_a_cross_compiled_static_program_is_no_error(run: Run) -> None:
    result = run(
        "echo 'package main\nfunc main() {}' >main.go\nrm main.c\n"
        "for arch in amd64 arm64; do CGO_ENABLED=0 GOARCH=$arch go build -o app-$arch main.go; done\n"
        "bundle /opt/app-amd64 /opt/app-arm64\nfind /out/rootfs ! -type d | sort"
    )
    records = "/out/rootfs/usr/share/built/rootfs.sha256"
    assert result.stdout.split() == ["/out/rootfs/opt/app-amd64", "/out/rootfs/opt/app-arm64", records]


def test_the_paths_of_arm64_are_understood(run: Run) -> None:
    result = run(
        "mkdir -p /usr/lib/aarch64-linux-gnu fake\n"
        "touch /usr/lib/aarch64-linux-gnu/libc.so.6 /usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1\n"
        "ln -s aarch64-linux-gnu/ld-linux-aarch64.so.1 /usr/lib/ld-linux-aarch64.so.1\n"
        "cat >fake/ldd <<'LDD'\n#!/bin/sh\n"
        "printf '\\tlinux-vdso.so.1 (0x0000ffff8a0f5000)\\n'\n"
        "printf '\\tlibc.so.6 => /lib/aarch64-linux-gnu/libc.so.6 (0x0000ffff89ee0000)\\n'\n"
        "printf '\\t/lib/ld-linux-aarch64.so.1 (0x0000ffff8a0b8000)\\n'\nLDD\n"
        "chmod +x fake/ldd\ngcc -o app main.c\nPATH=/opt/fake:$PATH\n"
        "bundle /opt/app\ncd /out/rootfs\nfind . ! -type d | sort"
    )
    assert result.stdout.split() == [
        "./opt/app",
        "./usr/lib/aarch64-linux-gnu/libc.so.6",
        "./usr/lib/ld-linux-aarch64.so.1",
        "./usr/share/built/rootfs.sha256",
    ]
