"""Inference as the original does it, against its own outputs and by hand."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from golden import golden_model, input_images, load_golden, weight_rule
from model_dirs import TINY, make_model_dir
from PIL import Image
from source_folders import make_folder

import deeplab
from deeplab.evaluation.inference import scale_dimension
from deeplab.evaluation.original_protocol import original_prediction_function
from deeplab.interop.tf1 import predict_labels


def loaded_model(reference: Path, name: str, tmp_path: Path) -> deeplab.models.DeepLabModel:
    golden = load_golden(reference, name)
    prefix = str(tmp_path / "model.ckpt")
    weight_rule(golden.folder).write_checkpoint(golden.folder / f"{name}.json", prefix)
    model = golden_model(golden)
    deeplab.import_weights(model, source="tf1", path=prefix)
    return model


@pytest.mark.parametrize(
    "name",
    [
        "mnv2_os16_129",
        "mnv2_noupsample_os16_129",
        pytest.param("mnv2_ms_os16_129", marks=pytest.mark.slow),
        pytest.param("mnv2_ms_flip_os16_513_astronaut", marks=pytest.mark.slow),
    ],
)
def test_equals_the_original(name: str, reference_data: Path, tmp_path: Path) -> None:
    golden = load_golden(reference_data, name)
    options = golden.facts["model_options"]
    labels, probabilities = predict_labels(
        loaded_model(reference_data, name, tmp_path),
        input_images(golden, reference_data),
        eval_scales=golden.facts["eval_scales"] or (1.0,),
        flip=golden.facts["add_flipped_images"],
        upsample_logits=options["prediction_with_upsampled_logits"],
    )
    assert (labels.numpy() == golden.arrays["predictions"]).mean() >= 0.9999
    if "prob_strided" in golden.arrays:
        expected = golden.arrays["prob_strided"]
        stride = golden.facts["prob_stride"]
        found = probabilities.numpy()[:, ::stride, ::stride]
        assert np.abs(found - expected).max() <= 2e-3 * expected.std()
    first = golden.facts["prob"]["first"]
    np.testing.assert_allclose(probabilities[0, 0, 0, : len(first)], first, atol=1e-4)


def test_scale_dimension() -> None:
    sizes = [int(scale_dimension(513, scale)) for scale in (1 / 16, 0.25, 0.5, 1.25, 1.75)]
    assert sizes == [33, 129, 257, 641, 897]


def test_several_copies_give_the_softmax_of_their_mean() -> None:
    model = deeplab.deeplab_v3_plus("mobilenet_v2", num_classes=3, depth_multiplier=0.35, **TINY)
    images = np.random.default_rng(0).uniform(0, 255, (1, 33, 49, 3)).astype(np.float32)
    both = original_prediction_function(model, flip=True)(images)
    plain = tf.nn.softmax(model(images))
    mirrored = tf.nn.softmax(model(images[:, :, ::-1])[:, :, ::-1])
    mean = ((plain + mirrored) / 2).numpy()
    np.testing.assert_array_equal(both.labels, mean.argmax(-1))
    np.testing.assert_allclose(both.probabilities, tf.nn.softmax(mean), atol=1e-5)


def test_a_network_that_resizes_in_another_way_is_refused(tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model", **TINY, resize="half_pixel")
    model = deeplab.load_model(tmp_path / "model")
    assert model.model_config.resize == "half_pixel"
    with pytest.raises(deeplab.DeepLabError, match="this network has resize 'half_pixel'"):
        original_prediction_function(model)


@pytest.mark.slow
def test_evaluate_by_the_original_protocol(tmp_path: Path) -> None:
    make_model_dir(tmp_path / "model", **TINY)
    sizes = {"a": (33, 49), "b": (40, 40)}
    source = make_folder(tmp_path / "source", sizes, ids=(0, 1, 2))
    settings = {
        "model_dir": tmp_path / "model",
        "images": source / "images",
        "labels": source / "labels",
        "eval_scales": (0.5, 1.25),
        "progress": False,
    }
    original = deeplab.evaluate(**settings, original_protocol=True)
    ours = deeplab.evaluate(**settings)
    folders = sorted(path.name for path in (tmp_path / "model" / "eval").iterdir())
    assert folders == ["images-ms", "images-ms-original"]
    # Two resizes in a row instead of one move some boundaries.
    assert original["confusion_matrix"] != ours["confusion_matrix"]
    model = deeplab.load_model(tmp_path / "model")
    predict = original_prediction_function(model, eval_scales=(0.5, 1.25))
    expected = np.zeros((3, 3), np.int64)
    for name in sizes:
        image = np.asarray(Image.open(source / "images" / f"{name}.png"), np.float32)
        label = np.asarray(Image.open(source / "labels" / f"{name}.png"))
        predicted = predict(image[None]).labels[0].numpy()
        np.add.at(expected, (label, predicted), 1)
    np.testing.assert_array_equal(original["confusion_matrix"], expected)
