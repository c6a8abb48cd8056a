"""Writes container files into a project, and loses nothing of its owner's."""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from msb.adopt.detect import detect
from msb.adopt.found import Found
from msb.adopt.render import render
from msb.errors import MsbError

COMPOSE = ("compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""Other names of a compose file, in whose place compose.yaml would come."""


def adopt(folder: Path, dry_run: bool = False, confirm: Callable[[str], bool] | None = None, module: str = "") -> None:
    """Bring the container files to the project in `folder`, and print what was done and what is not known.

    confirm: asks whether a file that differs may be replaced; without it, such files stay. module: as in detect().
    Raises MsbError, before anything is written, for a project that no template fits.
    """
    found = detect(folder, module)
    files = render(found)
    print(found.says)
    conflicts = [name for name in COMPOSE if (folder / name).exists()]
    if conflicts:
        del files["compose.yaml"]
        print(f"kept   {conflicts[0]}: yours; compose.yaml would come in its place, so it is not written")
    done = {path: _bring(folder, path, *files[path], dry_run, confirm) for path in files}
    if set(done.values()) <= {"same"}:
        print("every file is there already: nothing to do")
    for path, what in done.items():
        if what != "same":
            print(f"{what:6} {path}")
    _tell(folder, found, files)


def _bring(
    folder: Path, path: str, content: bytes, executable: bool, dry_run: bool, confirm: Callable[[str], bool] | None
) -> str:
    """Write one file if it is new or its owner agrees; return what was done: new, wrote, kept or same."""
    target = folder / path
    blocked = next(
        (
            part
            for part in (target, *target.parents)
            if part != folder and part.exists() and part.is_dir() == (part == target)
        ),
        None,
    )
    if blocked:
        raise MsbError(f"{blocked}: is in the way of {path}: move it, then run adopt again")
    there = target.read_bytes() if target.exists() else None
    if there is not None and (path == "go.sum" or there.replace(b"\r\n", b"\n") == content):
        return "same"
    if there is not None or dry_run:
        print(_difference(path, there, content), end="")
    if there is not None and (dry_run or not confirm or not confirm(f"Replace {path} with that?")):
        return "differs" if dry_run else "kept"
    if dry_run:
        return "new"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    if executable:
        target.chmod(target.stat().st_mode | 0o111)
    return "wrote"


def _difference(path: str, there: bytes | None, content: bytes) -> str:
    before, after = (text.decode(errors="replace").splitlines(keepends=True) for text in (there or b"", content))
    lines = difflib.unified_diff(
        before, after, f"yours/{path}" if there is not None else "/dev/null", f"adopted/{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _tell(folder: Path, found: Found, files: dict[str, tuple[bytes, bool]]) -> None:
    """Print what is not known, each with the place where its owner says it, as it is in the project now."""
    if not found.notes:
        return
    print("\nWhat adopt does not know, and where to say it:")
    for note in found.notes:
        path = folder / note.file
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if note.token not in text and note.file in files:
            text = files[note.file][0].decode()
        line = text[: text.find(note.token)].count("\n") + 1 if note.token in text else 1
        print(f"  {note.file}:{line}: {note.text}")


def on_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
