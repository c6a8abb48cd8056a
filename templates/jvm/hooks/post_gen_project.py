"""Finish a rendered project, offline and the same way each time. Needs Python 3.9."""

import json
from pathlib import Path

ANSWERS = json.loads({{cookiecutter | tojson | tojson}})  # noqa: F821

# A choice can leave a folder without files, and Cookiecutter cannot leave the folder out. Deepest first.
for name in ANSWERS.get("_optional_folders", []):
    folder = Path(name)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

# Zip archives lose these bits. The Dockerfile names the shell and does not need them; people at a terminal do.
for script in Path("docker").glob("*"):
    if script.is_file() and script.read_bytes().startswith(b"#!"):
        script.chmod(script.stat().st_mode | 0o111)
