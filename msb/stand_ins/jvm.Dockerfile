# Stand-ins for the JDK and for Maven on it: Debian's own JDK in the layout of Temurin's images, and the genuine Maven.

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

# temurin: eclipse-temurin:25-jdk-noble
FROM debian AS temurin
RUN apt-get -qq update && apt-get -qq install --no-install-recommends binutils ca-certificates libjpeg62-turbo liblcms2-2 >/dev/null && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=linked /linked/ /opt/java/openjdk/
ENV JAVA_HOME=/opt/java/openjdk PATH=/opt/java/openjdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
RUN java --version
CMD ["jshell"]

# maven: maven:3.9-eclipse-temurin-25-noble. The named context `mvn` is Maven's own archive, unpacked.
FROM temurin AS maven
COPY --from=mvn / /usr/share/maven/
ENV MAVEN_HOME=/usr/share/maven MAVEN_CONFIG=/root/.m2
RUN ln -s /usr/share/maven/bin/mvn /usr/bin/mvn && mvn --version
CMD ["mvn"]
