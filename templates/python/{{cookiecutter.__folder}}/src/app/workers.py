"""Several processes that serve one port."""

import logging
import os
import re
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

MEMORY = 64 << 20  # what a container needs for each process; the example takes 45 MB and a bit more under load
CGROUP = Path("/sys/fs/cgroup")


def fork(count: int, listeners: list[socket.socket], shutdown_timeout: float) -> int | None:
    """Fork count workers that share listeners; return None in each of them, and in their parent the exit code at last.

    The parent passes stop signals on. When a worker ends by itself it stops the others and returns 1: restarting is
    the work of whoever runs the container, who should see that a process died. A worker ends itself after
    shutdown_timeout; one that cannot is killed.
    """
    if short := short_of_memory(count):
        logger.warning("the container's memory limit may be too low for WORKERS", extra=short)
    wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)  # from here on they wait for sigtimedwait
    workers = set()
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)  # Ctrl-C is for the parent alone
            signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
            return None
        workers.add(pid)
    for listener in listeners:
        listener.close()
    stop_by, code = 0.0, 0
    while workers:
        got = signal.sigtimedwait(wanted, max(stop_by - time.monotonic(), 0) if stop_by else 3600)
        ended = _reap(workers)
        died = bool(ended) and not stop_by
        if died:
            code = 1
            kills = _number("memory.events", "oom_kill") or _number("memory/memory.oom_control", "oom_kill")
            logger.error("a worker ended by itself", extra={"exit_codes": list(ended.values()), "memory_kills": kills})
        if died or (got and got.si_signo != signal.SIGCHLD):  # a second signal too: it ends the stop
            stop_by = stop_by or time.monotonic() + shutdown_timeout + 0.2
            _send(workers, signal.SIGTERM)
        elif stop_by and not got:
            _send(workers, signal.SIGKILL)
    return code


def short_of_memory(count: int) -> dict[str, int]:
    """Return the container's memory limit and what count workers want, in MB, or nothing if it should suffice."""
    limit = _number("memory.max") or _number("memory/memory.limit_in_bytes")  # version 2, version 1
    wanted = MEMORY * (count + 1)
    return {"workers": count, "limit_mb": limit >> 20, "wanted_mb": wanted >> 20} if 0 < limit < wanted else {}


def _send(workers: Iterable[int], number: signal.Signals) -> None:
    for pid in workers:
        os.kill(pid, number)  # none of them is reaped yet, so each pid is still its own


def _number(file: str, name: str = "") -> int:
    """Return what the container's control group says in file, on the line of name; 0 if it says no number."""
    try:
        found = re.search(rf"^{name} ?(\d+)$", (CGROUP / file).read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _reap(workers: set[int]) -> dict[int, int]:
    """Take the workers that have ended out of the set; return their exit codes by pid."""
    ended = {}
    for pid in list(workers):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            workers.remove(pid)
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended
