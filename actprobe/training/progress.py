"""Lines of progress of a training, and whether another epoch ends before the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SECONDS_BETWEEN_LINES = 30.0


@dataclass
class Progress:
    """The clock of a training.

    ``unit``, ``units_per_step``: see `actprobe.training.batches.Source`. ``deadline``: ``time.time()`` after
    which no epoch is begun that would not end by then. ``log`` takes lines.
    """

    epochs: int
    steps: int
    unit: str
    units_per_step: int
    deadline: float
    log: Callable[[str], None]
    began: float = 0.0
    spoke: float = 0.0
    trained: float | None = None
    slowest: float = 0.0

    def begin(self) -> None:
        """Begin an epoch."""
        self.began = self.spoke = time.time()
        self.trained = None

    def end_training(self) -> None:
        """Training of this epoch has ended, its validation begins."""
        self.trained = time.time()

    def seconds(self) -> float:
        """Seconds that this epoch trained."""
        return (time.time() if self.trained is None else self.trained) - self.began

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Say now and then how far an epoch has come; both are counted from 1."""
        now = time.time()
        if now - self.spoke > SECONDS_BETWEEN_LINES:
            self.spoke = now
            each = (now - self.began) / step
            minutes = (self.steps - step + (self.epochs - epoch) * self.steps) * each / 60
            speed = f"{self.units_per_step / each:.0f} {self.unit}/s, {minutes:.0f} min left"
            self.log(f"epoch {epoch}, step {step} of {self.steps}: loss {loss:.4f}, {speed}")

    def end(self, epoch: int, found: str, speed: float) -> bool:
        """Report an epoch, counted from 1; gives whether there is time for the next one."""
        self.slowest = max(self.slowest, time.time() - self.began)
        minutes = (self.epochs - epoch) * (time.time() - self.began) / 60
        left = f"{speed:.0f} {self.unit}/s, {minutes:.0f} min left"
        self.log(f"epoch {epoch} of {self.epochs}: {found}, {left}")
        if epoch < self.epochs and time.time() + self.slowest > self.deadline:
            self.log(f"no time for epoch {epoch + 1} of {self.epochs}")
            return False
        return True
