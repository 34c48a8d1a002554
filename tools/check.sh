#!/usr/bin/env bash
# Everything that must hold before a commit: format, lint, types, import contracts, fast tests.
#
# Runs all of them and ends with 1 if one failed. Further arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/venv.sh dev
bin=.venv/bin
failed=()
check() {
  printf '\n== %s\n' "$*"
  "$@" || failed+=("$*")
}
check "$bin/ruff" format --check .
check "$bin/ruff" check .
check "$bin/mypy"
check "$bin/lint-imports"
check "$bin/python" -m pytest "$@"

if ((${#failed[@]})); then
  printf '\nFailed: %s\n' "${failed[@]}" >&2
  exit 1
fi
printf '\nAll checks passed.\n'
