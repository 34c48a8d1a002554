"""What a trained network is worth, and what it sees: metrics, reports and predicted masks."""

from deeplab.evaluation.inference import label_function, probability_function
from deeplab.evaluation.model_evaluation import evaluate_model
from deeplab.evaluation.prediction import PredictSummary, predict
from deeplab.evaluation.run_evaluation import evaluate

__all__ = [
    "PredictSummary",
    "evaluate",
    "evaluate_model",
    "label_function",
    "predict",
    "probability_function",
]
