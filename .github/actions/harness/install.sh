#!/usr/bin/env bash
# Installs the harness of this action's own version into an environment of the job, from its
# constraints. Reads CONSTRAINTS, PACKAGES (one argument of pip a line) and TORCH_INDEX; all may be
# empty.
set -euo pipefail

source="$(cd "$GITHUB_ACTION_PATH/../../.." && pwd)"
constraints="${CONSTRAINTS:-$source/constraints.txt}"
python="$RUNNER_TEMP/harness-venv/bin/python"
mapfile -t packages < <(printf '%s' "${PACKAGES:-}" | sed '/^ *$/d')

[ -x "$python" ] || python3 -m venv "$RUNNER_TEMP/harness-venv"
install() { "$python" -m pip install --quiet --constraint "$constraints" "$@"; }
install --upgrade pip
# First and exactly pinned: of one version pip prefers the build of the further index (2.13.0+cpu).
torch="$(grep '^torch==' "$constraints" || echo torch)"
install ${TORCH_INDEX:+"--extra-index-url=$TORCH_INDEX"} "$torch"
install "$source" "${packages[@]}"
"$python" -m pip list
