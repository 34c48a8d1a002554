#!/usr/bin/env python3
"""Saves a few validation images of the data set `shapes` as files, for `deeplab predict`.

python tools/save_examples.py --data_dir=quickstart/data --output_dir=quickstart/images
"""

import argparse
from pathlib import Path

from deeplab.cli.quiet import import_tensorflow


def main() -> None:
    """Writes the first images of the validation split, named by their ids."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data_dir", help="folder of prepared data sets")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the images")
    parser.add_argument("--count", type=int, default=6, help="number of images")
    arguments = parser.parse_args()

    import_tensorflow(verbose=False)
    from deeplab.data import load_dataset

    dataset = load_dataset("shapes", data_dir=arguments.data_dir)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for record in dataset.records("validation").take(arguments.count).as_numpy_iterator():
        suffix = ".png" if record["image"].startswith(b"\x89PNG") else ".jpg"
        name = record["id"].decode().replace("/", "_")
        (arguments.output_dir / f"{name}{suffix}").write_bytes(record["image"])


if __name__ == "__main__":
    main()
