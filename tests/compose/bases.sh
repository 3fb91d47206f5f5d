#!/usr/bin/env bash
# Base images for docker-compose.yml without an image registry: Debian by debootstrap, as root.
#
#   bases=$(tests/compose/bases.sh) && eval "$bases"
#   tests/compose/bases.sh make          only makes what is kept, which takes no engine
#
# Prints the variables that name them (docs/contracts.md, Compose). Containers reach the package index as this
# machine does: they get its certificates and what its pip is told about index and proxy. What was made is kept
# in ~/.cache/whichworker/bases, for every checkout, and taken from there until the month is over, or this script
# or those settings change.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=whichworker-test-base
postgres_image=whichworker-test-postgres
kept=${XDG_CACHE_HOME:-$HOME/.cache}/whichworker/bases
certificates=/etc/ssl/certs/ca-certificates.crt

fail() {
    echo "bases.sh: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "debootstrap needs root: sudo $0"
command -v debootstrap >/dev/null || fail "debootstrap is missing (Debian: apt-get install debootstrap)"
[ "${1:-}" = make ] ||
    docker version --format '{{.Server.Version}}' >/dev/null || fail "no engine to import into: tests/compose/engine.sh start"

# Index, proxy and patience, as options of pip's environment variables, one `NAME=value` a line. What lies on
# this machine's disk is of no use in a container.
pip_settings() {
    [ ! -e "$certificates" ] || echo "PIP_CERT=$certificates"
    [ -z "${https_proxy:-}" ] || echo "PIP_PROXY=$https_proxy"
    python3 -m pip config list 2>/dev/null |
        sed -nE "s/^[^=]*\.(index-url|extra-index-url|trusted-host|proxy|default-timeout|retries)='([^']*)'$/\1=\2/p" |
        grep -v -e '=.*file:' | while IFS='=' read -r name value; do
        name=${name//-/_}
        echo "PIP_${name^^}=$value"
    done || true # nothing found
}

settings=$(pip_settings)
state=$({ cat tests/compose/bases.sh "$certificates" 2>/dev/null; date +%Y-%m; echo "$settings"; } | sha256sum | head -c 16)

scratch=$(mktemp -d)
cleanup() {
    local job place
    for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
    wait
    # An interrupted debootstrap leaves /proc and the like mounted.
    awk -v below="$scratch/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort --reverse |
        while read -r place; do umount "$place"; done
    rm -rf --one-file-system "$scratch"
}
trap cleanup EXIT

debian() { # SUITE: a small Debian with Python in $scratch/SUITE
    local system=$scratch/$1
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$1" "$system" \
        >"$scratch/$1.log" 2>&1 || {
        tail -n 5 "$scratch/$1.log" >&2
        return 1
    }
    [ ! -e "$certificates" ] || cp "$certificates" "$system$certificates"
    # Packages start nothing while they are installed, and PostgreSQL's makes no cluster of its own.
    printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d"
    chmod +x "$system/usr/sbin/policy-rc.d"
}

packed() { # SYSTEM NAME: keep $scratch/SYSTEM as an archive under this name, whole or not at all
    rm -rf "$scratch/$1"/var/cache/apt/archives/*.deb "$scratch/$1"/var/lib/apt/lists/*
    tar --create --file="$kept/$2.tar.part" --directory="$scratch/$1" --exclude="./proc/*" --exclude="./sys/*" .
    mv "$kept/$2.tar.part" "$kept/$2-$state.tar"
}

bookworm() { # Python 3.11; then the same with PostgreSQL 15, nginx and HAProxy
    debian bookworm
    packed bookworm bookworm
    local system=$scratch/bookworm
    mkdir -p "$system/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$system/etc/postgresql-common/createcluster.conf"
    # The user's number is that of the official images on Alpine Linux.
    chroot "$system" sh -e >"$scratch/services.log" 2>&1 <<'END' || {
groupadd --system --gid 70 postgres
useradd --system --uid 70 --gid 70 --home-dir /var/lib/postgresql --shell /bin/sh postgres
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends postgresql nginx haproxy
END
        tail -n 5 "$scratch/services.log" >&2
        return 1
    }
    packed bookworm services
}

bullseye() { # Python 3.9
    debian bullseye
    packed bullseye bullseye
}

made() {
    [ -e "$kept/bookworm-$state.tar" ] && [ -e "$kept/services-$state.tar" ] && [ -e "$kept/bullseye-$state.tar" ]
}

mkdir -p "$kept"
exec {lock}>"$kept/.lock"
flock "$lock" # another checkout may be making the same
if ! made; then
    rm -f "$kept"/*.tar "$kept"/*.part
    echo "making the base images by debootstrap (once) …" >&2
    set -m # a process group for each, so that an interruption ends all that they started
    bookworm &
    first=$!
    bullseye &
    second=$!
    failed=0
    wait $first || failed=1
    wait $second || failed=1
    [ $failed -eq 0 ] || fail "debootstrap failed, see above"
fi
[ "${1:-}" != make ] || exit 0

changes=()
while IFS= read -r setting; do
    [ -z "$setting" ] || changes+=(--change "ENV ${setting%%=*}=\"${setting#*=}\"")
done <<<"$settings"

for name in bookworm bullseye services; do
    docker import "${changes[@]}" "$kept/$name-$state.tar" "$image:$name" >/dev/null
done
docker build --build-arg "BASE=$image:services" --tag "$postgres_image" tests/compose/postgres \
    >"$scratch/build.log" 2>&1 || {
    cat "$scratch/build.log" >&2
    fail "the image of PostgreSQL could not be built, see above"
}

cat <<END
export WHICHWORKER_BASE_CURRENT=$image:bookworm WHICHWORKER_PYTHON_CURRENT=3.11
export WHICHWORKER_BASE_SANIC_21_12=$image:bullseye WHICHWORKER_PYTHON_SANIC_21_12=3.9
export WHICHWORKER_BASE_SUITE=$image:bookworm WHICHWORKER_PYTHON_SUITE=3.11
export WHICHWORKER_POSTGRES=$postgres_image
export WHICHWORKER_NGINX=$image:services WHICHWORKER_HAPROXY=$image:services
END
