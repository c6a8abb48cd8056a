"""Does the checker work as people install and use it: from a wheel, on a saved image, without an engine?"""

import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from conftest import bake
from pytest_cookies.plugin import Cookies

import msb as msb_package
from msb import stacks
from msb.stacks import ROOT, Stack

BIN = Path(sys.executable).parent
ELF = b"\x7fELF" + b"\0" * 60
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o755
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(members: Iterable[Member]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


ACCOUNTS = [member("etc/passwd", b"root:x:0:0::/:\n"), member("etc/group", b"root:x:0:\n")]
CLEAN = {
    "User": "65532", "Entrypoint": ["/app/server"], "ExposedPorts": {"8080/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "/app/server", "healthcheck"]},
    "Labels": {f"org.opencontainers.image.{name}": "x" for name in
               ("title", "description", "source", "licenses", "version", "revision", "created")},
}  # fmt: skip


def image(path: Path, *layers: bytes, config: dict[str, object] | None = None, architecture: str = "amd64") -> Path:
    """What `docker save` writes, with these layers."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    document = {"os": "linux", "architecture": architecture, "config": CLEAN if config is None else config}
    parts = [
        member("manifest.json", json.dumps([{"Config": "c.json", "Layers": names}]).encode()),
        member("c.json", json.dumps(document).encode()),
        *map(member, names, layers),
    ]
    path.write_bytes(tar(parts))
    return path


def msb(*arguments: str | Path, command: tuple[str, ...] = (sys.executable, "-m", "msb"), **more: object):
    """Run the checker where there is no engine."""
    environment = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1", **more.pop("env", {})}  # type: ignore[dict-item]
    return subprocess.run(
        [*command, "contract", *map(str, arguments)], env=environment, capture_output=True, text=True, cwd=ROOT, **more
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The wheel, installed with what it depends on into an environment that has nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    uv = str(BIN / "uv")
    for command in (
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)],
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
    ):
        subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True)
    return (str(folder / "venv" / "bin" / "msb"),)


@pytest.mark.slow
def test_the_wheel_checks_a_saved_image_with_few_dependencies(installed: tuple[str, ...], tmp_path: Path) -> None:
    path = image(tmp_path / "image.tar", tar([*ACCOUNTS, member("app/server", ELF), member("usr/bin/gcc", ELF)]))
    result = msb(path, "--only", "MSB101", command=installed)
    assert result.stdout.splitlines() == [
        "MSB101 usr/bin/gcc: build tool in the runtime image", "0 rules passed, 1 failed"
    ]  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")
    found = {folder.name.partition("-")[0] for folder in Path(installed[0]).parents[1].rglob("*.dist-info")}
    assert not found & {"cookiecutter", "pytest", "python_on_whales", "testinfra"}
    assert len(found) < 15


@pytest.mark.slow
def test_the_wheel_brings_the_stacks_and_not_the_workshop(installed: tuple[str, ...], tmp_path: Path) -> None:
    path = image(tmp_path / "image.tar", tar([*ACCOUNTS, member("app/server", ELF)]))
    result = msb(path, "--stack", "go", "--only", "MSB501", command=installed)
    assert (result.returncode, result.stdout) == (0, "1 rules passed, 0 failed\n")
    listed = subprocess.run([installed[0], "--help"], capture_output=True, text=True).stdout
    assert "contract" in listed
    assert "demo" not in listed


def test_the_actions_step_checks_an_image_with_the_tool_of_its_own_release(tmp_path: Path) -> None:
    """As GitHub's runner runs it, but for the steps that set up uv and upload what was found."""
    folder = ROOT / ".github" / "actions" / "contract"
    action = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))
    (step,) = (step for step in action["runs"]["steps"] if step.get("name") == "Check")
    given = {
        "GITHUB_ACTION_PATH": str(folder),
        "IMAGE": str(
            image(tmp_path / "image.tar", tar([*ACCOUNTS, member("app/server", ELF), member("bin/git", ELF)]))
        ),
        "ARGUMENTS": "--only MSB101 --stack go",
        "SARIF": "contract.sarif",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    assert set(step["env"]) <= set(given)
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    result = subprocess.run(command, env=os.environ | given, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.splitlines() == [
        "MSB101 bin/git: build tool in the runtime image", "0 rules passed, 1 failed"
    ]  # fmt: skip
    assert result.returncode == 1
    assert json.loads((tmp_path / "contract.sarif").read_text())["version"] == "2.1.0"


@pytest.mark.parametrize("stack", ["go"], indirect=True)
@pytest.mark.parametrize(("tool", "code"), [([], 0), ([member("bin/git", ELF)], 1)], ids=["clean", "spoiled"])
def test_the_generated_workflow_checks_its_image_against_the_contract(
    cookies: Cookies, stack: Stack, tmp_path: Path, tool: list[Member], code: int
) -> None:
    """Its own step runs here, with this collection's tool and a saved image in the place of those that it names."""
    project = bake(cookies, stack, {})
    workflow = yaml.safe_load((project / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    (step,) = (each for each in workflow["jobs"]["image"]["steps"] if "contract" in each.get("run", ""))
    assert workflow["env"]["CONTRACT"] == f"git+{stacks.load().collection.address}@v{msb_package.__version__}"
    given = {
        **workflow["env"],
        "CONTRACT": str(ROOT),
        "TESTED": str(image(tmp_path / "image.tar", tar([*ACCOUNTS, *tool]), config=CLEAN | {"Entrypoint": ["/x"]})),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    script = step["run"] + " --only MSB101 --only MSB302"
    result = subprocess.run(
        ["bash", "-ec", script], env=os.environ | given, cwd=project, capture_output=True, text=True
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert json.loads((project / "contract.sarif").read_text())["version"] == "2.1.0"


# --- what it is asked, and what it answers ---


def test_a_clean_image_passes_and_a_rule_that_cannot_say_is_skipped(tmp_path: Path) -> None:
    path = image(tmp_path / "image.tar", tar([*ACCOUNTS, member("app/server", ELF)]))
    result = msb(path)
    assert result.returncode == 0, result.stdout
    assert "needs --stack, which says what the service is" in result.stdout
    assert "needs --run, which starts the image" in result.stdout


def test_a_root_file_system_is_judged_by_its_tree_alone(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr" / "gcc").write_bytes(ELF)
    result = msb(f"{tmp_path}/", "--only", "MSB101", "--only", "MSB201", "--only", "MSB401")
    assert result.stdout.splitlines() == [
        "MSB101 usr/gcc: build tool in the runtime image",
        "0 rules passed, 1 failed, 2 skipped "
        "(1 a root file system has no configuration, 1 a root file system has no layers)",
    ]


def test_run_time_programs_of_no_stack_are_no_finding_for_any(tmp_path: Path) -> None:
    layer = tar([*ACCOUNTS, member("usr/bin/python3", ELF), member("app/main.py", b"pass")])
    path = image(tmp_path / "image.tar", layer)
    only = ("--only", "MSB101", "--only", "MSB107")
    assert msb(path, *only).returncode == 0
    assert msb(path, *only, "--stack", "go").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--only", "MSB999"), "there is no rule 'MSB999'"),
        (("--platform", "linux/s390x"), "has nothing for linux/s390x: there is linux/amd64"),
        (("--stack", "cobol"), "unknown stack 'cobol'"),
        (("--sarif", "/absent/report.sarif"), "/absent/report.sarif: No such file or directory"),
        (("--waivers", "/absent"), "/absent: cannot be read"),
        (("--secret", "/absent"), "/absent: No such file or directory"),
        (("--secret", "/dev/null"), "/dev/null: is empty: name the file that the build was given, as .npmrc"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(tmp_path: Path, arguments: tuple[str, ...], error: str) -> None:
    result = msb(image(tmp_path / "image.tar", tar(ACCOUNTS)), *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("msb: ")
    assert error in line


def test_an_image_of_an_engine_without_an_engine_is_one_line() -> None:
    result = msb("debian:trixie-slim")
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("msb: no Docker engine answers: ")


def test_skip_leaves_a_rule_out_and_every_form_can_be_asked_for_at_once(tmp_path: Path) -> None:
    path = image(tmp_path / "image.tar", tar([*ACCOUNTS, member("usr/bin/gcc", ELF), member("app/server", ELF)]))
    files = {form: tmp_path / f"report.{form}" for form in ("json", "sarif", "junit")}
    options = [f"--{form}={file}" for form, file in files.items()]
    result = msb(path, "--skip", "MSB105", *options)
    assert result.returncode == 1
    report = json.loads(files["json"].read_text())
    assert [one["platform"] for one in report["images"]] == ["linux/amd64"]
    assert "MSB105" not in {rule["code"] for rule in report["images"][0]["rules"]}
    assert all(file.stat().st_size for file in files.values())


def test_a_waiver_is_listed_and_an_idle_one_is_told(tmp_path: Path) -> None:
    path = image(tmp_path / "image.tar", tar([*ACCOUNTS, member("app/git", ELF)]))
    waivers = tmp_path / "contract.txt"
    waivers.write_text("tool x\nallow MSB101 /app/git until 2999-12-31 it clones\nallow MSB101 /app/hg it did\n")
    result = msb(path, "--only", "MSB101", "--waivers", waivers)
    assert result.stdout.splitlines() == [
        "allow MSB101 /app/hg: is not used: nothing is found there any more",
        "MSB101 app/git: waived: it clones (until 2999-12-31)",
        "1 rules passed, 0 failed, 1 findings waived",
    ]
    assert result.returncode == 0


# --- awkward images ---


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict"])
def test_a_name_that_is_no_text_or_has_a_line_break_is_printed_on_one_line(tmp_path: Path, encoding: str) -> None:
    names = [b"app/\xff\xfe/gcc", b"app/x\nMSB999 forged: yes/gcc"]
    members = [member(os.fsdecode(name), ELF) for name in names]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    path = image(tmp_path / "image.tar", stream.getvalue())
    result = msb(path, "--only", "MSB101", env={"PYTHONIOENCODING": encoding})
    assert result.stdout.splitlines()[:2] == [
        r"MSB101 app/x\nMSB999 forged: yes/gcc: build tool in the runtime image",
        r"MSB101 app/\xff\xfe/gcc: build tool in the runtime image",
    ]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("layers", "config"),
    [
        (0, {}),
        (0, {"Env": None, "Cmd": None, "ExposedPorts": {"http": {}}}),
        (127, {"Env": ["A"], "Labels": None, "Entrypoint": None}),
    ],
)
def test_an_image_without_layers_or_with_many_or_without_a_command_gets_a_verdict(
    tmp_path: Path, layers: int, config: dict[str, object]
) -> None:
    path = image(tmp_path / "image.tar", *[tar(ACCOUNTS)] * layers, config=config)
    result = msb(path)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stdout + result.stderr
    assert " rules passed, " in result.stdout


@pytest.mark.slow
def test_a_large_sparse_file_in_a_layer_fits_into_little_memory(tmp_path: Path) -> None:
    """400 MB of zeros, packed, are read by every rule in 300 MB of memory."""
    info, _ = member("var/hole")
    info.size = 400 << 20
    layer = gzip.compress(info.tobuf(), 1) + gzip.compress(bytes(1 << 20), 1) * 401
    path = image(tmp_path / "image.tar", layer, config={})
    (tmp_path / "scratch").mkdir()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20))

    result = msb(path, env={"TMPDIR": str(tmp_path / "scratch")}, preexec_fn=limited)
    assert "errored" not in result.stdout, result.stdout
    assert result.returncode == 1
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGHUP, "hung up"), (signal.SIGINT, "interrupted")]
)
def test_a_signal_ends_it_in_one_line_and_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, number: signal.Signals, word: str
) -> None:
    info, _ = member("var/hole")
    info.size = 4000 << 20
    path = image(tmp_path / "image.tar", gzip.compress(info.tobuf()) + gzip.compress(bytes(1 << 20)) * 4001)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ours = signal.signal(number, signal.default_int_handler)  # under nohup, for one, a process ignores it
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "msb", "contract", str(path)], cwd=ROOT, env=os.environ | {"TMPDIR": str(scratch)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.signal(number, ours)
    with process:
        end = time.monotonic() + 60
        # Python first tries the folder with a file of its own name.
        while not list(scratch.glob("msb-*")) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        assert list(scratch.glob("msb-*")), "it ended before it could be interrupted"
        process.send_signal(number)
        output, error = process.communicate(timeout=60)
    assert (process.returncode, output, error) == (128 + number, "", f"msb: {word}\n")
    assert not list(scratch.iterdir())


def test_what_takes_longer_than_its_limit_ends_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    info, _ = member("var/hole")
    info.size = 4000 << 20
    path = image(tmp_path / "image.tar", gzip.compress(info.tobuf()) + gzip.compress(bytes(1 << 20)) * 4001)
    (tmp_path / "scratch").mkdir()
    result = msb(path, "--limit", "1", env={"TMPDIR": str(tmp_path / "scratch")})
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "msb: not finished within 1 s: choose rules with --only, or set --limit\n"
    assert not list((tmp_path / "scratch").iterdir())


def test_a_reader_that_has_seen_enough_does_not_change_the_verdict(tmp_path: Path) -> None:
    path = image(tmp_path / "image.tar", tar(ACCOUNTS))
    script = f"'{sys.executable}' -m msb contract '{path}' --only MSB101 | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_fault_of_the_tool_itself_exits_with_two(tmp_path: Path) -> None:
    """Its own data is not there."""
    program = "import msb.stacks, msb.cli; msb.stacks.load = lambda: 1 / 0; msb.cli.main()"
    result = msb(tmp_path, command=(sys.executable, "-c", program))
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("msb: this is a bug in msb")
