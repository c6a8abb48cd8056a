# Stand-ins for the JDK, the JRE and Maven: Debian's own Java in the layout of Temurin's images, and the genuine Maven.

# debian: what mmdebstrap made on the host.
FROM scratch AS debian
ADD trixie.tar /

# linked: one folder without jmods that jlink can link from, as Temurin's is; Debian's own has links into /etc.
FROM debian AS linked
RUN <<'RUN'
set -eu
apt-get -qq update
apt-get -qq install --no-install-recommends binutils openjdk-25-jdk-headless >/dev/null
jlink --module-path /usr/lib/jvm/java-25-openjdk-*/jmods --add-modules ALL-MODULE-PATH --generate-linkable-runtime \
  --generate-cds-archive --exclude-files='**.debuginfo,**.diz' --output /linked
RUN

# cut: the modules that Temurin calls a JRE.
FROM linked AS cut
RUN /linked/bin/jlink --generate-cds-archive --no-header-files --no-man-pages --output /cut --add-modules java.se,\
jdk.accessibility,jdk.charsets,jdk.crypto.cryptoki,jdk.dynalink,jdk.httpserver,jdk.incubator.vector,jdk.jdwp.agent,jdk.jfr,\
jdk.jsobject,jdk.localedata,jdk.management.agent,jdk.management.jfr,jdk.naming.dns,jdk.naming.rmi,jdk.net,jdk.nio.mapmode,\
jdk.sctp,jdk.security.auth,jdk.security.jgss,jdk.unsupported,jdk.xml.dom,jdk.zipfs

# base: what both need to run.
FROM debian AS base
RUN apt-get -qq update && apt-get -qq install --no-install-recommends binutils ca-certificates libjpeg62-turbo liblcms2-2 >/dev/null && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
ENV JAVA_HOME=/opt/java/openjdk PATH=/opt/java/openjdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8

# jre: eclipse-temurin:25-jre-noble
FROM base AS jre
COPY --from=cut /cut/ /opt/java/openjdk/
RUN java --version

# jdk: eclipse-temurin:25-jdk-noble
FROM base AS jdk
COPY --from=linked /linked/ /opt/java/openjdk/
RUN java --version
CMD ["jshell"]

# maven: maven:3.9-eclipse-temurin-25-noble. The named context `mvn` is Maven's own archive, unpacked.
FROM jdk AS maven
COPY --from=mvn / /usr/share/maven/
ENV MAVEN_HOME=/usr/share/maven MAVEN_CONFIG=/root/.m2
RUN ln -s /usr/share/maven/bin/mvn /usr/bin/mvn && mvn --version
CMD ["mvn"]
