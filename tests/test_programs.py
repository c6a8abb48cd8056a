"""Does the contract read ELF files as a loader does, and judge the layers of an image by what is stored in them?"""

import io
import struct
from collections.abc import Callable
from hashlib import md5, sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tool import ACCOUNTS, Member, image, member, tar

from msb import elf
from msb.contract import Status, Subject, check
from msb.image import images
from msb.stacks import load

X86, ARM = 62, 183
GO = b"\xff Go buildinf:"
Found = Callable[..., list[str]]


def program(
    *needed: str, machine: int = X86, kind: int = elf.SHARED, loader: str = "", runpath: str = "", soname: str = "",
    stack: int | None = 6, relro: bool = True, more: bytes = b"", rpath: str = "",
) -> bytes:  # fmt: skip
    """An ELF file with one LOAD segment over all of it, and what a linker would write for these."""
    strings = b"\0"
    tags = []
    for tag, text in [*((1, name) for name in needed), (14, soname), (15, rpath), (29, runpath)]:
        if text:
            tags.append((tag, len(strings)))
            strings += text.encode() + b"\0"
    count = 2 + bool(loader) + (stack is not None) + relro
    at_tags = 64 + 56 * count
    at_strings = at_tags + 16 * (len(tags) + 2)
    at_loader = at_strings + len(strings)
    tail = strings + loader.encode() + b"\0" + more
    segments = [
        (1, 5, 0, at_strings + len(tail)),
        (2, 6, at_tags, 16 * (len(tags) + 2)),
        *([(3, 4, at_loader, len(loader) + 1)] if loader else []),
        *([(0x6474E551, stack, 0, 0)] if stack is not None else []),
        *([(0x6474E552, 4, 0, 0)] if relro else []),
    ]
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    table = b"".join(struct.pack("<IIQQQQQQ", *row[:3], row[2], row[2], row[3], row[3], 1) for row in segments)
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in [*tags, (5, at_strings), (0, 0)])
    return head + table + dynamic + tail


LOADER = "/lib64/ld-linux-x86-64.so.2"
C = [member("lib64/ld-linux-x86-64.so.2", program()), member("usr/lib/x86_64-linux-gnu/libc.so.6", program())]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """What a rule finds in an image of these layers, as it comes from `docker save`."""

    def judge(number: int, *layers: list[Member], stack: str = "go", **said: object) -> list[str]:
        architecture = said.pop("architecture", "amd64")
        secret = said.pop("secret", b"")
        path = image(tmp_path / "image.tar", *map(tar, layers), config=said, architecture=str(architecture))
        with images(str(path), pytest.fail) as (opened,), opened:
            subject = Subject(None, load().stack(stack), load().contract, opened, secret=bytes(secret))  # type: ignore[call-overload]
            verdict = check(subject, {f"MSB{number}"}).verdicts[f"MSB{number}"]
        assert verdict.status in (Status.PASSED, Status.FAILED), verdict.reason
        return [f"{finding.where}: {finding.message}" for finding in verdict.findings]

    return judge


# --- reading ELF files ---


def test_what_a_loader_needs_of_a_file_is_read() -> None:
    content = program(
        "libz.so.1", "libc.so.6", loader=LOADER, runpath="$ORIGIN/../lib:/opt", soname="x.so.1", relro=False, stack=7
    )
    assert elf.read(io.BytesIO(content)) == elf.Elf(
        X86, elf.SHARED, True, LOADER, ("libz.so.1", "libc.so.6"), (), ("$ORIGIN/../lib", "/opt"), "x.so.1", False, True
    )


def test_a_file_of_32_bits_with_the_high_byte_first_is_read() -> None:
    """A big-endian one, as for MIPS: a header and one segment that says that the stack holds no code."""
    head = b"\x7fELF\1\2\1".ljust(16, b"\0") + struct.pack(">HHIIIIIHHHHHH", 2, 8, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    read = elf.read(io.BytesIO(head + struct.pack(">8I", 0x6474E551, 0, 0, 0, 0, 0, 6, 4)))
    assert read == elf.Elf(8, elf.EXECUTABLE, False, "", (), (), (), "", False, False)


@given(st.binary(max_size=200), st.integers(0, 400), st.binary(min_size=1, max_size=40))
def test_a_damaged_file_is_read_or_refused_and_never_an_error(start: bytes, at: int, patch: bytes) -> None:
    whole = program("libz.so.1", loader=LOADER, runpath="/opt")
    for content in (
        b"\x7fELF" + start,
        b"\x7fELF\2\1" + start.ljust(62, b"\xff"),
        whole[:at],
        whole[:at] + patch + whole[at + len(patch) :],
    ):
        elf.read(io.BytesIO(content))


def test_a_file_that_says_of_itself_that_it_is_huge_costs_no_more_than_another() -> None:
    """Tables of 64 thousand entries that lead everywhere, and a dynamic section without an end."""
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 3, X86, 1, 0, 64, 0, 0, 64, 56, 65535, 0, 0, 0)
    table = struct.pack("<IIQQQQQQ", 2, 6, 64, 0, 0, 1 << 63, 1 << 63, 1) * 4
    assert elf.read(io.BytesIO(head + table + struct.pack("<qQ", 1, 1 << 63) * (1 << 18))) is not None


# --- the rules ---


@pytest.mark.parametrize(
    ("architecture", "files", "findings"),
    [
        ("amd64", {"app/server": program(), "app/x": b"\x7fELF"}, []),
        ("arm64", {"app/server": program(machine=ARM)}, []),
        (
            "arm64",
            {"app/x.so": program(), "app/server": program(machine=ARM)},
            ["app/x.so: is for amd64, not for linux/arm64"],
        ),
        ("amd64", {"app/probe.o": program(machine=247)}, []),
        ("amd64", {"app/x": program(machine=8)}, ["app/x: is for mips64le, not for linux/amd64"]),
        ("amd64", {"app/x": program(machine=43)}, ["app/x: is for machine 43, not for linux/amd64"]),
    ],
)
def test_machine_code_is_for_the_platform_of_the_image(
    found: Found, architecture: str, files: dict[str, bytes], findings: list[str]
) -> None:
    assert found(801, [member(*file) for file in files.items()], architecture=architecture) == findings


def lacks(path: str, name: str) -> str:
    return f"{path}: needs {name}, which is not in the image"


@pytest.mark.parametrize(
    ("files", "env", "findings"),
    [
        ({"app/x": program("libc.so.6", loader=LOADER)}, [], []),
        ({"app/x": program("libz.so.1", "libc.so.6", loader=LOADER)}, [], [lacks("app/x", "libz.so.1")]),
        (
            {"app/x": program(loader="/lib/ld-musl-x86_64.so.1")},
            [],
            [lacks("app/x", "the loader /lib/ld-musl-x86_64.so.1")],
        ),
        ({"app/x": program("libz.so.1", loader=LOADER), "app/libz.so.1": program()}, [], [lacks("app/x", "libz.so.1")]),
        ({"app/x": program("libz.so.1", loader=LOADER, runpath="$ORIGIN"), "app/libz.so.1": program()}, [], []),
        (
            {"app/x": program("libz.so.1", loader=LOADER, runpath="${ORIGIN}/../opt"), "opt/libz.so.1": program()},
            [],
            [],
        ),
        (
            {
                "app/x": program("liba.so", loader=LOADER, rpath="/opt"),
                "opt/liba.so": program("libb.so"),
                "opt/libb.so": program(),
            },
            [],
            [],
        ),
        (
            {
                "app/x": program("liba.so", loader=LOADER, runpath="/opt"),
                "opt/liba.so": program("libb.so"),
                "opt/libb.so": program(),
            },
            [],
            [lacks("opt/liba.so", "libb.so")],
        ),
        ({"app/x": program("libz.so.1", loader=LOADER), "opt/libz.so.1": program()}, ["LD_LIBRARY_PATH=/opt"], []),
        (
            {
                "app/x": program("libz.so.1", loader=LOADER),
                "opt/libz.so.1": program(),
                "etc/ld.so.conf": b"include /etc/ld.so.conf.d/*.conf\n",
                "etc/ld.so.conf.d/x.conf": b"# mine\n/opt\n",
            },
            [],
            [],
        ),
        (
            {"app/x": program("libz.so.1", loader=LOADER), "usr/lib/libz.so.1": program(machine=ARM)},
            [],
            [lacks("app/x", "libz.so.1")],
        ),
        ({"app/plugin.so": program("libhost.so"), "opt/host/libhost.so": program()}, [], []),
        ({"app/plugin.so": program("libhost.so"), "opt/host/x.so": program(soname="libhost.so")}, [], []),
        ({"app/plugin.so": program("libhost.so")}, [], [lacks("app/plugin.so", "libhost.so")]),
        ({"app/static": program()}, [], []),
    ],
)
def test_every_library_is_where_the_loader_looks(
    found: Found, files: dict[str, bytes], env: list[str], findings: list[str]
) -> None:
    assert found(802, [*C, *(member(*file) for file in files.items())], Env=env) == findings


@pytest.mark.parametrize(
    ("content", "findings"),
    [
        (program(loader=LOADER), []),
        (program(stack=7), ["app/x: has an executable stack: link with -z noexecstack"]),
        (program(stack=None), ["app/x: has an executable stack: link with -z noexecstack"]),
        (program(kind=elf.EXECUTABLE), ["app/x: is at a fixed address: compile with -fPIE and link with -pie"]),
        (program(relro=False), ["app/x: keeps its links writable: link with -z relro"]),
        (program(kind=elf.EXECUTABLE, relro=False, more=GO), []),
        (program(stack=7, more=GO), ["app/x: has an executable stack: link with -z noexecstack"]),
    ],
)
def test_what_the_build_compiled_is_hardened(found: Found, content: bytes, findings: list[str]) -> None:
    built = member("usr/share/built/x.sha256", f"{sha256(content).hexdigest()}  app/x\n".encode())
    assert found(803, [member("app/x", content), built]) == findings
    package = member("var/lib/dpkg/status.d/x.md5sums", b"0123456789abcdef0123456789abcdef  app/x\n")
    assert found(803, [member("app/x", content), package]) == []


ROOTS = member("etc/ssl/certs/ca-certificates.crt", b"-----BEGIN CERTIFICATE-----\nMIIB\n")
ZONE = member("usr/share/zoneinfo/Etc/UTC", b"TZif2")


@pytest.mark.parametrize(
    ("members", "env", "findings"),
    [
        ([ROOTS, ZONE], [], []),
        ([ROOTS, ZONE], ["SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"], []),
        ([ROOTS, ZONE], ["SSL_CERT_FILE=/gone"], ["gone: there are no roots for TLS"]),
        (
            [member(ROOTS[0].name, b"# none\n"), ZONE],
            [],
            ["etc/ssl/certs/ca-certificates.crt: there are no roots for TLS"],
        ),
        ([ROOTS], [], ["usr/share/zoneinfo: there are no time zones"]),
        ([ROOTS, member(ZONE[0].name, b"UTC")], [], ["usr/share/zoneinfo: there are no time zones"]),
    ],
)
def test_there_are_roots_for_tls_and_time_zones(
    found: Found, members: list[Member], env: list[str], findings: list[str]
) -> None:
    assert found(804, members, Env=env) == findings


# --- layers ---

KEPT = member("app/server", b"s" * 100_000)
FAT = member("app/fat", b"f" * 50_000)


@pytest.mark.parametrize(
    ("layers", "findings"),
    [
        ([[KEPT, FAT], [*ACCOUNTS]], []),
        ([[KEPT, FAT], [member("app/.wh.fat")]], ["app/fat (layer 1)"]),
        ([[KEPT, FAT], [member("app/fat", FAT[1], mode=0o644)]], ["app/fat (layer 1)"]),
        (
            [[KEPT, FAT], [member("app/.wh..wh..opq"), member("app/new", b"x")]],
            ["app/server (layer 1)", "app/fat (layer 1)"],
        ),
        ([[KEPT, FAT], [member(".wh.app")]], ["app/server (layer 1)", "app/fat (layer 1)"]),
        ([[KEPT, FAT], [member("app", b"", type=b"2", linkname="srv")]], ["app/server (layer 1)", "app/fat (layer 1)"]),
        ([[KEPT, FAT], [member("app", type=b"5")]], []),
        ([[KEPT, member("etc/passwd", b"root")], [member("etc/passwd", b"root and more")]], []),
        ([[KEPT, member("app/link", type=b"1", linkname="app/server")], [member("app/.wh.link")]], []),
    ],
)
def test_a_file_that_no_container_sees_is_stored_for_nothing(
    found: Found, layers: list[list[Member]], findings: list[str]
) -> None:
    assert [line.partition(": ")[0] for line in found(503, *layers)] == findings


def test_a_secret_is_found_in_any_layer_line_by_line(found: Found) -> None:
    secret = b"-----BEGIN PRIVATE KEY-----\n0123456789abcdef\nx=1\n"
    layers = (
        [member("a", b"\0 0123456789abcdef")],
        [member(".wh.a"), member("b", b"x=1"), member("c", b"-----BEGIN PRIVATE KEY-----")],
    )
    assert found(402, *layers, secret=secret) == ["a (layer 1): holds the secret"]
    assert found(402, *layers, secret=b"another-secret-of-ours") == []


# --- who owns what dpkg keeps without a checksum in md5sums ---

SCRIPT = b"#!/bin/sh\n"
SUM = md5(SCRIPT, usedforsecurity=False).hexdigest()
STATUS = f"Package: x\nStatus: install ok installed\nConffiles:\n /etc/cron.daily/x {SUM}\n /etc/old {SUM} obsolete\n"


@pytest.mark.parametrize(
    ("path", "content", "owned"),
    [
        ("etc/cron.daily/x", SCRIPT, True),
        ("etc/old", SCRIPT, True),
        ("etc/cron.daily/x", SCRIPT + b"curl\n", False),
        ("etc/cron.daily/y", SCRIPT, False),
        ("var/lib/dpkg/info/x.postinst", SCRIPT, True),
        ("var/lib/dpkg/info/x:amd64.config", SCRIPT, True),
        ("var/lib/dpkg/info/y.postinst", SCRIPT, False),
        ("var/lib/dpkg/info/x.tool", SCRIPT, False),
        ("var/lib/dpkg/info/x.postinst", program(), False),
        ("usr/lib/x.postinst", SCRIPT, False),
    ],
)
def test_configuration_files_and_maintainers_scripts_are_their_packages(
    found: Found, path: str, content: bytes, owned: bool
) -> None:
    status = member("var/lib/dpkg/status", STATUS.encode())
    assert (found(104, [member(path, content), status]) == []) == owned
