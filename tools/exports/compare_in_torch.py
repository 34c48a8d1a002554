"""Loads exports with transformers and timm and compares what they give with what is stored.

The half of tools/check_exports.sh that needs PyTorch, and nothing of this package. Prints for each
case the largest difference of all sizes over the largest value; ends with 1 if one is too large.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
import transformers
from safetensors.torch import load_file

# Of the largest value of an output.
TOLERANCE = 5e-5
# timm drops a projection of this network there, and it becomes another one.
OTHER_NETWORKS = {("xception71", 8)}

Outputs = dict[str, np.ndarray]


def hugging_face(folder: Path, stride: int) -> Callable[[np.ndarray], Outputs]:
    """The whole network, as the README of the export loads it."""
    model, info = transformers.MobileNetV2ForSemanticSegmentation.from_pretrained(
        folder, output_loading_info=True
    )
    bad = {kind: found for kind, found in info.items() if found}
    if bad:
        raise SystemExit(f"{folder}: {bad}")
    assert model.config.output_stride == stride
    assert model.config.id2label == {index: f"name {index}" for index in range(5)}
    model.eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)

    def run(images: np.ndarray) -> Outputs:
        pixels = processor(list(images), return_tensors="pt")
        with torch.no_grad():
            outputs = model(**pixels)
        classes = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[images.shape[1:3]]
        )
        return {
            "logits": outputs.logits.permute(0, 2, 3, 1).numpy(),
            "classes": torch.stack(classes).numpy(),
        }

    return run


def xception(folder: Path, stride: int) -> Callable[[np.ndarray], Outputs] | None:
    """The backbone; None where timm has another network."""
    name = json.loads((folder / "config.json").read_text())["architecture"]
    weights = folder / "model.safetensors"
    # As the README of the export loads it, and from the folder as a whole.
    timm.create_model(name, num_classes=0, checkpoint_path=str(weights))
    timm.create_model(f"local-dir:{folder}", pretrained=True)
    if (name, stride) in OTHER_NETWORKS:
        return None
    model = timm.create_model(name, num_classes=0, output_stride=stride)
    model.load_state_dict(load_file(weights), strict=True)
    model.eval()

    def run(images: np.ndarray) -> Outputs:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            features = model.forward_features(pixels)
        return {"features": features.permute(0, 2, 3, 1).numpy()}

    return run


def compare(case: Path) -> bool:
    """Whether all sizes of a case agree."""
    folder, stride = case / "export", int(case.name.rpartition("_os")[2])
    is_whole = (folder / "preprocessor_config.json").exists()
    run = (hugging_face if is_whole else xception)(folder, stride)
    if run is None:
        print(f"{case.name}: loaded at output stride 32; timm has another network at {stride}")
        return True
    stored = np.load(case / "outputs.npz")
    worst: dict[str, float] = {}
    for size in dict.fromkeys(name.split("/")[0] for name in stored):
        for name, found in run(stored[f"{size}/images"]).items():
            expected = stored[f"{size}/{name}"]
            if found.shape != expected.shape:
                print(f"{case.name} {size}: {name} {found.shape} instead of {expected.shape}")
                return False
            if name == "classes":
                difference = (found != expected).mean()
            else:
                difference = np.abs(found - expected).max() / np.abs(expected).max()
            # A NaN is the largest.
            worst[name] = max(float(np.nan_to_num(difference, nan=np.inf)), worst.get(name, 0.0))
    changed = worst.pop("classes", None)
    line = ", ".join(f"{name} differ by {value:.1e}" for name, value in worst.items())
    if changed is not None:
        line += f", {changed:.2%} of the pixels change class"
    print(f"{case.name}: {line}", flush=True)
    return all(value <= TOLERANCE for value in worst.values())


def main() -> int:
    """Every case below the folder that is named."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, timm", end=" ")
    print(timm.__version__)
    cases = sorted(path.parent for path in Path(sys.argv[1]).glob("*/outputs.npz"))
    if not cases:
        print(f"{sys.argv[1]} has no exports", file=sys.stderr)
        return 1
    results = [compare(case) for case in cases]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
