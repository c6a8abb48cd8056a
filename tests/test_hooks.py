"""Do the hooks refuse every bad answer, leave nothing behind, and never run one?"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from unittest import mock

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_cookies.plugin import Cookies

from msb import stacks
from msb.stacks import Stack
from msb.sync import PROJECT

LONG = "a" * 41
# Question, answer, and what the hook's line says of it. A stack is tested with those of the questions it asks.
REFUSED = [
    ("project_name", "", "is empty"),
    ("project_name", "  ", "is empty"),
    ("project_name", "two\nlines", "control character"),
    ("project_name", "a\x1b[31mred", "control character"),
    ("project_name", "a\u202eb", "control character"),
    ("project_name", "a\u2028b", "control character"),
    ("project_name", " edge", "starts or ends with a space"),
    ("project_name", "x" * 201, "longer than 200"),
    ("description", "", "is empty"),
    ("description", "line\n", "control character"),
    ("description", "a\x00b", "control character"),
    ("description", "x" * 201, "longer than 200"),
    ("project_slug", "", "is empty"),
    ("project_slug", "Hello", "may hold only"),
    ("project_slug", "1st", "must start with a letter"),
    ("project_slug", "-a", "must start with a letter"),
    ("project_slug", "a-", "may not end with a hyphen"),
    ("project_slug", "a--b", "two in a row"),
    ("project_slug", "a/b", "may hold only"),
    ("project_slug", "a\\b", "may hold only"),
    ("project_slug", "..", "may hold only"),
    ("project_slug", "../../escaped", "may hold only"),
    ("project_slug", "/escaped", "may hold only"),
    ("project_slug", "a.b", "may hold only"),
    ("project_slug", "a b", "may hold only"),
    ("project_slug", "a'b", "may hold only"),
    ("project_slug", 'a"b', "may hold only"),
    ("project_slug", "a\nb", "control character"),
    ("project_slug", "a\n", "control character"),
    ("project_slug", "{{ 7*7 }}", "may hold only"),
    ("project_slug", "{% raw %}", "may hold only"),
    ("project_slug", LONG, "longer than 40"),
    ("project_slug", "a" * 5000, "longer than 200"),
    ("project_slug", "é", "may hold only"),
    ("project_slug", "٣a", "may hold only"),
    ("project_slug", "con", "device on Windows"),
    ("project_slug", "com1", "device on Windows"),
    ("port", "", "is empty"),
    ("port", "http", "must be a whole number"),
    ("port", "08080", "must be a whole number"),
    ("port", "-8080", "must be a whole number"),
    ("port", "8080.0", "must be a whole number"),
    ("port", "٨٠٨٠", "must be a whole number"),
    ("port", "0", "must be a whole number"),
    ("port", "1023", "from 1024 to 65535"),
    ("port", "65536", "from 1024 to 65535"),
    ("image_repository", "", "is empty"),
    ("image_repository", "ghcr.io/acme/app:1.0", "tag or a digest"),
    ("image_repository", "app:1", "tag or a digest"),
    ("image_repository", f"app@sha256:{'0' * 64}", "tag or a digest"),
    ("image_repository", "ghcr.io/Acme/app", "is not an image name"),
    ("image_repository", "ghcr.io/acme//app", "is not an image name"),
    ("image_repository", "ghcr.io/acme/", "is not an image name"),
    ("image_repository", "/acme/app", "is not an image name"),
    ("image_repository", "acme/../app", "is not an image name"),
    ("image_repository", "acme/-app", "is not an image name"),
    ("image_repository", "acme/my app", "is not an image name"),
    ("image_repository", "https://ghcr.io/acme/app", "is not an image name"),
    ("image_repository", "-host.com/app", "is not an image name"),
    ("image_repository", "0" * 64, "image id"),
    ("go_module", "", "is empty"),
    ("go_module", "service", "must start with a domain name"),
    ("go_module", "net/http", "must start with a domain name"),
    ("go_module", "Example.com/a", "must start with a domain name"),
    ("go_module", "-a.com/b", "must start with a domain name"),
    ("go_module", "https://github.com/a/b", "may hold only"),
    ("go_module", "github.com/a/b c", "may hold only"),
    ("go_module", 'github.com/a/"b"', "may hold only"),
    ("go_module", "github.com/a/é", "may hold only"),
    ("go_module", "github.com/a\\b", "may hold only"),
    ("go_module", "/github.com/a", "slash"),
    ("go_module", "github.com/a/", "slash"),
    ("go_module", "github.com//a", "slash"),
    ("go_module", "github.com/../a", "a dot only inside a part"),
    ("go_module", "github.com/.a", "a dot only inside a part"),
    ("go_module", "github.com/a.", "a dot only inside a part"),
    ("go_module", "github.com/a..b", "a dot only inside a part"),
    ("go_module", "github.com/NUL/a", "device on Windows"),
    ("go_module", "github.com/aux.go/a", "device on Windows"),
    ("go_module", "github.com/progra~1/a", "short name of Windows"),
    ("go_module", "github.com/vendor/a", "called vendor"),
    ("go_module", "github.com/a/v1", "/v2 or higher"),
    ("go_module", "github.com/a/v02", "/v2 or higher"),
    ("go_module", "github.com/a/v2.1", "/v2 or higher"),
    ("go_module", "gopkg.in/yaml", "a version such as .v1"),
]
ACCEPTED = [
    ("project_name", "a" * 200),
    ("project_name", "Ünïcode 👩\u200d🚀 {{ 7*7 }} {% raw %} {# note #}"),
    ("description", "$(id) `id` '; id #"),
    ("project_slug", "a"),
    ("project_slug", "a1-2b-c"),
    ("project_slug", LONG[:40]),
    ("project_slug", "conference"),
    ("port", "1024"),
    ("port", "65535"),
    ("image_repository", "app"),
    ("image_repository", "localhost/app"),
    ("image_repository", "localhost:5000/team/app"),
    ("image_repository", "[::1]:5000/app"),
    ("image_repository", "Ghcr.io/a.b/c_d/e__f/g---h"),
    ("go_module", "example.com"),
    ("go_module", "example.com/Team_A/b~c/v2"),
    ("go_module", "example.com/consul/vendors/v10"),
    ("go_module", "gopkg.in/yaml.v3"),
]


def questions(stack: Stack) -> dict[str, object]:
    """Return a stack's questions with their defaults."""
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    return {name: default for name, default in template.items() if not name.startswith("_")}


def reserved(stack: Stack) -> dict[str, list[str]]:
    template = json.loads((stack.template / "cookiecutter.json").read_text(encoding="utf-8"))
    return template.get("_reserved", {})


def literal(answer: str) -> str:
    """Return the template that renders to `answer`: without a terminal cookiecutter renders what it is given."""
    return f"{{{{ {json.dumps(answer, ensure_ascii=False)} }}}}"


def asked(cases: list[tuple[str, ...]]) -> list[object]:
    """Pair every case with one stack that asks its question, and every other such stack with one case of the question.

    Every stack has the same hooks, byte for byte (`make sync`): which questions they find is all that differs.
    """
    pairs = []
    seen: set[str] = set()
    for stack in stacks.load().stacks.values():
        once = {case[0]: case for case in reversed(cases)}  # the first case of each question
        chosen = [case for case in cases if case[0] not in seen or once[case[0]] is case]
        pairs += [(stack, case) for case in chosen if case[0] in questions(stack)]
        seen |= set(questions(stack))
    return [pytest.param(stack, *case, id=f"{stack.name}-{case[0]}-{ascii(case[1])[:30]}") for stack, case in pairs]


def kinds() -> Iterator[object]:
    for stack in stacks.load().stacks.values():
        for kind, names in reserved(stack).items():
            yield pytest.param(stack, "project_slug", names[0], f"is {kind}", id=f"{stack.name}-{names[0]}")


def files_beside(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("stack", "question", "answer", "says"), [*asked(REFUSED), *kinds()])
def test_a_bad_answer_is_refused_in_one_line_and_leaves_nothing(
    cookies: Cookies,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    stack: Stack,
    question: str,
    answer: str,
    says: str,
) -> None:
    result = cookies.bake(template=str(stack.template), extra_context={question: literal(answer)})
    assert isinstance(result.exception, FailedHookException)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{question}: ")
    assert says in line
    assert "; for example: " in line
    assert len(line) < 250
    assert files_beside(tmp_path) == ["cookies", "cookies/bake00"]


@pytest.mark.parametrize(("stack", "question", "answer"), asked(ACCEPTED))
def test_an_unusual_but_good_answer_is_accepted(cookies: Cookies, stack: Stack, question: str, answer: str) -> None:
    result = cookies.bake(
        template=str(stack.template), extra_context={"project_slug": "good", question: literal(answer)}
    )
    assert result.exception is None
    assert result.project_path.name == (answer if question == "project_slug" else "good")


def test_an_absolute_slug_writes_nothing_at_that_path(cookies: Cookies, tmp_path: Path, stack: Stack) -> None:
    assert cookies.bake(template=str(stack.template), extra_context={"project_slug": f"{tmp_path}/escaped"}).exception
    assert files_beside(tmp_path) == ["cookies", "cookies/bake00"]


def test_a_refusal_leaves_an_existing_folder_as_it_was(tmp_path: Path, config: str, stack: Stack) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "own.txt").write_text("mine")
    with pytest.raises(FailedHookException):
        cookiecutter(
            str(stack.template),
            no_input=True,
            config_file=config,
            overwrite_if_exists=True,
            output_dir=str(tmp_path),
            extra_context={"project_slug": "Taken"},
        )
    assert files_beside(tmp_path) == ["taken", "taken/own.txt"]


def test_go_reserves_every_name_at_the_top_of_its_standard_library() -> None:
    go = Path(sys.executable).parent / "go"
    root = subprocess.run([go, "env", "GOROOT"], check=True, capture_output=True, text=True).stdout.strip()
    names = {path.name for path in (Path(root) / "src").iterdir() if path.is_dir()}
    assert names - {name for names in reserved(stacks.load().stack("go")).values() for name in names} == set()


# Text that runs if an answer ever ends a literal or is rendered a second time; CANARY is the file it would make.
PAYLOADS = [
    "{{ cycler.__init__.__globals__.os.mkdir('CANARY') }}",
    "{% set x = cycler.__init__.__globals__.os.mkdir('CANARY') %}",
    "'+__import__('os').mkdir('CANARY')+'",
    '"+__import__("os").mkdir("CANARY")+"',
    '"""+__import__("os").mkdir("CANARY")+"""',
    "\\'+__import__('os').mkdir('CANARY')#",
    '\\"+__import__("os").mkdir("CANARY")#',
    "\n__import__('os').mkdir('CANARY')\n#",
    "$(mkdir CANARY)", "`mkdir CANARY`", ";mkdir CANARY;", "../CANARY", "/CANARY",
    "{{", "}}", "{%", "%}", "{#", "{% raw %}", "{% endraw %}", "\\", "'", '"', "\r\n", "\x00", "\u2028", "${x}", "%{x}",
]  # fmt: skip


@pytest.fixture
def type_answers(
    tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str], config: str, stack: Stack
) -> Callable[[dict[str, str]], None]:
    """Return a function that types answers at the prompts and asserts that they are rendered or refused, no more."""

    def type_answers(answers: dict[str, str]) -> None:
        base = tmp_path_factory.mktemp("hostile")
        (base / "out").mkdir()
        # An empty line takes the default.
        typed = [answers.get(name, "").replace("CANARY", str(base / "canary")) for name in questions(stack)]
        with mock.patch("builtins.input", side_effect=chain(typed, repeat(""))):
            try:
                project = Path(cookiecutter(str(stack.template), config_file=config, output_dir=str(base / "out")))
            except FailedHookException:
                # Refused by a check, not by a hook that broke on the text.
                (line,) = capfd.readouterr().err.splitlines()
                assert line.partition(": ")[0] in questions(stack)
                assert files_beside(base) == ["out"]
            else:
                assert capfd.readouterr().err == ""
                assert [base / "out"] == list(base.iterdir())
                assert [project] == list((base / "out").iterdir())

    return type_answers


@pytest.mark.parametrize("stack", list(stacks.load().stacks)[:1], indirect=True, scope="session")  # the next asks all
@pytest.mark.parametrize("payload", PAYLOADS, ids=ascii)
def test_text_that_is_made_to_run_does_not(type_answers: Callable[[dict[str, str]], None], payload: str) -> None:
    type_answers({"project_slug": "safe", "project_name": payload, "description": payload})


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_text_in_any_question_runs_or_writes_outside_its_folder(
    type_answers: Callable[[dict[str, str]], None], stack: Stack, data: st.DataObject
) -> None:
    payloads = st.sampled_from(PAYLOADS)
    texts = payloads | st.lists(st.text() | payloads, min_size=1, max_size=4).map("".join)
    type_answers(data.draw(st.dictionaries(st.sampled_from(list(questions(stack))), texts, min_size=1, max_size=2)))


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cookiecutter configuration that keeps replays out of the home folder."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.yaml").write_text(f"cookiecutters_dir: {folder}\nreplay_dir: {folder}\n")
    return str(folder / "config.yaml")


@pytest.fixture
def small_template(tmp_path: Path, stack: Stack) -> Path:
    """A template of two files with the stack's hooks, to see what post_gen does."""
    template = tmp_path / "template"
    shutil.copytree(stack.template / "hooks", template / "hooks")
    answers = {"project_slug": "small", "__folder": "small", "_optional_folders": ["empty", "full", "absent"]}
    (template / "cookiecutter.json").write_text(json.dumps(answers))
    for name in ("docker/script", "docker/data.txt", "full/file", "empty/{% if false %}file{% endif %}"):
        path = template / PROJECT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" if name == "docker/script" else "text\n")
    return template


def test_folders_that_a_choice_left_empty_are_removed(cookies: Cookies, small_template: Path) -> None:
    project = cookies.bake(template=str(small_template)).project_path
    assert files_beside(project) == ["docker", "docker/data.txt", "docker/script", "full", "full/file"]


def test_scripts_are_executable_again_where_the_archive_lost_it(cookies: Cookies, small_template: Path) -> None:
    project = cookies.bake(template=str(small_template)).project_path
    modes = {path.name: bool(path.stat().st_mode & 0o111) for path in (project / "docker").iterdir()}
    assert modes == {"script": True, "data.txt": False}
