#!/bin/sh
# Install a hashed lock and this package into .venv: with uv, or with pip where uv fails.
# Usage: scripts/install.sh LOCK
set -eu
cd "$(dirname "$0")/.."
lock=$1
python=${PYTHON:-python3}
uv_version=0.13.8
export UV_PYTHON_DOWNLOADS=never PIP_DISABLE_PIP_VERSION_CHECK=1

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Cerberus needs Python 3.11 or newer as '$python'; name another: make PYTHON=python3.12" >&2
    exit 1
fi

with_uv() {
    if [ ! -x .tools/bin/uv ]; then
        "$python" -m pip install -q --target .tools "uv==$uv_version" || return 1
    fi
    if [ ! -x .venv/bin/python ]; then
        .tools/bin/uv venv -q --python "$python" .venv || return 1
    fi
    set -- .tools/bin/uv pip install -q --python .venv/bin/python --no-deps
    "$@" --require-hashes -r "$lock" && "$@" --no-build-isolation --editable .
}

# The outer pip works on .venv, so that neither ensurepip nor a pip inside is needed.
with_pip() {
    echo "uv is not usable here; installing with pip (slower)." >&2
    if [ ! -x .venv/bin/python ]; then
        "$python" -m venv --without-pip .venv || return 1
    fi
    set -- "$python" -m pip --python .venv/bin/python install -q --no-deps
    "$@" --require-hashes -r "$lock" && "$@" --no-build-isolation --editable .
}

with_uv || with_pip
