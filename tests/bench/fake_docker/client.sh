#!/bin/bash
# `docker` and `docker-compose` of tests, called by these names: a process that is there already (resident.py), on the
# port $FAKE_DOCKER_PORT, does what this one is told. It finds the streams as 4, 5 and 6: to write elsewhere, bash has
# something else in their place for a moment.
exec 3<>"/dev/tcp/127.0.0.1/$FAKE_DOCKER_PORT" 4<&0 5>&1 6>&2
for name in INT TERM; do trap "echo $name >&3" "$name"; done
echo $$ >&3
read -r -u 3 status
exit "$status"
