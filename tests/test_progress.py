"""Announced times: none before enough is known, then within a factor of two, on a clock that is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actprobe.batch import progress as batch
from actprobe.batch.ledger import LedgerRow
from actprobe.corpora import Recording
from actprobe.pace import Pace, about
from actprobe.training.progress import Progress as TrainingProgress


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_pace_of_what_came_after_the_first_counts(clock: Clock) -> None:
    pace = Pace(clock())
    assert pace.seconds_for(1) is None
    clock.now += 75  # the network is loaded and traced before the first is finished
    pace.finish(clock(), 1)
    for done in range(2, 76):
        clock.now += 1
        pace.finish(clock(), done)
        assert pace.seconds_for(1) is None
    clock.now += 1
    pace.finish(clock(), 76)
    assert pace.seconds_for(60) == pytest.approx(60)


@pytest.mark.parametrize("prepared", [1, 2, 4, 8])
def test_what_was_ready_before_the_first_makes_a_factor_of_two_at_most(clock: Clock, prepared: int) -> None:
    """The network takes no time; recordings are prepared in 10 s each, while it is loaded, too."""
    pace = Pace(clock())
    clock.now += 10 * prepared
    for done in range(1, prepared + 1):
        pace.finish(clock(), done)
    told = []
    for done in range(prepared + 1, prepared + 20):
        clock.now += 10
        pace.finish(clock(), done)
        told.append(pace.seconds_for(1))
    known = [seconds for seconds in told if seconds is not None]
    assert known == sorted(known)  # it comes closer
    assert 5 <= known[0] <= 10
    assert told.index(known[0]) == prepared - 1


def test_what_fails_at_once_tells_nothing_of_the_pace(clock: Clock) -> None:
    pace = Pace(clock())
    pace.finish(clock(), 0)  # a broken file
    clock.now += 60
    pace.finish(clock(), 1)
    clock.now += 60
    pace.finish(clock(), 61)
    assert pace.seconds_for(60) == pytest.approx(60)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.4, "about 3 s"),
        (119, "about 119 s"),
        (121, "about 2 min"),
        (3600, "about 60 min"),
        (7300, "about 2.0 h"),
    ],
)
def test_times_are_written_in_what_they_are_thought_in(seconds: float, text: str) -> None:
    assert about(seconds) == text


# Runs over recordings


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_run_says_nothing_of_the_time_until_it_knows(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 121 recordings the first takes 75 s, with all that starts, and the others 1.25 s each."""
    with batch.Progress(121, "recordings", clock) as progress:
        clock.now += 75
        progress.advance()
        for _ in range(120):
            clock.now += 1.25
            progress.advance()
    said = lines(capsys)
    assert said[:2] == ["1 of 121 recordings", "9 of 121 recordings"]
    told = [line for line in said if "left" in line]
    assert told[0] == "65 of 121 recordings, about 70 s left"  # 64 have taken 80 s, 56 are left
    assert said.index(told[0]) == 8
    assert said[-1] == "121 of 121 recordings"


def test_what_is_finished_together_is_counted_together(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of 8 recordings take 20 s each, and 20 s more before the first."""
    with batch.Progress(64, "recordings", clock) as progress:
        clock.now += 20
        for _ in range(8):
            clock.now += 20
            progress.advance(8)
    assert [line.partition(", ")[2] for line in lines(capsys)] == [
        "", "", "about 100 s left", "about 80 s left", "about 60 s left", "about 40 s left",
        "about 20 s left", "",
    ]  # fmt: skip


def test_long_recordings_count_for_more(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second of sound takes 0.05 s; the short recordings come first, and MP3 has a tenth of the bytes."""
    seconds = [20.0] * 12 + [400.0] * 4
    recordings, rows = [], []
    for number, length in enumerate(seconds):
        kind, rate = ("wav", 1000) if number % 2 else ("mp3", 100)
        path = tmp_path / f"{number:02}.{kind}"
        path.write_bytes(bytes(int(length * rate)))
        recordings.append(Recording(path.name, path))
        rows.append(LedgerRow(path.name, "ok", seconds=length))
    lengths = batch.Lengths(recordings)
    with batch.Progress(len(rows), "recordings", clock) as progress:
        for row in rows:
            assert row.seconds is not None
            clock.now += row.seconds / 20
            lengths.finish([row])
            progress.advance(1, lengths)
    assert lines(capsys) == [
        "10 of 16 recordings, about 82 s left",
        "13 of 16 recordings, about 60 s left",
        "14 of 16 recordings, about 40 s left",
        "15 of 16 recordings, about 20 s left",
        "16 of 16 recordings",
    ]


def test_recordings_that_fail_are_left_out_of_what_is_left(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for path in paths[:2]:
        path.write_bytes(bytes(1000))
    lengths = batch.Lengths([Recording(path.name, path) for path in paths])  # the last is not there
    lengths.finish([LedgerRow("0.wav", "ok", seconds=4.0)])
    assert (lengths.done, lengths.left()) == (4, 4)
    lengths.finish([LedgerRow("1.wav", "failed"), LedgerRow("2.wav", "failed")])
    assert (lengths.done, lengths.left()) == (4, 0)


def test_recordings_shorter_than_an_example_count_for_one(tmp_path: Path) -> None:
    sizes = [1000, 100, 300, 10]
    for number, size in enumerate(sizes):
        (tmp_path / f"{number}.wav").write_bytes(bytes(size))
    recordings = [Recording(f"{number}.wav", tmp_path / f"{number}.wav") for number in range(4)]
    lengths = batch.Lengths(recordings, least_seconds=20)
    lengths.finish([LedgerRow("0.wav", "ok", seconds=100.0), LedgerRow("1.wav", "ok", seconds=10.0)])
    assert lengths.done == 100 + 20
    assert lengths.left() == 30 + 20


# Trainings


@dataclass
class Training:
    """A training of so many epochs whose parts take these times in seconds."""

    clock: Clock
    epochs: int
    steps: int
    step: float
    validation: float
    traced_step: float = 30.0
    traced_validation: float = 10.0
    said: list[tuple[str, float]] = field(default_factory=list)

    def run(self, first_epoch: int = 1) -> list[tuple[float, float]]:
        """Go through it, and give each time that was told, in seconds, with the true one."""
        progress = TrainingProgress(
            self.epochs, self.steps, "examples", 32, float("inf"), self._log, clock=self.clock
        )
        for epoch in range(first_epoch, self.epochs + 1):
            progress.begin()
            for step in range(1, self.steps + 1):
                self.clock.now += self.step + self.traced_step * (epoch == first_epoch and step == 1)
                progress.step(epoch, step, 0.5)
            progress.end_training()
            self.clock.now += self.validation + self.traced_validation * (epoch == first_epoch)
            assert progress.end(epoch, "loss 0.5", 100.0)
        units = {"s": 1, "min": 60, "h": 3600}
        found = []
        for line, when in self.said:
            if "about" in line:
                number, unit = line.partition("about ")[2].split()[:2]
                found.append((float(number) * units[unit], self.clock.now - when))
        return found

    def _log(self, line: str) -> None:
        self.said.append((line, self.clock.now))


@pytest.mark.parametrize("first_epoch", [1, 3])
@pytest.mark.parametrize(
    "made",
    [
        lambda clock: Training(clock, 8, steps=40, step=0.1, validation=2.0),  # tracing outweighs all
        lambda clock: Training(clock, 8, steps=1000, step=0.5, validation=100.0),
        lambda clock: Training(clock, 24, steps=100, step=2.0, validation=190.0),
        lambda clock: Training(clock, 6, steps=20, step=1.0, validation=200.0),  # validation outweighs all
        lambda clock: Training(clock, 3, steps=1, step=5.0, validation=1.0),
    ],
)
def test_times_of_a_training_are_within_a_factor_of_two(
    clock: Clock, made: Callable[[Clock], Training], first_epoch: int
) -> None:
    found = made(clock).run(first_epoch)
    assert found or first_epoch == 3  # what ends after two epochs may say nothing
    for told, true in found:
        assert true / 2 <= told <= 2 * true


def test_a_long_first_epoch_tells_the_time_before_it_ends(clock: Clock) -> None:
    training = Training(clock, 8, steps=1000, step=0.5, validation=100.0)
    training.run()
    within = [line for line, _ in training.said if line.startswith("epoch 1, step")]
    assert within[0] == "epoch 1, step 1 of 1000: loss 0.5000, 1 examples/s"
    assert within[1].startswith("epoch 1, step 62 of 1000: loss 0.5000, 33 examples/s, about 66 min left")
    assert training.said[-1][0] == "epoch 8 of 8: loss 0.5, 100 examples/s"
