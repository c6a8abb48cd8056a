"""Does the contract judge right what it has seen of a running service? What was seen is made here, with no engine."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_tool import image, member, tar

from msb.contract import Status, Subject, check
from msb.contract.observed import TEXT, Processes, Session, holding
from msb.errors import MsbError
from msb.image import images
from msb.stacks import ANY, load

UTC_ZONE, BERLIN_ZONE = b"TZif2\n\nUTC0\n", b"TZif2\n\nCET-1CEST,M3.5.0,M10.5.0/3\n"


def found(tmp_path: Path, number: int, stack: str = "go", env: tuple[str, ...] = (), zone: bytes = b"", **seen: Any):
    """What a rule finds where that was seen."""
    path = image(
        tmp_path / "image.tar",
        tar([member("etc/localtime", zone)] if zone else []),
        config={"Env": list(env), "ExposedPorts": {"8080/tcp": {}}},
    )
    matrix = load()
    with images(str(path), pytest.fail) as (opened,), opened:
        profile = matrix.any if stack == ANY else matrix.stack(stack)
        subject = Subject(None, profile, matrix.contract, opened)
        vars(subject).update(seen)
        verdict = check(subject, {f"MSB{number}"}).verdicts[f"MSB{number}"]
    assert verdict.status in (Status.PASSED, Status.FAILED), verdict.reason
    return [f"{finding.where}: {finding.message}" for finding in verdict.findings]


def session(*lines: str, written: tuple[str, ...] = (), sent: str = "", answer: str = "") -> Session:
    return Session(list(lines), "msb-1", list(written), sent, answer)


@pytest.mark.parametrize(
    ("written", "places"),
    [
        ((), []),
        (("tmp/cache/x", "tmp"), []),
        (("tmpx",), ["tmpx"]),
        (("home/nonroot/x", "tmp/x"), ["home/nonroot/x"]),
    ],
)
def test_a_service_writes_only_where_its_stack_says(
    tmp_path: Path, written: tuple[str, ...], places: list[str]
) -> None:
    seen = found(tmp_path, 603, session=session(written=tuple(f"/{path}" for path in written)))
    assert [line.partition(":")[0] for line in seen] == places


@pytest.mark.parametrize(
    ("processes", "findings"),
    [
        (Processes(["1"], {1: "server"}, {1}, set()), []),
        (Processes(["1"], {1: "nginx", 7: "nginx"}, {1, 7}, set()), []),
        (Processes(["1"], {1: "tini", 7: "server"}, {7}, set()), []),
        (Processes(["1"], {1: "server"}, set(), set()), []),
        (
            Processes(["1"], {1: "sh", 7: "server"}, {7}, set()),
            ["process 1: is sh, and server serves: write the entrypoint in exec form"],
        ),
        (
            Processes(["1"], {1: "server", 9: "sleep"}, {1}, {9}),
            ["process 9: is a zombie (sleep): process 1 waits for no child"],
        ),
    ],
)
def test_process_1_serves_or_hands_signals_on_and_leaves_no_zombie(
    tmp_path: Path, processes: Processes, findings: list[str]
) -> None:
    assert found(tmp_path, 605, stack=ANY, processes=processes) == findings


@pytest.mark.parametrize(
    ("line", "is_utc"),
    [
        ('{{"time": "{now}.123456789Z"}}', True),
        ('{{"time": "{now}+00:00"}}', True),
        ("{now},123 INFO started", True),
        ("the certificate ends 2031-01-01 00:00:00, the last backup was at {backup}", True),
        ("2026-13-41T99:00:00+09:00", True),
        ('{{"time": "{tokyo}+09:00"}}', False),
        ('{{"time": "{tokyo}.5+0900"}}', False),
        ("{tokyo},123 INFO started", False),
    ],
)
def test_the_times_of_a_log_are_utc(tmp_path: Path, line: str, is_utc: bool) -> None:
    away = {"now": timedelta(0), "tokyo": timedelta(hours=9), "backup": -timedelta(minutes=52)}
    times = {name: f"{datetime.now(UTC) + offset:%Y-%m-%dT%H:%M:%S}" for name, offset in away.items()}
    assert (found(tmp_path, 611, stack=ANY, session=session(line.format(**times))) == []) == is_utc


@pytest.mark.parametrize(
    ("env", "zone", "places"),
    [
        ((), b"", []),
        (("TZ=UTC", "LANG=C.UTF-8"), UTC_ZONE, []),
        (("TZ=:Etc/UTC", "LC_ALL=en_US.utf8", "LANG=C"), b"", []),
        (("TZ=Europe/Berlin",), b"", ["env TZ"]),
        (("LC_ALL=C", "LANG=C.UTF-8"), b"", ["env LC_ALL"]),
        ((), BERLIN_ZONE, ["etc/localtime"]),
    ],
)
def test_the_environment_says_utc_and_utf_8(
    tmp_path: Path, env: tuple[str, ...], zone: bytes, places: list[str]
) -> None:
    seen = found(tmp_path, 611, stack=ANY, env=env, zone=zone, session=session())
    assert [line.partition(":")[0] for line in seen] == places


@pytest.mark.parametrize(
    ("answer", "kept"),
    [(f'{{"text": "{TEXT}"}}', True), ('{"text": "\\u00e4 \\u65e5\\u672c \\ud83d\\ude80"}', True),
     ('{"text": "? ?? ?"}', False), (TEXT.encode().decode("latin-1"), False)],
)  # fmt: skip
def test_text_comes_back_as_it_was_sent(tmp_path: Path, answer: str, kept: bool) -> None:
    assert (found(tmp_path, 611, session=session(sent=TEXT, answer=answer)) == []) == kept


NET = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 4242 1 0000
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 65532        0 4343 1 0000
"""


def inside(fds: str) -> Any:
    answers = {"cat /proc/net/tcp /proc/net/tcp6": NET, "ls -l /proc/[0-9]*/fd": fds}
    run = SimpleNamespace(run=lambda command: SimpleNamespace(stdout=answers[command]))
    return SimpleNamespace(port=8080, inside=run)


def test_who_listens_on_the_port_is_found_by_its_socket() -> None:
    fds = "/proc/1/fd:\nl- 1 u g 64 0 -> socket:[4343]\n\n/proc/12/fd:\nl- 1 u g 64 Nov 3 -> socket:[4242]\n"
    assert holding(inside(fds)) == {12}
    with pytest.raises(MsbError, match="no process is seen to listen on port 8080"):
        holding(inside("/proc/1/fd:\nl- 1 u g 64 0 -> socket:[4343]\n"))
