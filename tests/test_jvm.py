"""Is the Java that ships whole, and no more than that? Asked of the image's own Java by a class that is mounted."""

import json
import re
import shutil
import socket
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import IMAGES

from msb import measure
from msb import project as projects
from msb.contract import RULES, Sees, Status, Subject, check
from msb.contract.service import running
from msb.engine import Engine, Output
from msb.image import Image
from msb.stacks import ROOT, Matrix, Stack

pytestmark = pytest.mark.parametrize("stack", ["jvm"], indirect=True, scope="session")

Ask = Callable[..., Output]
DEPENDENCIES = ROOT / "tests" / "dependencies" / "jvm"
OUT_OF_MEMORY = 3  # the exit code of -XX:+ExitOnOutOfMemoryError
DEVELOPERS = re.compile(
    r"jdk\.(compiler|jartool|javadoc|jconsole|jdeps|jlink|jpackage|jshell|jstatd|jcmd|hotspot\.agent)"
)

PROBE = """
import java.io.*;
import java.lang.management.*;
import java.lang.module.ModuleFinder;
import java.net.*;
import java.net.http.*;
import java.nio.charset.Charset;
import java.nio.file.*;
import java.security.KeyStore;
import java.time.*;
import java.util.*;
import java.util.stream.Collectors;
import javax.net.ssl.*;

public class Probe {
    public static void main(String[] words) throws Exception {
        Object answer = switch (words[0]) {
            case "encoding" -> {
                var file = Files.writeString(Path.of("/tmp/" + words[1]), words[1]);
                yield Charset.defaultCharset() + " " + System.getProperty("stdout.encoding") + " "
                    + file.toRealPath().getFileName() + " " + Files.readString(file);
            }
            case "heap" -> Runtime.getRuntime().maxMemory() + " "
                + ManagementFactory.getGarbageCollectorMXBeans().getFirst().getName();
            case "memory" -> {
                var thread = Thread.ofVirtual().start(() -> { // as the service's requests are
                    for (var kept = new ArrayList<byte[]>(); ; ) kept.add(new byte[1 << 20]);
                });
                thread.join();
                yield "still there";
            }
            case "modules" -> ModuleFinder.ofSystem().findAll().stream()
                .map(module -> module.descriptor().name()).collect(Collectors.joining(" "));
            case "names" -> {
                var own = InetAddress.getByName(words[1]).equals(InetAddress.getLocalHost());
                try { yield own + " " + InetAddress.getByName("nobody.invalid"); }
                catch (UnknownHostException e) { yield own + " " + e.getMessage(); }
            }
            case "reach" -> {
                var png = new ByteArrayOutputStream();
                var image = new java.awt.image.BufferedImage(2, 2, java.awt.image.BufferedImage.TYPE_INT_RGB);
                javax.imageio.ImageIO.write(image, "png", png);
                var archive = URI.create("jar:" + Path.of("/tmp/archive.zip").toUri());
                try (var files = FileSystems.newFileSystem(archive, Map.of("create", "true"))) {
                    Files.writeString(files.getPath("/name"), "text");
                }
                var dns = new Hashtable<>(Map.of("java.naming.factory.initial", "com.sun.jndi.dns.DnsContextFactory"));
                new javax.naming.directory.InitialDirContext(dns).close();
                var jmx = javax.management.remote.JMXConnectorServerFactory.newJMXConnectorServer(
                    new javax.management.remote.JMXServiceURL("service:jmx:rmi://"), null,
                    ManagementFactory.getPlatformMBeanServer());
                jmx.start();
                jmx.stop();
                var german = java.time.format.DateTimeFormatter.ofPattern("EEEE, d. MMMM", Locale.GERMANY);
                yield german.format(LocalDate.of(2026, 3, 3)) + " "
                    + java.text.NumberFormat.getCurrencyInstance(Locale.GERMANY).format(1234.5) + " "
                    + Charset.forName("IBM037").decode(java.nio.ByteBuffer.wrap(new byte[] {(byte) 0xc1})) + " "
                    + (png.size() > 50) + " " + Files.exists(Path.of("/tmp/archive.zip"));
            }
            case "roots" -> {
                var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
                trust.init((KeyStore) null);
                yield ((X509TrustManager) trust.getTrustManagers()[0]).getAcceptedIssuers().length;
            }
            case "tls" -> tls(Path.of(words[1]));
            case "zones" -> ZoneId.systemDefault().normalized() + " "
                + ZonedDateTime.of(2026, 7, 1, 0, 0, 0, 0, ZoneId.of("Europe/Berlin")).toOffsetDateTime();
            default -> throw new IllegalArgumentException(words[0]);
        };
        System.out.println(answer);
    }

    static Object tls(Path store) throws Exception {
        var secret = "secret".toCharArray();
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(KeyStore.getInstance(store.toFile(), secret), secret);
        var context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        try (var server = context.getServerSocketFactory().createServerSocket(0)) {
            Thread.ofVirtual().start(() -> {
                while (true) {
                    try (var connection = server.accept()) {
                        new BufferedReader(new InputStreamReader(connection.getInputStream())).readLine();
                        var answer = "HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n";
                        connection.getOutputStream().write(answer.getBytes());
                    } catch (IOException e) { // the client did not trust us
                    }
                }
            });
            try (var client = HttpClient.newHttpClient()) {
                var request = HttpRequest.newBuilder(URI.create("https://localhost:" + server.getLocalPort())).build();
                return client.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
            } catch (SSLException e) {
                return e.getClass().getSimpleName();
            }
        }
    }
}
"""


@pytest.fixture(scope="session")
def command(engine: Engine, runtime: str) -> list[str]:
    """The entrypoint of the runtime image: Java, its options, and the application."""
    return json.loads(engine.run("image", "inspect", runtime).stdout)[0]["Config"]["Entrypoint"]


@pytest.fixture(scope="session")
def jdk(engine: Engine, stack: Stack) -> Callable[..., Output]:
    """Run a command of the JDK on a folder of this machine, as the README says."""

    def run(folder: Path, *words: str) -> Output:
        return engine.run("run", "--rm", "--volume", f"{folder}:/src", "--workdir", "/src", stack.builder, *words)

    return run


@pytest.fixture(scope="session")
def probe(jdk: Callable[..., Output], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled probe."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "Probe.java").write_text(PROBE, encoding="utf-8")
    jdk(folder, "javac", "-encoding", "UTF-8", "Probe.java")
    folder.chmod(0o755)  # the service's user reads it
    return folder


@pytest.fixture(scope="session")
def ask(engine: Engine, runtime: str, command: list[str], probe: Path) -> Ask:
    """Run the probe in the runtime image, locked as it should be deployed, with the entrypoint's options for Java."""
    options = [option for option in command[1:-2] if "AOT" not in option]

    def run(*words: str, docker: tuple[str, ...] = ()) -> Output:
        locked = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--volume", f"{probe}:/probe:ro", *docker]  # noqa: S108
        java = ["--entrypoint", command[0], runtime, *options, "-cp", "/probe", "Probe"]
        return engine.run("run", "--rm", *locked, *java, *words, check=False, timeout=120)

    return run


def answer(output: Output) -> str:
    """What the probe printed; fails where Java itself said anything."""
    assert (output.returncode, output.stderr) == (0, "")
    return output.stdout.strip()


@pytest.fixture(scope="session", params=["default", "kotlin-aot"])
def each(
    engine: Engine, stack: Stack, runtime: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> str:
    """The runtime image of each option set with an AOT cache."""
    if request.param == "default":
        return runtime
    project = projects.render(stack, stack.option_set(request.param).answers, tmp_path_factory.mktemp("each"))
    tag = f"{IMAGES}/{stack.name}:each-{request.param}"
    projects.build(engine, project, tag=tag, options=projects.UNTESTED)
    return tag


# --- what ships ---


def test_the_java_has_what_a_service_needs_and_nothing_of_a_developers(ask: Ask) -> None:
    modules = answer(ask("modules")).split()
    assert {"java.base", "java.management", "java.naming", "java.net.http", "jdk.jdwp.agent"} <= set(modules)
    assert [module for module in modules if DEVELOPERS.fullmatch(module)] == []


def test_the_java_is_the_stated_share_of_the_jdk_at_most(subject: Subject) -> None:
    figures = [measure.part(subject, cut) for cut in subject.stack.parts]
    assert [figure.holds for figure in figures] == [True], figures


def test_the_java_has_one_launcher(subject: Subject) -> None:
    files = [entry for entry in subject.image.tree if entry.kind == "file" and entry.path.startswith("opt/java/")]
    programs = {entry.path for entry in files if entry.mode & 0o111 and ".so" not in entry.path}
    assert programs == {"opt/java/bin/java", "opt/java/lib/jspawnhelper"}


# --- what it can do ---


def test_what_a_library_asks_for_by_name_is_there(ask: Ask) -> None:
    # Locale data, images, zip file systems, DNS over JNDI, remote JMX, a charset beyond the standard ones.
    assert answer(ask("reach")) == "Dienstag, 3. März 1.234,50\u00a0€ A true true"


def test_machine_code_of_libraries_finds_what_it_links_to(engine: Engine, runtime: str) -> None:
    with Image(engine, runtime) as image:
        names = {entry.path.rpartition("/")[2] for entry in image.tree if entry.kind == "file"}
    wanted = ["stdc++.so.6", "gcc_s.so.1", "z.so.1", "pthread.so.0", "dl.so.2", "rt.so.1", "util.so.1", "resolv.so.2"]
    assert [name for name in wanted if f"lib{name}" not in names] == []


def test_the_roots_of_the_base_are_what_java_trusts(engine: Engine, runtime: str, ask: Ask) -> None:
    with Image(engine, runtime) as image:
        bundle = image.tree.text("etc/ssl/certs/ca-certificates.crt").count("BEGIN CERTIFICATE")
    assert int(answer(ask("roots"))) == bundle > 100


@pytest.fixture(scope="module")
def authority(jdk: Callable[..., Output], project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key store of a CA that certifies itself as localhost, and the README's trust store."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "TrustStore.java").write_bytes((project / "docker" / "java" / "TrustStore.java").read_bytes())
    store = ["-alias", "ca", "-keystore", "key.p12", "-storepass", "secret"]
    about = ["-keyalg", "EC", "-dname", "CN=localhost", "-ext", "san=dns:localhost", "-ext", "bc=ca:true"]
    jdk(folder, "keytool", "-genkeypair", *store, *about)
    jdk(folder, "keytool", "-exportcert", "-rfc", "-file", "certificates.pem", *store)
    jdk(folder, "java", "TrustStore.java", "certificates.pem", "roots")
    jdk(folder, "chmod", "644", "key.p12", "roots")
    folder.chmod(0o755)
    return folder


def test_a_server_whose_ca_is_mounted_is_trusted_and_without_it_is_not(ask: Ask, authority: Path) -> None:
    keys = ("--volume", f"{authority}:/tls:ro")
    roots = ("--volume", f"{authority}/roots:/opt/java/lib/security/cacerts:ro")
    assert answer(ask("tls", "/tls/key.p12", docker=(*keys, *roots))) == "204"
    assert answer(ask("tls", "/tls/key.p12", docker=keys)) == "SSLHandshakeException"


def test_the_time_is_utc_and_every_other_zone_is_known(ask: Ask) -> None:
    assert answer(ask("zones")) == "Z 2026-07-01T00:00+02:00"
    assert answer(ask("zones", docker=("--env", "TZ=Asia/Tokyo"))) == "Asia/Tokyo 2026-07-01T00:00+02:00"


def test_texts_and_file_names_are_utf_8(ask: Ask) -> None:
    assert answer(ask("encoding", "Ünï-🚀")) == "UTF-8 UTF-8 Ünï-🚀 Ünï-🚀"


def test_names_are_looked_up_in_dns(engine: Engine, ask: Ask) -> None:
    network = f"msb-test-{uuid.uuid4().hex[:12]}"
    engine.run("network", "create", network)
    try:
        found = ask("names", "a-service.test", docker=("--network", network, "--network-alias", "a-service.test"))
    finally:
        engine.run("network", "rm", network)
    assert answer(found).startswith("true nobody.invalid: ")


# --- memory ---


@pytest.mark.parametrize(
    ("memory", "processors", "collector"), [(512, "1", "Copy"), (2048, "2", "G1 Young Generation")]
)
def test_heap_and_collector_follow_the_containers_limits(
    ask: Ask, memory: int, processors: str, collector: str
) -> None:
    limits = ("--memory", f"{memory}m", "--cpus", processors)
    size, _, name = answer(ask("heap", docker=limits)).partition(" ")
    assert name == collector
    assert 0.7 < int(size) / (memory << 20) < 0.76


def test_options_of_the_owner_override_those_of_the_image(ask: Ask) -> None:
    half = ask("heap", docker=("--memory", "512m", "--env", "JAVA_TOOL_OPTIONS=-XX:MaxRAMPercentage=50"))
    assert 0.45 < int(half.stdout.partition(" ")[0]) / (512 << 20) < 0.51


def test_out_of_memory_ends_the_process_at_once(ask: Ask) -> None:
    ended = ask("memory", docker=("--memory", "256m"))
    assert ended.returncode == OUT_OF_MEMORY
    assert "Terminating due to java.lang.OutOfMemoryError" in ended.stdout + ended.stderr


# --- the AOT cache ---


@pytest.fixture
def start(engine: Engine, each: str, command: list[str]) -> Callable[..., Output]:
    """Start the service with further options for Java, and end it when it could serve."""

    def run(*options: str) -> Output:
        java = [*command[1:-2], *options, "-Dspring.context.exit=onRefresh", *command[-2:]]
        return engine.run("run", "--rm", "--entrypoint", command[0], each, *java, check=False, timeout=120)

    return run


def test_the_service_starts_from_the_aot_cache(start: Callable[..., Output]) -> None:
    started = start("-XX:AOTMode=on", "-Xlog:class+load")
    assert started.returncode == 0
    loaded = dict(re.findall(r"(com\.example\.service\.\w+) source: (.*)$", started.stdout, re.MULTILINE))
    assert loaded
    assert {name for name, source in loaded.items() if "shared objects file" not in source} == set()


def test_the_build_starts_the_service_once_under_the_memory_of_compose(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    small = projects.copy(project, tmp_path / "small")
    train = small / "docker" / "aot" / "train"
    train.write_text(train.read_text(encoding="utf-8").replace("memory=512m", "memory=16m"), encoding="utf-8")
    with pytest.raises(projects.BuildError) as failure:
        projects.build(engine, small, target="package")
    assert "train: the service does not start from its AOT cache with a memory of 16m" in failure.value.log


def test_properties_that_add_or_remove_beans_are_read_at_the_start(subject: Subject) -> None:
    for exposed, status in (("health", 404), ("health,info", 200)):
        with running(subject, locked=True, envs={"MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE": exposed}) as service:
            assert service.get("/actuator/info").status == status


def test_a_cache_that_does_not_fit_is_an_error_with_aot_mode_on(start: Callable[..., Output]) -> None:
    assert start("-XX:AOTMode=on", "-XX:+UseCompactObjectHeaders").returncode != 0
    assert start("-XX:+UseCompactObjectHeaders").returncode == 0


# --- what its owner does with it ---


def test_a_service_with_a_database_processors_and_machine_code_builds_serves_and_keeps_the_contract(
    engine: Engine, matrix: Matrix, stack: Stack, project: Path, tmp_path: Path
) -> None:
    """The AOT cache is trained without the database; the migrations run at the start."""
    copy = projects.copy(project, tmp_path / project.name)
    shutil.copytree(DEPENDENCIES / "src", copy / "src", dirs_exist_ok=True)
    pom, start = copy / "pom.xml", "  <dependencies>\n"
    pom.write_text(pom.read_text().replace(start, start + (DEPENDENCIES / "dependencies.xml").read_text(), 1))
    tag = f"{IMAGES}/jvm:dependencies"
    projects.build(engine, copy, tag=tag)
    files = {code for code, rule in RULES.items() if not rule.needs and rule.sees in (Sees.TREE, Sees.LAYERS)}
    with Image(engine, tag) as image:
        subject = Subject(engine, stack, matrix.contract, image)
        result = check(subject, files - {"MSB501"})
        assert ([str(finding) for finding in result.findings], result.having(Status.ERRORED)) == ([], [])
        database, code = "jdbc:h2:mem:books", "/tmp:exec"  # noqa: S108 as the README says of machine code
        with running(subject, locked=True, envs={"SPRING_DATASOURCE_URL": database}, tmpfs=[code]) as service:
            address = f"http://{service.address}:{service.port}"
            urllib.request.urlopen(f"{address}/books?title=Emma", data=b"", timeout=30).close()  # noqa: S310 of this machine
            assert json.loads(service.get("/books?part=mm").body) == [{"id": 1, "title": "Emma"}]
            assert json.loads(service.get("/native").body) == {"sqlite": "3.50.3", "zstd": "hello", "snappy": "hello"}


def test_a_service_with_options_for_java_serves_and_a_debugger_can_attach(subject: Subject) -> None:
    agent = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:5005"
    options = f"-XX:+UseG1GC -Xms256m {agent}"
    with (
        running(subject, locked=True, envs={"JAVA_TOOL_OPTIONS": options}) as service,
        socket.create_connection((service.address, 5005), timeout=10) as connection,
    ):
        connection.sendall(b"JDWP-Handshake")
        assert connection.recv(14) == b"JDWP-Handshake"
        assert "Health" not in service.state["State"]  # nothing that those options could make fail


def test_a_jdk_beside_the_container_takes_a_heap_dump(engine: Engine, stack: Stack, subject: Subject) -> None:
    with running(subject, locked=True) as service:
        beside = ["--pid", f"container:{service.name}", "--user", "65532:65532", stack.builder]
        script = "jcmd 1 GC.heap_dump /tmp/heap >&2 && head -c 18 /proc/1/root/tmp/heap && rm /proc/1/root/tmp/heap"
        dump = engine.run("run", "--rm", "--entrypoint", "sh", *beside, "-c", script, timeout=120).stdout
    assert dump == "JAVA PROFILE 1.0.2"
