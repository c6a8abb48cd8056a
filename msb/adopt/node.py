"""What package.json, the lock file and a framework's settings say of a site."""

import json
import re
from collections.abc import Callable
from typing import Any

from msb.adopt.found import Found, Project
from msb.errors import MsbError

NODE = "26"
"""The builder's, in the template."""
FRAMEWORKS = {"next", "astro", "@sveltejs/kit", "@angular/core", "@vue/cli-service", "react-scripts", "vite"}
SERVERS = {"express", "fastify", "koa", "@nestjs/core", "@hapi/hapi", "nuxt", "@remix-run/node"}
QUIET = {"cypress": "CYPRESS_INSTALL_BINARY=0", "puppeteer": "PUPPETEER_SKIP_DOWNLOAD=1"}
"""Packages that fetch a browser while they are installed, and what stops them."""
BROWSERS = re.compile(r"\b(cypress|playwright|karma|ng|nightwatch|wdio)\b")
PAGES = '""'
"""No page for unknown paths: each page of the site is a file."""


RUNS = {
    "npm": "npm run {script} --workspace {folder}",
    "pnpm": "pnpm --filter {name} run {script}",
    "yarn": "yarn workspace {name} run {script}",
    "bun": "bun run --filter {name} {script}",
}
"""How each manager runs a script of one workspace."""


def read(project: Project) -> Found:
    """Read a site, also one that is a workspace among others; raise MsbError where it is a server or makes no files."""
    root = _package(project, "package.json")
    members = _members(project, root)
    folder = _site_among(project, members)
    site = Project(project.folder / folder) if folder else project
    package = members.get(folder, root)
    packages = _packages(package)
    found = Found("node-nginx")
    framework = _framework(site, found, package, packages)
    found.args["OUTPUT"] = f"{folder}/{found.args['OUTPUT']}".lstrip("/")
    manager = _manager(project, found, root, {**_packages(root), **packages}, members)
    scripts = package.get("scripts", {})
    build = next((name for name in ("build", "build:prod", "generate") if name in scripts), "")
    if not build:
        file = f"{folder}/package.json".lstrip("/")
        raise MsbError(f'{file}: has no script `build`, for example "build": "vite build"')

    def run(script: str, where: str) -> str:
        name = members.get(where, {}).get("name", where)
        return RUNS[manager].format(script=script, folder=where, name=name) if where else f"{manager} run {script}"

    first = [run("build", where) for where in _needed(members, folder) if "build" in members[where].get("scripts", {})]
    found.args["BUILD"] = " && ".join([*first, run(build, folder)])
    _test(found, scripts, lambda script: run(script, folder))
    _environment(site, found)
    found.answers |= {
        "project_name": str(package.get("name", "")).rpartition("/")[2],
        "description": str(package.get("description", "")),
        "license": project.licence(str(package.get("license", ""))), "port": "8080",
        "framework": "next" if framework == "Next.js" else "react",
    }  # fmt: skip
    package = root
    asked = re.search(
        r"\d+",
        project.text(project.first(".nvmrc", ".node-version")) or str(package.get("engines", {}).get("node", "")),
    )
    if asked and asked[0] != NODE:
        found.note("Dockerfile", "node:", f"Node {asked[0]} is what the project names; the image is built with {NODE}")
    if ".npmrc" in project:
        found.note(
            ".dockerignore",
            "**/.npmrc",
            ".npmrc is not seen by the build, for it may hold a token: without one, let it in with "
            "!.npmrc at the end, and mount it in deps",
        )
    found.note(
        "nginx/nginx.conf",
        "Content-Security-Policy",
        "what pages may load: from the site itself alone; the build fails if a page needs another host, or an inline "
        "script or style, that is not named here",
    )
    found.says = f"{framework} with {manager}: `{found.args['BUILD']}` makes {found.args['OUTPUT']}"
    return found


# --- which package is the site ---


def _package(project: Project, file: str) -> dict[str, Any]:
    try:
        package = json.loads(project.text(file))
    except json.JSONDecodeError as error:
        raise MsbError(f"{file}: is not JSON: {error}") from error
    return package if isinstance(package, dict) else {}


def _packages(package: dict[str, Any]) -> dict[str, Any]:
    return {**package.get("devDependencies", {}), **package.get("dependencies", {})}


def _members(project: Project, root: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The workspaces beside the root, by their folders."""
    globs = root.get("workspaces", [])
    globs = globs.get("packages", []) if isinstance(globs, dict) else globs
    listed = project.text("pnpm-workspace.yaml").partition("packages:")[2]
    globs = [*globs, *re.findall(r"^\s*-\s*[\"']?([\w@*./-]+)", listed, re.M)]
    folders = {
        path.parent.relative_to(project.folder).as_posix()
        for one in globs
        for path in project.folder.glob(f"{one.removeprefix('./')}/package.json")
        if "node_modules" not in path.parts
    }
    return {folder: _package(project, f"{folder}/package.json") for folder in sorted(folders)}


def _site_among(project: Project, members: dict[str, dict[str, Any]]) -> str:
    """The workspace that is the site: the one that its owner names, or the only one that a framework builds."""
    if project.module:
        if project.module not in members:
            raise MsbError(
                f"{project.module}: is no workspace of package.json: name one of {', '.join(members) or 'none'}; a "
                "folder with a lock file of its own is adopted by itself"
            )
        return project.module
    sites = [
        folder for folder, package in members.items()
        if FRAMEWORKS & _packages(package).keys() and "build" in package.get("scripts", {})
        and not SERVERS & _packages(package).keys()
    ]  # fmt: skip
    if len(sites) > 1:
        raise MsbError(
            f"package.json: {len(sites)} workspaces are sites: name one, for example msb adopt --module {sites[0]} "
            f"(there are {', '.join(sites)})"
        )
    return "".join(sites)


def _needed(members: dict[str, dict[str, Any]], folder: str) -> list[str]:
    """The workspaces that one depends on, and theirs, in the order in which they have to be built."""
    folders = {str(package.get("name", "")): where for where, package in members.items()}
    order: list[str] = []

    def visit(where: str, path: tuple[str, ...]) -> None:
        for name in _packages(members.get(where, {})):
            if (inner := folders.get(name, "")) and inner not in (*order, *path):
                visit(inner, (*path, inner))
                order.append(inner)

    visit(folder, (folder,))
    return order


# --- what comes out ---


def _framework(project: Project, found: Found, package: dict[str, Any], packages: dict[str, Any]) -> str:
    """Say which folder the build fills, where hashed files are in it, and how paths become pages."""
    if "next" in packages:
        file, text = _settings(project, "next.config")
        if not re.search(r"""output\s*:\s*["']export["']""", text):
            raise MsbError(
                f"{file or 'package.json'}: Next.js serves by itself without output: 'export', and "
                "node-nginx is for sites that are files: set it"
            )
        return _site(found, "Next.js", _set(text, "distDir") or "out", "")
    if "astro" in packages:
        file, text = _settings(project, "astro.config")
        if re.search(r"""output\s*:\s*["']server["']""", text):
            raise MsbError(
                f"{file}: output: 'server' needs Node at run time, and node-nginx is for sites that "
                "are files: set 'static'"
            )
        return _site(found, "Astro", _set(text, "outDir") or "dist", "/_astro/", PAGES)
    if "@sveltejs/kit" in packages:
        file, text = _settings(project, "svelte.config")
        if "@sveltejs/adapter-static" not in packages:
            raise MsbError(
                "package.json: SvelteKit without @sveltejs/adapter-static needs Node at run time, and "
                "node-nginx is for sites that are files"
            )
        fallback = _set(text, "fallback")
        return _site(
            found,
            "SvelteKit",
            _set(text, "pages") or "build",
            "/_app/immutable/",
            f"/{fallback}" if fallback else PAGES,
        )
    if "@angular/core" in packages:
        return _site(found, "Angular", _angular(project), "/media/")
    if "@vue/cli-service" in packages:
        return _site(found, "Vue CLI", _set(_settings(project, "vue.config")[1], "outputDir") or "dist", "/js/")
    if "react-scripts" in packages:
        return _site(found, "Create React App", "build", "/static/")
    if server := next(iter(SERVERS & packages.keys()), ""):
        raise MsbError(f"package.json: {server} serves by itself, and node-nginx is for sites that are files")
    if "vite" in packages:
        text = _settings(project, "vite.config")[1]
        return _site(found, "Vite", _set(text, "outDir") or "dist", f"/{_set(text, 'assetsDir') or 'assets'}/")
    found.note(
        "Dockerfile",
        "OUTPUT=",
        "OUTPUT, the folder that the build fills: no framework that msb knows was found, so dist stands there",
    )
    return _site(found, "A site", "dist", "/assets/", PAGES)


def _site(found: Found, name: str, output: str, hashed: str, fallback: str = "") -> str:
    found.args["OUTPUT"] = output.removeprefix("./").rstrip("/")
    if hashed:
        found.answers["__hashed"] = hashed
    if fallback:
        found.answers["_fallback"] = fallback
    return name


def _settings(project: Project, name: str) -> tuple[str, str]:
    file = project.first(*(f"{name}.{ending}" for ending in ("ts", "js", "mjs", "mts", "cjs")))
    return file, project.text(file)


def _set(text: str, key: str) -> str:
    """A setting that is one quoted path inside the project."""
    match = re.search(rf"""\b{key}\s*:\s*["']((?:\./)?[\w@-][\w./@-]*)["']""", text)
    return match[1] if match else ""


def _angular(project: Project) -> str:
    try:
        workspace = json.loads(project.text("angular.json") or "{}")
        projects = workspace.get("projects", {})
        name = workspace.get("defaultProject") or next(iter(projects))
        target = projects[name]["architect"]["build"]
    except (json.JSONDecodeError, StopIteration, KeyError, TypeError) as error:
        raise MsbError("angular.json: has no project with a target `build`") from error
    path = target.get("options", {}).get("outputPath", f"dist/{name}")
    base, browser = (
        (path.get("base", ""), path.get("browser", "browser")) if isinstance(path, dict) else (path, "browser")
    )
    return f"{base}/{browser}".rstrip("/") if str(target.get("builder", "")).endswith(":application") else str(base)


# --- how the packages come ---


def _manager(
    project: Project,
    found: Found,
    package: dict[str, Any],
    packages: dict[str, Any],
    members: dict[str, dict[str, Any]],
) -> str:
    """Say how the packages are installed, by the lock file, and what the install reads; return the manager's name."""
    declared = re.match(r"(npm|pnpm|yarn|bun)@(\d[\w.-]*)", str(package.get("packageManager", "")))
    lock = project.first(
        "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb", "package-lock.json", "npm-shrinkwrap.json"
    )
    text = project.text(lock) if lock != "bun.lockb" else ""
    version = declared[2] if declared else ""
    files = [lock] if lock else []
    if lock == "pnpm-lock.yaml":
        manager = "pnpm"
        written = re.search(r"lockfileVersion: '?(\d+)", text)
        version = version or {"5": "7", "6": "8"}.get(written[1] if written else "", "10")
        install = f"npm install --global pnpm@{version} && pnpm install --frozen-lockfile"
        files += [name for name in ("pnpm-workspace.yaml", ".pnpmfile.cjs") if name in project]
    elif lock == "yarn.lock" and "__metadata:" in text:
        manager = "yarn"
        install = f"npm install --global --force @yarnpkg/cli-dist@{version or '4'} && yarn install --immutable"
        files += [name for name in (".yarnrc.yml",) if name in project]
        if own := re.search(r"^yarnPath:\s*[\"']?([\w./-]+)", project.text(".yarnrc.yml"), re.M):
            files.append(own[1])
    elif lock == "yarn.lock":
        manager = "yarn"
        install = f"npm install --global --force yarn@{version or '1.22.22'} && yarn install --frozen-lockfile"
    elif lock.startswith("bun"):
        manager = "bun"
        install = f"npm install --global bun@{version or '1'} && bun install --frozen-lockfile"
    else:
        manager = "npm"
        install = "npm ci --no-audit --no-fund" if lock else "npm install --no-audit --no-fund"
        if not lock:
            found.note(
                "package.json",
                "dependencies",
                "no lock file: two builds may differ; `npm install` makes one, then run adopt again",
            )
    found.args["INSTALL"] = " ".join([*(quiet for name, quiet in QUIET.items() if name in packages), install])
    if quiet := [quiet for name, quiet in QUIET.items() if name in packages]:
        found.args["INSTALL"] = f"export {' '.join(quiet)} && {install}"
    files += [folder for folder in ("patches", ".yarn/patches") if (project.folder / folder).is_dir()]
    inner = [f"{folder}/package.json" for folder in members]
    found.mounts |= {"package-lock.json": files + inner} if files or inner else {"package-lock.json": []}
    for hook in ("preinstall", "install", "postinstall", "prepare"):
        command = package.get("scripts", {}).get(hook, "")
        if command and not re.match(r"husky|patch-package|is-ci", command):
            found.note(
                "package.json",
                f'"{hook}"',
                f"{hook} runs in deps, where the source is not: if it needs any, add --ignore-scripts "
                "to INSTALL and run it in BUILD",
            )
    return manager


def _test(found: Found, scripts: dict[str, str], run: Callable[[str], str]) -> None:
    name = next(
        (
            name
            for name in ("test", "test:unit", "unit")
            if name in scripts and "no test specified" not in scripts[name]
        ),
        "",
    )
    if not name:
        found.args["TEST"] = "echo 'no tests'"
    elif BROWSERS.search(scripts[name]):
        found.args["TEST"] = "echo 'no tests without a browser'"
        found.note(
            "Dockerfile",
            "ARG TEST=",
            f"TEST, what must pass: the script `{name}` wants a browser, which the builder does not have",
        )
    else:
        found.args["TEST"] = run(name)


def _environment(project: Project, found: Found) -> None:
    for name in project.files(".ts", ".tsx", ".js", ".jsx", ".vue", ".svelte", ".astro", under="src"):
        used = re.search(
            r"\b(?:import\.meta|process)\.env\.((?:VITE|VUE_APP|REACT_APP|NEXT_PUBLIC|PUBLIC)_\w+)", project.text(name)
        )
        if used:
            found.note(
                "Dockerfile",
                "BUILD=",
                f"{used[1]}, which {name} reads while the site is built: write it into "
                ".env.production, or before the command in BUILD",
            )
            return
