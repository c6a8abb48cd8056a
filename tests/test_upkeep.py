"""Do the release and the weekly workflow do their part without an engine?"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import msb
from msb.errors import MsbError
from msb.release import notes
from msb.stacks import ROOT, Matrix

TAG = f"v{msb.__version__}"
SECTION = f"## [{msb.__version__}] - 2026-11-30\n\n### Added\n- A stack.\n\n## [0.0.1] - 2026-01-01\n\n- The first.\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A collection that is ready for its release."""
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{SECTION}")
    return tmp_path


def test_a_release_prints_its_own_section_of_the_changelog(root: Path) -> None:
    assert notes(TAG, root) == "### Added\n- A stack."


def test_the_last_section_of_the_changelog_ends_with_the_file(root: Path) -> None:
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{msb.__version__}] - 2026-11-30\n\n- All.\n")
    assert notes(TAG, root) == "- All."


@pytest.mark.parametrize(
    ("tag", "readme", "changelog", "message"),
    [
        ("v9.9.9", None, None, r"the tag v9\.9\.9 does not match the version .* in msb/__init__\.py"),
        (TAG, "actions/contract@v0.0.1", None, rf"README\.md uses the action at v0\.0\.1: write {TAG}"),
        (TAG, "nothing", None, r"README\.md uses the action at no tag"),
        (TAG, None, "## [Unreleased]\n\n- A stack.\n", rf"CHANGELOG\.md has no section for {TAG}: write the heading"),
        (TAG, None, f"## [{msb.__version__}] - 2026-11-30\n\n## [0.0.1] - 2026-01-01\n\n- The first.\n", "no section"),
    ],
)
def test_a_release_whose_parts_disagree_is_refused_in_one_line(
    root: Path, tag: str, readme: str | None, changelog: str | None, message: str
) -> None:
    for name, text in (("README.md", readme), ("CHANGELOG.md", changelog)):
        if text is not None:
            (root / name).write_text(text)
    with pytest.raises(MsbError, match=message) as error:
        notes(tag, root)
    assert "\n" not in str(error.value)


def report() -> str:
    jobs = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["report"]["needs"] == [name for name in jobs if name != "report"]
    (step,) = jobs["report"]["steps"]
    return step["run"]


@pytest.mark.parametrize(("open_issue", "last"), [("", "issue create"), ("7", "issue comment 7")])
def test_a_failed_week_opens_one_issue_and_comments_on_it_after_that(
    tmp_path: Path, open_issue: str, last: str
) -> None:
    calls = tmp_path / "calls"
    stub = tmp_path / "gh"
    stub.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>{calls}\n'
        f'case $1.$2 in api.*) echo "- [go, default](https://example.com/1)";; issue.list) echo "{open_issue}";; esac\n'
    )
    stub.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "org/msb-templates", "GITHUB_RUN_ID": "1"
    }  # fmt: skip
    subprocess.run(["bash", "-euo", "pipefail", "-c", report()], env=environment, check=True)
    made = [call for call in re.split(r"^(?=issue |api |label )", calls.read_text(), flags=re.M) if call]
    writes = [call for call in made if call.startswith(("issue create", "issue comment"))]
    assert len(writes) == 1
    assert writes[0].startswith(last)
    assert "- [go, default](https://example.com/1)" in writes[0]


def test_the_weekly_workflow_looks_for_every_base(matrix: Matrix) -> None:
    text = (ROOT / ".github/workflows/weekly.yml").read_text(encoding="utf-8")
    (command,) = re.findall(r"python -m (msb [a-z]+ --[a-z]+)", text)
    result = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert set(result.stdout.split()) == {base for stack in matrix.stacks.values() for base in stack.bases}
