"""The Docker engine that answers: what it is, and running its client."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msb.errors import MsbError

MINIMUM = (25, 0)
"""The oldest engine: from 25 on a health check has a start interval and `docker build` is always BuildKit."""
MINIMUM_BUILDX = (0, 13)
"""The oldest buildx: from 0.13 on it loads, exports and caches images of the containerd store."""
LABEL = "msb.engine"
"""The label of an engine that msb started: only there, stand-ins take upstream names by themselves."""
FREE_BYTES = 6 * 2**30
"""Bytes of disk that bases, builds and tests of one stack take at most."""

Output = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Engine:
    """A Docker engine that answers.

    command: the client and its first arguments; version, buildx: (major, minor); releases: the full versions of engine,
    buildx and compose, "" for what is missing;
    containerd: whether images live in the containerd store (two platforms, OCI and cache output need it);
    ours: whether msb started it; root: where it keeps its data; platform: as in linux/amd64.
    """

    command: tuple[str, ...]
    version: tuple[int, ...]
    buildx: tuple[int, ...]
    releases: dict[str, str] = field(hash=False)
    containerd: bool
    seccomp: bool
    ours: bool
    root: Path
    platform: str = ""

    def run(self, *arguments: str, check: bool = True, timeout: float | None = None) -> Output:
        """Run `docker ARGUMENTS` and return its output as text; raise MsbError with its last line when it fails."""
        result = subprocess.run(
            [*self.command, *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=timeout
        )
        if check and result.returncode:
            raise MsbError(f"docker {arguments[0]} failed: {last_line(result.stderr)}")
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


def find(builds: bool = True) -> Engine | None:
    """Return the engine that answers, or None; raise MsbError when one answers that is too old, saying why.

    builds: whether it must be able to build: to look at images any engine will do.
    """
    problem = ""
    for client in _clients():
        version = _json(client, "version", "--format", "json")
        if not version.get("Server"):
            continue
        releases = {
            "engine": version["Server"]["Version"],
            "buildx": (_output(client, "buildx", "version").split() or [""])[-1],
            "compose": _output(client, "compose", "version", "--short").strip(),
        }
        info = _json(client, "info", "--format", "json")
        engine = Engine(
            command=(client,),
            version=_numbers(releases["engine"]),
            buildx=_numbers(releases["buildx"]),
            releases=releases,
            containerd=any("containerd" in str(value) for _, value in info.get("DriverStatus") or []),
            seccomp=any("seccomp" in option for option in info.get("SecurityOptions") or []),
            ours=any(label.startswith(f"{LABEL}=") for label in info.get("Labels") or []),
            root=Path(info.get("DockerRootDir") or "/var/lib/docker"),
            platform=f"{version['Server'].get('Os', 'linux')}/{version['Server'].get('Arch', '')}".rstrip("/"),
        )
        if not builds:
            return engine
        if engine.version < MINIMUM:
            raise MsbError(
                f"Docker engine {releases['engine']} is too old: "
                f"{_dots(MINIMUM)} or newer is needed for BuildKit and health start intervals"
            )
        if engine.buildx >= MINIMUM_BUILDX:
            return engine
        found = f"buildx {_dots(engine.buildx)}" if engine.buildx else "no buildx"
        problem = f"{client} has {found}: {_dots(MINIMUM_BUILDX)} or newer is needed to build and export images"
    if problem:
        raise MsbError(problem)
    return None


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


def last_line(text: str) -> str:
    """Return the last line of what a command printed."""
    return (text.strip().splitlines() or ["no message"])[-1]


def describe(engine: Engine) -> str:
    """Return what the engine is, a few lines for a person."""
    store = "containerd" if engine.containerd else "classic: no two-platform, OCI or cache output"
    return "\n".join(
        [
            f"client     {' '.join(engine.command)}",
            f"engine     {engine.releases['engine']} ({_dots(MINIMUM)} or newer is needed)",
            f"buildx     {engine.releases['buildx']} ({_dots(MINIMUM_BUILDX)} or newer is needed)",
            f"compose    {engine.releases['compose'] or 'missing'}",
            f"images     {store}",
            f"seccomp    {'on' if engine.seccomp else 'off'}",
            f"started by {'msb' if engine.ours else 'somebody else'}",
        ]
    )
