"""Check the answers before a file is written: one line for the first bad one, exit code 1. Needs Python 3.9."""

import json
import re
import reprlib
import sys

# tojson twice makes one string literal that no answer can end, so answers are data and never run.
# As pairs, because tojson sorts a mapping and the first bad answer in the order of the questions is the one to name.
ANSWERS = dict(json.loads({{cookiecutter.items() | list | tojson | tojson}}))  # noqa: F821

# Line breaks, control characters, direction overrides and what YAML or Go sources cannot hold.
INVISIBLE = "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
DEVICE = "(?:con|prn|aux|nul|com[0-9]|lpt[0-9])"  # no file can have these names on Windows
LABEL = "(?!-)[A-Za-z0-9-]+(?<!-)"
HOST = rf"(?:{LABEL}(?:\.{LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
PART = "[a-z0-9]+(?:(?:[_.]|__|-+)[a-z0-9]+)*"


def match(pattern):
    """Return a test for the whole of a value."""
    return re.compile(pattern).fullmatch


EXAMPLES = {
    "project_slug": "hello-service",
    "port": "8080",
    "image_repository": "ghcr.io/acme/hello-service",
    "go_module": "github.com/acme/hello-service",
}
# Question, test, and what is wrong where the test fails; "" is every question. Each stack asks some of them.
CHECKS = [
    ("", str.strip, "is empty"),
    ("", match(f"(?!.*{INVISIBLE})(?s:.)*"), "holds a line break or another control character"),
    ("", lambda value: value == value.strip(), "starts or ends with a space"),
    ("", lambda value: len(value) <= 200, "is longer than 200 characters"),
    ("project_slug", match("[a-z0-9-]+"), "may hold only the letters a to z, digits and single hyphens"),
    ("project_slug", match("[a-z].*"), "must start with a letter"),
    ("project_slug", match("[a-z0-9]+(-[a-z0-9]+)*"), "may not end with a hyphen or hold two in a row"),
    ("project_slug", lambda value: len(value) <= 40, "is longer than 40 characters"),
    ("project_slug", match(f"(?!{DEVICE}$).*"), "is the name of a device on Windows"),
    ("port", match("[1-9][0-9]*"), "must be a whole number in plain digits, without a leading zero"),
    ("port", lambda value: 1024 <= int(value) <= 65535, "must be from 1024 to 65535"),
    ("image_repository", match("[^@]*/[^:@]*|[^:@]*"), "may not end in a tag or a digest: the build adds the version"),
    # As Docker reads it: the first part is a host if it has a dot or a port, or is localhost.
    ("image_repository", match(f"(?:(?=[^/]*[.:]|localhost/){HOST}/)?{PART}(?:/{PART})*"), "is not an image name"),
    ("image_repository", match("(?![0-9a-f]{64}$).*"), "looks like an image id"),
    # By the rules of CheckPath in golang.org/x/mod/module.
    ("go_module", match("[A-Za-z0-9._~/-]+"), "may hold only letters, digits and . _ ~ - between slashes"),
    ("go_module", match("[^/]+(/[^/]+)*"), "may not start or end with a slash or hold two in a row"),
    ("go_module", match(r"(?!.*(^|[/.])\.)(?!.*\.(/|$)).*"), "may hold a dot only inside a part, and no two in a row"),
    ("go_module", match(r"(?=[^/]*\.)[a-z0-9][a-z0-9.-]*(/.*)?"), "must start with a domain name in lower case"),
    ("go_module", match(f"(?i:(?!(.*/)?{DEVICE}([./]|$)).*)"), "has a part that is the name of a device on Windows"),
    ("go_module", match(r"(?!(.*/)?[^/.]*~[0-9]+([./]|$)).*"), "has a part that looks like a short name of Windows"),
    ("go_module", match("(?!(.*/)?vendor(/|$)).*"), "has a part called vendor, whose packages Go does not import"),
    ("go_module", match("(?!.*/v[0-9.]+$).*|.*/v([2-9]|[1-9][0-9]+)"), "may end in /v2 or higher, in no other version"),
    ("go_module", match(r"(?!gopkg\.in/).*|.*\.v(0|[1-9][0-9]*(-unstable)?)"), "must end in a version such as .v1"),
]


def complaint(question, answer):
    """Say what is wrong with an answer, or return None."""
    for name, good, wrong in CHECKS:
        if name in ("", question) and not good(answer):
            return wrong
    reserved = ANSWERS.get("_reserved", {}).items() if question == "project_slug" else ()
    return next((f"is {kind}" for kind, names in reserved if answer in names), None)


reprlib.aRepr.maxstring = 80
for question, answer in ANSWERS.items():
    wrong = None if question.startswith("_") or not isinstance(answer, str) else complaint(question, answer)
    if wrong:
        example = EXAMPLES.get(question, "one line of text")
        sys.exit(f"{question}: {reprlib.repr(answer)} {wrong}; for example: {example}")
