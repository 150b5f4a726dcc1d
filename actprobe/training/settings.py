"""The numbers that every training has."""

from __future__ import annotations

from dataclasses import dataclass

from actprobe.errors import UsageError

SCHEDULES = ("published", "cosine", "constant", "exponential")
PRECISIONS = ("float32", "mixed_bfloat16")


@dataclass(frozen=True)
class Settings:
    """The settings of a training.

    - ``steps_per_epoch``: None for a pass over all examples.
    - ``batch_size``: over all replicas.
    - ``learning_rate``: of the first epoch.
    - ``schedule``: one of `SCHEDULES`, see `actprobe.training.schedule`.
    - ``precision``: one of `PRECISIONS`; weights, losses and statistics are float32 always.
    - ``seed``: of weights, the order of the examples and whatever else is random.
    - ``jit_compile``: whether the step is compiled with XLA.
    - ``average``: what judged and kept weights keep of themselves in every step (0.999 averages over about
      1000 steps); 0 for the weights as they are.

    UsageError: no such schedule or precision, or a number that is too small.
    """

    epochs: int
    steps_per_epoch: int | None
    batch_size: int
    learning_rate: float
    schedule: str
    precision: str = "float32"
    seed: int = 0
    jit_compile: bool = False
    average: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        for what, name, known in (
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
        ):
            if name not in known:
                raise UsageError(f"there is no {what} {name!r}; there is {', '.join(known)}")
        counts = {"epochs": self.epochs, "batch_size": self.batch_size}
        counts |= {} if self.steps_per_epoch is None else {"steps_per_epoch": self.steps_per_epoch}
        for name, count in counts.items():
            if count < 1:
                raise UsageError(f"{name}={count}: at least 1")
        if not 0 <= self.average < 1:
            raise UsageError(f"average={self.average}: at least 0 and below 1")
