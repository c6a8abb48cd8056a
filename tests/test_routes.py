"""The routes through a generated project that its owner takes: docker build, bake, compose, another platform."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import IMAGES

from msb import project as projects
from msb.engine import Engine, Output
from msb.image import Image
from msb.stacks import Stack

LABELS = "org.opencontainers.image."
GO = pytest.mark.parametrize("stack", ["go"], indirect=True)


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A copy of the generated project, to change and to build."""
    return projects.copy(project, tmp_path / project.name)


def run(engine: Engine, project: Path, *arguments: str, **environment: str) -> Output:
    """`docker ARGUMENTS` in the project's folder, its two outputs as one text."""
    clean = {name: value for name, value in os.environ.items() if name != "CA_CERTIFICATES"}
    return subprocess.run(
        [*engine.command, *arguments], cwd=project, env=clean | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def configuration(engine: Engine, image: str) -> dict:
    return json.loads(engine.run("image", "inspect", image).stdout)[0]["Config"]


def exported(engine: Engine, project: Path, into: Path, *options: str) -> tarfile.TarFile:
    """The tree that `docker build` makes, as an archive that is open for reading."""
    archive = into / "tree.tar"
    projects.build(engine, project, options=("--output", f"type=tar,dest={archive}", *options))
    return tarfile.open(archive)


def content(archive: tarfile.TarFile, path: str) -> bytes:
    with archive.extractfile(path) as file:
        return file.read()


def test_a_plain_docker_build_makes_the_runtime_image(engine: Engine, runtime: str) -> None:
    config = configuration(engine, runtime)
    assert config["Labels"][LABELS + "version"] == "0.0.0-dev"
    assert "SERVICE_VERSION=0.0.0-dev" in config["Env"]
    assert config["User"] == "65532:65532"
    missing = engine.run("run", "--rm", "--entrypoint", "/busybox/sh", runtime, "-c", "true", check=False)
    assert missing.returncode == 127


def test_a_new_version_rebuilds_nothing_before_the_labels(engine: Engine, project: Path, runtime: str) -> None:
    tag = f"{IMAGES}/routes:version"
    arguments = ("VERSION=1.2.3", "REVISION=abc", "CREATED=2026-01-02T03:04:05Z")
    options = tuple(word for argument in arguments for word in ("--build-arg", argument))
    log = projects.build(engine, project, tag=tag, options=options).log
    steps = re.findall(r"^#(\d+) \[[a-z]+ \d+/\d+\] (?!FROM)", log, re.MULTILINE)
    assert steps
    assert all(f"#{number} CACHED" in log for number in steps)
    config = configuration(engine, tag)
    stamps = [config["Labels"][LABELS + name] for name in ("version", "revision", "created")]
    assert stamps == ["1.2.3", "abc", "2026-01-02T03:04:05Z"]
    assert {"SERVICE_VERSION=1.2.3", "SERVICE_REVISION=abc"} <= set(config["Env"])


def test_a_test_only_edit_leaves_the_runtime_images_digest(engine: Engine, stack: Stack, copy: Path) -> None:
    def digest() -> tuple[str, str]:
        tag = f"{IMAGES}/routes:edited"
        # Provenance holds the build's own times, so with it not even an unchanged build keeps its digest.
        log = projects.build(engine, copy, tag=tag, options=("--provenance=false",)).log
        return engine.run("image", "inspect", "--format", "{{.Id}}", tag).stdout, log

    before, _ = digest()
    projects.edit(copy, stack.edits.test)
    after, log = digest()
    number = re.search(r"^#(\d+) \[test (\d+)/\2\] RUN", log, re.MULTILINE).group(1)
    assert f"#{number} DONE" in log
    assert after == before


def test_a_fault_that_only_the_linter_sees_fails_the_build(engine: Engine, stack: Stack, copy: Path) -> None:
    linted = projects.edit(copy, stack.edits.linted)
    with pytest.raises(projects.BuildError) as failure:
        projects.build(engine, copy, options=("--output=type=cacheonly",))
    assert re.search(r"^ > \[(build|test) ", failure.value.log, re.MULTILINE)
    assert linted.name in failure.value.log


@GO
def test_a_file_that_gofmt_would_change_fails_the_build_with_the_difference(engine: Engine, copy: Path) -> None:
    (copy / "internal" / "notes" / "wide.go").write_text("package notes\n\nfunc  wide() {}\n")
    with pytest.raises(projects.BuildError) as failure:
        projects.build(engine, copy, target="test")
    assert re.search(r"^ > \[test ", failure.value.log, re.MULTILINE)
    assert "internal/notes/wide.go" in failure.value.log
    assert "+func wide() {}" in failure.value.log


@pytest.mark.parametrize(
    ("targets", "tag"), [((), "0.0.0-dev"), (("debug",), "debug"), (("test",), None)], ids=["default", "debug", "test"]
)
def test_bake_makes_the_image_that_its_target_names(
    engine: Engine, project: Path, targets: tuple[str, ...], tag: str | None
) -> None:
    bake = f"{IMAGES}/{tag or 'none'}"
    result = run(engine, project, "buildx", "bake", "--progress=plain", *targets, IMAGE=bake)
    assert result.returncode == 0, result.stdout
    made = engine.run("image", "ls", "--format", "{{.Tag}}", bake).stdout.split()
    assert made == ([tag] if tag else [])
    # A service whose tests fail is one to debug: that image alone does not wait for them.
    assert bool(re.search(r"\[test \d+/\d+\] RUN", result.stdout)) == (tag != "debug")
    if tag:
        shell = engine.run("run", "--rm", "--entrypoint", "/busybox/id", f"{bake}:{tag}", "-u", check=False)
        assert shell.stdout.strip() == ("65532" if tag == "debug" else "")


def test_bake_packs_a_layer_with_zstd_and_it_is_read_all_the_same(
    engine: Engine, copy: Path, runtime: str, tmp_path: Path
) -> None:
    tag = f"{IMAGES}/baked"
    # A layer that `docker build` has packed already stays as it is, so there has to be a new one.
    with (copy / "Dockerfile").open("a", encoding="utf-8") as dockerfile:
        dockerfile.write(f"COPY <<NEW /srv/new\n{tmp_path}\nNEW\n")
    projects.bake(engine, copy, tag=tag)
    with Image(engine, tag) as baked, Image(engine, runtime) as built:
        assert baked.config == built.config
        *same, new = baked.layers
        assert [set(layer.archive.entries) for layer in same] == [set(layer.archive.entries) for layer in built.layers]
        assert new.archive.read(new.archive.entries["srv/new"]) == f"{tmp_path}\n".encode()
    engine.run("image", "save", "--output", str(tmp_path / "saved.tar"), tag)
    with tarfile.open(tmp_path / "saved.tar") as saved:
        top = {content(saved, name)[:4] for name in json.loads(content(saved, "manifest.json"))[0]["Layers"]}
    assert b"\x28\xb5\x2f\xfd" in top


def test_a_release_has_platforms_provenance_sbom_and_its_version_as_tag(engine: Engine, project: Path) -> None:
    variables = {"IMAGE": "r.test/a", "VERSION": "1.2.3", "PLATFORMS": "linux/amd64,linux/s390x"}
    result = run(engine, project, "buildx", "bake", "--print", "release", **variables)
    (target,) = json.loads(result.stdout[result.stdout.index("{") :])["target"].values()
    assert target["target"] == "runtime"
    assert target["platforms"] == ["linux/amd64", "linux/s390x"]
    assert target["attest"] == ["type=provenance,mode=max", "type=sbom"]
    assert target["output"] == ["type=registry"]
    assert target["tags"] == ["r.test/a:1.2.3"]
    assert target["args"]["VERSION"] == "1.2.3"


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def compose(engine: Engine, copy: Path, own_names: None) -> Iterator[Path]:
    """A copy of the project, whose containers and images are removed after the test."""
    yield copy
    run(engine, copy, "compose", "--profile", "debug", "down", "--rmi", "local", "--volumes", "--timeout", "2")


def test_compose_serves_with_the_rights_it_needs_and_no_more(
    engine: Engine, stack: Stack, compose: Path, unused_port: int
) -> None:
    port = str(unused_port)
    up = run(engine, compose, "compose", "up", "--detach", "--wait", "--wait-timeout", "60", PORT=port)
    assert up.returncode == 0, up.stdout
    assert answered(f"http://127.0.0.1:{port}{stack.service.health}") == 200
    container = run(engine, compose, "compose", "ps", "--quiet", PORT=port).stdout.strip()
    host = json.loads(engine.run("container", "inspect", container).stdout)[0]["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert list(host["Tmpfs"]) == ["/tmp"]  # noqa: S108
    assert min(host["NanoCpus"], host["Memory"], host["PidsLimit"]) > 0
    assert {binding["HostIp"] for bindings in host["PortBindings"].values() for binding in bindings} == {"127.0.0.1"}


def answered(url: str) -> int:
    """The status of the first answer; where the image has no health check, Compose waits for no more than its start."""
    end = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 of this machine
                return response.status
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_debug_service_gives_a_shell_as_the_services_user(engine: Engine, compose: Path) -> None:
    built = run(engine, compose, "compose", "build", "debug")
    assert built.returncode == 0, built.stdout
    command = ["--entrypoint", "/busybox/sh", "debug", "-c", "id -u; touch /file"]
    shell = run(engine, compose, "compose", "run", "--rm", "-T", *command)
    assert "65532\n" in shell.stdout
    assert "Read-only file system" in shell.stdout


def test_an_edit_under_compose_watch_asks_for_a_rebuild(engine: Engine, copy: Path) -> None:
    config = json.loads(run(engine, copy, "compose", "config", "--format", "json").stdout)
    watches = config["services"]["service"]["develop"]["watch"]
    assert [(watch["action"], Path(watch["path"])) for watch in watches] == [("rebuild", copy)]


@pytest.fixture
def asking(stack: Stack, copy: Path, own_names: None) -> Path:
    """The project with a Dockerfile whose one step says what the secret `ca-certificates` holds."""
    toolbox = next(base for base in stack.bases if "debug" in base)
    (copy / "Dockerfile").write_text(
        f"FROM {toolbox} AS runtime\n"
        "RUN --mount=type=secret,id=ca-certificates,target=/tmp/ca,mode=0444 "
        '["/busybox/sh", "-c", "if [ -e /tmp/ca ]; then wc -c </tmp/ca; else echo none; fi | sed s/^/secret:/"]\n'
    )
    return copy


@pytest.mark.parametrize(
    "command",
    [
        ("compose", "--progress=plain", "build", "--no-cache", "service"),
        ("buildx", "bake", "--progress=plain", "--no-cache", "--set=*.output=type=cacheonly"),
    ],
    ids=["compose", "bake"],
)
def test_the_ca_bundle_reaches_the_build_only_when_its_path_is_set(
    engine: Engine, asking: Path, command: tuple[str, ...]
) -> None:
    def secret(**environment: str) -> list[str]:
        result = run(engine, asking, *command, **environment)
        assert result.returncode == 0, result.stdout
        return re.findall(r"^#\d+ [\d.]+ secret:(.+)", result.stdout, re.MULTILINE)

    inside, outside = asking / "ca.pem", asking.parent / "outside.pem"
    inside.write_bytes(b"x" * 220_000)  # more than an environment variable can hold
    outside.write_bytes(b"x" * 230_000)
    assert secret() == ["none"]
    assert secret(CA_CERTIFICATES=inside.name) == ["220000"]
    assert secret(CA_CERTIFICATES=str(outside), BUILDX_BAKE_ENTITLEMENTS_FS="0") == ["230000"]
    engine.run("image", "rm", "--force", f"{asking.name}:dev", check=False)


@GO
def test_another_platform_is_cross_compiled_without_emulation(engine: Engine, project: Path, tmp_path: Path) -> None:
    with exported(engine, project, tmp_path, "--platform", "linux/arm64") as archive:
        header = content(archive, "app/server")[:20]
    assert header[:4] == b"\x7fELF"
    assert struct.unpack("<H", header[18:20]) == (183,)  # EM_AARCH64


@pytest.mark.parametrize("stack", ["jvm", "node-nginx"], indirect=True)
def test_what_runs_on_every_platform_is_built_once_for_all_of_them(engine: Engine, copy: Path, tmp_path: Path) -> None:
    dockerfile, trees = copy / "Dockerfile", tmp_path / "trees"
    dockerfile.write_text(f"{dockerfile.read_text()}\nFROM scratch AS built\nCOPY --from=build /out/ /\n")
    options = ("--platform", "linux/amd64,linux/arm64", "--output", f"type=local,dest={trees}")
    log = projects.build(engine, copy, target="built", options=options).log
    assert len(set(re.findall(r"\[(linux/\S+) build \d", log))) == 1
    amd64, arm64 = (
        {path.relative_to(tree): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        for tree in (trees / "linux_amd64", trees / "linux_arm64")
    )
    assert amd64 == arm64 != {}


@GO
def test_a_third_party_module_builds_the_moment_it_is_added(engine: Engine, copy: Path, tmp_path: Path) -> None:
    """As its owner would add it; only the checksum database, which not every network reaches, is not asked."""
    module = "github.com/google/uuid"
    go = Path(sys.executable).parent / "go"
    environment = os.environ | {
        "GOFLAGS": "-mod=mod -modcacherw", "GOPATH": str(tmp_path / "go"), "GONOSUMDB": module, "GOTOOLCHAIN": "local",
    }  # fmt: skip
    (copy / "cmd/server/module.go").write_text(
        f'package main\n\nimport "{module}"\n\nvar instance = uuid.NewString()\n'
    )
    for arguments in (["get", f"{module}@v1.6.0"], ["mod", "tidy"]):
        subprocess.run([go, *arguments], cwd=copy, env=environment, check=True, capture_output=True)
    assert (copy / "go.sum").read_text().count(module) == 2
    with exported(engine, copy, tmp_path) as archive:
        (tmp_path / "server").write_bytes(content(archive, "app/server"))
    told = subprocess.run([go, "version", "-m", tmp_path / "server"], check=True, capture_output=True, text=True)
    assert f"dep\t{module}\tv1.6.0" in told.stdout


@GO
def test_a_build_with_cgo_brings_its_libraries_and_serves(engine: Engine, copy: Path, tmp_path: Path) -> None:
    tag, option = f"{IMAGES}/routes:cgo", "--build-arg=CGO=1"
    (copy / "cmd/server/c.go").write_text(
        'package main\n\n// #include <stdlib.h>\nimport "C"\n\nvar _ = C.EXIT_SUCCESS\n'
    )
    projects.build(engine, copy, tag=tag, options=(option,))
    with pytest.raises(projects.BuildError) as refused:
        projects.build(engine, copy, options=(option, "--platform=linux/arm64", "--output=type=cacheonly"))
    assert "CGO=1 needs a builder of arm64" in refused.value.log
    with exported(engine, copy, tmp_path, option) as archive:
        names = archive.getnames()
    assert "var/lib/dpkg/status.d/libc6.md5sums" in names
    assert any(re.fullmatch(r"usr/lib/[^/]+-linux-gnu/libc\.so\.6", name) for name in names)
    container = engine.run("run", "--detach", "--read-only", "--cap-drop", "ALL", tag).stdout.strip()
    try:
        assert health(engine, container) == "healthy"
    finally:
        engine.run("rm", "--force", container)


def health(engine: Engine, container: str) -> str:
    """The container's health once it is known, or "starting" after 30 s."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        status = engine.run("inspect", "--format", "{{.State.Health.Status}}", container).stdout.strip()
        if status != "starting":
            break
        time.sleep(0.2)
    return status
