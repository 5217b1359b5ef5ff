"""Why loops are known to differ on some cases of the suites, with what was measured.

Each note is shown with the comparison, so that a reader does not take the difference for news.
"""

from __future__ import annotations

__all__ = [
    "AUTOCAST_INSIDE",
    "DRAWS_NOT_REPEATED",
    "LOSS_TIMES_PROCESSES",
    "NORM_OF_SHARES",
    "NOT_AVERAGED",
    "ORDER_NOT_KEPT",
    "OTHER_SHARDING",
    "PREFETCH",
    "SCHEDULE_PER_PROCESS",
    "SHORT_WINDOW",
    "UNSHIFTED",
]

PREFETCH = (
    "Accelerate's loader, which the Trainer also uses, fetches one batch ahead. Without worker "
    "processes the collator draws from the generator of dropout one batch too early. Measured: "
    "the loops differ in rng at step 1; with two workers they are identical."
)
NOT_AVERAGED = (
    "BertForSequenceClassification accepts extra arguments for its loss and ignores the number of "
    "labels among them. So the Trainer assumes that the loss is averaged and does not divide it "
    "(transformers 5.23). Measured: the first gradient norm is the number of accumulated "
    "micro-batches times the reference's. Remedy, applied in matched conventions: "
    "model.accepts_loss_kwargs = False before the Trainer is built."
)
SHORT_WINDOW = (
    "Accelerate divides each loss by gradient_accumulation_steps, also in the shorter last window "
    "of an epoch (accelerate 1.15). Measured: identical up to that window. Remedy, applied in "
    "matched conventions: set accelerator.gradient_accumulation_steps to the true length for "
    "`backward`."
)
UNSHIFTED = (
    "The Trainer counts the labels before the shift if it does not know that the model shifts "
    "them, as with GPT2LMHeadModel (transformers 5.23). The model divides by that count. "
    "Measured: rows of L packed tokens train with (L-1)/L of the gradient. Remedy, applied in "
    "matched conventions: model.accepts_loss_kwargs = False before the Trainer is built."
)
AUTOCAST_INSIDE = (
    "Accelerate puts autocast inside the model's forward, so it is compiled too. The plain loop "
    "enters autocast around the compiled model, as PyTorch's documentation does. Inductor rounds "
    "the gradients differently in the two (torch 2.13). Measured: equal losses and different "
    "gradients at step 1. A plain loop whose model.forward is wrapped in autocast before it is "
    "compiled is identical with the other two."
)
ORDER_NOT_KEPT = (
    "This order is drawn from the state of the generators at the epoch's start. The Trainer's "
    "checkpoint does not hold that state (transformers 5.23). Measured: a Trainer resumed in "
    "mid-epoch draws another order, first at the step after the resume. The plain and the "
    "Accelerate loop save that state themselves and are identical."
)
DRAWS_NOT_REPEATED = (
    "The Trainer and Accelerate's documentation resume with skip_first_batches, which skips "
    "batches without collating them (accelerate 1.15). Measured: the random numbers that a "
    "collator, or its worker processes, drew for these batches are not drawn again, so the first "
    "batch after the resume differs. The plain loop collates them again and is identical. Without "
    "workers the loops also differ in whether they fetch one batch ahead."
)
LOSS_TIMES_PROCESSES = (
    "With average_tokens_across_devices, its default, the Trainer multiplies the loss by the "
    "number of processes if the model accepts extra arguments for it, and a BERT head does not "
    "divide it (transformers 5.23). Measured: gradients twice as large on two processes. Remedy, "
    "applied in matched conventions: model.accepts_loss_kwargs = False before the Trainer is "
    "built."
)
SCHEDULE_PER_PROCESS = (
    "A scheduler that Accelerate prepared steps once for each process (accelerate 1.15), but this "
    "one was built for the number of updates. Measured: from step 2 on the learning rate falls "
    "twice as fast on two processes. Remedy, applied in matched conventions: do not prepare it."
)
NORM_OF_SHARES = (
    "The norm by which gradients are clipped is the root of summed squares. If each process holds "
    "a share of every tensor, the squares are summed in another order. Measured: identical up to "
    "the first step that clips, and at all steps if clipping is off."
)
OTHER_SHARDING = (
    "With two processes, DistributedSampler gives each process every second row. Accelerate gives "
    "every second batch and repeats the first rows to fill the last round. Measured: other rows "
    "from step 1 on, and other counts of samples."
)
