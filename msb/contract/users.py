"""2xx: who the service runs as, and what it may touch."""

from collections import Counter
from collections.abc import Iterator

from msb.contract.rules import Sees, Subject, rule
from msb.image import Entry, Tree


@rule(201, sees=Sees.METADATA)
def numeric_user(subject: Subject) -> Iterator[tuple[str, str]]:
    """The image's user is a number, and not 0.

    Why: Kubernetes' runAsNonRoot can only judge a number, and root in a container is root on the kernel.
    Example: `MSB201 user: is 'nonroot', not a number`
    Fix: `USER 65532` in `candidate` (the base already sets it).
    """
    user = str(subject.image.config.get("User") or "")
    uid = user.partition(":")[0]
    if not uid:
        yield "user", "is not set, so it is root: write USER 65532"
    elif not uid.isdecimal():
        yield "user", f"is {user!r}, not a number: write USER 65532"
    elif int(uid) == 0:
        yield "user", "is root: write USER 65532"


@rule(202, sees=Sees.RUN)
def effective_user(subject: Subject) -> Iterator[tuple[str, str]]:
    """The running process has no root uid, neither real, effective, saved nor of the file system.

    Why: the configured user says how the process starts, not what it becomes.
    Example: `MSB202 process 1: runs with uid 0`
    Fix: set the user in the image, and let no entrypoint change it.
    """
    if "0" in subject.processes.uids:
        yield "process 1", "runs with uid 0"


@rule(203)
def accounts(subject: Subject) -> Iterator[tuple[str, str]]:
    """There are accounts; none has an empty password, and no two share a uid.

    Why: an empty password is a login, and a second uid 0 is a second root.
    Example: `MSB203 etc/passwd: nobody has an empty password`
    Fix: leave the base's /etc/passwd alone.
    """
    uids: Counter[str] = Counter()
    for path in ("etc/passwd", "etc/shadow"):
        for name, password, *rest in _rows(subject.image.tree, path):
            if not password:
                yield path, f"{name} has an empty password"
            if path == "etc/passwd" and rest:
                uids[rest[0]] += 1
    if not uids:
        yield "etc/passwd", "holds no account"
    for uid, count in uids.items():
        if count > 1:
            yield "etc/passwd", f"uid {uid} has {count} names"


@rule(204)
def setuid(subject: Subject) -> Iterator[tuple[str, str]]:
    """No file has the setuid or setgid bit.

    Why: such a program lends its owner's rights to anybody who runs it.
    Example: `MSB204 usr/bin/su: has the setuid or setgid bit (4755)`
    Fix: `COPY --chmod=755`, or leave the program out.
    """
    for entry in subject.image.tree:
        if entry.kind == "file" and entry.mode & 0o6000:
            yield entry.path, f"has the setuid or setgid bit ({entry.mode:o})"


@rule(205)
def capabilities(subject: Subject) -> Iterator[tuple[str, str]]:
    """No file carries capabilities.

    Why: a file capability gives the process rights that --cap-drop seemed to have taken, and fails without them.
    Example: `MSB205 app/server: carries file capabilities`
    Fix: listen on a port from 1024 on instead of setcap.
    """
    for entry in subject.image.tree:
        if "security.capability" in entry.xattrs:
            yield entry.path, "carries file capabilities"


@rule(206)
def world_writable(subject: Subject) -> Iterator[tuple[str, str]]:
    """No file is world-writable, and no folder is world-writable without the sticky bit.

    Why: whatever runs in the container could plant a file there that something else trusts. Links do not count.
    Example: `MSB206 etc/app.conf: is world-writable (666)`
    Fix: `COPY --chmod=644`.
    """
    for entry in subject.image.tree:
        sticky = entry.kind == "folder" and entry.mode & 0o1000
        if entry.kind in ("file", "folder", "pipe") and entry.mode & 0o002 and not sticky:
            yield entry.path, f"is world-writable ({entry.mode:o})"


@rule(207)
def written_files(subject: Subject) -> Iterator[tuple[str, str]]:
    """The application's files belong to root, and neither they nor others can be written by the service or its group.

    Why: a service that can rewrite its own program, or what another trusts, keeps an intruder across restarts. Group 0
    counts, because some platforms run any uid with it. Left out are the user's home, the places that the stack says
    the service writes in, and the modes of links and devices, which keep nothing.
    Example: `MSB207 app/server: belongs to uid 65532, not to root`
    Fix: `COPY --chown=0:0` (the default), with mode 755 or 644.
    """
    application = tuple(subject.stack.application)
    user = subject.contract.user
    writes = (user.home, *(f"{path}/" for path in subject.stack.service.writes))
    for entry in subject.image.tree:
        ours = f"/{entry.path}/".startswith(application)
        if not ours and f"/{entry.path}/".startswith(writes):
            continue
        if entry.uid != 0 and (ours or entry.uid == user.uid):
            yield entry.path, f"belongs to uid {entry.uid}, not to root"
        sticky = entry.kind == "folder" and entry.mode & 0o1000
        by_group = not sticky and entry.mode & 0o020 and entry.gid in (0, user.uid)
        if entry.kind not in ("link", "device") and (by_group or (ours and entry.mode & 0o022)):
            yield entry.path, f"can be written by others than root ({entry.mode:o})"


@rule(208)
def ownerless(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every file belongs to a user and a group that the image knows.

    Why: a number without a name is whoever gets that number next, and usually a builder's own uid that leaked.
    Example: `MSB208 app/server: uid 1000 is in no /etc/passwd`
    Fix: `COPY --chown=0:0`; in `package`, chown what the build made.
    """
    tree = subject.image.tree
    users = {row[2] for row in _rows(tree, "etc/passwd") if len(row) > 2}
    groups = {row[2] for row in _rows(tree, "etc/group") if len(row) > 2}
    for entry in tree:
        yield from _strangers(entry, users, groups)


def _strangers(entry: Entry, users: set[str], groups: set[str]) -> Iterator[tuple[str, str]]:
    if str(entry.uid) not in users:
        yield entry.path, f"uid {entry.uid} is in no /etc/passwd"
    if str(entry.gid) not in groups:
        yield entry.path, f"gid {entry.gid} is in no /etc/group"


def _rows(tree: Tree, path: str) -> list[list[str]]:
    """The fields of a passwd, shadow or group file; empty when there is none."""
    lines = (tree.text(path) or "").splitlines()
    return [line.split(":") for line in lines if ":" in line and not line.startswith("#")]
