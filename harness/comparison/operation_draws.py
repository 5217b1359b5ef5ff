"""The draws of random numbers of two runs in one step, where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from harness.comparison.operation_values import Row, Side, other_arguments, pair_of
from harness.results.localization import Draws, OperationDifference

__all__ = ["first_draw", "other_draws"]


def other_draws(one: Side, two: Side) -> OperationDifference | None:
    """The draws of random numbers, if the two do not draw alike; None if they do."""
    left, right = (
        [
            (n, (row["operation"], *row["arguments"], *row["output_sizes"]))
            for n, row in enumerate(side.rows)
            if row["random"]
        ]
        for side in (one, two)
    )
    if [key for _, key in left] == [key for _, key in right]:
        return None
    return OperationDifference(
        kind="more_draws",
        draws=(
            tuple(_draws(one, [n for n, _ in left])),
            tuple(_draws(two, [n for n, _ in right])),
        ),
    )


def first_draw(one: Side, two: Side) -> OperationDifference | None:
    """The first operation on each side that draws numbers which the other does not have.

    Of two that draw in the same way, if there are such two.
    Python may turn such numbers into an order of rows, and then no operation leads back to them.
    """
    own = [
        [
            n
            for n, row in enumerate(side.rows)
            if row["random"] and not all(value.is_common(other) for value in side.outputs[n])
        ]
        for side, other in ((one, two), (two, one))
    ]
    left, right = (min(places, default=None) for places in own)
    alike = next(
        (
            (n, m)
            for n in own[0]
            for m in own[1]
            if one.rows[n]["operation"] == two.rows[m]["operation"]
        ),
        None,
    )
    if alike is not None:
        left, right = alike
    if left is None and right is None:
        return None
    if left is None or right is None:
        return pair_of("one_side", one, two, left, right)
    if one.rows[left]["operation"] != two.rows[right]["operation"]:
        return pair_of("others", one, two, left, right)
    arguments = other_arguments(one.rows[left], two.rows[right])
    return pair_of("arguments" if arguments else "random", one, two, left, right, arguments)


def _draws(side: Side, places: Iterable[int]) -> Iterator[Draws]:
    """How many operations draw random numbers, by the line that called them."""
    rows: Sequence[Row] = [side.rows[place] for place in places]
    counts = Counter((row["place"], row["source"]) for row in rows)
    for (place, source), count in counts.items():
        yield Draws(place=cast(str, place), source=source, operations=count)
