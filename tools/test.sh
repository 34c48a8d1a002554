#!/usr/bin/env bash
# Runs the tests; creates .venv first if needed. Further arguments go to pytest.
#
#   bash tools/test.sh                        the fast tests
#   bash tools/test.sh --run-slow             all tests
#   bash tools/test.sh tests/test_cli.py -k help
#
# PYTHON=python3.12 chooses the interpreter that .venv is made with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/venv.sh dev
exec .venv/bin/python -m pytest "$@"
