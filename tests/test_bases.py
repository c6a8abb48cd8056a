"""Are the bases what they say they are, and are stand-ins kept out of other people's engines?"""

import dataclasses
import subprocess
from pathlib import Path

import pytest
from conftest import IMAGES

from msb import bases
from msb.engine import Engine
from msb.errors import MsbError
from msb.stacks import Stack

STATIC = "gcr.io/distroless/static-debian13:nonroot"
DEBUG = "gcr.io/distroless/static-debian13:debug-nonroot"


def files(engine: Engine, image: str) -> dict[str, str]:
    """List an image's files: path -> mode and owner, as tar prints them."""
    container = engine.run("create", image, "none").stdout.strip()
    try:
        exported = subprocess.run([*engine.command, "export", container], capture_output=True, check=True).stdout
    finally:
        engine.run("rm", container)
    listing = subprocess.run(
        ["tar", "--list", "--verbose", "--numeric-owner"], input=exported, capture_output=True, check=True
    )
    rows = [line.split(maxsplit=5) for line in listing.stdout.decode().splitlines()]
    return {row[5].split(" -> ")[0].rstrip("/"): f"{row[0]} {row[1]}" for row in rows}


def test_every_base_of_the_stack_is_there_and_says_where_it_is_from(engine: Engine, stack: Stack) -> None:
    assert set(bases.ensure(engine, stack.bases).values()) <= {"pulled", "stand-in"}


def test_the_static_base_has_roots_zones_and_users_but_no_program(engine: Engine) -> None:
    found = files(engine, STATIC)
    assert {"etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Europe/Berlin", "etc/passwd"} <= set(found)
    assert found["tmp"] == "drwxrwxrwt 0/0"
    assert found["home/nonroot"] == "drwx------ 65532/65532"
    programs = [path for path in found if path.startswith(("usr/bin/", "usr/sbin/", "usr/lib/x86_64", "busybox"))]
    assert programs == []


def test_the_debug_base_adds_only_busybox_to_the_static_one(engine: Engine) -> None:
    added = set(files(engine, DEBUG)) - set(files(engine, STATIC))
    assert added
    assert {path for path in added if not path.startswith("busybox")} == set()


def test_a_stand_in_carries_no_certificate_of_this_machine(engine: Engine) -> None:
    """The roots are those of the distribution's own package, whatever the machine trusts."""
    script = "cat /usr/share/ca-certificates/*/*.crt | cmp - /etc/ssl/certs/ca-certificates.crt"
    engine.run("run", "--rm", "--entrypoint", "/busybox/sh", DEBUG, "-c", script)


def test_an_unknown_mode_is_refused_with_an_example(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSB_BASES", "guess")
    with pytest.raises(MsbError, match=r"MSB_BASES='guess' is unknown: use auto, pull or stand-in \(for example"):
        bases.ensure(engine, [])


@pytest.mark.parametrize(("mode", "ours"), [("auto", False), ("pull", True)])
def test_no_stand_in_is_built_in_somebody_elses_engine_or_when_only_pulling(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, mode: str, ours: bool
) -> None:
    monkeypatch.setenv("MSB_BASES", mode)
    with pytest.raises(MsbError, match="msb-test.invalid/base:none cannot be pulled, and "):
        bases.ensure(dataclasses.replace(engine, ours=ours), ["msb-test.invalid/base:none"])


def test_a_base_without_a_recipe_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSB_BASES", "stand-in")
    with pytest.raises(MsbError, match="msb-test.invalid/base:none cannot be pulled, and there is no stand-in for it"):
        bases.ensure(engine, ["msb-test.invalid/base:none"])


def test_remove_takes_stand_ins_away_and_leaves_pulled_images(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "_TARGETS", {f"{IMAGES}/base:stand-in": "static", f"{IMAGES}/base:pulled": "static"})
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    for name, label in (("stand-in", f"{bases.LABEL}=older"), ("pulled", "other=1")):
        engine.run("build", "--quiet", "--label", label, "--tag", f"{IMAGES}/base:{name}", str(tmp_path))
    assert bases.origin(engine, f"{IMAGES}/base:pulled") == "pulled"
    assert bases.origin(engine, f"{IMAGES}/base:stand-in") == "", "a stand-in of an older recipe is built anew"
    assert bases.remove(engine) == [f"{IMAGES}/base:stand-in"]
    assert bases.origin(engine, f"{IMAGES}/base:pulled") == "pulled"
