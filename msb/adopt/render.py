"""Renders a template for a project that is there: only the files that make its image."""

import json
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path

from msb import project as projects
from msb import stacks
from msb.adopt.found import Found
from msb.errors import MsbError

FILES = (
    "Dockerfile",
    "compose.yaml",
    "docker-bake.hcl",
    ".dockerignore",
    ".github/workflows/ci.yml",
    "requirements-uv.txt",
    "nginx/",
    "docker/",
    "go.sum",
)
"""What adopt brings: names, and folders with all that is in them. go.sum, which the build mounts, is empty."""

PROBE = """    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \\
    go build -trimpath -ldflags="-s -w -buildid=" -o /out/app/probe docker/probe.go"""


def render(found: Found) -> dict[str, tuple[bytes, bool]]:
    """Return each container file of the project by its path: its bytes, and whether it is executable.

    Raises MsbError when cookiecutter is not installed, or refuses an answer.
    """
    if not find_spec("cookiecutter"):
        raise MsbError(
            'adopt needs cookiecutter, which is not installed: pip install "msb-templates[adopt] @ '
            'git+https://github.com/org/msb-templates"'
        )
    stack = stacks.load().stack(found.stack)
    answers = found.answers | {"project_slug": _free(stack, found.answers["project_slug"])}
    with tempfile.TemporaryDirectory(prefix="msb-adopt-") as folder:
        project = projects.render(stack, answers, Path(folder))
        paths = [
            path for path in project.rglob("*") if path.is_file() and _brought(path.relative_to(project).as_posix())
        ]
        files = {
            path.relative_to(project).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
            for path in sorted(paths)
        }
    dockerfile = files["Dockerfile"][0].decode()
    files["Dockerfile"] = dockerfile_of(found, dockerfile).encode(), False
    if found.probe is not None:
        files["docker/probe.go"] = Path(__file__).with_name("probe.go").read_bytes(), False
    return files


def dockerfile_of(found: Found, text: str) -> str:
    """Put what was found into a rendered Dockerfile: its ARGs, the manifests that it mounts, a probe of its own."""
    for name, value in found.args.items():
        default = re.search(rf'^ARG (?:.* )?{name}=("(?:[^"\\]|\\.)*"|\S*)', text, re.M)
        if not default:
            raise MsbError(f"the template of {found.stack} has no ARG {name}: please report it")
        text = text[: default.start(1)] + _quoted(value) + text[default.end(1) :]
    for name, manifests in found.mounts.items():
        mount = re.search(
            rf"^(RUN |    )(--mount=type=bind,source=){re.escape(name)}(,target=\S*?){re.escape(name)} \\\n", text, re.M
        )
        if not mount:
            raise MsbError(f"the template of {found.stack} mounts no {name}: please report it")
        lines = [f"{mount[2]}{each}{mount[3]}{each} \\\n" for each in manifests]
        text = text[: mount.start()] + mount[1] * bool(lines) + "    ".join(lines) + text[mount.end() :]
    return text if found.probe is None else _probing(text, found.probe)


def _probing(text: str, path: str) -> str:
    """Let the Go template's Dockerfile build docker/probe.go beside the service, and ask by it."""
    text, found = re.subn(r'(-o /out/app/server "\$MAIN")\n', lambda match: f"{match[1]} && \\\n{PROBE}\n", text)
    if not found:
        raise MsbError("the template of go has no step that builds /app/server: please report it")
    text = text.replace("sh /tmp/bundle /app/server", "sh /tmp/bundle /app/server /app/probe")
    command = ", ".join(f'"{word}"' for word in ("/app/probe", path) if word)
    return re.sub(r'(?<=CMD )\["/app/server", "healthcheck"\]', f"[{command}]", text)


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w./=:@+-]+", value):
        return value
    return '"' + re.sub(r'([\\"$])', r"\\\1", value) + '"'


def _brought(path: str) -> bool:
    return any(path == name or (name.endswith("/") and path.startswith(name)) for name in FILES)


def _free(stack: stacks.Stack, slug: str) -> str:
    """The slug, or another where a package that the template's own service needs is called so."""
    reserved = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8")).get("_reserved", {})
    return f"{slug[:32]}-service" if any(slug in names for names in reserved.values()) else slug
