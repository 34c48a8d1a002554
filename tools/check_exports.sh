#!/usr/bin/env bash
# What transformers and timm make of our exports: are their outputs ours?
#
#   bash tools/check_exports.sh                               a temporary folder, mobilenet_v2 and xception_41
#   bash tools/check_exports.sh DIR                           the same in DIR, which keeps the environment
#   bash tools/check_exports.sh DIR mobilenet_v2 xception_65  other backbones
#
# Makes an environment of its own with PyTorch, transformers and timm (about 2 GB) in DIR/torch, exports
# networks of random weights, loads them there as strictly as the libraries can, and prints the largest
# difference of the outputs over their largest value. Ends with 1 if one is above 5e-5. Run by hand: it
# needs the network.
#
# PYTHON=python3.12 chooses the interpreter of that environment, TORCH_PACKAGES="torch==... ..." the
# packages of PyTorch (by default what its index of CPU builds gives), DEEPLAB_PYTHON=.../bin/python an
# interpreter with this package and safetensors (by default that of .venv, which is made).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ $# -gt 0 ]; then
  out=$1
  shift
else
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
backbones=("$@")
[ $# -gt 0 ] || backbones=(mobilenet_v2 xception_41)

if [ -z "${DEEPLAB_PYTHON:-}" ]; then
  bash tools/venv.sh dev
  DEEPLAB_PYTHON=.venv/bin/python
fi

torch_python=$out/torch/bin/python
if ! "$torch_python" -c 'import timm, torch, transformers' 2>/dev/null; then
  echo "Installing PyTorch, transformers and timm into $out/torch ..."
  "${PYTHON:-python3}" -m venv --clear "$out/torch"
  # What is for other processors is several GB.
  packages=(torch torchvision --index-url https://download.pytorch.org/whl/cpu)
  [ -z "${TORCH_PACKAGES:-}" ] || read -ra packages <<<"$TORCH_PACKAGES"
  "$torch_python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
  "$torch_python" -m pip install --quiet --disable-pip-version-check transformers timm
fi

failed=0
for backbone in "${backbones[@]}"; do
  rm -rf "${out:?}/$backbone"
  PYTHONPATH=$PWD TF_CPP_MIN_LOG_LEVEL=3 \
    "$DEEPLAB_PYTHON" tools/exports/export_random.py --backbone="$backbone" --output_dir="$out/$backbone"
  "$torch_python" tools/exports/compare_in_torch.py "$out/$backbone" || failed=1
  rm -rf "${out:?}/$backbone"
done
exit "$failed"
