"""Does rule 111 see what archives bring, at any depth and under any name, and nothing in those that bring nothing?"""

import base64
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard

from msb import tars
from msb.contract import Status, Subject, check
from msb.contract.inside import module
from msb.stacks import load
from msb.tree import Archive, Layer, Tree

ELF = b"\x7fELF\2\1\1\0"
JANINO = "org/codehaus/janino/SimpleCompiler.class"


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, before: bytes = b"") -> bytes:
    stream = io.BytesIO(before)
    stream.seek(len(before))
    with zipfile.ZipFile(stream, "a", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files: dict[str, bytes], pack: Callable[[bytes], bytes] = bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return pack(stream.getvalue())


def described(name: str, required: str) -> bytes:
    """A module-info.class of a module that requires another."""
    texts = ["Module", name, required, "module-info"]
    pool = b"".join(b"\1" + struct.pack(">H", len(text)) + text.encode() for text in texts)
    pool += b"".join(struct.pack(">BH", tag, number) for tag, number in ((19, 2), (19, 3), (7, 4)))
    attribute = struct.pack(">HIHHH", 1, 6, 5, 0, 0)
    start = b"\xca\xfe\xba\xbe\0\0\0\x35" + struct.pack(">H", 8)
    return start + pool + struct.pack(">7H", 0, 7, 0, 0, 0, 0, 1) + attribute


def judged(files: dict[str, bytes], stack: str = "jvm", code: str = "MSB111", **changes: Any) -> list[str]:
    matrix = load()
    archive = Archive(io.BytesIO(tarred(files)))
    tree = Tree(archive, 0) if code == "MSB111" else Tree(Archive(io.BytesIO(bytes(10240))), 0)
    image: Any = SimpleNamespace(tree=tree, layers=[Layer("only", archive)], config={}, env={}, command=[], history=[])
    profile = (matrix.any if stack == "any" else matrix.stack(stack)).model_copy(update=changes)
    verdict = check(Subject(None, profile, matrix.contract, image), {code}).verdicts[code]
    assert verdict.status in (Status.PASSED, Status.FAILED), verdict.reason
    return [f"{finding.where}: {finding.message}" for finding in verdict.findings]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nexit\n", b"anything"])
def test_a_tool_in_a_jar_in_a_jar_is_found_however_both_are_packed(method: int, before: bytes) -> None:
    inner = zipped({"x/" + JANINO: b"class"}, method)
    data = zipped({"lib/x.jar": inner, "y": zipped({"opt/data": ELF + b"GNU bash, version"}, method)}, method, before)
    found = judged({"app/data": data})
    assert "app/data!/y!/opt/data: brings bash" in found
    told = judged({"app/data": data}, code="MSB109")
    assert any("brings bash, which a later layer hides" in line or "is janino" in line for line in told)
    if method and before != b"":
        assert "app/data!/lib/x.jar: brings janino" in found


@pytest.mark.parametrize(
    ("files", "tool"),
    [
        ({"META-INF/maven/org.codehaus.janino/janino/pom.properties": b"x"}, "janino"),
        ({"META-INF/MANIFEST.MF": b"Automatic-Module-Name: org.co\r\n dehaus.janino\r\n"}, "janino"),
        ({"META-INF/MANIFEST.MF": b"Bundle-SymbolicName: org.eclipse.jdt.core.compiler.batch;x=1\n"}, "ecj"),
        ({"module-info.class": described("org.openjdk.nashorn", "java.base")}, "nashorn"),
        ({"META-INF/versions/9/module-info.class": described("org.graalvm.js.scriptengine", "java.base")}, "graaljs"),
        ({"shaded/" + JANINO: b""}, "janino"),
        ({"x-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pip\n"}, "pip"),
        ({"x-1.dist-info/RECORD": b"x.py,,\nziglang-0.17.dist-info/RECORD,,\n"}, "ziglang"),
        ({"pip/_internal/cli/main.pyc": b""}, "pip"),
        ({"bin/mvn": b"#!/bin/sh\n"}, "mvn"),
        ({"native/x": ELF + b"zig build-exe"}, "zig"),
        ({"native/x.so": ELF + b"node:internal/bootstrap"}, "node"),
        ({"native/x": ELF}, "a program that no record owns"),
    ],
)
def test_what_an_archive_says_of_itself_or_holds_tells_the_tool(files: dict[str, bytes], tool: str) -> None:
    assert any(line.endswith(f": brings {tool}") for line in judged({"app/x": zipped({"w": zipped(files)})}))


@pytest.mark.parametrize(
    ("path", "content", "tool"),
    [
        (f"app/classes/{JANINO}", b"", "janino"),
        ("app/vendor/pip/_internal/cli/main.py", b"", "pip"),
        ("app/site/x-1.dist-info/METADATA", b"Metadata-Version: 2.1\nname: Setuptools\n", "setuptools"),
        ("app/META-INF/MANIFEST.MF", b"Automatic-Module-Name: org.codehaus.janino\n", "janino"),
    ],
)
def test_what_was_unpacked_is_found_by_its_place(path: str, content: bytes, tool: str) -> None:
    assert judged({path: content}) == [f"{path}: brings {tool}"]


@pytest.mark.parametrize(
    "files",
    [
        {
            "META-INF/maven/org.codehaus.janino/commons-compiler/pom.xml": b"x",
            "org/codehaus/janino/ClassFile.class": b"",
        },
        {"module-info.class": described("com.example.notes", "org.codehaus.janino")},
        {"META-INF/MANIFEST.MF": b"Automatic-Module-Name: com.example\nImport-Package: org.codehaus.janino\n"},
        {"native/linux/libzstd.so": ELF, "launch.script": b"#!/bin/bash\n", "templates/go": b"a page"},
        {"x-1.dist-info/METADATA": b"Name: x\nRequires-Dist: pip\n\nName: pip\n"},
    ],
)
def test_an_archive_that_only_mentions_a_tool_is_no_finding(files: dict[str, bytes]) -> None:
    assert judged({"app/x.jar": zipped({"lib/y.jar": zipped(files), "a": b"b"})}) == []


def test_a_program_in_an_archive_that_is_served_or_owned_is_content_and_a_compiler_is_none() -> None:
    data = zipped({"cli": ELF, "x": ELF + b"gcc version %s"})
    assert judged({"srv/download.zip": data}, "node-nginx") == ["srv/download.zip!/x: brings gcc"]


def test_what_the_stack_permits_by_name_is_no_finding() -> None:
    files = {"app/x.jar": zipped({"a/x.jar": zipped({JANINO: b""})})}
    assert judged(files) == ["app/x.jar!/a/x.jar: brings janino"]
    assert judged(files, permits=["java", "janino"]) == []


def test_an_archive_that_unpacks_to_more_than_can_be_looked_through_is_a_finding() -> None:
    bomb = zipped({"x.zip": zipped({"hole": ELF + bytes(40 << 20)}, zipfile.ZIP_STORED)})
    assert judged({"app/x": bomb}) == ["app/x: unpacks to more than 64 times its size: nobody can look through it"]


PACKS = [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress]


@pytest.mark.parametrize("pack", PACKS, ids=["plain", "gzip", "bzip2", "xz", "zstd"])
def test_a_tool_in_a_tar_is_found_however_it_is_packed_and_whatever_it_is_called(
    pack: Callable[[bytes], bytes],
) -> None:
    data = tarred({"x/run": ELF + b"GNU bash, version", "lib/y.jar": zipped({JANINO: b""}), "pip/get": b"#!"}, pack)
    found = ["!/lib/y.jar: brings janino", "!/x/run: brings bash"]
    assert {f"app/data{line}" for line in found} <= set(judged({"app/data": data}))
    nested = judged({"app/z": zipped({"a.tar": data, "b": pack(zipped({JANINO: b""}))})})
    assert {"app/z!/b: brings janino", *(f"app/z!/a.tar{line}" for line in found)} <= set(nested)


@pytest.mark.parametrize("pack", PACKS[1:], ids=["gzip", "bzip2", "xz", "zstd"])
def test_a_program_that_is_packed_by_itself_is_found(pack: Callable[[bytes], bytes]) -> None:
    for content, what in ((b"gcc version %s", "gcc"), (b"anything else", "a program that no record owns")):
        assert judged({"app/tool.gz": pack(ELF + content)}) == [f"app/tool.gz: brings {what}"]
    assert judged({"srv/tool.gz": pack(ELF)}, "node-nginx") == []
    assert judged({"app/page.html.gz": pack(b"<p>gcc version</p>")}) == []


@pytest.mark.parametrize("pack", PACKS[1:], ids=["gzip", "bzip2", "xz", "zstd"])
def test_what_was_packed_in_several_runs_is_read_to_its_end(pack: Callable[[bytes], bytes]) -> None:
    tar = tarred({"run": ELF + b"GNU bash, version"})
    for data in (pack(b"") + pack(tar), pack(tar[:700]) + pack(tar[700:])):
        assert judged({"app/data": data}) == ["app/data!/run: brings bash"]


def test_zeros_between_two_runs_of_xz_end_nothing() -> None:
    data = lzma.compress(b"x") + bytes(1 << 17) + lzma.compress(b"y")
    assert b"".join(tars.unpacked(io.BytesIO(data))) == b"xy"


def test_a_tar_of_the_oldest_kind_has_no_magic_and_is_read() -> None:
    tar = bytearray(tarred({"run": ELF + b"GNU bash, version"}))
    tar[257:265], tar[148:156] = bytes(8), b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    assert judged({"app/data": bytes(tar)}) == ["app/data!/run: brings bash"]


def test_a_packed_file_that_unpacks_to_more_than_can_be_looked_through_is_a_finding() -> None:
    told = "unpacks to more than 64 times its size: nobody can look through it"
    assert judged({"app/x": gzip.compress(bytes(40 << 20))}) == [f"app/x: {told}"]


def test_a_tar_with_many_members_or_a_long_name_is_read_in_little_memory() -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 34
    assert list(tars.members(io.BytesIO(header.tobuf() + bytes(2048)))) == []
    many = io.BytesIO(tarred({f"{number}": b"" for number in range(2000)}))
    assert sum(1 for _ in tars.members(many)) == 2000


@pytest.mark.parametrize("cut", [1, 30, 100])
def test_a_broken_archive_is_read_as_far_as_it_goes(cut: int) -> None:
    data = zipped({"x.jar": zipped({JANINO: b"x" * 99})})
    for whole in (data, *(tarred({"x.jar": data}, pack) for pack in PACKS)):
        for broken in (whole[cut:], whole[:-cut], whole[:cut] + b"\xff" * 8 + whole[cut + 8 :]):
            judged({"app/x": broken})
    assert module(base64.b64decode("yv66vgAAADU=")[:cut]) == ""
