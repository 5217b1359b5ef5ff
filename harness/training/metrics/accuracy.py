"""Accuracy: the share of correct predictions.

A module for the `evaluate` library. It ships with the harness for use without the hub.
The harness imports it; elsewhere `evaluate.load(".../accuracy.py")` loads it by its path.
"""

import datasets
import evaluate
from sklearn.metrics import accuracy_score

_DESCRIPTION = "The share of predictions that equal their references."


class Accuracy(evaluate.Metric):  # type: ignore[misc]  # the library is untyped
    """Predictions and references are class numbers, [answers]."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description="predictions, references: class numbers",
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}
