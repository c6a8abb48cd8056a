"""What pyproject.toml, requirements.txt, uv.lock, poetry.lock and the sources of a Python service say."""

import re
import tomllib
from fnmatch import fnmatchcase
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from msb import stacks
from msb.adopt.found import Found, Project, health_path
from msb.errors import MsbError

VERSIONS = ("3.14", "3.13")
"""Those that the template offers, the newest first."""
POETRY = "2.2.1"
"""Reads a lock file that does not say which Poetry wrote it."""
DEVELOPERS = (
    "requirements-dev.txt",
    "dev-requirements.txt",
    "requirements_dev.txt",
    "requirements/dev.txt",
    "requirements-test.txt",
    "requirements/test.txt",
)
NO_MODULES = {"setup.py", "conftest.py", "noxfile.py", "tasks.py", "fabfile.py", "gunicorn.conf.py"}
NO_PACKAGES = {"tests", "test", "docs", "doc", "docker", "examples", "benchmarks", "scripts"}
DATA = ("templates", "static", "locale")


def read(project: Project) -> Found:
    """Read a Python project; raise MsbError where it needs a Python that the template does not offer."""
    try:
        data = tomllib.loads(project.text("pyproject.toml"))
    except tomllib.TOMLDecodeError as error:
        raise MsbError(f"pyproject.toml: is not TOML: {error}") from error
    facts = data.get("project", {})
    poetry = data.get("tool", {}).get("poetry", {})
    found = Found("python")
    version = _version(project, facts.get("requires-python") or _caret(poetry.get("dependencies", {}).get("python")))
    runtime, tests = _packages(project, found, data)
    folder, modules = _modules(project, found)
    framework = _serve(
        project, found, facts | {"scripts": facts.get("scripts") or poetry.get("scripts", {})}, folder, modules, runtime
    )
    _probe(project, found, modules)
    _test(project, found, runtime, tests)
    licence = facts.get("license") or poetry.get("license", "")
    declared = licence.get("text", "") if isinstance(licence, dict) else licence
    found.answers |= {
        "project_name": facts.get("name") or poetry.get("name", ""),
        "description": facts.get("description") or poetry.get("description", ""),
        "license": project.licence(declared), "python_version": version, "port": "8080",
    }  # fmt: skip
    found.says = f"Python {version}, {framework}: {found.args['SERVICE']}"
    return found


def _version(project: Project, requires: str) -> str:
    try:
        asked = SpecifierSet(requires)
    except InvalidSpecifier as error:
        raise MsbError(
            f"pyproject.toml: requires-python {requires!r} is no version specifier, for example >=3.13"
        ) from error
    fit = [version for version in VERSIONS if asked.contains(f"{version}.99") or asked.contains(version)]
    if not fit:
        raise MsbError(
            f"pyproject.toml: requires-python {requires!r} admits neither {' nor '.join(VERSIONS)}, "
            "which the images have"
        )
    pinned = re.match(r"(?:python-)?(\d+\.\d+)", project.text(project.first(".python-version", "runtime.txt")))
    return pinned[1] if pinned and pinned[1] in fit else fit[0]


def _caret(written: Any) -> str:
    """Poetry's `^3.12` as other tools write it."""
    match = re.fullmatch(r"\^(\d+)(\.\d+)*", str(written or ""))
    return f">={str(written)[1:]},<{int(match[1]) + 1}" if match else str(written or "").replace("*", "")


# --- packages ---


def _packages(project: Project, found: Found, data: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Say how the packages are installed; return the names of those that ship, and of those for tests."""
    facts = data.get("project", {})
    poetry = data.get("tool", {}).get("poetry", {})
    groups = data.get("dependency-groups", {})
    extras = {
        name: words
        for name, words in facts.get("optional-dependencies", {}).items()
        if name in ("dev", "test", "tests")
    }
    named = _names(facts.get("dependencies", [])) | {canonicalize_name(name) for name in poetry.get("dependencies", {})}
    tools = _names(words for group in (*groups.values(), *extras.values()) for words in group)
    dev = {name: group.get("dependencies", {}) for name, group in poetry.get("group", {}).items()} | {
        "dev": poetry.get("dev-dependencies", {})
    }
    tools |= {canonicalize_name(name) for group in dev.values() for name in group}
    if "uv.lock" in project and "pyproject.toml" in project:
        manifests = ["pyproject.toml", "uv.lock"]
        sync = "uv sync --active --frozen --no-install-project"
        install, more = (
            f"{sync} --no-default-groups",
            f"{sync} --all-groups" + "".join(f" --extra {name}" for name in extras),
        )
        if data.get("tool", {}).get("uv", {}).get("workspace"):
            found.note(
                "pyproject.toml",
                "[tool.uv.workspace]",
                "a workspace: its members' packages are not installed; PACKAGES and the mounts in the "
                "Dockerfile say what is",
            )
    elif "poetry.lock" in project and "pyproject.toml" in project:
        manifests = ["pyproject.toml", "poetry.lock"]
        wrote = re.search(r"generated by Poetry (\d[\w.]*)", project.text("poetry.lock"))
        export = f"uvx --with poetry-plugin-export poetry@{wrote[1] if wrote else POETRY} export --output /tmp/lock.txt"
        sync = "uv pip sync --require-hashes /tmp/lock.txt"
        install = f"{export} && {sync}"
        also = ",".join(sorted(name for name, group in dev.items() if group) or groups)
        more = f"{export} --with {also} && {sync}" if also else install
    elif "requirements.txt" in project:
        manifests, lines = _requirements(project, "requirements.txt")
        named |= _names(lines)
        hashed = "--hash=" in project.text("requirements.txt")
        install = "uv pip sync --require-hashes requirements.txt" if hashed else "uv pip install -r requirements.txt"
        more = "true"
        loose = "" if hashed else next((line for line in lines if "==" not in line and "@" not in line), "")
        if loose:
            found.note(
                "requirements.txt",
                loose,
                f"{loose} has no fixed version: two builds may differ; `uv pip compile --generate-hashes` locks it",
            )
        if developers := project.first(*DEVELOPERS):
            others, lines = _requirements(project, developers)
            tools |= _names(lines)
            more = f"uv pip install -r {developers}"
            found.mounts["requirements-dev.txt"] = sorted({*others, *manifests})
    elif facts.get("dependencies") is not None:
        manifests = ["pyproject.toml"]
        install = "uv pip install -r pyproject.toml"
        more = (
            " && ".join(
                [
                    *(f"uv pip install --group {name}" for name in groups),
                    *(f"uv pip install -r pyproject.toml --extra {name}" for name in extras),
                ]
            )
            or "true"
        )
        found.note(
            "pyproject.toml",
            "dependencies",
            "no lock file: two builds may differ; `uv lock` makes one, then run adopt again",
        )
    else:
        raise MsbError(
            "pyproject.toml: names no dependencies, and there is no requirements.txt, uv.lock or "
            "poetry.lock: write one, for example with `uv lock`"
        )
    found.mounts.setdefault("requirements-dev.txt", manifests)
    found.mounts["requirements.txt"] = manifests
    found.args |= {"PACKAGES": install, "TOOLS": more}
    for name in sorted(named):
        if any(fnmatchcase(name, pattern) for pattern in stacks.load().contract.content.wheels):
            file = "requirements.txt" if "requirements.txt" in manifests else "pyproject.toml"
            found.note(
                file,
                name,
                f"{name} is a developer's tool, with which the build fails (MSB103): name it for the tests alone",
            )
    return named, tools


def _requirements(project: Project, name: str) -> tuple[list[str], list[str]]:
    """The files that a requirements file includes, itself first, and the requirements in all of them."""
    files, lines = [name], []
    for line in project.text(name).splitlines():
        include = re.match(r"\s*(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)", line)
        if include:
            inner = (f"{name.rpartition('/')[0]}/" if "/" in name else "") + include[1].removeprefix("./")
            if inner in project and inner not in files:
                more, inside = _requirements(project, inner)
                files += more
                lines += inside
        elif line.strip() and not line.lstrip().startswith(("#", "-")):
            lines.append(line.split("#")[0].split(" \\")[0].strip())
    return files, lines


def _names(requirements: Any) -> set[str]:
    names: set[str] = set()
    for text in requirements:
        try:
            one = Requirement(text)
        except (InvalidRequirement, TypeError):  # another group's name, or what only pip reads
            continue
        names |= {canonicalize_name(one.name)} | ({"uvicorn"} if one.name == "fastapi" and one.extras else set())
    return names


# --- what serves ---


def _modules(project: Project, found: Found) -> tuple[str, dict[str, str]]:
    """Say where the modules are; return the folder that imports begin at, and each module's file and text."""
    if any(project.files(".py", under="src")) and "src/__init__.py" not in project:
        found.args["SOURCE"] = "src/."
        names = project.files(".py", under="src")
        return "src/", {name: project.text(name) for name in names}
    files = [name for name in project.files(".py") if _ships(name)]
    tops = sorted(
        {name.partition("/")[0] for name in files} | {name for name in DATA if (project.folder / name).is_dir()}
    )
    if not files:
        raise MsbError(f"{project.folder}: holds no Python module that serves")
    found.args["SOURCE"] = " ".join(f"./{name}" for name in tops)
    return "", {name: project.text(name) for name in files}


def _ships(name: str) -> bool:
    first, slash, _ = name.partition("/")
    return (
        first not in NO_PACKAGES
        if slash
        else first not in NO_MODULES and not re.fullmatch(r"test_.*|.*_test\.py", first)
    )


def _dotted(name: str, folder: str) -> str:
    return name.removeprefix(folder).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _serve(
    project: Project, found: Found, facts: dict[str, Any], folder: str, modules: dict[str, str], packages: set[str]
) -> str:
    """Say what serves; return the framework's name."""
    if "manage.py" in modules or f"{folder}manage.py" in modules:
        settings = re.search(r"""DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)""", project.text(f"{folder}manage.py"))
        site = settings[1].partition(".")[0] if settings else "config"
        found.args["SERVICE"] = _server(
            found,
            packages,
            f"{site}.wsgi",
            f"{site}.asgi:application",
            "python -m manage runserver --noreload 0.0.0.0:$PORT",
        )
        found.note(
            "Dockerfile",
            "ARG SERVICE=",
            "static files and migrations: no step runs collectstatic or migrate; SECRET_KEY and the "
            "like come from the environment",
        )
        return "Django"
    for name, framework in (
        ("fastapi", "FastAPI"),
        ("starlette", "Starlette"),
        ("litestar", "Litestar"),
        ("quart", "Quart"),
        ("flask", "Flask"),
    ):
        if name not in packages:
            continue
        target, factory = _application(modules, folder, framework)
        if not target:
            continue
        if framework == "Flask":
            call = f"{target}()" if factory else target
            found.args["SERVICE"] = _server(
                found, packages, call, "", f"flask --app {target} run --host 0.0.0.0 --port $PORT"
            )
        else:
            asgi = f"{target} --factory" if factory else target
            found.args["SERVICE"] = _server(found, packages, "", asgi, "")
        return framework
    scripts = {name: target for name, target in facts["scripts"].items() if isinstance(target, str)}
    mains = [name for name in modules if name.endswith("__main__.py")]
    single = next(
        (name for name in (f"{folder}main.py", f"{folder}app.py", f"{folder}server.py") if name in modules), ""
    )
    if len(scripts) == 1:
        found.args["SERVICE"] = next(iter(scripts.values()))
    elif len(mains) == 1:
        found.args["SERVICE"] = f"python -m {_dotted(mains[0], folder).removesuffix('.__main__')}"
    elif single:
        found.args["SERVICE"] = f"python -m {_dotted(single, folder)}"
    else:
        found.args["SERVICE"] = f"python -m {_dotted(next(iter(modules)), folder)}"
        found.note(
            "Dockerfile",
            "ARG SERVICE=",
            "SERVICE, what serves: no application of a known framework, no single command and no __main__.py was found",
        )
    found.note("Dockerfile", "ENV PORT=", "the port: 8080 is announced; let the service read PORT, or change both")
    return "no framework that msb knows"


def _application(modules: dict[str, str], folder: str, framework: str) -> tuple[str, bool]:
    """`module:name` of the framework's application, and whether it is a function that makes it."""
    for pattern, factory in (
        (rf"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?{framework}\(", False),
        (r"^def ((?:create|make|get|build)_app\w*|application)\(", True),
    ):
        for name, text in modules.items():
            match = re.search(pattern, text, re.M)
            if match:
                return f"{_dotted(name, folder)}:{match[1]}", factory
    return "", False


def _server(found: Found, packages: set[str], wsgi: str, asgi: str, development: str) -> str:
    """The command of the server among the packages that fits the application."""
    if asgi and "uvicorn" in packages and not (wsgi and "gunicorn" in packages):
        return f"uvicorn {asgi} --host 0.0.0.0 --port $PORT"
    if wsgi and "gunicorn" in packages:
        return f"gunicorn {wsgi} --bind 0.0.0.0:$PORT --worker-tmp-dir /tmp"
    if wsgi and "waitress" in packages:
        return f"waitress-serve --host 0.0.0.0 --port $PORT {wsgi}"
    if asgi and "hypercorn" in packages:
        return f"hypercorn {asgi} --bind 0.0.0.0:$PORT"
    if asgi and "granian" in packages:
        return f"granian --interface asgi --host 0.0.0.0 --port $PORT {asgi}"
    if development:
        found.note(
            "Dockerfile",
            "ARG SERVICE=",
            "the server is the framework's, for development: add gunicorn to the packages and run adopt again",
        )
        return development
    found.note("Dockerfile", "ARG SERVICE=", "no server is among the packages: add uvicorn and run adopt again")
    return f"uvicorn {asgi} --host 0.0.0.0 --port $PORT"


def _probe(project: Project, found: Found, modules: dict[str, str]) -> None:
    found.args["PROBE"] = health_path(modules.values())
    if not found.args["PROBE"]:
        found.note(
            "Dockerfile",
            "ARG SERVICE=",
            "PROBE, the path that tells the service's health: none was found, so a connection is enough",
        )


def _test(project: Project, found: Found, packages: set[str], tools: set[str]) -> None:
    tests = [name for name in project.files(".py") if re.search(r"(^|/)(test_[^/]*|[^/]*_test|tests)\.py$", name)]
    if not tests:
        found.args["TEST"] = "echo 'no tests'"
    elif "pytest" in packages | tools:
        found.args["TEST"] = "pytest -q"
    elif "python -m manage" in found.args["SERVICE"] or "manage.py" in project:
        found.args["TEST"] = "python manage.py test"
    elif any("import unittest" in project.text(name) or "from unittest" in project.text(name) for name in tests):
        top = tests[0].partition("/")[0]
        found.args["TEST"] = f"python -m unittest discover -s {top} -t ." if "/" in tests[0] else "python -m unittest"
    else:
        found.args["TEST"] = "echo 'no pytest'"
        found.note(
            "Dockerfile", "ARG TEST=", f"TEST, what must pass: {tests[0]} is there, and no manifest names pytest"
        )
