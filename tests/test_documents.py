"""Are the documents and the GitHub files true, and do they still agree with what they describe?"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pexpect
import pytest
import typer
import yaml

from msb.cli import app
from msb.stacks import ROOT, Matrix

LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
).stdout.split("\0")
FILES = [ROOT / name for name in LISTED if name and (ROOT / name).is_file()]
DOCUMENTS = sorted(path for path in FILES if path.suffix == ".md" and "templates" not in path.parts)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands(path: Path) -> str:
    """Return what a file tells its reader to run: code blocks and code spans, or a workflow's steps."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        jobs = yaml.safe_load(text)["jobs"].values()
        return "\n".join(step.get("run", "") for job in jobs for step in job.get("steps", []))
    found = re.findall(r"^ *```\w*\n(.*?)^ *```|`([^`\n]+)`", text, re.M | re.S)
    return "\n".join(block or span for block, span in found)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(text: str, header: str) -> list[list[str]]:
    """Return the body cells of the table whose header line starts with `header`."""
    lines = re.findall(r"^\|.*$", text[text.index(header) :].split("\n\n")[0], re.M)[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_readmes_first_command_starts_by_line_15() -> None:
    assert "cookiecutter gh:" in "\n".join(README.splitlines()[:15])


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_prose_lint_finds_words_phrases_and_misspellings(tmp_path: Path) -> None:
    (recipe,) = re.findall(r"^prose: setup\n((?:\t.*\n)+)", MAKEFILE, re.M)
    command = re.sub(r"\\\n\t", "", recipe).strip().replace("$(run)/python", sys.executable).replace("$$", "$")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "clean.md").write_text("A bug is fixed.\n")
    paths = f"{folder}/*.md"
    assert subprocess.run(["bash", "-c", command[:-1] + paths], cwd=ROOT, capture_output=True).returncode == 0
    (folder / "wrong.md").write_text("A bug is mended.\nNothing, but for a bug.\nIt recieves one.\n")
    result = subprocess.run(["bash", "-c", command[:-1] + paths], cwd=ROOT, capture_output=True, text=True)
    assert re.findall(r"wrong.md:(\d): (.*) ==> (.*)", result.stdout) == [
        ("1", "mended", "fixed"), ("2", "but for", "except for"), ("3", "recieves", "receives")
    ]  # fmt: skip
    assert result.returncode != 0


def test_the_readme_shows_the_menu_as_a_person_sees_it(tmp_path: Path) -> None:
    arguments = ["-m", "cookiecutter", "--default-config", "--output-dir", str(tmp_path), str(ROOT)]
    wide = os.environ | {"COLUMNS": "200"}
    session = pexpect.spawn(sys.executable, arguments, env=wide, encoding="utf-8", dimensions=(60, 200), timeout=60)
    seen, answers = "", iter(["1"])  # the stack; every other question takes its default
    while session.expect([r": $", pexpect.EOF]) == 0:
        seen += session.before + session.after
        session.sendline(next(answers, ""))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", seen).replace("\r", "").splitlines()
    transcript = "\n".join(line.rstrip() for line in lines if line.strip())
    assert f"$ cookiecutter gh:org/msb-templates\n{transcript}\n" in README


def test_the_stack_table_and_the_matrix_agree(matrix: Matrix) -> None:
    table = {name.strip("`"): (what, size) for name, what, size in rows(README, "| stack |")}
    assert {name: what for name, (what, _) in table.items()} == {
        stack.name: stack.summary for stack in matrix.stacks.values()
    }
    for name, (_, size) in table.items():
        assert 0.8 <= float(size.removesuffix(" MB")) * 1e6 / matrix.stacks[name].budget.bytes <= 1, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_link_inside_the_collection_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", document.read_text(encoding="utf-8"))
    for link in links:
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        assert target.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS + WORKFLOWS, ids=relative)
def test_every_make_command_names_a_target_and_variables_that_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))
    variables = set(re.findall(r"^([A-Z]+) \?=|\$\(if \$\(([A-Z]+)\)", MAKEFILE, re.M))
    known = {name for pair in variables for name in pair}
    for target, rest in re.findall(r"\bmake ([a-z]+)\b([^\n#]*)", commands(path)):
        assert target in targets, f"make {target}"
        assert set(re.findall(r"\b([A-Z]+)=", rest)) <= known, f"make {target}{rest}"


@pytest.mark.parametrize("path", DOCUMENTS + WORKFLOWS, ids=relative)
def test_every_msb_command_exists_with_its_options(path: Path) -> None:
    group = typer.main.get_command(app)
    for name, rest in re.findall(r"(?:python3? -m |--from \S+ )msb ([a-z]+)\b([^\n]*)", commands(path)):
        assert name in group.commands, f"msb {name}"
        known = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", rest)) <= known, f"msb {name}{rest}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_variable_of_ours_is_read_somewhere(document: Path) -> None:
    paths = [path for folder in ("msb", "tests") for path in (ROOT / folder).rglob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in paths)
    for name in re.findall(r"\bMSB_[A-Z]+", document.read_text(encoding="utf-8")):
        assert f'"{name}"' in source, name


@pytest.mark.parametrize("document", ["README.md", "docs/multi-stage.md"])
def test_the_documents_tell_of_every_stage_in_the_dockerfiles_order(document: str, matrix: Matrix) -> None:
    table = rows((ROOT / document).read_text(encoding="utf-8"), "| stage | its one job |")
    told = [row[0].strip("`") for row in table]
    every = set()
    for stack in matrix.stacks.values():
        dockerfile = (stack.template / "{{cookiecutter.__folder}}" / "Dockerfile").read_text(encoding="utf-8")
        stages = list(dict.fromkeys(re.findall(r"^FROM .* AS (\S+)$", dockerfile, re.M)))  # a choice writes one twice
        assert [stage for stage in told if stage in stages] == stages
        every |= set(stages)
    assert set(told) == every


def test_the_workflows_matrix_covers_every_image_to_build(matrix: Matrix) -> None:
    inner = re.search(r"python -m (msb \w+)", commands(ROOT / ".github" / "workflows" / "images.yml"))
    assert inner
    output = subprocess.run([sys.executable, "-m", *inner[1].split()], cwd=ROOT, capture_output=True, text=True).stdout
    found = {(row["stack"], row["options"]) for row in json.loads(output)["include"]}
    assert found == {
        (stack.name, options.name)
        for stack in matrix.stacks.values()
        for options in stack.option_sets
        if options.build is True
    }


def test_the_aggregate_job_waits_for_every_other_job_and_fails_on_all_but_success() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/images.yml").read_text(encoding="utf-8"))["jobs"]
    last = jobs.pop("images")
    assert last["needs"] == list(jobs)
    assert last["if"] == "always()"
    for results, code in [("success", 0), ("failure", 1), ("cancelled", 1), ("skipped", 1)]:
        environment = {"RESULTS": " ".join(["success"] * (len(jobs) - 1) + [results])}
        assert subprocess.run(["bash", "-e", "-c", last["steps"][0]["run"]], env=environment).returncode == code


def test_every_action_is_pinned_by_one_commit_with_its_version() -> None:
    pins = defaultdict(set)
    for path in FILES:
        if ".github" in path.parts and path.suffix == ".yml":
            for action, pin in re.findall(r"^\s*(?:- )?uses: (?!\./)([^@\s]+)(.*)$", path.read_text("utf-8"), re.M):
                assert re.fullmatch(r"@[0-9a-f]{40} +# v\d+(\.\d+)*", pin), f"{relative(path)}: {action}{pin}"
                pins[action].add(" ".join(pin.split()))
    assert pins
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("custom.github-workflows-require-timeout", ".github/workflows/*.yml"),
        ("vendor.github-actions", ".github/actions/*/action.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_githubs_files_follow_their_schemas(schema: str, pattern: str) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        schema,
        *map(str, sorted(ROOT.glob(pattern))),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def registries() -> set[str]:
    """Return the host names of package registries, mirrors and proxies, as this machine's clients are set up."""
    questions = [
        [sys.executable, "-m", "pip", "config", "list"],
        [sys.executable, "-m", "pip", "install", "--help"],  # it names the index that it asks by default
        [str(Path(sys.executable).parent / "go"), "env", "GOPROXY", "GOSUMDB"],
        ["npm", "config", "get", "registry"],
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
    ]
    answers = [
        subprocess.run(command, capture_output=True, text=True).stdout
        for command in questions
        if shutil.which(command[0])
    ]
    words = re.split(r"[\s,|'\"()]+", "\n".join(answers).replace("setup.py", ""))
    hosts = (re.fullmatch(r"(?:https?://(?:[^/@]*@)?)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?:[:/].*)?", word) for word in words)
    return {host[1] for host in hosts if host}


def test_no_file_names_a_registry_a_mirror_or_this_folder() -> None:
    files_of_the_index = "python" + "hosted"  # in two parts, for this file is asked too
    banned = {*registries(), files_of_the_index, str(ROOT)}
    assert any(name.startswith("py") and name.endswith(".org") for name in banned), "pip names its index no more"
    found = {f"{relative(path)}: {name}" for path in FILES for name in banned if name.encode() in path.read_bytes()}
    assert found == set()
