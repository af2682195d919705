#!/usr/bin/env bash
# Check the ONNX files of the repository in the working folder, for action.yml, which sets what is read here.
# Annotations and verdicts go to standard output, SARIF to $SARIF, a table to the job's summary.
set -euo pipefail

options=()
[ -z "${TARGETS:-}" ] || options+=(--target "${TARGETS// /}")
[ -z "${MAX_FALLBACK_MACS:-}" ] || options+=(--max-fallback-macs "$MAX_FALLBACK_MACS")
[ -z "${UNKNOWN:-}" ] || options+=(--unknown "$UNKNOWN")
[ -z "${EVIDENCE:-}" ] || options+=(--evidence "$EVIDENCE")
[ -z "${CONFIG:-}" ] || options+=(--config "$CONFIG")

has_base() { [ -n "${BASE:-}" ] && git merge-base "$BASE" HEAD >/dev/null 2>&1; }

models=()
case "${MODELS:-changed}" in
  config) ;; # those that mosaic-deploy.toml names
  changed)
    if has_base; then
      # Weights beside a model, in X.onnx.data, change X.onnx.
      mapfile -d '' -t models < <(
        git diff -z --name-only --diff-filter=ACMR "$BASE...HEAD" -- '*.onnx' '*.onnx.data' |
          sed -z 's/\.data$//' | sort -zu
      )
    else
      echo "mosaic-deploy: no earlier commit to compare with, so every model is checked"
      mapfile -d '' -t models < <(git ls-files -z -- '*.onnx')
    fi
    ;;
  all) mapfile -d '' -t models < <(git ls-files -z -- '*.onnx') ;;
  *) read -r -a models <<<"$MODELS" ;;
esac

if [ "${MODELS:-changed}" != config ] && [ "${#models[@]}" = 0 ]; then
  echo "mosaic-deploy: no ONNX file to check"
  exit 0
fi

if [ "${NEW_ONLY:-false}" = true ] && has_base; then
  base=$(mktemp -d)
  trap 'git worktree remove --force "$base/tree" >/dev/null 2>&1 || true; rm -rf "$base"' EXIT
  git worktree add --quiet --detach "$base/tree" "$(git merge-base "$BASE" HEAD)"
  options+=(--diff "$base/tree")
fi

check() { mosaic-deploy check "${options[@]}" "$@" -- "${models[@]/#/./}"; }

code=0
check --format github || code=$?
rm -f "$SARIF"
check --format sarif --output "$SARIF" 2>/dev/null || true
[ ! -e "$SARIF" ] || echo "sarif=$SARIF" >>"${GITHUB_OUTPUT:-/dev/null}"
check --format markdown 2>/dev/null >>"${GITHUB_STEP_SUMMARY:-/dev/null}" || true
exit "$code"
