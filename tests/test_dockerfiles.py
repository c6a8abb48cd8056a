"""Does the Dockerfile of every option set have the one shape? Read as text, without an engine."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Rendered
from dockerfile_parse import DockerfileParser

from msb import project as projects
from msb.stacks import ROOT, Stack

BIN = Path(sys.executable).parent
STAGES = ["toolbox", "deps", "build", "test", "package", "candidate", "verify", "debug", "runtime"]
PER_STACK = {"ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "STOPSIGNAL"}
SHARED = """\
FROM gcr.io/distroless/static-debian13:nonroot AS candidate
USER 65532:65532
WORKDIR /
FROM --platform=$BUILDPLATFORM gcr.io/distroless/static-debian13:debug-nonroot AS verify
USER 0
RUN --network=none --mount=type=bind,from=candidate,target=/tmp/image \
--mount=type=bind,source=docker,target=/tmp/docker ["/busybox/sh", "/tmp/docker/verify", "/tmp/image", "/verified"]
FROM candidate AS debug
COPY --from=toolbox /busybox/ /busybox/
FROM candidate AS runtime
COPY --from=verify /verified/ /
COPY --from=test /out/tests-passed/ /
ARG VERSION=0.0.0-dev REVISION=unknown CREATED=1970-01-01T00:00:00Z
"""


class Dockerfile(NamedTuple):
    """A rendered Dockerfile of a stack; instructions: (name, value with single spaces), in order, without comments."""

    stack: Stack
    path: Path
    lines: list[str]
    instructions: list[tuple[str, str]]

    def values(self, instruction: str) -> list[str]:
        """The values of every instruction of that name."""
        return [value for name, value in self.instructions if name == instruction]


@pytest.fixture(scope="module")
def dockerfile(rendered: Rendered) -> Dockerfile:
    project, stack, _ = rendered
    structure = DockerfileParser(str(project)).structure
    instructions = [(step["instruction"], " ".join(step["value"].split())) for step in structure]
    lines = (project / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return Dockerfile(stack, project / "Dockerfile", lines, [step for step in instructions if step[0] != "COMMENT"])


def test_the_designed_stages_stand_in_order_among_the_stacks_own(dockerfile: Dockerfile) -> None:
    names = [value.rpartition(" AS ")[2] for value in dockerfile.values("FROM")]
    assert [name for name in names if name in STAGES] == STAGES
    assert names[-1] == "runtime"
    assert all(re.fullmatch(r"[a-z]+", name) for name in names)


def test_the_header_names_the_stages_in_at_most_six_lines(dockerfile: Dockerfile) -> None:
    header = dockerfile.lines[: dockerfile.lines.index("")]
    assert len(header) <= 6
    assert all(line.startswith("# ") for line in header)
    words = re.findall(r"[a-z]+", " ".join(header))
    assert [stage for stage in STAGES if stage not in words] == ["toolbox"]


def test_one_comment_line_over_each_stage_says_its_job(dockerfile: Dockerfile) -> None:
    for number, line in enumerate(dockerfile.lines):
        if line.startswith("FROM "):
            assert dockerfile.lines[number - 1].startswith(f"# {line.rpartition(' AS ')[2]}: ")
            assert dockerfile.lines[number - 2] == ""


def test_each_stage_declares_the_arguments_that_it_uses(dockerfile: Dockerfile) -> None:
    # BuildKit hands the ARGs of a stage to those that are built on it; Buildah does not, and they would be empty there.
    known = {word.partition("=")[0] for value in dockerfile.values("ARG") for word in shlex.split(value)}
    declared: set[str] = set()
    for name, value in dockerfile.instructions:
        if name == "FROM":
            declared = {"BUILDPLATFORM"}
        elif name == "ARG":
            declared |= {word.partition("=")[0] for word in shlex.split(value)}
        else:
            used = set(re.findall(r"\$\{?(\w+)", value)) & known
            assert used <= declared, f"{name} {value}"


def test_what_must_pass_is_one_argument_that_the_stage_test_alone_reads(dockerfile: Dockerfile) -> None:
    # So a rule that is asked for something else builds the same without it (projects.UNTESTED).
    (argument,) = (option.removeprefix("--build-arg=").partition("=")[0] for option in projects.UNTESTED)
    stage, readers = "", []
    for name, value in dockerfile.instructions:
        stage = value.rpartition(" AS ")[2] if name == "FROM" else stage
        readers += [(stage, name)] if re.search(rf"(\$|^|\s){argument}\b", value) and stage else []
    assert readers == [("test", "ARG"), ("test", "RUN")]


def test_a_dockerfile_has_at_most_80_lines(dockerfile: Dockerfile) -> None:
    assert len(dockerfile.lines) <= 80


def test_update_bots_see_every_base_as_a_literal_name_and_tag(dockerfile: Dockerfile) -> None:
    own = set()
    for value in dockerfile.values("FROM"):
        platform, base, stage = re.fullmatch(r"(?:--platform=(\S+) )?(\S+) AS (\S+)", value).groups()
        assert platform in (None, "$BUILDPLATFORM")
        assert base in own or re.fullmatch(r"[a-z0-9./-]+:[a-z0-9][a-z0-9.-]*", base), base
        assert not base.endswith(":latest")
        own.add(stage)
    for value in dockerfile.values("COPY"):
        assert all(source in own for source in re.findall(r"--from=(\S+)", value)), value


def test_entrypoint_command_and_health_check_are_in_exec_form(dockerfile: Dockerfile) -> None:
    commands = [value for name in ("ENTRYPOINT", "CMD") for value in dockerfile.values(name)]
    assert dockerfile.values("ENTRYPOINT")
    health = dockerfile.values("HEALTHCHECK")
    assert bool(health) != bool(dockerfile.stack.service.unprobed)
    commands += [value.partition("CMD ")[2] for value in health]
    assert all(re.fullmatch(r'\["/.*"\]', command) for command in commands)


def test_no_step_pulls_a_frontend_or_installs_with_a_package_manager(dockerfile: Dockerfile) -> None:
    text = "\n".join(dockerfile.lines)
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE)
    assert not re.search(r"\b(apt|apt-get|apk|dnf)\b", text)


def test_every_workdir_is_absolute(dockerfile: Dockerfile) -> None:
    assert all(value.startswith("/") for value in dockerfile.values("WORKDIR"))


def test_steps_before_the_source_get_the_ca_bundle_and_no_source(dockerfile: Dockerfile) -> None:
    start = next(i for i, (name, value) in enumerate(dockerfile.instructions) if value.endswith(" AS deps"))
    steps = []
    for name, value in dockerfile.instructions[start + 1 :]:
        if name == "FROM":
            break
        steps.append((name, value))
    assert "COPY" not in dict(steps)
    assert "ADD" not in dict(steps)
    assert [value for name, value in steps if name == "RUN"]
    assert all("--mount=type=secret,id=ca-certificates," in value for name, value in steps if name == "RUN")


def test_a_step_has_either_the_ca_bundle_or_no_network(dockerfile: Dockerfile) -> None:
    for step in dockerfile.values("RUN"):
        assert ("--mount=type=secret,id=ca-certificates," in step) != step.startswith("--network=none "), step


def test_from_candidate_on_only_environment_health_and_entrypoint_differ_between_stacks(dockerfile: Dockerfile) -> None:
    start = next(i for i, (_, value) in enumerate(dockerfile.instructions) if value.endswith(" AS candidate"))
    tail = dockerfile.instructions[start:]
    trees = [step for step in tail if step[0] == "COPY" and step[1].startswith("--from=package ")]
    assert tail[1 : 1 + len(trees)] == trees != []  # one, or one a rate of change
    assert all(re.fullmatch(r"--from=package /out/rootfs/([a-z]+/)? /", value) for _, value in trees)
    tail = [step for step in tail if step not in trees]
    shared = [f"{name} {value}\n" for name, value in tail if name not in PER_STACK | {"LABEL"}]
    assert "".join(shared) == SHARED
    labels = re.findall(r"org\.opencontainers\.image\.([a-z]+)=", dict(tail)["LABEL"])
    assert labels == ["title", "description", "source", "licenses", "version", "revision", "created"]


def test_candidate_ends_in_its_entrypoint_so_that_buildah_too_runs_verify_again(dockerfile: Dockerfile) -> None:
    """Of a mounted stage that ends in COPY or RUN, Buildah 1.39 does not see that it changed (buildah#6609)."""
    verify = next(i for i, (_, value) in enumerate(dockerfile.instructions) if value.endswith(" AS verify"))
    assert dockerfile.instructions[verify - 1][0] == "ENTRYPOINT"


def test_hadolint_has_nothing_to_say(dockerfile: Dockerfile) -> None:
    result = subprocess.run([BIN / "hadolint", "--no-color", dockerfile.path], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.slow
def test_buildkits_own_lint_has_nothing_to_say(dockerfile: Dockerfile) -> None:
    """As `docker build --check` asks it, which newer engines alone can; the first run compiles it."""
    command = [BIN / "go", "-C", ROOT / "tools/lint", "tool", "lint", dockerfile.path]
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
