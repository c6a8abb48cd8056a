"""An image read as data: its file tree, layers, configuration and history. Nothing of it is run."""

import gzip
import json
import shutil
import subprocess
import tarfile
import tempfile
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import zstandard
from python_on_whales.exceptions import DockerException, NoSuchImage

from msb.engine import Engine
from msb.errors import MsbError

LABEL = "msb"
"""The label (value "1") of every container that msb creates from an image."""
HEAD = 4
"""Bytes of every file that are read with the tree: enough to tell ELF and #! files."""
UNPACK: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\x28\xb5\x2f\xfd": lambda packed: zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True),
}
"""First bytes of a compressed layer -> what reads it; OCI's media types name these two."""
_LINKS = 40  # as Linux: a longer chain of links is a loop
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.LNKTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


@dataclass(frozen=True)
class Entry:
    """One path of a tree.

    path: relative to the root, without a leading slash; kind: file, folder, link (symbolic), device or pipe;
    mode: permission bits with setuid, setgid and sticky; size: bytes; target: where a link points, else "";
    xattrs: names of the extended attributes; head: the first HEAD bytes of a file; hard: the path that this
    hard link shares its content with, else "".
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    xattrs: tuple[str, ...]
    head: bytes
    hard: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def elf(self) -> bool:
        """Whether this file is machine code."""
        return self.head == b"\x7fELF"

    @property
    def modules(self) -> bool:
        """Whether it holds the modules of a Java runtime, as the file lib/modules does."""
        return self.head == b"\xda\xda\xfe\xca"

    @property
    def program(self) -> bool:
        """Whether this file is something that can be run: machine code or a script with a #! line."""
        return self.elf or self.head.startswith(b"#!")


class Archive:
    """An uncompressed tar archive on disk, whose members are read when they are asked for."""

    def __init__(self, source: Path | IO[bytes]) -> None:
        self._file = source.open("rb") if isinstance(source, Path) else source
        self._tar = tarfile.open(fileobj=self._file, mode="r:")  # noqa: SIM115

    def close(self) -> None:
        """Close the file."""
        self._tar.close()
        self._file.close()

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every member by path, in the archive's order."""
        found: dict[str, Entry] = {}
        for member in self._tar:
            path = _clean(member.name)
            if path:
                found[path] = self._entry(path, member, found)
        return found

    @cached_property
    def _members(self) -> dict[str, tarfile.TarInfo]:
        return {_clean(member.name): member for member in self._tar}

    def read(self, entry: Entry) -> bytes:
        """Return a file's content; b"" for what is not a file."""
        member = self._members[entry.hard or entry.path]
        stream = self._tar.extractfile(member) if member.isreg() else None
        return stream.read() if stream else b""

    def _entry(self, path: str, member: tarfile.TarInfo, earlier: dict[str, Entry]) -> Entry:
        hard = _clean(member.linkname) if member.islnk() else ""
        head = b""
        if hard:
            head = earlier[hard].head if hard in earlier else b""
        elif member.isreg():
            stream = self._tar.extractfile(member)
            head = stream.read(HEAD) if stream else b""
        return Entry(
            path=path,
            kind=_KINDS.get(member.type, "file"),
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            size=earlier[hard].size if hard in earlier else member.size,
            target=member.linkname if member.issym() else "",
            xattrs=tuple(key[13:] for key in member.pax_headers if key.startswith("SCHILY.xattr.")),
            head=head,
            hard=hard,
        )


@dataclass(frozen=True)
class Tree:
    """An image's file tree, as a container of it would see it; size: bytes of the uncompressed export tar."""

    archive: Archive
    size: int

    @property
    def entries(self) -> dict[str, Entry]:
        """Every entry by path."""
        return self.archive.entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.archive.entries.values())

    def read(self, entry: Entry) -> bytes:
        """Return a file's content."""
        return self.archive.read(entry)

    def text(self, path: str) -> str | None:
        """Return the text of the file at `path`, links followed, or None when there is none."""
        entry = self.resolve(path)
        return self.read(entry).decode("utf-8", "replace") if entry and entry.kind == "file" else None

    def resolve(self, path: str) -> Entry | None:
        """Return the entry that `path` leads to with every link on the way followed, or None."""
        left = [part for part in path.split("/") if part not in ("", ".")]
        place: list[str] = []
        followed = 0
        while left:
            part = left.pop(0)
            if part == "..":
                place = place[:-1]
                continue
            entry = self.entries.get("/".join([*place, part]))
            if entry is None:
                return None
            if entry.kind != "link":
                place.append(part)
                continue
            followed += 1
            if followed > _LINKS:
                return None
            if entry.target.startswith("/"):
                place = []
            left = [step for step in entry.target.split("/") if step not in ("", ".")] + left
        return self.entries.get("/".join(place))

    def which(self, program: str, path: str) -> Entry | None:
        """Return the file that running `program` with PATH=`path` (folders separated by colons) would start."""
        folders = [""] if "/" in program else path.split(":")
        for folder in folders:
            entry = self.resolve(f"{folder}/{program}")
            if entry and entry.kind == "file" and entry.mode & 0o111:
                return entry
        return None


@dataclass(frozen=True)
class Layer:
    """One layer of an image: its digest (sha256:...) or path in the archive, and its members by path."""

    name: str
    archive: Archive


@dataclass
class Image:
    """An image of an engine; use it as a context manager, which removes the temporary files.

    Raises MsbError on entering when there is no such image.
    """

    engine: Engine
    reference: str
    _folder: Path = field(default_factory=Path, init=False, repr=False)
    _open: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __enter__(self) -> Self:
        try:
            self.engine.client.image.inspect(self.reference)
        except NoSuchImage:
            raise MsbError(f"no such image: {self.reference} (`docker image ls` lists what there is)") from None
        except DockerException as error:
            raise MsbError(f"cannot look at image {self.reference!r}: {_last_line(error.stderr)}") from None
        self._folder = Path(tempfile.mkdtemp(prefix="msb-image-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @cached_property
    def inspected(self) -> dict[str, Any]:
        """What `docker image inspect` says."""
        found: list[dict[str, Any]] = json.loads(self.engine.run("image", "inspect", self.reference).stdout)
        return found[0]

    @property
    def config(self) -> dict[str, Any]:
        """The image's configuration: User, Env, Entrypoint, Cmd, ExposedPorts, Labels, Healthcheck and so on."""
        return self.inspected.get("Config") or {}

    @property
    def env(self) -> dict[str, str]:
        """The environment the image sets."""
        return dict(pair.partition("=")[::2] for pair in self.config.get("Env") or [])

    @property
    def command(self) -> list[str]:
        """Entrypoint and command, as one list."""
        return [*(self.config.get("Entrypoint") or []), *(self.config.get("Cmd") or [])]

    @property
    def ports(self) -> list[int]:
        """The declared ports, in order."""
        return sorted(int(port.partition("/")[0]) for port in self.config.get("ExposedPorts") or {})

    @cached_property
    def history(self) -> list[str]:
        """The instruction of each history entry, newest first."""
        lines = self.engine.run("history", "--no-trunc", "--format", "{{json .CreatedBy}}", self.reference).stdout
        return [str(json.loads(line)) for line in lines.splitlines()]

    @cached_property
    def tree(self) -> Tree:
        """The file tree, by `docker create` and `docker export`; it holds the engine's own /dev, /etc/hosts etc."""
        path = self._folder / "tree.tar"
        with created(self.engine, self.reference) as container:
            self.engine.client.container.export(container, path)
        archive = Archive(path)
        self._open.callback(archive.close)
        return Tree(archive, path.stat().st_size)

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers from the first to the last, by `docker save`; deleted files are still in them."""
        path = self._folder / "saved.tar"
        self.engine.run("image", "save", "--output", str(path), self.reference)
        platform = {"os": self.inspected.get("Os"), "architecture": self.inspected.get("Architecture")}
        saved = Saved(path, platform, self._folder)
        self._open.callback(saved.close)
        layers = saved.layers()
        for layer in layers:
            self._open.callback(layer.archive.close)
        return layers


class Saved:
    """What `docker save` wrote: an OCI layout, a classic archive, or (as the containerd store does) both in one."""

    def __init__(self, path: Path, platform: dict[str, Any], folder: Path) -> None:
        """platform: its os and architecture, as OCI writes them; folder: takes the unpacked layers."""
        self._tar = tarfile.open(path)  # noqa: SIM115
        self._platform = platform
        self._folder = folder

    def close(self) -> None:
        """Close the file."""
        self._tar.close()

    def layers(self) -> list[Layer]:
        """Return the layers of the platform's image; raise MsbError when the archive has none that can be read."""
        try:
            return [Layer(name, Archive(self._unpacked(name))) for name in self._layer_names()]
        except (KeyError, OSError, EOFError, tarfile.TarError, zlib.error, zstandard.ZstdError) as error:
            raise MsbError(f"cannot read what `docker save` wrote: {error}") from error

    def _unpacked(self, name: str) -> IO[bytes]:
        """The layer's tar; one that is compressed is unpacked to a file, for its members are read out of order."""
        stream = self._stream(name)
        magic = stream.read(4)
        stream.seek(0)
        unpack = next((unpack for start, unpack in UNPACK.items() if magic.startswith(start)), None)
        if not unpack:
            return stream
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        with unpack(stream) as plain:
            shutil.copyfileobj(plain, file)
        file.seek(0)
        return file

    def _layer_names(self) -> list[str]:
        if "manifest.json" in self._tar.getnames():
            return list(self._json("manifest.json")[0]["Layers"])
        return self._from_index(self._json("index.json"))

    def _from_index(self, index: dict[str, Any]) -> list[str]:
        for descriptor in index["manifests"]:
            platform = descriptor.get("platform")
            if platform and any(platform.get(key) != value for key, value in self._platform.items()):
                continue
            document = self._json(_blob(descriptor["digest"]))
            if "manifests" in document:
                return self._from_index(document)
            return [_blob(layer["digest"]) for layer in document["layers"]]
        raise MsbError(f"the saved image has nothing for {self._platform['os']}/{self._platform['architecture']}")

    def _json(self, name: str) -> Any:
        return json.load(self._stream(name))

    def _stream(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(name)
        if stream is None:
            raise KeyError(name)
        return stream


@contextmanager
def created(engine: Engine, reference: str) -> Iterator[str]:
    """A container of the image that is never started; yields its name and always removes it.

    The working directory is set to / because the engine creates a missing one, and rule 307 asks for it.
    """
    name = f"msb-{uuid.uuid4().hex[:12]}"
    try:
        engine.client.container.create(reference, ["none"], name=name, labels={LABEL: "1"}, pull="never", workdir="/")
        yield name
    finally:
        remove(engine, name)


def remove(engine: Engine, container: str) -> None:
    """Remove a container and its volumes, running or not, there or not."""
    subprocess.run([*engine.command, "rm", "--force", "--volumes", container], capture_output=True, check=False)


def _clean(path: str) -> str:
    return path.strip("/").removeprefix("./").rstrip("/") if path not in (".", "./") else ""


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _last_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[-1] if lines else "no message"
