"""Is an image read as it is: tree, links, layers of every archive form, and is nothing left behind?"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard

from msb.engine import Engine
from msb.errors import MsbError
from msb.image import LABEL, Archive, Image, Saved, Tree, created
from msb.stacks import Stack

AMD64 = {"os": "linux", "architecture": "amd64"}


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def tree(*members: tuple[tarfile.TarInfo, bytes]) -> Tree:
    data = tar(members)
    return Tree(Archive(io.BytesIO(data)), len(data))


def test_an_entry_carries_what_the_archive_says_of_it() -> None:
    found = tree(
        member("./app/server", b"\x7fELF and more", mode=0o4755, uid=65532, gid=5,
               pax_headers={"SCHILY.xattr.security.capability": "x"}),
        link("app/alias", "server"),
        folder("tmp/"),
    )  # fmt: skip
    server = found.entries["app/server"]
    assert (server.kind, server.mode, server.uid, server.gid, server.size) == ("file", 0o4755, 65532, 5, 13)
    assert server.elf
    assert server.xattrs == ("security.capability",)
    assert found.read(server) == b"\x7fELF and more"
    assert (found.entries["app/alias"].kind, found.entries["app/alias"].target) == ("link", "server")
    assert found.entries["tmp"].kind == "folder"


def test_a_hard_link_is_the_file_it_shares_its_content_with() -> None:
    found = tree(member("bin/gcc", b"\x7fELF"), link("app/notes", "bin/gcc", tarfile.LNKTYPE))
    notes = found.entries["app/notes"]
    assert (notes.kind, notes.elf, notes.size, found.read(notes)) == ("file", True, 4, b"\x7fELF")


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("usr/bin/tool", "usr/bin/tool"),
        ("/bin/tool", "usr/bin/tool"),
        ("app/relative", "usr/bin/tool"),
        ("app/absolute", "usr/bin/tool"),
        ("app/chain", "usr/bin/tool"),
        ("app/out-of-the-root", "usr/bin/tool"),
        ("usr/bin/../bin/tool", "usr/bin/tool"),
        ("app/loop", None),
        ("app/dangling", None),
        ("absent", None),
    ],
)
def test_links_are_followed_as_the_kernel_follows_them_inside_the_image(path: str, end: str | None) -> None:
    found = tree(
        folder("usr"), folder("usr/bin"), member("usr/bin/tool", b"#!", mode=0o755), link("bin", "usr/bin"),
        folder("app"), link("app/relative", "../usr/bin/tool"), link("app/absolute", "/bin/tool"),
        link("app/chain", "absolute"), link("app/out-of-the-root", "../../../bin/tool"),
        link("app/loop", "loop"), link("app/dangling", "/nowhere"),
    )  # fmt: skip
    entry = found.resolve(path)
    assert (entry.path if entry else None) == end


def test_a_program_is_found_on_the_path_only_when_it_can_be_run() -> None:
    found = tree(
        folder("a"), member("a/tool", b"#!", mode=0o644), folder("b"), member("b/tool", b"#!", mode=0o755)
    )  # fmt: skip
    program = found.which("tool", "/a:/b")
    assert program
    assert program.path == "b/tool"
    assert found.which("/a/tool", "/a:/b") is None


LAYERS = [tar([member("etc/key", b"secret")]), tar([member("etc/.wh.key")])]


def classic(path: Path) -> None:
    names = ["aaa/layer.tar", "bbb/layer.tar"]
    manifest = json.dumps([{"Config": "c.json", "Layers": names}]).encode()
    path.write_bytes(tar([member("manifest.json", manifest), *map(member, names, LAYERS)]))


def oci(path: Path, compress: Callable[[bytes], bytes] = gzip.compress) -> None:
    """An index of two platforms, as the containerd store saves it, with compressed layers and no classic manifest."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", **more}

    def image(layers: list[bytes]) -> bytes:
        return json.dumps({"layers": [blob(compress(layer)) for layer in layers]}).encode()

    inner = {
        "manifests": [
            blob(image([tar([member("wrong")])]), platform={"os": "linux", "architecture": "arm64"}),
            blob(image(LAYERS), platform=AMD64),
        ]
    }
    index = json.dumps({"manifests": [blob(json.dumps(inner).encode())]}).encode()
    path.write_bytes(tar([member("index.json", index), *(member(name, data) for name, data in blobs.items())]))


def zstd(path: Path) -> None:
    """Two frames a layer, as a parallel packer leaves them."""
    oci(path, lambda layer: zstandard.compress(layer[:300]) + zstandard.compress(layer[300:]))


@pytest.mark.parametrize("write", [classic, oci, zstd])
def test_layers_are_read_in_order_from_every_form_of_saved_image(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "saved.tar")
    layers = Saved(tmp_path / "saved.tar", AMD64, tmp_path).layers()
    assert [list(layer.archive.entries) for layer in layers] == [["etc/key"], ["etc/.wh.key"]]
    first = layers[0].archive
    assert first.read(first.entries["etc/key"]) == b"secret"


def test_a_saved_image_of_another_platform_is_refused_in_one_line(tmp_path: Path) -> None:
    oci(tmp_path / "saved.tar")
    with pytest.raises(MsbError, match=r"^the saved image has nothing for linux/riscv64$"):
        Saved(tmp_path / "saved.tar", {"os": "linux", "architecture": "riscv64"}, tmp_path).layers()


@pytest.mark.parametrize("start", [b"\x28\xb5\x2f\xfd", b"\x1f\x8b"])
def test_a_layer_that_cannot_be_unpacked_is_an_error_not_an_empty_layer(start: bytes, tmp_path: Path) -> None:
    manifest = json.dumps([{"Layers": ["layer"]}]).encode()
    data = tar([member("manifest.json", manifest), member("layer", start + b" rest")])
    (tmp_path / "saved.tar").write_bytes(data)
    with pytest.raises(MsbError, match="cannot read what `docker save` wrote"):
        Saved(tmp_path / "saved.tar", AMD64, tmp_path).layers()


def test_a_base_without_a_command_is_read_whole_and_leaves_no_container(engine: Engine, stack: Stack) -> None:
    before = containers(engine)
    with Image(engine, stack.bases[0]) as image:
        assert "nonroot" in (image.tree.text("etc/passwd") or "")
        assert image.config["User"] == "65532"
        assert {"etc/passwd", "tmp"} <= {path for layer in image.layers for path in layer.archive.entries}
        assert image.tree.size > sum(entry.size for entry in image.tree)
        assert image.tree.size % 512 == 0
    assert containers(engine) == before


def test_history_is_told_newest_first(engine: Engine, runtime: str) -> None:
    with Image(engine, runtime) as image:
        assert image.history[0].startswith("LABEL org.opencontainers.image")
        assert any(line.startswith("ENTRYPOINT") for line in image.history)


def test_an_image_that_is_not_there_is_one_clear_line(engine: Engine) -> None:
    with pytest.raises(MsbError, match=r"^no such image: msb-absent:none \("), Image(engine, "msb-absent:none"):
        pass


@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt])
def test_the_container_of_an_interrupted_look_is_removed(
    engine: Engine, stack: Stack, end: type[BaseException]
) -> None:
    names = []

    def look() -> None:
        with created(engine, stack.bases[0]) as name:
            names.append(name)
            assert name in containers(engine)
            raise end

    with pytest.raises(end):
        look()
    assert not set(names) & containers(engine)


def containers(engine: Engine) -> set[str]:
    listed = engine.run("ps", "--all", "--filter", f"label={LABEL}=1", "--format", "{{.Names}}").stdout
    return set(listed.split())
