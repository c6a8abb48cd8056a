"""Proved container images: the contract checker, and in a clone the collection's own commands.

Every error is one line on standard error and exit code 2.
"""

import signal
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

import msb
from msb import engine as engines
from msb import stacks
from msb.errors import MsbError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
_ENDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}
_ENDED = {getattr(signal, name): text for name, text in _ENDS.items() if hasattr(signal, name)}  # Windows has no SIGHUP


def _version(asked: bool) -> None:
    if asked:
        print(f"msb {msb.__version__}")
        raise typer.Exit


@app.callback()
def _tool(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def contract(
    image: Annotated[
        str, typer.Argument(help="An image of the engine, or a path: what docker save wrote, or a root file system.")
    ],
    stack: Annotated[str, typer.Option(help="go, jvm, node-nginx, python or any.")] = stacks.ANY,
    platform: Annotated[str, typer.Option(help="Only this one, as in linux/arm64.")] = "",
    only: Annotated[list[str] | None, typer.Option(help="Only this rule, as in MSB101; may be repeated.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="All except this rule; may be repeated.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Also start the image, without a network, and ask it.")] = False,
    build_image: Annotated[str, typer.Option(help="Its build stage as an image, for control 110.")] = "",
    waivers: Annotated[
        Path | None, typer.Option(help="A file with `allow` lines, as its project's docker/contract.txt.")
    ] = None,
    json: Annotated[str, typer.Option(help="Write JSON to this file; - prints it instead of lines.")] = "",
    sarif: Annotated[str, typer.Option(help="Write SARIF 2.1.0 to this file, or to -.")] = "",
    junit: Annotated[str, typer.Option(help="Write JUnit's XML to this file, or to -.")] = "",
) -> None:
    """Check an image against the contract: one line per finding; exit 1 on findings, 2 when a rule could not look."""
    from msb.contract import exceptions
    from msb.contract.command import Asked, contract

    matrix = stacks.load()
    asked = Asked(
        image,
        matrix.any if stack == stacks.ANY else matrix.stack(stack),
        platform,
        build_image,
        only or (),
        skip or (),
        exceptions.exceptions(waivers) if waivers else (),
        run,
        {form: file for form, file in (("json", json), ("sarif", sarif), ("junit", junit)) if file},
    )
    raise typer.Exit(contract(asked, _engine))


if find_spec("msb.workshop"):
    from msb import workshop

    app.registered_commands += workshop.app.registered_commands


def _engine() -> engines.Engine:
    """The engine that answers: a tool that looks at images installs and starts none."""
    found = engines.find(builds=False)
    if found:
        return found
    raise MsbError("no Docker engine answers: start it, or name a file that `docker save --output image.tar` wrote")


def _end(number: int, _: FrameType | None) -> None:
    """End as Ctrl-C does: what was made is taken away on the way out."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line: what the user can fix is one line; an end by a signal says so; a crash exits with 2."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for number in _ENDED:
        if number != signal.SIGINT and signal.getsignal(number) != signal.SIG_IGN:  # nohup's stays ignored
            signal.signal(number, _end)
    try:
        app(standalone_mode=True)
    except MsbError as error:
        print(f"msb: {error}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        if code > 128 and code - 128 in _ENDED:  # Typer makes 130 of Ctrl-C, without a word
            print(f"msb: {_ENDED[signal.Signals(code - 128)]}", file=sys.stderr)
        raise
    except Exception:
        traceback.print_exc()
        print("msb: this is a fault of msb, not of the image: please report it with the lines above", file=sys.stderr)
        sys.exit(2)
