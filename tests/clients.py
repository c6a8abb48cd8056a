"""The two sets of Docker's client plugins that people have: the distribution's, and the newest of `tools/clients`."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from conftest import locked

from msb.engine import Engine, last_line
from msb.errors import MsbError
from msb.stacks import ROOT

MODULE = ROOT / "tools" / "clients"
PLUGINS = {
    "docker-buildx": ("github.com/docker/buildx", "/cmd/buildx", "version.Version"),
    "docker-compose": ("github.com/docker/compose/v5", "/cmd", "internal.Version"),
}
"""Of each plugin the module, the command in it, and the variable that its linker sets to its version."""


def pinned() -> dict[str, str]:
    """The version of each plugin, as `v1.2.3`, from go.mod."""
    text = (MODULE / "go.mod").read_text(encoding="utf-8")
    return {
        plugin: re.findall(rf"^\t{re.escape(module)} (v\S+)", text, re.MULTILINE)[0]
        for plugin, (module, _, _) in PLUGINS.items()
    }


def newest(engine: Engine) -> dict[str, str]:
    """The variables under which `docker` uses the newest plugins; they are compiled once for each go.mod.

    Compiling takes three minutes of one processor. Raises MsbError with Go's last line when it fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msb-templates"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"clients-{hashlib.sha256((MODULE / 'go.mod').read_bytes()).hexdigest()[:16]}"
    with locked(cache / "lock", fcntl.LOCK_EX), tempfile.TemporaryDirectory(dir=cache) as unfinished:
        if not folder.exists():
            made = Path(unfinished) / "clients"
            _compile(made / "cli-plugins")
            made.rename(folder)
    # The engine's address stands in the folder that DOCKER_CONFIG takes the place of.
    host = engine.run("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    return {"DOCKER_CONFIG": str(folder), "DOCKER_HOST": host}


def _compile(into: Path) -> None:
    """Compile every plugin in one go, for they share most packages, and unoptimised: that takes a quarter less."""
    flags = ["-s", "-w"]
    for plugin, (module, _, variable) in PLUGINS.items():
        flags += ["-X", f"{module}/{variable}={pinned()[plugin]}"]
    commands = [module + command for module, command, _ in PLUGINS.values()]
    go = str(Path(sys.executable).parent / "go")
    options = ["-trimpath", "-gcflags", "all=-N -l", "-ldflags", " ".join(flags), "-o", f"{into}/"]
    result = subprocess.run(
        ["nice", go, "-C", str(MODULE), "build", *options, *commands],
        env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}, capture_output=True, text=True,
    )  # fmt: skip
    if result.returncode:
        raise MsbError(f"go build failed in {MODULE.name}: {last_line(result.stderr)}")
    for plugin, command in zip(PLUGINS, commands, strict=True):
        (into / Path(command).name).rename(into / plugin)
