"""Syft, a scanner: where it is, and what it finds of a tree's packages."""

import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msb.tree import Entry, Tree

RELEASE = "etc/os-release"
"""Where the distribution says which it is."""


def syft() -> str | None:
    """The path of Syft, beside this Python or on PATH; None where it is not installed."""
    return shutil.which("syft", path=sysconfig.get_path("scripts")) or shutil.which("syft")


def scan(tree: Tree, records: Iterable[Entry]) -> dict[str, Any]:
    """Return Syft's JSON for a folder that holds dpkg's records and os-release alone: they are all that it reads."""
    with tempfile.TemporaryDirectory(prefix="msb-syft-") as folder:
        files = {entry.path: entry for entry in records}
        if release := tree.resolve(RELEASE):
            files[RELEASE] = release
        for path, entry in files.items():
            copy = Path(folder, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(tree.read(entry))
        command = [str(syft()), "scan", f"dir:{folder}", "--quiet", "--output", "json"]
        command += ["--override-default-catalogers", "dpkg-db-cataloger"]
        environment = os.environ | {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
        run = subprocess.run(command, env=environment, capture_output=True, check=True)
        return json.loads(run.stdout)  # type: ignore[no-any-return]
