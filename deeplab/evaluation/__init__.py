"""What a trained network is worth, and what it sees: metrics, reports and predicted masks."""

from typing import TYPE_CHECKING

from deeplab.lazy import lazy_names

__all__ = [
    "PredictSummary",
    "evaluate",
    "evaluate_model",
    "label_function",
    "predict",
    "probability_function",
]

if TYPE_CHECKING:
    from deeplab.evaluation.inference import label_function, probability_function
    from deeplab.evaluation.model_evaluation import evaluate_model
    from deeplab.evaluation.prediction.predict import PredictSummary, predict
    from deeplab.evaluation.run_evaluation import evaluate

__getattr__ = lazy_names(
    __name__,
    {
        "deeplab.evaluation.inference": ("label_function", "probability_function"),
        "deeplab.evaluation.model_evaluation": ("evaluate_model",),
        "deeplab.evaluation.prediction.predict": ("PredictSummary", "predict"),
        "deeplab.evaluation.run_evaluation": ("evaluate",),
    },
)
