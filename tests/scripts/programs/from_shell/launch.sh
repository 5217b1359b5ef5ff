#!/usr/bin/env bash
# launch.sh NAME [OPTIONS]: runs train.py for the data set NAME.
set -euo pipefail
name="$1"
shift

python train.py --data "${name}" "$@" | sed "s/^/[${name}] /"
