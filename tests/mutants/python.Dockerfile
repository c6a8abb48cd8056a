# --- Python's own ---

FROM compilers AS links
RUN mkdir -p /rootfs/app/.venv/bin && ln -s /usr/local/bin/python-gone /rootfs/app/.venv/bin/python

# The command pip.
# says: usr/local/bin/pip: build tool in the runtime image
FROM runtime AS msb101-pip
COPY --from=builder /usr/local/bin/pip /usr/local/bin/pip

# pip without its command, which `python -m pip` does not need.
# says: Python package pip in the runtime image
FROM runtime AS msb103-pip
COPY --from=builder /usr/local/lib/python3.14/site-packages/ /usr/local/lib/python3.14/site-packages/

# Machine code in the virtual environment that no wheel's RECORD lists.
# says: app/.venv/lib/python3.14/site-packages/helper.so: belongs to no package and is in no record of the build
FROM runtime AS msb104-wheel
COPY --from=compilers /usr/bin/true /app/.venv/lib/python3.14/site-packages/helper.so

# The compiler under a name that an extension module could have.
# says: app/.venv/lib/python3.14/site-packages/_helper.so: is gcc under another name
FROM runtime AS msb105-extension
COPY --from=compilers /usr/bin/gcc /app/.venv/lib/python3.14/site-packages/_helper.so

# ensurepip with its wheels.
# says: -py3-none-any.whl: only a developer needs this
FROM runtime AS msb107-ensurepip
COPY --from=builder /usr/local/lib/python3.14/ensurepip/ /usr/local/lib/python3.14/ensurepip/

# The C source that a wheel carries.
# says: speedups.c: only a developer needs this
FROM runtime AS msb107-c
COPY <<'EOT' /app/.venv/lib/python3.14/site-packages/websockets/speedups.c
int speed;
EOT

# Packages that the service can rewrite.
# says: app/.venv/lib/python3.14/site-packages/__pycache__: can be written by others than root (777)
FROM runtime AS msb207-packages
COPY --from=runtime --chmod=777 /app/.venv/lib/python3.14/site-packages/ /app/.venv/lib/python3.14/site-packages/

# A virtual environment whose interpreter is not there.
# says: entrypoint: there is no program /app/.venv/bin/python
FROM runtime AS msb301-venv
COPY --from=links /rootfs/ /
