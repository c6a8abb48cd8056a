"""3xx: what the image says about itself."""

from collections.abc import Iterator

from msb.contract.rules import Sees, Subject, rule

LABELS = ("title", "description", "source", "licenses", "version", "revision", "created")
"""The OCI labels every runtime image carries, without their prefix org.opencontainers.image."""
_SIGNALS = {"", "SIGTERM", "TERM", "15", "SIGINT", "INT", "2", "SIGQUIT", "QUIT", "3"}
_NO_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what the engine sets without one


@rule(301, sees=Sees.METADATA)
def entrypoint(subject: Subject) -> Iterator[tuple[str, str]]:
    """The command is in exec form, and its program is there and can be run.

    Why: the shell form needs a shell, and makes it process 1, which swallows the stop signal.
    Example: `MSB301 entrypoint: is in shell form`
    Fix: `ENTRYPOINT ["/app/server"]`.
    """
    command = subject.image.command
    if not command:
        yield "entrypoint", 'is not set: write ENTRYPOINT ["/app/server"]'
    elif _shell_form(command):
        yield "entrypoint", 'is in shell form: write ENTRYPOINT ["/app/server"]'
    elif _shell_form(list(subject.image.config.get("Cmd") or [])):
        yield "command", 'is in shell form, so that /bin/sh is an argument of the program: write CMD ["--option"]'
    elif not _program_exists(subject, command[0]):
        yield "entrypoint", f"there is no program {command[0]}"


@rule(302, sees=Sees.METADATA)
def ports(subject: Subject) -> Iterator[tuple[str, str]]:
    """The ports are declared, and from 1024 on.

    Why: lower ones need a capability; undeclared ones must be found in the source by whoever deploys it.
    Example: `MSB302 port 80: is under 1024`
    Fix: `EXPOSE 8080`, and map the port outside.
    """
    if not subject.image.ports:
        yield "ports", "none is declared: write EXPOSE 8080"
    for port in subject.image.ports:
        if port < 1024:
            yield f"port {port}", "is under 1024 and needs a capability: use 8080"


@rule(303, sees=Sees.METADATA)
def volumes(subject: Subject) -> Iterator[tuple[str, str]]:
    """The image declares no volumes.

    Why: each run would leave an anonymous volume behind, and make a part of a read-only container writable.
    Example: `MSB303 volume /data: is declared in the image`
    Fix: drop VOLUME; whoever deploys the service mounts what it needs.
    """
    for path in subject.image.config.get("Volumes") or {}:
        yield f"volume {path}", "is declared in the image: drop VOLUME"


@rule(304, sees=Sees.METADATA)
def health_check(subject: Subject) -> Iterator[tuple[str, str]]:
    """There is a health check in exec form whose program is there and can be run, or a stated reason for none.

    Why: without one, `docker ps`, Compose and Swarm take a hung process for a healthy service. A stack that has nothing
    to ask with says why in stacks.toml (`unprobed`); then none may be set, nor NONE, on which
    `docker compose up --wait` fails.
    Example: `MSB304 health check: is not set`
    Fix: `HEALTHCHECK CMD ["/app/server", "healthcheck"]`.
    """
    test = (subject.image.config.get("Healthcheck") or {}).get("Test") or []
    if subject.stack.service.unprobed:
        if test:
            yield "health check", f"is {' '.join(test)}, where stacks.toml says why there is none: drop HEALTHCHECK"
        return
    advice = 'write HEALTHCHECK CMD ["/app/server", "healthcheck"]'
    if not test or test[0] == "NONE":
        yield "health check", f"is not set: {advice}"
    elif test[0] == "CMD-SHELL":
        yield "health check", f"is in shell form: {advice}"
    elif not _program_exists(subject, test[1]):
        yield "health check", f"there is no program {test[1]}"


@rule(305, sees=Sees.METADATA)
def labels(subject: Subject) -> Iterator[tuple[str, str]]:
    """The OCI labels title, description, source, licenses, version, revision and created are set.

    Why: they lead from a running container back to the commit it was built from.
    Example: `MSB305 label org.opencontainers.image.revision: is not set`
    Fix: set it in `runtime`; version, revision and creation time come in as build arguments.
    """
    found = subject.image.config.get("Labels") or {}
    for name in LABELS:
        if not str(found.get(f"org.opencontainers.image.{name}", "")).strip():
            yield f"label org.opencontainers.image.{name}", "is not set"


@rule(306, sees=Sees.METADATA)
def stop_signal(subject: Subject) -> Iterator[tuple[str, str]]:
    """The stop signal is one that asks a service to finish: SIGTERM, SIGINT or SIGQUIT.

    Why: SIGKILL and its like cut requests off, and what is no stop signal makes every stop wait and then kill.
    Example: `MSB306 stop signal: SIGKILL does not let the service finish`
    Fix: drop STOPSIGNAL, or (nginx) set SIGQUIT.
    """
    signal = str(subject.image.config.get("StopSignal") or "")
    if signal.upper() not in _SIGNALS:
        yield "stop signal", f"{signal} does not let the service finish: drop STOPSIGNAL"


@rule(307, sees=Sees.METADATA)
def working_directory(subject: Subject) -> Iterator[tuple[str, str]]:
    """The working directory is there.

    Why: the engine makes a missing one as root's at every start, and cannot where the root is read-only.
    Example: `MSB307 working directory: there is no folder /srv`
    Fix: let WORKDIR name a folder of the tree.
    """
    path = str(subject.image.config.get("WorkingDir") or "/")
    entry = subject.image.tree.resolve(path)
    if path.strip("/") and not (entry and entry.kind == "folder"):
        yield "working directory", f"there is no folder {path}"


def _shell_form(command: list[str]) -> bool:
    return len(command) > 1 and command[0].rpartition("/")[2] in ("sh", "bash", "ash", "dash") and command[1] == "-c"


def _program_exists(subject: Subject, program: str) -> bool:
    if "/" in program and not program.startswith("/"):
        program = f"{subject.image.config.get('WorkingDir') or ''}/{program}"
    return subject.image.tree.which(program, subject.image.env.get("PATH", _NO_PATH)) is not None
