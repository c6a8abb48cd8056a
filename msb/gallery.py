"""The site's page of each stack: its Dockerfile, stage by stage, as the default answers render it, with its results."""

import re
from pathlib import Path

from msb.report import megabytes
from msb.results import StackResults
from msb.stacks import Stack
from msb.tables import markdown_table, picture

_FENCE = "```"


def page(stack: Stack, project: Path, results: StackResults | None) -> str:
    """Return the Markdown of one stack's page.

    project: its rendering with the default answers; results: those of its last demo, or None before the first.
    """
    parts = [f"# {stack.title}", f"{stack.summary[0].upper()}{stack.summary[1:]}."]
    if results:
        parts.append(picture("../pictures", f"{stack.name}-stages", f"{stack.title}: what each stage holds"))
    parts += ["## Dockerfile", "This is what `docker build .` builds, as the default answers render it."]
    dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
    for name, told, first, code in stages(dockerfile):
        parts += [f"### {name}" * bool(name), told[:1].upper() + told[1:], _holds(name, results)]
        parts.append(f'{_FENCE}dockerfile linenums="{first}"\n{code}\n{_FENCE}')
    if results:
        rows = [
            [figure.name, figure.value, figure.bar, "passes" if figure.holds else "misses"]
            for figure in results.figures
        ]
        parts += [
            "## Figures",
            picture("../pictures", f"{stack.name}-compared", f"{stack.title}, compared with other images"),
            markdown_table(["figure", "value", "bar", "verdict"], rows),
        ]
    parts += ["## Files", f"{_FENCE}text\n{tree(project)}\n{_FENCE}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def stages(dockerfile: str) -> list[tuple[str, str, int, str]]:
    """Cut a Dockerfile into its stages: name, what the comment above it says, the number of the first line, the lines.

    The first has neither name nor comment: it is what stands before all stages.
    """
    found: list[tuple[str, str, int, str]] = []
    line = 1
    for block in re.split(r"(?=^# \w+: .*\n(?:#.*\n)*FROM )", dockerfile, flags=re.MULTILINE):
        comment = re.match(r"(?:#.*\n)*", block)[0] if found else ""  # type: ignore[index]  # it also matches nothing
        name, _, told = comment.removeprefix("# ").partition(": ")
        told = " ".join(re.sub(r"^# ?", "", told, flags=re.MULTILINE).split())
        found.append((name, told, line + comment.count("\n"), block[len(comment) :].strip("\n")))
        line += block.count("\n")
    return found


def tree(folder: Path) -> str:
    """Return the files of a folder as an indented list, folders first by their names."""
    lines = [f"{folder.name}/"]
    for path in sorted(folder.rglob("*"), key=lambda it: it.relative_to(folder).parts):
        place = path.relative_to(folder)
        lines.append(f"{'    ' * len(place.parts)}{place.name}{'/' * path.is_dir()}")
    return "\n".join(lines)


def _holds(name: str, results: StackResults | None) -> str:
    stage = next((stage for stage in results.stages if stage.name == name), None) if results else None
    if not stage:
        return ""
    left = ", ".join(f"{count:,} {what}" for what, count in stage.left.items())
    return f"**{megabytes(stage.bytes)}**" + (f", with {left}." if left else ".")
