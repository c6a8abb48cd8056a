"""Does Renovate's configuration reach every version that its own managers cannot read?"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from test_documents import FILES, relative

from msb.stacks import ROOT, Matrix

CONFIG = ROOT / ".github" / "renovate.json"
MANAGERS = json.loads(CONFIG.read_text(encoding="utf-8"))["customManagers"]
COPIES = [path for path in FILES if path.name == "ci.yml" and path.parent.name == "workflows"]
BUILT_IN = re.compile(r"(^|/)\.github/|Dockerfile")
"""Where Renovate finds images and actions by itself."""


def pattern(text: str) -> re.Pattern[str]:
    """JavaScript's expression as Python's."""
    return re.compile(text.replace("(?<", "(?P<"))


def read_by(manager: dict) -> list[Path]:
    patterns = [pattern(text.strip("/")) for text in manager["managerFilePatterns"]]
    return [path for path in FILES if any(regex.search(relative(path)) for regex in patterns)]


def extracted(manager: dict, path: Path) -> list[dict[str, str]]:
    """What a custom manager takes from a file, as Renovate's two strategies do."""
    texts, strings = [path.read_text(encoding="utf-8")], [pattern(text) for text in manager["matchStrings"]]
    if manager.get("matchStringsStrategy") == "recursive":
        *outer, inner = strings
        for regex in outer:
            texts = [match[0] for text in texts for match in regex.finditer(text)]
        strings = [inner]
    return [match.groupdict() for regex in strings for text in texts for match in regex.finditer(text)]


def versions(path: Path) -> Counter[str]:
    """Count the versions of a file that the custom managers read, as name:tag or name@commit."""
    found: Counter[str] = Counter()
    for manager in MANAGERS:
        for match in extracted(manager, path) if path in read_by(manager) else []:
            name = manager.get("depNameTemplate") or match["depName"]
            found[
                f"{name}@{match['currentDigest']}" if "currentDigest" in match else f"{name}:{match['currentValue']}"
            ] += 1
    return found


def test_the_configuration_follows_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.renovate", str(CONFIG)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager["description"])
def test_every_custom_manager_finds_something_in_each_of_its_files(manager: dict) -> None:
    paths = read_by(manager)
    assert paths
    for path in paths:
        found = extracted(manager, path)
        assert found or path.name == "README.md", relative(path)
    assert any(extracted(manager, path) for path in paths)
    if manager.get("matchStringsStrategy") != "recursive":
        for text in manager["matchStrings"]:
            assert any(pattern(text).search(path.read_text(encoding="utf-8")) for path in paths), text


def test_every_base_image_outside_a_dockerfile_is_read_where_it_stands(matrix: Matrix) -> None:
    bases = {base for stack in matrix.stacks.values() for base in stack.bases if re.search(r":.*\d", base)}
    checked = 0
    for path in FILES:
        name = relative(path)
        if BUILT_IN.search(name) or name.startswith(("tests/", "docs/")) or path.suffix == ".lock":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if not any(base in text for base in bases):
            continue
        standing = {base: len(re.findall(rf"(?<![\w./-]){re.escape(base)}(?![\w.-])", text)) for base in bases}
        found = versions(path)
        assert {base: found[base] for base in bases} == standing, name
        checked += 1
    assert checked >= 3


def test_every_action_in_the_generated_workflow_is_read() -> None:
    generated = [path for path in COPIES if not relative(path).startswith(".github/")]
    assert len(generated) > 1
    for path in generated:
        pins = re.findall(r"uses: ([\w.-]+/[\w.-]+)[\w./-]*@([0-9a-f]{40})", path.read_text(encoding="utf-8"))
        assert pins
        assert versions(path) == Counter(f"{name}@{commit}" for name, commit in pins), relative(path)
