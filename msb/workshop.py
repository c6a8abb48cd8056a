"""The commands of the collection itself: they need its templates and are not in the installed tool."""

import json
from pathlib import Path
from typing import Annotated

import typer

from msb import bases as base_images
from msb import engine as engines
from msb import install, stacks
from msb.console import console
from msb.errors import MsbError

app = typer.Typer()

StackOption = Annotated[str, typer.Option("--stack", help="The name of the stack in stacks.toml.")]
CheckOption = Annotated[bool, typer.Option("--check", help="Write nothing, and fail on any difference.")]


def ensure_engine() -> engines.Engine:
    """Return an engine that answers; on a terminal, ask before installing or starting one."""
    confirm = (lambda plan: typer.confirm(f"{plan} Go on?", default=True)) if install.on_terminal() else None
    return install.ensure(confirm)


@app.command()
def demo(
    stack: StackOption = "go",
    options: Annotated[str, typer.Option(help="The name of the option set in stacks.toml.")] = "default",
    output: Annotated[Path | None, typer.Option(help="The folder for the project; by default, one in .demo.")] = None,
    results: Annotated[
        Path | None, typer.Option(help="The file for the results; by default, results.json in the output folder.")
    ] = None,
) -> None:
    """Render a stack, build its image, run it, check it against the contract, and print and write a report."""
    from msb.demo import demo

    chosen = stacks.load().stack(stack)
    folder = output or stacks.ROOT / ".demo" / f"{chosen.name}-{options}"
    raise typer.Exit(demo(chosen, chosen.option_set(options), ensure_engine, folder, results))


@app.command()
def engine(
    status: Annotated[bool, typer.Option("--status", help="Only print what is there.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the engine that msb started.")] = False,
) -> None:
    """Find the Docker engine, or install and start one."""
    if stop:
        console.print("stopped" if install.stop() else "no engine to stop: msb did not start one")
        return
    found = engines.find() if status else ensure_engine()
    if not found:
        raise MsbError("no Docker engine answers: start one with `python -m msb engine`")
    console.print(engines.describe(found))


@app.command()
def bases(
    stack: StackOption = "go",
    remove: Annotated[bool, typer.Option("--remove", help="Remove the stand-ins.")] = False,
) -> None:
    """Pull a stack's base images, or build stand-ins for them."""
    chosen = stacks.load().stack(stack)
    if remove:
        found = engines.find()
        names = base_images.remove(found) if found else []
        console.print("\n".join(f"removed {name}" for name in names) or "there are no stand-ins")
        return
    for reference, origin in base_images.ensure(ensure_engine(), chosen.bases).items():
        console.print(f"{origin:9} {reference}")


@app.command()
def sync(check: CheckOption = False) -> None:
    """Copy common/ and hooks/ into every template."""
    from msb.sync import sync

    _report(sync(check), check, "make sync")


@app.command()
def docs(check: CheckOption = False) -> None:
    """Write docs/contract.md from the rules' docstrings, and the schemas of the JSON of the contract and the demo."""
    from msb import outputs, results
    from msb.contract import reference

    folder = stacks.ROOT / "docs"
    pages = {
        folder / "contract.md": reference(),
        folder / "contract.schema.json": outputs.schema(),
        folder / "results.schema.json": results.schema(),
    }
    _write(pages, check, "make docs")


@app.command()
def report(check: CheckOption = False) -> None:
    """Draw the pictures of docs/results.json, and write its tables into the documents."""
    from msb import results, tables
    from msb.pictures import pictures

    found = results.read()
    folder = stacks.ROOT / "docs"
    pages = {folder / "pictures" / name: text for name, text in pictures(found).items()}
    for page in (stacks.ROOT / "README.md", folder / "ko" / "README.md", folder / "measured.md"):
        pages[page] = tables.filled(page.read_text(encoding="utf-8"), found)
    _write(pages, check, "make report")


@app.command()
def site() -> None:
    """Bring the pages of the documentation site together, for `make site`."""
    from msb.site import FOLDER, assemble

    assemble()
    print(f"wrote {FOLDER.relative_to(stacks.ROOT)}")


@app.command()
def release(tag: Annotated[str, typer.Argument(help="The tag, for example v0.1.0.")]) -> None:
    """Check that the version, README.md and CHANGELOG.md agree with a tag, and print its section of CHANGELOG.md."""
    from msb.release import notes

    print(notes(tag))


@app.command()
def matrix(
    bases: Annotated[bool, typer.Option("--bases", help="Print the base images instead, one per line.")] = False,
) -> None:
    """Print the option sets as JSON, for the workflows' matrix."""
    if bases:
        print("\n".join(sorted({base for stack in stacks.load().stacks.values() for base in stack.bases})))
        return
    rows = [
        {"stack": stack.name, "options": options.name}
        for stack in stacks.load().stacks.values()
        for options in stack.option_sets
        if options.build is True
    ]
    print(json.dumps({"include": rows}))


def _write(pages: dict[Path, str], check: bool, remedy: str) -> None:
    stale = [page for page, text in pages.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    for page in [] if check else stale:
        page.parent.mkdir(exist_ok=True)
        page.write_text(pages[page], encoding="utf-8", newline="\n")
    _report(stale, check, remedy)


def _report(differences: list[Path], check: bool, remedy: str) -> None:
    for path in differences:
        print(f"{'stale' if check else 'wrote'} {path.relative_to(stacks.ROOT)}")
    if differences and check:
        raise MsbError(f"{len(differences)} generated files are stale: run `{remedy}`")
