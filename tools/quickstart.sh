#!/usr/bin/env bash
# From a fresh checkout to a trained, evaluated and exported model, on the built-in data set.
#
#   bash tools/quickstart.sh
#
# Writes only .venv/ and quickstart/. PYTHON=python3.12 chooses the interpreter. Running it again
# continues where it was; delete quickstart/ to start over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=quickstart
needed_gb=4
free_gb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
if [ ! -e .venv/installed-plain ] && [ ! -e .venv/installed-dev ] && [ "$free_gb" -lt "$needed_gb" ]; then
  echo "Only $free_gb GB are free on the disk of $PWD; the quickstart needs $needed_gb GB." >&2
  exit 1
fi

started=$SECONDS
bash tools/venv.sh
install_seconds=$((SECONDS - started))

# Compiled Python files and Keras' settings would otherwise appear in deeplab/ and in ~/.keras.
export PYTHONPYCACHEPREFIX=$PWD/.venv/pycache KERAS_HOME=$PWD/.venv/keras
deeplab=.venv/bin/deeplab
step() {
  printf '\n== deeplab %s\n' "$*"
  "$deeplab" "$@"
}

started=$SECONDS
mkdir -p "$out"
if [ -e "$out/model/config.gin" ]; then
  step train --model_dir="$out/model"
else
  # Ten minutes in all: on a slow processor there are fewer steps. 450 are too few (mIoU 0.830).
  run=runs/shapes_mobilenet_v2.gin
  steps=$(.venv/bin/python tools/quickstart_steps.py --gin_file="$run" --minutes=6.5 --least=550)
  step train --gin_file="$run" --gin_bindings="$steps" --model_dir="$out/model" --data_dir="$out/data"
fi
step evaluate --model_dir="$out/model" --name=quickstart

.venv/bin/python tools/save_examples.py --data_dir="$out/data" --output_dir="$out/images" --count=6
step predict --model_dir="$out/model" --input="$out/images" --output_dir="$out/predictions" --overwrite
step export --model_dir="$out/model" --export_dir="$out/export" --overwrite
step predict --saved_model="$out/export" --input="$out/images" \
  --output_dir="$out/predictions_of_export" --overwrite
run_seconds=$((SECONDS - started))

miou=$(.venv/bin/python -c "
import json
print('%.3f' % json.load(open('$out/model/eval/quickstart/metrics.json'))['miou'])")
minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }
cat <<TEXT

Done: mIoU $miou on the validation images of shapes.
  installing took            $(minutes "$install_seconds")
  running took               $(minutes "$run_seconds")
  report                     $out/model/eval/quickstart/report.html
  predictions                $out/predictions (by the export: $out/predictions_of_export)
  exported model             $out/export (a SavedModel)
  training curves            .venv/bin/tensorboard --logdir=$out/model
TEXT
