#!/bin/sh
# Make .venv with exactly what requirements.lock names. Nothing is done when it already is so.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

! cmp -s requirements.lock .venv/requirements.lock || exit 0
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "make: $python is not Python 3.11 or newer: install one, or name it (for example make PYTHON=python3.12)" >&2
  exit 1
}
# Debian packs the venv module on its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make: $python has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)" >&2
    exit 1
  fi
  echo "Installing python3-venv, which $python came without"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq --yes install --no-install-recommends python3-venv >/dev/null
fi
echo "Setting up the Python environment in .venv"
"$python" -m venv --clear .venv
.venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements.lock
cp requirements.lock .venv/requirements.lock
