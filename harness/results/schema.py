"""The columns of each trace of a record.

Each trace has these rows:

- `steps`: one update, counted from 1: the optimizer steps that no backward pass separates. The
  distinct learning rates in the order of the parameters, null for an optimizer without a rate.
  `rate_of` holds, for each name of `Header.parameter_names`, its place among these rates; -1 if no
  optimizer that stepped holds the parameter. The total 2-norm of the raw gradients. Digests of the
  raw gradients, and of the weights and the optimizer state after the update. Null if `detail` or
  `every` leaves a value out.
- `micro_batches`: one backward pass and the forward passes that it goes back through. Row numbers
  in the workload's training set, if there is a workload. One digest per row of the batch. Digests
  of the inputs of the batch and of its labels, whatever their names (null without labels). Digests
  of torch's, Python's and NumPy's random generators before the first of the forward passes. The
  scalar on which `backward` was called (null if it was no scalar), and the loss that the workload
  defines (null if there is none).
- `tensors`: one parameter at one step; step 0 holds the initial weights. Not at detail `steps`. A
  gradient of 0 means that the parameter has none.
- `sketches`: one parameter at one step, step 0 included, in a run that records sketches. Sums of
  its elements with random signs; see `harness.tracing.sketch`.
- `timings`: seconds of each step, only in a timing run.
- `circumstances`: evidence for causes, one row per micro-batch: how it was made and run, whether
  numbers were drawn from torch's generators before its backward pass, and the name and digest of
  each tensor that its first forward pass took. In a batch of up to 64 rows the labels of each row
  have a digest too, under a name such as `labels[3]`. Without row numbers each row also has 64 bits
  of which similar rows share most, under a name such as `likeness[3]`. Never compared bit for bit.
- `norms`: evidence for causes, one row per parameter and step. The 2-norms of the raw gradient and
  of the gradient that the update used; at step 0 the norm of the weight.
- `logged`: evidence for causes: the loss of each step that the loop logs, if it logs one.
- `modules`: one call of a module, at the one step that a localized run records. The backward pass
  of a call is another row. `number` counts the rows in the order in which the calls ended. Inputs
  and outputs (`taken`, `given`) have a name with a type and a 2-norm, outputs also a sketch. In the
  backward pass these are the gradients of the outputs and of the inputs. A forward row also holds
  digests of the random generators before the call and of the module's own parameters.
- `operations`: one operation of torch, at the one step that a localized run records, from the end
  of the update before. Digests and numbers of elements of the tensors that it read and of those
  that it made or wrote; the 2-norms of the latter, NaN if they hold no floats. Its other arguments,
  as `NAME=VALUE`. The place (`FILE:LINE`) and the text of the call in the user's code that led to
  it, and the place in a library that made the call. In the backward pass also the place and the
  text of the forward call that it belongs to. Empty if not known.
- `shares`: with several processes that hold shares of tensors, and digests that are sums over
  positions: one part of a tensor (its gradient, its weight, an entry of its optimizer state) at one
  step, of which one process (`rank`) holds a share. The sum over that share at its place in the
  whole tensor, or the text of a value that is no tensor. `copy`: the smallest rank of the processes
  that together hold this copy of the tensor; `holders`: their number, 1 if each holds this part
  whole. `offset`: the place of the share's first element in the whole tensor.
- `dissent`: with several processes, tensors in which a rank differs from rank 0 at the end of a
  step. Null for a value that is equal; empty if all ranks agree.

With N processes the micro-batch m of rank r has the number N * (m - 1) + r + 1, which orders by
micro-batch, then rank. Gradients are then the reduced ones.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = ["SCHEMAS"]

SCHEMAS: dict[str, pa.Schema] = {
    "steps": pa.schema(
        [
            ("step", pa.int32()),
            ("learning_rate", pa.list_(pa.float64())),
            ("rate_of", pa.list_(pa.int16())),
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
            ("rows", pa.list_(pa.uint64())),
            ("batch_content", pa.uint64()),
            ("label_content", pa.uint64()),
            ("rng", pa.uint64()),
            ("rng_python", pa.uint64()),
            ("rng_numpy", pa.uint64()),
            ("loss", pa.float64()),
            ("task_loss", pa.float64()),
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
            ("draws", pa.bool_()),
            ("compute_dtype", pa.dictionary(pa.int8(), pa.string())),
            ("inputs", pa.list_(pa.string())),
            ("input_digests", pa.list_(pa.uint64())),
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
    "operations": pa.schema(
        [
            ("step", pa.int32()),
            ("rank", pa.int16()),
            ("number", pa.int32()),
            ("phase", pa.string()),
            ("operation", pa.string()),
            ("module", pa.string()),
            ("random", pa.bool_()),
            ("inputs", pa.list_(pa.uint64())),
            ("input_sizes", pa.list_(pa.int64())),
            ("outputs", pa.list_(pa.uint64())),
            ("output_sizes", pa.list_(pa.int64())),
            ("output_norms", pa.list_(pa.float64())),
            ("arguments", pa.list_(pa.string())),
            ("place", pa.string()),
            ("source", pa.string()),
            ("library", pa.string()),
            ("forward_place", pa.string()),
            ("forward_source", pa.string()),
        ]
    ),
    "statements": pa.schema(
        [
            ("step", pa.int32()),
            ("rank", pa.int16()),
            ("number", pa.int32()),
            ("place", pa.string()),
            ("source", pa.string()),
            ("function", pa.string()),
            ("parameters", pa.list_(pa.string())),
        ]
    ),
    "state": pa.schema(
        [
            ("step", pa.int32()),
            ("rank", pa.int16()),
            ("kind", pa.string()),
            ("name", pa.string()),
            ("value", pa.string()),
            ("place", pa.string()),
            ("source", pa.string()),
        ]
    ),
    "shares": pa.schema(
        [
            ("step", pa.int32()),
            ("rank", pa.int16()),
            ("tensor", pa.dictionary(pa.int16(), pa.string())),
            ("part", pa.dictionary(pa.int16(), pa.string())),
            ("sum", pa.uint64()),
            ("text", pa.string()),
            ("copy", pa.int16()),
            ("holders", pa.int16()),
            ("offset", pa.int64()),
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
