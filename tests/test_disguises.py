"""Can a tool hide? Any tool, under any name, in any place, layer and form, is told by its path. Needs no engine."""

import gzip
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, assume, example, given, note, settings
from hypothesis import strategies as st
from test_archives import tarred, zipped
from test_leftovers import ELF, RULES, archive, judged, member, record

from msb.stacks import Stack, load

DISGUISES = int(os.environ.get("MSB_DISGUISES", "200"))
"""How many are tried; MSB_DISGUISES asks for more."""
PROGRAM = ELF.ljust(16, b"\0") + struct.pack("<HHI3QI6H", 2, 62, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)
"""The least that a loader would start: at a fixed address, without a library."""
MATRIX = load()
STACKS = [MATRIX.any, *map(MATRIX.stack, MATRIX.stacks)]


@dataclass(frozen=True)
class Tool:
    """label: as stacks.toml calls it; name: what it is called at home; known: whether its content gives it away."""

    label: str
    name: str
    held: bytes
    known: bool


def tools() -> list[Tool]:
    """What the data knows, and programs of this machine, of which dash and a script give nothing away."""
    content = MATRIX.contract.content
    found = [Tool("program", "gcc", PROGRAM, False), Tool("script", "mvn", b"#!/bin/sh\nexec java\n", False)]
    for label, text in content.fingerprints.items():
        start = b"\xda\xda\xfe\xca" if label.startswith("jdk.") else ELF
        found.append(Tool(label, label.partition(" ")[0], start + bytes(99) + text.encode() + b"\0", True))
    for label, end in content.members.items():
        found.append(Tool(label, f"{label}.jar", zipped({f"BOOT-INF/classes/{end}": b""}), True))
    for label, names in content.identities.items():
        for said in (name.replace("*", "x") for name in names):
            group, _, artifact = said.partition(":")
            own = {f"META-INF/maven/{group}/{artifact}/pom.xml": b""}
            manifest = {"META-INF/MANIFEST.MF": f"Automatic-Module-Name: {said}\n".encode()}
            found.append(Tool(label, f"{label}.jar", zipped(own if artifact else manifest), True))
    for label in (name.replace("*", "-x") for name in content.wheels):
        said = f"Metadata-Version: 2.1\nName: {label}\n".encode()
        found.append(Tool(label, f"{label}.whl", zipped({"x-1.dist-info/METADATA": said}), True))
    for name in ("dash", "make", "curl", "sed", "tar"):
        path = shutil.which(name)
        held = Path(path).read_bytes() if path else b""
        if held.startswith(ELF[:4]):
            found.append(Tool(name, name, held, name == "make"))
    return found


TOOLS = {tool.label: tool for tool in tools()}
NAMES = (
    "", "", "x", "report", "libnotes.so", "libz.so.1", "nginx", "postgres", "java", "python3.14", "index.html",
    "seg.ts", "notes.json", "data.tar.gz", ".hidden", "a b", "ü", "app.jar", "x.cpython-314.pyc", "x.sha256",
    "libx.postinst",
)  # fmt: skip
PLACES = (
    "", "etc", "tmp", "opt/a b/ü", "usr/local/bin", "usr/local/lib/python3.14", "usr/lib/x86_64-linux-gnu",
    "lib/x.so.d", "usr/share/built", "usr/share/zoneinfo", "var/lib/dpkg/info", "var/lib/dpkg/status.d", "root/.cache",
    "home/nonroot", "app/.hidden", "app/__pycache__", "srv/downloads", "usr/share/nginx/html", "etc/nginx", "app",
    "opt/java/lib",
)  # fmt: skip
PACKED: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "packed": zipped,
    "stored": partial(zipped, method=zipfile.ZIP_STORED),
    "lzma": partial(zipped, method=zipfile.ZIP_LZMA),
    "behind a script": partial(zipped, before=b"#!/bin/sh\n"),
    "nested": lambda files: zipped({"lib/x.jar": zipped(files)}),
    "tar": tarred,
    "tar.gz": partial(tarred, pack=gzip.compress),
    "tar.xz in a zip": lambda files: zipped({"x": tarred(files, lzma.compress)}),
    "gzip": lambda files: gzip.compress(*files.values()),
}
FORMS = ("plain", "plain", "setuid", "unreadable", "hard link", "link", *PACKED)
LAYERS = ("only", "only", "below", "deleted", "folder deleted", "folder emptied", "replaced", "linked over")
OWNERS = ("", "", "wrong", "source", "package", "wheel", "built")


def above(path: str, layer: str, held: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """What a later layer does with a file."""
    folder, _, name = path.rpartition("/")
    if layer == "replaced":
        return {path: member(held[:4] + bytes(max(len(held) - 4, 0)) if held[:2] != b"#!" else bytes(len(held)))}
    if layer == "linked over":
        info = tarfile.TarInfo()
        info.type, info.linkname = tarfile.SYMTYPE, "/nowhere"
        return {path: (info, b"")}
    outer, _, last = folder.rpartition("/")
    hides = {
        "deleted": f"{folder}/.wh.{name}",
        "folder deleted": f"{outer}/.wh.{last}",
        "folder emptied": f"{folder}/.wh..wh..opq",
    }
    return {hides[layer].lstrip("/"): member(b"")}


@settings(max_examples=DISGUISES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    st.sampled_from(STACKS),
    st.sampled_from(tools()),
    st.sampled_from(NAMES),
    st.sampled_from(PLACES),
    st.sampled_from(FORMS),
    st.sampled_from(LAYERS),
    st.sampled_from(OWNERS),
)
@example(MATRIX.any, TOOLS["jdk.compiler"], "", "", "packed", "only", "")
@example(STACKS[1], TOOLS["program"], "x", "app", "plain", "deleted", "")
@example(STACKS[1], TOOLS["script"], "x", "app", "hard link", "replaced", "wrong")
@example(STACKS[1], TOOLS["program"], "x.cpython-314.pyc", "app/__pycache__", "plain", "only", "source")
@example(STACKS[1], TOOLS["program"], "libz.so.1", "app", "nested", "only", "")
def test_a_tool_is_found_whatever_it_is_called_and_wherever_and_however_it_is_put(
    stack: Stack, tool: Tool, name: str, place: str, form: str, layer: str, owner: str
) -> None:
    assume(tool.label not in stack.permits)
    path = f"{place}/{name or tool.name}".lstrip("/")
    known, served = tool.known or not name, f"/{path}".startswith(tuple(stack.webroot))
    if form in PACKED:
        # An archive may start a shell's script, and one that is owned or served may bring a program of its own.
        assume(known or (tool.held.startswith(ELF[:4]) and not owner and not served))
    assume(known or owner in ("", "wrong", "source"))  # a package's own program is none that hides
    assume(place or not layer.startswith("folder"))
    held = tool.held
    if form in PACKED:
        held = PACKED[form]({f"lib/{name or tool.name}": held})
    files = {path: member(held, {"setuid": 0o4755, "unreadable": 0}.get(form, 0o755))}
    paths = {path}
    if "link" in form:
        other = "usr/share/doc/notes"
        info = tarfile.TarInfo()
        info.type = tarfile.LNKTYPE if form == "hard link" else tarfile.SYMTYPE
        info.linkname = path if form == "hard link" else f"/{path}"
        files[other] = (info, b"")
        paths.add(other)
    if owner == "source":  # bytecode belongs to whom its source belongs: is this taken for bytecode?
        source = f"{place.removesuffix('__pycache__')}x.py" if place.endswith("__pycache__") else f"{place}/x.py"
        files[source.lstrip("/")] = member(b"x = 1\n")
        files |= {at: member(line) for at, line in record(source.lstrip("/"), b"x = 1\n", "wheel").items()}
    elif owner:
        lines = record(path, b"another" if owner == "wrong" else held, "package" if owner == "wrong" else owner)
        assume(path not in lines)
        files |= {at: member(line) for at, line in lines.items()}
    layers = [archive(files)]
    if layer == "below":
        layers.append(archive({"etc/hostname": member(b"")}))
    elif layer != "only":
        layers.append(archive({at: each for one in sorted(paths) for at, each in above(one, layer, held).items()}))
    told = judged(stack, layers, RULES | {"MSB109"})
    note(f"{path}: {told}")
    places = {line.partition(" ")[2].partition(": ")[0].partition(" (layer")[0].partition("!/")[0] for line in told}
    assert any(one in places or any(one.startswith(f"{each}/") for each in places) for one in paths)
