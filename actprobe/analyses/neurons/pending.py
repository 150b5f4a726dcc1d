"""A recording on its way through the networks of a neuron run: what is known of its neurons so far.

An example with NaN or infinity, in what the front end gave or in any layer of the network or a control, is
left out of all layers alike, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.batch.prepare import Prepared
from actprobe.batch.shards import Shard
from actprobe.corpora import Recording


class Tally:
    """What is known of one layer's neurons over the examples of one recording."""

    def __init__(self, *, extremes: bool, each: bool) -> None:
        self.count = 0
        self.total: Any = 0.0
        self.rows: list[NDArray[np.float32]] | None = [] if each else None
        self.ends: dict[str, Any] | None = {} if extremes else None

    def add(self, rows: NDArray[Any]) -> None:
        """Add the neurons' values in some consecutive examples, shape [examples, neurons]."""
        if not len(rows):
            return
        if self.ends is not None:
            self._compare(np.asarray(rows, np.float32))
        if self.rows is not None:
            self.rows.append(np.array(rows, np.float32))
        if len(rows) == 1:
            self.total = self.total + rows[0].astype(np.float64)
        else:
            self.total = self.total + rows.sum(axis=0, dtype=np.float64)
        self.count += len(rows)

    def _compare(self, rows: NDArray[np.float32]) -> None:
        columns = np.arange(rows.shape[1])
        for name, found, better in (
            ("max", rows.argmax(axis=0), np.greater),
            ("min", rows.argmin(axis=0), np.less),
        ):
            values, places = rows[found, columns], (found + self.count).astype(np.int32)
            if self.count:
                use = better(values, self.ends[name])  # type: ignore[index]
                values = np.where(use, values, self.ends[name])  # type: ignore[index]
                places = np.where(use, places, self.ends[f"{name}_at"])  # type: ignore[index]
            self.ends[name], self.ends[f"{name}_at"] = values, places  # type: ignore[index]

    def arrays(self, network: str, layer: str) -> dict[str, NDArray[Any]]:
        """Name what goes into the shard."""
        found = {f"{network}/{layer}": self.total / self.count}
        for name, values in (self.ends or {}).items():
            found[f"{name}/{layer}"] = values
        if self.rows is not None:
            found[f"each_{network}/{layer}"] = np.concatenate(self.rows)
        return found


class Pending:
    """A recording whose examples are on their way through the networks.

    ``usable`` [examples] are finite; ``each``: whether the shard keeps the neurons' values in every example.
    """

    def __init__(
        self,
        recording: Recording,
        prepared: Prepared,
        usable: NDArray[np.bool_],
        networks: Sequence[str],
        layers: Sequence[str],
        *,
        each: bool,
    ) -> None:
        self.recording = recording
        self.prepared = prepared
        self.usable = usable
        self.done = 0
        self.faults: dict[str, _Fault] = {}
        self.tallies = {
            (network, layer): Tally(extremes=network == "mean", each=each)
            for network in networks
            for layer in layers
        }

    def add(self, rows: Mapping[tuple[str, str], NDArray[Any]]) -> None:
        """Add the neurons' values in the examples that come next, by network and layer."""
        count = len(next(iter(rows.values())))
        usable = self.usable[self.done : self.done + count]
        for (network, layer), values in rows.items():
            bad = usable & ~np.isfinite(values).all(axis=1)
            if bad.any():
                place = layer if network == "mean" else f"{layer} with random weights"
                self.note(place, int(bad.sum()), values[bad])
                usable &= ~bad
        for key, values in rows.items():
            self.tallies[key].add(values if usable.all() else values[usable])
        self.done += count

    def note(self, place: str, examples: int, values: NDArray[Any]) -> None:
        """Enter examples that cannot be used under the first place that is not finite, with its values."""
        fault = self.faults.setdefault(place, _Fault())
        fault.examples += examples
        fault.nan |= bool(np.isnan(values).any())
        fault.infinite |= bool(np.isinf(values).any())

    @property
    def complaint(self) -> str:
        """Say where examples are not finite."""
        total = len(self.usable)
        return " and ".join(f"{place} is {fault.told(total)}" for place, fault in self.faults.items())

    def leave_out(self) -> None:
        """Leave the examples out that are not finite, with a warning."""
        left_out = int((~self.usable).sum())
        if left_out:
            warning = f"{self.complaint}, which {'is' if left_out == 1 else 'are'} left out"
            self.prepared = self.prepared.keep(self.usable, warning)

    def shard(self) -> Shard:
        """Put together what is kept of the recording."""
        arrays: dict[str, NDArray[Any]] = {"starts": self.prepared.starts}
        for name, values in self.prepared.by_example.items():
            arrays[f"feature/{name}"] = values
        for (network, layer), tally in self.tallies.items():
            arrays |= tally.arrays(network, layer)
        return Shard(self.prepared.row.facts(), arrays)


@dataclass
class _Fault:
    """How many examples are not finite somewhere, and what they hold."""

    examples: int = 0
    nan: bool = False
    infinite: bool = False

    def told(self, total: int) -> str:
        """Say it in words, of so many examples."""
        what = " or ".join(word for word, there in (("NaN", self.nan), ("infinite", self.infinite)) if there)
        if self.examples < total:
            return f"{what} in {self.examples} of {total} examples"
        return f"{what} in {f'all {total} examples' if total > 1 else 'its only example'}"
