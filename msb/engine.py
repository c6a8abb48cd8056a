"""The Docker engine: find it, or on Debian and Ubuntu install it from distribution packages and start it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from python_on_whales import DockerClient

from msb.console import step
from msb.errors import MsbError

MINIMUM = (25, 0)
"""The oldest engine: from 25 on a health check has a start interval and `docker build` is always BuildKit."""
MINIMUM_BUILDX = (0, 13)
"""The oldest buildx: from 0.13 on it loads, exports and caches images of the containerd store."""
LABEL = "msb.engine"
"""The label of an engine that msb started: only there, stand-ins take upstream names by themselves."""
FREE_BYTES = 6 * 2**30
"""Bytes of disk that bases, builds and tests of one stack take at most."""

_STATE = Path("/var/lib/msb")
_PIDFILE = Path("/run/msb-dockerd.pid")
_CONFIGURATION = {
    "features": {"containerd-snapshotter": True},
    "labels": [f"{LABEL}=started"],
    # The default policy drops every cache mount when together they pass 512 MB: a compiler cache does in a day.
    "builder": {"gc": {"enabled": True, "policy": [{"keepStorage": "12GB", "all": True}]}},
}
_SUITE = "trixie"
_PACKAGES = {
    "debian": ["docker.io", "docker-cli", "docker-buildx", "docker-compose", "iptables", "mmdebstrap"],
    "ubuntu": ["docker.io", "docker-buildx", "docker-compose-v2", "iptables", "mmdebstrap"],
}


Output = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers.

    command: the client and its first arguments; version, buildx: (major, minor); compose: its version or "";
    containerd: whether images live in the containerd store (two platforms, OCI and cache output need it);
    ours: whether msb started it; root: where it keeps its data.
    """

    command: tuple[str, ...]
    version: tuple[int, ...]
    buildx: tuple[int, ...]
    compose: str
    containerd: bool
    seccomp: bool
    ours: bool
    root: Path

    @cached_property
    def client(self) -> DockerClient:
        """The python-on-whales client of this engine."""
        return DockerClient(client_call=list(self.command))

    def run(self, *arguments: str, check: bool = True, timeout: float | None = None) -> Output:
        """Run `docker ARGUMENTS` and return its output as text; raise MsbError with its last line when it fails."""
        result = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=timeout)
        if check and result.returncode:
            raise MsbError(f"docker {arguments[0]} failed: {_last_line(result.stderr)}")
        return result

    def need_disk(self) -> None:
        """Raise MsbError when the disk under the engine's data has too little room for a stack's builds."""
        place = next(path for path in (self.root, *self.root.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if free < FREE_BYTES:
            raise MsbError(
                f"only {free / 2**30:.1f} GiB are free under {place}, and the builds need {FREE_BYTES / 2**30:.0f}: "
                "free some (for example `docker builder prune`)"
            )


def find() -> Engine | None:
    """Return the engine that answers, or None; raise MsbError when one answers that is too old, saying why."""
    problem = ""
    for client in _clients():
        version = _json(client, "version", "--format", "json")
        if not version.get("Server"):
            continue
        buildx = _output(client, "buildx", "version")
        info = _json(client, "info", "--format", "json")
        engine = Engine(
            command=(client,),
            version=_numbers(version["Server"]["Version"]),
            buildx=_numbers(buildx),
            compose=_output(client, "compose", "version", "--short").strip(),
            containerd=any("containerd" in str(value) for _, value in info.get("DriverStatus") or []),
            seccomp=any("seccomp" in option for option in info.get("SecurityOptions") or []),
            ours=any(label.startswith(f"{LABEL}=") for label in info.get("Labels") or []),
            root=Path(info.get("DockerRootDir") or "/var/lib/docker"),
        )
        if engine.version < MINIMUM:
            raise MsbError(
                f"Docker engine {version['Server']['Version']} is too old: "
                f"{_dots(MINIMUM)} or newer is needed for BuildKit and health start intervals"
            )
        if engine.buildx >= MINIMUM_BUILDX:
            return engine
        found = f"buildx {_dots(engine.buildx)}" if engine.buildx else "no buildx"
        problem = f"{client} has {found}: {_dots(MINIMUM_BUILDX)} or newer is needed to build and export images"
    if problem:
        raise MsbError(problem)
    return None


def ensure(confirm: Callable[[str], bool] | None = None) -> Engine:
    """Return an engine that answers, installing and starting one where there is none and the user is root.

    confirm: asked with one line that says what will be done; without it, the line is printed and the work goes on.
    Raises MsbError when that is forbidden (MSB_ENGINE=never), not possible here, or refused.
    """
    engine = find()
    if engine:
        return engine
    if os.environ.get("DOCKER_HOST"):
        raise MsbError(
            f"no Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it, or unset DOCKER_HOST"
        )
    missing = not any(Path(path).exists() for path in ("/usr/sbin/dockerd", "/usr/bin/dockerd"))
    distribution = _distribution()
    if os.environ.get("MSB_ENGINE") == "never":
        raise MsbError("no Docker engine answers, and MSB_ENGINE=never forbids installing or starting one")
    if missing and distribution.get("ID") not in _PACKAGES:
        raise MsbError("no Docker engine answers: install Docker Engine 25 or newer with buildx and start it")
    if os.geteuid() != 0:
        raise MsbError(
            "no Docker engine answers and you are not root: start Docker, or run `sudo python3 -m msb engine`"
        )
    work = f"installing {' '.join(_packages())} and starting dockerd" if missing else "starting dockerd"
    plan = f"No Docker engine answers: {work}."
    if confirm and not confirm(plan):
        raise MsbError("no Docker engine answers, and you chose not to start one")
    if not confirm:
        print(plan, flush=True)
    if missing:
        with step("Installing the Docker engine"):
            install()
    with step("Starting the Docker engine"):
        start()
    engine = find()
    if not engine:
        raise MsbError(f"dockerd started, but no client with buildx was found (the log is {_STATE}/dockerd.log)")
    return engine


def install() -> None:
    """Install the engine with apt-get; on Debian 12, whose engine is too old, from Debian 13's suite, pinned."""
    if _distribution().get("VERSION_CODENAME") == "bookworm":
        _add_suite()
    apt("update")
    apt("install", "--no-install-recommends", *_packages())


def start() -> None:
    """Start dockerd in the background with a configuration of ours and wait until it answers (60 s at most)."""
    _STATE.mkdir(parents=True, exist_ok=True)
    config = _STATE / "dockerd.json"
    config.write_text(json.dumps(_CONFIGURATION))
    log = _STATE / "dockerd.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dockerd", "--config-file", str(config), "--pidfile", str(_PIDFILE)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
        )  # fmt: skip
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        if find():
            return
        time.sleep(0.2)
    raise MsbError(f"dockerd did not start: {_last_line(log.read_text(errors='replace'))} (the log is {log})")


def stop() -> bool:
    """Stop the engine that `start` started, by its pid; return whether there was one."""
    pid = _own_pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return True


def apt(*arguments: str) -> None:
    """Run apt-get without questions; raise MsbError with its last line when it fails."""
    result = subprocess.run(
        ["apt-get", "-qq", "--yes", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True,
    )  # fmt: skip
    if result.returncode:
        raise MsbError(f"apt-get {arguments[0]} failed: {_last_line(result.stderr or result.stdout)}")


def program(name: str, *packages: str) -> str:
    """Return the path of a program; install its package, and others, where it is missing and the user is root.

    Raises MsbError that says what to install, where that cannot be.
    """
    if not shutil.which(name):
        names = " ".join((name, *packages))
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise MsbError(f"{name} is missing: install it (on Debian and Ubuntu: apt-get install {names})")
        apt("update")
        apt("install", "--no-install-recommends", name, *packages)
    found = shutil.which(name)
    if not found:
        raise MsbError(f"the package {name} was installed, and there is no program {name} on PATH")
    return found


def _add_suite() -> None:
    """Add Debian 13 beside the mirror that apt already uses, pinned so that only the engine comes from it."""
    mirrors = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Codename: bookworm"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    if not mirrors:
        raise MsbError("apt knows no Debian 12 mirror: add one to /etc/apt/sources.list and run apt-get update")
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    Path("/etc/apt/sources.list.d/msb-engine.sources").write_text(
        f"# Written by msb-templates: the Docker engine of Debian 13.\n"
        f"Types: deb\nURIs: {mirrors[0]}\nSuites: {_SUITE}\nComponents: main\nSigned-By: {keyring}\n"
    )
    Path("/etc/apt/preferences.d/msb-engine.pref").write_text(
        f"Package: *\nPin: release n={_SUITE}\nPin-Priority: -1\n\n"
        f"Package: docker.io docker-cli docker-buildx docker-compose containerd\n"
        f"Pin: release n={_SUITE}\nPin-Priority: 990\n"
    )


def _own_pid() -> int | None:
    try:
        pid = int(_PIDFILE.read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(_PIDFILE).encode() in arguments else None


def _packages() -> list[str]:
    return _PACKAGES[_distribution()["ID"]]


def _distribution() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in text.splitlines())}


def _clients() -> list[str]:
    """The Docker clients to try: the distribution's first, since an older one without buildx may stand on PATH."""
    found = [shutil.which("docker", path="/usr/bin"), shutil.which("docker")]
    return list(dict.fromkeys(client for client in found if client))


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _json(*command: str) -> dict[str, Any]:
    try:
        value = json.loads(_output(*command))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _numbers(text: str) -> tuple[int, ...]:
    match = re.search(r"(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else ()


def _dots(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


def on_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def describe(engine: Engine) -> str:
    """Return what the engine is, a few lines for a person."""
    store = "containerd" if engine.containerd else "classic: no two-platform, OCI or cache output"
    return "\n".join(
        [
            f"client     {' '.join(engine.command)}",
            f"engine     {_dots(engine.version)} ({_dots(MINIMUM)} or newer is needed)",
            f"buildx     {_dots(engine.buildx)} ({_dots(MINIMUM_BUILDX)} or newer is needed)",
            f"compose    {engine.compose or 'missing'}",
            f"images     {store}",
            f"seccomp    {'on' if engine.seccomp else 'off'}",
            f"started by {'msb' if engine.ours else 'somebody else'}",
        ]
    )
