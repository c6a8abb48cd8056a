"""Does `msb adopt` bring an image to a service that is there, by its manifests, and lose nothing of its owner's?

The projects are small ones of our own, each of a shape that is met in the wild.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pexpect
import pytest
from conftest import IMAGES

from msb import adopt as adopting
from msb import project as projects
from msb import stacks
from msb.engine import Engine
from msb.errors import MsbError
from msb.stacks import ROOT

BIN = Path(sys.executable).parent
Files = dict[str, str]

SERVER = 'package main\n\nimport "net/http"\n\nfunc main() {\n\t_ = http.ListenAndServe(":9000", nil)\n}\n'
GO: Files = {"go.mod": "module github.com/acme/orders/v2\n\ngo 1.24\n", "cmd/api/main.go": SERVER}
FLASK: Files = {
    "requirements.txt": "flask==3.1.2\ngunicorn==23.0.0\n",
    "app.py": "from flask import Flask\n\napp = Flask(__name__)\napp.add_url_rule('/health', view_func=lambda: 'ok')\n",
}
FASTAPI = "from fastapi import FastAPI\n\napi = FastAPI()\n"
PYPROJECT = """
[project]
name = "orders"
version = "1"
requires-python = ">=3.12,<3.14"
dependencies = ["fastapi", "uvicorn>=0.30"]

[dependency-groups]
dev = ["pytest"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
POETRY = """
[tool.poetry]
name = "orders"
version = "1"
[tool.poetry.dependencies]
python = "^3.12"
flask = "^3"
waitress = "*"
[tool.poetry.group.dev.dependencies]
pytest = "*"
"""
MANAGE = 'import os\n\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
DJANGO: Files = {
    "requirements.txt": "-r base.in\ngunicorn==23.0.0\n", "base.in": "Django==5.2.8\n", "manage.py": MANAGE,
    "shop/settings.py": "", "shop/urls.py": 'urlpatterns = [path("healthz/", health)]\n', "templates/page.html": "",
}  # fmt: skip


def site(packages: list[str], scripts: Files, **more: object) -> str:
    return json.dumps({"name": "@acme/shop", "scripts": scripts, "dependencies": dict.fromkeys(packages, "1")} | more)


VITE = site(["vite", "vue"], {"build": "vite build", "test": "vitest"})
LOCK = json.dumps({"name": "shop", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "shop"}}})


def pom(boot: str = "3.5.8", java: str = "21", more: str = "") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.springframework.boot</groupId>
    <artifactId>spring-boot-starter-parent</artifactId>
    <version>{boot}</version>
    <relativePath/>
  </parent>
  <groupId>demo</groupId>
  <artifactId>ledger</artifactId>
  <version>1.2.3</version>
  {more}
  <properties><java.version>{java}</java.version></properties>
  <dependencies><dependency>
    <groupId>org.springframework.boot</groupId>
    <artifactId>spring-boot-starter-web</artifactId>
  </dependency></dependencies>
  <build><plugins><plugin>
    <groupId>org.springframework.boot</groupId>
    <artifactId>spring-boot-maven-plugin</artifactId>
  </plugin></plugins></build>
</project>
"""


APPLICATION = """package demo;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

@SpringBootApplication
public class Ledger {
    public static void main(String[] words) {
        SpringApplication.run(Ledger.class, words);
    }
}
"""


def module(name: str, dependencies: str, build: str = "") -> str:
    return f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent><groupId>demo</groupId><artifactId>ledger</artifactId><version>1.2.3</version></parent>
  <artifactId>{name}</artifactId>
  <dependencies>{dependencies}</dependencies>
  {build}
</project>
"""


SPRING = "<plugin><groupId>org.springframework.boot</groupId><artifactId>spring-boot-maven-plugin</artifactId></plugin>"
STARTER = "<groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-web</artifactId>"
CORE = "<groupId>demo</groupId><artifactId>core</artifactId><version>1.2.3</version>"
MODULES: Files = {
    "pom.xml": """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <parent>
    <groupId>org.springframework.boot</groupId><artifactId>spring-boot-starter-parent</artifactId>
    <version>3.5.8</version><relativePath/>
  </parent>
  <groupId>demo</groupId><artifactId>ledger</artifactId><version>1.2.3</version>
  <packaging>pom</packaging>
  <modules><module>core</module><module>web</module></modules>
  <properties><java.version>21</java.version></properties>
</project>
""",
    "core/pom.xml": module("core", ""),
    "core/src/main/java/demo/core/Core.java": """package demo.core;

public class Core {
    public static String name() {
        return "core";
    }
}
""",
    "web/pom.xml": module(
        "web",
        f"<dependency>{CORE}</dependency><dependency>{STARTER}</dependency>",
        f"<build><plugins>{SPRING}</plugins></build>",
    ),
    "web/src/main/java/demo/Ledger.java": APPLICATION.replace(
        "SpringApplication.run", "System.out.println(demo.core.Core.name());\n        SpringApplication.run"
    ),
    "web/src/main/resources/application.properties": "server.port=${PORT:8081}\n",
}
JVM: Files = {"pom.xml": pom(), "src/main/java/demo/Ledger.java": APPLICATION}

# What is found: the shape's files, what of the Dockerfile's ARGs and of the answers must be so.
SHAPES: dict[str, tuple[Files, Files]] = {
    "go, one command": (GO, {"MAIN": "./cmd/api", "port": "9000", "project_slug": "orders", "TEST": "echo 'no tests'"}),
    "go, at the root": ({"go.mod": "module orders\n", "main.go": SERVER}, {"MAIN": ".", "project_slug": "orders"}),
    "go, the command called like the module": (
        GO | {"cmd/orders/main.go": SERVER, "cmd/worker/main.go": SERVER}, {"MAIN": "./cmd/orders"}
    ),
    "go, tests": (GO | {"cmd/api/a_test.go": "package main\n"}, {"TEST": "go test -race ./..."}),
    "go, cgo as an option": (
        GO | {"fast.go": '//go:build cgo\n\npackage orders\n\nimport "C"\n'}, {"MAIN": "./cmd/api"}
    ),
    "python, plain requirements": (
        FLASK,
        {
            "SERVICE": "gunicorn app:app --bind 0.0.0.0:$PORT --worker-tmp-dir /tmp", "PROBE": "/health",
            "SOURCE": "./app.py", "PACKAGES": "uv pip install -r requirements.txt", "python_version": "3.14",
        },
    ),
    "python, locked requirements": (
        FLASK | {"requirements.txt": "flask==3.1.2 \\\n    --hash=sha256:00\n"},
        {
            "PACKAGES": "uv pip sync --require-hashes requirements.txt",
            "SERVICE": "flask --app app:app run --host 0.0.0.0 --port $PORT",
        },
    ),
    "python, an application factory": (
        {"requirements.txt": "flask\ngunicorn\n", "blog/__init__.py": "def create_app(test=None):\n    pass\n"},
        {"SERVICE": "gunicorn blog:create_app() --bind 0.0.0.0:$PORT --worker-tmp-dir /tmp", "PROBE": ""},
    ),
    "python, uv.lock and src layout": (
        {"pyproject.toml": PYPROJECT, "uv.lock": "version = 1\n", "src/orders/web.py": FASTAPI, "tests/test_a.py": ""},
        {
            "SERVICE": "uvicorn orders.web:api --host 0.0.0.0 --port $PORT", "SOURCE": "src/.", "TEST": "pytest -q",
            "PACKAGES": "uv sync --active --frozen --no-install-project --no-default-groups", "python_version": "3.13",
        },
    ),
    "python, poetry.lock": (
        {
            "pyproject.toml": POETRY, "poetry.lock": "# This file is automatically @generated by Poetry 2.1.3 and\n",
            "orders/app.py": "from flask import Flask\n\nserver = Flask(__name__)\n",
        },
        {
            "SERVICE": "waitress-serve --host 0.0.0.0 --port $PORT orders.app:server", "SOURCE": "./orders",
            "PACKAGES": "uvx --with poetry-plugin-export poetry@2.1.3 export --output /tmp/lock.txt"
            " && uv pip sync --require-hashes /tmp/lock.txt",
        },
    ),
    "python, Django": (
        DJANGO,
        {
            "SERVICE": "gunicorn shop.wsgi --bind 0.0.0.0:$PORT --worker-tmp-dir /tmp", "PROBE": "/healthz/",
            "SOURCE": "./manage.py ./shop ./templates",
        },
    ),
    "python, a script of its own": (
        {
            "pyproject.toml": '[project]\nname = "x"\ndependencies = []\nscripts = {x = "x.cli:main"}\n',
            "x/cli.py": "def main(): ...\n", ".python-version": "3.13.2\n",
        },
        {"SERVICE": "x.cli:main", "PACKAGES": "uv pip install -r pyproject.toml", "python_version": "3.13"},
    ),
    "node, npm and Vite": (
        {"package.json": VITE, "package-lock.json": LOCK, "vite.config.ts": "export default { outDir: './www' }"},
        {
            "INSTALL": "npm ci --no-audit --no-fund", "BUILD": "npm run build", "OUTPUT": "www",
            "TEST": "npm run test", "project_slug": "shop", "__hashed": "/assets/",
        },
    ),
    "node, pnpm": (
        {"package.json": VITE, "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"},
        {"INSTALL": "npm install --global pnpm@10 && pnpm install --frozen-lockfile", "TEST": "pnpm run test"},
    ),
    "node, pnpm as packageManager names it": (
        {
            "package.json": site(["vite"], {"build": "vite build"}, packageManager="pnpm@9.15.1+sha512.0a"),
            "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
        },
        {"INSTALL": "npm install --global pnpm@9.15.1 && pnpm install --frozen-lockfile"},
    ),
    "node, yarn 1 and Vue CLI": (
        {
            "package.json": site(["@vue/cli-service", "cypress"], {"build": "vue", "test:unit": "jest"}),
            "yarn.lock": "# yarn lockfile v1\n",
        },
        {
            "INSTALL": "export CYPRESS_INSTALL_BINARY=0 && npm install --global --force yarn@1.22.22"
            " && yarn install --frozen-lockfile",
            "OUTPUT": "dist", "__hashed": "/js/", "TEST": "yarn run test:unit",
        },
    ),
    "node, yarn 4 and Astro": (
        {
            "package.json": site(["astro"], {"build": "astro build"}, packageManager="yarn@4.12.0"),
            "yarn.lock": "__metadata:\n  version: 8\n", ".yarnrc.yml": "nodeLinker: node-modules\n",
        },
        {
            "INSTALL": "npm install --global --force @yarnpkg/cli-dist@4.12.0 && yarn install --immutable",
            "OUTPUT": "dist", "__hashed": "/_astro/", "_fallback": '""',
        },
    ),
    "node, npm workspaces": (
        {
            "package.json": json.dumps({"name": "acme", "private": True, "workspaces": ["apps/*", "packages/*"]}),
            "package-lock.json": LOCK,
            "apps/web/package.json": site(["vite", "@acme/ui"], {"build": "vite build", "test": "vitest run"}),
            "apps/api/package.json": site(["express"], {"build": "tsc"}, name="@acme/api"),
            "packages/ui/package.json": site(["@acme/tokens"], {"build": "tsc"}, name="@acme/ui"),
            "packages/tokens/package.json": site([], {"build": "tsc"}, name="@acme/tokens"),
        },
        {
            "BUILD": "npm run build --workspace packages/tokens && npm run build --workspace packages/ui"
            " && npm run build --workspace apps/web",
            "TEST": "npm run test --workspace apps/web", "OUTPUT": "apps/web/dist", "project_slug": "shop",
        },
    ),
    "node, pnpm workspaces": (
        {
            "package.json": '{"name": "acme"}', "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
            "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n", "apps/web/package.json": VITE,
        },
        {"BUILD": "pnpm --filter @acme/shop run build", "OUTPUT": "apps/web/dist"},
    ),
    "node, bun": (
        {"package.json": VITE, "bun.lock": "{}"},
        {"INSTALL": "npm install --global bun@1 && bun install --frozen-lockfile", "BUILD": "bun run build"},
    ),
    "node, Angular": (
        {
            "package.json": site(["@angular/core"], {"build": "ng build", "test": "ng test"}),
            "package-lock.json": LOCK,
            "angular.json": '{"projects": {"shop": {"architect": {"build": {"builder": "@angular:application"}}}}}',
        },
        {"OUTPUT": "dist/shop/browser", "TEST": "echo 'no tests without a browser'"},
    ),
    "node, SvelteKit": (
        {
            "package.json": site(["@sveltejs/kit", "@sveltejs/adapter-static", "vite"], {"build": "vite build"}),
            "package-lock.json": LOCK, "svelte.config.js": "adapter({ fallback: '200.html' })",
        },
        {"OUTPUT": "build", "__hashed": "/_app/immutable/", "_fallback": "/200.html"},
    ),
    "node, Next export": (
        {
            "package.json": site(["next"], {"build": "next build"}), "package-lock.json": LOCK,
            "next.config.mjs": "export default { output: 'export' };",
        },
        {"OUTPUT": "out", "framework": "next"},
    ),
    "jvm, Boot 3.5 on Java 21": (JVM, {"TEST": "echo 'no tests'", "language": "java", "__port": "8080"}),
    "jvm, Boot 4 on Java 25, with tests, the wrapper and a port": (
        JVM | {
            "pom.xml": pom("4.0.1", "25"), "mvnw": "", "src/test/java/demo/LedgerTests.java": "package demo;\n",
            "src/main/resources/application.yaml": "spring:\n  a: b\nserver:\n  address: x\n  port: ${PORT:9090}\n",
        },
        {"TEST": "mvn --offline test -Djvm=/jre/opt/java/bin/java", "__port": "9090"},
    ),
    "jvm, several modules": (
        MODULES,
        {
            "BUILD": "mvn --offline package --projects web --also-make -Dmaven.test.skip=true",
            "JAR": "web/target/*.jar", "__port": "8081", "project_name": "web",
        },
    ),
}  # fmt: skip
UNPROBED = {stack.name for stack in stacks.load().stacks.values() if stack.service.unprobed}
WHOLE = {"Go": GO, "JVM": MODULES, "Site": {
    "package.json": site([], {"build": "mkdir dist && cp index.html dist"}, dependencies={}), "package-lock.json": LOCK,
    "index.html": "<!doctype html><title>Shop</title>\n",
}, "Python": FLASK}  # fmt: skip
"""A service of each stack that adopt reads, and that can be built."""


def write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(found: adopting.Found) -> str:
    return "\n".join(f"{note.file}: {note.text}" for note in found.notes)


@pytest.fixture(scope="module", params=list(WHOLE))
def adopted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service of each stack, with what adopt brings to it."""
    folder = write(tmp_path_factory.mktemp("adopted") / "service", WHOLE[request.param])
    adopting.adopt(folder)
    return folder


# --- what is found ---


@pytest.mark.parametrize("shape", SHAPES)
def test_the_manifests_say_what_the_dockerfile_has_to_know(shape: str, tmp_path: Path) -> None:
    files, wanted = SHAPES[shape]
    found = adopting.detect(write(tmp_path, files))
    assert found.stack.startswith(shape.partition(",")[0])
    assert {name: (found.args | found.answers).get(name) for name in wanted} == wanted


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_found_stands_in_the_block_at_the_top_and_nowhere_else(shape: str, tmp_path: Path) -> None:
    """Against the template's own text, for Cookiecutter changes nothing in those lines."""
    found = adopting.detect(write(tmp_path, SHAPES[shape][0]))
    path = ROOT / "templates" / found.stack / "{{cookiecutter.__folder}}" / "Dockerfile"
    template = path.read_text(encoding="utf-8")
    text = adopting.dockerfile_of(found, template)
    before, after = (set(lines.splitlines()) for lines in (template, text))
    probing = r"|    (CGO_ENABLED=0 |go build )|    sh .* /app/probe$|HEALTHCHECK "
    places = r"ARG |(RUN |    )--mount=type=bind,source=" + probing * (found.probe is not None)
    assert all(re.match(places, line) for line in after - before)
    for value in found.args.values():
        assert re.sub(r'([\\"$])', r"\\\1", value) in text


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({}, "has no manifest that msb knows"),
        ({"go.mod": "module orders\n", "a.go": "package orders\n"}, "go.mod: the module has no command"),
        ({"go.mod": "module orders\ngo 1.99\n", "a.go": SERVER}, "go.mod: go 1.99 is newer than the builder's 1.27"),
        (GO | {"c.go": 'package orders\n\nimport "C"\n'}, 'c.go:3: import "C" needs cgo'),
        (
            GO | {"go.mod": "module x\n\nrequire github.com/mattn/go-sqlite3 v1.14.0\n"},
            "go.mod:3: github.com/mattn/go-sqlite3 needs cgo, and the image has no C library: use modernc.org/sqlite",
        ),
        (GO | {"go.mod": "module x\nreplace y => ../y\n"}, "go.mod: replace => ../y is outside of the folder"),
        ({"pom.xml": "<project"}, "pom.xml: is not XML"),
        ({"pom.xml": pom(more="<packaging>war</packaging>")}, "pom.xml:13: packaging is war"),
        (
            MODULES | {"web/pom.xml": module("web", "")},
            "name the one that serves, for example msb adopt --module core (there are core, web)",
        ),
        (
            {"pom.xml": pom(more="<modules><module>a</module></modules>")},
            "pom.xml:13: the module a/pom.xml is not in this folder",
        ),
        ({"pom.xml": pom("2.7.18")}, "pom.xml: Spring Boot 2.7.18 is older than 3.3"),
        ({"pom.xml": "<project/>"}, "pom.xml: is no Spring Boot service"),
        ({"build.gradle.kts": ""}, "build.gradle.kts: builds with Gradle"),
        ({"package.json": "{"}, "package.json: is not JSON"),
        ({"package.json": site(["express"], {"build": "tsc"})}, "package.json: express serves by itself"),
        (
            {"package.json": '{"workspaces": ["*"]}', "a/package.json": VITE, "b/package.json": VITE},
            "package.json: 2 workspaces are sites: name one, for example msb adopt --module a (there are a, b)",
        ),
        ({"package.json": site(["next"], {"build": "next build"})}, "Next.js serves by itself without output"),
        ({"package.json": site(["vite"], {})}, "package.json: has no script `build`"),
        ({"pyproject.toml": "["}, "pyproject.toml: is not TOML"),
        ({"pyproject.toml": PYPROJECT.replace("3.14", "3.13")}, "'>=3.12,<3.13' admits neither 3.14 nor 3.13"),
        ({"pyproject.toml": "[tool.ruff]\n"}, "pyproject.toml: names no dependencies"),
    ],
)  # fmt: skip
def test_what_no_template_fits_is_refused_in_one_line_and_nothing_is_written(
    files: Files, line: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "service", files)
    folder.mkdir(exist_ok=True)
    before = snapshot(folder)
    with pytest.raises(MsbError) as error:
        adopting.adopt(folder)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (GO | {"cmd/cron/main.go": SERVER}, "Dockerfile: MAIN, the command that serves: also there: ./cmd/cron"),
        (GO | {"cmd/api/main.go": SERVER.replace('":9000"', 'os.Getenv("HTTP_ADDR")')}, "reads it from HTTP_ADDR"),
        (GO | {"web.go": "package orders\n\n//go:embed dist/app\nvar f embed.FS\n"}, "web.go: embeds dist/app, which"),
        (FLASK | {"requirements.txt": "flask\npytest==8\n"}, "requirements.txt: pytest is a developer's tool"),
        (FLASK | {"requirements.txt": "flask\n"}, "requirements.txt: flask has no fixed version"),
        (FLASK | {"requirements.txt": "flask==3.1.2\n"}, "the server is the framework's, for development"),
        (FLASK | {"tests/test_app.py": "def test(): ...\n"}, "TEST, what must pass: tests/test_app.py is there"),
        ({"package.json": VITE}, "package.json: no lock file"),
        ({"package.json": VITE, ".nvmrc": "v18\n"}, "Dockerfile: Node 18 is what the project names"),
        ({"package.json": VITE, "src/a.ts": "const u = import.meta.env.VITE_API;\n"}, "VITE_API, which src/a.ts reads"),
        ({"package.json": site(["vite"], {"build": "x", "postinstall": "node y.js"})}, "postinstall runs in deps"),
        (JVM, "pom.xml: compiled for Java 21, and run on Java 25"),
        (
            {"pom.xml": pom().replace("</plugins>", "<plugin><artifactId>checks</artifactId></plugin></plugins>")},
            "pom.xml: checks also runs in deps",
        ),
        (
            FLASK | {"requirements.txt": "flask>3\n", "requirements-dev.txt": "pytest==8.4.2\n"},
            "requirements.txt: flask>3 has no fixed version",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_told_with_the_place_to_say_it(files: Files, line: str, tmp_path: Path) -> None:
    assert line in told(adopting.detect(write(tmp_path, files)))


@pytest.mark.parametrize(
    ("files", "module", "line"),
    [
        (MODULES, "core", "core/pom.xml: lacks spring-boot-maven-plugin"),
        (MODULES, "api", "api: is no module of pom.xml: name one of core, web"),
        ({"package.json": VITE}, "web", "web: is no workspace of package.json: name one of none"),
        (GO, "cmd", "cmd: go.mod has no modules to choose from"),
    ],
)
def test_a_module_that_cannot_serve_is_refused_by_its_name(
    files: Files, module: str, line: str, tmp_path: Path
) -> None:
    with pytest.raises(MsbError, match=re.escape(line)):
        adopting.detect(write(tmp_path, files), module)


def test_the_owner_names_the_module_on_the_command_line(tmp_path: Path) -> None:
    files = {"package.json": '{"workspaces": ["*"]}', "a/package.json": VITE, "b/package.json": VITE}
    folder = write(tmp_path, files)
    command = [sys.executable, "-m", "msb", "adopt", str(folder), "--module", "b"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert " OUTPUT=b/dist" in (folder / "Dockerfile").read_text()


def test_the_place_is_a_file_and_the_line_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, GO | {"cmd/cron/main.go": SERVER})
    adopting.adopt(folder)
    (place,) = (line.split()[0] for line in capsys.readouterr().out.splitlines() if "also there" in line)
    name, number, _ = place.split(":")
    assert (folder / name).read_text().splitlines()[int(number) - 1].startswith("ARG MAIN=./cmd/api ")


def test_a_name_that_cookiecutter_would_run_is_text(tmp_path: Path) -> None:
    answer = "{{ 7*7 }} {% raw %}"
    folder = write(tmp_path, {"package.json": site(["vite"], {"build": "vite build"}, description=answer)})
    adopting.adopt(folder)
    assert 'description="7*7 % raw %"' in (folder / "Dockerfile").read_text()


def test_the_git_remote_says_where_the_source_and_the_image_are(tmp_path: Path) -> None:
    remote = '[remote "origin"]\n\turl = git@github.com:Acme/Shop.git\n'
    found = adopting.detect(write(tmp_path, FLASK | {".git/config": remote}))
    assert found.answers["__source"] == "https://github.com/acme/shop"
    assert found.answers["image_repository"] == "ghcr.io/acme/shop"


# --- what is written ---


def test_only_container_files_come_and_the_linters_have_nothing_to_say(adopted: Path) -> None:
    came = {path for path in snapshot(adopted) if "/" not in path or path.startswith((".", "docker/", "nginx/"))}
    assert {"Dockerfile", "compose.yaml", "docker-bake.hcl", ".dockerignore", ".github/workflows/ci.yml"} <= came
    assert not any(path.startswith(("internal/", "src/app/", "src/config", "README", "LICENSE")) for path in came)
    lint = subprocess.run([BIN / "hadolint", "--no-color", adopted / "Dockerfile"], capture_output=True, text=True)
    assert (lint.returncode, lint.stdout) == (0, "")
    command = [BIN / "go", "-C", ROOT / "tools/lint", "tool", "lint", adopted / "Dockerfile"]
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
    lint = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stderr
    assert all((adopted / "docker" / name).stat().st_mode & 0o111 for name in ("bundle", "verify"))


def test_a_second_run_changes_nothing(adopted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(adopted)
    capsys.readouterr()
    adopting.adopt(adopted, confirm=lambda question: pytest.fail(question))
    printed = capsys.readouterr().out
    assert "every file is there already" in printed
    assert "also there" not in printed
    assert snapshot(adopted) == before


def test_a_file_of_the_owners_stays_until_the_owner_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"Dockerfile": "FROM scratch\n", ".github/workflows/ci.yml": "name: mine\n"}
    folder = write(tmp_path, GO | own)
    adopting.adopt(folder)  # nobody to ask
    printed = capsys.readouterr().out
    assert "kept   Dockerfile\n" in printed
    assert "\n-FROM scratch\n" in printed
    assert "\n+FROM gcr.io/distroless/static-debian13:nonroot AS candidate\n" in printed
    asked: list[str] = []
    adopting.adopt(folder, confirm=lambda question: bool(asked.append(question)))
    assert asked == ["Replace .github/workflows/ci.yml with that?", "Replace Dockerfile with that?"]
    assert all((folder / name).read_text() == text for name, text in own.items())
    adopting.adopt(folder, confirm=lambda question: "Dockerfile" in question)
    assert (folder / "Dockerfile").read_text().startswith("# deps -> build")
    assert (folder / ".github/workflows/ci.yml").read_text() == "name: mine\n"


def test_on_a_terminal_it_asks_and_no_is_the_default(tmp_path: Path) -> None:
    folder = write(tmp_path, GO | {"Dockerfile": "FROM scratch\n"})
    command = pexpect.spawn(sys.executable, ["-m", "msb", "adopt", str(folder)], cwd=str(ROOT), timeout=60)
    command.expect(re.escape("Replace Dockerfile with that? [y/N]: "))
    command.sendline("")
    command.expect(pexpect.EOF)
    command.close()
    assert command.exitstatus == 0
    assert (folder / "Dockerfile").read_text() == "FROM scratch\n"
    assert (folder / "docker" / "verify").is_file()


def test_a_dry_run_shows_every_file_and_writes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, GO | {"Dockerfile": "FROM scratch\n"})
    before = snapshot(folder)
    adopting.adopt(folder, dry_run=True, confirm=lambda question: pytest.fail(question))
    assert snapshot(folder) == before
    printed = capsys.readouterr().out
    assert {"--- yours/Dockerfile", "--- /dev/null", "+++ adopted/docker/verify"} <= set(printed.splitlines())


def test_no_compose_file_comes_in_the_place_of_the_owners(tmp_path: Path) -> None:
    folder = write(tmp_path, GO | {"docker-compose.yml": "services: {}\n"})
    adopting.adopt(folder)
    assert not (folder / "compose.yaml").exists()


def test_a_file_in_the_way_of_a_folder_is_named_in_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path, GO | {"docker": "notes\n"})
    with pytest.raises(MsbError, match=r"docker: is in the way of docker/bundle: move it"):
        adopting.adopt(folder)
    assert (folder / "docker").read_text() == "notes\n"


@pytest.mark.slow
def test_the_wheel_adopts_without_a_checkout(tmp_path: Path) -> None:
    build = [BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT]
    subprocess.run(build, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    folder = write(tmp_path / "service", GO)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-P", "-m", "msb", "adopt", str(folder)]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "ARG MAIN=./cmd/api " in (folder / "Dockerfile").read_text()


# --- what is built ---


@pytest.mark.parametrize("service", WHOLE)
def test_an_adopted_service_builds_serves_and_keeps_the_contract(engine: Engine, service: str, tmp_path: Path) -> None:
    """As the workflow that came with it asks."""
    folder = write(tmp_path / "service", WHOLE[service])
    adopting.adopt(folder)
    stack, tag = adopting.detect(folder).stack, f"{IMAGES}/adopted:{service.lower()}"
    projects.build(engine, folder, tag=tag)
    command = [sys.executable, "-m", "msb", "contract", tag, "--stack", stack, "--skip", "MSB501"]
    command += ["--waivers", str(folder / "docker" / "contract.txt")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    safe = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    container = engine.run("run", "--detach", "--publish-all", *safe, tag).stdout.strip()
    try:
        port = engine.run("port", container).stdout.split()[-1].rpartition(":")[2]
        assert answers(port), engine.run("logs", container, check=False)
        assert settled(engine, container) == ("running" if stack in UNPROBED else "healthy")
    finally:
        engine.run("rm", "--force", container)


def answers(port: str) -> bool:
    """Whether something speaks HTTP on this port within a minute of its start."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.2)
        else:
            return True
    return False


def settled(engine: Engine, container: str) -> str:
    """A container's health after its start, or its state where it has no health check."""
    state = "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}"
    end = time.monotonic() + 60
    while (now := engine.run("inspect", "--format", state, container).stdout.strip()) == "starting":
        assert time.monotonic() < end, "neither healthy nor unhealthy"
        time.sleep(0.2)
    return now


# --- what the Python stack's SERVICE and PROBE may be ---


class Health(BaseHTTPRequestHandler):
    """Healthy at /health, and nowhere else."""

    def do_GET(self) -> None:  # noqa: D102
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:  # noqa: D102
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """The port of a service that is healthy at /health."""
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def started(folder: Path, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What docker/wheels makes of SERVICE and PROBE, run."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    wheels = ROOT / "templates" / "python" / "{{cookiecutter.__folder}}" / "docker" / "wheels"
    declared = {
        "SERVICE": "python -m app",
        "PROBE": "",
        "COMMANDS": "",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    } | variables
    environment = os.environ | declared
    made = subprocess.run([venv / "bin/python", wheels], env=environment, capture_output=True, text=True)
    if made.returncode:
        return made
    run = [venv / "bin/python", venv / "bin" / program]
    return subprocess.run(run, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("probe", "says"), [("/health", ""), ("", ""), ("/other", "unhealthy: HTTP/1.0 404 Not Found\n")]
)
def test_a_probe_is_a_path_or_just_a_connection(port: str, probe: str, says: str, tmp_path: Path) -> None:
    result = started(tmp_path, "probe", PROBE=probe, PORT=port)
    assert (result.returncode, result.stderr) == (int(bool(says)), says)


@pytest.mark.parametrize("probe", ["/health", ""])
def test_a_probe_of_a_service_that_is_not_there_fails_in_one_line(probe: str, tmp_path: Path) -> None:
    result = started(tmp_path, "probe", PROBE=probe, PORT="1")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("unhealthy: ")


def test_a_service_is_a_function_with_arguments_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path, {"shop/cli.py": "import sys\n\ndef main():\n    print(sys.argv[1:])\n    return 3\n"})
    result = started(tmp_path, "serve", SERVICE="shop.cli:main --port $PORT", PORT="9000")
    assert (result.returncode, result.stdout, result.stderr) == (3, "['--port', '9000']\n", "")


def test_an_empty_service_is_refused_with_an_example(tmp_path: Path) -> None:
    result = started(tmp_path, "serve", SERVICE="")
    assert (result.returncode, result.stderr) == (
        1, "commands: SERVICE is empty: name in the Dockerfile what serves, for example python -m app\n"
    )  # fmt: skip
