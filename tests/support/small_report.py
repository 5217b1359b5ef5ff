"""A small fixed report, the same on every machine, with something of each part of a page."""

from typing import Any, Literal

from harness.results.comparison import Cause, Comparison, Finding, SeedOutcome
from harness.results.divergence import Divergence, StageDifference
from harness.results.explanation import Contribution, Cost, Explanation, Gap
from harness.results.noise import FieldNoise, Noise
from harness.results.origin import Origin
from harness.results.report import Report, RunSummary
from harness.results.settings import SettingDifference

AWKWARD = 'a|b <script>alert("x")</script> & *c*\nnext'
"""Text that must be escaped in a page, and must stay within one cell of a table."""


def run(loop: str, **changes: Any) -> RunSummary:
    """A completed run of six steps."""
    return RunSummary(
        **{
            "case": "tiny",
            "loop": loop,
            "device": "cpu",
            "world_size": 1,
            "status": "completed",
            "steps": 6,
            "final_metrics": {"accuracy": 0.875, "f1": 0.9},
            "record": f"records/tiny-{loop}",
            "conventions": "matched",
            "overrides": {},
            "samples": 48,
            "epochs": 1.0,
            "wall_s": 2.0,
            "samples_per_s": 24.0,
            **changes,
        }
    )


IDENTICAL = Comparison(
    case="tiny",
    reference="plain",
    candidate="accelerated",
    outcome="identical",
    steps=6,
    stages=(StageDifference(stage="loss", compared=6, differing=0),),
    findings=(
        Finding(
            metric="accuracy",
            unit="",
            outcome="identical",
            reference=0.875,
            candidate=0.875,
            ratio=1.0,
        ),
    ),
)
FIRST = Divergence(
    step=3,
    micro_batch=2,
    stage="gradients",
    tensor="classifier.bias",
    tensors_differing=3,
    reference=0.5,
    candidate=0.5000001,
    max_ulp=2.0,
    relative=2e-7,
    detail="the gradients of 3 of 3 tensors differ by one factor, 3 (candidate / reference)",
)
CONFIG = Divergence(
    step=0,
    stage="config",
    reference={"optimizer.weight_decay": 0.0},
    candidate={"optimizer.weight_decay": 0.01},
    detail="optimizer.weight_decay",
)
DIFFERENT = Comparison(
    case="tiny",
    reference="plain",
    candidate="trainer",
    outcome="different",
    steps=6,
    first_divergence=FIRST,
    stages=(
        StageDifference(stage="config", compared=30, differing=1, first=CONFIG),
        StageDifference(stage="gradients", compared=6, differing=4, first=FIRST),
        StageDifference(
            stage="weights",
            compared=6,
            differing=3,
            first=FIRST.model_copy(update={"stage": "weights"}),
            follows="gradients",
        ),
    ),
    settings=(
        SettingDifference(
            name="optimizer.weight_decay",
            reference=0.0,
            candidate={"0.0": ["a.bias", "b.bias", "c.bias"], "0.01": ["a.weight", AWKWARD]},
        ),
    ),
    causes=(
        Cause(
            id="loss-not-divided",
            title="the losses of a window are summed, not averaged",
            evidence=f"gradients of {AWKWARD} differ by the factor 3",
            remedy="divide each loss by the number of micro-batches in its window",
            reference="t#1",
        ),
        Cause(
            id="weight-decay-default",
            title="torch's AdamW decays all weights by its default, 0.01",
            evidence="trainer decays two",
            remedy="pass weight_decay explicitly",
            explains_first=False,
        ),
    ),
    doubts=("trainer: loss is nan at step 5",),
)


SEEDS = Comparison(
    case="tiny",
    reference="plain",
    candidate="trainer",
    outcome="inconclusive",
    steps=6,
    first_divergence=FIRST,
    findings=(
        Finding(
            metric="accuracy",
            unit="",
            outcome="equivalent",
            reference=0.825,
            candidate=0.8255,
            ratio=1.0006,
            interval=(-0.003519, 0.004519),
            margin=0.02,
            spread=(0.0645, 0.0644),
        ),
        Finding(
            metric="loss",
            unit="",
            outcome="inconclusive",
            reference=0.5,
            candidate=0.52,
            ratio=1.04,
            interval=(-0.01, 0.06),
            margin=0.05,
            spread=(0.02, 0.03),
            needed=9,
        ),
    ),
    seeds=(
        SeedOutcome(seed=42, outcome="different", first_divergence=FIRST),
        SeedOutcome(seed=43, outcome="different", first_divergence=FIRST),
        SeedOutcome(seed=44, outcome="different", first_divergence=FIRST),
        SeedOutcome(seed=45, outcome="identical", left_out="plain and trainer collapsed"),
    ),
    test="two one-sided t-tests at 5% each, paired, over 3 seeds",
    doubts=("evaluation loss: its interval reaches across ±0.05; about 9 seeds would tell",),
)


def seeds_report() -> Report:
    """Two loops on four seeds."""
    return small_report(
        verdict="no_verdict",
        comparisons=(SEEDS,),
        runs=tuple(
            run(loop, seed=seed, final_metrics={"accuracy": score, "loss": 0.5})
            for seed, score in ((42, 0.8), (43, 0.85), (44, 0.9), (45, 0.75))
            for loop in ("plain", "trainer")
        ),
        recipes={"tiny": {"data": None, "seed": [42, 43, 44, 45]}},
    )


def contribution(field: str, values: tuple[Any, Any], alone: Gap, left: Gap) -> Contribution:
    """A field with what it does."""
    return Contribution(
        field=field, reference=values[0], candidate=values[1], alone=alone, left=left
    )


NOTHING = Gap(loss=0.0, weights=0.0)
ORDER = Gap(step=1, stage="data_order", loss=0.057, weights=0.91)
CLIP = Gap(step=1, stage="weights", loss=0.00063, weights=0.074)
EXPLAINED = Explanation(
    case="tiny",
    reference="trainer",
    candidate="plain",
    outcome="explained",
    steps=12,
    whole=True,
    window=(1, 12),
    differing=("sampler", "max_grad_norm", "decay_exclusions"),
    gap=Gap(step=1, stage="data_order", loss=0.042, weights=0.8312),
    contributions=(
        contribution("sampler", ("seeded", "global"), ORDER, CLIP),
        contribution("max_grad_norm", (1.0, None), CLIP, NOTHING),
    ),
    minimal=True,
    cost=Cost(replays=9, steps=108, limit=180, reused=2),
)
CODE = Explanation(
    case="tiny",
    reference="plain",
    candidate="faulty",
    outcome="code",
    steps=0,
    rest=FIRST,
    notes=("something else was met",),
)


def explained_report() -> Report:
    """One pair explained, another that no field explains."""
    return small_report(
        comparisons=(DIFFERENT,),
        explanations=(EXPLAINED, CODE),
        odd_one_out="trainer is the odd one out: plain and accelerated are the same",
    )


ORIGIN = Origin(
    name="20261123-120000-tiny",
    started_at="2026-11-23T12:00:00+00:00",
    took_s=12.5,
    host="a-host",
)


def small_report(**changes: Any) -> Report:
    """Three loops, one of which departs."""
    return Report(
        **{
            "verdict": "different",
            "comparisons": (IDENTICAL, DIFFERENT),
            "runs": (
                run("plain"),
                run("accelerated"),
                run("trainer", overrides={"sampler": "global"}, warnings=("one class only",)),
            ),
            "recipes": {"tiny": {"data": None, "sampler": "seeded", "betas": [0.9, 0.999]}},
            "environment": {
                "python": "3.11",
                "flags": {"deterministic": True},
                "repository": {"commit": "0123456789abcdef", "branch": "main", "changed": True},
            },
            "command": ("harness", "run", "tiny", "--set", "data=a b"),
            "origin": ORIGIN,
            **changes,
        }
    )


def noisy(outcome: Literal["within_noise", "different"]) -> Comparison:
    """A pair against its noise: the weights near their bound or beyond it, the loss well within."""
    loss = FieldNoise(
        field="loss",
        outcome="within_noise",
        step=2,
        largest=2.4e-7,
        step_of_largest=3,
        relative=3.5e-7,
        ulp=4.0,
        difference=2.2e-7,
        envelope=1.1e-7,
        threshold=1.6e-6,
        smallest_visible=2.3e-6,
        judged=5,
        of=6,
    )
    weights = loss.model_copy(
        update={
            "field": "weights",
            "outcome": outcome,
            "step": 6,
            "largest": 3.1e-5,
            "relative": 4.5e-4,
            "ulp": None,
            "smallest_visible": 3.2e-4,
        }
    )
    return DIFFERENT.model_copy(
        update={
            "outcome": outcome,
            "doubts": (),
            "noise": Noise(
                draws=8,
                rounding="weights",
                false_alarms=0.001,
                allowance=2.0,
                fields=(loss, weights),
            ),
        }
    )
