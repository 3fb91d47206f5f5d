# The image of a stack with the requirements of somebody's own app over it; bench/compose/own_image.py builds it, in
# a folder that has `requirements` (with all files that they include), install.sh, `wheels` and `certificates`.
# BASE is the stack's image, REQUIREMENTS the file to be installed, SOURCES what it was made from.

ARG BASE
FROM ${BASE}
USER root
WORKDIR /build
COPY . .
ARG REQUIREMENTS
RUN sh install.sh --requirement "requirements/${REQUIREMENTS}" \
    && /opt/stack/bin/python -m pip check --disable-pip-version-check \
    && rm -rf /build/*
WORKDIR /whichworker
USER 1000:1000
ARG SOURCES=unknown
LABEL whichworker.sources=${SOURCES}
