#!/bin/sh
# The whole build: no generator stage, no compile stage, no Dockerfile.
set -eu
cd "$(dirname "$0")"
exec cdb build data -t data-container -o docker-daemon:data-container
