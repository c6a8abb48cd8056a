"""4xx: no secrets."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msb import project as projects
from msb.contract.ownership import Owners
from msb.contract.rebuilt import bundle
from msb.contract.rules import Need, Sees, Subject, names_like, rule
from msb.errors import MsbError
from msb.image import Image
from msb.tree import Content, Entry

# No expression may take more than linear time, whatever the text: repetitions are bounded.
_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\n)"
    rb"(?:[A-Za-z-]{1,40}: [^\n]{0,200}\n){0,10}\s{0,4}[A-Za-z0-9+/=\\\s]{64}"
)
_DER_KEY = re.compile(rb"\A\x30(?:\x81.|\x82..)\x02\x01\x00(?:\x30.\x06|\x02\x82)", re.DOTALL)
_KEY_FILES = names_like([
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.ppk", ".netrc", ".pgpass", ".pypirc", ".git-credentials",
    ".htpasswd", "kubeconfig",
])  # fmt: skip
_STORES = names_like(["*.p12", "*.pfx", "*.jks", "*.keystore"])
_STORE = re.compile(rb"\A(?:\xfe\xed\xfe\xed|\x30[\x80-\x84])")  # Java's own, or PKCS #12
# The objects that hold a private key in either; certificates have others.
_STORED_KEY = re.compile(
    rb"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01[\x01\x02]|\x2b\x06\x01\x04\x01\x2a\x02\x11\x01\x01"
)
_TOKENS = (
    r"AKIA[0-9A-Z]{16}|gh[opusr]_[A-Za-z0-9]{36}|github_pat_\w{30}|glpat-[\w-]{20}|xox[abprs]-[\w-]{10}"
    r"|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50}|AIza[\w-]{35}|sk-[A-Za-z0-9_-]{32}|[sr]k_live_[A-Za-z0-9]{20}"
    r"|SG\.[\w-]{20,24}\.[\w-]{39,50}|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,}\.[\w-]{10}|(?i:AccountKey)=[A-Za-z0-9+/]{40}"
    r"|\b[a-z][a-z0-9+]{1,20}://[^/\s:@]{0,80}:(?!%s|%\(|\*)[^/\s:@$<{]{1,200}@"
)
_TOKEN = re.compile(_TOKENS + r"|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
# Files in which people keep credentials, and what gives one away there.
_CONFIGURATION = names_like([
    ".env", ".env.*", "*.env", ".npmrc", ".yarnrc*", "*.properties", "*.json", "*.yaml", "*.yml", "*.toml", "*.ini",
    "*.conf", "*.cfg", "*.config", "config", "credentials",
])  # fmt: skip
_CONFIGURED = re.compile(
    _TOKENS.encode() + rb"|_authToken=[^\s${]{8}|(?<!\w)_auth=[A-Za-z0-9+/=]{8}"
    rb"|\"auth\": ?\"(?=[A-Za-z]{0,200}[0-9+/=])[A-Za-z0-9+/=]{8}"
    rb"|client-key-data: ?[A-Za-z0-9+/=]{40}|aws_secret_access_key ?= ?\S{40}"
)
_LINES, _TELLING = 16, 12  # lines of a secret that are looked for, the longest first; characters that each has at least
_LARGEST = 1 << 20  # bytes of a file in which people keep credentials
_SECRET_NAME = re.compile(
    r"(?:^|[_.-])(?:PASSWORDS?|PASSWD|PASSPHRASE|PASS|PWD|SECRETS?|TOKENS?|CREDENTIALS?|APIKEY"
    r"|(?:API|ACCESS|SECRET|PRIVATE|ENCRYPTION|SIGNING|MASTER|ACCOUNT|AUTH|STORAGE|SERVICE)_?KEY|SECRET_KEY_BASE)$",
    re.IGNORECASE,
)
_KEY_NAME = re.compile(r"(?:^|[_.-])KEY$", re.IGNORECASE)
# Keys that are in every page, and what models of language call tokens.
_PUBLIC_NAME = re.compile(
    r"^PWD$|^OLDPWD$|(?:^|_)(?:GPG|PUBLIC|PUBLISHABLE|SITE)_KEYS?$"
    r"|(?:^|_)(?:(?:MAX|MIN)(?:_[A-Z]{1,20}){0,2}_TOKENS?|(?:BOS|EOS|PAD|UNK|STOP)_TOKEN)$",
    re.IGNORECASE,
)
# Values that are no credential under any name: a reference, a path, a switch, an address without a password.
_HARMLESS = re.compile(
    r"[$/].*|true|false|yes|no|on|off|none|null|[a-z][a-z0-9+]{1,20}://[^@\s]*"
    r"|arn:aws[^\s]*|vault:[^\s]*/[^\s]*|projects/[^\s]*/secrets/[^\s]*|@Microsoft\.KeyVault\(.*",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"\A(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_-]{20,}")
# And what only looks random: words and small numbers.
_WORDS = re.compile(r"(?:[a-z]{1,20}\d{0,2}|\d{1,4})(?:[-_.:/](?:[a-z]{1,20}\d{0,2}|\d{1,4})){1,20}", re.IGNORECASE)
_TEST_DATA = re.compile(r"(?:^|/)(?:tests?|testdata|test_data|fixtures|\w{1,80}_vectors)/")
_ASSIGNMENT = re.compile(r"(?<![\w./-])([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s,;]+)")
CANARIES = (
    ".env", ".env.staging", ".env.production.local", ".git/config", ".git/HEAD", ".ssh/id_ed25519", "id_ed25519",
    ".npmrc", ".netrc", ".pypirc", ".aws/credentials", ".docker/config.json", ".kube/config", "terraform.tfstate",
    "terraform.tfvars", "server.key", "server.pem", "secrets/password.txt",
)  # fmt: skip
"""Files planted in a copy of the project: none may reach a build's context."""


@rule(401, sees=Sees.LAYERS)
def key_material(subject: Subject) -> Iterator[tuple[str, str]]:
    """No layer holds key material: private keys, key stores with one, tokens and passwords in files of settings.

    Why: a file that a later layer deletes is still in the image for whoever pulls it. A private key in the test data of
    a package or a wheel, with its record, is everybody's, and no finding.
    Example: `MSB401 app/tls.key (layer 3): holds a private key`
    Fix: mount it where it is used (`--mount=type=secret`, or at run time), and replace the key: it has been shared.
    """
    tree, owners = subject.image.tree, None
    for number, layer in enumerate(subject.image.layers, 1):
        for entry in layer.archive.entries.values():
            if entry.kind == "file" and (held := _key_material(layer.archive, entry)):
                if _TEST_DATA.search(entry.path) and tree.keeps(layer.archive, entry):
                    owners = owners or Owners(tree)
                    if owners.published(entry):
                        continue
                yield f"{entry.path} (layer {number})", held


@rule(402, Need.SECRET, sees=Sees.LAYERS)
def build_secret(subject: Subject) -> Iterator[tuple[str, str]]:
    """No byte of a build secret is in a layer or in the history.

    Why: a secret that was copied, or given as a build argument, is read by whoever pulls the image, also if a later
    step deletes it; a CA bundle that stays makes the image trust a proxy. The secret is a file that its owner names
    (`--secret`), each long line of it. Of a generated project a copy is built with a secret that holds a canary, and
    the layers of its builder, which end in caches, are searched too.
    Example: `MSB402 root/.npmrc (layer 3): holds the secret`
    Fix: `RUN --mount=type=secret,id=npmrc,target=/root/.npmrc`, and copy nothing from it; then replace the secret.
    """
    if subject.secret:
        yield from traces(subject.image, subject.secret)
        return
    assert subject.project  # noqa: S101 the rule's need
    yield from subject.rebuilt.traces
    canary = subject.rebuilt.canary
    search = f"\nFROM build AS search\nRUN ! grep -rlsF {canary} / --exclude-dir=proc --exclude-dir=sys\n"
    with tempfile.TemporaryDirectory(prefix="msb-secret-") as folder:
        secret = Path(folder) / "secret"
        secret.write_bytes(bundle(canary))
        copy = projects.copy(subject.project, Path(folder) / "project")
        with (copy / "Dockerfile").open("a", encoding="utf-8") as dockerfile:
            dockerfile.write(search)
        try:  # the stages before it are cached as they were built with the canary
            nowhere = ("--output=type=cacheonly",)
            projects.build(subject.engine, copy, target="search", options=nowhere, secret=secret)
        except projects.BuildError as error:
            if not re.search(r"^ > \[(?:\S+ )?search ", error.log, re.MULTILINE):
                raise  # it could not look
            yield "build stage", "holds the secret in a layer: mount it, never copy it"


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


def _key_material(archive: Content, entry: Entry) -> str:
    """What a file holds that nobody else may have, or ""."""
    if _KEY_FILES.match(entry.name):
        return "is a key or credentials file by its name"
    if _STORES.match(entry.name) and (archive.search(entry, _STORED_KEY) or not archive.search(entry, _STORE)):
        return "is a key store that does not hold certificates alone"
    if entry.size and (archive.search(entry, _PRIVATE_KEY) or archive.search(entry, _DER_KEY)):
        return "holds a private key"
    if 0 < entry.size < _LARGEST and _CONFIGURATION.match(entry.name) and archive.search(entry, _CONFIGURED):
        return "holds a token or a password"
    return ""


def traces(image: Image, secret: bytes) -> Iterator[tuple[str, str]]:
    """Yield where a long line of a secret is in the layers and in the history; raise MsbError when it has none."""
    lines = {line.strip() for line in secret.splitlines() if not line.startswith(b"-----")}  # as every key's first
    told = [line for line in sorted(lines, key=len)[-_LINES:] if len(line) >= _TELLING]
    if not told:
        raise MsbError(f"the secret has no line of {_TELLING} characters to look for, as a token has")
    pattern = re.compile(b"|".join(map(re.escape, told)))
    for number, layer in enumerate(image.layers, 1):
        for entry in layer.archive.entries.values():
            if layer.archive.search(entry, pattern):
                yield f"{entry.path} (layer {number})", "holds the secret"
    for number, text in enumerate(reversed(image.history), 1):
        if pattern.search(text.encode("utf-8", "surrogateescape")):
            yield f"history {number}", "holds the secret"


def _telling(name: str, value: str) -> bool:
    """Whether a NAME=value pair gives a credential away: by the value's form, or by a telling name and value."""
    if not value or value.startswith("$"):
        return False
    if _TOKEN.search(value):
        return True
    if _PUBLIC_NAME.search(name) or _HARMLESS.fullmatch(value):
        return False
    return bool(
        _SECRET_NAME.search(name)
        or (_KEY_NAME.search(name) and _RANDOM.fullmatch(value) and not _WORDS.fullmatch(value))
    )
