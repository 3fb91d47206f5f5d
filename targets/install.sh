#!/bin/sh
# Installs into /opt/stack what the arguments tell pip. To be run in a folder of a build that has `wheels`, from
# which alone is installed if there are any, and `certificates`, which are trusted beside the usual ones.
set -eu
if ls wheels/*.whl > /dev/null 2>&1; then set -- "$@" --no-index --find-links wheels; fi
if ls certificates/*.crt > /dev/null 2>&1; then
    trusted="${PIP_CERT:-$(/opt/stack/bin/python -m pip._vendor.certifi)}"
    [ -r "$trusted" ] || trusted=
    for file in $trusted certificates/*.crt; do cat "$file"; echo; done > trusted.pem
    export PIP_CERT="$PWD/trusted.pem"
fi
exec /opt/stack/bin/python -m pip install --no-cache-dir --no-input --disable-pip-version-check "$@"
