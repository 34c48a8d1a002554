#!/usr/bin/env bash
# Does JAX, without TensorFlow, compute the losses of our training step?
#
#   bash tools/check_stablehlo.sh                                              a small network
#   bash tools/check_stablehlo.sh --gin_file=runs/voc_2012_mobilenet_v2.gin    flags of stablehlo_step.py
#
# Makes .venv-jax (0.6 GB) with JAX of the version that tools/stablehlo_run.py names, for the CPU.
# PYTHON=python3.12 chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/venv.sh dev
if ! .venv-jax/bin/python -c 'import jax' 2>/dev/null; then
  "${PYTHON:-python3}" -m venv --clear .venv-jax
  jax=$(grep -o 'jax==[0-9.]*' tools/stablehlo_run.py | head -1)
  .venv-jax/bin/python -m pip install --quiet --disable-pip-version-check "$jax"
fi
if [ $# -eq 0 ]; then
  exec .venv/bin/python -m pytest --run-slow tests/test_stablehlo.py
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
.venv/bin/python tools/stablehlo_step.py --output_dir="$out" "$@"
.venv-jax/bin/python tools/stablehlo_run.py "$out"
