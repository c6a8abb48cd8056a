"""The tables of the results, which documents have between two markers: `<!-- results: NAME -->` and `<!-- end -->`."""

import re
from collections.abc import Callable, Iterable

from msb.errors import MsbError
from msb.measure import Figure
from msb.report import megabytes, percent
from msb.results import Results

_BLOCK = re.compile(r"^<!-- results: (\w+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


def filled(text: str, results: Results) -> str:
    """Return a document with every marked block written anew; raise MsbError for a block of an unknown name."""

    def written(block: re.Match[str]) -> str:
        if block[1] not in BLOCKS:
            raise MsbError(f"results: {block[1]}: there is no such table (for example {next(iter(BLOCKS))})")
        return f"<!-- results: {block[1]} -->\n{BLOCKS[block[1]](results, block[2])}<!-- end -->"

    return _BLOCK.sub(written, text)


def picture(folder: str, name: str, alt: str) -> str:
    """Return the Markdown of a picture that follows the theme of the page."""
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{folder}/{name}-dark.svg">\n'
        f'  <img alt="{alt}" src="{folder}/{name}-light.svg" width="520">\n</picture>'
    )


def _sizes(results: Results, old: str) -> str:
    """A table whose words are the document's own: only the last cell of each stack's row is written."""
    for name, stack in results.stacks.items():
        old = re.sub(
            rf"^(\| `{name}` \|.*\| )[^|]*( \|)$", rf"\g<1>{megabytes(stack.runtime_bytes)}\2", old, flags=re.M
        )
    return old


def _machines(results: Results, _: str) -> str:
    header = ["", "date", "machine", "Docker", "tools", "base images"]
    rows = []
    for stack in results.stacks.values():
        machine, docker = stack.machine, stack.versions
        kernel = f"Linux {machine.kernel.partition('-')[0]}, {machine.architecture}"
        origins = sorted(set(stack.bases.values()))
        rows.append([
            stack.title, str(stack.date),
            f"{machine.processors} processors, {machine.memory / 1e9:.0f} GB, {kernel}",
            f"engine {docker.engine.partition('+')[0]}, buildx {docker.buildx.partition('+')[0]}",
            ", ".join(f"{name} {version}" for name, version in stack.tools.items()),
            ", ".join("stand-ins" if origin == "stand-in" else origin for origin in origins),
        ])  # fmt: skip
    return markdown_table(header, rows)


def _images(results: Results, _: str) -> str:
    def rules(verdicts: dict[str, int]) -> str:
        return f"{verdicts.get('holds', 0)} of {sum(verdicts.values())}"

    stacks = results.stacks.values()
    floors = [stack.figure("floor") for stack in stacks]
    stops = [stack.figure("stop") for stack in stacks]
    layers = [stack.figure("edited layers") for stack in stacks]
    lines: dict[str, Iterable[str]] = {
        "runtime image": (megabytes(stack.runtime_bytes) for stack in stacks),
        "single-stage twin": (megabytes(stack.twin_bytes) for stack in stacks),
        "share of the twin": (percent(stack.runtime_bytes / stack.twin_bytes) for stack in stacks),
        "compared with the base, the service and its libraries alone": _each(floors, lambda it: f"{it.number:.3f}x"),
        "bytes in the layers that a one-line edit changes": _each(
            layers, lambda it: megabytes(round(sum(it.measured.values())))
        ),
        "requests that fail while the service stops": _each(
            stops, lambda it: f"{it.measured['failed requests']:.0f} of {it.measured['requests']:,.0f}"
        ),
        "rules of the contract that pass": (rules(stack.rules) for stack in stacks),
    }
    return markdown_table(["", *(stack.title for stack in stacks)], [[name, *cells] for name, cells in lines.items()])


def _peers(results: Results, _: str) -> str:
    rows = []
    for stack in results.stacks.values():
        for peer in dict.fromkeys(figure.against for figure in stack.figures if figure.key in ("size", "start")):
            size, start, requests = (stack.figure(key, peer) for key in ("size", "start", "requests"))
            rows.append([
                stack.title, peer, *_each([size, start], lambda it: percent(it.number)),
                *_each([requests], lambda it: f"{it.number:.2f}x"),
            ])  # fmt: skip
    return markdown_table(["", "compared with", "size", "time to the first answer", "requests per second"], rows)


def _rebuilds(results: Results, _: str) -> str:
    rows = [
        [
            stack.title,
            *(f"{figure.measured[name]:.1f} s" for name in ("docker s", "bare s")),
            f"{figure.number:.2f}x",
            "passes" if figure.holds else "misses",
        ]
        for stack in results.stacks.values()
        if (figure := stack.figure("rebuild"))
    ]
    return markdown_table(["", "`docker buildx bake`", "the same commands without Docker", "ratio", "verdict"], rows)


def _pictures(results: Results, _: str) -> str:
    parts = []
    for name, stack in results.stacks.items():
        parts += [
            f"### {stack.title}",
            picture("pictures", f"{name}-stages", f"{stack.title}: the size of each stage, and what it holds"),
            picture("pictures", f"{name}-compared", f"{stack.title}: size and times, compared with other images"),
        ]
    return "\n\n".join(parts) + "\n"


BLOCKS: dict[str, Callable[[Results, str], str]] = {
    "sizes": _sizes,
    "machines": _machines,
    "images": _images,
    "peers": _peers,
    "rebuilds": _rebuilds,
    "pictures": _pictures,
}
"""What a marked block may be called, and what writes it from the results and the text that is there."""


def _each(figures: list[Figure | None], told: Callable[[Figure], str]) -> list[str]:
    """A cell for each figure, with a dash for one that is not measured."""
    return [told(figure) if figure else "-" for figure in figures]


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table as Markdown. rows: as many cells each as the header has."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)
