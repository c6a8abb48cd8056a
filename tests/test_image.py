"""Is an image read as it is: tree, links, layers of every archive form, and is nothing left behind?"""

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard

from msb.engine import Engine
from msb.errors import MsbError, SkippedError
from msb.image import LABEL, Archive, Image, Tree, created, images
from msb.stacks import Stack


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


LAYERS = [tar([folder("etc"), member("etc/key", b"secret")]), tar([member("etc/.wh.key")])]


def document(architecture: str = "amd64") -> bytes:
    steps = [{"created_by": "COPY key /etc/"}, {"created_by": "RUN rm /etc/key"}]
    return json.dumps({"os": "linux", "architecture": architecture, "config": {}, "history": steps}).encode()


def classic(path: Path) -> None:
    names = ["aaa/layer.tar", "bbb/layer.tar"]
    manifest = json.dumps([{"Config": "c.json", "Layers": names}]).encode()
    parts = [member("manifest.json", manifest), member("c.json", document()), *map(member, names, LAYERS)]
    path.write_bytes(tar(parts))


def blobs(compress: Callable[[bytes], bytes] = gzip.compress) -> dict[str, bytes]:
    """An index of two platforms, as the containerd store saves it, with compressed layers and no classic manifest.

    A third platform is named and not there, and a build's provenance is stored like an image.
    """
    found: dict[str, bytes] = {}

    def blob(content: bytes, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        found[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", **more}

    def image(layers: list[bytes], configuration: bytes) -> bytes:
        packed = [blob(compress(layer)) for layer in layers]
        return json.dumps({"config": blob(configuration), "layers": packed}).encode()

    inner = {
        "manifests": [
            blob(image([tar([member("other")])], document("arm64"))),
            blob(image(LAYERS, document())),
            {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}},
            blob(image([b"provenance"], b'{"os": "unknown", "architecture": "unknown"}')),
        ]
    }
    found["index.json"] = json.dumps({"manifests": [blob(json.dumps(inner).encode())]}).encode()
    return found


def oci(path: Path, compress: Callable[[bytes], bytes] = gzip.compress) -> None:
    path.write_bytes(tar(member(name, data) for name, data in blobs(compress).items()))


def zstd(path: Path) -> None:
    """Two frames a layer, as a parallel packer leaves them."""
    oci(path, lambda layer: zstandard.compress(layer[:300]) + zstandard.compress(layer[300:]))


def packed_again(path: Path) -> None:
    """`docker save | gzip`."""
    oci(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def layout(path: Path) -> None:
    """An OCI layout: the same as a folder."""
    for name, data in blobs().items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def no_engine() -> Engine:
    raise AssertionError("a path needs no engine")


def read(path: Path, platform: str = "linux/amd64") -> list[tuple[Image, list[list[str]]]]:
    with images(str(path), no_engine, platform) as found:
        return [(image, [list(layer.archive.entries) for layer in image.layers]) for image in found]


@pytest.mark.parametrize("write", [classic, oci, zstd, packed_again, layout])
def test_a_saved_image_is_read_without_an_engine_in_every_form(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    write(path)
    with images(str(path), no_engine, "linux/amd64") as (image,):
        assert [list(layer.archive.entries) for layer in image.layers] == [["etc", "etc/key"], ["etc/.wh.key"]]
        first = image.layers[0].archive
        assert first.read(first.entries["etc/key"]) == b"secret"
        assert list(image.tree.entries) == ["etc"]
        assert image.history == ["RUN rm /etc/key", "COPY key /etc/"]
        assert image.platform == "linux/amd64"


def test_every_platform_that_is_there_is_read_and_one_that_is_named_alone(tmp_path: Path) -> None:
    oci(tmp_path / "saved.tar")
    assert [image.platform for image, _ in read(tmp_path / "saved.tar", "")] == ["linux/arm64", "linux/amd64"]
    assert [layers for _, layers in read(tmp_path / "saved.tar", "linux/arm64")] == [[["other"]]]


def test_a_platform_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    oci(tmp_path / "saved.tar")
    with pytest.raises(MsbError, match=r"has nothing for linux/s390x: there is linux/arm64, linux/amd64$"):
        read(tmp_path / "saved.tar", "linux/s390x")


@pytest.mark.parametrize("start", [b"\x28\xb5\x2f\xfd", b"\x1f\x8b"])
def test_a_layer_that_cannot_be_unpacked_is_an_error_not_an_empty_layer(start: bytes, tmp_path: Path) -> None:
    manifest = json.dumps([{"Config": "c", "Layers": ["layer"]}]).encode()
    parts = [member("manifest.json", manifest), member("c", document()), member("layer", start + b" rest")]
    (tmp_path / "saved.tar").write_bytes(tar(parts))
    with pytest.raises(MsbError, match=r"saved\.tar: cannot be read as a saved image: "):
        read(tmp_path / "saved.tar")


NO_IMAGES = {
    "empty": b"",
    "text": b"text",
    "packed text": gzip.compress(b"text"),
    "no member": tar([]),
    "no index": tar([member("index.json", b"[]")]),
    "nested index": tar([member("index.json", b"[" * 99_999)]),
    "a path for a digest": tar([member("index.json", b'{"manifests": [{"digest": "sha256:../../etc/passwd"}]}')]),
    "no configuration": tar([member("manifest.json", b'[{"Config": "c", "Layers": []}]')]),
}


@pytest.mark.parametrize("content", NO_IMAGES.values(), ids=NO_IMAGES.keys())
def test_a_file_that_is_no_saved_image_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "saved.tar").write_bytes(content)
    with pytest.raises(MsbError, match=r"^\S+/saved\.tar: [^\n]+$"):
        read(tmp_path / "saved.tar", "")


def test_an_archive_of_several_images_is_refused_in_one_line(tmp_path: Path) -> None:
    found = [{"Config": name, "Layers": []} for name in ("a.json", "b.json")]
    other = json.dumps(json.loads(document()) | {"config": {"User": "0"}}).encode()
    parts = [member("manifest.json", json.dumps(found).encode()), member("a.json", document()), member("b.json", other)]
    (tmp_path / "saved.tar").write_bytes(tar(parts))
    with pytest.raises(MsbError, match=r"there are several images for linux/amd64 in it: save one alone$"):
        read(tmp_path / "saved.tar", "")


def saved(path: Path, layers: list[bytes]) -> Path:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "c.json", "Layers": names}]).encode()
    parts = [member("manifest.json", manifest), member("c.json", document()), *map(member, names, layers)]
    path.write_bytes(tar(parts))
    return path


@pytest.mark.parametrize(
    ("layers", "paths"),
    [
        ([], []),
        ([[member("a")]] * 127, ["a"]),
        ([[folder("a"), member("a/b"), member("c")], [member(".wh.a")]], ["c"]),
        ([[folder("a"), member("a/b")], [folder("a"), member("a/.wh..wh..opq"), member("a/c")]], ["a", "a/c"]),
        ([[folder("a"), member("a/b")], [member("a", b"a file now")]], ["a"]),
        ([[member("a")], [folder("a"), member("a/b")]], ["a", "a/b"]),
        ([[folder("usr"), folder("usr/bin"), link("bin", "usr/bin")], [member("bin/sh")]],
         ["bin", "usr", "usr/bin", "usr/bin/sh"]),
        ([[folder("usr"), member("usr/x"), link("lib", "usr")], [member("lib/.wh.x")]], ["lib", "usr"]),
        ([[member("a")], [member(".wh.a"), member("a", b"again")]], ["a"]),
        ([[member("a/b/c")], [link("d", "a/b"), member("d/e")]], ["a", "a/b", "a/b/c", "a/b/e", "d"]),
    ],
)  # fmt: skip
def test_layers_are_laid_over_each_other_as_an_engine_does(
    layers: list[list[tuple[tarfile.TarInfo, bytes]]], paths: list[str], tmp_path: Path
) -> None:
    path = saved(tmp_path / "saved.tar", [tar(layer) for layer in layers])
    with images(str(path), no_engine) as (image,):
        assert list(image.tree.entries) == paths
        assert image.tree.size % 512 == 0


def test_a_hard_link_to_a_file_of_a_lower_layer_has_its_content(tmp_path: Path) -> None:
    layers = [tar([member("bin/gcc", b"\x7fELF and more")]), tar([link("app/notes", "bin/gcc", tarfile.LNKTYPE)])]
    with images(str(saved(tmp_path / "saved.tar", layers)), no_engine) as (image,):
        notes = image.tree.entries["app/notes"]
        assert (notes.elf, image.tree.read(notes)) == (True, b"\x7fELF and more")


def test_a_root_file_system_is_read_in_place_and_has_nothing_but_its_tree(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_bytes(b"\x7fELF")
    (tmp_path / "bin" / "tool").chmod(0o4755)
    (tmp_path / "link").symlink_to("bin/tool")
    os.mkfifo(tmp_path / "pipe")
    with images(f"{tmp_path}", no_engine) as (image,):
        entries = image.tree.entries
        assert {path: entry.kind for path, entry in entries.items()} == {
            "bin": "folder", "bin/tool": "file", "link": "link", "pipe": "pipe"
        }  # fmt: skip
        assert (entries["bin/tool"].mode, entries["bin/tool"].elf) == (0o4755, True)
        for ask in (lambda: image.config, lambda: image.history, lambda: image.layers):
            with pytest.raises(SkippedError, match="a root file system has no "):
                ask()


@pytest.mark.parametrize("reference", ["./absent", "absent.tar", "/absent/image"])
def test_a_path_that_is_not_there_is_one_line_and_asks_no_engine(reference: str) -> None:
    with (
        pytest.raises(MsbError, match=f"^{reference}: there is no such file or folder$"),
        images(reference, no_engine),
    ):
        pass


def test_a_match_across_two_blocks_of_a_large_file_is_found(tmp_path: Path) -> None:
    content = b"x" * ((1 << 20) - 3) + b"needle" + b"x" * 99
    found = tree(member("large", content))
    large = found.entries["large"]
    assert found.search(large, re.compile(b"needle"))
    assert not found.search(large, re.compile(b"needles"))
    assert b"".join(found.blocks(large)) == content


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
    """The containers of this process, and no other's: there are other workers and sessions."""
    listed = engine.run("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}").stdout
    return set(listed.split())
