"""The counts of each image: kept, filed, read and added up."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scored_images import counts_of, random_images

from deeplab.errors import DeepLabError
from deeplab.evaluation import per_image
from deeplab.evaluation.per_image import PerImage, read_per_image


@pytest.fixture
def counts() -> PerImage:
    return counts_of(random_images(7, 4, size=lambda index: (10 + index, 20)), 4)


def test_the_file_is_what_numpy_reads_and_what_was_written(
    counts: PerImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(per_image, "_CELLS_AT_ONCE", 33)  # several blocks
    (tmp_path / "x.npz").write_bytes(counts.to_bytes())
    with np.load(tmp_path / "x.npz") as file:
        assert file["ids"].tolist() == list(counts.ids)
        assert file["sizes"].tolist() == [[10 + index, 20] for index in range(7)]
        matrices = file["confusion"]
        assert matrices.dtype == np.uint8 and matrices.shape == (7, 4, 4)
    for index, image in enumerate(random_images(7, 4, size=lambda index: (10 + index, 20))):
        assert np.array_equal(matrices[index], image.counts)
    again = read_per_image(tmp_path / "x.npz")
    assert again.ids == counts.ids
    assert (again.cells != counts.cells).nnz == 0
    assert np.array_equal(again.total(), matrices.sum(axis=0))


def test_sums_merging_order_and_mean_iou(counts: PerImage):
    dense = counts.cells.toarray().reshape(7, 4, 4)
    assert np.array_equal(counts.sums[:, 0], np.diagonal(dense, axis1=1, axis2=2))
    assert np.array_equal(counts.sums[:, 1], dense.sum(axis=2))
    assert np.array_equal(counts.sums[:, 2], dense.sum(axis=1))
    right, labeled, predicted = np.moveaxis(counts.sums, 1, 0)
    np.testing.assert_allclose(counts.miou, (right / (labeled + predicted - right)).mean(axis=1))
    merged = counts.merged([1, 0, 1, 1]).cells.toarray().reshape(7, 2, 2)
    assert np.array_equal(merged[:, 0, 0], dense[:, 1, 1])
    assert np.array_equal(merged[:, 0, 1], dense[:, 1, [0, 2, 3]].sum(axis=1))
    assert np.array_equal(merged.sum(axis=(1, 2)), dense.sum(axis=(1, 2)))
    turned = counts.in_order_of(counts.ids[::-1])
    assert np.array_equal(turned.sums, counts.sums[::-1])
    chosen = np.arange(7) < 3
    assert np.array_equal(counts.total(chosen), dense[:3].sum(axis=0))


def test_many_images_of_many_classes_stay_small():
    generator = np.random.default_rng(0)
    rows = np.repeat(np.arange(600), 40)
    columns = generator.integers(0, 150**2, rows.size)
    values = generator.integers(1, 10**5, rows.size)
    cells = sparse.coo_array((values, (rows, columns)), shape=(600, 150**2)).tocsr()
    counts = PerImage(tuple(map(str, range(600))), np.ones((600, 2), np.int32), cells)
    data = counts.to_bytes()
    assert len(data) < 400_000  # dense they are 54 MB


@pytest.mark.parametrize("damage", ["cut", "no archive", "missing", "signed", "lengths", "absent"])
def test_damaged_files_are_named(counts: PerImage, tmp_path: Path, damage: str):
    path = tmp_path / "per_image.npz"
    data = counts.to_bytes()
    arrays = {
        "ids": np.array(counts.ids),
        "sizes": counts.sizes,
        "confusion": np.zeros((7, 4, 4), np.uint8),
    }
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "no archive":
        path.write_bytes(b"PK\3\4 and nothing else")
    elif damage == "missing":
        np.savez(path, ids=arrays["ids"])
    elif damage == "signed":
        np.savez(path, **{**arrays, "confusion": np.zeros((7, 4, 4), np.int8)})
    elif damage == "lengths":
        np.savez(path, **{**arrays, "sizes": counts.sizes[:3]})
    with pytest.raises(DeepLabError, match=r"per_image\.npz (cannot be read|is not there)"):
        read_per_image(path)


def test_damage_inside_a_member_is_noticed(counts: PerImage, tmp_path: Path):
    path = tmp_path / "per_image.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("ids", "sizes", "confusion"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00 and no header")
    with pytest.raises(DeepLabError, match="cannot be read"):
        read_per_image(path)
