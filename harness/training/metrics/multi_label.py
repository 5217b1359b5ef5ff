"""Several labels for each row: F1 over all labels, the mean F1 of each, and whole rows right.

A module for the `evaluate` library. It ships with the harness for use without the hub.
The harness imports it; elsewhere `evaluate.load(".../multi_label.py")` loads it by its path.
"""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score

_DESCRIPTION = "Micro and macro F1, and the share of rows whose labels are all right."


class MultiLabel(evaluate.Metric):  # type: ignore[misc]  # the library is untyped
    """Predictions and references are 0 or 1 for each label, [rows, labels]."""

    def _info(self) -> evaluate.MetricInfo:
        labels = datasets.Sequence(datasets.Value("int64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description="predictions, references: 0 or 1 for each label of a row",
            features=datasets.Features({"predictions": labels, "references": labels}),
        )

    def _compute(
        self, predictions: list[list[int]], references: list[list[int]]
    ) -> dict[str, float]:
        micro, macro = (
            float(f1_score(references, predictions, average=average, zero_division=0.0))
            for average in ("micro", "macro")
        )
        exact = float(accuracy_score(references, predictions))
        return {"f1_micro": micro, "f1_macro": macro, "exact_match": exact}
