"""What package.json, the lock file and a framework's settings say of a site."""

import json
import re
from typing import Any

from msb.adopt.found import Found, Project
from msb.errors import MsbError

NODE = "26"
"""The builder's, in the template."""
SERVERS = {"express", "fastify", "koa", "@nestjs/core", "@hapi/hapi", "nuxt", "@remix-run/node"}
QUIET = {"cypress": "CYPRESS_INSTALL_BINARY=0", "puppeteer": "PUPPETEER_SKIP_DOWNLOAD=1"}
"""Packages that fetch a browser while they are installed, and what stops them."""
BROWSERS = re.compile(r"\b(cypress|playwright|karma|ng|nightwatch|wdio)\b")
PAGES = '""'
"""No page for unknown paths: each page of the site is a file."""


def read(project: Project) -> Found:
    """Read a site; raise MsbError where it is a server, or no folder of files comes out of its build."""
    try:
        package = json.loads(project.text("package.json"))
    except json.JSONDecodeError as error:
        raise MsbError(f"package.json: is not JSON: {error}") from error
    packages = {**package.get("devDependencies", {}), **package.get("dependencies", {})}
    found = Found("node-nginx")
    framework = _framework(project, found, package, packages)
    manager = _manager(project, found, package, packages)
    scripts = package.get("scripts", {})
    build = next((name for name in ("build", "build:prod", "generate") if name in scripts), "")
    if not build:
        raise MsbError('package.json: has no script `build`, for example "build": "vite build"')
    found.args["BUILD"] = f"{manager} run {build}"
    _test(found, manager, scripts)
    _environment(project, found)
    found.answers |= {
        "project_name": str(package.get("name", "")).rpartition("/")[2],
        "description": str(package.get("description", "")),
        "license": project.licence(str(package.get("license", ""))), "port": "8080",
        "framework": "next" if framework == "Next.js" else "react",
    }  # fmt: skip
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
        "what pages may load: from the site itself alone; name other hosts, or inline scripts and styles, here",
    )
    found.says = f"{framework} with {manager}: `{found.args['BUILD']}` makes {found.args['OUTPUT']}"
    return found


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


def _manager(project: Project, found: Found, package: dict[str, Any], packages: dict[str, Any]) -> str:
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
    members = package.get("workspaces", [])
    members = members.get("packages", []) if isinstance(members, dict) else members
    members = [
        *members,
        *re.findall(r"^\s*-\s*[\"']?([\w@*./-]+)", project.text("pnpm-workspace.yaml").partition("packages:")[2], re.M),
    ]
    inner = sorted(
        {
            path.relative_to(project.folder).as_posix()
            for one in members
            for path in project.folder.glob(f"{one.removeprefix('./')}/package.json")
            if "node_modules" not in path.parts
        }
    )
    if inner:
        found.note(
            "Dockerfile",
            "BUILD=",
            "a workspace: BUILD and OUTPUT are those of the folder above its members; name the member that is the site",
        )
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


def _test(found: Found, manager: str, scripts: dict[str, str]) -> None:
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
        found.args["TEST"] = f"{manager} run {name}"


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
