"""Accuracy, and the mean of the F1 of each class (macro F1).

A module for the `evaluate` library. It ships with the harness for use without the hub.
The harness imports it; elsewhere `evaluate.load(".../accuracy_and_macro_f1.py")` loads it by its
path.
"""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score

_DESCRIPTION = "Accuracy, and the mean F1 over the classes that occur."


class AccuracyAndMacroF1(evaluate.Metric):  # type: ignore[misc]  # the library is untyped
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
        macro = f1_score(references, predictions, average="macro", zero_division=0.0)
        return {"accuracy": float(accuracy_score(references, predictions)), "f1": float(macro)}
