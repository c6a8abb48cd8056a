"""The typed view of stacks.toml, the one data file that tests, report, docs and workflows read."""

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from msb.errors import MsbError, SkippedError

ROOT = Path(__file__).resolve().parent.parent
"""The collection's root folder; of an installed msb, the folder that it is installed in."""
_PACKED = Path(__file__).with_name("stacks.toml")
DATA = _PACKED if _PACKED.exists() else ROOT / "stacks.toml"
"""stacks.toml, which a wheel has inside, with the templates beside it."""
ANY = "any"
"""The profile that judges an image of which nobody has said the stack."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Content(_Strict):
    """What rules 103 to 107 look for.

    Names are shell patterns. carried: package = reason; scripts: path = reason; fingerprints: name = text in machine
    code; members: name = end of a path in an archive; identities: name = patterns of what it calls itself there;
    served: what rule 107 asks of files that are served.
    """

    sections: list[str]
    packages: list[str]
    carried: dict[str, str]
    scripts: dict[str, str]
    wheels: list[str]
    fingerprints: dict[str, str]
    members: dict[str, str]
    identities: dict[str, list[str]]
    headers: list[str]
    sources: list[str]
    served: list[str]


class Collection(_Strict):
    """The collection itself. address: where it is cloned from, which is also its page."""

    address: str


class User(_Strict):
    """Whom the base runs a service as."""

    uid: int
    home: str


class Profile(_Strict):
    """The denied names that are allowed all the same, and where files are served."""

    permits: list[str]
    keeps: list[str]
    webroot: list[str]


class Contract(_Strict):
    """The denied names of the contract, by family, and what `any` image may have; see stacks.toml."""

    tools: dict[str, list[str]]
    footholds: dict[str, list[str]]
    content: Content
    user: User
    any: Profile


class OptionSet(_Strict):
    """One full answer to a stack's questions; questions that `answers` leaves out take their defaults.

    `build`: whether its image is built; "pulled": where every base is pulled, because one of them has no stand-in.
    """

    name: str
    build: bool | Literal["pulled"]
    answers: dict[str, str] = Field(default_factory=dict)


class Budget(_Strict):
    """The largest runtime image.

    `bytes`: uncompressed size; `twin_share`: share of the twin, 0 to 1; `floor_share`: share of base and service.
    """

    bytes: int = Field(gt=0)
    twin_share: float = Field(gt=0, le=1)
    floor_share: float = Field(ge=1)


class Service(_Strict):
    """What the behaviour rules ask of a running service; paths are URL paths.

    `body`: what is posted to the resource, or "" where it can only be read; `bad_configuration`: environment variables,
    and files by their absolute path; `unprobed`: why the image has no health check, or "" where it has one; `drain`:
    seconds after the stop signal in which it still takes new connections.
    """

    health: str
    ready: str
    resource: str
    body: str
    writes: list[str]
    bad_configuration: dict[str, str]
    unprobed: str = ""
    drain: float = Field(default=0, ge=0)


class Compare(_Strict):
    """What the demo compares beside sizes and edits.

    `page`: the URL path that is asked; `requests`: the least share of a peer's requests a second; `stack`: another
    stack whose start is compared, and `start`: how many times as long this stack's may take.
    """

    page: str
    requests: float = Field(gt=0)
    stack: str
    start: float = Field(gt=0)


class Part(_Strict):
    """A folder of the runtime image that is cut from one of a base: their absolute paths, and the largest share."""

    path: str
    base: str
    original: str
    share: float = Field(gt=0, le=1)


class Edit(_Strict):
    """A change to a generated project: replace `find` by `text` in `file`; an empty `find` appends (and creates)."""

    file: str
    find: str
    text: str


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


Change = Annotated[list[Edit], BeforeValidator(_listed)]
"""One edit, or one a language: the first whose folder the project has is meant."""


class Edits(_Strict):
    """The edits that rules and tests make to a copy of a project.

    `linted`: a fault that only its linter sees; `bare`: what a person types instead of a build, as shell text, or ""
    for the commands of the stages build and test.
    """

    source: Change
    test: Change
    failing_test: Change
    linted: Change
    bare: str = ""


class Stack(_Strict):
    """One stack: its folder, option sets, permitted names, bases, budget, service and what it is compared with.

    `varies`: the files that two builds of one source make differently; `versions`: how each language tool tells its
    version, as a stage and the command there; `parts`: what it cuts from its bases; `peers`: how many times the start
    of a peer its own may take, where that is not measure.START.
    """

    name: str
    title: str
    summary: str
    option_sets: list[OptionSet]
    permits: list[str]
    keeps: list[str]
    application: list[str]
    webroot: list[str]
    changes: list[str]
    varies: list[str] = Field(default_factory=list)
    builder: str
    bases: list[str]
    budget: Budget
    service: Service
    edits: Edits
    compare: Compare | None = None
    versions: dict[str, Annotated[list[str], Field(min_length=2)]] = Field(default_factory=dict)
    parts: list[Part] = Field(default_factory=list)
    peers: dict[str, float] = Field(default_factory=dict)

    @property
    def template(self) -> Path:
        """The template's folder."""
        return DATA.parent / "templates" / self.name

    @property
    def benchmarks(self) -> Path:
        """The folder of its single-stage twin and of its peers' Dockerfiles."""
        return ROOT / "benchmarks" / self.name

    def option_set(self, name: str) -> OptionSet:
        """Return the option set called `name`; raise MsbError naming the known ones."""
        for options in self.option_sets:
            if options.name == name:
                return options
        known = ", ".join(options.name for options in self.option_sets)
        raise MsbError(f"unknown option set {name!r} of {self.name}: there are {known} (for example --options default)")


class _Unsaid:
    """Stands for what the profile `any` does not say: a rule that asks for it is skipped."""

    def __getattr__(self, name: str) -> Any:
        raise SkippedError("needs --stack, which says what the service is")

    def __iter__(self) -> Iterator[Any]:
        raise SkippedError("needs --stack, which says what the service is")


class Matrix(_Strict):
    """All of stacks.toml."""

    collection: Collection
    contract: Contract
    stacks: dict[str, Stack]

    @property
    def any(self) -> Stack:
        """The profile for an image of which nobody has said the stack."""
        said = {"name": ANY, **self.contract.any.model_dump()}
        return Stack.model_construct(**{name: _Unsaid() for name in Stack.model_fields} | said)

    def stack(self, name: str) -> Stack:
        """Return the stack called `name`; raise MsbError naming the known ones."""
        if name not in self.stacks:
            raise MsbError(f"unknown stack {name!r}: the stacks are {', '.join(self.stacks)} (for example --stack go)")
        return self.stacks[name]


@cache
def load(path: Path = DATA) -> Matrix:
    """Read and check stacks.toml; raise MsbError with the first bad key."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, stack in data.get("stacks", {}).items():
        stack["name"] = name
    try:
        return Matrix.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise MsbError(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
