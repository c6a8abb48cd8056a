"""A Docker engine where none answers: on Debian and Ubuntu install it from distribution packages and start it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msb.console import step
from msb.engine import LABEL, Engine, find, last_line
from msb.errors import MsbError

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
        raise MsbError("no Docker engine answers, and MSB_ENGINE=never does not allow installing or starting one")
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
    raise MsbError(f"dockerd did not start: {last_line(log.read_text(errors='replace'))} (the log is {log})")


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
        raise MsbError(f"apt-get {arguments[0]} failed: {last_line(result.stderr or result.stdout)}")


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
        raise MsbError(f"the package {name} was installed, but PATH has no program {name}")
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


def on_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
