#!/usr/bin/env bash
# Runs the tests; creates .venv first if needed. Further arguments go to pytest.
#
#   bash tools/test.sh                        the fast tests, on all cores
#   bash tools/test.sh --run-slow             all tests
#   bash tools/test.sh tests/cli/test_cli.py -k help
#
# PYTHON=python3.12 chooses the interpreter that .venv is made with. VENV=DIR makes it elsewhere, and
# EXTRAS=dev,beam with further extras of pyproject.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/venv.sh "${EXTRAS:-dev}"
# A file of tests per core; tests of a file share what they train.
[ $# -gt 0 ] || set -- -n auto --dist loadfile
exec "${VENV:-.venv}/bin/python" -m pytest "$@"
