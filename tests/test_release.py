"""Does the generated workflow build and release as it says? Read and linted; it runs on GitHub alone."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Rendered, bake
from pytest_cookies.plugin import Cookies

from msb.stacks import ROOT, Stack

BIN = Path(sys.executable).parent
GO = {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
CI = Path(".github/workflows/ci.yml")
ONE = pytest.mark.parametrize("stack", ["go"], indirect=True, scope="session")
"""The workflow is the same in every stack."""


def workflow(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / CI).read_text(encoding="utf-8"))


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
