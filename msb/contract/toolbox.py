"""testinfra inside an image that has no shell, over a static busybox mounted read-only at /busybox."""

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from testinfra.backend.base import CommandResult  # type: ignore[import-untyped]
from testinfra.backend.docker import DockerBackend  # type: ignore[import-untyped]
from testinfra.host import Host  # type: ignore[import-untyped]

from msb.engine import Engine
from msb.errors import MsbError
from msb.image import created

MOUNT = "/busybox"
"""Where the toolbox is in the container."""
_STARTED = b"msb: the toolbox runs"


def inside(engine: Engine, container: str) -> Host:
    """Return a testinfra host for a running container that has the toolbox mounted.

    A command that cannot start raises MsbError: a bare `.failed` check must not pass because nothing ran.
    """
    backend = _Backend(engine, container)
    host = Host(backend)
    backend.set_host(host)
    return host


@cache
def folder(engine: Engine, base: str) -> Path:
    """Copy /busybox out of the image `base` once a process, and return the host's folder that holds it."""
    path = Path(tempfile.mkdtemp(prefix="msb-toolbox-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    path.chmod(0o755)  # any user of a container must be able to use it
    with created(engine, base) as container:
        engine.run("cp", f"{container}:{MOUNT}/.", str(path))
    return path


class _Backend(DockerBackend):  # type: ignore[misc] # testinfra is not typed
    NAME = "msb-toolbox"

    def __init__(self, engine: Engine, container: str) -> None:
        super().__init__(container)
        self._engine = engine

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        text = self.get_command(command, *args)
        script = f"echo '{_STARTED.decode()}' >&2; {text}"
        result = subprocess.run(
            [*self._engine.command, "exec", "--env", f"PATH={MOUNT}", self.name, f"{MOUNT}/sh", "-c", script],
            capture_output=True,
        )
        first, _newline, stderr = result.stderr.partition(b"\n")
        if first != _STARTED:
            raise MsbError(f"cannot look inside {self.name}: {first.decode('utf-8', 'replace') or 'no message'}")
        return self.result(result.returncode, text.encode(), result.stdout, stderr)

    def get_encoding(self) -> str:
        return "utf-8"
