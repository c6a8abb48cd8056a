"""How much of what really gets left behind does the contract find, and how much does it take for that which is none?"""

import base64
import hashlib
import io
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from msb.contract import Status, Subject, check
from msb.stacks import Content, Stack, load
from msb.tree import Archive, Layer, Merged, Tree

DATA = tomllib.loads((Path(__file__).parent / "leftovers.toml").read_text(encoding="utf-8"))
RULES = {f"MSB{number}" for number in (*range(101, 109), 111, 401, 403)}
ELF = b"\x7fELF\2\1\1\0"
ZIP = b"PK\3\4\0\0"
HELD = {
    "elf": ELF,
    "script": b"#!/bin/sh\n",
    "text": b"text\n",
    "key": b"-----BEGIN PRIVATE KEY-----\n" + b"A1b2" * 20,
    "public key": b"-----BEGIN PUBLIC KEY-----\n" + b"A1b2" * 20,
    "folded key": b"tls:\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    " + b"A1b2" * 20,
    "video": b"G@\0\x10\0\0\xb0\x0d",
    "account": b'{"private_key": "-----BEGIN PRIVATE KEY-----\\n' + b"A1b2" * 20 + b'"}',
    "certificate": b"-----BEGIN CERTIFICATE-----\n" + b"A1b2" * 20,
    "certificates": b"\xfe\xed\xfe\xed\0\0\0\2",
    "stored key": b"\x30\x82\x0a\x00" + bytes.fromhex("2a864886f70d010c0a0102"),
}


def content(holds: str, data: Content) -> bytes:
    """Turn `holds` into bytes: a name of HELD, text after a colon, or the text that gives a tool away."""
    kind, _, text = holds.partition(": ")
    if text:
        return {"text": b"", "elf": ELF, "zip": ZIP}[kind] + text.encode()
    kind, _, tool = holds.partition(" of ")
    if kind in ("nested", "nested elf"):  # in an archive in an archive, both compressed
        inner = {"nested": (data.members, b""), "nested elf": (data.fingerprints, ELF)}[kind]
        return packed({"lib/x.jar": packed({"x": inner[1] + inner[0][tool].encode(), f"y/{inner[0][tool]}": b""})})
    if tool:
        start = {"elf": ELF, "modules": b"\xda\xda\xfe\xca", "member": ZIP}[kind]
        return start + (data.members if kind == "member" else data.fingerprints)[tool].encode() + b"\0"
    return HELD[holds]


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in files.items():
            archive.writestr(name.strip(), held)
    return stream.getvalue()


def record(path: str, held: bytes, owner: str | None) -> dict[str, bytes]:
    """The record that owns a file, by its own path."""
    sha = hashlib.sha256(held)
    wheel = base64.urlsafe_b64encode(sha.digest()).decode().rstrip("=")
    md5 = hashlib.md5(held, usedforsecurity=False).hexdigest()
    records = {
        "package": {"var/lib/dpkg/status.d/libx.md5sums": f"{md5}  {path}\n"},
        "wheel": {"x/x/x-1.dist-info/RECORD": f"../../{path},sha256={wheel},9\n"},
        "built": {"usr/share/built/x.sha256": f"{sha.hexdigest()}  {path}\n"},
    }
    return {name: line.encode() for name, line in records[owner].items()} if owner else {}


def told(stack: str, item: dict[str, str]) -> list[str]:
    """What the contract says of a tree with that file alone."""
    matrix = load()
    if "env" in item:
        return judged(matrix.stack(stack), [archive({})], env={item["env"]: item["holds"]})
    held = content(item["holds"], matrix.contract.content)
    files = {item["path"]: held, **record(item["path"], held, item.get("owned"))}
    return judged(matrix.stack(stack), [archive({path: member(each) for path, each in files.items()})])


def member(held: bytes, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo()
    info.size, info.mode = len(held), mode
    return info, held


def archive(files: dict[str, tuple[tarfile.TarInfo, bytes]]) -> Archive:
    """A layer of these files, by path, with the folders that they are in."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        folders = {str(parent) for path in files for parent in Path(path).parents} - {".", *files}
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for path, (info, held) in files.items():
            info.name = path
            tar.addfile(info, io.BytesIO(held))
    return Archive(io.BytesIO(stream.getvalue()))


def judged(
    stack: Stack, archives: list[Archive], codes: set[str] = RULES, env: dict[str, str] | None = None
) -> list[str]:
    """What the contract says of an image of these layers."""
    layers = [Layer("one", each) for each in archives]
    image: Any = SimpleNamespace(
        tree=Tree(Merged(archives), 0), layers=layers, config={}, env=env or {}, command=[], history=[]
    )
    result = check(Subject(None, stack, load().contract, image), codes)
    assert not [verdict.reason for verdict in (*result.having(Status.ERRORED), *result.having(Status.SKIPPED))]
    return [str(finding) for finding in result.findings]


@pytest.mark.parametrize("stack", load().stacks)
def test_what_is_left_behind_is_found_and_what_is_content_is_not(
    stack: str, record_testsuite_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    left, harmless = ([*DATA["all"][kind], *DATA[stack][kind]] for kind in ("left", "content"))
    assert len(left) >= 40
    missed = [f"{item.get('path') or item['env']}: {item['why']}" for item in left if not told(stack, item)]
    refused = [line for item in harmless for line in told(stack, item)]
    rate = (
        f"{len(left) - len(missed)} of {len(left)} leftovers found, {len(refused)} of {len(harmless)} harmless refused"
    )
    record_testsuite_property(f"leftovers.{stack}", rate)
    with capsys.disabled():
        print(f"\n{stack}: {rate}")
    assert (missed, refused) == ([], [])
