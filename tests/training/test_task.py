"""What a user's task returns becomes a workload: any module, rows, loss and metric."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset, TensorDataset

from harness.errors import SpecError
from harness.spec.recipe import Recipe
from harness.training.apply_recipe import apply_recipe
from harness.training.evaluation import check_one_batch, evaluate_model
from harness.training.task import first_rows, is_plain, joined, workload_of
from harness.training.task_model import TaskCollate, TaskModel
from harness.training.workload import Workload

CPU = torch.device("cpu")
ROWS = [(torch.tensor([1.0, 2.0]), torch.tensor([3.0])), (torch.zeros(2), torch.ones(1))]


def task(folder: Path, **changed: Any) -> Workload:
    """A regression on two numbers, with some of its parts changed."""
    parts: dict[str, Any] = {"model": nn.Linear(2, 1), "data": ROWS, "loss": nn.MSELoss()}
    return workload_of({**parts, **changed}, "mine", CPU, folder)


class Stream(IterableDataset[Any]):
    """Rows without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(ROWS)


class Answers(nn.Module):
    """Returns what it is made with, as a function of its input."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.answer(*inputs, **named)


@pytest.mark.parametrize(
    ("batch", "columns"),
    [
        (torch.zeros(2, 3), ["input_0", "labels"]),
        ((torch.zeros(2),), ["input_0", "labels"]),
        ((torch.zeros(2), torch.ones(2)), ["input_0", "labels"]),
        ([torch.zeros(2), torch.zeros(2), torch.ones(2)], ["input_0", "input_1", "labels"]),
        (((torch.zeros(2), torch.zeros(2)), torch.ones(2)), ["input_0", "input_1", "labels"]),
        ({"x": torch.zeros(2)}, ["x"]),
        ({"x": torch.zeros(2), "labels": torch.ones(2)}, ["x", "labels"]),
    ],
)
def test_a_batch_of_any_form_becomes_columns(batch: Any, columns: list[str]) -> None:
    """The last tensor of a tuple is the target; a single one is input and target."""
    found = TaskCollate(lambda rows: batch)([])
    assert columns == list(found)
    if not isinstance(batch, dict) and len(columns) > 2:
        assert found["labels"].tolist() == [1, 1]


@pytest.mark.parametrize("batch", ["text", {}, {"x": ["a"]}, (torch.zeros(2), "a"), [], None])
def test_a_batch_that_is_not_made_of_tensors_is_refused(batch: Any) -> None:
    """With the remedy."""
    with pytest.raises(SpecError, match="return tensors from collate"):
        TaskCollate(lambda rows: batch)([])


X, Y = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [2.0]])


@pytest.mark.parametrize(
    ("answer", "loss", "logits"),
    [
        (lambda x, y: ((x - y) ** 2).mean(), 1.0, torch.empty(0)),
        (lambda x, y: (x, ((x - y) ** 2).mean()), 1.0, X),
        (lambda x, y: {"loss": (x - y).abs().sum(), "logits": x}, 2.0, X),
        (lambda x, y: SimpleNamespace(loss=(x - y).abs().sum(), logits=x), 2.0, X),
        (lambda x, y: [x, y, (x - y).sum()], 0.0, (X, Y)),
    ],
)
def test_the_loss_may_be_the_models_own(answer: Any, loss: float, logits: Any) -> None:
    """Named, or the only number that it returns; what is beside it is the output."""
    found = TaskModel(Answers(answer), None, has_labels=True)(input_0=X, labels=Y)
    assert loss == float(found.loss)
    assert str(logits) == str(found.logits)


def test_a_loss_takes_output_and_target_or_the_whole_batch() -> None:
    """The model does not get the target then; other columns reach it by name."""
    model = Answers(lambda *inputs, **named: sum(inputs) + sum(named.values()))
    apart = TaskModel(model, lambda output, target: (output - target).abs().sum(), has_labels=True)
    assert float((2 * X - Y).abs().sum()) == float(apart(input_0=X, input_1=X, labels=Y).loss)
    assert float((X - Y).abs().sum()) == float(apart(x=X, labels=Y).loss)
    assert apart(x=X).loss is None  # a caller computes it

    whole = TaskModel(model, lambda output, batch: (output * batch["x"]).sum(), has_labels=False)
    assert 10.0 == float(whole(x=X).loss)


def test_a_model_without_a_loss_needs_one(tmp_path: Path) -> None:
    """One line names what it returns and the remedy."""
    with pytest.raises(SpecError, match=r"an output of type Tensor with 0 numbers.*: add a loss"):
        check_one_batch(task(tmp_path, loss=None, model=Answers(lambda x, y: x)), Recipe())


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "(met a value of type list): return a dict"),
        ({"data": ROWS}, "(met no model): add it"),
        ({"model": nn.Linear(2, 1)}, "(met no data): add it"),
        ({"model": nn.Linear(2, 1), "data": ROWS, "los": 1}, "did you mean 'loss'?"),
        ({"model": print, "data": ROWS}, "the model of a task is a torch.nn.Module"),
        ({"model": nn.Linear(2, 1), "data": ROWS, "loss": "mse"}, "the loss of a task is a func"),
        ({"model": nn.Linear(2, 1), "data": ROWS, "metric": "r2"}, "known: accuracy"),
        ({"model": nn.Linear(2, 1), "data": ROWS, "metric": 3}, "is a function or a name"),
        ({"model": nn.Linear(2, 1), "data": Stream()}, "the rows of a task have a length"),
        ({"model": nn.Linear(2, 1), "data": []}, "the training set needs rows (met 0)"),
        ({"model": nn.Linear(2, 1), "data": (ROWS, [])}, "the evaluation set needs rows (met 0)"),
        ({"model": nn.Linear(2, 1), "data": {"train": ROWS}}, "(met a value of type NoneType)"),
    ],
)
def test_a_task_that_lacks_something_is_refused(parts: Any, said: str, tmp_path: Path) -> None:
    """One line: the rule, the value met, the remedy."""
    with pytest.raises(SpecError) as caught:
        workload_of(parts, "mine", CPU, tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda output, target: output, "(met a tensor of shape [2, 1])"),
        (lambda output, target: 1.0, "(met a value of type float)"),
        (lambda output, target: (output**2).sum() * torch.inf, "(met inf)"),
        (lambda output, target: output.sum().detach(), "(met a loss without a gradient)"),
    ],
)
def test_a_loss_that_cannot_be_trained_is_refused(loss: Any, said: str, tmp_path: Path) -> None:
    """Before the training; the control is accepted and described."""
    with pytest.raises(SpecError) as caught:
        check_one_batch(task(tmp_path, loss=loss), Recipe())
    assert said in str(caught.value)
    line = check_one_batch(task(tmp_path), Recipe())
    assert line.startswith("one batch: input_0 [2, 2], labels [2, 1]; loss ")


def test_an_evaluation_scores_a_regression_without_classes(tmp_path: Path) -> None:
    """By hand: outputs 1, 2, 4 against 1, 4, 1; mean over rows, not over batches."""
    rows = TensorDataset(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.0], [4.0], [1.0]]))
    own = task(tmp_path, model=nn.Identity(), data=rows, metric="regression")
    scores = evaluate_model(own, Recipe(eval_batch_size=2), own.model)
    assert (3, frozenset()) == (scores.rows, scores.predicted)
    expected = {"mse": 13 / 3, "mae": 5 / 3, "r2": 1 - 13 / 6, "loss": 13 / 3}
    assert expected == pytest.approx(scores.metrics)


def test_an_evaluation_scores_several_labels(tmp_path: Path) -> None:
    """By hand: 2 of 3 chosen labels are right and 1 is missed; of 2 rows 1 is right."""
    outputs = torch.tensor([[2.0, -1.0, 3.0], [-1.0, 1.0, -1.0]])
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    own = task(
        tmp_path,
        model=nn.Identity(),
        data=TensorDataset(outputs, targets),
        loss=nn.BCEWithLogitsLoss(),
        metric="multi_label",
    )
    metrics = evaluate_model(own, Recipe(), own.model).metrics
    found = {name: metrics[name] for name in ("f1_micro", "f1_macro", "exact_match")}
    of_third = 2 * 1 / (2 * 1 + 0 + 1)  # right once, missed once
    expected = {"f1_micro": 2 / 3, "f1_macro": (1 + 0 + of_third) / 3, "exact_match": 1 / 2}
    assert expected == pytest.approx(found)


def test_a_metric_of_ones_own_gets_all_rows_at_once(tmp_path: Path) -> None:
    """Its number has its name; a dict has names of its own; a collapse is that of classes."""

    def largest(outputs: Tensor, targets: Tensor) -> Tensor:
        assert (3, 3) == (len(outputs), len(targets))
        return outputs.max()

    rows = TensorDataset(torch.tensor([[1.0], [2.0], [4.0]]), torch.ones(3, 1))
    for metric, name in ((largest, "largest"), (lambda o, t: {"top": o.max()}, "top")):
        own = task(tmp_path, model=nn.Identity(), data=rows, metric=metric)
        scores = evaluate_model(own, Recipe(eval_batch_size=2), own.model)
        assert [4.0, 10 / 3] == pytest.approx([scores.metrics[name], scores.metrics["loss"]])
        assert frozenset() == scores.predicted
    classes = TensorDataset(torch.tensor([[2.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]))
    own = task(
        tmp_path, model=nn.Identity(), data=classes, loss=nn.CrossEntropyLoss(), metric="accuracy"
    )
    assert frozenset({0}) == evaluate_model(own, Recipe(), own.model).predicted


def test_the_outputs_of_batches_are_joined_in_their_structure() -> None:
    """Tensors whose further sizes differ stay a list."""
    a, b = torch.zeros(2, 3), torch.ones(1, 3)
    pair = joined([(a, {"x": a}), (b, {"x": b})])
    assert ((3, 3), (3, 3)) == (tuple(pair[0].shape), tuple(pair[1]["x"].shape))
    assert 2 == len(joined([a, torch.ones(2, 4)]))


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"label_smoothing": 0.1}, "set it to 0.0"),
        ({"max_length": 12}, "set it to none"),
        ({"attention": "eager"}, "set it to sdpa"),
        ({"extra_padding": 2}, "set it to 0"),
        ({"sampler": "length_grouped"}, "set another sampler"),
        ({"gradient_checkpointing": True}, "set it to false"),
    ],
)
def test_a_field_that_the_task_itself_decides_is_refused(
    change: dict[str, Any], remedy: str, tmp_path: Path
) -> None:
    """Rather than ignored; the default, for control, is accepted."""
    with pytest.raises(SpecError, match=remedy):
        apply_recipe(task(tmp_path), Recipe(**change))
    apply_recipe(task(tmp_path), Recipe())


def test_only_rows_whose_reading_has_no_effect_are_read_again() -> None:
    """A data set of the user's own class may have a state."""

    class Counting(TensorDataset):
        pass

    rows = TensorDataset(torch.zeros(2))
    assert is_plain(rows)
    assert is_plain(torch.utils.data.Subset(rows, [0]))
    assert not is_plain(Counting(torch.zeros(2)))
    assert not is_plain(torch.utils.data.Subset(Counting(torch.zeros(2)), [0]))


def test_the_rows_of_a_task_can_be_limited() -> None:
    """To the first ones; 0 stands for all, and a negative number is refused."""
    rows = [1, 2, 3]
    assert [1, 2] == list(first_rows(rows, "train_rows", 2))
    assert rows == first_rows(rows, "train_rows", 0) == first_rows(rows, "train_rows", 5)
    with pytest.raises(SpecError, match="train_rows is a number of rows"):
        first_rows(rows, "train_rows", -1)


def test_a_split_of_torch_is_a_pair(tmp_path: Path) -> None:
    """`random_split` returns a list; a list of rows is one set."""
    split = torch.utils.data.random_split(
        TensorDataset(torch.zeros(5, 2), torch.ones(5, 1)), [3, 2]
    )
    own = task(tmp_path, data=split)
    assert [3, 2] == [len(own.train_set), len(own.eval_set)]
    assert [2, 2] == [len(one) for one in (task(tmp_path).train_set, task(tmp_path).eval_set)]
