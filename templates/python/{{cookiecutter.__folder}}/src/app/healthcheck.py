"""Ask the service on this machine's PORT for /healthz: exit code 0, or one line that says why not and 1.

A bare socket, because importing an HTTP client costs more than asking.
"""

import os
import socket
import sys

from app import DEFAULT_PORT

TIMEOUT = 2  # seconds; shorter than that of the image's HEALTHCHECK, so that the reason gets printed


def main() -> int:
    """Ask once and return the exit code."""
    try:
        port = int(os.environ.get("PORT") or DEFAULT_PORT)
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = connection.recv(64).partition(b"\r\n")[0].decode("ascii", "replace")
    except (OSError, ValueError) as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1
    if not status.startswith("HTTP/1.1 200 "):
        print(f"unhealthy: {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
