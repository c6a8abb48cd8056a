"""Does the clean image keep every promise, does each rule judge the fine points right, and is no failed look a pass?"""

import base64
import hashlib
import io
import re
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from covered import PROPERTY

from msb import outputs
from msb.contract import (
    FAMILIES,
    PLANNED,
    RULES,
    Need,
    Result,
    Rule,
    Sees,
    Status,
    Subject,
    check,
    credentials,
    reference,
)
from msb.contract.command import Asked, contract
from msb.contract.exceptions import Allowed, exceptions
from msb.contract.page import FAMILIES as TITLES
from msb.contract.service import serving
from msb.engine import Engine
from msb.errors import SkippedError
from msb.image import Archive, Image, Layer, Tree, images
from msb.stacks import Matrix, Stack

IMAGE_ALONE = [code for code, rule in RULES.items() if set(rule.needs) <= {Need.SYFT}]
RUN = [code for code in IMAGE_ALONE if RULES[code].sees is Sees.RUN]
SCAN = [code for code in IMAGE_ALONE if RULES[code].sees in (Sees.TREE, Sees.METADATA)]
"""The rules that together may take SCAN_SECONDS for one image."""
SCAN_SECONDS = 2.0


# --- the clean image ---


@pytest.fixture(scope="module")
def whole(
    engine: Engine, matrix: Matrix, stack: Stack, runtime: str, build_image: str, twin: str, project: Path
) -> Iterator[Subject]:
    with Image(engine, runtime) as image, Image(engine, build_image) as build, Image(engine, twin) as other:
        yield Subject(engine, stack, matrix.contract, image, build, other, project)


@pytest.fixture(scope="module")
def result(whole: Subject) -> Result:
    return check(whole)


@pytest.mark.parametrize("code", RULES)
def test_the_clean_image_keeps_the_promise(
    result: Result, stack: Stack, code: str, record_property: Callable[..., None]
) -> None:
    verdict = result.verdicts[code]
    assert (verdict.status, verdict.reason, [str(finding) for finding in verdict.findings]) == (Status.PASSED, "", [])
    record_property(PROPERTY, (code, stack.name, "default", ""))


def test_the_scan_of_one_image_is_quick(engine: Engine, matrix: Matrix, stack: Stack, runtime: str) -> None:
    """By the processor: the other worker keeps the machine busy, which says nothing about the scan."""
    with Image(engine, runtime) as image:
        start = time.process_time()
        result = check(Subject(engine, stack, matrix.contract, image), SCAN)
        assert time.process_time() - start < SCAN_SECONDS
    assert not result.having(Status.ERRORED)


@pytest.mark.parametrize(
    ("suffix", "spoken"),
    [
        # A base is no service yet: no command, port, health check or labels.
        (":nonroot", {"MSB301", "MSB302", "MSB304", "MSB305"}),
        # and this one is there for its shell, which has the names of other tools too.
        (":debug-nonroot", {"MSB101", "MSB104", "MSB105", "MSB108", "MSB302", "MSB304", "MSB305"}),
    ],
)
def test_on_the_untouched_bases_only_those_rules_speak_that_should(
    engine: Engine, matrix: Matrix, stack: Stack, suffix: str, spoken: set[str]
) -> None:
    base = next(base for base in stack.bases if base.endswith(suffix))
    codes = [code for code in IMAGE_ALONE if code not in RUN]
    with Image(engine, base) as image:
        result = check(Subject(engine, stack, matrix.contract, image), codes)
    assert not result.having(Status.ERRORED)
    # Where nothing in the image can ask the service, having no health check is right.
    silent = {"MSB304"} if stack.service.unprobed else set()
    assert {finding.code for finding in result.findings} == spoken - silent


# --- the command ---


@pytest.mark.parametrize("stack", ["go"], indirect=True)
def test_the_command_asks_a_running_service_only_when_it_is_told_to(
    engine: Engine, matrix: Matrix, stack: Stack, runtime: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the sandbox too, without a network: the clean image fails no rule either way."""
    for runs in (False, True):
        assert contract(Asked(runtime, stack, runs=runs), lambda: engine) == 0
        (line,) = capsys.readouterr().out.splitlines()
        skipped = len(RULES) - len(IMAGE_ALONE) + (0 if runs else len(RUN))
        assert line.startswith(f"{len(RULES) - skipped} rules passed, 0 failed, {skipped} skipped (")
        assert ("needs --run, which starts the image" in line) == (not runs)
    of_any = ("MSB202", "MSB601", "MSB602", "MSB605", "MSB607", "MSB608", "MSB611")
    assert contract(Asked(runtime, matrix.any, only=of_any, runs=True), lambda: engine) == 0
    assert capsys.readouterr().out == "7 rules passed, 0 failed\n"


@pytest.mark.parametrize("stack", ["go"], indirect=True)
def test_an_image_has_the_same_tree_by_its_engine_and_by_its_layers(engine: Engine, runtime: str) -> None:
    """But for what an engine makes in each container."""
    own = {"dev", "proc", "sys", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", ".dockerenv"}
    with Image(engine, runtime) as image, images(runtime, lambda: engine) as (saved,):
        exported = {entry.path: replace(entry, offset=0) for entry in image.tree}
        layered = {entry.path: replace(entry, offset=0) for entry in saved.tree}
        # An engine also says what is not set.
        assert saved.config == {name: image.config.get(name) for name in saved.config}
        assert saved.history == image.history
    differ = {path for path in exported.keys() | layered.keys() if exported.get(path) != layered.get(path)}
    assert {path for path in differ if not path.startswith("dev/")} <= own


def test_a_rule_that_looks_inside_is_skipped_without_the_library_for_it(
    fake: Callable[..., Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("msb.contract.toolbox", raising=False)
    monkeypatch.setitem(sys.modules, "msb.contract.toolbox", None)
    engine = Engine(("docker",), (99, 0), (99, 0), "", True, True, False, Path())
    subject = replace(fake(platform="linux/amd64"), host=engine)
    verdict = check(subject, {"MSB202"}).verdicts["MSB202"]
    assert (verdict.status, verdict.reason.partition(":")[2]) == (Status.SKIPPED, " install msb-templates[run]")


# --- verdicts ---


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Rule]:
    """An empty registry for rules of the test's own."""
    mine: dict[str, Rule] = {}
    monkeypatch.setattr("msb.contract.rules.RULES", mine)
    return mine


def broken(_: Subject) -> Iterator[tuple[str, str]]:
    """Never look."""
    yield from ()
    raise OSError("the container is gone")


def speaking(_: Subject) -> Iterator[tuple[str, str]]:
    """Speak."""
    yield "usr/bin/gcc", "build tool in the runtime image"


def silent(_: Subject) -> Iterator[tuple[str, str]]:
    """Stay silent."""
    yield from ()


def unsaid(_: Subject) -> Iterator[tuple[str, str]]:
    """Ask for what is not there."""
    yield from ()
    raise SkippedError("nobody said it")


def lines(result: Result) -> list[str]:
    return outputs.lines(outputs.told("an-image", "go", {"": result}))


def test_a_rule_that_could_not_look_is_an_error_and_never_a_pass(
    registry: dict[str, Rule], fake: Callable[..., Subject]
) -> None:
    registry["MSB991"] = Rule("MSB991", broken, ())
    result = check(fake())
    verdict = result.verdicts["MSB991"]
    assert (verdict.status, verdict.reason) == (Status.ERRORED, "OSError: the container is gone")
    assert not result.ok
    assert outputs.exit_code({"": result}) == 2
    assert lines(result) == ["MSB991 errored: OSError: the container is gone", "0 rules passed, 0 failed, 1 errored"]


def test_a_rule_that_lacks_what_it_needs_is_skipped_and_says_why(
    registry: dict[str, Rule], fake: Callable[..., Subject]
) -> None:
    registry["MSB991"] = Rule("MSB991", broken, (Need.TWIN,))
    registry["MSB992"] = Rule("MSB992", silent, ())
    registry["MSB993"] = Rule("MSB993", unsaid, ())
    result = check(fake())
    assert [verdict.status for verdict in result.verdicts.values()] == [Status.SKIPPED, Status.PASSED, Status.SKIPPED]
    assert lines(result) == ["1 rules passed, 0 failed, 2 skipped (1 needs the single-stage twin, 1 nobody said it)"]
    assert outputs.exit_code({"": result}) == 0


def test_a_finding_is_printed_by_code_place_and_message(
    registry: dict[str, Rule], fake: Callable[..., Subject]
) -> None:
    registry["MSB991"] = Rule("MSB991", speaking, ())
    registry["MSB992"] = Rule("MSB992", broken, ())
    result = check(fake())
    assert str(result.findings[0]) == "MSB991 usr/bin/gcc: build tool in the runtime image"
    assert outputs.exit_code({"": result}) == 1


@pytest.mark.parametrize(
    ("lines", "found", "allowed"),
    [
        ("# allow MSB107 /app/* not yet\n", ["app/a.c", "app/b.c"], []),
        ("tool gcc\nallow MSB107 /app/a.* clients download it\n", ["app/b.c"], ["app/a.c"]),
        ("allow MSB106 /app/* another rule\n", ["app/a.c", "app/b.c"], []),
        ("  allow\tMSB107 /*.c all of them\n", [], ["app/a.c", "app/b.c"]),
    ],
)
def test_what_the_owner_allows_is_told_as_allowed_and_is_no_finding(
    fake: Callable[..., Subject], tmp_path: Path, lines: str, found: list[str], allowed: list[str]
) -> None:
    file = tmp_path / "contract.txt"
    file.write_text(lines)
    result = check(replace(fake({"app/a.c": b"", "app/b.c": b""}), exceptions=exceptions(file)), {"MSB107"})
    verdict = result.verdicts["MSB107"]
    assert [finding.where for finding in verdict.findings] == found
    assert [finding.where for finding, _ in verdict.allowed] == allowed
    assert verdict.status is (Status.FAILED if found else Status.PASSED)
    assert outputs.summary(result).endswith(f", {len(allowed)} findings waived") == bool(allowed)


def test_an_exception_covers_a_file_in_whichever_layer_it_is() -> None:
    assert Allowed("MSB401", "/app/key").covers("MSB401", "app/key (layer 3)")
    assert not Allowed("MSB401", "/app/key").covers("MSB401", "app/key2 (layer 3)")


def test_every_rule_is_in_its_family_and_its_page_section_is_whole() -> None:
    page = reference()
    for code, rule in RULES.items():
        assert rule.look.__module__ == FAMILIES[int(code[3]) - 1].__name__
        section = page.partition(f"### {code}\n")[2].partition("\n### ")[0]
        assert section.strip().startswith(rule.promise)
        for part in ("Why", "Example", "Fix"):
            assert f"\n- **{part}:** " in section, f"{code} lacks {part}"
        assert re.search(rf"\*\*Example:\*\* `{code} .+: .+`", section), f"{code}: the example is no finding of it"
    assert [int(code[0]) for code in re.findall(r"^## (\d)xx", page, re.MULTILINE)] == list(TITLES)


def test_planned_rules_keep_their_numbers_and_are_told_as_planned() -> None:
    assert not {f"MSB{number}" for number in PLANNED} & set(RULES)
    for number, promise in PLANNED.items():
        assert f"### MSB{number}\n\nPlanned: {promise}\n" in reference()


# --- the fine points, on trees made by hand ---

ELF = b"\x7fELF" + b"\0" * 60

STORED_KEY = bytes.fromhex("2a864886f70d010c0a0102")  # of PKCS #12: a private key follows


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def record(content: bytes) -> str:
    """The checksum as a wheel's RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


@dataclass
class FakeImage:
    """An image's data without an engine."""

    tree: Tree
    config: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    platform: str = "linux/amd64"


@pytest.fixture
def fake(matrix: Matrix) -> Callable[..., Any]:
    """Make a subject of files (path -> content, or a link's target as text) and whatever else an image says."""

    def make(files: dict[str, bytes | str] | None = None, **said: Any) -> Any:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            parents = {str(parent) for path in files or {} for parent in PurePosixPath(path).parents} - {"."}
            for path in sorted(parents - set(files or {})):
                info = tarfile.TarInfo(path)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            for path, content in (files or {}).items():
                info = tarfile.TarInfo(path)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    archive.addfile(info)
                else:
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        archive = Archive(io.BytesIO(stream.getvalue()))
        image = FakeImage(Tree(archive, len(stream.getvalue())), layers=[Layer("only", archive)], **said)
        return Subject(None, matrix.stack("go"), matrix.contract, image)  # type: ignore[arg-type]

    return make


def spoken(subject: Any, number: int) -> list[str]:
    verdict = check(subject, {f"MSB{number}"}).verdicts[f"MSB{number}"]
    assert verdict.status in (Status.PASSED, Status.FAILED), verdict.reason
    return [finding.where for finding in verdict.findings]


@pytest.mark.parametrize(
    ("number", "files", "places"),
    [
        (101, {"srv/www/go": b"<html>a page called go"}, []),
        (101, {"opt/x86_64-linux-gnu-gcc-14": ELF}, ["opt/x86_64-linux-gnu-gcc-14"]),
        (101, {"bin/cc": "gcc", "bin/gcc": "/opt/x", "opt/x": ELF}, ["bin/cc", "bin/gcc"]),
        (101, {"bin/gcc": "/nowhere"}, []),
        (101, {"app/categories": ELF, "app/golang-docs": ELF}, []),
        (102, {"app/notes": "gcc", "app/gcc": ELF}, ["app/notes"]),
        (102, {"app/notes": "go", "app/go": b"a page"}, []),
        (103, {"var/lib/dpkg/status": b"Package: gcc-14\n\nPackage: tzdata\n"}, ["var/lib/dpkg/status"]),
        (103, {"var/lib/dpkg/status.d/libgcc-s1": b"Package: libgcc-s1\n"}, []),
        (103, {"lib/apk/db/installed": b"P:musl\nV:1\n\nP:gcc\nV:1\n"}, ["lib/apk/db/installed"]),
        (104, {"app/server": ELF}, ["app/server"]),
        (104, {"usr/lib/python3.14/report": b"#!/x"}, ["usr/lib/python3.14/report"]),
        (104, {"etc/update-motd.d/10-uname": b"#!/bin/sh"}, []),
        (104, {"etc/update-motd.d/10-uname": ELF}, ["etc/update-motd.d/10-uname"]),
        (104, {"app/server": ELF, "usr/share/built/x.sha256": sha256(ELF) + b"  app/server\n"}, []),
        (104, {"app/server": ELF, "app/built/x.sha256": sha256(ELF) + b"  app/server\n"}, ["app/server"]),
        (
            104,
            {
                "lib": "usr/lib",
                "usr/lib/libz.so.1": ELF,
                "var/lib/dpkg/status.d/zlib1g.md5sums": b"c8b8f4bbdb4ae4bb9f6bd4ee2a0f29b6  lib/libz.so.1\n",
            },
            ["usr/lib/libz.so.1"],  # a checksum of something else
        ),
        (
            104,
            {
                "usr/lib/py/x.so": ELF,
                "usr/libexec/helper": ELF,
                "usr/lib/py/y.so": ELF + b"changed",
                "usr/lib/py/x-1.dist-info/RECORD": f"x.so,{record(ELF)},64\n../../libexec/helper,{record(ELF)},64\n"
                f"y.so,{record(ELF)},64\nx-1.dist-info/RECORD,,\n".encode(),
            },
            ["usr/lib/py/y.so"],
        ),
        (104, {"py/x.so": ELF, "py/x-1.dist-info/RECORD": b"x.so,,\n"}, ["py/x.so"]),  # no checksum, no owner
        (103, {"var/lib/dpkg/status": b"Package: sed\nStatus: deinstall ok config-files\n\nPackage: libc6\n"}, []),
        (103, {"var/lib/dpkg/status.d/x": b"Package: x\nSection: contrib/utils\n"}, ["var/lib/dpkg/status.d/x"]),
        (103, {"var/lib/dpkg/status.d/b": b"Package: base-files\nSection: admin\n"}, []),
        (101, {"py/lua51.so": ELF, "usr/lib/ld-linux-x86-64.so.2": ELF, "app/link": ELF, "app/just": ELF}, []),
        (105, {"app/x.jar": b"PK\x03\x04..org/codehaus/janino/SimpleCompiler.class"}, ["app/x.jar"]),
        (105, {"app/x.pyz": b"#!/usr/bin/python\nPK..pip/_internal/cli/main.py"}, ["app/x.pyz"]),
        (105, {"app/x.jar": b"PK\x03\x04..org/codehaus/janino/util/ClassFile.class"}, []),
        (
            106,
            {"py/x.h": b"", "py/y.h": b"", "py/x-1.dist-info/RECORD": f"x.h,{record(b'')},0\n".encode()},
            ["py/y.h"],  # the other is the wheel's own
        ),
        (
            107,
            {
                "py/x/testdata/a.go": b"",
                "py/y/testdata/a.go": b"",
                "py/y/testdata/b.go": b"",
                "py/x-1.dist-info/RECORD": "".join(f"{x}/testdata/a.go,{record(b'')},0\n" for x in "xy").encode(),
            },
            ["py/y/testdata"],  # where not all is the wheel's own
        ),
        (
            107,
            {
                "py/tests/__pycache__/a.cpython-314.pyc": b"bytecode",
                "py/tests/a.py": b"",
                "py/x-1.dist-info/RECORD": f"tests/a.py,{record(b'')},0\n".encode(),
            },
            [],  # bytecode is owned as its source is
        ),
        (103, {"site/pip-26.2.dist-info/RECORD": b""}, ["site/pip-26.2.dist-info"]),
        (103, {"site/pipeline-1.dist-info/RECORD": b""}, []),
        (105, {"srv/page.html": b"how to read COLLECT_GCC_OPTIONS"}, []),
        (105, {"app/data": ELF + b"BusyBox v1.37"}, ["app/data"]),
        (105, {"opt/data": b"\xda\xda\xfe\xca" + b"\0com/sun/tools/javac/main\0"}, ["opt/data"]),
        (105, {"app/x.so": ELF + b"Debian clang version 19.1.7"}, []),  # who compiled it, in .comment
        (106, {"usr/lib/libz.so.1": ELF, "usr/lib/libz.a": b"!<arch>"}, ["usr/lib/libz.a"]),
        (107, {"etc/ssl/certs/ca.crt": b"", "app/internal/x_test.go": b""}, ["app/internal/x_test.go"]),
        (107, {"app/.git/config": b"", "app/.git/hooks/x.py": b""}, ["app/.git"]),
        (108, {"app/shell": b"notes", "usr/bin/sh": b"text"}, []),
        (108, {"app/helper": "/opt/bash", "opt/bash": ELF}, ["app/helper", "opt/bash"]),
        (203, {"etc/passwd": b"root:x:0:0::/:/\n"}, []),
        (203, {"etc/shadow": b"root::1::::::\n", "etc/passwd": b"root:x:0:0::/:/\n"}, ["etc/shadow"]),
        (203, {}, ["etc/passwd"]),
        (401, {"usr/lib/libcrypto.so": ELF + b"-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0"}, []),
        (401, {"etc/ssl/ca.pem": b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64}, []),
        (401, {"srv/tls.der": b"\x30\x82\x04\xbd\x02\x01\x00\x30\x0d\x06\x09" + b"\0" * 99}, ["srv/tls.der (layer 1)"]),
        (401, {"opt/java/cacerts.jks": b"\xfe\xed\xfe\xed\0\0\0\2 certificates"}, []),
        (401, {"app/tls.p12": b"\x30\x82\x0a\x00" + STORED_KEY}, ["app/tls.p12 (layer 1)"]),
        (401, {"app/.npmrc": b"//registry.example.com/:_authToken=abcdefgh12345"}, ["app/.npmrc (layer 1)"]),
        (401, {"app/.npmrc": b"//registry.example.com/:_authToken=${NPM_TOKEN}"}, []),
        (
            401,
            {"app/.env.production": b"API=https://example.com\nDB=postgres://a:b@db/x"},
            ["app/.env.production (layer 1)"],
        ),
        (
            401,
            {"root/.docker/config.json": b'{"auths": {"x": {"auth": "bWU6aHVudGVyMg=="}}}'},
            ["root/.docker/config.json (layer 1)"],
        ),
        (
            401,
            {"app/account.json": b'{"private_key": "-----BEGIN PRIVATE KEY-----\\n' + b"A1b2" * 20},
            ["app/account.json (layer 1)"],
        ),
        (401, {"app/package.json": b'{"name": "x", "repository": "https://github.com/a/b"}'}, []),
        (
            401,
            {"data": b"x\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + b"A" * 64},
            ["data (layer 1)"],
        ),
    ],
)
def test_a_rule_of_the_tree_judges_the_fine_points(
    fake: Callable[..., Any], number: int, files: dict[str, bytes | str], places: list[str]
) -> None:
    assert spoken(fake(files), number) == places


def test_a_file_with_its_packages_checksum_is_owned(fake: Callable[..., Any]) -> None:
    sums = hashlib.md5(ELF, usedforsecurity=False).hexdigest().encode() + b"  lib/libz.so.1\n"
    files = {"lib": "usr/lib", "usr/lib/libz.so.1": ELF, "var/lib/dpkg/status.d/zlib1g.md5sums": sums}
    assert spoken(fake(files), 104) == []


def test_in_a_webroot_only_what_no_visitor_is_meant_to_get_is_left_over(fake: Callable[..., Any]) -> None:
    harmless = (
        "seg0.ts",
        "a.py",
        "a.whl",
        "package.json",
        "a.d.ts",
        "pom.xml",
        "testdata/a",
        "Dockerfile",
        "x.h",
        "x.a",
    )
    left = ("a.js.map", ".git/config", ".env", ".env.production", "node_modules/x/index.js", ".npmrc")
    subject = fake({f"srv/{name}": b"" for name in (*harmless, *left)})
    webroot = subject.stack.model_copy(update={"webroot": ["/srv/"]})
    served = replace(subject, stack=webroot)
    assert spoken(served, 106) == []
    assert spoken(served, 107) == [
        f"srv/{name}" for name in (".git", "node_modules", "a.js.map", ".env", ".env.production", ".npmrc")
    ]


def test_what_a_later_layer_deletes_or_replaces_is_found_in_the_earlier_one(fake: Callable[..., Any]) -> None:
    below = fake({"usr/bin/gcc": ELF, "app/a.c": b"x", "app/y": ELF + b"BusyBox v", "app/same": b"", "app/page": b"x"})
    above = fake({"app/a.c": b"", "app/same": b"", "usr/bin/.wh.gcc": b""})
    image = replace(above.image, layers=[*below.image.layers, *above.image.layers])
    hidden = ["usr/bin/gcc (layer 1)", "app/a.c (layer 1)", "app/y (layer 1)"]
    assert spoken(replace(above, image=image), 109) == hidden


def test_a_tool_that_a_later_layer_replaces_by_as_many_bytes_is_found(fake: Callable[..., Any]) -> None:
    below, above = fake({"app/y": ELF + b"BusyBox v"}), fake({"app/y": ELF + b"something"})
    image = replace(above.image, layers=[*below.image.layers, *above.image.layers])
    assert spoken(replace(above, image=image), 109) == ["app/y (layer 1)"]


def test_what_a_stack_permits_and_keeps_is_no_finding(fake: Callable[..., Any]) -> None:
    subject = fake({"usr/bin/java": ELF, "app/main.py": b""})
    stack = subject.stack.model_copy(update={"permits": ["java"], "keeps": ["*.py"]})
    permitted = replace(subject, stack=stack)
    assert spoken(subject, 101) + spoken(subject, 107) == ["usr/bin/java", "app/main.py"]
    assert spoken(permitted, 101) + spoken(permitted, 107) == []


@pytest.mark.parametrize(
    ("said", "places"),
    [
        ({"env": {"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt", "PATH": "/bin", "PWD": "/"}}, []),
        ({"env": {"GPG_KEY": "7169605F62C751356D054A26A821E680E5FA6305"}}, []),
        ({"env": {"DB_PASSWORD_FILE": "/run/secrets/db", "DB_PASSWORD": ""}}, []),
        ({"env": {"MONKEY": "business", "KEYBOARD": "us"}}, []),
        ({"env": {"CACHE_KEY": "notes-v1", "TOKEN_TTL": "3600", "TOKEN_URL": "https://id.example.com/token"}}, []),
        ({"env": {"PASSWORD_MIN_LENGTH": "12", "SECRETS_DIR": "/run/secrets", "REQUIRE_TOKEN": "true"}}, []),
        (
            {"env": {"DB_PASS": "abc", "CACHE_KEY": "9f86d081884c7d659a2feaa0c55ad015"}},
            ["env DB_PASS", "env CACHE_KEY"],
        ),
        ({"env": {"REDIS_URL": "redis://:hunter2@cache.example.com/0"}}, ["env REDIS_URL"]),
        ({"env": {"CACHE": "redis://cache.example.com:6379/0", "SITE": "https://me@example.com:8080/a:b@c"}}, []),
        ({"env": {"PAY": "sk_" + "live_" + "a1" * 12}}, ["env PAY"]),
        ({"env": {"STORE": "DefaultEndpointsProtocol=https;AccountKey=" + "a1B2" * 20}}, ["env STORE"]),
        ({"env": {"API_KEY": "abc"}}, ["env API_KEY"]),
        ({"env": {"CI": "ghp_" + "a" * 36}}, ["env CI"]),
        ({"config": {"Labels": {"token": "abc"}}}, ["label token"]),
        ({"history": ["RUN --mount=type=secret,id=token,target=/run/t cat /run/t"]}, []),
        ({"history": ["COPY . .", "RUN |1 NPM_TOKEN=abc /bin/sh -c npm ci"]}, ["history 1"]),
        ({"history": ["RUN git clone https://me:hunter2@example.com/x"]}, ["history 1"]),
        ({"history": ["RUN TOKEN=$(cat /run/secrets/t) ./fetch"]}, []),
    ],
)
def test_credentials_are_told_from_what_only_looks_like_them(
    fake: Callable[..., Any], said: dict[str, Any], places: list[str]
) -> None:
    assert spoken(fake(**said), 403) == places


SEARCHED = [
    name
    for name, value in vars(credentials).items()
    if isinstance(value, re.Pattern) and name not in ("_KEY_FILES", "_STORES", "_CONFIGURATION")
]
"""All but those that match the whole of a file's name, which has at most 255 bytes."""


@pytest.mark.parametrize("name", SEARCHED)
def test_no_expression_takes_more_than_linear_time_on_prepared_text(name: str) -> None:
    """With a quadratic expression, 20 kB take a second and more, and with an exponential one no test ends."""
    pattern = getattr(credentials, name)
    pieces = (
        "a", "A", " ", "-", "\n", "=", "1", ":", "/", ".", "eyJa", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\n",
        "A: a\n", "\\n", "x://", "x://:", "aA1", "A_", "client-key-data: ", "\"", "a=\"", "://", "@", "a.",
    )  # fmt: skip
    for piece in pieces:
        for start in ("", "-----BEGIN PRIVATE KEY-----\n", "x://", "eyJaaaaaaaaaaaa.eyJ", 'a="'):

            def seconds(length: int, piece: str = piece, start: str = start) -> float:
                text: Any = start + piece * (length // len(piece))
                text = text.encode() if isinstance(pattern.pattern, bytes) else text
                begin = time.process_time()
                pattern.search(text)
                return time.process_time() - begin

            assert seconds(20_000) < 0.5, (piece, start)


@pytest.mark.parametrize(
    ("said", "port"),
    [
        ({"ports": [8080]}, 8080),
        ({"ports": []}, 0),
        ({"ports": [2112, 8080], "env": {"PORT": "8080"}}, 8080),
        ({"ports": [2112, 8080], "history": ["EXPOSE map[2112/tcp:{}]", "EXPOSE map[8080/tcp:{}]"]}, 8080),
        ({"ports": [2112, 8080], "env": {"PORT": "9"}}, 2112),
    ],
)
def test_a_second_port_is_not_taken_for_the_one_that_the_service_answers_on(
    fake: Callable[..., Any], said: dict[str, Any], port: int
) -> None:
    assert serving(fake(**said).image) == port


@pytest.mark.parametrize(
    ("number", "said", "places"),
    [
        (201, {"config": {"User": "65532:65532"}}, []),
        (201, {"config": {"User": ""}}, ["user"]),
        (201, {"config": {"User": "00"}}, ["user"]),
        (302, {"ports": [1024]}, []),
        (302, {"ports": []}, ["ports"]),
        (306, {"config": {"StopSignal": "SIGQUIT"}}, []),
        (306, {"config": {"StopSignal": "9"}}, ["stop signal"]),
    ],
)
def test_a_rule_of_the_metadata_judges_the_fine_points(
    fake: Callable[..., Any], number: int, said: dict[str, Any], places: list[str]
) -> None:
    assert spoken(fake(**said), number) == places


def test_a_record_that_a_scanner_cannot_read_or_of_another_distribution_is_told(fake: Callable[..., Any]) -> None:
    folder = "var/lib/dpkg/status.d"
    stanza = "Package: libx\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: {}\nVersion: {}\n"
    debian = stanza.format("Debian X Team <x@debian.org>", "1.0-1").encode()
    ubuntu = stanza.format("Ubuntu Developers <ubuntu-devel-discuss@lists.ubuntu.com>", "1.0-1ubuntu2").encode()
    known = {"etc/os-release": "../usr/lib/os-release", "usr/lib/os-release": b'ID=debian\nVERSION_ID="13"\n'}
    assert spoken(fake(known), 505) == []
    assert spoken(fake({**known, f"{folder}/libx": debian, f"{folder}/libx.md5sums": b""}), 505) == []
    assert spoken(fake({**known, f"{folder}/libx": b"Package: libx\n"}), 505) == [f"{folder}/libx"]
    assert spoken(fake({**known, f"{folder}/libx": ubuntu}), 505) == [f"{folder}/libx"]
    assert spoken(fake({f"{folder}/libx": debian}), 505) == ["etc/os-release"]
    debians = stanza.format("Christopher James Halse Rogers <raof@ubuntu.com>", "1.4.6-2").encode()
    assert spoken(fake({**known, f"{folder}/libcolord2": debians.replace(b"libx", b"libcolord2")}), 505) == []
    status = "var/lib/dpkg/status"
    removed = debian.replace(b"install ok installed", b"deinstall ok config-files").replace(b"libx", b"liby")
    whole = b"\n".join(
        [debian, removed, ubuntu.replace(b"libx", b"libu"), b"Package: libn\nStatus: install ok installed\n"]
    )
    assert spoken(fake({**known, status: whole}), 505) == [f"{status} (libu)", f"{status} (libn)"]
    assert spoken(fake({**known, status: b""}), 505) == []
    mint = b'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n'
    assert spoken(fake({"etc/os-release": mint, status: ubuntu}), 505) == []
