"""Two neuron runs over the same recordings: which unit of one carries what a unit of the other carries."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.neurons.figures import cka_figure
from actprobe.analyses.neurons.found import Comparison
from actprobe.analyses.neurons.merged import Merged, open_merged
from actprobe.analyses.neurons.result import ComparisonResult, NeuronResult
from actprobe.analyses.neurons.summary import comparison_summary
from actprobe.batch.opening import output_folder
from actprobe.errors import CorpusError
from actprobe.plotting import save_figure
from actprobe.provenance import run_record, write_csv, write_json
from actprobe.statistics.alignment import align_units
from actprobe.statistics.cka import cka_table

ENOUGH = 4  # recordings below which nothing can be said


def compare(
    run_a: str | Path | NeuronResult,
    run_b: str | Path | NeuronResult,
    *,
    output_dir: str | Path,
    permutations: int = 200,
    seed: int = 0,
) -> ComparisonResult:
    """Compare what two neuron runs found in the recordings that both have.

    Recordings are matched by their name in the corpus; units that are excerpts are averaged over their
    recording first, so that runs of networks with examples of different length can be compared.

    Parameters
    ----------
    run_a, run_b : str, Path or NeuronResult
        Two finished runs, or their folders: of the same network with other weights, or of two networks.
    output_dir : str or Path
        Gets alignment.csv, cka.csv, figures/cka.png and run.json.
    permutations : int, optional
        Permutations of the recordings behind the p-value of a partner; 0 leaves it empty.
    seed : int, optional
        Seed of the permutations.

    Returns
    -------
    ComparisonResult
        ``table`` is alignment.csv: for every unit of A the unit of B that follows it best. ``cka``: how alike
        the layers are.

    Raises
    ------
    CorpusError
        A folder without a finished run, or fewer than 4 recordings in common.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.compare("NEURONS", "NEURONS_RANDOM", output_dir="COMPARED")
    >>> found.cka[["layer_a", "layer_b"]].iloc[0].tolist()
    ['fc8', 'fc8']
    """
    began = time.time()
    dir_a, dir_b = (run.folder if isinstance(run, NeuronResult) else Path(run) for run in (run_a, run_b))
    folder = Path(output_dir)
    found = compare_runs(dir_a, dir_b, folder, permutations=permutations, seed=seed)
    save_figure(cka_figure(found), folder / "figures" / "cka.png")
    runs = {"compared": [str(run.absolute()) for run in (dir_a, dir_b)]}
    arguments = {**runs, "output_dir": str(folder), "permutations": permutations, "seed": seed}
    record = run_record("compare", began, arguments, runs)
    write_json(folder / "run.json", {**record, **comparison_summary(found).counts})
    return ComparisonResult.load(folder)


def compare_runs(
    dir_a: Path, dir_b: Path, output_dir: Path, *, permutations: int = 200, seed: int = 0
) -> Comparison:
    """Align and compare two finished runs; the folder gets alignment.csv and cka.csv."""
    runs = open_merged(dir_a), open_merged(dir_b)
    one, other = (list(dict.fromkeys(run.units["path"])) for run in runs)
    shared = set(one) & set(other)
    common = [path for path in one if path in shared]
    if len(common) < ENOUGH:
        raise CorpusError(
            dir_b, f"has {len(common)} recordings in common with {dir_a}; {ENOUGH} are needed to compare"
        )
    output_folder(output_dir)
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
