"""Does each recipe, followed to the letter in a fresh project, give what it says?"""

import base64
import io
import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from conftest import bake
from pytest_cookies.plugin import Cookies
from test_commands import NO_COMMAND, RUN, SHOWN, Terminal, blocks, commands, on_this_network

from msb import bases, stacks
from msb import project as projects
from msb.engine import Engine
from msb.image import Image
from msb.stacks import ROOT

STACKS = stacks.load().stacks
RECIPES = sorted((ROOT / "docs" / "recipes").glob("*.md"))
FILE = re.compile(r"\w+ (\S+)")
"""A fenced block with a path after its language is that file; `diff` is a change, and the rest is as in a README."""


def stack_of(recipe: Path) -> str:
    """The stack that a recipe's name begins with, or "" for one that fits all."""
    return next((name for name in STACKS if recipe.stem.startswith(f"{name}-")), "")


def images(recipe: Path) -> set[str]:
    """The images that a recipe starts beside the service."""
    return set(re.findall(r"^ +image: (\S+)$", recipe.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture(params=[recipe for recipe in RECIPES if stack_of(recipe)], ids=lambda path: path.stem)
def recipe(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def folder(engine: Engine, own_names: None, recipe: Path, tmp_path: Path) -> Iterator[Path]:
    """A fresh project of the recipe's stack; what the recipe makes is removed."""
    others = images(recipe) - set(bases._TARGETS)
    bases.ensure(engine, sorted(images(recipe) - others))
    for image in others:  # the API of another team: the Go stack's service
        projects.build(engine, projects.render(STACKS["go"], {}, tmp_path / "other"), tag=image)
    folder = projects.render(STACKS[stack_of(recipe)], {}, tmp_path)
    yield folder
    engine.run("image", "rm", "--force", *others, check=False)
    engine.run("compose", "--project-directory", str(folder), "--profile", "*", "down", "--volumes", check=False)
    left = engine.run("image", "ls", "--filter", f"reference={folder.name}*", "--format", "{{.Repository}}:{{.Tag}}")
    engine.run("image", "rm", "--force", *left.stdout.split(), check=False)


def follow(text: str, folder: Path, terminal: Terminal) -> None:
    """Do what a page says, in order."""
    for info, block in blocks(text):
        if info in NO_COMMAND:
            continue
        if info in (RUN, SHOWN):
            for command in commands(f"```{info}\n{block}```"):
                terminal.run(on_this_network(command))
        elif info == "diff":
            applied = subprocess.run(["git", "apply", "-"], cwd=folder, input=block, text=True, capture_output=True)
            assert applied.returncode == 0, f"{applied.stderr}{block}"
        else:
            file = FILE.fullmatch(info)
            assert file, f"```{info}: neither a command nor a file"
            path = folder / file[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, encoding="utf-8")


# --- a module proxy that demands a token ---

TOKEN = secrets.token_hex(16)
MODULE, VERSION = "acme.example/greeting", "v1.0.0"
MARK = "a private greeting"


@dataclass(frozen=True)
class ModuleProxy:
    """What a shell knows of a Go module proxy, its certificate in PEM, and the paths that it served."""

    variables: dict[str, str]
    certificate: bytes
    served: list[str]


@pytest.fixture(scope="module")
def module_proxy(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleProxy]:
    """One that has a single module, on the bridge's address, where the steps of a build reach it."""
    (bridge,) = json.loads(engine.run("network", "inspect", "bridge").stdout)
    address = bridge["IPAM"]["Config"][0]["Gateway"]
    folder = tmp_path_factory.mktemp("proxy")
    certificate, key = folder / "proxy.crt", folder / "proxy.key"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    make += ["-days", "1", "-subj", "/CN=proxy", "-addext", f"subjectAltName=IP:{address}"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(f"{MODULE}@{VERSION}/go.mod", f"module {MODULE}\n")
        source = f'package greeting\n\nimport "os"\n\nfunc init() {{ _ = os.Setenv("GREETING", "{MARK}") }}\n'
        files.writestr(f"{MODULE}@{VERSION}/greeting.go", source)
    answers = {
        f"/{MODULE}/@v/list": f"{VERSION}\n".encode(),
        f"/{MODULE}/@v/{VERSION}.info": json.dumps({"Version": VERSION}).encode(),
        f"/{MODULE}/@v/{VERSION}.mod": f"module {MODULE}\n".encode(),
        f"/{MODULE}/@v/{VERSION}.zip": archive.getvalue(),
    }
    credentials = "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()
    served: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == credentials
            body = answers.get(self.path, b"") if known else b""
            self.send_response(200 if body else 404 if known else 401)
            self.end_headers()
            self.wfile.write(body)
            served.extend([self.path] * bool(body))

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer((address, 0), Answer) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        variables = {
            "GOPROXY": f"https://{address}:{server.server_port}",
            "GONOSUMDB": "acme.example",
            "NETRC_TEXT": f"machine {address}:{server.server_port} login me password {TOKEN}",
        }
        yield ModuleProxy(variables, certificate.read_bytes(), served)
        server.shutdown()


def assert_no_token(engine: Engine, image: str, folder: Path, proxy: ModuleProxy) -> None:
    """The image has the module, and neither it, nor a stage of its build, nor the project has the token."""
    secret = folder.parent / "token"
    secret.write_text(TOKEN)
    asked = [sys.executable, "-m", "msb", "contract", image, "--only", "MSB402", "--secret", str(secret)]
    result = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    saved = folder.parent / "image.tar"
    engine.run("save", "--output", str(saved), image)
    assert TOKEN.encode() not in saved.read_bytes()
    with Image(engine, image) as opened:
        binary = next(entry for entry in opened.tree if entry.path == "app/server")
        assert opened.tree.search(binary, re.compile(MARK.encode()))
    assert not [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    with (folder / "Dockerfile").open("a") as dockerfile:
        dockerfile.write(f"\nFROM build AS search\nRUN ! grep -rlsF {TOKEN} / --exclude-dir=proc --exclude-dir=sys\n")
    options = (f"--build-arg=GOPROXY={proxy.variables['GOPROXY']}", "--output=type=cacheonly")
    projects.build(engine, folder, target="search", options=options, secret=folder / "ca.pem")  # the rest is cached


def test_a_recipe_gives_what_it_says(engine: Engine, recipe: Path, folder: Path, module_proxy: ModuleProxy) -> None:
    (folder / "ca.pem").write_bytes(projects.roots() + module_proxy.certificate)
    terminal = Terminal(engine.command[0], folder, "", CA_CERTIFICATES="ca.pem", **module_proxy.variables)
    follow(recipe.read_text(encoding="utf-8"), folder, terminal)
    if recipe.stem == "go-private-modules":
        assert module_proxy.served
        image = f"ghcr.io/example/{folder.name}:0.0.0-dev"
        assert_no_token(engine, image, folder, module_proxy)
        engine.run("image", "rm", "--force", image)


# --- Kubernetes: no cluster here; the API's own types and the policy that it enforces read the manifests ---

KUBERNETES = ROOT / "docs" / "recipes" / "kubernetes.md"


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of tools/kubernetes, compiled."""
    program = tmp_path_factory.mktemp("tools") / "restricted"
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": ""}
    go = [Path(sys.executable).parent / "go", "-C", ROOT / "tools/kubernetes", "build", "-o", program, "."]
    subprocess.run(go, env=environment, check=True)
    return program


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "instead", "says"),
    [
        ("", "", ""),
        (
            "readOnlyRootFilesystem",
            "readonlyRootFilesystem",
            'unknown field "spec.template.spec.containers[0].security',
        ),
        ("drop: [ALL]", "drop: [CHOWN]", "unrestricted capabilities"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot != true"),
        ("minAvailable: 1", "minAvailable: 1\n  minavailable: 1", 'unknown field "spec.minavailable"'),
    ],
)
def test_the_manifests_are_of_the_api_and_meet_the_standard_restricted(
    restricted: Path, text: str, instead: str, says: str, tmp_path: Path
) -> None:
    ((_, manifests),) = blocks(KUBERNETES.read_text(encoding="utf-8"))
    file = tmp_path / "service.yaml"
    file.write_text(manifests.replace(text, instead) if text else manifests)
    result = subprocess.run([restricted, file], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (int(bool(says)), "")
    assert says in result.stdout
    assert len(result.stdout.splitlines()) == bool(says)


def test_the_manifests_ask_for_what_compose_gives(cookies: Cookies) -> None:
    ((_, manifests),) = blocks(KUBERNETES.read_text(encoding="utf-8"))
    deployment = next(yaml.safe_load_all(manifests))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    project = bake(cookies, STACKS["go"], {})
    service = yaml.safe_load((project / "compose.yaml").read_text())["services"]["service"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is service["read_only"] is True
    assert container["securityContext"]["capabilities"]["drop"] == service["cap_drop"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == service["tmpfs"]
    assert container["resources"]["limits"]["memory"].removesuffix("i").lower() == service["mem_limit"]
    assert container["image"] == f"ghcr.io/example/{project.name}:1.2.3"
    assert f":{container['ports'][0]['containerPort']}" in service["ports"][0]
