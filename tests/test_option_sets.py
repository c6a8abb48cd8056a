"""Does every option set that can be built keep every promise, and not only the default one?"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import IMAGES
from covered import PROPERTY, built
from covered import asked as rules_of

from msb import project as projects
from msb import stacks
from msb.contract import Status, Subject, check
from msb.engine import Engine
from msb.image import Image
from msb.stacks import Matrix, OptionSet, Stack

OTHERS = [
    pytest.param(stack.name, options, id=f"{stack.name}-{options.name}")
    for stack in stacks.load().stacks.values()
    for options in built(stack)
    if options.name != "default"
]


STEPS = {
    "MSB402": "ca-certificates",
    "MSB504": "",
    "MSB702": "",
    "MSB704": "",
    "MSB705": "ca-certificates",
    "MSB707": "",
}
"""The rules that build the project again and again to judge steps of its Dockerfile: those with this word in them.

Each is asked once of each different set of such steps.
"""


def steps(project: Path, word: str) -> str:
    """The steps of a project's Dockerfile with a word in them, without comments, labels and the number of the port."""
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n|^LABEL (?:.*\\\n)*.*\n|^EXPOSE .*\n|\bPORT=\d+", "", text, flags=re.MULTILINE)
    return "".join(step for step in re.findall(r"^(?:.*\\\n)*.*\n", text, re.MULTILINE) if word in step)


@pytest.fixture(scope="session")
def asked() -> set[tuple[str, str]]:
    """The rules and the steps that this session asked them about."""
    return set()


@pytest.mark.parametrize(("stack", "options"), OTHERS, indirect=["stack"], scope="session")
def test_another_option_set_keeps_every_promise(
    engine: Engine,
    matrix: Matrix,
    stack: Stack,
    options: OptionSet,
    project: Path,
    asked: set[tuple[str, str]],
    tmp_path: Path,
    record_property: Callable[..., None],
) -> None:
    """A rule that was asked about the same steps is not asked again."""
    asked.update((code, steps(project, word)) for code, word in STEPS.items())  # the default's, in test_contract
    other = projects.render(stack, options.answers, tmp_path)
    codes = set(rules_of(options)) - {code for code, word in STEPS.items() if (code, steps(other, word)) in asked}
    asked.update((code, steps(other, word)) for code, word in STEPS.items())
    tag = f"{IMAGES}/{stack.name}:{options.name}"
    projects.build(engine, other, tag=tag)
    with Image(engine, tag) as image:
        result = check(Subject(engine, stack, matrix.contract, image, project=other), codes)
    assert [str(finding) for finding in result.findings] == []
    assert [f"{verdict.rule.code}: {verdict.reason}" for verdict in result.having(Status.ERRORED)] == []
    assert not result.having(Status.SKIPPED)
    for code in rules_of(options):
        record_property(PROPERTY, (code, stack.name, options.name, ""))
