"""Two neuron runs over the same recordings: which unit of one carries what a unit of the other carries."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.neurons.merged import Merged, open_merged
from actprobe.errors import CorpusError
from actprobe.provenance import write_csv
from actprobe.statistics.alignment import align_units
from actprobe.statistics.cka import cka_table

__all__ = ["Comparison", "compare_runs"]

ENOUGH = 4  # recordings below which nothing can be said


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common.

    Parameters
    ----------
    names : tuple of str
        What to call A and B: the network and the folder of the run.
    alignment : pandas.DataFrame
        alignment.csv: for every neuron of every layer of A its partner in each layer of B. Columns model_a,
        layer_a, neuron_a, model_b, and those of `actprobe.statistics.ALIGNMENT_COLUMNS`.
    cka : pandas.DataFrame
        cka.csv: linear CKA of every layer of A with every layer of B, both estimates.
    recordings : int
        Recordings that both have.
    only_a, only_b : list of str
        Recordings that the other run does not have, or could not use.
    """

    names: tuple[str, str]
    alignment: pd.DataFrame
    cka: pd.DataFrame
    recordings: int
    only_a: list[str]
    only_b: list[str]


def compare_runs(
    dir_a: Path, dir_b: Path, output_dir: Path, *, permutations: int = 200, seed: int = 0
) -> Comparison:
    """Compare what two neuron runs found in the recordings that both have.

    Recordings are matched by their name in the corpus; units that are excerpts are averaged over their
    recording first, so that runs of networks with examples of different length can be compared.

    Parameters
    ----------
    dir_a, dir_b : Path
        ``--output_dir`` of two finished runs: of the same network with other weights, or of two networks.
    output_dir : Path
        Gets alignment.csv and cka.csv.
    permutations : int, optional
        Permutations of the recordings behind the chance level of a partner.
    seed : int, optional
        Seed of the permutations.

    Returns
    -------
    Comparison
        The tables, and which recordings could not be matched.

    Raises
    ------
    CorpusError
        A folder without a finished run, or fewer than 4 recordings in common.
    """
    runs = open_merged(dir_a), open_merged(dir_b)
    one, other = (list(dict.fromkeys(run.units["path"])) for run in runs)
    shared = set(one) & set(other)
    common = [path for path in one if path in shared]
    if len(common) < ENOUGH:
        raise CorpusError(
            dir_b, f"has {len(common)} recordings in common with {dir_a}; {ENOUGH} are needed to compare"
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".compare.") as scratch:
        a, b = (_rows(run, common, Path(scratch), side) for run, side in zip(runs, "ab", strict=True))
        layers = cka_table(a, b)
        pairs = []
        for layer_a, x in a.items():
            for layer_b, y in b.items():
                sizes = x.shape[1], layer_a, y.shape[1], layer_b
                logging.info("aligning %d neurons of %s with %d of %s", *sizes)
                found = align_units(
                    x, y, layer_a=layer_a, layer_b=layer_b, permutations=permutations, seed=seed
                )
                pairs.append(found)
    units = pd.concat(pairs, ignore_index=True)
    for frame in (units, layers):
        frame.insert(0, "model_a", runs[0].model)
        frame.insert(list(frame.columns).index("layer_b"), "model_b", runs[1].model)
    for name, frame in (("alignment.csv", units), ("cka.csv", layers)):
        write_csv(output_dir / name, frame)
    return Comparison(
        names=(f"{runs[0].model}, {dir_a.name}", f"{runs[1].model}, {dir_b.name}"),
        alignment=units,
        cka=layers,
        recordings=len(common),
        only_a=[path for path in one if path not in shared],
        only_b=[path for path in other if path not in shared],
    )


def _rows(run: Merged, paths: list[str], scratch: Path, side: str) -> dict[str, NDArray[Any]]:
    """Layer -> [recordings, neurons] in the order of some paths, memory-mapped."""
    units = pd.DataFrame({"path": run.units["path"], "row": np.arange(len(run.units))})
    by_path = units.groupby("path", sort=False)["row"].agg(["min", "max"]).loc[paths]
    firsts, ends = by_path["min"].to_numpy(), by_path["max"].to_numpy() + 1
    found = {}
    for number, (layer, activity) in enumerate(run.activity.items()):
        if np.array_equal(firsts, np.arange(len(activity))):
            found[layer] = activity
            continue
        shape = (len(paths), activity.shape[1])
        file = scratch / f"{side}{number}.npy"
        rows = np.lib.format.open_memmap(file, "w+", np.float64, shape)  # type: ignore[no-untyped-call]
        for i, (first, end) in enumerate(zip(firsts, ends, strict=True)):
            rows[i] = activity[first:end].mean(axis=0, dtype=np.float64)
        found[layer] = rows
    return found
