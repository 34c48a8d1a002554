"""`deeplab info`: the table, and what it cannot know."""

import math
from pathlib import Path

import pytest

from deeplab.cli.main import main
from deeplab.models import RESERVED, ModelConfig, build_model, training_memory

FILE = "--gin_file=runs/shapes_mobilenet_v2.gin"
FOLDER = "--gin_file=runs/folder_mobilenet_v2.gin"


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--height=65", "--width=129"]
    assert main(["info", FOLDER, *size, "--gin_bindings=NUM_CLASSES=21"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("mobilenet_v2, output stride 16, 21 classes\n")
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines()[2:7]}
    assert list(rows) == ["backbone", "aspp", "decoder", "logits", "total"]
    # By hand: 256 * 21 kernel values at 17 x 33 positions, and 21 biases.
    assert rows["logits"] == ["5,397", f"{256 * 21 * 17 * 33:,}"]
    numbers = [int(cells[0].replace(",", "")) for cells in rows.values()]
    assert sum(numbers[:-1]) == numbers[-1] == 2_764_357
    assert all(len(line) <= 80 for line in printed.splitlines())
    cells = {line[:26].strip(): line[26:].split() for line in printed.splitlines()}
    assert cells["batch size of a device"] == ["1", "2", "4", "8", "16"]
    assert len(cells["largest batch size"]) == len(cells["memory of a device in GB"]) == 6
    assert [float(cell) for cell in cells["memory in GB"]] == sorted(
        float(cell) for cell in cells["memory in GB"]
    )


def test_class_count_of_the_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", FILE, "--height=33", "--width=33", "--output_stride=8"]) == 0
    assert "output stride 8, 6 classes" in capsys.readouterr().out
    assert main(["info", FOLDER]) == 1
    assert "--gin_bindings=NUM_CLASSES=" in capsys.readouterr().err


def test_memory_of_training() -> None:
    config = ModelConfig("mobilenet_v2", num_classes=21)
    memory = training_memory(config, height=257, width=257, slots=1)
    # Sizes grow with the area, slots with the weights.
    larger = training_memory(config, height=513, width=513, slots=2)
    assert larger.image == pytest.approx(4 * memory.image, rel=0.05)
    trainable = sum(math.prod(v.shape) for v in build_model(config).trainable_weights)
    assert larger.fixed - memory.fixed == 4 * trainable
    # Within 10 % of what was measured at 513x513, see training_memory.
    assert larger.image == pytest.approx(0.67e9, rel=0.1)
    fits = larger.largest_batch(8 * 10**9)
    assert larger.of_batch(fits) <= 8e9 - RESERVED < larger.of_batch(fits + 1)
    assert larger.largest_batch(10**8) == 0


def test_one_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 2
    assert main(["info", FILE, f"--model_dir={tmp_path}"]) == 2
    assert main(["info", f"--model_dir={tmp_path}"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("it has no model.json")
