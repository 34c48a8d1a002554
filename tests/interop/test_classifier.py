"""The ImageNet classifier of a file is kept beside the backbone, and gives what it gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hub_files import Hub, difference, images
from PIL import Image
from random_weights import randomize

from deeplab.errors import DeepLabError
from deeplab.evaluation.classify import classify, resized_center
from deeplab.interop import import_model
from deeplab.model_dir import (
    ClassifierDescription,
    find_checkpoint,
    read_description,
    restore_checkpoint,
)
from deeplab.models import build_classifier, classifier_variables

# What Keras meets when it saves.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    model = keras.applications.MobileNetV2(weights=None, alpha=0.35, classes=17)
    randomize(model)
    folder = tmp_path_factory.mktemp("keras")
    model.save_weights(folder / "mobilenet.weights.h5")
    import_model(
        source="keras_applications",
        checkpoint=str(folder / "mobilenet.weights.h5"),
        model_dir=folder / "kept",
        keep_classifier=True,
    )
    return folder, model


@pytest.mark.slow
def test_photographs_are_classified_as_there(
    mobilenet: tuple[Path, keras.Model], run_command: Any
) -> None:
    folder, model = mobilenet
    rng = np.random.default_rng(1)
    pixels = np.kron(rng.integers(0, 256, (30, 40, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    description = read_description(folder / "kept").classifier
    assert description == ClassifierDescription(17, 256, 224, "bilinear", 1280)
    seen = resized_center(pixels, description)
    assert seen.shape == (224, 224, 3)
    inputs = keras.applications.mobilenet_v2.preprocess_input(seen[None].astype(np.float32))
    expected = model(inputs).numpy()[0]
    found = classify(model_dir=folder / "kept", photo=folder / "photo.png")
    assert [index for index, _ in found] == list(np.argsort(-expected)[:5])
    np.testing.assert_allclose([p for _, p in found], np.sort(expected)[:-6:-1], rtol=1e-4)
    code, output, _ = run_command(
        "info", "--model_dir", folder / "kept", "--classify", folder / "photo.png"
    )
    assert code == 0
    assert [int(line.split()[0]) for line in output.splitlines()] == [i for i, _ in found]


def test_what_an_import_says_of_it(mobilenet: tuple[Path, keras.Model], tmp_path: Path) -> None:
    folder, _ = mobilenet
    report = json.loads((folder / "kept" / "import.json").read_text())
    assert {"predictions/kernel", "Conv_1_bn/gamma"} <= set(report["loaded"])
    source = {"source": "keras_applications", "checkpoint": str(folder / "mobilenet.weights.h5")}
    import_model(**source, model_dir=tmp_path / "without")
    assert read_description(tmp_path / "without").classifier is None
    with pytest.raises(DeepLabError, match="keep_classifier"):
        classify(model_dir=tmp_path / "without", photo=folder / "photo.png")


def test_a_file_without_classifier(tmp_path: Path) -> None:
    keras.applications.MobileNetV2(weights=None, alpha=0.35, include_top=False).save_weights(
        tmp_path / "no_top.weights.h5"
    )
    with pytest.raises(DeepLabError, match="no_top"):
        import_model(
            source="keras_applications",
            checkpoint=str(tmp_path / "no_top.weights.h5"),
            model_dir=tmp_path / "m",
            keep_classifier=True,
        )
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_equals_timm(reference_data: Path, tmp_path: Path) -> None:
    hub = Hub(reference_data / "hub")
    golden = hub.golden("timm/xception41")
    hub.writers.make_safetensors(hub.json("timm/xception41"), tmp_path / "model.safetensors")
    config = golden.data["hub"]["timm/xception41.tf_in1k"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    folder = tmp_path / "kept"
    import_model(source="timm", checkpoint=str(tmp_path), model_dir=folder, keep_classifier=True)
    description = read_description(folder)
    assert description.classifier == ClassifierDescription(1000, 331, 299, "bicubic")
    model = build_classifier(description.config, num_classes=1000)
    backbone, behind = classifier_variables(model)
    restore_checkpoint(find_checkpoint(folder), {"model": backbone, "classifier": behind})
    for case in ("os32_161", "os32_even_64x96"):
        logits = model(images(golden, case)).numpy()
        assert difference(golden, case, "logits", logits, over="absmax") < 2e-5
