"""Does every option set that can be built keep every promise, and not only the default one?"""

import os
import re
from pathlib import Path

import pytest
from conftest import IMAGES

from msb import project as projects
from msb import stacks
from msb.contract import RULES, Need, Status, Subject, check
from msb.engine import Engine
from msb.image import Image
from msb.stacks import Matrix, OptionSet, Stack

OTHERS = [
    pytest.param(stack.name, options, id=f"{stack.name}-{options.name}")
    for stack in stacks.load().stacks.values()
    for options in stack.option_sets
    if options.build is True or (options.build == "pulled" and os.environ.get("MSB_BASES") == "pull")
    if options.name != "default"
]


STEPS = {"MSB504", "MSB702", "MSB705", "MSB707"}
"""The rules that judge the steps of the Dockerfile by building it many times: asked once of each set of steps."""


def steps(project: Path) -> str:
    """What a project's Dockerfile does: its text without comments, labels and the number of the port."""
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    return re.sub(r"^#.*\n|^LABEL (?:.*\\\n)*.*\n|^EXPOSE .*\n|\bPORT=\d+", "", text, flags=re.MULTILINE)


@pytest.fixture(scope="session")
def asked() -> set[str]:
    """The steps that this session's rules were asked about."""
    return set()


@pytest.mark.parametrize(("stack", "options"), OTHERS, indirect=["stack"], scope="session")
def test_another_option_set_keeps_every_promise(
    engine: Engine, matrix: Matrix, stack: Stack, options: OptionSet, project: Path, asked: set[str], tmp_path: Path
) -> None:
    """Without the two rules that look at other images: they say nothing about the answers."""
    asked.add(steps(project))  # the default's, in test_contract
    other = projects.render(stack, options.answers, tmp_path)
    codes = set(RULES) - (STEPS if steps(other) in asked else set())
    asked.add(steps(other))
    tag = f"{IMAGES}/{stack.name}:{options.name}"
    projects.build(engine, other, tag=tag)
    with Image(engine, tag) as image:
        result = check(Subject(engine, stack, matrix.contract, image, project=other), codes)
    assert [str(finding) for finding in result.findings] == []
    assert [f"{verdict.rule.code}: {verdict.reason}" for verdict in result.having(Status.ERROR)] == []
    assert {verdict.reason for verdict in result.having(Status.NOT_LOOKED)} == {Need.BUILD_IMAGE.value, Need.TWIN.value}
