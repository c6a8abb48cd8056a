"""4xx: no secrets."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msb import project as projects
from msb.contract.rules import Need, Sees, Subject, names_like, rule
from msb.errors import MsbError

_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s+(?:[A-Za-z-]+: [^\n]*\s+)*[A-Za-z0-9+/=\s]{64}"
)
_KEY_FILES = names_like([
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore",
    ".netrc", ".pgpass", ".pypirc", ".git-credentials", ".htpasswd", "kubeconfig",
])  # fmt: skip
_TOKEN = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[opusr]_[A-Za-z0-9]{36}|github_pat_\w{30}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10}"
    r"|npm_[A-Za-z0-9]{36}|AIza[\w-]{35}|sk-[A-Za-z0-9_-]{32}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|[a-z][a-z0-9+]*://[^/\s:@]+:[^/\s:@$]+@"
)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PWD|SECRETS?|TOKEN|CREDENTIALS?|APIKEY|KEY)(?:_|$)", re.IGNORECASE
)
_PUBLIC_NAME = re.compile(r"_FILE$|_PATH$|_ID$|^PWD$|^OLDPWD$|(?:^|_)(?:GPG|PUBLIC)_KEYS?$", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(?<![\w./-])([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s,;]+)")
CANARIES = (
    ".env", ".env.staging", ".env.production.local", ".git/config", ".git/HEAD", ".ssh/id_ed25519", "id_ed25519",
    ".npmrc", ".netrc", ".pypirc", ".aws/credentials", ".docker/config.json", ".kube/config", "terraform.tfstate",
    "terraform.tfvars", "server.key", "server.pem", "secrets/password.txt",
)  # fmt: skip
"""Files planted in a copy of the project: none may reach a build's context."""


@rule(401, sees=Sees.LAYERS)
def key_material(subject: Subject) -> Iterator[tuple[str, str]]:
    """No layer holds key material: private keys by their content, key stores and credential files by their name.

    Why: a file that a later layer deletes is still in the image for whoever pulls it.
    Example: `MSB401 app/tls.key (layer 3): holds a private key`
    Fix: mount it where it is used (`--mount=type=secret`, or at run time), and replace the key: it has been shared.
    """
    for number, layer in enumerate(subject.image.layers, 1):
        for entry in layer.archive.entries.values():
            where = f"{entry.path} (layer {number})"
            if entry.kind != "file":
                continue
            if _KEY_FILES.match(entry.name):
                yield where, "is a key or credentials file by its name"
            elif layer.archive.search(entry, _PRIVATE_KEY):
                yield where, "holds a private key"


@rule(403, sees=Sees.METADATA)
def credentials(subject: Subject) -> Iterator[tuple[str, str]]:
    """No credential in the environment, the labels or the history, build arguments included.

    Why: all three can be read by whoever can pull the image, and the history keeps what later steps unset.
    Example: `MSB403 env DATABASE_PASSWORD: has a value in the image`
    Fix: pass it at run time, or in a build by `--mount=type=secret`; then replace it, for it has been shared.
    """
    image = subject.image
    told = set()
    for kind, pairs in (("env", image.env), ("label", image.config.get("Labels") or {})):
        for name, value in pairs.items():
            if _telling(name, str(value)):
                told.add(name)
                yield f"{kind} {name}", "has a value in the image"
    for number, text in enumerate(reversed(image.history), 1):
        named = {name for name, value in _ASSIGNMENT.findall(text) if _telling(name, value.strip("\"'"))}
        for name in sorted(named - told):
            yield f"history {number}", f"gives {name} a value"
        if not named and _TOKEN.search(text):
            yield f"history {number}", "holds a token or a password in an address"
        told |= named


@rule(404, Need.PROJECT, sees=Sees.BUILD)
def context(subject: Subject) -> Iterator[tuple[str, str]]:
    """The project's .dockerignore keeps secrets and version control data out of the build context.

    Why: what is in the context is one `COPY . .` away from a layer. Files such as .env and id_ed25519 are planted in
    a copy of the project, and the whole context is copied out to look.
    Example: `MSB404 .env: reaches the build context`
    Fix: name it in .dockerignore.
    """
    assert subject.project  # noqa: S101 the rule's need
    with tempfile.TemporaryDirectory(prefix="msb-context-") as folder:
        copy = projects.copy(subject.project, Path(folder) / "project")
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
        for name in CANARIES:
            path = copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("planted by msb\n", encoding="utf-8")
        arrived = Path(folder) / "arrived"
        projects.build(
            subject.engine, copy, options=("--file", str(dockerfile), "--output", f"type=local,dest={arrived}")
        )
        if not any(arrived.iterdir()):
            raise MsbError("the build context is empty, so nothing can be said about it")
        for name in CANARIES:
            if (arrived / name).exists():
                yield name, "reaches the build context: name it in .dockerignore"


def _telling(name: str, value: str) -> bool:
    """Whether a NAME=value pair gives a credential away; a reference to one ($NAME, a path) does not."""
    if not value or value.startswith(("$", "/run/secrets/")):
        return False
    named = _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name)
    return bool(named or _TOKEN.search(value))
