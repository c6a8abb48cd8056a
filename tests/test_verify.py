"""docker/verify, run by the real toolbox image over the real base's tree, spoiled in one way at a time."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import IMAGES

from msb import project as projects
from msb.contract import Subject, check
from msb.contract.exceptions import exceptions
from msb.engine import Engine, Output
from msb.image import Image
from msb.project import BuildError
from msb.stacks import ROOT, Matrix, Stack
from msb.sync import contract_data

SCRIPT = ROOT / "common" / "docker" / "verify"
# The base's files without /busybox, and an application: the candidate of a service. `elf` makes machine code, `own`
# records what is there as the build's own, and `record` prints a line of a wheel's RECORD.
CANDIDATE = r"""set -eu
elf() { printf '\177ELF\2\1\1 %s' "${2:-}" >"$1"; }
own() { mkdir -p /tree/usr/share/built; (cd /tree && sha256sum "$@") >>/tree/usr/share/built/x.sha256; }
record() { printf '%s,sha256=%s,9\n' "$2" "$(sha256sum "$1" | xxd -r -p | base64 | tr +/ -_ | tr -d =)"; }
mkdir /tree
for path in /bin /etc /home /lib /root /sbin /tmp /usr /var; do cp -a "$path" /tree/; done
cd /tree
mkdir app
elf app/server
own app/server
"""

# A wheel with machine code: beside its record, under a name with a comma, and far from it.
WHEEL = """mkdir -p usr/site/x-1.dist-info usr/libexec
elf usr/site/x.so
elf 'usr/site/a,"b.so'
elf usr/libexec/helper
{ record usr/site/x.so ./x.so; record usr/site/x.so '"a,""b.so"'; record usr/site/x.so ../libexec/helper
  echo x-1.dist-info/RECORD,,; } >usr/site/x-1.dist-info/RECORD
"""

Verify = Callable[..., Output]


@pytest.fixture
def contract(matrix: Matrix, tmp_path: Path) -> Path:
    """A docker folder as a project of the Go stack has it, whose contract a test may change."""
    folder = tmp_path / "docker"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    (folder / "contract.txt").write_text(contract_data(matrix, matrix.stack("go")), encoding="utf-8")
    return folder


@pytest.fixture
def verify(engine: Engine, matrix: Matrix, contract: Path) -> Verify:
    """Spoil a candidate with a shell script, and verify it; `[made]` at the end of the output: the proof is there."""
    toolbox = next(base for base in matrix.stack("go").bases if "debug" in base)

    def spoil_and_verify(spoil: str = "", tree: str = "/tree", prefix: str = "") -> Output:
        script = f"{CANDIDATE}{spoil}\ncd /\nset +e\n{prefix} sh /docker/verify {tree} /done\ncode=$?\n"
        script += '[ ! -d /done ] || echo "[made]"\nexit $code'
        options = ["--rm", "--user", "0", "--network", "none", "--volume", f"{contract}:/docker:ro"]
        return engine.run("run", *options, toolbox, "-c", script, check=False)

    return spoil_and_verify


def findings(result: Output) -> list[str]:
    """The findings, as `MSBnnn path`."""
    return sorted(re.findall(r"^(MSB\d{3} .+?): ", result.stdout, re.MULTILINE))


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = [Path(sys.executable).parent / "shellcheck", "--shell=sh", SCRIPT]
    result = subprocess.run(shellcheck, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_a_clean_candidate_passes_and_the_report_says_what_was_looked_at(verify: Verify) -> None:
    result = verify()
    assert (result.returncode, findings(result)) == (0, [])
    assert re.search(r"looked at \d{4} entries: 1 ELF files, \d scripts, \d+ links, 6 package records", result.stdout)
    assert result.stdout.endswith("[made]\n")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param("echo '#!/x' >usr/bin/gcc-14; own usr/bin/gcc-14", ["MSB101 usr/bin/gcc-14"], id="101 by name"),
        pytest.param("mkdir 'a b'; elf 'a b/-x'; ln -s -- -x 'a b/ld'; cp 'a b/-x' app/ld.gold",
                     ["MSB101 a b/ld", "MSB101 app/ld.gold", "MSB104 a b/-x", "MSB104 app/ld.gold"],
                     id="101 a link by name, odd names"),
        pytest.param("elf app/go; own app/go; ln -s ../../app/go usr/bin/x; ln -s /usr/bin/x usr/bin/y",
                     ["MSB101 app/go", "MSB102 usr/bin/x", "MSB102 usr/bin/y"], id="102 links to a tool"),
        pytest.param("elf app/make; own app/make; mkdir opt; ln -s app opt/far; ln -s ../app/../app/make opt/z",
                     ["MSB101 app/make", "MSB102 opt/z"], id="102 through folders"),
        pytest.param("echo 'Package: gcc-14' >var/lib/dpkg/status.d/gcc-14",
                     ["MSB103 var/lib/dpkg/status.d/gcc-14"], id="103 a denied package"),
        pytest.param("printf 'Package: libx\\n\\nPackage: git\\n' >var/lib/dpkg/status",
                     ["MSB103 var/lib/dpkg/status"], id="103 in dpkg's own file"),
        pytest.param("mkdir app/pip-26.2.dist-info app/Poetry_core.egg-info app/pipeline-1.dist-info",
                     ["MSB103 app/Poetry_core.egg-info", "MSB103 app/pip-26.2.dist-info"], id="103 Python packages"),
        pytest.param("printf 'Package: x\\nSection: utils\\n' >var/lib/dpkg/status.d/x",
                     ["MSB103 var/lib/dpkg/status.d/x"], id="103 by what the package is for"),
        pytest.param("mkdir -p lib/apk/db; printf 'P:musl\\n\\nP:gcc\\n' >lib/apk/db/installed",
                     ["MSB103 usr/lib/apk/db/installed"], id="103 Alpine's record"),
        pytest.param("elf usr/lib/plugin.so", ["MSB104 usr/lib/plugin.so"], id="104 nothing owns it"),
        pytest.param("mkdir -p usr/local/bin usr/local/lib/python3.14; elf app/x; elf usr/local/bin/python3-helper\n"
                     "echo '#! /x' >usr/local/lib/python3.14/report",
                     ["MSB101 usr/local/bin/python3-helper", "MSB104 app/x", "MSB104 usr/local/bin/python3-helper",
                      "MSB104 usr/local/lib/python3.14/report"], id="104 no folder excuses it"),
        pytest.param("elf app/server changed", ["MSB104 app/server"], id="104 not as the build made it"),
        pytest.param(f"{WHEEL}elf usr/site/x.so changed", ["MSB104 usr/site/x.so"], id="104 not as the wheel has it"),
        pytest.param(f"{WHEEL}elf usr/site/y.so", ["MSB104 usr/site/y.so"], id="104 not in the wheel's record"),
        pytest.param("elf usr/lib/x.so; md5sum usr/lib/x.so >var/lib/dpkg/status.d/x.md5sums; elf usr/lib/x.so changed",
                     ["MSB104 usr/lib/x.so"], id="104 its checksum differs"),
        pytest.param("elf app/server 'COLLECT_GCC_OPTIONS '; own app/server", ["MSB105 app/server"],
                     id="105 a compiler renamed"),
        pytest.param("printf '\\177ELF\\npath\\tcmd/go\\n' >app/server; own app/server", ["MSB105 app/server"],
                     id="105 go renamed"),
        pytest.param("printf '\\332\\332\\376\\312\\0com/sun/tools/javac/main\\0' >app/data", ["MSB105 app/data"],
                     id="105 a compiler among Java's modules"),
        pytest.param("printf 'PK\\3\\4\\0\\0org/codehaus/janino/SimpleCompiler.class\\0' >app/x.jar",
                     ["MSB105 app/x.jar"], id="105 a compiler in a jar"),
        pytest.param("mkdir -p usr/include; touch usr/include/zlib.h usr/lib/libz.a usr/lib/z.pc",
                     ["MSB106 usr/include/zlib.h", "MSB106 usr/lib/libz.a", "MSB106 usr/lib/z.pc"], id="106"),
        pytest.param("mkdir -p app/.git app/src; touch app/src/main.go app/go.sum app/requirements-dev.txt",
                     ["MSB107 app/.git", "MSB107 app/go.sum", "MSB107 app/requirements-dev.txt",
                      "MSB107 app/src/main.go"], id="107"),
        pytest.param("elf app/run; ln -s app/run sh; echo '#!' >usr/bin/apt-get; elf app/curl; ln -s curl app/get\n"
                     "own app/run usr/bin/apt-get app/curl",
                     ["MSB108 app/curl", "MSB108 app/get", "MSB108 sh", "MSB108 usr/bin/apt-get"], id="108"),
        pytest.param("echo 'x::9:9::/:/x' >>etc/passwd; echo 'root::1:' >etc/shadow",
                     ["MSB203 etc/passwd", "MSB203 etc/shadow"], id="203 empty passwords"),
        pytest.param("echo 'x:x:0:9::/:/x' >>etc/passwd", ["MSB203 etc/passwd"], id="203 a uid twice"),
        pytest.param("mv etc/passwd etc/accounts; echo 'x::9:9::/:/x' >>etc/accounts; ln -s accounts etc/passwd",
                     ["MSB203 etc/passwd"], id="203 behind a link"),
        pytest.param("chmod 4755 app/server", ["MSB204 app/server"], id="204 setuid"),
        pytest.param("chmod 2755 app/server", ["MSB204 app/server"], id="204 setgid"),
        pytest.param("touch etc/open; chmod 646 etc/open", ["MSB206 etc/open"], id="206 a file"),
        pytest.param("mkdir -m 777 var/open; mkdir -m 1777 var/sticky",
                     ["MSB206 var/open", "MSB207 var/open"], id="206 a folder"),
        pytest.param("chown 65532 app/server", ["MSB207 app/server"], id="207 owned by the user"),
        pytest.param("chown 0:65532 app/server; chmod 775 app/server", ["MSB207 app/server"], id="207 by its group"),
        pytest.param("chown 65532 app", ["MSB207 app"], id="207 the folder"),
        pytest.param("mkdir var/state; chown 65532 var/state; touch etc/x; chmod 664 etc/x",
                     ["MSB207 etc/x", "MSB207 var/state"], id="207 outside the application"),
        pytest.param("touch etc/x etc/y; chown 1234 etc/x; chgrp 1234 etc/y", ["MSB208 etc/x", "MSB208 etc/y"],
                     id="208"),
    ],
)  # fmt: skip
def test_a_spoiled_candidate_is_refused_and_every_culprit_named(
    verify: Verify, spoil: str, expected: list[str]
) -> None:
    result = verify(spoil)
    assert (result.returncode, findings(result)) == (1, expected)
    assert f"findings: {len(expected)};" in result.stdout
    assert "[made]" not in result.stdout


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param("echo data >app/go; mkdir app/make; ln -s nowhere usr/bin/gcc", id="tools are programs only"),
        pytest.param("ln -s /busybox/sh app/shell", id="links end inside the tree"),
        pytest.param("ln -s b app/a; ln -s a app/b", id="a loop of links"),
        pytest.param("echo COLLECT_GCC_OPTIONS >app/notes.txt", id="texts count in machine code only"),
        pytest.param("elf usr/lib/x.so; md5sum usr/lib/x.so >var/lib/dpkg/status.d/x.md5sums", id="an owned library"),
        pytest.param(WHEEL, id="a wheel's machine code"),
        pytest.param(
            "elf usr/lib/x.so; (cd usr/lib && md5sum x.so) | sed 's|  |  ./lib/../lib/|' "
            ">var/lib/dpkg/status.d/x.md5sums",
            id="a path with dots, through a link",
        ),
        pytest.param("elf app/lua51.so; elf app/ld.so.2; own app/lua51.so app/ld.so.2", id="libraries like tools"),
        pytest.param("elf app/link; elf app/just; own app/link app/just", id="services with common names"),
        pytest.param(
            "mkdir -p usr/site/x-1.dist-info usr/site/testdata; touch usr/site/x.inc usr/site/testdata/a.go\n"
            "{ record usr/site/x.inc x.inc; record usr/site/x.inc testdata/a.go; } "
            ">usr/site/x-1.dist-info/RECORD",
            id="a wheel's content",
        ),
        pytest.param("echo '# who' >>etc/passwd; echo >>etc/passwd", id="comments and blank lines in accounts"),
        pytest.param(
            "printf 'Package: sed\\nStatus: deinstall ok config-files\\n' >var/lib/dpkg/status",
            id="a package that was removed",
        ),
        pytest.param("touch tmp/x home/nonroot/x; chown 65532:65532 tmp/x home/nonroot/x", id="the user's own places"),
        pytest.param("mknod app/null c 1 3; chmod 666 app/null", id="a device"),
        pytest.param("touch \"app/it's -> 'x'\"; ln -s \"it's -> 'x'\" app/l; touch 'app/ a=b'", id="odd names"),
    ],
)
def test_what_only_looks_like_a_breach_is_no_finding(verify: Verify, spoil: str) -> None:
    result = verify(spoil)
    assert (result.returncode, findings(result)) == (0, []), result.stdout + result.stderr


def test_in_a_webroot_only_what_no_visitor_is_meant_to_get_is_left_over(verify: Verify, contract: Path) -> None:
    with (contract / "contract.txt").open("a") as text:
        text.write("webroot /srv/\n")
    names = "seg0.ts a.py package.json x.h pom.xml testdata x.js.map .env.local node_modules"
    result = verify(f"mkdir srv; cd srv; touch {names}")
    assert findings(result) == ["MSB107 srv/.env.local", "MSB107 srv/node_modules", "MSB107 srv/x.js.map"]


def test_a_tool_with_a_program_and_an_archive_is_found_in_both(verify: Verify, matrix: Matrix) -> None:
    content = matrix.contract.content
    both = sorted(content.fingerprints.keys() & content.members.keys())
    assert "javac" in both
    made = "".join(
        f"elf app/{tool}.x {shlex.quote(content.fingerprints[tool])}\n"
        f"printf 'PK\\003\\004 %s' {shlex.quote(content.members[tool])} >app/{tool}.y\n"
        for tool in both
    )
    told = re.findall(r"^MSB105 app/(\S+): is (.+) under another name$", verify(made).stdout, re.MULTILINE)
    assert sorted(told) == [(f"{tool}.{form}", tool) for tool in both for form in "xy"]


def test_two_thousand_libraries_with_long_names_are_all_read(verify: Verify) -> None:
    result = verify(
        'name=$(printf %0150d 0)"\' b"\nfor i in $(seq 2000); do elf "app/$name $i.so"; done\nown app/*.so\n'
        "elf \"app/$name 700.so\" 'BusyBox v'; elf \"app/$name 2000.so\" 'BusyBox v'; elf \"app/last.so\" 'BusyBox v'"
    )
    assert result.returncode == 1, result.stderr
    assert [line.split()[0] for line in findings(result)] == ["MSB104"] * 3 + ["MSB105"] * 3


def test_a_hundred_findings_of_one_rule_are_counted_and_not_all_printed(verify: Verify) -> None:
    result = verify("for i in $(seq 100); do touch app/$i.c; done")
    assert len(findings(result)) == 20
    assert "MSB107: and 80 more" in result.stdout
    assert "findings: 100;" in result.stdout


def test_an_exception_with_a_reason_passes_and_is_reported(verify: Verify, contract: Path) -> None:
    with (contract / "contract.txt").open("a") as text:
        text.write("allow MSB107 /app/schema.* clients download it\nallow MSB106 /opt/* not there any more\n")
        text.write("allow MSB302 /* the full contract asks for ports\n")
        text.write("allow MSB107 /app/old.c until 2026-01-31 clients still downloaded it\n")
        text.write("allow MSB107 /app/new.c until 2999-12-31 clients still download it\n")
    result = verify("touch app/schema.c app/new.c")
    assert (result.returncode, findings(result)) == (0, [])
    assert "not asked here: allow MSB302" in result.stdout
    assert "expired: allow MSB107 /app/old.c" in result.stdout
    assert findings(verify("touch app/old.c")) == ["MSB107 app/old.c"]
    assert "used: allow MSB107 /app/schema.* clients download it" in result.stdout
    assert "not needed: allow MSB106 /opt/* not there any more" in result.stdout


def test_a_pattern_is_read_as_a_shell_does_and_line_ends_may_be_those_of_windows(
    verify: Verify, contract: Path
) -> None:
    with (contract / "contract.txt").open("a", newline="") as text:
        text.write("allow MSB107 /app/[a.c it is odd\r\nallow MSB107 /app/b\\.c it is odd\r\n")
        text.write("allow MSB107 /app/[!a-z].c it is simple\r\nallow MSB107 /app/testdata it is a folder\r\n")
    result = verify(r"touch 'app/[a.c' 'app/b\.c' app/7.c app/x.c; mkdir app/testdata; touch app/testdata/x.go")
    assert findings(result) == ["MSB107 app/x.c"]
    assert "not needed" not in result.stdout


def test_an_exception_covers_its_own_rule_and_path_only(verify: Verify, contract: Path) -> None:
    with (contract / "contract.txt").open("a") as text:
        text.write("allow MSB107 /app/*.c clients download it\n")
    result = verify("touch app/schema.c app/schema.h app/schema.go")
    assert (result.returncode, findings(result)) == (1, ["MSB106 app/schema.h", "MSB107 app/schema.go"])


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("allow MSB107 /app/*.c", "an exception needs a reason: allow MSB107 /app/*.c"),
        ("allow 107 /app/*.c it is needed", "not CODE /PATH REASON"),
        ("allow MSB107 app/*.c it is needed", "not CODE /PATH REASON"),
        ("allow MSB107 /app/*.c until tomorrow it is needed", "not a date, as in until 2027-01-31"),
        ("tol gcc", "unknown line: tol gcc"),
    ],
)
def test_a_bad_line_of_the_contract_is_an_error(verify: Verify, contract: Path, line: str, error: str) -> None:
    with (contract / "contract.txt").open("a") as text:
        text.write(line + "\n")
    result = verify()
    assert result.returncode == 2
    assert error in result.stderr
    assert "[made]" not in result.stdout


@pytest.mark.parametrize("text", [None, "", "# nothing but a comment\n", "tool gcc\n"])
def test_a_contract_that_is_missing_or_not_whole_is_an_error(verify: Verify, contract: Path, text: str | None) -> None:
    (contract / "contract.txt").unlink()
    if text is not None:
        (contract / "contract.txt").write_text(text)
    result = verify()
    assert result.returncode == 2
    assert re.search(r"contract\.txt( is missing or empty|: no line of the kind )", result.stderr)
    assert "[made]" not in result.stdout


@pytest.mark.parametrize(
    ("spoil", "tree", "error"),
    [
        ("mkdir /empty", "/empty", "/empty holds no file"),
        ("", "/absent", "/absent is not a folder"),
        ("touch 'app/a\nb'", "/tree", "a name with a line break"),
        ("ln -s 'a\nb' app/l", "/tree", "cannot read the link"),
    ],
)
def test_a_tree_that_cannot_be_judged_is_an_error(verify: Verify, spoil: str, tree: str, error: str) -> None:
    result = verify(spoil, tree)
    assert result.returncode == 2
    assert error in result.stderr
    assert "[made]" not in result.stdout


def test_a_tree_without_accounts_is_refused(verify: Verify) -> None:
    result = verify("rm etc/passwd; ln -s /etc/absent etc/passwd")
    assert result.returncode == 1
    assert "MSB203 etc/passwd" in findings(result)


def test_two_thousand_files_take_under_a_second_of_processor_time(verify: Verify) -> None:
    result = verify("for i in $(seq 500); do elf app/$i.so; done; own app/*.so", prefix="time")
    assert result.returncode == 0
    user, system = re.findall(r"^(?:user|sys)\s+0m ([\d.]+)s$", result.stderr, re.MULTILINE)
    assert float(user) + float(system) < 1


def test_an_exception_lets_a_plain_docker_build_and_the_contract_pass_that_failed_without_it(
    engine: Engine, matrix: Matrix, stack: Stack, project: Path, tmp_path: Path
) -> None:
    copy = projects.copy(project, tmp_path / "project")
    dockerfile = copy / "Dockerfile"
    text = dockerfile.read_text()
    user = "USER 65532:65532\n"
    assert text.count(user) == 1
    dockerfile.write_text(text.replace(user, f"COPY <<'EOT' /app/schema.c\nint rows;\nEOT\n{user}"))
    tag = f"{IMAGES}/verify:exception"
    with pytest.raises(BuildError) as error:
        projects.build(engine, copy, tag=tag)
    assert "MSB107 app/schema.c: only a developer needs this" in error.value.log
    data = copy / "docker" / "contract.txt"
    with data.open("a") as contract:
        contract.write("allow MSB107 /app/schema.c clients download it\n")
    projects.build(engine, copy, tag=tag)
    with Image(engine, tag) as image:
        subject = Subject(engine, stack, matrix.contract, image)
        for each, passes in ((subject, False), (replace(subject, exceptions=exceptions(data)), True)):
            assert check(each, {"MSB107"}).ok == passes
