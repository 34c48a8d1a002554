"""The original's model zoo: its table, and its archives and folders on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import zoo
from command_line import Command
from golden import load_golden
from original_files import original_values, write_frozen_graph

import deeplab
from deeplab.data import DATASETS
from deeplab.interop import import_model, model_zoo, tf1
from deeplab.interop.loading import Request, Stored
from deeplab.interop.model_zoo import ROWS
from deeplab.interop.tf1.names import original_names
from deeplab.interop.tf1.network import VARIANTS, network_config, read_network_flags
from deeplab.model_dir import load_model, read_description
from deeplab.models import ModelConfig, build_model

SMALL = "mobilenetv3_small_cityscapes_trainfine"
HALF = "mobilenetv2_dm05_coco_voc_trainaug"

# A row -> the stored configuration of the same variables, and what is else in the row's network.
GOLDEN: dict[str, tuple[str, dict[str, object]]] = {
    "mobilenetv2_dm05_coco_voc_trainaug": ("mnv2_dm05_os16_129", {}),
    "mobilenetv2_dm05_coco_voc_trainval": ("mnv2_dm05_os8_129", {}),
    "mobilenetv2_coco_voc_trainaug": ("mnv2_os16_129", {}),
    "mobilenetv2_coco_voc_trainval": ("mnv2_os16_129", {"output_stride": 8}),
    "xception65_coco_voc_trainaug": ("xc65_os16_129", {}),
    "xception65_coco_voc_trainval": ("xc65_os8_129", {}),
    "mobilenetv2_coco_cityscapes_trainfine": ("mnv2_os16_129", {"num_classes": 19}),
    "mobilenetv3_large_cityscapes_trainfine": ("mnv3large_os32_769", {}),
    "mobilenetv3_small_cityscapes_trainfine": ("mnv3small_os32_1025x2049", {}),
    "xception65_cityscapes_trainfine": ("xc65_os16_129", {"num_classes": 19}),
    "xception71_dpc_cityscapes_trainfine": ("xc71_dpc_os16_129x257", {}),
    "xception71_dpc_cityscapes_trainval": ("xc71_dpc_os16_129x257", {"output_stride": 8}),
    "edgetpu_deeplab": ("edgetpu_os32_129", {}),
    "edgetpu_deeplab_slim": ("edgetpu_slim_os16_129", {"output_stride": 32}),
    "mobilenetv2_ade20k_train": ("mnv2_dec4_ade20k_os16_129", {"num_classes": 150}),
    "xception65_ade20k_train": ("xc65_os8_129", {"num_classes": 150}),
    "xception_41_imagenet": ("xc41_os16_129", {}),
    "xception_65_imagenet": ("xc65_os16_129", {}),
    "xception_65_imagenet_coco": ("xc65_os16_129", {}),
    "xception_71_imagenet": ("xc71_dpc_os16_129x257", {"dense_prediction_cell": None}),
    "resnet_v1_50_beta_imagenet": ("r50beta_os16_129", {}),
    "resnet_v1_101_beta_imagenet": ("r101beta_os16_129", {}),
}
OUTPUTS = {"mobilenetv2_ade20k_train": 151, "xception65_ade20k_train": 151}


def test_the_table_is_whole(reference_data: Path) -> None:
    """Every line of the notes about the zoo, and nothing else."""
    assert len(ROWS) == 22 and set(GOLDEN) == set(ROWS)
    notes = reference_data / "design" / "ZOO.md"
    if not notes.is_file():
        pytest.skip("no notes about the zoo")
    lines = re.findall(
        r"^\| (\S+) \| (\S+\.tar\.gz) \|.*\| (\S+).* \|(.*)\|$", notes.read_text(), re.M
    )
    assert {(name, archive) for name, archive, *_ in lines} == {
        (row.name, row.archive) for row in ROWS.values()
    }
    for name, _, dataset, published in lines:
        row = ROWS[name]
        assert (row.dataset or "ImageNet") == dataset or name == "xception_65_imagenet_coco"
        for result in row.results:
            assert f"{result.miou} {result.split}" in published or result.miou in published
            assert f"({result.output_stride}" in published
            assert (result.pixel_accuracy or "") in published


def test_names_of_folders_mean_one_model() -> None:
    folders = [folder for row in ROWS.values() for folder in set(row.folders)]
    assert len(folders) == len(set(folders))
    assert {row.dataset for row in ROWS.values()} - {None} <= set(DATASETS)


def stored_shapes(reference: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables in the file of a model."""
    golden = load_golden(reference, GOLDEN[name][0])
    shapes = {v["name"]: tuple(v["shape"]) for v in golden.facts["variables"]}
    outputs = OUTPUTS.get(name) or len(DATASETS[ROWS[name].dataset or "voc_2012"].class_names or ())
    for variable, shape in shapes.items():
        if variable.startswith("logits/"):
            shapes[variable] = (*shape[:-1], outputs)
    if ROWS[name].backbone_only:
        shapes = {n: s for n, s in shapes.items() if re.match(r"(xception|resnet)_|global", n)}
    return shapes


def config_of(reference: Path, name: str) -> ModelConfig:
    """The network of a row, from the stored command line."""
    stored, changes = GOLDEN[name]
    golden = load_golden(reference, stored)
    changes = dict(changes)
    config = network_config(read_network_flags(golden.facts["flags"], golden.folder).network)
    if stride := changes.pop("output_stride", None):
        config = config.at_output_stride(int(str(stride)))
    if "dense_prediction_cell" in changes or ROWS[name].backbone_only:
        # Whatever head the stored one has: that of DeepLabv3+, with the classes of VOC.
        config = network_config(
            {
                "model_variant": {b: v for v, b in VARIANTS.items()}[config.backbone],
                "num_classes": 21,
                "atrous_rates": (6, 12, 18),
                "decoder_output_stride": (4,),
            }
        )
        changes = {}
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def pretend(reference: Path, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of a model whose checkpoint has the stored variables, all of them zero."""
    shapes = stored_shapes(reference, name)
    file = Stored("model.ckpt", shapes, lambda variable: np.zeros(shapes[variable], np.float32))
    monkeypatch.setattr(tf1.reader, "open_variables", lambda path: file)
    (folder / name).mkdir()
    (folder / name / "model.ckpt.index").touch()
    return str(folder / name)


@pytest.mark.parametrize("name", ROWS)
def test_the_network_of_a_row(
    reference_data: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that of the stored command line, and what its variables say does not contradict it."""
    found = model_zoo.read(Request(pretend(reference_data, name, tmp_path, monkeypatch)))
    expected = config_of(reference_data, name)
    assert found.config == expected
    assert found.dataset == ROWS[name].dataset
    assert ROWS[name].published in found.lines[0]
    assert all("without effect" not in line for line in found.lines)
    if ROWS[name].results:
        assert found.config.output_stride == ROWS[name].results[0].output_stride


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if re.match("xception|resnet", name) else [])
        for name in ROWS
        # One of those with the same variables.
        if name not in ("mobilenetv2_dm05_coco_voc_trainval", "mobilenetv2_coco_voc_trainval")
        and name not in ("xception65_coco_voc_trainval", "xception71_dpc_cityscapes_trainval")
    ],
)
def test_the_variables_of_a_row(reference_data: Path, name: str) -> None:
    config = config_of(reference_data, name)
    if name in OUTPUTS:
        config = dataclasses.replace(config, num_classes=OUTPUTS[name])
    ours = set(original_names(build_model(config)).values())
    theirs = {variable for variable in stored_shapes(reference_data, name) if "/" in variable}
    if ROWS[name].backbone_only:
        ours = {variable for variable in ours if variable.startswith(("xception_", "resnet_"))}
    assert ours == theirs


# Archives and folders


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.write_archive(tmp_path_factory.mktemp("zoo"), HALF)


@pytest.fixture(scope="module")
def unpacked(archive: Path) -> Path:
    """The folder that is in the archive."""
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent, filter="data")
    return archive.parent / next(iter(ROWS[HALF].folders))


def test_an_archive_is_all_that_is_needed(
    archive: Path, tmp_path: Path, run_command: Command
) -> None:
    code, output, errors = run_command(
        "import", "--source=model_zoo", f"--checkpoint={archive}", f"--model_dir={tmp_path / 'm'}"
    )
    assert (code, errors) == (0, "")
    assert "published: 70.19 % mIoU on val (output stride 16)" in output
    assert re.search("^missing.*: 0 variables", output, re.M)
    description = read_description(tmp_path / "m")
    assert description.class_names == DATASETS["voc_2012"].class_names
    assert description.config.output_stride == 16
    assert description.weights_source == f"model_zoo {archive}"
    report = json.loads((tmp_path / "m" / "import.json").read_text())
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert report["files"] == [
        {"path": str(archive), "size": archive.stat().st_size, "sha256": sha256}
    ]
    assert report["revision"] is None
    reference = build_model(description.config)
    deeplab.import_weights(reference, source="model_zoo", path=str(archive))
    images = np.random.default_rng(1).uniform(0, 255, (1, 65, 65, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "m")(images), reference(images))


def test_a_folder_and_the_checkpoint_in_it(unpacked: Path, tmp_path: Path) -> None:
    named = unpacked.with_name(HALF)
    named.mkdir()
    (named / "inside").symlink_to(unpacked)
    for index, path in enumerate((unpacked, unpacked / "model.ckpt-30000", named / "inside")):
        report = import_model(
            source="model_zoo", checkpoint=str(path), model_dir=tmp_path / str(index)
        )
        assert [Path(file.path).name for file in report.files] == [
            "model.ckpt-30000.data-00000-of-00001",
            "model.ckpt-30000.index",
        ]
        assert read_description(tmp_path / str(index)).class_names[1] == "aeroplane"


def test_what_a_user_says_goes_before_the_table(archive: Path, tmp_path: Path) -> None:
    report = import_model(
        source="model_zoo",
        checkpoint=str(archive),
        model_dir=tmp_path / "m",
        original_flags="--image_pooling_crop_size=513,513",
        output_stride=8,
        num_classes=9,
        skip=["logits"],
    )
    description = read_description(tmp_path / "m")
    assert description.config.output_stride == 8
    assert description.config.image_pooling_crop_size == (513, 513)
    assert description.class_names[0] == "class_00" and len(description.colors) == 9
    assert set(report.fresh_parts) == {"logits"}
    import_model(
        source="model_zoo",
        checkpoint=str(archive),
        model_dir=tmp_path / "n",
        dataset="camvid",
        backbone_only=True,
    )
    assert read_description(tmp_path / "n").class_names == DATASETS["camvid"].class_names


def test_other_classes_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(deeplab.DeepLabError, match="has 21 classes, but --num_classes is 9"):
        import_model(
            source="model_zoo", checkpoint=str(archive), model_dir=tmp_path / "m", num_classes=9
        )


def test_the_graph_where_there_is_no_checkpoint(tmp_path: Path) -> None:
    graph = write_frozen_graph(
        tmp_path / "g.pb", original_values(build_model(zoo.row_config(SMALL)))
    )
    members = {"x/frozen_inference_graph.pb": Path(graph).read_bytes(), "x/._a.index": b"mac"}
    archive = zoo.write_tar(tmp_path / ROWS[SMALL].archive, members)
    import_model(source="model_zoo", checkpoint=str(archive), model_dir=tmp_path / "m")
    config = read_description(tmp_path / "m").config
    assert (config.output_stride, config.image_pooling_gate) == (32, "hard_sigmoid")


def test_output_0_of_ade20k_is_dropped_unless_it_is_asked_for(
    reference_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "mobilenetv2_ade20k_train"
    path = pretend(reference_data, name, tmp_path, monkeypatch)
    for asked, outputs in ((None, 150), (150, 150), (151, 151)):
        found = model_zoo.read(Request(path, num_classes=asked))
        assert found.config.num_classes == outputs
        assert ("dropped output 0" in " ".join(found.lines)) == (outputs == 150)


# Archives that are refused


def link(name: str, kind: bytes = tarfile.SYMTYPE, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("members", "others", "message"),
    [
        ({"../outside.index": b"x"}, [], "'../outside.index' would lie outside"),
        ({"a/../../x.index": b"x"}, [], "would lie outside"),
        (
            {"/tmp/deeplab_outside.index": b"x"},
            [],
            "'/tmp/deeplab_outside.index' would lie outside",
        ),
        ({"a/m.index": b"x"}, [link("a/m.data-0")], "'a/m.data-0' is neither a file nor a folder"),
        ({"a/m.index": b"x"}, [link("a/b", tarfile.LNKTYPE, "a/m.index")], "'a/b' is neither"),
        ({"a/m.index": b"x"}, [link("a/b", tarfile.FIFOTYPE)], "'a/b' is neither"),
        ({"a/m.index": b"x"}, [link("a/b", tarfile.CHRTYPE)], "'a/b' is neither"),
        ({"a/m.index": b"x", "a/n.index": b"y"}, [], "several checkpoints: a/m.index, a/n.index"),
        ({"a/notes.txt": b"x"}, [], "neither a checkpoint"),
    ],
)
def test_a_dangerous_or_odd_archive(
    members: dict[str, bytes], others: list[tarfile.TarInfo], message: str, tmp_path: Path
) -> None:
    archive = zoo.write_tar(tmp_path / ROWS[SMALL].archive, members, *others)
    before = sorted(Path(tmp_path).rglob("*"))
    with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
        import_model(source="model_zoo", checkpoint=str(archive), model_dir=tmp_path / "m")
    assert message in str(error.value) and str(archive) in str(error.value)
    assert sorted(Path(tmp_path).rglob("*")) == before
    assert not Path("/tmp/deeplab_outside.index").exists()


@pytest.mark.parametrize("keep", [0.0, 0.2, 0.7, 0.999])
def test_an_archive_that_is_cut_short(archive: Path, tmp_path: Path, keep: float) -> None:
    data = archive.read_bytes()
    short = tmp_path / archive.name
    short.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
        import_model(source="model_zoo", checkpoint=str(short), model_dir=tmp_path / "m")
    assert str(error.value).startswith(f"{short} is cut short or damaged")
    assert not (tmp_path / "m").exists()


def test_damaged_weights_name_the_archive(tmp_path: Path) -> None:
    archive = zoo.write_tar(tmp_path / ROWS[SMALL].archive, {"a/m.index": b"x", "a/m.data-0": b""})
    with pytest.raises(deeplab.DeepLabError) as error:
        import_model(source="model_zoo", checkpoint=str(archive), model_dir=tmp_path / "m")
    assert str(error.value).startswith(f"{archive}: m: no readable TensorFlow checkpoint")


def test_files_that_are_none_of_the_zoo(archive: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "weights.tar.gz"
    foreign.write_bytes(archive.read_bytes())
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.ckpt.index").touch()
    for path, message in (
        (foreign, f"choices: {ROWS[HALF].archive}"),
        (folder, "no folder says which model of the zoo this is"),
        (folder / "model.ckpt", "or import the checkpoint with --source=tf1"),
        (tmp_path / "there_is_none.tar.gz", "does not exist; a model is downloaded by its name"),
        ("mobilenetv2_voc", "did you mean 'mobilenetv2_coco_voc_trainval'?"),
    ):
        with pytest.raises(deeplab.DeepLabError, match="^[^\n]*$") as error:
            import_model(source="model_zoo", checkpoint=str(path), model_dir=tmp_path / "m")
        assert message in str(error.value)


# The command


def test_the_table_is_printed_where_no_model_is_named(run_command: Command) -> None:
    code, output, errors = run_command("import", "--source=model_zoo")
    assert (code, errors) == (0, "")
    for row in ROWS.values():
        assert row.name in output
    assert re.search(r"xception65_coco_voc_trainaug +439 +voc_2012 +82\.20 val, stride 16", output)


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        (["--source=tf1", "--model_dir=x"], "--checkpoint"),
        (["--source=tf1", "--checkpoint=x"], "--model_dir"),
        (["--source=model_zoo", "--checkpoint=x"], "--model_dir"),
        (["--source=model_zoo", "--model_dir=x"], "--checkpoint"),
        ([], "--source"),
    ],
)
def test_a_flag_that_is_missing(run_command: Command, flags: list[str], missing: str) -> None:
    code, output, errors = run_command("import", *flags)
    assert (code, output) == (2, "")
    assert f"missing flag {missing} " in errors
