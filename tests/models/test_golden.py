"""The network gives the numbers of the original code, with the same weights.

Of every stored configuration: names and shapes of the variables, their count, which of them are
under weight decay, the logits at every scale, and the labels.
"""

from pathlib import Path

import pytest
from check_golden import compare
from golden import golden_model, input_images, load_golden, weight_rule

import deeplab
from deeplab.interop.tf1.names import original_names
from deeplab.models import decayed_variables, variables_by_path
from deeplab.training.config import OptimizerConfig
from deeplab.training.optimization.parameter_groups import learning_rate_multipliers

# One of each kind of network and of head that is built in a second or two.
FAST = (
    "mnv2_dm05_os8_129",
    "mnv2_os16_129",
    "mnv2_os16_even_128x160",
    "r18_os16_129",
)
SLOW = (
    "edgetpu_os32_129",
    "edgetpu_slim_os16_129",
    "hnasnet_os8_129",
    "hnasnet_rm32_os8_129",
    "mnv2_dec4_ade20k_os16_129",
    "mnv2_dm05_os16_129",
    "mnv2_ms_flip_os16_513_astronaut",
    "mnv2_ms_os16_129",
    "mnv2_noupsample_os16_129",
    "mnv2_os16_513_astronaut",
    "mnv2_os16_513_chelsea",
    "mnv2_os16_dynamic_97x145",
    "mnv2_os32_129",
    "mnv2_pyramid_max_os16_129",
    "mnv3large_os32_257x385",
    "mnv3large_os32_769",
    "mnv3small_os16_257x385",
    "mnv3small_os32_1025x2049",
    "mnv3small_os32_257x385",
    "pnasnet_os16_129",
    "r101beta_mg124_os16_129",
    "r101beta_os16_129",
    "r101beta_os8_129",
    "r50_os16_129",
    "r50beta_os16_129",
    "r50beta_os8_129",
    "xc41_nodecoder_os16_129",
    "xc41_noimage_os16_129",
    "xc41_os16_129",
    "xc41_summerge_os16_129",
    "xc41_v2style_os16_129",
    "xc65_bounded_os16_129",
    "xc65_multigrid_os16_129",
    "xc65_os16_129",
    "xc65_os16_513_astronaut",
    "xc65_os16_even_128x160",
    "xc65_os8_129",
    "xc71_dpc_os16_129x257",
)


def test_every_stored_configuration_is_here(reference_data: Path) -> None:
    stored = {path.stem for path in (reference_data / "golden").glob("*.json")}
    assert stored == {*FAST, *SLOW}


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_equals_the_original(
    name: str, reference_data: Path, tmp_path: Path, record_property: pytest.FixtureRequest
) -> None:
    golden = load_golden(reference_data, name)
    prefix = str(tmp_path / "model.ckpt")
    weight_rule(golden.folder).write_checkpoint(golden.folder / f"{name}.json", prefix)
    model = golden_model(golden)

    report = deeplab.import_weights(model, source="tf1", path=prefix)  # strict names and shapes
    assert list(report.ignored) == ["global_step"]
    assert model.count_params() == golden.facts["parameter_count"]["all_float"]
    names, decayed = original_names(model), {id(v) for v in decayed_variables(model)}
    ours = {names[p] for p, variable in variables_by_path(model).items() if id(variable) in decayed}
    assert ours == {v["name"] for v in golden.facts["variables"] if v.get("l2")}
    # Stored for a last_layer_gradient_multiplier of 10.
    multipliers = learning_rate_multipliers(model, OptimizerConfig(last_layer_lr_multiplier=10.0))
    assert {names[path]: multiplier for path, multiplier in multipliers.items()} == {
        v["name"]: v.get("grad_mult", 1.0) for v in golden.facts["variables"] if v["trainable"]
    }

    found = compare(model, golden, input_images(golden, reference_data))
    record_property("difference", found.difference)
    record_property("agreement", found.agreement)
    assert found.ok, found
