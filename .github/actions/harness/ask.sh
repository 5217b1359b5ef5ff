#!/usr/bin/env bash
# ask.sh COMMAND [ARGUMENT...]: runs a harness command with the output folder FOLDER. Cases, loops, device
# and further arguments come from the environment (CASES: separated by commas or lines; ARGUMENTS: one per
# line). TRAIN, one word per line, is a training command in place of cases, loops and device.
#
# Exits with 0 if there is a report, whatever its verdict: the last step reports it and ends the job. A
# command without a report ends the job here, with an annotation and its exit code in the output `broke`.
set -uo pipefail

mapfile -t cases < <(printf '%s' "${CASES:-}" | tr ',' '\n' | sed 's/^ *//; s/ *$//; /^$/d')
mapfile -t arguments < <(printf '%s' "${ARGUMENTS:-}" | sed '/^ *$/d')
mapfile -t train < <(printf '%s' "${TRAIN:-}" | sed '/^ *$/d')
command=("$@")
if [ "${#train[@]}" -gt 0 ]; then
  # Its `python` is the one into which the packages were installed.
  export PATH="$RUNNER_TEMP/harness-venv/bin:$PATH"
  command+=("${arguments[@]}" "--out=$FOLDER" -- "${train[@]}")
else
  command+=("--loops=$LOOPS" "--device=$DEVICE" "${arguments[@]}" "--out=$FOLDER")
  # With --against, the words after `--` are a training command.
  [ -z "${AGAINST:-}" ] && command+=(--)
  command+=("${cases[@]}")
fi
mkdir -p "$(dirname "$FOLDER")"

# A loop can print anything: the runner must not take it for a command.
token="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
echo "::stop-commands::$token"
"$RUNNER_TEMP/harness-venv/bin/harness" "${command[@]}" 2>&1 | tee "$FOLDER.log"
code="${PIPESTATUS[0]}"
printf '\n::%s::\n' "$token"

if [ -f "$FOLDER/report.json" ] && [ "$code" != 2 ]; then
  exit 0
fi
last="$(grep -v '^[[:space:]]*$' "$FOLDER.log" | tail -n 1 | cut -c-2000)"
last="${last//'%'/%25}"
last="${last//$'\r'/%0D}"
if [ "$code" = 2 ]; then
  echo "::error title=harness $1%3A wrong use::$last"
else
  echo "::error title=harness $1 ended with code $code and left no report::$last"
  code=3
fi
echo "broke=$code" >>"$GITHUB_OUTPUT"
exit "$code"
