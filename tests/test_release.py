"""Does the generated workflow release what it says? Its own steps run here, with a registry on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import IMAGES, Rendered, bake
from pytest_cookies.plugin import Cookies

from msb import project as projects
from msb.engine import Engine
from msb.stacks import ROOT, Stack

BIN = Path(sys.executable).parent
GO = {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
CI = Path(".github/workflows/ci.yml")
PLATFORMS = ("linux/amd64", "linux/arm64")
ONE = pytest.mark.parametrize("stack", ["go"], indirect=True, scope="session")
"""The workflow is the same in every stack."""


def workflow(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / CI).read_text(encoding="utf-8"))


def step(project: Path, job: str, name: str) -> dict[str, Any]:
    """The step of a job with that id."""
    return next(each for each in workflow(project)["jobs"][job]["steps"] if each.get("id") == name)


@pytest.fixture(scope="module")
def linted(cookies_session: Cookies, stack: Stack) -> Path:
    return bake(cookies_session, stack, {})


@ONE
@pytest.mark.parametrize(
    "command",
    [
        [BIN / "go", "-C", ROOT / "tools", "tool", "actionlint", "-shellcheck", BIN / "shellcheck"],
        [BIN / "zizmor", "--quiet", "--offline"],
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        [BIN / "check-jsonschema", "--builtin-schema", "custom.github-workflows-require-timeout"],
    ],
    ids=["actionlint", "zizmor", "schema", "timeouts"],
)
def test_linters_have_nothing_to_say_of_the_generated_workflow(linted: Path, command: list[str | Path]) -> None:
    result = subprocess.run([*command, linted / CI], env=os.environ | GO, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@ONE
def test_every_platform_is_built_on_a_machine_of_its_own_and_none_is_emulated(linted: Path) -> None:
    assert "qemu" not in (linted / CI).read_text(encoding="utf-8")
    for job in ("image", "publish"):
        runners = {
            row["platform"]: row["runner"] for row in workflow(linted)["jobs"][job]["strategy"]["matrix"]["include"]
        }
        assert runners == {"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"}


def test_the_image_that_is_tested_is_the_one_that_compose_starts(rendered: Rendered) -> None:
    project, *_ = rendered
    compose = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))
    assert workflow(project)["env"]["TESTED"] == compose["services"]["service"]["image"]


@ONE
def test_in_a_private_repository_only_what_github_sells_apart_may_fail(linted: Path) -> None:
    jobs = workflow(linted)["jobs"]
    lenient = [each for job in jobs.values() for each in job["steps"] if "continue-on-error" in each]
    upload = "github/codeql-action/upload-sarif"  # of the contract, and of the vulnerabilities
    assert [each["uses"].split("@")[0] for each in lenient] == [upload, upload, "actions/attest"]
    assert {each["continue-on-error"] for each in lenient} == {"${{ github.event.repository.private }}"}
    names = [each.get("id", each.get("name")) for each in jobs["release"]["steps"]]
    assert names.index("index") < names.index("check") < names.index("sign")  # what is signed was checked


@ONE
def test_a_release_is_named_by_its_tag_and_dated_by_its_commit(linted: Path, tmp_path: Path) -> None:
    name = "Name the image by its tag, and date it by its commit"
    (script,) = (each["run"] for each in workflow(linted)["jobs"]["publish"]["steps"] if each.get("name") == name)
    when = "2026-11-27T06:00:00+0900"
    variables = {
        "GIT_COMMITTER_DATE": when, "GITHUB_REF_NAME": "v1.2.3", "GITHUB_ENV": str(tmp_path / "variables")
    }  # fmt: skip
    start = (
        "git init --quiet && git -c user.name=A -c user.email=a@example.com commit --quiet --allow-empty --message A"
    )
    for command in (start, script):
        subprocess.run(["bash", "-ec", command], cwd=tmp_path, env=os.environ | variables, check=True)
    assert (tmp_path / "variables").read_text().splitlines() == [
        "VERSION=1.2.3", "SOURCE_DATE_EPOCH=1795726800", "CREATED=2026-11-26T21:00:00Z"
    ]  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a registry with nothing in it."""
    program = tmp_path_factory.mktemp("registry") / "registry"
    subprocess.run(
        [BIN / "go", "-C", ROOT / "tools", "build", "-o", program, "./registry"], check=True, env=os.environ | GO
    )
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.terminate()


Publish = Callable[..., str]


@pytest.fixture(scope="module")
def repository(registry: str) -> str:
    return f"{registry}/team/service"


@pytest.fixture(scope="module")
def publish(
    engine: Engine, stack: Stack, project: Path, repository: str, tmp_path_factory: pytest.TempPathFactory
) -> Publish:
    """Push one platform as the workflow's `publish` job does, and return the digest.

    Not as there: the image is a small one; a tag takes the place of push-by-digest, and nothing rewrites times, which
    need a builder in a container; the SBOM is by a stand-in of BuildKit's scanner, which comes from a registry.
    """
    copy = projects.copy(project, tmp_path_factory.mktemp("release") / project.name)
    scanner, toolbox = f"{IMAGES}/release:scanner", next(base for base in stack.bases if "debug" in base)
    (copy / "scan").write_text(
        """echo '{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", """
        """"predicate": {"spdxVersion": "SPDX-2.3"}}' >"$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"\n"""
    )
    (copy / "Dockerfile").write_text(f'FROM {toolbox}\nCOPY scan /\nENTRYPOINT ["/busybox/sh", "/scan"]\n')
    projects.build(engine, copy, tag=scanner)
    (copy / "Dockerfile").write_text(f"FROM {toolbox} AS runtime\nCOPY scan /\n")
    definition = (copy / "docker-bake.hcl").read_text()
    told = step(copy, "publish", "bake")["with"]

    def push(platform: str, without: str = "") -> str:
        attest = {"provenance": "type=provenance,mode=max", "SBOM": f"type=sbom,generator={scanner}"}
        if without:
            attest[without] = f"type={without.lower()},disabled=true"
        wanted = '["type=provenance,mode=max", "type=sbom"]'
        assert definition.count(wanted) == 1
        (copy / "docker-bake.hcl").write_text(definition.replace(wanted, json.dumps(list(attest.values()))))
        settings = told["set"].replace("${{ matrix.platform }}", platform)
        settings = dict(line.split("=", 1) for line in settings.splitlines())
        tag = f"{repository}:{platform.replace('/', '-')}{without.lower()}"
        settings |= {"published.tags": tag, "published.output": "type=registry"}
        command = [*engine.command, "buildx", "bake", "--metadata-file", "metadata.json", told["targets"]]
        command += [f"--set={key}={value}" for key, value in settings.items()]
        result = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        engine.run("image", "rm", "--force", tag, check=False)
        return json.loads((copy / "metadata.json").read_text())["published"]["containerimage.digest"]

    return push


@pytest.fixture(scope="module")
def pushed(publish: Publish) -> tuple[str, str]:
    """The digests of the two platforms, each with all that belongs to it."""
    return publish("linux/amd64"), publish("linux/arm64")


@pytest.fixture
def release(engine: Engine, project: Path, repository: str, tmp_path: Path) -> Callable[[str, str], tuple[int, str]]:
    """Make an index of two digests and check it, by the steps of `release`: the check's exit code and output."""
    output = tmp_path / "output"
    # As `docker` on PATH, the client of this engine.
    search = f"{Path(engine.command[0]).parent}{os.pathsep}{os.environ['PATH']}"

    def run(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": search, "IMAGE": repository, "GITHUB_OUTPUT": str(output)} | variables
        command = ["bash", "-e", "-c", step(project, "release", name)["run"]]
        return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)

    def both(amd64: str, arm64: str) -> tuple[int, str]:
        tags = f"{repository}:1.2.3\n{repository}:1.2"
        made = run("index", TAGS=tags, AMD64=amd64, ARM64=arm64)
        assert made.returncode == 0, made.stderr
        name, _, digest = output.read_text().strip().partition("=")
        assert name == "digest"
        told = run("check", DIGEST=digest)
        return told.returncode, told.stdout

    return both


@ONE
def test_a_release_is_one_index_under_every_tag_with_provenance_and_sbom_of_each_platform(
    engine: Engine, repository: str, pushed: tuple[str, str], release: Callable[[str, str], tuple[int, str]]
) -> None:
    assert release(*pushed) == (0, "true\n")
    indexes = [
        json.loads(engine.run("buildx", "imagetools", "inspect", "--raw", f"{repository}:{tag}").stdout)
        for tag in ("1.2.3", "1.2")
    ]
    assert indexes[0] == indexes[1]
    platforms = [f"{each['platform']['os']}/{each['platform']['architecture']}" for each in indexes[0]["manifests"]]
    assert [platform for platform in platforms if platform != "unknown/unknown"] == list(PLATFORMS)


@ONE
@pytest.mark.parametrize("part", ["provenance", "SBOM"])
def test_a_release_fails_that_lacks_a_part_of_one_platform(
    publish: Publish, pushed: tuple[str, str], release: Callable[[str, str], tuple[int, str]], part: str
) -> None:
    assert release(pushed[0], publish("linux/arm64", part)) == (1, f"::error::linux/arm64 has no {part}\nfalse\n")


@ONE
def test_a_release_fails_that_lacks_a_platform(
    pushed: tuple[str, str], release: Callable[[str, str], tuple[int, str]]
) -> None:
    code, told = release(pushed[0], pushed[0])
    assert code == 1
    assert "::error::linux/arm64 has no image\n" in told
