"""Several processes that serve one port."""

import logging
import os
import signal
import socket

logger = logging.getLogger(__name__)


def fork(count: int, listener: socket.socket) -> int | None:
    """Fork count workers that share listener; return None in each of them, and in their parent the exit code at last.

    The parent passes a stop signal on. When a worker ends by itself it stops the others and returns 1: restarting is
    the work of whoever runs the container, who should see that a process died.
    """
    wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)  # from here on they wait for sigwait
    workers = set()
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)  # Ctrl-C is for the parent alone
            signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted)
            return None
        workers.add(pid)
    listener.close()
    stopping, code = False, 0
    while workers:
        number = signal.sigwait(wanted)
        ended = _reap(workers) if number == signal.SIGCHLD else {}
        if ended and not stopping:
            code = 1
            logger.error("a worker ended by itself", extra={"exit_codes": list(ended.values())})
        if not stopping and (code or number != signal.SIGCHLD):
            stopping = True
            for pid in workers:
                os.kill(pid, signal.SIGTERM)
    return code


def _reap(workers: set[int]) -> dict[int, int]:
    """Take the workers that have ended out of the set; return their exit codes by pid."""
    ended = {}
    for pid in list(workers):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            workers.remove(pid)
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended
