"""What the user sees while long steps run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False)
"""Standard output, with colour and spinners on a terminal and plain lines elsewhere."""


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show `text` with a spinner while the block runs, then one line with the seconds it took."""
    with console.status(f"{text} ..."), timed(text):
        yield


@contextmanager
def timed(text: str) -> Iterator[None]:
    """Print one line with the seconds that the block took."""
    start = time.monotonic()
    yield
    console.print(f"[green]done[/] {text} [dim]{time.monotonic() - start:.1f} s[/]", soft_wrap=True)
