"""What the tests share: one engine, and each stack's default project, rendered and built once a session."""

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies

from msb import bases as base_images
from msb import install, stacks
from msb import project as projects
from msb.engine import Engine
from msb.stacks import ROOT, Matrix, OptionSet, Stack

IMAGES = f"msb-test-{os.getpid()}"
"""Where this session tags its images: two sessions on one engine leave each other alone."""


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark every test that uses the engine, however indirectly, so that `make check` can leave it out.

    The tests of a stack run together, after those of none: what a stack's tests share is built once. Pytest's own
    order (which this one follows) goes back and forth between the stacks where a test has a second parameter.
    """
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker("engine")
    yield
    order = ["", *stacks.load().stacks]
    items.sort(key=lambda item: order.index(_stack_of(item)))


def _stack_of(item: pytest.Item) -> str:
    """The name of the stack the test is of, or nothing."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    asked = parameters.get("stack", "")
    return asked.name if isinstance(asked, Stack) else asked


@pytest.fixture(scope="session")
def matrix() -> Matrix:
    return stacks.load()


@pytest.fixture(scope="session", params=list(stacks.load().stacks))
def stack(request: pytest.FixtureRequest, matrix: Matrix) -> Stack:
    return matrix.stack(request.param)


def remove(engine: Engine, tags: Collection[str]) -> None:
    """Remove images side by side: the engine collects its garbage after each, once for all that wait for it."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda tag: engine.run("image", "rm", "--force", tag, check=False), tags))


Rendered = tuple[Path, Stack, OptionSet]
OPTION_SETS = [(stack, options) for stack in stacks.load().stacks.values() for options in stack.option_sets]


def option_set_name(pair: tuple[Stack, OptionSet]) -> str:
    """What a test of an option set is called."""
    return f"{pair[0].name}-{pair[1].name}"


@pytest.fixture(scope="session", params=OPTION_SETS, ids=option_set_name)
def rendered(request: pytest.FixtureRequest, cookies_session: Cookies) -> Rendered:
    """One option set, rendered: the project, its stack and the option set."""
    stack, options = request.param
    return bake(cookies_session, stack, options.answers), stack, options


def bake(cookies: Cookies, stack: Stack, answers: dict[str, str]) -> Path:
    result = cookies.bake(template=str(stack.template), extra_context=answers)
    assert result.exception is None
    return result.project_path


@pytest.fixture(scope="session")
def engine(matrix: Matrix) -> Iterator[Engine]:
    """A real engine with the bases of every stack; what the session built and tagged is removed after it."""
    found = install.ensure()
    found.need_disk()
    base_images.ensure(found, sorted({base for stack in matrix.stacks.values() for base in stack.bases}))
    yield found
    tags = found.run("image", "ls", "--filter", f"reference={IMAGES}/*", "--format", "{{.Repository}}:{{.Tag}}").stdout
    remove(found, tags.split())


@pytest.fixture(scope="session")
def project(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stack's default option set, rendered; read-only by agreement: change a copy."""
    return projects.render(stack, {}, tmp_path_factory.mktemp(stack.name))


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest, engine: Engine, stack: Stack, project: Path) -> Iterator[str]:
    """The runtime image of the default option set, as its owner builds it.

    After a stack's tests its cache goes, if the engine is msb's and another stack follows: to write a build's history
    BuildKit looks through every link of its cache, so that with many builds behind it even a cached one takes long
    (measured: 10.5 s for one that takes 0.5 s with an empty cache).
    """
    yield _built(engine, project, f"{IMAGES}/{stack.name}:runtime", None)
    if engine.ours and _stack_of(request.session.items[-1]) != stack.name:
        engine.run("builder", "prune", "--all", "--force")


@pytest.fixture(scope="session")
def build_image(engine: Engine, stack: Stack, project: Path) -> str:
    """The build stage of the same project as an image: where build tools must be found."""
    return _built(engine, project, f"{IMAGES}/{stack.name}:build", "build")


@pytest.fixture(scope="session")
def twin(engine: Engine, stack: Stack, project: Path) -> str:
    """The same application as a naive single-stage image."""
    tag = f"{IMAGES}/{stack.name}:twin"
    projects.build(
        engine, project, tag=tag, options=("--file", str(ROOT / "benchmarks" / stack.name / "Dockerfile.twin"))
    )
    return tag


def _built(engine: Engine, project: Path, tag: str, target: str | None) -> str:
    projects.build(engine, project, tag=tag, target=target)
    return tag
