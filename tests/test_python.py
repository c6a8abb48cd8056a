"""Is the Python that ships whole? Asked of the image's own interpreter, and of projects as their owners grow them."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import IMAGES

from msb import project as projects
from msb import stacks
from msb.contract import Subject
from msb.contract.behaviour import STOP, stop_under_load
from msb.engine import Engine, Output
from msb.image import Image
from msb.stacks import ROOT, Matrix, Stack

pytestmark = pytest.mark.parametrize("stack", ["python"], indirect=True, scope="session")

Ask = Callable[..., Any]
UNCHECKED = 0b01  # PEP 552: a hash instead of a time, and never compared with the source
COMPILED = ("usr/local/lib/python3", "app/")

# Modules of the standard library that cannot be imported where the service runs: a pattern, and the reason.
ABSENT = {
    r"antigravity|this": "a joke: it opens a browser, or prints",
    r".*\b__main__": "a program, not a module",
    r"encodings\.(mbcs|oem)|_winapi|_overlapped|_wmi|msvcrt|nt|winreg|winsound": "Windows",
    r"asyncio\.windows_.*|multiprocessing\.popen_spawn_win32|_pyrepl\.windows_.*": "Windows",
    r"_ios_support|_scproxy|_osx_support": "Apple",
    r"curses.*|_curses.*|_pyrepl\..*|readline": "a terminal, which a service has not: left out",
    r"tkinter.*|_tkinter|turtle|turtledemo.*|idlelib.*": "a window, which a service has not: left out",
    r"dbm\.(gnu|ndbm)|_gdbm|_dbm": "libraries for one file format each: left out",
    r"ensurepip.*|venv.*|lib2to3.*|pydoc_data.*|test.*|_test.*|_?xx.*|__phello__.*": "for developers: left out",
}
# Modules of packages that want another package or system: a pattern, and what is missing.
OPTIONAL = {
    r"(fastapi|starlette)\.testclient": "httpx",
    r"(fastapi|starlette)\.templating": "jinja2",
    r"starlette\.middleware\.sessions": "itsdangerous",
    r"fastapi\.cli": "fastapi_cli",
    r"pydantic(\.v1)?\.mypy": "mypy",
    r"pydantic(\.v1)?\._hypothesis_plugin": "hypothesis",
    r"anyio\._backends\._trio": "trio",
    r"anyio\.pytest_plugin": "pytest",
    r"dotenv\.ipython": "IPython",
    r"click\._winconsole": "Windows",
    r"uvicorn\.loops\.zuvloop": "zuvloop",
    r"uvicorn\.protocols\.http\.h11_impl": "h11",
    r"uvicorn\.protocols\.http\.(auto_)?zttp(_h2)?_impl": "zttp",
    r"uvicorn\.protocols\.websockets\..*": "websockets or wsproto",
    r"uvicorn\.supervisors\.watchfilesreload": "watchfiles",
    r"uvicorn\.middleware\.wsgi": "a2wsgi",
    r"uvicorn\.workers": "gunicorn",
}

IMPORT_ALL = """
import contextlib, importlib, io, json, os, pkgutil, sys, warnings
warnings.simplefilter("ignore")
def names(folder, prefix=""):
    for entry in pkgutil.iter_modules([folder]):
        yield prefix + entry.name
        if entry.ispkg:
            yield from names(os.path.join(folder, entry.name), prefix + entry.name + ".")
skipped, imported, failed = json.loads(sys.argv[1]), [], {}
import re
for folder in sys.argv[2:]:
    for name in [*names(folder), *sys.builtin_module_names]:
        if any(re.fullmatch(pattern, name) for pattern in skipped):
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                importlib.import_module(name)
            imported.append(name)
        except BaseException as error:
            failed[name] = [type(error).__name__, getattr(error, "name", None) or "", str(error)]
print(json.dumps([imported, failed]))
"""


def arguments(*more: str) -> list[str]:
    """How the image is run in these tests: locked, as it should be deployed."""
    return ["run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", *more]  # noqa: S108


@pytest.fixture(scope="session")
def interpreter(engine: Engine, runtime: str) -> str:
    """The interpreter of the runtime image, as its entrypoint names it."""
    return json.loads(engine.run("image", "inspect", runtime).stdout)[0]["Config"]["Entrypoint"][0]


@pytest.fixture(scope="session")
def ask(engine: Engine, runtime: str, interpreter: str) -> Ask:
    """Run Python code in the runtime image, or another, and return what it prints as JSON."""

    def run(code: str, *words: str, options: tuple[str, ...] = (), image: str = runtime, timeout: int = 120) -> Any:
        command = [*arguments("--entrypoint", interpreter, *options), image, "-c", code, *words]
        return json.loads(engine.run(*command, timeout=timeout).stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session", params=[options.name for options in stacks.load().stack("python").option_sets])
def each(
    engine: Engine, stack: Stack, runtime: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> str:
    """The runtime image of each option set: one for each version of Python."""
    if request.param == "default":
        return runtime
    project = projects.render(stack, stack.option_set(request.param).answers, tmp_path_factory.mktemp("each"))
    tag = f"{IMAGES}/{stack.name}:each-{request.param}"
    projects.build(engine, project, tag=tag, options=projects.UNTESTED)
    return tag


# --- what ships ---


def test_every_module_of_the_standard_library_that_ships_imports(ask: Ask, each: str) -> None:
    library = ask("import json, sysconfig; print(json.dumps(sysconfig.get_path('stdlib')))", image=each)
    imported, failed = ask(IMPORT_ALL, json.dumps(list(ABSENT)), library, f"{library}/lib-dynload", image=each)
    assert failed == {}
    assert len(imported) > 400
    assert {
        "ssl",
        "sqlite3",
        "ctypes",
        "zoneinfo",
        "lzma",
        "decimal",
        "uuid",
        "hashlib",
        "xml.etree.ElementTree",
    } <= set(imported)


def test_every_module_of_every_installed_package_imports_but_for_what_wants_an_optional_package(
    ask: Ask, each: str
) -> None:
    site = ask("import json, sysconfig; print(json.dumps(sysconfig.get_path('purelib')))", image=each)
    imported, failed = ask(IMPORT_ALL, json.dumps([r".*\b__main__"]), site, "/app", image=each)
    assert {name: error for name, error in failed.items() if not re.fullmatch("|".join(OPTIONAL), name)} == {}
    assert {"fastapi", "pydantic", "pydantic_settings", "uvicorn", "uvloop", "httptools", "app.main"} <= set(imported)


def test_every_module_is_compiled_and_no_bytecode_depends_on_a_time(engine: Engine, each: str) -> None:
    with Image(engine, each) as image:
        tree = image.tree
        sources = [entry for entry in tree if entry.name.endswith(".py") and entry.path.startswith(COMPILED)]
        compiled = {entry.path: entry for entry in tree if entry.name.endswith(".pyc")}
        made = {re.sub(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$", r"\1.py", path) for path in compiled}
        assert len(sources) > 800
        assert [entry.path for entry in sources if entry.path not in made] == []
        flags = {path: int.from_bytes(tree.read(entry)[4:8], "little") for path, entry in compiled.items()}
    assert [path for path, flag in flags.items() if flag != UNCHECKED] == []


# --- what it can do ---


def test_the_roots_of_the_base_are_what_ssl_loads_by_default(ask: Ask) -> None:
    found, bundle, loaded = ask(
        "import json, ssl; paths = ssl.get_default_verify_paths(); text = open(paths.cafile).read()\n"
        "roots = ssl.create_default_context().get_ca_certs()\n"
        "print(json.dumps([paths.cafile, text.count('BEGIN CERTIFICATE'), len(roots)]))"
    )
    assert found == "/etc/ssl/certs/ca-certificates.crt"
    assert bundle == loaded > 100


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate and the key of a CA that certifies itself as localhost."""
    folder = tmp_path_factory.mktemp("tls")
    go = Path(sys.executable).parent / "go"
    root = subprocess.run([go, "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    command = [go, "run", f"{root}/src/crypto/tls/generate_cert.go", "-ca", "-ecdsa-curve=P256", "-host=localhost"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | {"GOFLAGS": ""})
    folder.chmod(0o755)  # the service's user reads it
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


TLS = """
import http.server, json, ssl, threading, urllib.error, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/cert.pem", "/tls/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    print(json.dumps(urllib.request.urlopen(f"https://localhost:{server.server_port}/", timeout=5).status))
except urllib.error.URLError as error:
    print(json.dumps(type(error.reason).__name__))
"""


def test_a_server_whose_ca_is_mounted_is_trusted_and_without_it_is_not(ask: Ask, certificate: Path) -> None:
    mounted = ("--volume", f"{certificate}:/tls:ro")
    assert ask(TLS, options=(*mounted, "--env", "SSL_CERT_FILE=/tls/cert.pem")) == 204
    assert ask(TLS, options=mounted) == "SSLCertVerificationError"


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        pytest.param(
            "import sqlite3; c = sqlite3.connect('/tmp/x.db'); c.execute('create table t(a)')\n"
            "c.execute('insert into t values (7)'); answer = c.execute('select a from t').fetchone()",
            [7],
            id="sqlite3",
        ),
        pytest.param("import ctypes; answer = ctypes.CDLL('libc.so.6').abs(-3)", 3, id="ctypes calls"),
        pytest.param(
            "import ctypes; f = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda x: x + 1); answer = f(1)",
            2,
            id="ctypes is called back",
        ),
        pytest.param(
            "import datetime as d, zoneinfo\n"
            "answer = d.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin')).isoformat()",
            "2026-07-01T00:00:00+02:00",
            id="zoneinfo",
        ),
        pytest.param(
            "import locale, sys; answer = [locale.setlocale(locale.LC_ALL, ''), locale.getpreferredencoding(),\n"
            "  sys.getfilesystemencoding(), sys.stdout.encoding]",
            ["C.UTF-8", "UTF-8", "utf-8", "utf-8"],
            id="locale",
        ),
        pytest.param(
            "import concurrent.futures as f\nwith f.ThreadPoolExecutor(2) as p: answer = list(p.map(abs, [-1, 2]))",
            [1, 2],
            id="threads",
        ),
        *(
            pytest.param(
                f"import multiprocessing as m\nwith m.get_context('{way}').Pool(2) as p: answer = p.map(abs, [-1, 2])",
                [1, 2],
                id=f"multiprocessing by {way}",
            )
            for way in ("fork", "spawn", "forkserver")
        ),
        pytest.param(
            "import asyncio\nasync def main():\n  p = await asyncio.create_subprocess_exec(sys.executable, '-c', "
            "'print(6)', stdout=-1)\n  return (await p.communicate())[0].decode()\nanswer = asyncio.run(main())",
            "6\n",
            id="asyncio runs a program",
        ),
        pytest.param(
            "import asyncio\nasync def main():\n  try: await asyncio.create_subprocess_shell('true')\n"
            "  except FileNotFoundError as error: return error.filename\nanswer = asyncio.run(main())",
            "/bin/sh",
            id="asyncio refuses a shell",
        ),
        pytest.param(
            "import subprocess\ntry: subprocess.run('true', shell=True)\n"
            "except FileNotFoundError as error: answer = error.filename",
            "/bin/sh",
            id="subprocess refuses a shell",
        ),
        pytest.param(
            "import uvloop, asyncio\nasync def main(): return type(asyncio.get_running_loop()).__module__\n"
            "answer = uvloop.run(main())",
            "uvloop",
            id="uvloop",
        ),
    ],
)
def test_the_interpreter_can_do_it_on_a_read_only_root(ask: Ask, code: str, answer: object) -> None:
    assert ask(f"import json, sys\n{code}\nprint(json.dumps(answer))") == answer


def test_no_part_of_a_package_installer_is_left(engine: Engine, runtime: str) -> None:
    left = re.compile(r"pip|setuptools|wheel|uv|ensurepip|pkg_resources|.*\.whl|python.*-config|pip\d.*|uvx")
    with Image(engine, runtime) as image:
        assert [entry.path for entry in image.tree if left.fullmatch(entry.name)] == []


# --- as its owner grows it ---


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A copy of the generated project, to change and to build."""
    return projects.copy(project, tmp_path / project.name)


DEPENDENCIES = tomllib.loads((ROOT / "tests" / "dependencies.toml").read_text())["python"]
OPTIONAL_LIBRARIES = """\
libtbb.so.12 numba has a thread pool of its own
libgomp.so.1.0.0 numba has a thread pool of its own
"""
USE = """
import importlib, json, os, sys, traceback
failed = []
for name, module, use in json.loads(sys.argv[1]):
    pid = os.fork()
    if not pid:
        try:
            names = {module.partition(".")[0]: importlib.import_module(module.partition(".")[0])}
            importlib.import_module(module)
            assert eval(use, names)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        failed.append(name)
print(json.dumps(failed))
"""


def add(engine: Engine, stack: Stack, project: Path, *words: str, check: bool = True) -> Output:
    """Run the README's command; only the machine's CA bundle is mounted, for networks that intercept TLS."""
    bundle = os.environ.get("SSL_CERT_FILE", "")
    mounts = [f"{bundle}:/etc/ssl/certs/ca-certificates.crt:ro"] if bundle else []
    options = [word for mount in (f"{project}:/src", *mounts) for word in ("--volume", mount)]
    owner = f"{os.getuid()}:{os.getgid()}"
    command = ["run", "--rm", "--user", owner, *options, "--workdir", "/src", stack.builder, "sh", "docker/add", *words]
    return engine.run(*command, check=check, timeout=600)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def grown(engine: Engine, stack: Stack, project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The runtime image of a project with many packages, some of their commands, and a [build-system]."""
    copy = projects.copy(project, tmp_path_factory.mktemp("grown") / project.name)
    # Versions that this file has already are kept.
    with (copy / "requirements.txt").open("a") as lock:
        lock.write((ROOT / "tests" / "dependencies" / "python.txt").read_text())
    with (copy / "pyproject.toml").open("a") as manifest:
        manifest.write('\n[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n')
        manifest.write('\n[tool.hatch.build.targets.wheel]\npackages = ["src/app"]\n')
    replace(copy / "Dockerfile", 'COMMANDS=""', f'COMMANDS="{" ".join(COMMANDS)}"')
    (copy / "docker" / "optional.txt").write_text(OPTIONAL_LIBRARIES)
    add(engine, stack, copy, *(one["dependency"] for one in DEPENDENCIES))
    tag = f"{IMAGES}/python:grown"
    # Two gigabytes: what is asked of the image needs neither the tools of its tests nor compressed layers.
    quick = (*projects.UNTESTED, "--build-arg=TOOLS=true", "--output=type=docker,compression=uncompressed")
    projects.build(engine, copy, tag=tag, options=quick)
    return tag


COMMANDS = {"celery": "--version", "rq": "--version", "opentelemetry-instrument": "--version"}


def test_each_of_the_most_used_packages_works_as_it_was_added(ask: Ask, grown: str) -> None:
    uses = [(one["dependency"], one["module"], one["use"]) for one in DEPENDENCIES]
    assert len(uses) >= 50
    assert ask(USE, json.dumps(uses), image=grown, timeout=300) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_package_ships_when_the_dockerfile_names_it(engine: Engine, grown: str, command: str) -> None:
    program = f"/app/.venv/bin/{command}"
    assert engine.run(*arguments("--entrypoint", program), grown, COMMANDS[command]).stdout.strip()


def test_no_other_command_ships(engine: Engine, grown: str) -> None:
    with Image(engine, grown) as image:
        folder = [entry.name for entry in image.tree if entry.path.startswith("app/.venv/bin/")]
    assert {name for name in folder if not name.startswith("python")} == {*COMMANDS, "serve", "probe"}


def test_a_project_with_a_build_system_is_installed(ask: Ask, grown: str, project: Path) -> None:
    code = "import importlib.metadata, json, sys, app; print(json.dumps(importlib.metadata.version(sys.argv[1])))"
    assert ask(code, project.name, image=grown) == "0.0.0"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("no-such-package-of-anybody", "no-such-package-of-anybody was not found"),
        ("./lib", "add: ./lib has no checksum for the lock"),
        ("git+https://example.com/a.git", "add: git+https://example.com/a.git has no checksum for the lock"),
    ],
)
def test_a_package_that_cannot_be_added_changes_nothing(
    engine: Engine, stack: Stack, copy: Path, word: str, reason: str
) -> None:
    files = [copy / "pyproject.toml", *copy.glob("requirements*.txt")]
    before = [file.read_bytes() for file in files]
    result = add(engine, stack, copy, "lxml", word, check=False)
    assert result.returncode != 0
    assert reason in result.stderr
    assert [file.read_bytes() for file in files] == before


SOURCE = """
#include <Python.h>
extern const char *rl_library_version;
static PyObject *version(PyObject *self, PyObject *none) { return PyUnicode_FromString(rl_library_version); }
static PyMethodDef methods[] = {{"version", version, METH_NOARGS, ""}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "linked", "", -1, methods};
PyMODINIT_FUNC PyInit_linked(void) { return PyModule_Create(&module); }
"""


@pytest.fixture
def wheel(engine: Engine, matrix: Matrix, stack: Stack, tmp_path: Path) -> tuple[str, bytes]:
    """The name and content of a wheel that links libreadline, which Debian slim has and nothing else here loads."""
    (tmp_path / "linked.c").write_text(SOURCE)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {stack.builder} AS python\nRUN mkdir /l && cp -L /usr/lib/*/libreadline.so.8 /l/libreadline.so\n"
        f"FROM {matrix.stack('go').builder} AS made\nCOPY --from=python /usr/local/include/ /usr/local/include/\n"
        "COPY --from=python /l/ /l/\nCOPY linked.c /\n"
        "RUN gcc -shared -fPIC -o /linked.so -I /usr/local/include/python3.* /linked.c -L/l -lreadline "
        "-Wl,--allow-shlib-undefined\n"
        "FROM scratch\nCOPY --from=made /linked.so /\n"
    )
    engine.run("build", "--output", f"type=local,dest={tmp_path / 'out'}", str(tmp_path))
    suffix = re.search(r":(\d+)\.(\d+)-", stack.builder)
    assert suffix
    version = f"cp{suffix[1]}{suffix[2]}"
    tag = f"{version}-{version}-linux_{os.uname().machine}"
    about = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"
    files = {
        "linked.so": (tmp_path / "out" / "linked.so").read_bytes(),
        "linked-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n",
        "linked-1.0.dist-info/WHEEL": about.encode(),
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}\n"
        for name, content in files.items()
    )
    files["linked-1.0.dist-info/RECORD"] = f"{record}linked-1.0.dist-info/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"linked-1.0-{tag}.whl", stream.getvalue()


def test_the_system_library_of_a_wheel_comes_along_with_its_package_record(
    engine: Engine, copy: Path, wheel: tuple[str, bytes], ask: Ask
) -> None:
    name, content = wheel
    (copy / "wheels").mkdir()
    (copy / "wheels" / name).write_bytes(content)
    path = copy / "Dockerfile"
    step = "RUN --mount=type=bind,source=wheels,target=/tmp/wheels uv pip install --no-deps /tmp/wheels/*.whl"
    text, count = re.subn(
        r"( AS deps\n(?:.*\n)+?)(\n# )",
        rf"\1{step}\n\2",
        path.read_text(),
        count=1,
    )
    assert count == 1
    path.write_text(text)
    tag = f"{IMAGES}/python:linked"
    projects.build(engine, copy, tag=tag, options=projects.UNTESTED)
    assert ask("import json, linked; print(json.dumps(linked.version()))", image=tag).startswith("8.")
    with Image(engine, tag) as image:
        assert image.tree.text("var/lib/dpkg/status.d/libreadline8t64") or image.tree.text(
            "var/lib/dpkg/status.d/libreadline8"
        )


# --- how it stops ---


@pytest.mark.parametrize("workers", ["1", "3"])
def test_one_and_several_workers_stop_under_load_without_a_failed_request(subject: Subject, workers: str) -> None:
    seen = stop_under_load(subject, envs={"WORKERS": workers})
    assert (seen.in_flight, seen.failures) == ("", {})
    assert seen.answered > 100
    assert seen.exit_code in (0, 143)
    assert seen.seconds < STOP


def test_several_workers_are_as_many_processes(engine: Engine, subject: Subject) -> None:
    from msb.contract.service import running

    with running(subject, envs={"WORKERS": "3"}) as service:
        processes = engine.run("top", service.name, "-eo", "pid,args").stdout.splitlines()[1:]
    assert len(processes) == 4  # and one that waits for them
