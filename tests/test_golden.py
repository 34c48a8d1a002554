"""The network gives the numbers of the original code, with the same weights."""

from pathlib import Path

import numpy as np
import pytest
from golden import golden_model, input_images, load_golden, weight_rule

import deeplab

CONFIGURATIONS = [
    "mnv2_os16_129",
    "mnv2_os16_even_128x160",
    "mnv2_os16_dynamic_97x145",
    "mnv2_os32_129",
    "mnv2_dm05_os16_129",
    "mnv2_dm05_os8_129",
    "mnv2_dec4_ade20k_os16_129",
    pytest.param("mnv2_os16_513_astronaut", marks=pytest.mark.slow),
    pytest.param("xc41_os16_129", marks=pytest.mark.slow),
    pytest.param("xc41_nodecoder_os16_129", marks=pytest.mark.slow),
    pytest.param("xc41_noimage_os16_129", marks=pytest.mark.slow),
    pytest.param("xc65_os16_129", marks=pytest.mark.slow),
    pytest.param("xc65_os8_129", marks=pytest.mark.slow),
    "xc65_os16_even_128x160",
    pytest.param("xc65_os16_513_astronaut", marks=pytest.mark.slow),
]
# Largest difference of a logit over the standard deviation of the logits.
TOLERANCE = 2e-3


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_equals_the_original(
    name: str, reference_data: Path, tmp_path: Path, record_property: pytest.FixtureRequest
) -> None:
    golden = load_golden(reference_data, name)
    prefix = str(tmp_path / "model.ckpt")
    weight_rule(golden.folder).write_checkpoint(golden.folder / f"{name}.json", prefix)
    model = golden_model(golden)
    report = deeplab.import_weights(model, source="tf1", path=prefix)
    assert list(report.ignored) == ["global_step"]

    outputs = deeplab.intermediates(model)(input_images(golden, reference_data))

    expected = golden.arrays["logits"]
    logits = outputs["logits_low_resolution"].numpy()
    difference = np.abs(logits - expected).max() / expected.std()
    predictions = outputs["logits"].numpy().argmax(-1)
    agreement = (predictions == golden.arrays["predictions"]).mean()
    record_property("difference", float(difference))
    record_property("agreement", float(agreement))
    assert logits.shape == expected.shape
    assert difference < TOLERANCE
    assert agreement >= 0.999


def test_parameter_counts(reference_data: Path) -> None:
    golden = load_golden(reference_data, "xc65_os16_129")
    assert golden_model(golden).count_params() == golden.facts["parameter_count"]["all_float"]
