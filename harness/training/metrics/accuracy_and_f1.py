"""Accuracy and F1 of the positive class, as GLUE defines them for MRPC.

With more than two classes F1 is the mean over the classes.

A module for the `evaluate` library. It ships with the harness for use without the hub.
The harness imports it; elsewhere `evaluate.load(".../accuracy_and_f1.py")` loads it by its path.
"""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score

_DESCRIPTION = "Accuracy, and the harmonic mean of precision and recall of the class labelled 1."


class AccuracyAndF1(evaluate.Metric):  # type: ignore[misc]  # the library is untyped
    """Predictions and references are class numbers, [rows]."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description="predictions, references: class numbers",
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        average = "binary" if max(*references, *predictions) <= 1 else "macro"
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "f1": float(f1_score(references, predictions, average=average, zero_division=0.0)),
        }
