#!/usr/bin/env bash
# Installs the harness of this action's own version, with what training needs, into an environment
# of the job. Versions come from the harness's constraints, or from the file CONSTRAINTS. Also reads
# PACKAGES (one argument of pip per line) and TORCH_INDEX. Each of the three may be empty.
set -euo pipefail

source="$(cd "$GITHUB_ACTION_PATH/../../.." && pwd)"
constraints="${CONSTRAINTS:-$source/constraints.txt}"
python="$RUNNER_TEMP/harness-venv/bin/python"
mapfile -t packages < <(printf '%s' "${PACKAGES:-}" | sed '/^ *$/d')

[ -x "$python" ] || python3 -m venv "$RUNNER_TEMP/harness-venv"
install() { "$python" -m pip install --quiet --constraint "$constraints" "$@"; }
install --upgrade pip
# First and exactly pinned: for one version, pip prefers the build of the extra index (2.13.0+cpu).
torch="$(grep '^torch==' "$constraints" || echo torch)"
install ${TORCH_INDEX:+"--extra-index-url=$TORCH_INDEX"} "$torch"
install "${source}[train]" "${packages[@]}"
"$python" -m pip list
