"""Saved images: what `docker save`, `podman save` or an OCI exporter wrote, as an archive or as a folder."""

import gzip
import json
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, Protocol, Self

import zstandard

from msb.errors import MsbError
from msb.tree import Archive, Layer

UNPACK: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\x28\xb5\x2f\xfd": lambda packed: zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True),
}
"""First bytes of a compressed layer -> what reads it; OCI's media types name these two."""
_DIGEST = re.compile(r"[a-z0-9+._-]+:[A-Fa-f0-9]+")
_BLOCK = 1 << 20
_DAMAGE = (
    OSError, EOFError, tarfile.TarError, zlib.error, zstandard.ZstdError,
    ValueError, TypeError, AttributeError, RecursionError,
)  # fmt: skip
"""What a damaged archive, or one that is none, makes the libraries raise."""


@dataclass(frozen=True)
class Manifest:
    """One image of a saved set. platform: as in linux/arm64/v8; document: its configuration; layers: base first."""

    platform: str
    document: dict[str, Any]
    layers: tuple[str, ...]


class Unpacked:
    """Layers that are open for reading, each unpacked once; closed when this context manager ends.

    OCI layouts in folders may share one: there the name of a layer is its digest.
    """

    def __init__(self, scratch: Path) -> None:
        """scratch: a folder that takes what had to be unpacked."""
        self._scratch = scratch
        self._layers: dict[str, Archive] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def layer(self, name: str, packed: Callable[[], IO[bytes]]) -> Archive:
        """Return a layer by its name. packed: opens it; raises what damaged archives make the libraries raise."""
        if name not in self._layers:
            archive = Archive(self.plain(packed()))
            self._open.callback(archive.close)
            archive.entries  # noqa: B018 damage shows here, and not while a rule looks
            self._layers[name] = archive
        return self._layers[name]

    def plain(self, stream: IO[bytes]) -> IO[bytes]:
        """Return the stream itself, or a file with what it holds unpacked, for members are read out of order.

        Blocks of zeros become holes of the file: a large sparse file in a layer takes no space here either.
        """
        magic = stream.read(4)
        stream.seek(0)
        unpack = next((unpack for start, unpack in UNPACK.items() if magic.startswith(start)), None)
        if not unpack:
            return stream
        file = self._open.enter_context(tempfile.TemporaryFile(dir=self._scratch))  # noqa: SIM115
        with unpack(stream) as plain:
            while block := plain.read(_BLOCK):
                if block.count(0) == len(block):
                    file.seek(len(block), 1)
                else:
                    file.write(block)
        file.truncate()
        file.seek(0)
        return file


class Saved:
    """An OCI layout, a classic archive, or (as Docker writes) both in one.

    Use it as a context manager; raises MsbError on entering where there is no image in it.
    """

    def __init__(self, path: Path, unpacked: Unpacked) -> None:
        """path: the archive or folder; unpacked: takes what is unpacked of it."""
        self._path = path
        self._unpacked = unpacked
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._readable():
            self._blobs: _Blobs = _Directory(self._path) if self._path.is_dir() else self._archive()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def manifests(self) -> list[Manifest]:
        """Every image whose parts are all there, one for each platform; raises MsbError when there is none."""
        with self._readable():
            found = [*self._of_the_index(), *self._of_the_classic_manifest()]
        if not found:
            raise MsbError(f"{self._path}: there is no image in it: save one, as docker save --output image.tar IMAGE")
        one_each: dict[str, Manifest] = {}
        for manifest in found:
            known = one_each.setdefault(manifest.platform, manifest)
            if known.document != manifest.document:  # the same image stands in both manifests of Docker's archives
                raise MsbError(f"{self._path}: there are several images for {manifest.platform} in it: save one alone")
        return list(one_each.values())

    def layers(self, manifest: Manifest) -> list[Layer]:
        """Return the layers of one image."""
        with self._readable():
            packed = {name: partial(self._blobs.open, name) for name in manifest.layers}
            return [Layer(name, self._unpacked.layer(name, packed[name])) for name in manifest.layers]

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            raise MsbError(f"{self._path}: {error.args[0]} is missing in the saved image: save it again") from error
        except _DAMAGE as error:
            raise MsbError(f"{self._path}: cannot be read as a saved image: {error}") from error

    def _archive(self) -> "_Tar":
        stream = self._open.enter_context(self._path.open("rb"))
        return _Tar(self._open.enter_context(tarfile.open(fileobj=self._unpacked.plain(stream), mode="r:")))

    def _of_the_index(self) -> Iterator[Manifest]:
        if self._blobs.has("index.json"):
            yield from self._listed(self._json("index.json"))

    def _listed(self, index: dict[str, Any]) -> Iterator[Manifest]:
        for descriptor in index["manifests"]:
            name = _blob(descriptor["digest"])
            if not self._blobs.has(name):
                continue  # a platform that was not pulled, or is not saved
            document = self._json(name)
            if "manifests" in document:
                yield from self._listed(document)
                continue
            names = tuple(_blob(layer["digest"]) for layer in document["layers"])
            configuration = _blob(document["config"]["digest"])
            if all(self._blobs.has(part) for part in (configuration, *names)):
                yield from self._image(configuration, names)

    def _of_the_classic_manifest(self) -> Iterator[Manifest]:
        for image in self._json("manifest.json") if self._blobs.has("manifest.json") else []:
            yield from self._image(image["Config"], tuple(image["Layers"]))

    def _image(self, configuration: str, layers: tuple[str, ...]) -> Iterator[Manifest]:
        """The image of a configuration; none for what is stored like an image and is none, as a build's provenance."""
        document = self._json(configuration)
        if isinstance(document, dict) and document.get("os", "unknown") != "unknown":
            parts = (document["os"], document.get("architecture"), document.get("variant"))
            yield Manifest("/".join(part for part in parts if part), document, layers)

    def _json(self, name: str) -> Any:
        with self._blobs.open(name) as stream:
            return json.load(stream)


class _Blobs(Protocol):
    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> IO[bytes]:
        """Open a part by its name; raises KeyError when it is not there."""


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._names = {member.name.removeprefix("./"): member for member in tar}

    def has(self, name: str) -> bool:
        return name in self._names

    def open(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(self._names[name])
        if stream is None:
            raise KeyError(name)
        return stream


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def has(self, name: str) -> bool:
        path = (self._root / name).resolve()
        return path.is_relative_to(self._root) and path.is_file()

    def open(self, name: str) -> IO[bytes]:
        if not self.has(name):
            raise KeyError(name)
        return (self._root / name).open("rb")


def _blob(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    return "blobs/" + digest.replace(":", "/")
