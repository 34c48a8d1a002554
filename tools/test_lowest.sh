#!/usr/bin/env bash
# Does this package work with the lowest versions that pyproject.toml declares?
#
#   bash tools/test_lowest.sh                     a temporary folder, a few tests of every part
#   bash tools/test_lowest.sh DIR                 the same in DIR, which keeps the environment
#   bash tools/test_lowest.sh DIR tests/export    other tests, or flags of pytest
#
# Makes an environment of its own (about 2 GB) in which every dependency has exactly its lower bound, and
# what these bring along is the newest that fits, as pip would take it today. Run by hand after a change
# of the bounds: it needs the network.
#
# PYTHON=python3.12 chooses the interpreter; the default is the lowest that is declared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -gt 0 ]; then
  out=$1
  shift
else
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
[ $# -gt 0 ] || set -- tests/export/test_export.py tests/models/test_deeplab_v3_plus.py \
  tests/data/pipeline tests/training/test_step.py tests/cli/test_cli.py

mkdir -p "$out"
"${PYTHON:-python3.11}" - >"$out/lowest.txt" <<'END'
import tomllib

with open("pyproject.toml", "rb") as file:
    for requirement in tomllib.load(file)["project"]["dependencies"]:
        print(requirement.replace(">=", "=="))
END
if ! cmp -s "$out/lowest.txt" "$out/installed.txt"; then
  "${PYTHON:-python3.11}" -m venv --clear "$out/env"
  "$out/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint="$out/lowest.txt" --editable=".[dev]"
  cp "$out/lowest.txt" "$out/installed.txt"
fi
"$out/env/bin/deeplab" doctor
# Warnings of old versions about each other are nobody's mistake here.
"$out/env/bin/python" -m pytest -W default "$@"
