"""The report of the demo: stages, sizes, figures and the verdict of every rule, as tables."""

from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from msb.console import console
from msb.measure import Figure


@dataclass(frozen=True)
class StageRow:
    """One stage: seconds of its own build step, uncompressed bytes, and how much it has of what must not ship."""

    name: str
    seconds: float
    bytes: int
    left: dict[str, int]


@dataclass(frozen=True)
class RuleRow:
    """One rule: its code, its promise in one line, the verdict (`holds`, `broken`, ...) and what was found."""

    code: str
    promise: str
    verdict: str
    holds: bool
    details: list[str]


@dataclass
class Report:
    """All that one demo run saw."""

    stack: str
    project: Path
    bases: dict[str, str]
    image: str
    tools: dict[str, str] = field(default_factory=dict)
    runtime_bytes: int = 0
    twin_bytes: int = 0
    stages: list[StageRow] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """The rules that do not hold, and the figures that miss their bar and are not times."""
        figures = [figure.name for figure in self.figures if not figure.holds and not figure.timed]
        return [rule.code for rule in self.rules if not rule.holds] + figures

    @property
    def missed(self) -> list[str]:
        """The times that miss their bar."""
        return [figure.name for figure in self.figures if not figure.holds and figure.timed]


def show(report: Report) -> None:
    """Print the report."""
    console.print()
    console.print(_stages(report))
    console.print(_rules(report))
    console.print(_figures(report))
    stand_ins = [name for name, origin in report.bases.items() if origin == "stand-in"]
    pulled = [name for name, origin in report.bases.items() if origin == "pulled"]
    if pulled:
        console.print(f"bases pulled      {', '.join(pulled)}")
    if stand_ins:
        console.print(f"bases stand-ins   {', '.join(stand_ins)}")
    share = report.runtime_bytes / report.twin_bytes
    console.print(
        f"runtime image     {megabytes(report.runtime_bytes)}, {share:.1%} of the single-stage twin's "
        f"{megabytes(report.twin_bytes)}"
    )
    console.print(f"project           {report.project}", soft_wrap=True)
    console.print(f"image             {report.image}")
    if report.missed:
        console.print(
            f"[yellow]missed[/]            {', '.join(report.missed)}: these are times, so try again on an idle machine"
        )
    if report.broken:
        console.print(f"[bold red]failed[/]            {', '.join(report.broken)}")
    else:
        console.print(f"[bold green]passed[/]            {len(report.rules)} rules")


def megabytes(count: int) -> str:
    """Return a count of bytes in megabytes (10^6), one decimal."""
    return f"{count / 1e6:,.1f} MB"


def percent(share: float) -> str:
    """Return a share as a percentage, with a decimal where it is small."""
    return (f"{share:.1%}" if share < 0.1 else f"{share:.0%}").replace("%", " %")


def _stages(report: Report) -> Table:
    table = _table(f"{report.stack}: stages (uncompressed)")
    table.add_column("stage")
    table.add_column("size", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("what stays behind")
    for row in report.stages:
        left = ", ".join(f"{count:,} {what}" for what, count in row.left.items()) or "nothing"
        table.add_row(row.name, megabytes(row.bytes), f"{row.seconds:.1f}", left)
    return table


def _rules(report: Report) -> Table:
    table = _table("contract")
    table.add_column("rule")
    table.add_column("promise")
    table.add_column("verdict")
    for row in report.rules:
        colour = "green" if row.holds else "red"
        table.add_row(row.code, row.promise, f"[{colour}]{row.verdict}[/]")
        for detail in row.details:
            table.add_row("", f"[red]{detail}[/]", "")
    return table


def _figures(report: Report) -> Table:
    table = _table("measured")
    table.add_column("figure")
    table.add_column("value")
    table.add_column("bar")
    table.add_column("verdict")
    for row in report.figures:
        verdict = "[green]holds[/]" if row.holds else "[yellow]missed[/]" if row.timed else "[red]broken[/]"
        table.add_row(row.name, row.value, row.bar, verdict)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
