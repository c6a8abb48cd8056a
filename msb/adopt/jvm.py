"""What pom.xml says of a Spring Boot service."""

import re
import xml.etree.ElementTree as ElementTree

from msb.adopt.found import Found, Project, port_of
from msb.errors import MsbError

OLDEST = (3, 3)
"""Spring Boot's own tool takes its layers apart from this version on."""
JDK = 25
PLUGINS = {
    "spring-boot-maven-plugin", "maven-compiler-plugin", "maven-surefire-plugin", "maven-jar-plugin",
    "maven-resources-plugin", "kotlin-maven-plugin",
}  # fmt: skip
"""Those that do the same whatever the sources are."""
TESTS = "mvn --offline test -Djvm=/jre/opt/java/bin/java"


def read(project: Project) -> Found:
    """Read a Maven project of one module; raise MsbError where no image of it can be made."""
    if "pom.xml" not in project:
        name = project.first("build.gradle.kts", "build.gradle")
        raise MsbError(
            f"{name}: builds with Gradle, which adopt cannot read yet: start from the template "
            "(build_tool=gradle), or build with Maven"
        )
    text = project.text("pom.xml")
    try:
        pom = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text, count=1))  # noqa: S314 the owner's own file
    except ElementTree.ParseError as error:
        raise MsbError(f"pom.xml: is not XML: {error}") from error
    if pom.find("modules/module") is not None:
        raise MsbError(f"pom.xml:{_line(text, '<modules>')}: has modules: adopt takes a project of one module so far")
    if (packaging := pom.findtext("packaging", "jar").strip()) != "jar":
        raise MsbError(
            f"pom.xml:{_line(text, '<packaging>')}: packaging is {packaging}; the image starts an "
            "executable jar: write jar"
        )
    boot = _boot(pom)
    if not boot:
        raise MsbError(
            "pom.xml: is no Spring Boot service: neither its parent nor dependencyManagement names a "
            "version of Spring Boot"
        )
    if tuple(int(part) for part in re.findall(r"\d+", boot)[:2]) < OLDEST:
        raise MsbError(f"pom.xml: Spring Boot {boot} is older than 3.3, whose jar takes its own layers apart")
    if "spring-boot-maven-plugin" not in text:
        raise MsbError("pom.xml: lacks spring-boot-maven-plugin, which makes the executable jar")
    java = next(
        (value for name in ("java.version", "maven.compiler.release") if (value := pom.findtext(f"properties/{name}"))),
        "17",
    )
    if java.strip().isdigit() and int(java) > JDK:
        raise MsbError(f"pom.xml:{_line(text, java)}: Java {java} is newer than the builder's {JDK}")
    language = "kotlin" if "kotlin-maven-plugin" in text else "java"
    artifact = pom.findtext("artifactId", "service").strip()
    found = Found("jvm", f"Spring Boot {boot} on Java {java}, with Maven: {artifact}")
    name = pom.findtext("name", "").strip()
    found.answers |= {
        "project_name": artifact if "${" in name or not name else name,
        "description": pom.findtext("description", ""),
        "language": language, "build_tool": "maven", "aot_cache": "no", "__port": _port(project, found),
    }  # fmt: skip
    skip = "-Dmaven.test.skip=true"
    found.args |= {"SOURCE": ".", "TEST_SOURCE": ".", "BUILD": f"mvn --offline package {skip}"}
    found.args["TEST"] = TESTS if any(project.files(".java", ".kt", under="src/test")) else "echo 'no tests'"
    if java.strip().isdigit() and int(java) < JDK:
        found.note("pom.xml", f">{java}<", f"compiled for Java {java}, and run on Java {JDK}, which the image has")
    for plugin in pom.iterfind("build/plugins/plugin"):
        if (name := plugin.findtext("artifactId", "").strip()) not in PLUGINS:
            found.note(
                "pom.xml",
                f">{name}<",
                f"{name} also runs in deps, over an empty program: if it fails there, skip it in docker/java/fetch",
            )
    found.note(
        "Dockerfile",
        "ENTRYPOINT",
        "an AOT cache for a fast start: left out, for the training has to start the service without "
        "its database; the template's README says how",
    )
    return found


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


def _port(project: Project, found: Found) -> str:
    """The port that the service's own settings name, or 8080, Spring's."""
    folder = "src/main/resources"
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
