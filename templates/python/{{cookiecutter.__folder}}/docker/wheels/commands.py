"""commands - of the commands that packages install, only the declared ones ship: those that SERVICE and PROBE begin
with, and those in COMMANDS. SERVICE and PROBE become bin/serve and bin/probe of the virtual environment.

Each is `python -m MODULE`, MODULE:FUNCTION or a package's command, with arguments; $NAME in one is a variable of the
environment when it runs. PROBE may also be a path, which the service on PORT has to answer with a 2xx or 3xx, or empty:
then the service has to take a connection.
"""

import os
import re
import shlex
import sys
import sysconfig
from pathlib import Path

ASK = """import os, socket, sys

try:
    with socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 2) as connection:
        if "PATH":
            connection.sendall(b"GET PATH HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
            status = connection.recv(64).partition(b"\\r\\n")[0].decode("ascii", "replace")
            if status.split(" ")[1:2] < ["200"] or status.split(" ")[1:2] >= ["400"]:
                sys.exit(f"unhealthy: {status}")
except OSError as error:
    sys.exit(f"unhealthy: {error}")
"""

folder = Path(sysconfig.get_path("scripts"))


def program(words: list[str]) -> str:
    """The text of a program that runs these words."""
    if not words or words[0].startswith("/"):
        return ASK.replace("PATH", "".join(words))
    called = re.fullmatch(r"([\w.]+):(\w+)", words[0])
    if called:
        run = f"from {called[1]} import {called[2]}\n\nsys.exit({called[2]}())"
    elif words[:2] == ["python", "-m"]:
        words, run = words[2:], "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    elif words[0] != "python":
        words, run = [str(folder / words[0]), *words[1:]], "runpy.run_path(sys.argv[0], run_name='__main__')"
    else:
        sys.exit(f"commands: {shlex.join(words)}: name a module, for example python -m app, or a package's command")
    if any("$" in word for word in words):
        return f"import os, runpy, sys\n\nsys.argv[:1] = map(os.path.expandvars, {words!r})\n{run}\n"
    return f"import runpy, sys\n\nsys.argv[:1] = {words!r}\n{run}\n"


def keep() -> None:
    """Leave just the declared commands, and those that start and probe the service."""
    starts = {"serve": shlex.split(os.environ["SERVICE"]), "probe": shlex.split(os.environ["PROBE"])}
    if not starts["serve"]:
        sys.exit("commands: SERVICE is empty: name in the Dockerfile what serves, for example python -m app")
    firsts = {words[0] for words in starts.values() if words and not re.search("[/:]", words[0])}
    declared = set(os.environ["COMMANDS"].split()) | firsts - {"python"}
    found = {path.name: path for path in folder.iterdir() if not path.is_symlink()}
    if missing := declared - found.keys():
        sys.exit(
            f"commands: the Dockerfile names {min(missing)!r}, a command that no package in requirements.txt installs"
        )
    for name in found.keys() - declared:
        found[name].unlink()
    for name, words in starts.items():
        (folder / name).write_text(program(words))
