#!/usr/bin/env bash
# comment.sh FILE: posts FILE as a comment on the pull request of this build, or puts it in the place of the
# comment that an earlier build posted. NAME tells the comments of several uses apart. GH_TOKEN may write
# pull requests. A comment that cannot be posted is a warning: the verdict does not depend on it.
set -uo pipefail

case "${GITHUB_REF:-}" in
  refs/pull/*/merge) number="${GITHUB_REF#refs/pull/}" ;;
  *) echo "No comment: this is not the build of a pull request." && exit 0 ;;
esac
number="${number%/merge}"
if [ ! -f "$1" ]; then
  echo "No comment: there is no report." && exit 0
fi
marker="<!-- trainloop-harness: $(printf '%s' "$NAME" | tr -cd 'A-Za-z0-9._ ') -->"
body="$RUNNER_TEMP/harness-comment.md"
{ printf '%s\n' "$marker" && cat "$1"; } >"$body"

post() {
  local comments="repos/$GITHUB_REPOSITORY/issues/$number/comments" id
  id="$(gh api --paginate "$comments" --jq ".[] | select(.body | startswith(\"$marker\")) | .id")" || return
  id="$(head -n 1 <<<"$id")"
  if [ -n "$id" ]; then
    gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$body"
  else
    gh api --silent --method POST "$comments" --field "body=@$body"
  fi
}
if ! post; then
  echo "::warning title=harness%3A no comment::The comment on the pull request could not be posted: the job" \
    "needs the permission pull-requests%3A write."
fi
