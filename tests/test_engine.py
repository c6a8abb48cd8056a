"""Is an engine found, judged and refused as the documents say?"""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from msb import engine as engines
from msb import install
from msb.engine import Engine
from msb.errors import MsbError


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("MSB_ENGINE", raising=False)
    monkeypatch.setattr(engines, "_clients", list)


def client(folder: Path, version: str, buildx: str) -> str:
    """Write a Docker client that says what an engine of another version would say."""
    path = folder / "docker"
    answer = json.dumps({"Server": {"Version": version}})
    path.write_text(
        f"#!/bin/sh\ncase $1 in version) echo '{answer}' ;; buildx) echo '{buildx}' ;; *) echo '{{}}' ;; esac\n"
    )
    path.chmod(0o755)
    return str(path)


def test_an_engine_that_is_too_old_is_refused_with_the_version_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_clients", lambda: [client(tmp_path, "20.10.24", "buildx v0.13.1")])
    with pytest.raises(MsbError, match=r"^Docker engine 20\.10\.24 is too old: 25\.0 or newer is needed for .+$"):
        engines.find()


@pytest.mark.parametrize(("buildx", "said"), [("", "no buildx"), ("github.com/docker/buildx v0.10.5", "buildx 0.10")])
def test_a_client_without_a_new_enough_buildx_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buildx: str, said: str
) -> None:
    monkeypatch.setattr(engines, "_clients", lambda: [client(tmp_path, "28.0.0", buildx)])
    with pytest.raises(MsbError, match=rf"has {said}: 0\.13 or newer is needed"):
        engines.find()


def test_a_good_client_after_one_without_buildx_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old").mkdir()
    good = client(tmp_path, "28.1.0", "buildx v0.24.0")
    monkeypatch.setattr(engines, "_clients", lambda: [client(tmp_path / "old", "28.1.0", ""), good])
    found = engines.find()
    assert found
    assert found.command == (good,)
    assert found.version == (28, 1)


@pytest.mark.usefixtures("no_client")
def test_msb_engine_set_to_never_installs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSB_ENGINE", "never")
    with pytest.raises(MsbError, match="MSB_ENGINE=never does not allow"):
        install.ensure()


@pytest.mark.usefixtures("no_client")
def test_without_an_engine_a_user_who_is_not_root_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MsbError, match="you are not root: start Docker"):
        install.ensure()


@pytest.mark.usefixtures("no_client")
def test_a_docker_host_that_does_not_answer_is_named_and_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(MsbError, match=r"at DOCKER_HOST=tcp://127\.0\.0\.1:1"):
        install.ensure()


@pytest.mark.usefixtures("no_client")
def test_a_user_who_declines_gets_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    asked: list[str] = []
    with pytest.raises(MsbError, match="you chose not to"):
        install.ensure(lambda plan: bool(asked.append(plan)))
    assert "starting dockerd" in asked[0]


def test_the_engine_that_answers_is_new_enough_and_described(engine: Engine) -> None:
    assert engine.version >= engines.MINIMUM
    text = engines.describe(engine)
    release = engine.run("version", "--format", "{{.Server.Version}}").stdout.strip()
    assert f"engine     {release} " in text
    plugins = [engine.run(*words).stdout.split()[-1] for words in (["buildx", "version"], ["compose", "version"])]
    assert f"buildx     {plugins[0]} " in text
    assert f"compose    {plugins[1]}\n" in text


def test_a_full_disk_is_named_with_what_is_free_and_needed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10, 9, 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(MsbError, match=r"only 1\.0 GiB are free under .+ need 6"):
        engine.need_disk()


def test_a_failing_docker_command_is_one_line(engine: Engine) -> None:
    with pytest.raises(MsbError, match=r"^docker image failed: .*No such image") as caught:
        engine.run("image", "inspect", "msb-test/absent:none")
    assert "\n" not in str(caught.value)
