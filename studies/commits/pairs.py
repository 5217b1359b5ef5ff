"""The pairs of commits: what each commit changes, and what must be reported of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PAIRS", "CommitPair", "Edit"]

RepositoryName = Literal["script", "package"]


@dataclass(frozen=True)
class Edit:
    """A text of a file that becomes another."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class CommitPair:
    """A commit on top of the first one of a repository, and the right answer.

    A topic is what a sentence of the report is about: `values`, `setting NAME`, `counts`, `speed`.
    """

    name: str
    repository: RepositoryName
    does: str
    """What the commit does, for a reader."""
    edits: tuple[Edit, ...]
    changed: frozenset[str] = frozenset()
    """Topics that must be listed as changed; no other may be."""
    unknown: frozenset[str] = frozenset()
    """Topics that must be listed as not compared; no other may be."""
    slower: bool | None = None
    """Whether the commit costs time; None: speeds are not compared."""
    broken: bool = False
    """Whether the training fails."""
    words: str = ""
    """What a sentence of the lists must contain."""

    @property
    def is_timed(self) -> bool:
        """Whether the speeds of the two commits are compared."""
        return self.slower is not None

    @property
    def command(self) -> tuple[str, ...]:
        """What trains; a timed training does not end by itself."""
        start = ("python", "train.py") if self.repository == "script" else ("python", "-m", "tiny")
        return (*start, "--steps", "1000000") if self.is_timed else start


_VALUES = frozenset({"values"})
_TRAIN, _LOOP, _NETWORK = "train.py", "tiny/loop.py", "tiny/network.py"


PAIRS = (
    CommitPair(
        "a comment",
        "script",
        "adds a comment and a docstring",
        (Edit(_TRAIN, "def main() -> None:\n", 'def main() -> None:\n    """Train."""\n'),),
        slower=False,
    ),
    CommitPair(
        "other names",
        "script",
        "renames variables and moves the rows into a function",
        (
            Edit(
                _TRAIN,
                "    inputs = torch.randn(96, 12)\n"
                "    targets = inputs.sin().sum(dim=1, keepdim=True)\n",
                "    inputs, targets = made_up()\n",
            ),
            Edit(
                _TRAIN,
                "def main() -> None:\n",
                "def made_up() -> tuple[torch.Tensor, torch.Tensor]:\n"
                "    x = torch.randn(96, 12)\n"
                "    return x, x.sin().sum(dim=1, keepdim=True)\n\n\n"
                "def main() -> None:\n",
            ),
            Edit(_TRAIN, "model", "network"),
        ),
    ),
    CommitPair(
        "a sum in another order",
        "script",
        "adds the squared errors in the opposite order",
        (Edit(_TRAIN, "errors.sum()", "sum(errors.flip(0).flatten().unbind())"),),
        changed=_VALUES,
        words="in loss",
    ),
    CommitPair(
        "learning rate",
        "script",
        "changes the learning rate from 0.05 to 0.06",
        (Edit(_TRAIN, "LEARNING_RATE = 0.05", "LEARNING_RATE = 0.06"),),
        changed=frozenset({"values", "setting optimizer.learning_rate"}),
        words="setting optimizer.learning_rate is 0.06, was 0.05",
    ),
    CommitPair(
        "momentum",
        "script",
        "changes the momentum from 0.9 to 0.8",
        (Edit(_TRAIN, "momentum=0.9", "momentum=0.8"),),
        changed=frozenset({"values", "setting optimizer.momentum"}),
        words="setting optimizer.momentum is 0.8, was 0.9",
    ),
    CommitPair(
        "seed",
        "script",
        "changes the seed from 7 to 8",
        (Edit(_TRAIN, "SEED = 7", "SEED = 8"),),
        changed=frozenset({"values", "setting rng.seed"}),
        words="first at step 0 in initial_weights",
    ),
    CommitPair(
        "number of steps",
        "script",
        "trains 40 steps instead of 30",
        (Edit(_TRAIN, "STEPS = 30", "STEPS = 40"),),
        changed=frozenset({"values", "counts"}),
        words="optimizer steps 40, was 30",
    ),
    CommitPair(
        "an exception in step 8",
        "script",
        "raises an exception after 7 steps",
        (
            Edit(
                _TRAIN,
                "        loss.backward()\n",
                "        if step == 7:\n"
                '            raise ValueError("the loss is too large")\n'
                "        loss.backward()\n",
            ),
        ),
        changed=frozenset({"counts"}),
        unknown=_VALUES,
        broken=True,
        words="ValueError: the loss is too large",
    ),
    CommitPair(
        "8% more work",
        "script",
        "computes 27 matrix products in a step instead of 25",
        (Edit(_TRAIN, "WORK = 25", "WORK = 27"),),
        slower=True,
    ),
    CommitPair(
        "30% more work",
        "package",
        "computes 26 matrix products in a step instead of 20",
        (Edit(_NETWORK, "WORK = 20", "WORK = 26"),),
        slower=True,
    ),
    CommitPair(
        "a module split in two",
        "package",
        "moves the clip and the step of the optimizer into a new file",
        (
            Edit(
                _LOOP,
                "        nn.utils.clip_grad_norm_(network.parameters(), 1.0)\n"
                "        optimizer.step()\n"
                "        schedule.step()\n"
                "        optimizer.zero_grad()\n",
                "        update(network, optimizer, schedule)\n",
            ),
            Edit(_LOOP, "from .rows import", "from .update import update\nfrom .rows import"),
            Edit(
                "tiny/update.py",
                "",
                "from torch import nn\n\n\n"
                "def update(network, optimizer, schedule):\n"
                "    nn.utils.clip_grad_norm_(network.parameters(), 1.0)\n"
                "    optimizer.step()\n"
                "    schedule.step()\n"
                "    optimizer.zero_grad()\n",
            ),
        ),
    ),
    CommitPair(
        "a product in two halves",
        "package",
        "computes the hidden layer from two halves of the row, which rounds otherwise",
        (
            Edit(
                _NETWORK,
                "self.hidden(inputs).tanh()",
                "(\n"
                "            inputs[:, :5] @ self.hidden.weight[:, :5].T\n"
                "            + inputs[:, 5:] @ self.hidden.weight[:, 5:].T\n"
                "            + self.hidden.bias\n"
                "        ).tanh()",
            ),
        ),
        changed=_VALUES,
        words="first at step 1",
    ),
    CommitPair(
        "dropout",
        "package",
        "adds dropout of 0.1 after the hidden layer",
        (
            Edit(
                _NETWORK,
                "        self.block =",
                "        self.dropout = nn.Dropout(0.1)\n        self.block =",
            ),
            Edit(_NETWORK, "self.head(hidden)", "self.head(self.dropout(hidden))"),
        ),
        changed=frozenset({"values", "setting model.dropout"}),
        words="setting model.dropout is 0.1: 1, was none",
    ),
    CommitPair(
        "weight decay",
        "package",
        "changes the weight decay from 0.01 to 0.1",
        (Edit(_LOOP, "WEIGHT_DECAY = 0.01", "WEIGHT_DECAY = 0.1"),),
        changed=frozenset({"values", "setting optimizer.weight_decay"}),
        words="in weights",
    ),
    CommitPair(
        "no clip",
        "package",
        "removes the clip of the gradients",
        (Edit(_LOOP, "        nn.utils.clip_grad_norm_(network.parameters(), 1.0)\n", ""),),
        changed=_VALUES,
        unknown=frozenset({"settings of one"}),
        words="only one run updates with clipped gradients",
    ),
    CommitPair(
        "schedule",
        "package",
        "reduces the learning rate in 500 steps instead of 1000",
        (Edit(_LOOP, "LONGEST = 1000", "LONGEST = 500"),),
        changed=_VALUES,
        words="first at step 2 in learning_rate",
    ),
    CommitPair(
        "order of the rows",
        "package",
        "shuffles the rows of every epoch in the same order",
        (Edit("tiny/rows.py", "manual_seed(epoch)", "manual_seed(0)"),),
        changed=_VALUES,
        words="first at step 9",
    ),
    CommitPair(
        "batch size",
        "package",
        "changes the batch size from 8 to 16",
        (Edit("tiny/rows.py", "BATCH = 8", "BATCH = 16"),),
        changed=_VALUES,
    ),
    CommitPair(
        "a name that is missing",
        "package",
        "removes an import that is needed, so that no step is made",
        (Edit(_LOOP, "import itertools\n", ""),),
        unknown=_VALUES,
        broken=True,
        words="NameError: name 'itertools' is not defined",
    ),
)
