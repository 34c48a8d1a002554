"""Data sets: what there is, preparing them, and the batches that training and evaluation read."""

from deeplab.data.augment import AugmentConfig
from deeplab.data.config import DataConfig
from deeplab.data.damage import NamedBatches, damaged_records_named
from deeplab.data.datasets import DATASETS
from deeplab.data.folder_pairs import FolderPairs, folder_pairs
from deeplab.data.pipeline import evaluation_batches, training_batches
from deeplab.data.prepared import PreparedDataset, load_dataset
from deeplab.data.spec import DatasetSpec

__all__ = [
    "DATASETS",
    "AugmentConfig",
    "DataConfig",
    "DatasetSpec",
    "FolderPairs",
    "NamedBatches",
    "PreparedDataset",
    "damaged_records_named",
    "evaluation_batches",
    "folder_pairs",
    "load_dataset",
    "training_batches",
]
