#!/usr/bin/env bash
# ask.sh COMMAND [ARGUMENT...]: runs a harness command into FOLDER, for the cases, loops, device and
# further arguments of the environment (CASES: separated by commas or lines; ARGUMENTS: one a line).
#
# Goes on with 0 where there is a report, whatever it says: the last step tells and ends the job. A
# command that left none ends it here, with an annotation, and with its code in the output `broke`.
set -uo pipefail

mapfile -t cases < <(printf '%s' "${CASES:-}" | tr ',' '\n' | sed 's/^ *//; s/ *$//; /^$/d')
mapfile -t arguments < <(printf '%s' "${ARGUMENTS:-}" | sed '/^ *$/d')
command=("$@" "--loops=$LOOPS" "--device=$DEVICE" "${arguments[@]}" "--out=$FOLDER")
command+=(-- "${cases[@]}")
mkdir -p "$(dirname "$FOLDER")"

# What a loop prints is not ours: the runner is told to obey none of it.
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
