"""Does every option set that can be built keep every promise, and not only the default one?"""

import os
from pathlib import Path

import pytest
from conftest import IMAGES

from msb import project as projects
from msb import stacks
from msb.contract import Need, Status, Subject, check
from msb.engine import Engine
from msb.image import Image
from msb.stacks import Matrix, OptionSet, Stack

OTHERS = [
    pytest.param(stack, options, id=f"{stack.name}-{options.name}")
    for stack in stacks.load().stacks.values()
    for options in stack.option_sets
    if options.build is True or (options.build == "pulled" and os.environ.get("MSB_BASES") == "pull")
    if options.name != "default"
]


@pytest.mark.parametrize(("stack", "options"), OTHERS)
def test_another_option_set_keeps_every_promise(
    engine: Engine, matrix: Matrix, stack: Stack, options: OptionSet, tmp_path: Path
) -> None:
    """Without the two rules that look at other images: they say nothing about the answers."""
    project = projects.render(stack, options.answers, tmp_path)
    tag = f"{IMAGES}/{stack.name}:{options.name}"
    projects.build(engine, project, tag=tag)
    with Image(engine, tag) as image:
        result = check(Subject(engine, stack, matrix.contract, image, project=project))
    assert [str(finding) for finding in result.findings] == []
    assert [f"{verdict.rule.code}: {verdict.reason}" for verdict in result.having(Status.ERROR)] == []
    assert {verdict.reason for verdict in result.having(Status.NOT_LOOKED)} == {Need.BUILD_IMAGE.value, Need.TWIN.value}
