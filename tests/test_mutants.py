"""Does every rule speak on an image or a project that was spoiled for it, and verify with the same voice?"""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGES as SESSION
from conftest import TIMED, VERIFIED, Alone, remove
from covered import PROPERTY, Entry

from msb import project as projects
from msb import stacks
from msb.contract import RULES, Result, Sees, Status, Subject, behaviour, check
from msb.engine import Engine
from msb.image import Image, Unpacked, images
from msb.stacks import Matrix, Stack

FOLDER = Path(__file__).parent / "mutants"
STAGE = r"^FROM \S+ AS (msb\d+\S*)$"
SAYS = re.compile(rf"((?:^# says: .+\n)+){STAGE}", re.MULTILINE)


def code(name: str) -> str:
    return name.partition("-")[0].upper()


def runs(name: str) -> bool:
    """Whether a mutant's rule starts the image."""
    return name != CLEAN and RULES[code(name)].sees is Sees.RUN


def text(name: str) -> str:
    """A file of mutants, or "" where there is none."""
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def dockerfile(stack: str) -> str:
    """The mutants of a stack: its own, those of its kind, and all others but those that it has by the same name."""
    kind = "unprobed" if stacks.load().stack(stack).service.unprobed else "probed"
    common, *others = filter(None, map(text, ("Dockerfile", f"{kind}.Dockerfile", f"{stack}.Dockerfile")))
    own = set(re.findall(STAGE, "\n".join(others), re.MULTILINE))
    blocks = [block for block in common.split("\n\n") if own.isdisjoint(re.findall(STAGE, block, re.MULTILINE))]
    return "\n\n".join(blocks + others)


IMAGES = {name: re.findall(STAGE, dockerfile(name), re.MULTILINE) for name in stacks.load().stacks}
PAIRS = [(stack, name) for stack, names in IMAGES.items() for name in names]
PROJECTS: list[dict[str, Any]] = tomllib.loads((FOLDER / "projects.toml").read_text(encoding="utf-8"))["mutant"]
SPOILED = [
    pytest.param(name, mutant, id=f"{name}-{mutant['code']}-{mutant['spoiled']}")
    for name in stacks.load().stacks
    for mutant in PROJECTS
    if name == mutant.get("stack", name)
]
WITHOUT_TOOLS = "a build image without tools"
COVERED: list[Entry] = [
    *((name.partition("-")[0].upper(), stack, "default", name) for stack, name in PAIRS),
    *((mutant.values[1]["code"], mutant.values[0], "default", mutant.values[1]["spoiled"]) for mutant in SPOILED),
    *(("MSB110", stack, "default", WITHOUT_TOOLS) for stack in IMAGES),
]
"""What the tests below cover."""
CLEAN = "clean"
SMALLEST = "go"
COMPARED = {
    (stack, name)
    for stack, name in PAIRS
    if code(name) in VERIFIED and (stack == SMALLEST or f" AS {name}\n" in text(f"{stack}.Dockerfile"))
}
"""The mutants that docker/verify judges too: all on the smallest image, and on the others those of their own.

What is spoiled alike it judges alike on each image, and test_agreement compares both on any tree; but it
reads a large image for seconds.
"""
BATCH = 8
"""How many mutants are built at a time: with all at once, BuildKit misses the deadline of its own for their history."""


def bake(engine: Engine, definition: dict[str, Any]) -> None:
    command = [*engine.command, "buildx", "bake", "--progress=plain", "--file", "-"]
    result = subprocess.run(command, input=json.dumps(definition), text=True, capture_output=True)
    assert result.returncode == 0, result.stderr[-3000:]


def debug_base(stack: Stack) -> str:
    return next(base for base in stack.bases if base.endswith(":debug-nonroot"))


def says(stages: str) -> dict[str, list[str]]:
    """What the findings of each mutant have to say: its rule could fail for another reason."""
    return {name: [line[8:].lstrip("/") for line in lines.splitlines()] for lines, name in SAYS.findall(stages)}


@pytest.fixture(scope="session")
def filled(engine: Engine, stack: Stack, runtime: str) -> str:
    """The stack's mutants, with what the clean image runs and holds in the places between @ and @."""
    with Image(engine, runtime) as image:
        program = image.tree.which(image.command[0], image.env["PATH"])
        assert program
        prefix = stack.changes[0].lstrip("/")
        file = next(entry.path for entry in image.tree if entry.kind == "file" and entry.path.startswith(prefix))
        values = {"program": f"/{program.path}", "command": shlex.join(image.command), "file": f"/{file}"}
    return re.sub(r"@([a-z]+)@", lambda place: values[place[1]], dockerfile(stack.name))


@pytest.fixture(scope="session")
def mutants(engine: Engine, matrix: Matrix, stack: Stack, runtime: str, filled: str) -> Iterator[dict[str, str]]:
    """Every spoiled image by its name in tests/mutants, and the clean one; removed after the session."""
    tags = {name: f"{SESSION}/{stack.name}-mutant:{name}" for name in IMAGES[stack.name]}
    contexts = {
        "runtime": runtime,
        "compilers": matrix.stack("go").builder,
        "builder": stack.builder,
        "toolbox": debug_base(stack),
    }
    common = {
        "context": str(FOLDER),
        "dockerfile-inline": filled,
        "contexts": {name: f"docker-image://{tag}" for name, tag in contexts.items()},
        "attest": ["type=provenance,disabled=true"],
        "output": ["type=docker"],
    }
    targets = {name: {**common, "target": name, "tags": [tag]} for name, tag in tags.items()}
    try:
        for first in range(0, len(tags), BATCH):
            batch = list(tags)[first : first + BATCH]
            bake(engine, {"group": {"default": {"targets": batch}}, "target": {name: targets[name] for name in batch}})
        yield {**tags, CLEAN: runtime}
    finally:
        remove(engine, tags.values())


@pytest.fixture(scope="session")
def verified(
    engine: Engine, stack: Stack, project: Path, mutants: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What docker/verify prints about each mutant of its rules and the clean image, run as the build runs it."""
    names = [CLEAN, *(name for name in mutants if (stack.name, name) in COMPARED)]
    stages = [
        f"FROM toolbox AS verify-{name}\nUSER 0\n"
        f"RUN --mount=type=bind,from={name},target=/tmp/image --mount=type=bind,from=docker,target=/tmp/docker "
        f'["/busybox/sh", "-c", "mkdir /out; /busybox/sh /tmp/docker/verify /tmp/image /done >/out/{name} 2>&1; true"]'
        for name in names
    ]
    copies = [f"COPY --from=verify-{name} /out/ /" for name in names]
    out = tmp_path_factory.mktemp("verified")
    target = {
        "context": str(FOLDER),
        "dockerfile-inline": "\n".join([*stages, "FROM scratch AS verdicts", *copies]),
        "contexts": {
            **{name: f"docker-image://{mutants[name]}" for name in names},
            "toolbox": f"docker-image://{debug_base(stack)}",
            "docker": str(project / "docker"),
        },
        "output": [f"type=local,dest={out}"],
    }
    bake(engine, {"group": {"default": {"targets": ["verdicts"]}}, "target": {"verdicts": target}})
    return {name: (out / name).read_text(encoding="utf-8") for name in names}


def test_every_rule_has_a_mutant_and_every_mutant_a_rule() -> None:
    assert {code for code, *_ in COVERED} == set(RULES)


@pytest.mark.parametrize("name", IMAGES)
def test_every_mutant_has_a_text_that_its_finding_must_hold(name: str) -> None:
    assert sorted(says(dockerfile(name))) == sorted(IMAGES[name])


@pytest.fixture(scope="session")
def opened(
    engine: Engine, mutants: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], AbstractContextManager[Image]]]:
    """Open a mutant to read it. All are saved at once, and the layers that they share are unpacked once."""
    folder = tmp_path_factory.mktemp("mutants")
    archive = folder / "saved.tar"
    engine.run("image", "save", "--output", str(archive), *mutants.values())
    shutil.unpack_archive(archive, folder, filter="data")
    archive.unlink()
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    found = {each["annotations"]["io.containerd.image.name"].rpartition("/")[2]: each for each in index["manifests"]}
    (folder / "manifest.json").unlink()

    @contextmanager
    def open_one(name: str) -> Iterator[Image]:
        one = index | {"manifests": [found[mutants[name].rpartition("/")[2]]]}
        (folder / "index.json").write_text(json.dumps(one), encoding="utf-8")
        with images(str(folder), lambda: engine, unpacked=unpacked) as (image,):
            yield image

    with Unpacked(folder) as unpacked:
        yield open_one


@pytest.fixture(scope="session")
def judged(
    engine: Engine,
    matrix: Matrix,
    stack: Stack,
    mutants: dict[str, str],
    opened: Callable[[str], AbstractContextManager[Image]],
    quiet: Alone,
    request: pytest.FixtureRequest,
) -> Callable[[str], Result]:
    """Check a mutant by its own rule, and where verify judges it too, by all of verify's: it is read once for both."""

    @cache
    def judge(name: str) -> Result:
        codes = VERIFIED if name == CLEAN or (stack.name, name) in COMPARED else {code(name)}
        with ExitStack() as entered:
            image = entered.enter_context(Image(engine, mutants[name]) if runs(name) else opened(name))
            twin = None
            if code(name) == "MSB502":
                twin = entered.enter_context(Image(engine, request.getfixturevalue("twin")))
            return check(Subject(engine, stack, matrix.contract, image, twin=twin), codes)

    @cache
    def judge_running(timed: bool) -> None:
        """Judge all that start the image: some at a time, for they wait more than they work, or what is timed alone."""
        names = [name for name in IMAGES[stack.name] if runs(name) and (code(name) in TIMED) == timed]
        with quiet() if timed else nullcontext(), pytest.MonkeyPatch.context() as patch:
            # The rule's patience spares a slow service; what goes on for good is told from one in less.
            patch.setattr(behaviour, "_REFUSING", 6.0)
            with ThreadPoolExecutor(max_workers=1 if timed else 3) as pool:
                list(pool.map(judge, names))

    def verdicts(name: str) -> Result:
        if runs(name):
            judge_running(timed=code(name) in TIMED)
        return judge(name)

    return verdicts


@pytest.mark.parametrize(("stack", "name"), PAIRS, indirect=["stack"], scope="session")
def test_a_spoiled_image_is_caught_by_its_rule(
    judged: Callable[[str], Result], stack: Stack, filled: str, name: str, record_property: Callable[..., None]
) -> None:
    verdict = judged(name).verdicts[code(name)]
    assert verdict.status is Status.FAILED, f"{verdict.status}: {verdict.reason}"
    found = [str(finding) for finding in verdict.findings]
    assert [text for text in says(filled)[name] if not any(text in line for line in found)] == [], found
    record_property(PROPERTY, (code(name), stack.name, "default", name))


def test_a_build_image_without_tools_is_caught_by_the_control(
    engine: Engine, matrix: Matrix, stack: Stack, runtime: str, record_property: Callable[..., None]
) -> None:
    with Image(engine, runtime) as image:
        subject = Subject(engine, stack, matrix.contract, image, build_image=image)
        findings = check(subject, {"MSB110"}).findings
    assert {str(finding).split()[3] for finding in findings} == {"MSB101", "MSB103", "MSB106", "MSB107"}
    record_property(PROPERTY, ("MSB110", stack.name, "default", WITHOUT_TOOLS))


@pytest.mark.parametrize(("stack", "mutant"), SPOILED, indirect=["stack"], scope="session")
def test_a_spoiled_project_is_caught_by_its_rule(
    engine: Engine,
    matrix: Matrix,
    stack: Stack,
    runtime: str,
    project: Path,
    tmp_path: Path,
    mutant: dict[str, Any],
    record_property: Callable[..., None],
) -> None:
    spoiled = projects.copy(project, tmp_path / "project")
    for edit in mutant["edits"]:
        path = spoiled / edit["file"]
        text, count = re.subn(edit["pattern"], edit["text"], path.read_text(encoding="utf-8"))
        assert count, f"{edit['file']} does not hold {edit['pattern']!r}"
        path.write_text(text, encoding="utf-8")
    with Image(engine, runtime) as image:
        subject = Subject(engine, stack, matrix.contract, image, project=spoiled)
        verdict = check(subject, {mutant["code"]}).verdicts[mutant["code"]]
    assert verdict.status is Status.FAILED, f"{verdict.status}: {verdict.reason}"
    assert any(mutant["says"] in str(finding) for finding in verdict.findings), verdict.findings
    record_property(PROPERTY, (mutant["code"], stack.name, "default", mutant["spoiled"]))


@pytest.mark.parametrize(
    ("stack", "name"),
    [*((stack, CLEAN) for stack in IMAGES), *sorted(COMPARED)],
    indirect=["stack"],
    scope="session",
)
def test_verify_and_the_contract_speak_by_the_same_codes(
    judged: Callable[[str], Result], verified: dict[str, str], name: str
) -> None:
    output = verified[name]
    assert "verify: looked at" in output, output
    result = judged(name)
    assert not result.having(Status.ERRORED)
    assert set(re.findall(r"^(MSB\d+) ", output, re.MULTILINE)) == {finding.code for finding in result.findings}
