"""Which stack a folder is, and what its manifests say."""

import re
from collections.abc import Callable
from pathlib import Path

from msb.adopt import go, jvm, node, python
from msb.adopt.found import Found, Project
from msb.errors import MsbError

# The first manifest that is there decides: a Go or Java service often has a package.json for its tools beside it.
MANIFESTS: dict[str, Callable[[Project], Found]] = {
    "go.mod": go.read,
    "pom.xml": jvm.read,
    "build.gradle": jvm.read,
    "build.gradle.kts": jvm.read,
    "pyproject.toml": python.read,
    "requirements.txt": python.read,
    "uv.lock": python.read,
    "poetry.lock": python.read,
    "manage.py": python.read,
    "package.json": node.read,
}


def detect(folder: Path, module: str = "") -> Found:
    """Read the project in `folder`; raise MsbError when it is none that a template fits, with the reason.

    module: the part that serves, relative to the folder, in a project of several modules or workspaces.
    """
    if not folder.is_dir():
        raise MsbError(f"{folder}: is not a folder: name the one of your project, for example msb adopt ./orders")
    project = Project(folder, module)
    manifest = next((name for name in MANIFESTS if name in project), None)
    if not manifest:
        raise MsbError(
            f"{folder}: has no manifest that msb knows: one of {', '.join(MANIFESTS)}; for a service "
            "in a sub-folder, name that folder"
        )
    if module and MANIFESTS[manifest] not in (jvm.read, node.read):
        raise MsbError(
            f"{module}: {manifest} has no modules to choose from: --module is for those of Maven and the workspaces of "
            "npm, pnpm, yarn and bun; for a service in a sub-folder, name that folder"
        )
    found = MANIFESTS[manifest](project)
    _common(project, found)
    return found


def _common(project: Project, found: Found) -> None:
    """Answer what every template asks, from the manifest, the git remote and the folder's name."""
    answers = found.answers
    name = answers.get("project_name") or project.folder.resolve().name
    answers["project_name"] = _line(name) or "Service"
    slug = re.sub("[^a-z0-9]+", "-", name.lower().rpartition("/")[2]).strip("-")
    answers["project_slug"] = (slug if slug[:1].isalpha() else f"service-{slug}".rstrip("-"))[:40].rstrip("-")
    answers["description"] = _line(answers.get("description", "")) or answers["project_name"]
    answers.setdefault("license", project.licence())
    remote = project.repository()
    if remote:
        host, _, path = remote.partition("/")
        image = f"ghcr.io/{path}" if host == "github.com" else remote
        answers.setdefault("__source", f"https://{remote}")
    else:
        image = f"ghcr.io/example/{answers['project_slug']}"
        found.note(
            "docker-bake.hcl",
            "default = ",
            f"where the image is pushed: there is no git remote, so {image} stands there",
        )
        if "__source" not in answers:
            found.note("Dockerfile", "image.source=", "the address of the source, which the label gives")
    answers["image_repository"] = answers["__image_repository"] = image
    if answers["license"] == "Proprietary":
        found.note(
            "Dockerfile", "image.licenses=", "the licence, an SPDX name: no MIT, Apache-2.0 or BSD-3-Clause was found"
        )


def _line(text: str) -> str:
    """One line that the templates take; without braces, which Cookiecutter would render."""
    return " ".join(re.sub(r"[^\w\s!-~]|[{}\x00-\x1f\x7f-\x9f]", " ", text).split())[:200].strip()
