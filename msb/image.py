"""An image read as data, whatever form it comes in: tree, layers, configuration, history. Nothing of it is run."""

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from msb.engine import Engine
from msb.errors import MsbError, SkippedError
from msb.saved import Manifest, Saved, Unpacked
from msb.tree import Archive, Entry, Folder, Layer, Merged, Tree, packed

__all__ = ["LABEL", "Archive", "Entry", "Image", "Layer", "Saved", "Tree", "Unpacked", "created", "images", "remove"]

LABEL = f"msb={os.getpid()}"
"""The label of every container that this process creates from an image."""
_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.zst")


class _Source(ABC):
    """Where an image comes from. platform: as in linux/amd64."""

    platform: str

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """User, Env, Entrypoint, Cmd, ExposedPorts, Labels, Healthcheck and so on."""

    @property
    @abstractmethod
    def history(self) -> list[str]:
        """The instruction of each history entry, newest first."""

    @property
    @abstractmethod
    def digests(self) -> list[str]:
        """The digest of each unpacked layer, from the first to the last."""

    @abstractmethod
    def tree(self) -> Tree:
        """The file tree."""

    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers from the first to the last; deleted files are still in them."""


class Image:
    """An image and what can be read of it; use it as a context manager, which removes the temporary files.

    engine: the engine that has it, or None; reference: its name, or the path it was read from. Without a source it is
    the engine's image of that name, and entering raises MsbError when there is none.
    """

    def __init__(self, engine: Engine | None, reference: str, source: _Source | None = None) -> None:
        self.engine = engine
        self.reference = reference
        self._given = source
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._given is None:
            if self.engine is None:
                raise MsbError(f"{self.reference}: an engine is needed to look at an image by its name")
            self._given = self._open.enter_context(_engines(self.engine, self.reference))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def _source(self) -> _Source:
        assert self._given is not None, "enter the image before you look"  # noqa: S101
        return self._given

    @property
    def platform(self) -> str:
        """What it runs on, as in linux/amd64."""
        return self._source.platform

    @property
    def config(self) -> dict[str, Any]:
        """The image's configuration: User, Env, Entrypoint, Cmd, ExposedPorts, Labels, Healthcheck and so on."""
        return self._source.config

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

    @property
    def history(self) -> list[str]:
        """The instruction of each history entry, newest first."""
        return self._source.history

    @property
    def digests(self) -> list[str]:
        """The digest of each unpacked layer, from the first to the last."""
        return self._source.digests

    @cached_property
    def tree(self) -> Tree:
        """The file tree, as a container of it would see it."""
        return self._source.tree()

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers from the first to the last; deleted files are still in them."""
        return self._source.layers()


@contextmanager
def images(
    reference: str, engine_of: Callable[[], Engine], platform: str = "", unpacked: Unpacked | None = None
) -> Iterator[list[Image]]:
    """Yield the image, once for each of its platforms that is there: an engine's, a saved one or a root file system.

    A path starts with / or . or ~, or ends as a saved image does (.tar); everything else is the name of an image of the
    engine, which is asked for only then. platform: only that one; unpacked: the layers that other saved images share
    with it. Raises MsbError when there is nothing to look at.
    """
    with ExitStack() as entered:
        path = _path(reference)
        engine = None
        if path and _is_root(path):
            if platform:
                raise MsbError(f"{reference}: a root file system does not say its platform: leave --platform out")
            yield [Image(None, reference, _RootFolder(path))]
            return
        scratch = entered.enter_context(scratch_folder())
        if path is None:
            engine = engine_of()
            _inspected(engine, reference)
            path = _save(engine, reference, scratch)
        saved = entered.enter_context(Saved(path, unpacked or entered.enter_context(Unpacked(scratch))))
        chosen = [each for each in saved.manifests if not platform or _fits(each.platform, platform)]
        if not chosen:
            there = ", ".join(manifest.platform for manifest in saved.manifests)
            raise MsbError(f"{reference} has nothing for {platform}: there is {there}")
        yield [Image(engine, reference, _SavedImage(saved, manifest)) for manifest in chosen]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for unpacked layers, removed whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="msb-image-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _SavedImage(_Source):
    """One image of a saved set."""

    def __init__(self, saved: Saved, manifest: Manifest) -> None:
        self._saved = saved
        self._manifest = manifest
        self.platform = manifest.platform

    @property
    def config(self) -> dict[str, Any]:
        return self._manifest.document.get("config") or {}

    @property
    def history(self) -> list[str]:
        steps = self._manifest.document.get("history") or []
        return [str(step.get("created_by", "")) for step in reversed(steps)]

    @property
    def digests(self) -> list[str]:
        return list((self._manifest.document.get("rootfs") or {}).get("diff_ids") or [])

    def tree(self) -> Tree:
        merged = Merged([layer.archive for layer in self.layers()])
        return Tree(merged, packed(merged.entries.values()))

    def layers(self) -> list[Layer]:
        return self._layers

    @cached_property
    def _layers(self) -> list[Layer]:
        return self._saved.layers(self._manifest)


class _RootFolder(_Source):
    """A plain root file system: files, and nothing that an image says about itself."""

    platform = ""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def config(self) -> dict[str, Any]:
        raise SkippedError("a root file system has no configuration")

    @property
    def history(self) -> list[str]:
        raise SkippedError("a root file system has no history")

    @property
    def digests(self) -> list[str]:
        raise SkippedError("a root file system has no layers")

    def tree(self) -> Tree:
        folder = Folder(self._path)
        return Tree(folder, packed(folder.entries.values()))

    def layers(self) -> list[Layer]:
        raise SkippedError("a root file system has no layers")


class _Engines(_Source):
    """An engine's image for this machine, read by the engine: its tree is there before it is saved and unpacked."""

    def __init__(self, engine: Engine, reference: str, folder: Path, opened: ExitStack) -> None:
        self._engine = engine
        self._reference = reference
        self._folder = folder
        self._open = opened
        self._inspected = _inspected(engine, reference)
        parts = (self._inspected.get(key) for key in ("Os", "Architecture", "Variant"))
        self.platform = "/".join(part for part in parts if part)

    @property
    def config(self) -> dict[str, Any]:
        return self._inspected.get("Config") or {}

    @cached_property
    def history(self) -> list[str]:
        lines = self._engine.run("history", "--no-trunc", "--format", "{{json .CreatedBy}}", self._reference).stdout
        return [str(json.loads(line)) for line in lines.splitlines()]

    @property
    def digests(self) -> list[str]:
        return list((self._inspected.get("RootFS") or {}).get("Layers") or [])

    def tree(self) -> Tree:
        """By `docker create` and `docker export`; it holds the engine's own /dev, /etc/hosts and so on."""
        path = self._folder / "tree.tar"
        with created(self._engine, self._reference) as container:
            self._engine.run("export", "--output", str(path), container)
        archive = Archive(path)
        self._open.callback(archive.close)
        return Tree(archive, path.stat().st_size)

    def layers(self) -> list[Layer]:
        unpacked = self._open.enter_context(Unpacked(self._folder))
        saved = self._open.enter_context(Saved(_save(self._engine, self._reference, self._folder), unpacked))
        for manifest in saved.manifests:
            if _fits(manifest.platform, self.platform):
                return saved.layers(manifest)
        raise MsbError(f"the saved image has nothing for {self.platform}")


@contextmanager
def _engines(engine: Engine, reference: str) -> Iterator[_Engines]:
    with scratch_folder() as folder, ExitStack() as opened:
        yield _Engines(engine, reference, folder, opened)


@contextmanager
def created(engine: Engine, reference: str) -> Iterator[str]:
    """A container of the image that is never started; yields its name and always removes it.

    The working directory is set to / because the engine creates a missing one, and rule 307 asks for it.
    """
    name = f"msb-{uuid.uuid4().hex[:12]}"
    try:
        options = ("--name", name, "--label", LABEL, "--pull", "never", "--workdir", "/")
        engine.run("create", *options, reference, "none")
        yield name
    finally:
        remove(engine, name)


def remove(engine: Engine, container: str) -> None:
    """Remove a container and its volumes, running or not, there or not."""
    subprocess.run([*engine.command, "rm", "--force", "--volumes", container], capture_output=True, check=False)


def _inspected(engine: Engine, reference: str) -> dict[str, Any]:
    """What the engine says of an image; raises MsbError when it has none of that name."""
    result = engine.run("image", "inspect", reference, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        if "no such" in lines[-1].lower():
            hint = f"write ./{reference} for the file" if Path(reference).exists() else "`docker image ls` lists them"
            raise MsbError(f"no such image: {reference} ({hint})")
        raise MsbError(f"cannot look at image {reference!r}: {lines[-1]}")
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found[0]


def _save(engine: Engine, reference: str, folder: Path) -> Path:
    path = folder / "saved.tar"
    engine.run("image", "save", "--output", str(path), reference)
    return path


def _path(reference: str) -> Path | None:
    """The path that a reference is, or None for the name of an engine's image."""
    path = Path(reference).expanduser()
    if not reference.startswith((".", "/", "~")) and not reference.endswith(_ARCHIVES):
        return None
    if not path.exists():
        raise MsbError(f"{reference}: there is no such file or folder")
    return path


def _is_root(path: Path) -> bool:
    """Whether a folder is a root file system, and not a saved image."""
    return path.is_dir() and not any((path / name).is_file() for name in ("oci-layout", "index.json", "manifest.json"))


def _fits(platform: str, wanted: str) -> bool:
    """Whether a platform is the wanted one, whose variant may be left out."""
    return platform == wanted or platform.startswith(f"{wanted}/") or wanted.startswith(f"{platform}/")
