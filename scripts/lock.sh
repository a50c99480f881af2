#!/bin/sh
# Resolve pyproject.toml for every Python and platform, and export the two hashed locks.
# The files name packages, versions and hashes only: no address of any index.
set -eu
cd "$(dirname "$0")/.."
set -- .tools/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml
"$@" --group build -o requirements.lock
"$@" --group build --group dev -c requirements.lock -o requirements-dev.lock
