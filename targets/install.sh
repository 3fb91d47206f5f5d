#!/bin/sh
# Installs into /opt/stack what the arguments tell pip; after `--` they are a command instead, whose pip has the same
# settings. To be run in a folder of a build that has `wheels`, from which alone is installed if there are any, and
# `certificates`, which are trusted beside the usual ones.
set -eu
export PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
if ls wheels/*.whl > /dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS="$PWD/wheels"; fi
if ls certificates/*.crt > /dev/null 2>&1; then
    trusted="${PIP_CERT:-$(/opt/stack/bin/python -m pip._vendor.certifi)}"
    [ -r "$trusted" ] || trusted=
    for file in $trusted certificates/*.crt; do cat "$file"; echo; done > trusted.pem
    export PIP_CERT="$PWD/trusted.pem"
fi
if [ "${1:-}" = -- ]; then shift; exec "$@"; fi
exec /opt/stack/bin/python -m pip install "$@"
