"""The columns of each trace of a record.

Traces, one row each:

- `steps`: an optimizer update, counted from 1. Learning rates used by it (one for each distinct
  value among the parameter groups), the total 2-norm of the raw gradients, and digests of the raw
  gradients, of the weights after it, and of the optimizer's state after it; null where the run's
  `detail` leaves them out.
- `micro_batches`: a forward and backward pass. Row ids, digest of the batch's tensors, digest of
  the random generators just before the forward pass, and the loss as the workload defines it.
- `tensors`: one parameter at one step; step 0 holds the initial weights. Not at detail `steps`.
- `sketches`: one parameter at one step, step 0 included, in a run that was asked for them: a few
  sums of its elements with random signs, see `sketch.py`.
- `timings`: seconds of each step, in a timing run only.
- `circumstances`, `norms`, `logged`: evidence for why two runs differ, never compared bit for bit:
  of each micro-batch how it was made and run; of each parameter and step the 2-norms of the raw
  gradient and of the one that the update was given, at step 0 of the weight; and of each step the
  loss that the loop showed its user, where it told.
- `modules`: one call of a module at the one step that a localized run records, and its backward
  pass as another row; `number` counts them in the order in which they ended. What it took and gave
  (inputs and output, forward; gradients of output and of inputs, backward), each by name and type,
  with the 2-norm of each and a sketch of what it gave. Forward also: digests of the random
  generators before it and of the parameters that are its own.
- `dissent`: where several processes trained together, what one of them held otherwise than the
  first at the end of a step, with a null for what it held alike; empty where they agree.

With N processes the micro-batch number m of rank r is N * (m - 1) + r + 1, so that they stand in
the order of micro-batch, then rank. Gradients are then the reduced ones.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, pa.Schema] = {
    "steps": pa.schema(
        [
            ("step", pa.int32()),
            ("learning_rate", pa.list_(pa.float64())),
            ("grad_norm", pa.float64()),
            ("gradients", pa.uint64()),
            ("weights", pa.uint64()),
            ("optimizer_state", pa.uint64()),
        ]
    ),
    "micro_batches": pa.schema(
        [
            ("step", pa.int32()),
            ("micro_batch", pa.int32()),
            ("sample_ids", pa.list_(pa.int32())),
            ("batch_content", pa.uint64()),
            ("rng", pa.uint64()),
            ("loss", pa.float64()),
        ]
    ),
    "tensors": pa.schema(
        [
            ("step", pa.int32()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("gradient", pa.uint64()),
            ("weight", pa.uint64()),
            ("optimizer_state", pa.uint64()),
        ]
    ),
    "sketches": pa.schema(
        [
            ("step", pa.int32()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("sketch", pa.list_(pa.float64())),
        ]
    ),
    "circumstances": pa.schema(
        [
            ("step", pa.int32()),
            ("micro_batch", pa.int32()),
            ("training", pa.bool_()),
            ("shape", pa.list_(pa.int32())),
            ("labels", pa.int64()),
            ("targets", pa.int64()),
            ("passes_before", pa.int32()),
            ("compute_dtype", pa.dictionary(pa.int8(), pa.string())),
        ]
    ),
    "norms": pa.schema(
        [
            ("step", pa.int32()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("weight", pa.float32()),
            ("gradient", pa.float32()),
            ("applied", pa.float32()),
        ]
    ),
    "logged": pa.schema([("step", pa.int32()), ("loss", pa.float64())]),
    "timings": pa.schema([("step", pa.int32()), ("step_s", pa.float64())]),
    "modules": pa.schema(
        [
            ("step", pa.int32()),
            ("micro_batch", pa.int32()),
            ("number", pa.int32()),
            ("direction", pa.string()),
            ("module", pa.string()),
            ("kind", pa.string()),
            ("call", pa.int32()),
            ("training", pa.bool_()),
            ("rng", pa.uint64()),
            ("parameters", pa.uint64()),
            ("taken_names", pa.list_(pa.string())),
            ("taken", pa.list_(pa.uint64())),
            ("taken_norms", pa.list_(pa.float64())),
            ("given_names", pa.list_(pa.string())),
            ("given", pa.list_(pa.uint64())),
            ("given_norms", pa.list_(pa.float64())),
            ("sketches", pa.list_(pa.list_(pa.float64()))),
        ]
    ),
    "dissent": pa.schema(
        [
            ("step", pa.int32()),
            ("rank", pa.int16()),
            ("tensor", pa.string()),
            ("gradient", pa.uint64()),
            ("weight", pa.uint64()),
            ("optimizer_state", pa.uint64()),
        ]
    ),
}
