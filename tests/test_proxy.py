"""Does a build fetch through the proxy that HTTPS_PROXY names?"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from msb import project as projects
from msb.engine import Engine
from msb.stacks import Stack

UUID = """
github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=
github.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=
"""


@contextmanager
def refusing(address: str) -> Iterator[tuple[str, list[str]]]:
    """A proxy that lets nothing through: its URL, and the HOST:PORTs that it was asked for."""
    asked: list[str] = []

    class Refuse(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Refuse) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}", asked
        server.shutdown()


def test_deps_asks_the_proxy_that_the_build_names(engine: Engine, stack: Stack, project: Path, tmp_path: Path) -> None:
    copy = projects.copy(project, tmp_path / project.name)
    if stack.name == "go":  # its service is made of the standard library alone
        with (copy / "go.mod").open("a") as module:
            module.write("\nrequire github.com/google/uuid v1.6.0\n")
        (copy / "go.sum").write_text(UUID.lstrip())
    (bridge,) = json.loads(engine.run("network", "inspect", "bridge").stdout)
    with refusing(bridge["IPAM"]["Config"][0]["Gateway"]) as (url, asked):
        command = [
            *engine.command,
            "build",
            "--target=deps",
            "--no-cache-filter=deps",
            f"--build-arg=HTTPS_PROXY={url}",
        ]
        with subprocess.Popen([*command, "--output=type=cacheonly", *projects.ca_secret(), str(copy)]) as build:
            end = time.monotonic() + 120
            while not asked and build.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            build.terminate()  # package managers try again for minutes
    assert asked
    assert {address.rpartition(":")[2] for address in asked} == {"443"}
