# --- Java's own ---

FROM builder AS modules
RUN jlink --add-modules jdk.compiler --compress zip-6 --output /compiler
RUN jlink --add-modules jdk.jshell --output /shell
WORKDIR /notes
RUN echo 'module notes {}' >module-info.java && javac -d classes module-info.java && jmod create --class-path classes notes.jmod

# The JDK, left in; without its modules, whose layer is slow to export beside a hundred other images.
# says: opt/java/openjdk/bin/jar: build tool in the runtime image
FROM runtime AS msb101-jdk
COPY --from=builder /opt/java/openjdk/bin/ /opt/java/openjdk/bin/

# A launcher that stayed beside java.
# says: opt/java/bin/keytool: build tool in the runtime image
FROM runtime AS msb101-keytool
COPY --from=builder /opt/java/openjdk/bin/keytool /opt/java/bin/keytool

# The launcher of the compiler under a harmless name.
# says: opt/java/bin/notes: is javac under another name
FROM runtime AS msb105-javac
COPY --from=builder /opt/java/openjdk/bin/javac /opt/java/bin/notes

# A Java runtime with the compiler's module, which `java -m jdk.compiler/com.sun.tools.javac.Main` runs; compressed.
# says: opt/java/lib/modules: is jdk.compiler under another name
FROM runtime AS msb105-compiler
COPY --from=modules /compiler/lib/modules /opt/java/lib/modules

# One with Java's shell, under another name.
# says: app/data: is jdk.compiler under another name
FROM runtime AS msb105-jshell
COPY --from=modules /shell/lib/modules /app/data

# A module that only jlink reads.
# says: opt/java/jmods/notes.jmod: only a compiler or linker reads this
FROM runtime AS msb106-jmods
COPY --from=modules /notes/notes.jmod /opt/java/jmods/notes.jmod

# Maven's repository where nobody looks for it.
# says: app/repository/org/example/notes/1.0/notes-1.0.pom: only a developer needs this
FROM runtime AS msb107-repository
COPY <<'EOT' /app/repository/org/example/notes/1.0/notes-1.0.pom
<project/>
EOT

# The sources of a library beside it.
# says: app/lib/notes-1.0-sources.jar: only a developer needs this
FROM runtime AS msb107-sources
COPY --from=runtime /app/app.jar /app/lib/notes-1.0-sources.jar

# Libraries that the service can rewrite.
# says: .jar: can be written by others than root (777)
FROM runtime AS msb207-libraries
COPY --from=runtime --chmod=777 /app/lib/ /app/lib/

# A command whose Java is not there.
# says: entrypoint: there is no program /opt/java/openjdk/bin/java
FROM runtime AS msb301-java
ENTRYPOINT ["/opt/java/openjdk/bin/java", "-jar", "/app/app.jar"]
