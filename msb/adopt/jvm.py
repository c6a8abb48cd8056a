"""What pom.xml says of a Spring Boot service."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import PurePosixPath

from msb.adopt.found import Found, Project, port_of
from msb.errors import MsbError

OLDEST = (3, 3)
"""Spring Boot's own tool takes its layers apart from this version on."""
JDK = 25
PLUGIN = "spring-boot-maven-plugin"
PLUGINS = {
    PLUGIN, "maven-compiler-plugin", "maven-surefire-plugin", "maven-jar-plugin",
    "maven-resources-plugin", "kotlin-maven-plugin",
}  # fmt: skip
"""Those that do the same whatever the sources are."""
TESTS = "mvn --offline test -Djvm=/jre/opt/java/bin/java"


def read(project: Project) -> Found:
    """Read a Maven project, of several modules too; raise MsbError where no image of it can be made."""
    if "pom.xml" not in project:
        name = project.first("build.gradle.kts", "build.gradle")
        raise MsbError(
            f"{name}: builds with Gradle, which adopt cannot read yet: start from the template "
            "(build_tool=gradle), or build with Maven"
        )
    poms = _poms(project, "pom.xml")
    file = _serving(project, poms)
    text, pom, root = project.text(file), poms[file], poms["pom.xml"]
    if (packaging := pom.findtext("packaging", "jar").strip()) != "jar":
        raise MsbError(
            f"{file}:{_line(text, '<packaging>')}: packaging is {packaging}; the image starts an "
            "executable jar: write jar"
        )
    boot = _boot(pom) or _boot(root)
    if not boot:
        raise MsbError(
            f"{file}: is no Spring Boot service: neither its parent nor dependencyManagement names a "
            "version of Spring Boot"
        )
    if tuple(int(part) for part in re.findall(r"\d+", boot)[:2]) < OLDEST:
        raise MsbError(f"{file}: Spring Boot {boot} is older than 3.3, whose jar takes its own layers apart")
    if not any(PLUGIN in project.text(name) for name in {file, "pom.xml"}):
        raise MsbError(f"{file}: lacks {PLUGIN}, which makes the executable jar")
    java, where = next(
        (
            (value.strip(), name)
            for name in (file, "pom.xml")
            for key in ("java.version", "maven.compiler.release")
            if (value := poms[name].findtext(f"properties/{key}"))
        ),
        ("17", ""),
    )
    if java.isdigit() and int(java) > JDK:
        raise MsbError(f"{where}:{_line(project.text(where), java)}: Java {java} is newer than the builder's {JDK}")
    kotlin = any("kotlin-maven-plugin" in project.text(name) for name in {file, "pom.xml"})
    artifact = pom.findtext("artifactId", "service").strip()
    found = Found("jvm", f"Spring Boot {boot} on Java {java}, with Maven: {artifact}")
    name = pom.findtext("name", "").strip()
    module = file.removesuffix("pom.xml").rstrip("/")
    found.answers |= {
        "project_name": artifact if "${" in name or not name else name,
        "description": pom.findtext("description", ""),
        "language": "kotlin" if kotlin else "java", "build_tool": "maven", "aot_cache": "no",
        "__port": _port(project, found, module),
    }  # fmt: skip
    chosen = f" --projects {module} --also-make" if module else ""
    skip = "-Dmaven.test.skip=true"
    found.args |= {"SOURCE": ".", "TEST_SOURCE": ".", "BUILD": f"mvn --offline package{chosen} {skip}"}
    found.args["JAR"] = f"{module}/target/*.jar".lstrip("/")
    tests = any("src/test/" in name for name in project.files(".java", ".kt"))
    found.args["TEST"] = TESTS.replace(" test ", f" test{chosen} ") if tests else "echo 'no tests'"
    found.mounts["pom.xml"] = list(poms)
    if java.isdigit() and int(java) < JDK:
        found.note(where or file, f">{java}<", f"compiled for Java {java}, and run on Java {JDK}, which the image has")
    for name in poms:
        _tell_plugins(found, name, poms[name])
    found.note(
        "Dockerfile",
        "ENTRYPOINT",
        "an AOT cache for a fast start: left out, for the training has to start the service without "
        "its database; the template's README says how",
    )
    return found


def _poms(project: Project, file: str) -> dict[str, ElementTree.Element]:
    """Parse a pom.xml and those of its modules, theirs too; return them by their paths."""
    text = project.text(file)
    try:
        pom = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text, count=1))  # noqa: S314 the owner's own file
    except ElementTree.ParseError as error:
        raise MsbError(f"{file}: is not XML: {error}") from error
    poms = {file: pom}
    for module in pom.iterfind("modules/module"):
        path = str(PurePosixPath(file).parent / (module.text or "").strip())
        path = path if path.endswith(".xml") else f"{path}/pom.xml"
        if path not in project or ".." in PurePosixPath(path).parts:
            raise MsbError(f"{file}:{_line(text, f'<module>{module.text}')}: the module {path} is not in this folder")
        poms |= _poms(project, path)
    return poms


def _serving(project: Project, poms: dict[str, ElementTree.Element]) -> str:
    """The pom.xml of the service: of the module that the owner names, or of the only one with Spring's plugin."""
    if project.module:
        file = f"{project.module}/pom.xml"
        if file not in poms:
            modules = ", ".join(name.removesuffix("/pom.xml") for name in poms if name != "pom.xml") or "none"
            raise MsbError(f"{project.module}: is no module of pom.xml: name one of {modules}")
        return file
    if len(poms) == 1:
        return "pom.xml"
    plugins = "build/plugins/plugin/artifactId"
    serving = [
        name for name, pom in poms.items()
        if name != "pom.xml" and PLUGIN in {(plugin.text or "").strip() for plugin in pom.iterfind(plugins)}
    ]  # fmt: skip
    if len(serving) != 1:
        modules = ", ".join(name.removesuffix("/pom.xml") for name in serving or list(poms)[1:])
        raise MsbError(
            f"pom.xml: {len(serving) or 'no'} modules have {PLUGIN}: name the one that serves, for example "
            f"msb adopt --module {modules.partition(',')[0]} (there are {modules})"
        )
    return serving[0]


def _tell_plugins(found: Found, file: str, pom: ElementTree.Element) -> None:
    for plugin in pom.iterfind("build/plugins/plugin"):
        if (name := plugin.findtext("artifactId", "").strip()) not in PLUGINS:
            found.note(
                file,
                f">{name}<",
                f"{name} also runs in deps, over an empty program: if it fails there, skip it in docker/java/fetch",
            )


def _boot(pom: ElementTree.Element) -> str:
    if pom.findtext("parent/artifactId", "").strip() == "spring-boot-starter-parent":
        return pom.findtext("parent/version", "").strip()
    for dependency in pom.iterfind("dependencyManagement/dependencies/dependency"):
        if dependency.findtext("artifactId", "").strip() == "spring-boot-dependencies":
            version = dependency.findtext("version", "").strip()
            return pom.findtext(f"properties/{version[2:-1]}", "").strip() if version.startswith("${") else version
    return ""


def _line(text: str, token: str) -> int:
    return text[: max(text.find(token), 0)].count("\n") + 1


def _port(project: Project, found: Found, module: str) -> str:
    """The port that the service's own settings name, or 8080, Spring's."""
    folder = f"{module}/src/main/resources".lstrip("/")
    file = project.first(*(f"{folder}/application.{ending}" for ending in ("properties", "yaml", "yml")))
    text = project.text(file)
    value = re.search(r"^server\.port\s*[=:]\s*(\S+)|^server:\s*\n(?:[ \t]+.*\n)*?[ \t]+port:\s*(\S+)", text, re.M)
    written = next(filter(None, value.groups()), "") if value else ""
    port = port_of(written, r"(\d+)")
    if written and not port:
        found.note(
            file, written, f"the port is {written}, of which adopt can tell no number from 1024 on: the image says 8080"
        )
    elif "PORT" not in written:
        found.note(
            "Dockerfile",
            "ENV PORT=",
            "the port is fixed: Spring reads SERVER_PORT, or PORT with server.port=${PORT:8080}",
        )
    return port or "8080"
