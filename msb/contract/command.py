"""`msb contract`: check any image and report the result."""

import os
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from msb import outputs, stacks
from msb.contract.exceptions import Allowed
from msb.contract.rules import RULES, Subject, check
from msb.engine import Engine
from msb.errors import MsbError
from msb.image import Image, images
from msb.stacks import Stack


@dataclass(frozen=True)
class Asked:
    """What to check, and how.

    image, build_image: names of images in the engine, or paths; platform: check only this one; only, skip: rule codes;
    waivers: what the owner allows; secret: a file that was a secret of the build; runs: whether rules may start the
    image; files: format (json, sarif, junit) -> file, with `-` for standard output instead of the lines.
    """

    image: str
    stack: Stack
    platform: str = ""
    build_image: str = ""
    only: Collection[str] = ()
    skip: Collection[str] = ()
    waivers: tuple[Allowed, ...] = ()
    secret: Path | None = None
    runs: bool = False
    files: dict[str, str] = field(default_factory=dict)


def contract(asked: Asked, engine_of: Callable[[], Engine]) -> int:
    """Check an image on each platform that it contains, write the verdicts, and return the exit code.

    0: no rule failed; 1: findings; 2: no finding, but a rule errored. Raises MsbError if there is nothing to check.
    """
    codes = chosen(asked.only, asked.skip)
    with ExitStack() as opened:
        found = opened.enter_context(images(asked.image, engine_of, asked.platform))
        build = opened.enter_context(images(asked.build_image, engine_of))[0] if asked.build_image else None
        results = {image.platform: check(_subject(asked, image, build), codes) for image in found}
    seen = outputs.told(asked.image, asked.stack.name, results, asked.waivers)
    forms = {
        "json": lambda: outputs.as_json(seen),
        "sarif": lambda: outputs.as_sarif(seen, results),
        "junit": lambda: outputs.as_junit(seen),
    }
    for form, file in asked.files.items():
        _write(file, forms[form]() + "\n")
    if "-" not in asked.files.values():
        _write("-", "\n".join(outputs.lines(seen)) + "\n")
    return outputs.exit_code(results)


def chosen(only: Collection[str], skip: Collection[str]) -> list[str]:
    """Return the codes of the chosen rules; raise MsbError that names a code that no rule has."""
    for code in (*only, *skip):
        if code not in RULES:
            raise MsbError(f"there is no rule {code!r}: docs/contract.md lists them (for example --skip MSB501)")
    return [code for code in RULES if (not only or code in only) and code not in skip]


def _subject(asked: Asked, image: Image, build: Image | None) -> Subject:
    return Subject(
        host=image.engine,
        stack=asked.stack,
        contract=stacks.load().contract,
        image=image,
        build_image=build,
        exceptions=asked.waivers,
        secret=_read(asked.secret) if asked.secret else b"",
        runs=asked.runs,
        sandboxed=True,
    )


def _read(secret: Path) -> bytes:
    try:
        content = secret.read_bytes()
    except OSError as error:
        raise MsbError(f"{secret}: {error.strerror}: name the file that the build was given, as .npmrc") from error
    if not content:
        raise MsbError(f"{secret}: is empty: name the file that the build was given, as .npmrc")
    return content


def _write(file: str, text: str) -> None:
    if file == "-":
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of the lines has seen enough; the verdict stays
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        Path(file).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise MsbError(f"{file}: {error.strerror}: name a file that can be written, for example report.json") from error
