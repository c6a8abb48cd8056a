"""Does every base image stand once: do Dockerfiles, stacks.toml and the stand-ins' recipes name the same ones?"""

import json
import re
from pathlib import Path

import pytest
from conftest import Rendered
from jinja2 import Environment
from test_recipes import RECIPES, images

from msb import bases
from msb.stacks import ROOT, Matrix, OptionSet, Stack
from msb.sync import PROJECT

NOT_STOOD_IN = "pulled"


def upstream(text: str) -> set[str]:
    """The images that a Dockerfile starts from, without its own stages."""
    starts = re.findall(r"^FROM (?:--platform=\S+ )?(\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    return {base for base, _ in starts} - {stage for _, stage in starts} - {"scratch"}


def test_an_option_set_starts_from_bases_of_its_stack(rendered: Rendered) -> None:
    project, stack, options = rendered
    others = upstream((project / "Dockerfile").read_text(encoding="utf-8")) - set(stack.bases)
    if options.build == NOT_STOOD_IN:
        assert others, f"{options.name} needs no base that has to be pulled"
        assert not others & set(bases._TARGETS)
    else:
        assert others == set()


def dockerfile(stack: Stack, options: OptionSet) -> str:
    """The Dockerfile of an option set, rendered alone: a tenth of the time of a whole project."""
    questions = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    defaults = {name: value[0] if isinstance(value, list) else value for name, value in questions.items()}
    text = (stack.template / PROJECT / "Dockerfile").read_text(encoding="utf-8")
    return Environment().from_string(text).render(cookiecutter=defaults | options.answers)  # noqa: S701 no HTML


def test_every_base_of_a_stack_is_where_an_option_set_or_a_benchmark_starts(stack: Stack) -> None:
    texts = {options.name: dockerfile(stack, options) for options in stack.option_sets}
    pattern = rf"^FROM (--platform=\S+ )?{re.escape(stack.builder)} AS deps$"
    assert re.search(pattern, texts["default"], re.MULTILINE)
    benchmarks = (ROOT / "benchmarks" / stack.name).glob("Dockerfile.*")
    used = set().union(*map(upstream, [*texts.values(), *(path.read_text(encoding="utf-8") for path in benchmarks)]))
    assert set(stack.bases) <= used


def test_every_stand_in_is_of_a_base_or_of_what_a_recipe_starts_and_every_base_has_one(matrix: Matrix) -> None:
    used = {base for stack in matrix.stacks.values() for base in stack.bases}
    started = {image for recipe in RECIPES for image in images(recipe) if "/" not in image}
    assert set(bases._TARGETS) == used | started


@pytest.mark.parametrize("reference", bases._TARGETS)
def test_a_stand_in_has_a_stage_with_the_versions_of_its_base(reference: str) -> None:
    target, *arguments = bases._TARGETS[reference].split()
    assert re.search(rf"^FROM .* AS {target}$", bases._recipe(target).read_text(encoding="utf-8"), re.MULTILINE)
    for argument in arguments:
        name, _, value = argument.partition("=")
        assert name != "VERSION" or f":{value}-" in reference


@pytest.mark.parametrize("recipe", sorted(bases._RECIPES.iterdir()), ids=lambda path: path.name)
def test_the_comment_over_a_stage_of_a_recipe_names_its_base(recipe: Path) -> None:
    named = re.findall(r"^# (\w+): ([a-z0-9./-]+:[\w.-]+\w)", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    for stage, reference in named:
        known = {base for base, target in bases._TARGETS.items() if target.partition(" ")[0] == stage}
        assert reference in known | {re.sub(r":3\.\d+-", ":3.x-", base) for base in known}


def test_twins_and_peers_start_from_bases_of_their_stack(stack: Stack) -> None:
    dockerfiles = sorted((ROOT / "benchmarks" / stack.name).glob("Dockerfile.*"))
    assert "Dockerfile.twin" in {path.name for path in dockerfiles}
    for path in dockerfiles:
        assert upstream(path.read_text(encoding="utf-8")) <= set(stack.bases), path.name


def test_the_demo_compares_parts_with_bases_of_their_stack(stack: Stack) -> None:
    assert {part.base for part in stack.parts} <= set(stack.bases)
