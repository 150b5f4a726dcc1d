"""Lines of progress of a training, and whether another epoch ends before the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from actprobe.pace import Pace, about

SECONDS_BETWEEN_LINES = 30.0


@dataclass
class Progress:
    """The clock of a training.

    ``unit``, ``units_per_step``: see `actprobe.training.batches.Source`. ``deadline``: time after which no
    epoch is begun that would not end by then. ``log`` takes lines, ``clock`` gives seconds.

    The first step and the first validation are traced. How long the rest takes is told when steps after the
    first have taken as long as that did, and where the first validation took no longer than they; from the
    second epoch on as the last epoch tells.
    """

    epochs: int
    steps: int
    unit: str
    units_per_step: int
    deadline: float
    log: Callable[[str], None]
    clock: Callable[[], float] = time.time
    began: float = 0.0
    spoke: float = 0.0
    trained: float | None = None
    slowest: float = 0.0
    pace: Pace = field(default_factory=lambda: Pace(0.0))
    ended: int = 0
    epoch_seconds: float | None = None

    def begin(self) -> None:
        """Begin an epoch."""
        self.began = self.spoke = self.clock()
        self.pace = Pace(self.began)
        self.trained = None

    def end_training(self) -> None:
        """Training of this epoch has ended, its validation begins."""
        self.trained = self.clock()

    def seconds(self) -> float:
        """Seconds that this epoch trained."""
        return (self.clock() if self.trained is None else self.trained) - self.began

    def step(self, epoch: int, step: int, loss: float) -> None:
        """Say now and then how far an epoch has come; both are counted from 1."""
        now = self.clock()
        self.pace.finish(now, step)
        if now - self.spoke > SECONDS_BETWEEN_LINES:
            self.spoke = now
            speed = f"{self.units_per_step * step / (now - self.began):.0f} {self.unit}/s"
            epochs = self.epochs - epoch + 1
            left = None
            if self.epoch_seconds is not None:
                left = max(0.0, epochs * self.epoch_seconds - (now - self.began))
            elif not self.ended:
                left = self.pace.seconds_for(epochs * self.steps - step)
            self.log(f"epoch {epoch}, step {step} of {self.steps}: loss {loss:.4f}, {speed}{_left(left)}")

    def end(self, epoch: int, found: str, speed: float) -> bool:
        """Report an epoch, counted from 1; gives whether there is time for the next one."""
        now = self.clock()
        self.slowest = max(self.slowest, now - self.began)
        self.epoch_seconds = now - self.began if self.ended else self._after_the_first(now)
        self.ended += 1
        left = None
        if self.epoch_seconds is not None and epoch < self.epochs:
            left = (self.epochs - epoch) * self.epoch_seconds
        self.log(f"epoch {epoch} of {self.epochs}: {found}, {speed:.0f} {self.unit}/s{_left(left)}")
        if epoch < self.epochs and now + self.slowest > self.deadline:
            self.log(f"no time for epoch {epoch + 1} of {self.epochs}")
            return False
        return True

    def _after_the_first(self, now: float) -> float | None:
        """Guess how long an epoch takes from the first one, without what is traced in it."""
        steps = self.pace.seconds_for(self.steps)
        validation = 0.0 if self.trained is None else now - self.trained
        return None if steps is None or validation > steps else steps + validation


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {about(seconds)} left"
