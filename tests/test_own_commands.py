"""Is every command of the collection's documents and workflows run by a test, or listed with the reason why not?"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_updates
import yaml
from conftest import bake
from pytest_cookies.plugin import Cookies
from test_documents import DOCUMENTS, FILES

from msb import stacks
from msb.stacks import ROOT

INSTRUCTIONS = [
    path for path in DOCUMENTS if path.name not in {"CHANGELOG.md", "decisions.md"} and path.parent.name != "recipes"
]
"""What tells its reader what to do, not what was done; test_recipes.py runs every command of a recipe."""
WORKFLOWS = sorted(path for path in FILES if path.is_relative_to(ROOT / ".github") and path.suffix == ".yml")
PROGRAMS = r"make|npm|pip|uvx|cookiecutter|git|python3? -m|sh \S+/\S+|docker (?:build|buildx|compose|run)|\.venv/\S+"
SPAN = rf"(?:{PROGRAMS}) .+"
"""The code spans that are commands."""

READMES = "test_commands.py::test_every_command_of_the_generated_readme_does_what_it_says"
HERE = "test_own_commands.py::test_what_make_does_without_an_engine_leaves_a_clean_tree_as_it_is"
COMPOSE = "test_routes.py::test_compose_serves_with_the_rights_it_needs_and_no_more"
SCRIPTS = "test_own_commands.py::test_a_script_gets_a_project_without_questions"
TESTS = "runs the tests, this one too"
FETCHES = "changes with what the registries have that day"
DEMO = "its phases are functions that the tests call; the images workflow runs it whole"
RELEASE = "test_release.py::test_a_release_is_one_index_under_every_tag_with_provenance_and_sbom_of_each_platform"
HANDED = "hands one value to GitHub, which alone reads it"
GITHUB = "GitHub's machines alone have it"

RUN = {
    "pip install cookiecutter": "test_setup.py::test_a_first_run_makes_the_environment_a_second_does_nothing_and_"
    "a_changed_lock_makes_it_anew",  # by pip, with the version of requirements.lock
    "cookiecutter gh:org/msb-templates": "test_documents.py::test_the_readme_shows_the_menu_as_a_person_sees_it",
    "cookiecutter gh:org/msb-templates --directory templates/go --no-input project_slug=orders": SCRIPTS,
    "cd hello-service": READMES,
    "docker build --tag hello-service .": READMES,
    "docker build .": READMES,
    "docker build --secret id=ca-certificates,src=ca.pem .": READMES,
    "docker build --build-arg HTTPS_PROXY=http://HOST:PORT .": "test_proxy.py::"
    "test_deps_asks_the_proxy_that_the_build_names",
    "docker build --target build": "the fixture build_image",
    "docker build --target test .": "`docker buildx bake test` of the READMEs builds the same stage",
    "docker buildx bake": READMES,
    "docker compose run --rm --entrypoint /busybox/sh debug": READMES,
    "docker compose up --wait": COMPOSE,
    "docker compose up": READMES,
    "uvx --from git+https://github.com/org/msb-templates msb contract IMAGE": "test_tool.py::"
    "test_the_actions_step_checks_an_image_with_the_tool_of_its_own_release",
    "pip install git+https://github.com/org/msb-templates": "test_tool.py::"
    "test_the_wheel_checks_a_saved_image_with_few_dependencies",
    'uvx --from "msb-templates[adopt] @ git+https://github.com/org/msb-templates" msb adopt': "test_adopt.py::"
    "test_the_wheel_adopts_without_a_checkout",
    **dict.fromkeys(
        (line for block in (test_updates.CREATE, test_updates.UPDATE) for line in block.splitlines()),
        "test_updates.py::test_cruft_updates_what_is_not_edited_and_leaves_a_conflict_to_the_owner",
    ),
    **dict.fromkeys(
        (line for block in (test_updates.BRANCH, test_updates.MERGE) for line in block.splitlines()),
        "test_updates.py::test_git_and_cookiecutter_alone_do_the_same",
    ),
    "python -m msb engine --status": "test_cli.py::test_the_status_of_the_engine_is_told_without_changing_it",
    "sh docker/add --upgrade": FETCHES,
    "npm update": FETCHES,
    "make help": "test_setup.py::test_make_help_lists_every_target_that_is_meant_for_people",
    "make setup": HERE,
    "make sync": HERE,
    "make docs": HERE,
    "make report": HERE,
    "make site": HERE,
    "make fix": HERE,
    "make wheel": HERE,
    "make clean": HERE,
    "make lock": FETCHES,
    "make check": TESTS,
    "make lint": TESTS,
    "make test": TESTS,
    "make demo": DEMO,
    "make demo STACK=go": DEMO,
    "make demo STACK=go RESULTS=docs/results.json": DEMO,
    # the workflows
    'make demo STACK="$STACK" OPTIONS="$OPTIONS"': DEMO,
    'uv python install "$VERSION"': GITHUB,
    "docker pull gcr.io/distroless/static-debian13:nonroot": "needs the registry",
    "matrix=$(.venv/bin/python -m msb matrix)": "test_documents.py::"
    "test_the_workflows_matrix_covers_every_image_to_build",
    'echo \'{"features": {"containerd-snapshotter": true}}\' | sudo tee /etc/docker/daemon.json': GITHUB,
    'test "$RESULTS" = "success success success"': "test_documents.py::"
    "test_the_aggregate_job_waits_for_every_other_job_and_fails_on_all_but_success",
    'read -ra arguments <<<"$ARGUMENTS"': "test_tool.py::"
    "test_the_actions_step_checks_an_image_with_the_tool_of_its_own_release",
    '.venv/bin/python -m msb release "$GITHUB_REF_NAME" >"$RUNNER_TEMP/notes.md"': "test_upkeep.py::"
    "test_a_release_prints_its_own_section_of_the_changelog",
    'gh release create "$GITHUB_REF_NAME" dist/*.whl --verify-tag --notes-file "$RUNNER_TEMP/notes.md"': GITHUB,
    "missing=0": "asks the registries; its list is of test_upkeep.py::test_the_weekly_workflow_looks_for_every_base",
    'failed=$(gh api "repos/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID/jobs" --paginate \\': "test_upkeep.py::"
    "test_a_failed_week_opens_one_issue_and_comments_on_it_after_that",
    # the generated workflow
    "docker compose up --no-build --detach --wait --wait-timeout 60": COMPOSE,
    'uvx --from "$CONTRACT" msb contract "$TESTED" --stack "$STACK" --skip MSB501 --waivers docker/contract.txt '
    "--sarif contract.sarif": "test_tool.py::test_the_generated_workflow_checks_its_image_against_the_contract",
    "seconds=$(git log -1 --format=%ct)": "test_release.py::test_a_release_is_named_by_its_tag_and_dated_by_its_commit",
    'mapfile -t tags <<<"$TAGS"': RELEASE,
    'parts=\'{"image": {{json .Image}}, "provenance": {{json .Provenance}}, "SBOM": {{json .SBOM}}}\'': RELEASE,
    'echo "$OUTPUT=$DIGEST" >>"$GITHUB_OUTPUT"': HANDED,
    'echo "::notice::$IMAGE is pushed, not signed. For private repositories GitHub signs on Enterprise Cloud '
    'alone."': HANDED,
}
"""Each command, or the first line of a workflow's script, and the test that runs it or the reason why none does."""


def spoken(text: str) -> Iterator[str]:
    """The commands of a document: of its blocks, and of its prose and tables."""
    for info, block in re.findall(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        if info == "sh":
            yield from (line.partition("  # ")[0].strip() for line in block.splitlines())
        elif info == "console":
            yield from re.findall(r"^\$ (.+)", block, re.MULTILINE)
    prose = re.sub(r"^```.*\n(?:.*\n)*?```$", "", text, flags=re.MULTILINE)
    yield from (span for span in re.findall(r"`([^`\n]+)`", prose) if re.fullmatch(SPAN, span))


def steps(workflow: str) -> Iterator[str]:
    """The first line of every script in a workflow or an action."""
    content = yaml.safe_load(workflow)
    jobs = content["jobs"].values() if "jobs" in content else [content.get("runs", {})]
    yield from (step["run"].splitlines()[0] for job in jobs for step in job.get("steps", []) if "run" in step)


def test_every_command_is_run_by_a_test_or_listed_with_the_reason(cookies: Cookies) -> None:
    generated = bake(cookies, stacks.load().stack("go"), {}) / ".github" / "workflows" / "ci.yml"
    named = {command for path in INSTRUCTIONS for command in spoken(path.read_text(encoding="utf-8"))}
    named |= {step for path in (*WORKFLOWS, generated) for step in steps(path.read_text(encoding="utf-8"))}
    assert sorted(named - set(RUN)) == []
    assert sorted(set(RUN) - named) == []


@pytest.mark.parametrize("where", sorted({where for where in RUN.values() if where.startswith("test_")}))
def test_the_test_that_is_said_to_run_a_command_exists(where: str) -> None:
    module, _, name = where.partition("::")
    assert f"\ndef {name}(" in (ROOT / "tests" / module).read_text(encoding="utf-8")


def test_a_script_gets_a_project_without_questions(tmp_path: Path) -> None:
    """The README's command as it stands, with this folder in the place of GitHub."""
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "msb-templates").symlink_to(ROOT)
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(f"abbreviations: {{gh: '{tmp_path}/{{0}}'}}\nreplay_dir: {tmp_path}\n")
    (command,) = (command for command in RUN if RUN[command] == SCRIPTS)
    environment = os.environ | {
        "COOKIECUTTER_CONFIG": str(configuration), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    }  # fmt: skip
    result = subprocess.run(command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "orders" / "Dockerfile").is_file()


@pytest.mark.slow
def test_what_make_does_without_an_engine_leaves_a_clean_tree_as_it_is(tmp_path: Path) -> None:
    """In a copy of the collection, with the environment of this one."""
    for file in FILES:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])

    def tree() -> dict[str, bytes]:
        files = (path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(tmp_path / ".venv"))
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in files if "__pycache__" not in path.parts}

    before = tree()
    for command in sorted(command for command in RUN if RUN[command] == HERE and command != "make clean"):
        result = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    assert list((tmp_path / "dist").glob("*.whl"))
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True)
    assert tree() == before
    assert not (tmp_path / ".venv").exists()
