# Stand-ins for python:3.x-slim-trixie: Debian's own CPython in the official image's layout, everything in /usr/local.
# VERSION is 3.x, SUITE the Debian release that has it.

# debian: what mmdebstrap made on the host; a suite after trixie brings its libc and expat along.
FROM scratch AS debian
ADD trixie.tar /
ARG SUITE
RUN <<'EOF'
set -eu
sed "s/trixie/$SUITE/g" /etc/apt/sources.list >/etc/apt/sources.list.d/suite.list
echo "APT::Default-Release \"$SUITE\"; Acquire::Check-Valid-Until \"false\";" >/etc/apt/apt.conf.d/suite
apt-get -qq update
apt-get -qq install --no-install-recommends libc6 libexpat1 >/dev/null
[ "$SUITE" = trixie ] || rm /etc/apt/sources.list.d/suite.list
rm /etc/apt/apt.conf.d/suite
apt-get -qq update
apt-get -qq install --no-install-recommends ca-certificates netbase tzdata libbz2-1.0 libdb5.3t64 libffi8 liblzma5 \
  libncursesw6 libreadline8t64 libsqlite3-0 libssl3t64 libuuid1 libzstd1 zlib1g >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/suite.list
EOF

# moved: the packages' files, from /usr to /usr/local, and what names the old places in them.
FROM debian AS moved
ARG SUITE VERSION
WORKDIR /packages
RUN <<'EOF'
set -eu
sed "s/trixie/$SUITE/g" /etc/apt/sources.list >/etc/apt/sources.list.d/suite.list
echo "APT::Default-Release \"$SUITE\"; Acquire::Check-Valid-Until \"false\";" >/etc/apt/apt.conf.d/suite
apt-get -qq update
apt-get -qq download "python$VERSION" "python$VERSION-minimal" "python$VERSION-venv" "libpython$VERSION" \
  "libpython$VERSION-minimal" "libpython$VERSION-stdlib" "libpython$VERSION-dev" python3-pip-whl 2>/dev/null
apt-get -qq install --no-install-recommends gcc libc6-dev >/dev/null
for deb in *.deb; do dpkg-deb -x "$deb" /unpacked; done
mkdir -p /moved/bin /moved/include /moved/lib
cp -a "/unpacked/usr/lib/python$VERSION" /unpacked/usr/lib/*/libpython*.so* /moved/lib/
cp -a "/unpacked/usr/include/python$VERSION" /moved/include/
cp /unpacked/usr/include/*-linux-gnu/python"$VERSION"/pyconfig.h "/moved/include/python$VERSION/"
EOF
# Debian links the interpreter statically; upstream's is a small program that finds libpython from its own place.
RUN <<'EOF'
set -eu
cat >main.c <<'C'
int Py_BytesMain(int argc, char **argv);
int main(int argc, char **argv) { return Py_BytesMain(argc, argv); }
C
gcc -O2 -s -o "/moved/bin/python$VERSION" main.c -L/moved/lib "-lpython$VERSION" \
  -Wl,--allow-shlib-undefined -Wl,-rpath,'$ORIGIN/../lib'
ln -s "python$VERSION" /moved/bin/python3
ln -s python3 /moved/bin/python
cd "/moved/lib/python$VERSION"
rm -rf EXTERNALLY-MANAGED _distutils_system_mod.py sitecustomize.py test config-*/*.a
find . -type l ! -exec test -e {} \; -delete
find . -name __pycache__ -prune -exec rm -rf {} +
# site is also frozen into the library; the two names are of one length.
sed -i 's/dist-packages/site-packages/g' site.py ../libpython*.so.1.0
sed -i "s/dist-packages/site-packages/g; s/prefix_scheme = 'posix_local'/prefix_scheme = 'posix_prefix'/" sysconfig/__init__.py
for variables in _sysconfigdata*.py _sysconfig_vars*.json; do
  [ ! -e "$variables" ] || sed -i "s|/usr/lib/[a-z0-9_]*-linux-gnu|/usr/local/lib|g; s|\([\"']\)/usr/|\1/usr/local/|g
    s|\([\"']\)/usr\([\"']\)|\1/usr/local\2|g; s|/usr/local/local|/usr/local|g; s|/usr/local/share|/usr/share|g" "$variables"
done
sed -i 's/^def _ensurepip_is_disabled.*/&\n    return/' ensurepip/__init__.py
mkdir -p ensurepip/_bundled site-packages
cp /unpacked/usr/share/python-wheels/pip-*.whl ensurepip/_bundled/
pip=$(cd ensurepip/_bundled && echo pip-*.whl | cut -d - -f 2)
sed -i "s/^_PIP_VERSION = .*/_PIP_VERSION = \"$pip\"/" ensurepip/__init__.py
EOF

# python: python:3.x-slim-trixie
FROM debian AS python
ARG VERSION
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=moved /moved/ /usr/local/
RUN <<'EOF'
set -eu
ldconfig
wheel=$(ls /usr/local/lib/python"$VERSION"/ensurepip/_bundled/pip-*.whl)
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$wheel python -m pip install --no-index --no-compile --no-cache-dir --quiet \
  --root-user-action=ignore "$wheel"
PYTHONDONTWRITEBYTECODE=1 python - <<'PY'
import sys, sysconfig
site = sysconfig.get_path("purelib")
assert site == f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages", site
assert sys.path[-1] == site, sys.path
import zoneinfo
zoneinfo.ZoneInfo("Europe/Berlin")
import _bz2, _ctypes, _curses, _decimal, _hashlib, _lzma, _sqlite3, _ssl, _uuid, pyexpat, readline, termios, zlib
PY
pip --version
EOF
CMD ["python3"]
