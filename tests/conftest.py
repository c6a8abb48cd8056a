"""What the tests share: one engine, and each stack's default project, rendered and built once a session."""

import fcntl
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import covered
import pytest
from jinja2 import Environment
from playwright.sync_api import Browser, sync_playwright
from pytest_cookies.plugin import Cookies
from xdist.scheduler import LoadScopeScheduling

from msb import bases as base_images
from msb import engine as engines
from msb import install, stacks
from msb import project as projects
from msb.contract import RULES, Subject, building
from msb.contract.rules import Look
from msb.engine import Engine
from msb.image import Image
from msb.stacks import ROOT, Matrix, OptionSet, Stack

IMAGES = f"msb-test-{os.getpid()}"
"""Where this session tags its images: two sessions on one engine leave each other alone."""


LOCK = Path(tempfile.gettempdir()) / "msb-test.lock"
"""Held by whoever starts the engine or builds its bases: sessions and their workers do it one after the other."""
TIMED = ("MSB604", "MSB610")
"""Rules that give a service so many seconds to end."""
Alone = Callable[[], AbstractContextManager[None]]
VERIFIED = {f"MSB{number}" for number in (*range(101, 109), 203, 204, 206, 207, 208)}
"""The rules that docker/verify checks in every build."""
STACK = re.compile(rf"[\[-]({'|'.join(stacks.load().stacks)})[-\]]")
"""A stack's name among the parameters of a test's id."""


def group(nodeid: str) -> str:
    """What a test shares its builds with: its stack, the stack's other option sets, or, of no stack, its module."""
    module, _, name = nodeid.partition("::")
    found = STACK.search(name)
    if not found:
        return module
    return f"{found[1]}, other option sets" if module.endswith("test_option_sets.py") else found[1]


class Groups(LoadScopeScheduling):
    """Give each worker a group at a time, so that what its tests share is built once."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups | None:
    """Take the place of --dist=loadgroup (xdist 3.8 does not see its marks with pytest 9.2)."""
    return Groups(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark every test that uses the engine or the browser, however indirectly, so that `make check` can leave it out.

    The tests of a group run together, the dearest groups first. Pytest's own order (which this one follows) goes back
    and forth between the stacks where a test has a second parameter.
    """
    for item in items:
        for needed in {"engine", "browser"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(needed)
    yield
    dearest = sorted(stacks.load().stacks.values(), key=lambda stack: -len(stack.option_sets))
    order = [stack.name for stack in dearest]
    # A stack and its other option sets would build beside each other what the second can take from the cache. The
    # longest of those must not come last, when the other worker has nothing left.
    others = [f"{name}, other option sets" for name in order]
    groups = [*order[:2], others[0], *order[2:], *others[1:]]
    items.sort(key=lambda item: groups.index(name) if (name := group(item.nodeid)) in groups else len(groups))


REPORTS: list[pytest.TestReport] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    REPORTS.append(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write what a whole run covered, and fail one that lost any of it."""
    if hasattr(session.config, "workerinput") or not covered.is_whole(session.config):
        return
    covered.write(covered.of(REPORTS), covered.FILE)
    if exitstatus == pytest.ExitCode.OK and lost():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def lost() -> list[covered.Entry]:
    """What a whole run has to cover and this one did not."""
    from test_mutants import COVERED

    return sorted(covered.wanted(stacks.load(), COVERED) - covered.of(REPORTS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After a run with the engine, print how long each group took, of which two run at a time, and what it holds."""
    if covered.is_whole(config):
        for code, stack, options, mutant in lost():
            terminalreporter.write_line(f"not covered: {code} of {stack}, {options}" + f", {mutant}" * bool(mutant))
    if not any("engine" in report.keywords for report in REPORTS):
        return
    spent: dict[str, float] = defaultdict(float)
    for report in REPORTS:
        spent[group(report.nodeid)] += report.duration
    terminalreporter.section("seconds of each group, and the engine")
    for name, seconds in sorted(spent.items(), key=lambda pair: -pair[1]):
        terminalreporter.write_line(f"{seconds:7.1f}s {name}")
    if found := engines.find():
        result = found.run("system", "df", check=False)  # it fails while another process removes a container
        terminalreporter.write_line((result.stdout or result.stderr).rstrip())


@pytest.fixture(scope="session")
def matrix() -> Matrix:
    return stacks.load()


@pytest.fixture(scope="session", params=list(stacks.load().stacks))
def stack(request: pytest.FixtureRequest, matrix: Matrix) -> Stack:
    return matrix.stack(request.param)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium, headless."""
    chromium = install.program("chromium", "fonts-dejavu-core")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        yield browser
        browser.close()


def remove(engine: Engine, tags: Collection[str]) -> None:
    """Remove images side by side: the engine collects its garbage after each, once for all that wait for it."""
    with ThreadPoolExecutor(max_workers=64) as pool:
        list(pool.map(lambda tag: engine.run("image", "rm", "--force", tag, check=False), tags))


@pytest.fixture(scope="session")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the session's workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture
def own_names(locks: Path) -> Iterator[None]:
    """Let no other worker use Compose: its containers and images are called like the project, in every stack."""
    with locked(locks / "names.lock", fcntl.LOCK_EX):
        yield


@pytest.fixture(scope="session", autouse=True)
def quiet(locks: Path) -> Iterator[Alone]:
    """Build nothing on one worker while the other asks a rule whose findings depend on seconds.

    Yields what holds the machine for several such rules, so that each does not wait for the end of a build.
    """
    gate, file = locks / "gate.lock", locks / "quiet.lock"
    held = False

    @contextmanager
    def alone() -> Iterator[None]:
        nonlocal held
        with ExitStack() as entered:
            for lock in () if held else (gate, file):
                entered.enter_context(locked(lock, fcntl.LOCK_EX))
            before, held = held, True
            try:
                yield
            finally:
                held = before

    def shared(build: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(build)
        def wait(*arguments: Any, **options: Any) -> Any:
            with locked(gate, fcntl.LOCK_SH):
                pass  # who waits to be alone comes first, or would wait for build after build
            with locked(file, fcntl.LOCK_SH):
                return build(*arguments, **options)

        return wait

    def timed(look: Look) -> Look:
        @wraps(look)
        def wait(subject: Subject) -> Iterator[tuple[str, str]]:
            with alone():
                yield from look(subject)

        return wait

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "_run", shared(projects._run))
        patch.setattr(building, "_run_build", shared(building._run_build))
        for code in TIMED:
            patch.setitem(RULES, code, replace(RULES[code], look=timed(RULES[code].look)))
        yield alone


@contextmanager
def locked(file: Path, kind: int) -> Iterator[None]:
    """Hold the lock of a file, shared or exclusive."""
    with file.open("w") as lock:
        fcntl.flock(lock, kind)
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled() -> Iterator[None]:
    """Compile a template's text once a session: Cookiecutter compiles it anew, half its time, for every project."""
    known: dict[tuple[object, ...], Any] = {}
    original = Environment.compile

    @wraps(original)
    def compile_once(self: Environment, source: Any, *names: Any, **options: Any) -> Any:
        settings = (self.undefined, self.trim_blocks, self.lstrip_blocks, self.keep_trailing_newline)
        key = (source, names, *options.items(), *sorted(self.extensions), *settings)
        if not isinstance(source, str) or key not in known:
            known[key] = original(self, source, *names, **options)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_once)
        yield


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
    with locked(LOCK, fcntl.LOCK_EX):
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
def runtime(engine: Engine, stack: Stack, project: Path) -> str:
    """The runtime image of the default option set, as its owner builds it."""
    return _built(engine, project, f"{IMAGES}/{stack.name}:runtime", None)


@pytest.fixture(scope="module")
def subject(engine: Engine, matrix: Matrix, stack: Stack, runtime: str) -> Iterator[Subject]:
    """The runtime image, opened for the rules and for what runs it."""
    with Image(engine, runtime) as image:
        yield Subject(engine, stack, matrix.contract, image)


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
