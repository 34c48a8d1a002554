"""Data sets: what there is, preparing them, and the batches that training and evaluation read."""

from typing import TYPE_CHECKING

from deeplab.lazy import lazy_names

__all__ = [
    "DATASETS",
    "AugmentConfig",
    "DataConfig",
    "DatasetSpec",
    "FolderPairs",
    "NamingBatches",
    "PreparedDataset",
    "TrainingStream",
    "evaluation_batches",
    "folder_pairs",
    "load_dataset",
    "naming_unreadable",
]

if TYPE_CHECKING:
    from deeplab.data.augment import AugmentConfig
    from deeplab.data.builders import DATASETS
    from deeplab.data.config import DataConfig
    from deeplab.data.pipeline.batches import TrainingStream, evaluation_batches
    from deeplab.data.prepared.dataset import NamingBatches, PreparedDataset, naming_unreadable
    from deeplab.data.prepared.folder_pairs import FolderPairs, folder_pairs
    from deeplab.data.prepared.load import load_dataset
    from deeplab.data.spec import DatasetSpec

__getattr__ = lazy_names(
    __name__,
    {
        "deeplab.data.augment": ("AugmentConfig",),
        "deeplab.data.builders": ("DATASETS",),
        "deeplab.data.config": ("DataConfig",),
        "deeplab.data.pipeline.batches": ("TrainingStream", "evaluation_batches"),
        "deeplab.data.prepared.dataset": ("NamingBatches", "PreparedDataset", "naming_unreadable"),
        "deeplab.data.prepared.folder_pairs": ("FolderPairs", "folder_pairs"),
        "deeplab.data.prepared.load": ("load_dataset",),
        "deeplab.data.spec": ("DatasetSpec",),
    },
)
