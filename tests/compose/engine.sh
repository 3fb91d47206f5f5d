#!/usr/bin/env bash
# A Docker engine for tests/compose/real.
#
#   engine=$(tests/compose/engine.sh start) && eval "$engine"
#                                    one that answers is used, else one is started, which takes root
#   tests/compose/engine.sh stop     ends the one that was started here, and removes what it left
#
# `start` prints `export DOCKER_HOST=…`. The engine started here keeps its images, its socket and its pid in a
# folder of its own and so touches nothing of an engine that the host may have. Its containers are below the control
# group $WHICHWORKER_CGROUP, if that is set.
set -euo pipefail

folder=${WHICHWORKER_ENGINE:-${TMPDIR:-/tmp}/whichworker-engine}
socket=unix://$folder/docker.sock
start_timeout_s=600 # it may have to give way (.ci/run)
stop_timeout_s=240

fail() {
    echo "engine.sh: $*" >&2
    exit 1
}

answers() { # whether an engine answers at $1, or where the client looks by itself
    DOCKER_HOST=${1:-${DOCKER_HOST:-}} timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

running() { # the pid of the engine that was started here, if it still runs; its number may be another's now
    local pid
    pid=$(cat "$folder/dockerd.pid" 2>/dev/null) || return 0
    if grep --quiet --null-data --line-regexp --fixed-strings -e "--data-root=$folder/data" \
        "/proc/$pid/cmdline" 2>/dev/null; then
        echo "$pid"
    fi
}

storage_driver() { # overlay2 where the kernel and the file system below the folder can have it, else vfs
    local try=$folder/try driver=vfs
    mkdir -p "$try"/{lower,upper,work,merged}
    if mount -t overlay overlay "$try/merged" \
        -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" 2>/dev/null; then
        umount "$try/merged"
        driver=overlay2
    fi
    rm -rf "$try"
    echo $driver
}

iptables_work() {
    iptables --wait 10 --table nat --list --numeric >/dev/null 2>&1 &&
        iptables --wait 10 --table filter --list --numeric >/dev/null 2>&1
}

# Docker calls `iptables`. Where the kernel cannot serve its nftables form, the older form comes first in the
# PATH of this engine.
choose_iptables() {
    local program older
    iptables_work && return
    for program in iptables iptables-save iptables-restore; do
        older=$(command -v "${program/iptables/iptables-legacy}") && ln -s "$older" "$folder/bin/$program"
    done
    iptables_work || fail "iptables do not work here, and without them containers reach no registry:" \
        "$(iptables --table nat --list 2>&1 | tail -n 1)"
}

bridges() {
    ip -oneline link show type bridge | awk -F ': ' '{ print $2 }'
}

# What an engine changes of the host's network, to be put back when it has ended.
remember_network() {
    iptables-save --table nat >"$folder/nat.rules"
    iptables-save --table filter >"$folder/filter.rules"
    cat /proc/sys/net/ipv4/ip_forward >"$folder/ip_forward"
    bridges >"$folder/bridges"
}

restore_network() {
    local bridge
    [ -e "$folder/bridges" ] || return 0
    iptables-restore --wait 10 --table nat <"$folder/nat.rules"
    iptables-restore --wait 10 --table filter <"$folder/filter.rules"
    cat "$folder/ip_forward" >/proc/sys/net/ipv4/ip_forward
    for bridge in $(bridges | grep -vxF -f "$folder/bridges" | grep -E '^(docker0|br-)'); do
        ip link delete "$bridge"
    done
}

start() {
    command -v docker >/dev/null || fail "the docker client is missing (Debian: apt-get install docker.io)"
    if answers; then
        echo "export DOCKER_HOST=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}"
        return
    fi
    if [ -n "$(running)" ] && answers "$socket"; then
        echo "export DOCKER_HOST=$socket"
        return
    fi
    command -v dockerd >/dev/null || fail "no Docker engine answers, and there is no dockerd to start one" \
        "(Debian: apt-get install docker.io)"
    [ "$(id -u)" -eq 0 ] || fail "no Docker engine answers, and only root can start one: sudo $0 start"
    stop
    mkdir -m 755 "$folder" "$folder/bin" # fails if somebody else has laid one
    PATH=$folder/bin:$PATH
    choose_iptables
    remember_network
    # The namespaces keep apart what the host's own containerd may have. Nothing of this script's output may
    # stay open in the engine: `$(engine.sh start)` would wait for it.
    setsid dockerd \
        "--data-root=$folder/data" "--exec-root=$folder/exec" "--pidfile=$folder/dockerd.pid" "--host=$socket" \
        "--storage-driver=$(storage_driver)" --containerd-namespace=whichworker \
        --containerd-plugins-namespace=whichworker-plugins \
        ${WHICHWORKER_CGROUP:+"--cgroup-parent=$WHICHWORKER_CGROUP"} \
        >"$folder/dockerd.log" 2>&1 </dev/null &
    local engine=$! deadline=$((SECONDS + start_timeout_s))
    until answers "$socket"; do
        if ! kill -0 "$engine" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            tail -n 20 "$folder/dockerd.log" >&2
            stop
            fail "the engine did not start; its last lines are above"
        fi
        sleep 0.2
    done
    echo "export DOCKER_HOST=$socket"
}

stop() {
    [ -d "$folder" ] || return 0
    [ -O "$folder" ] || fail "$folder belongs to somebody else"
    PATH=$folder/bin:$PATH
    local pid place deadline=$((SECONDS + stop_timeout_s))
    pid=$(running)
    if [ -n "$pid" ]; then
        kill -TERM "$pid" # it ends its containers and its containerd
        while [ -n "$(running)" ]; do
            [ $SECONDS -lt $deadline ] || fail "the engine (pid $pid) does not end; its log: $folder/dockerd.log"
            sleep 0.2
        done
    fi
    restore_network
    # Deepest first.
    awk -v below="$folder/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort --reverse |
        while read -r place; do umount "$place"; done
    rm -rf --one-file-system "$folder"
}

case ${1:-} in
start | stop) "$1" ;;
*) fail "start or stop?" ;;
esac
