#!/bin/bash
# Trains on the TPU of a TPU VM.
#
#   bash tools/launch/tpu_vm.sh NAME ZONE --gin_file=runs/... --model_dir=/home/me/models/mine
#
# Run so far: never; no TPU was available. The loop of many steps that a TPU needs is tested on CPUs
# (tests/training/test_device_loop.py), TPUStrategy itself is not.
#
# Expects a TPU VM whose image brings TensorFlow for TPUs (such as tpu-vm-tf-2.x) and this checkout
# installed there without replacing that TensorFlow:
#   gcloud compute tpus tpu-vm ssh NAME --zone=ZONE --command='pip install --no-deps ./deeplab'
# model_dir must be a local or mounted folder.

set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: tools/launch/tpu_vm.sh NAME ZONE TRAIN_FLAGS..." >&2
  exit 2
fi
name=$1 zone=$2
shift 2
printf -v flags ' %q' "$@"
# The process runs on the VM that holds the TPU: it is called "local" there.
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" \
  --command="TPU_NAME=local deeplab train --strategy=tpu$flags"
