"""Check container images against a contract. In a clone, also build and measure the collection's templates.

Each error is one line on standard error, with exit code 2.
"""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def contract(
    image: Annotated[
        str,
        typer.Argument(
            help="An image in the Docker engine, or a path: a file from docker save, or a root file system."
        ),
    ],
    stack: Annotated[str, typer.Option(help="The profile: go, jvm, node-nginx, python or any.")] = stacks.ANY,
    platform: Annotated[str, typer.Option(help="Check only this platform, for example linux/arm64.")] = "",
    only: Annotated[
        list[str] | None, typer.Option(help="Check only this rule, for example MSB101. May be repeated.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Skip this rule. May be repeated.")] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Also start the image, without a network, and check how it behaves.")
    ] = False,
    build_image: Annotated[str, typer.Option(help="The image of its build stage, for rule MSB110.")] = "",
    waivers: Annotated[
        Path | None, typer.Option(help="A file with `allow` lines, for example docker/contract.txt of its project.")
    ] = None,
    secret: Annotated[Path | None, typer.Option(help="A file that was a secret of its build, for rule MSB402.")] = None,
    json: Annotated[
        str, typer.Option(help="Write JSON to this file, or with - to standard output instead of the lines.")
    ] = "",
    sarif: Annotated[str, typer.Option(help="Write SARIF 2.1.0 to this file, or to -.")] = "",
    junit: Annotated[str, typer.Option(help="Write JUnit's XML to this file, or to -.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Seconds after which it ends without a result.")] = 1800,
) -> None:
    """Check an image against the contract: one line per finding; exit code 1 on findings, 2 if a rule errored."""
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
        secret,
        run,
        {form: file for form, file in (("json", json), ("sarif", sarif), ("junit", junit)) if file},
    )
    with _limited(limit):
        code = contract(asked, _engine)
    raise typer.Exit(code)


@app.command()
def adopt(
    path: Annotated[Path, typer.Argument(help="The folder of the project.")] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show every file, and write nothing.")] = False,
    module: Annotated[str, typer.Option(help="The Maven module or the workspace that serves, by its folder.")] = "",
) -> None:
    """Bring the templates' container files to a service that is there; nothing is replaced unless you say so."""
    if not all(map(find_spec, ("cookiecutter", "packaging"))):
        raise MsbError(
            'adopt needs an extra: pip install "msb-templates[adopt] @ git+https://github.com/org/msb-templates"'
        )
    from msb import adopt as adopting

    ask = adopting.on_terminal() and not dry_run
    confirm = (lambda question: typer.confirm(question, default=False)) if ask else None
    adopting.adopt(path, dry_run, confirm, module)


if find_spec("msb.workshop"):
    from msb import workshop

    app.registered_commands += workshop.app.registered_commands


def _engine() -> engines.Engine:
    """Return the engine that answers: this tool never installs or starts one."""
    found = engines.find(builds=False)
    if found:
        return found
    raise MsbError("no Docker engine answers: start it, or name a file that `docker save --output image.tar` wrote")


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """End what takes longer with one line and exit code 2. Windows has no timer for that."""

    def end(_: int, __: FrameType | None) -> None:
        print(f"msb: not finished within {seconds} s: choose rules with --only, or set --limit", file=sys.stderr)
        raise SystemExit(2)

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _end(number: int, _: FrameType | None) -> None:
    """End like Ctrl-C: everything that was created is removed first."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line. An error of the user is one line, a signal is reported, and a crash exits with 2."""
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
        print("msb: this is a bug in msb, not in the image: please report it with the lines above", file=sys.stderr)
        sys.exit(2)
