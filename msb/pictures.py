"""The pictures of the results: bar charts as SVG, for a light and a dark page.

Written by hand, since bars and text need no plotting library. The same results give the same bytes.
"""

import textwrap
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from msb.report import megabytes, percent
from msb.results import Results, StackResults

WIDTH = 520
"""The width in pixels, which a telephone shrinks to about two thirds: the text is as large as it can still be read."""
_EDGE, _BAR, _GAP, _LINE = 20, 12, 16, 21
_LETTERS = 56
"""How many letters of a note fit in a line."""


@dataclass(frozen=True)
class Theme:
    """The colours of a page: background, text, quiet text, a bar, the bar of what ships, and the mark of a bar."""

    page: str
    text: str
    quiet: str
    bar: str
    ships: str
    mark: str


THEMES = {
    "light": Theme("#ffffff", "#1f2328", "#59636e", "#afb8c1", "#1a7f37", "#cf222e"),
    "dark": Theme("#0d1117", "#f0f6fc", "#9198a1", "#4b535d", "#3fb950", "#f85149"),
}


@dataclass(frozen=True)
class Row:
    """One bar: its label, the value as text and as a number, a note below, and whether it is what ships."""

    label: str
    value: str
    number: float
    note: str = ""
    ships: bool = False


@dataclass(frozen=True)
class Chart:
    """Bars on one scale that starts at 0. mark: a number that all bars are compared with, shown as a line, or 0."""

    title: str
    rows: list[Row]
    mark: float = 0


def pictures(results: Results) -> dict[str, str]:
    """Return every picture, by its file name: three charts of each stack, and one of all stacks."""
    drawn = {"stacks": [_images(results)]}
    for name, stack in results.stacks.items():
        drawn[f"{name}-stages"] = [_stages(stack)]
        drawn[f"{name}-compared"] = [_sizes(stack), _times(stack)]
    return {
        f"{name}-{theme}.svg": svg(charts, colours)
        for name, charts in drawn.items()
        for theme, colours in THEMES.items()
    }


def _images(results: Results) -> Chart:
    rows = []
    for stack in results.stacks.values():
        share = percent(stack.runtime_bytes / stack.twin_bytes)
        rows += [
            Row(stack.title, megabytes(stack.runtime_bytes), stack.runtime_bytes, ships=True),
            Row(
                "in one stage",
                megabytes(stack.twin_bytes),
                stack.twin_bytes,
                f"The image that ships has {share} of it.",
            ),
        ]
    return Chart("What ships, and the same service built in one stage", rows)


def _stages(stack: StackResults) -> Chart:
    rows = [
        Row(
            "runtime: this ships" if stage.name == "runtime" else stage.name,
            megabytes(stage.bytes),
            stage.bytes,
            ", ".join(f"{count:,} {what}" for what, count in stage.left.items())
            or "no build tool, shell, package manager or source file",
            stage.name == "runtime",
        )
        for stage in stack.stages
    ]
    return Chart(f"{stack.title}: what each stage holds", rows)


def _sizes(stack: StackResults) -> Chart:
    peers = [figure for figure in stack.figures if figure.key == "size"]
    rows = [Row("runtime: this ships", megabytes(stack.runtime_bytes), stack.runtime_bytes, ships=True)]
    rows += [
        Row(f"peer {figure.against}", megabytes(round(size)), size)
        for figure in peers
        for size in [figure.measured["other bytes"]]
    ]
    rows.append(Row("built in one stage", megabytes(stack.twin_bytes), stack.twin_bytes))
    return Chart(f"{stack.title}: size of the image", rows)


def _times(stack: StackResults) -> Chart:
    titles = {"start": "start, against {}", "rebuild": "rebuild, against bare commands"}
    rows = [
        Row(titles[figure.key].format(figure.against), percent(figure.number), figure.number, ships=True)
        for figure in stack.figures
        if figure.key in titles
    ]
    return Chart("Times, as a share of the other's (the mark is 100 %)", rows, mark=1)


def svg(charts: list[Chart], theme: Theme) -> str:
    """Draw charts one below the other."""
    root = Xml.Element("svg", xmlns="http://www.w3.org/2000/svg", role="img")
    root.set("font-family", "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif")
    Xml.SubElement(root, "title").text = ". ".join(chart.title for chart in charts)
    Xml.SubElement(root, "rect", width="100%", height="100%", rx="8", fill=theme.page)
    y = _EDGE
    for chart in charts:
        y = _draw(root, chart, theme, y)
    for name, value in (("width", WIDTH), ("height", y), ("viewBox", f"0 0 {WIDTH} {y}")):
        root.set(name, str(value))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _draw(root: Xml.Element, chart: Chart, theme: Theme, y: int) -> int:
    """Draw one chart from `y` on; return where the next one starts."""
    full = WIDTH - 2 * _EDGE
    scale = full / max(chart.mark, *(row.number for row in chart.rows))
    for line in textwrap.wrap(chart.title, 40):
        y += _LINE + 3
        _text(root, _EDGE, y - 4, line, theme.text, size=20, weight="600")
    y += _GAP // 2
    for row in chart.rows:
        y += _LINE
        colour = theme.ships if row.ships else theme.text
        _text(root, _EDGE, y - 5, row.label, colour, size=18, weight="600" if row.ships else "400")
        _text(root, WIDTH - _EDGE, y - 5, row.value, colour, size=18, anchor="end")
        fill = theme.ships if row.ships else theme.bar
        width = max(2, round(row.number * scale, 1))
        Xml.SubElement(root, "rect", x=str(_EDGE), y=str(y), width=f"{width:g}", height=str(_BAR), rx="2", fill=fill)
        if chart.mark:
            x = f"{_EDGE + chart.mark * scale:g}"
            place = {"x1": x, "x2": x, "y1": str(y - 3), "y2": str(y + _BAR + 3)}
            Xml.SubElement(root, "line", place, stroke=theme.mark).set("stroke-width", "2")
        y += _BAR
        for line in textwrap.wrap(row.note, _LETTERS):
            y += _LINE
            _text(root, _EDGE, y - 4, line, theme.quiet, size=16)
        y += _GAP
    return y


def _text(
    root: Xml.Element, x: int, y: int, text: str, fill: str, *, size: int, weight: str = "400", anchor: str = "start"
) -> None:
    attributes = {"x": str(x), "y": str(y), "fill": fill, "font-size": str(size)}
    attributes |= {"font-weight": weight} if weight != "400" else {}
    attributes |= {"text-anchor": anchor} if anchor != "start" else {}
    Xml.SubElement(root, "text", attributes).text = text
