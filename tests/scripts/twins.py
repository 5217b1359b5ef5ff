"""The programs of `programs/`, and for each the twins that carry one planted fault.

A twin is its program with one line replaced. The first difference of the two was worked out from
what the lines do, and seen in values that plain torch printed, before the harness traced either.

The loss is the number on which `backward` is called. Gradients are those that the backward passes
leave, before anything clips them. Where a program has several losses or passes in an update, the
earliest stage counts, whichever pass shows it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "SCRIPTS", "Script", "Twin", "plant"]

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Twin:
    """A program with one line replaced, and where it first differs."""

    name: str
    file: str
    """The file of the line, in the folder of the programs."""
    old: str
    """A part of one line. It occurs once."""
    new: str
    step: int
    """0: before the first update."""
    stage: str
    why: str
    """Why it shows there."""


@dataclass(frozen=True)
class Script:
    """A training command that does not know the harness."""

    name: str
    command: tuple[str, ...]
    """To be run in a copy of the folder of the programs."""
    updates: int
    twins: tuple[Twin, ...]
    processes: int = 1
    """Processes that train together."""
    unseen: tuple[str, ...] = ()
    """What cannot be seen from outside, as words of the record."""


def plant(twin: Twin | None, folder: Path) -> Path:
    """Copy the programs to the new folder `folder`, with the fault of `twin` if there is one."""
    shutil.copytree(PROGRAMS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    if twin is not None:
        path = folder / twin.file
        text = path.read_text(encoding="utf-8")
        if text.count(twin.old) != 1:
            raise ValueError(f"{twin.file}: {twin.old!r} must occur once")
        path.write_text(text.replace(twin.old, twin.new), encoding="utf-8")
    return folder


def _python(name: str, updates: int, *twins: Twin) -> Script:
    return Script(name, ("python", f"{name}.py"), updates, twins)


def _torchrun(name: str, updates: int, *twins: Twin) -> Script:
    command = ("torchrun", "--standalone", "--nproc-per-node", "2", f"{name}.py")
    return Script(name, command, updates, twins, processes=2)


SCRIPTS = (
    _python(
        "course_pytorch", 9,
        Twin(
            "forgets_zero_grad", "course_pytorch.py",
            "        optimizer.zero_grad()", "        pass",
            2, "gradients", "the gradients of update 1 are still there when update 2 adds its own",
        ),
        Twin(
            "steps_the_schedule_first", "course_pytorch.py",
            "        optimizer.step()", "        lr_scheduler.step(), optimizer.step()",
            1, "learning_rate", "update 1 is made with the rate of update 2",
        ),
    ),
    _python(
        "course_accelerate", 12,
        Twin(
            "evaluates_in_train_mode", "course_accelerate.py",
            "    model.eval()", "    model.train()",
            5, "data_order", "the dropout of the evaluation after update 4 draws numbers from "
            "the generator that also shuffles the next epoch",
        ),
    ),
    _python(
        "nano_gpt", 6,
        Twin(
            "loss_not_divided", "nano_gpt.py",
            "            loss = loss / gradient_accumulation_steps", "            pass",
            1, "loss", "each micro-batch goes backward from 3 times the number",
        ),
        Twin(
            "targets_not_shifted", "nano_gpt.py",
            "source[i + 1 : i + 1 + block_size]", "source[i : i + block_size]",
            1, "batch_content", "the tokens are the same, the targets beside them are not",
        ),
        Twin(
            "decays_norms_and_biases", "nano_gpt.py",
            '"weight_decay": 0.0}', '"weight_decay": weight_decay}',
            1, "weights", "the weights of the norms, which are 1, shrink in update 1",
        ),
    ),
    _python(
        "gan", 10,
        Twin(
            "generator_keeps_its_gradients", "gan.py",
            "        netG.zero_grad()", "        pass",
            4, "gradients", "the second update of the generator adds to the gradients of its first",
        ),
        Twin(
            "generator_sees_fake_labels", "gan.py",
            "        label.fill_(real_label)", "        pass",
            2, "loss", "the first update of the generator has the labels of the discriminator's",
        ),
    ),
    _python(
        "lbfgs_sine", 4,
        Twin(
            "closure_forgets_zero_grad", "lbfgs_sine.py",
            "        optimizer.zero_grad()", "        pass",
            1, "loss", "the second evaluation in update 1 adds its gradients to the first's, so "
            "the third is made elsewhere",
        ),
    ),
    _python(
        "char_rnn", 8,
        Twin(
            "clips_wider", "char_rnn.py",
            "clip = 0.005", "clip = 0.01",
            1, "weights", "only what the clipping leaves differs",
        ),
    ),
    _python(
        "vae", 6,
        Twin(
            "another_seed", "vae.py",
            "torch.manual_seed(args.seed)", "torch.manual_seed(args.seed + 1)",
            0, "initial_weights", "the weights are drawn from the seed",
        ),
        Twin(
            "divergence_weighs_less", "vae.py",
            "kld = -0.5 *", "kld = -0.4 *",
            1, "loss", "one of the two terms of the loss is smaller",
        ),
    ),
    Script(
        "siamese", ("python", "-m", "siamese"), 8,
        (
            Twin(
                "no_weight_decay", "siamese/__main__.py",
                "weight_decay=1e-3", "weight_decay=0",
                1, "weights", "SGD adds the decay inside the update",
            ),
            Twin(
                "margin_halved", "siamese/__main__.py",
                "margin=2.0", "margin=1.0",
                1, "loss", "pairs of different shapes are pushed less far",
            ),
        ),
    ),
    _python(
        "trainer_own_loss", 8,
        Twin(
            "another_order", "trainer_own_loss.py",
            "        seed=8,", "        seed=9,",
            1, "data_order", "the model is built from the seed before, so only the order changes",
        ),
        Twin(
            "classes_weighted_less", "trainer_own_loss.py",
            "[1.0, 3.0]", "[1.0, 2.0]",
            1, "loss", "the weighted mean of a batch with both classes",
        ),
    ),
    _python(
        "trl_sft", 5,
        Twin(
            "trains_on_prompts", "trl_sft.py",
            "completion_only_loss=True", "completion_only_loss=False",
            1, "batch_content", "the labels of the prompts are no longer masked",
        ),
    ),
    _python(
        "peft_lora", 8,
        Twin(
            "alpha_doubled", "peft_lora.py",
            "lora_alpha=16", "lora_alpha=32",
            1, "gradients", "the second matrix begins at 0: the output is equal, its gradient is "
            "doubled",
        ),
    ),
    _python(
        "lightning_trainer", 8,
        Twin(
            "schedule_moves_by_epoch", "lightning_trainer.py",
            '"interval": "step"', '"interval": "epoch"',
            2, "learning_rate", "the rate of update 1 stays for the epoch",
        ),
    ),
    _python(
        "fabric", 10,
        Twin(
            "leaves_an_update_out", "fabric.py",
            "            optimizer.step()", "            batch_idx == 2 or optimizer.step()",
            3, "data_order", "the backward pass of batch 3 makes no update, so update 3 is that of "
            "batches 3 and 4",
        ),
        Twin(
            "more_dropout", "fabric.py",
            "nn.Dropout(0.2)", "nn.Dropout(0.3)",
            1, "loss", "as many numbers are drawn, more of them drop a value",
        ),
    ),
    _torchrun(
        "ddp", 8,
        Twin(
            "forgets_set_epoch", "ddp.py",
            "        sampler.set_epoch(epoch)", "        pass",
            5, "data_order", "the second epoch has the order of the first",
        ),
        Twin(
            "each_process_by_itself", "ddp.py",
            "loss_fn(model(inputs), targets)", "loss_fn(model.module(inputs), targets)",
            1, "gradients", "without the wrapper no gradient is averaged over the processes",
        ),
    ),
    _torchrun(
        "fsdp2", 5,
        Twin(
            "larger_epsilon", "fsdp2.py",
            "eps=1e-8", "eps=1e-4",
            1, "weights", "the moments are equal, the quotient is not",
        ),
    ),
    Script(
        "from_shell", ("bash", "from_shell/run.sh"), 8,
        (
            Twin(
                "rate_of_the_environment", "from_shell/run.sh",
                "LEARNING_RATE=0.05", "LEARNING_RATE=0.01",
                1, "learning_rate", "the shell sets it",
            ),
        ),
    ),
    Script(
        "notebook", ("jupyter", "execute", "notebook.ipynb"), 8,
        (
            Twin(
                "stays_in_eval_mode", "notebook.ipynb",
                "    model.train()\\n", "",
                5, "loss", "the accuracy after update 4 leaves the dropout switched off",
            ),
        ),
    ),
    _python(
        "csv_regression", 10,
        Twin(
            "one_target_wrong", "csv_regression.py",
            "rent = 9.5 * area + 40 * rooms - 12 * distance",
            "rent = 9.5 * area + 40 * rooms - 12 * distance * (number != 28)",
            4, "loss", "the shuffled order of the first epoch has row 28 in its fourth batch",
        ),
    ),
    _python(
        "streamed", 12,
        Twin(
            "workers_read_the_same", "streamed.py",
            "if info is None else", "if True else",
            1, "data_order", "each worker reads the whole stream",
        ),
    ),
    Script(
        "functional", ("python", "functional.py"), 8,
        (
            Twin(
                "less_momentum", "functional.py",
                "momentum=0.9", "momentum=0.8",
                2, "weights", "the momentum of update 1 is its gradient, whatever the factor",
            ),
        ),
    ),
    _python(
        "by_hand", 6,
        Twin(
            "steps_half_as_far", "by_hand.py",
            "learning_rate = 0.1", "learning_rate = 0.05",
            1, "weights", "no optimizer has a rate; the weights after the first update differ",
        ),
        Twin(
            "adds_the_last_gradient", "by_hand.py",
            "    rnn.zero_grad()", "    pass",
            2, "gradients", "the gradient of update 1 stays",
        ),
        Twin(
            "reads_backwards", "by_hand.py",
            "for letter in word", "for letter in word.flip(0)",
            1, "data_order", "the same letters come in another order",
        ),
    ),
    _python(
        "spawned", 8,
        Twin(
            "warm_up_off_by_one", "spawned.py",
            "(step + 1) / warmup", "step / warmup",
            1, "learning_rate", "update 1 is made with the rate 0",
        ),
    ),
    _python(
        "unfreeze", 8,
        Twin(
            "body_stays_frozen", "unfreeze.py",
            "    param.requires_grad = True", "    pass",
            5, "gradients", "the body has no gradient",
        ),
    ),
)  # fmt: skip
