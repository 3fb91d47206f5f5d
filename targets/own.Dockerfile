# An image with requirements of somebody's own over it, an app's over a stack's or a locustfile's over the suite's;
# bench/launch/containers/images.py builds it, in a folder that has `requirements` (with all files that they include),
# install.sh, `wheels` and `certificates`, and pinned.txt if there are versions that stay.
# BASE is the image below, REQUIREMENTS the file to be installed, SOURCES what it was made from.

ARG BASE
FROM ${BASE}
USER root
WORKDIR /build
COPY . .
ARG REQUIREMENTS
RUN set -- --requirement "requirements/${REQUIREMENTS}" \
    && if [ -e pinned.txt ]; then set -- --requirement pinned.txt "$@"; fi \
    && sh install.sh "$@" \
    && /opt/stack/bin/python -m pip check --disable-pip-version-check \
    && rm -rf /build/*
WORKDIR /whichworker
USER 1000:1000
ARG SOURCES=unknown
LABEL whichworker.sources=${SOURCES}
