"""Regression: the mean squared and the mean absolute error, and R2, the explained variance.

A module for the `evaluate` library. It ships with the harness for use without the hub.
The harness imports it; elsewhere `evaluate.load(".../regression.py")` loads it by its path.
"""

import datasets
import evaluate
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

_DESCRIPTION = "Mean squared error, mean absolute error, and the coefficient of determination."


class Regression(evaluate.Metric):  # type: ignore[misc]  # the library is untyped
    """Predictions and references are numbers, [rows, numbers]."""

    def _info(self) -> evaluate.MetricInfo:
        numbers = datasets.Sequence(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description="predictions, references: numbers of each row",
            features=datasets.Features({"predictions": numbers, "references": numbers}),
        )

    def _compute(
        self, predictions: list[list[float]], references: list[list[float]]
    ) -> dict[str, float]:
        return {
            "mse": float(mean_squared_error(references, predictions)),
            "mae": float(mean_absolute_error(references, predictions)),
            "r2": float(r2_score(references, predictions)),
        }
