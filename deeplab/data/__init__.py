"""Data sets: what there is, preparing them, and the batches that training and evaluation read."""

from deeplab.data.augment import AugmentConfig
from deeplab.data.builders import DATASETS
from deeplab.data.config import DataConfig
from deeplab.data.pipeline.batches import TrainingStream, evaluation_batches
from deeplab.data.prepared.dataset import NamingBatches, PreparedDataset, naming_unreadable
from deeplab.data.prepared.folder_pairs import FolderPairs, folder_pairs
from deeplab.data.prepared.load import load_dataset
from deeplab.data.spec import DatasetSpec

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
