"""The sockets that the service listens on."""

import errno
import socket

BACKLOG = 2048


def listen(port: int) -> list[socket.socket]:
    """Listen on every address, IPv4 and, where the machine has it, IPv6.

    By a socket each: one for both would show IPv4 clients as ::ffff:127.0.0.1, which no list of proxies means.
    """
    listeners = [socket.create_server(("", port), backlog=BACKLOG)]
    try:
        listeners.append(socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG))
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return listeners
