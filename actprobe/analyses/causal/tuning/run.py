"""`tune`: how neurons respond when one thing changes and everything else stays."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import logging

from actprobe.analyses.causal.tuning.factors import Doses, DosesLike, Factor, chosen_factors
from actprobe.analyses.causal.tuning.figures import curve_figure, most_tuned, share_figure
from actprobe.analyses.causal.tuning.job import SHORTEST_SECONDS, StimulusSet, TuningJob
from actprobe.analyses.causal.tuning.result import TuningResult
from actprobe.analyses.causal.tuning.tables import Floats, Tables, responses_of, tuning_tables
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.opening import head_start, output_folder
from actprobe.batch.shards import ShardStore
from actprobe.batch.tables import write_parquet
from actprobe.corpora import Recording, open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.plotting import save_figure
from actprobe.provenance import run_record, write_csv, write_json

FORMAT = 1  # raise when shards of before must be computed again


def tune(
    model: Model | ModelSource,
    *,
    layers: Sequence[str],
    factors: Sequence[str],
    corpus: CorpusLike | None = None,
    doses: DosesLike = None,
    variants: int = 8,
    excerpts: int = 4,
    random_seeds: int = 1,
    permutations: int = 1000,
    seed: int = 0,
    executor: str = DEFAULT,
    batch_size: int | None = None,
    output_dir: str | Path,
) -> TuningResult:
    """Measure tuning curves: the response of every neuron to doses of one factor, everything else as it was.

    A factor is a stimulus, synthesized from a seed in several variants, or an intervention on recordings of
    yours, where a dose of 0 is the recording itself. A neuron's response is its mean over examples that lie
    wholly inside the sound. A killed run goes on where it was when it is called again.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`; it may be PyTorch's.
    layers : sequence of str
        Names of layers, see ``model.layers``; or ``all``: every layer but pre-activations.
    factors : sequence of str
        Stimuli: level, pitch, sung_pitch, onset_rate, tempo, harmonic_ratio, bandwidth, centroid,
        modulation_rate, modulation_depth, vibrato_rate, vibrato_depth, snr, polyphony, voice_level.
        Interventions: gain, pitch_shift, time_stretch, low_pass, high_pass, harmonic_remix, added_noise,
        voice_to_accompaniment. Or ``all``: every stimulus and, with a corpus, every intervention.
    corpus : str, Path, list, pandas.DataFrame or Corpus, optional
        What `actprobe.open_corpus` takes: the recordings that interventions change.
    doses : mapping or sequence of float, optional
        Factor -> doses, ascending; or the doses where there is one factor.
    variants : int, optional
        Variants of each stimulus: other timbre, base pitch, phases and noise.
    excerpts : int, optional
        Excerpts of each recording, spread evenly; of a stimulus, which is as long as an example and at least
        1 s, so many at most.
    random_seeds : int, optional
        Controls: the same network with as many sets of random weights; 0 leaves ``random`` empty.
    permutations : int, optional
        Permutations of the doses within each variant behind p and q; 0 leaves them empty.
    seed : int, optional
        Seed of stimuli, noise, permutations and intervals.
    executor : str, optional
        As for `actprobe.neurons`.
    batch_size : int, optional
        Examples that go through the network together; by default ``model.batch_size``.
    output_dir : str or Path
        Gets tuning.csv, tuning_curves.parquet, tuning_layers.csv, recordings.csv, run.json and the folders
        figures and shards.

    Returns
    -------
    TuningResult
        ``table``, ``curves``, ``layers``, ``tuned``, ``recordings``, ``plot()`` and
        ``plot("LAYER/12", "level")``.

    Raises
    ------
    UsageError
        A layer, factor or executor that does not exist; doses out of range; an intervention without a
        corpus; a number out of range; stored activations, which cannot respond to anything new.
    CorpusError
        The corpus cannot be read, or nothing could be used; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.tune(
    ...     model, layers=["fc8"], factors=["level", "pitch"], variants=3, output_dir="TUNING"
    ... )
    >>> found.layers[["layer", "factor"]].shape
    (2, 2)
    >>> curve = found.plot("fc8/12", "level")
    """
    began = time.time()
    chosen = [layer.name for layer in model.layers.select(layers)]
    if not model.computes:
        raise UsageError("stored activations cannot be tuned: new sounds need the network itself")
    wanted = chosen_factors(factors, doses, model.frontend.sample_rate, corpus=corpus is not None)
    numbers = {
        "variants": variants,
        "excerpts": excerpts,
        "batch_size": 1 if batch_size is None else batch_size,
    }
    lowest = {**dict.fromkeys(numbers, 1), "random_seeds": 0, "permutations": 0, "seed": 0}
    numbers |= {"random_seeds": random_seeds, "permutations": permutations, "seed": seed}
    for name, number in numbers.items():
        if number < lowest[name]:
            raise UsageError(f"{name}={number}: at least {lowest[name]}")
    parse_executor(executor)
    sets = _stimuli(wanted, variants)
    source, changed = _recordings(wanted, corpus)
    recordings = [*sets, *changed]
    folder = output_folder(output_dir)
    head_start(executor, len(recordings), TuningJob.__module__)
    network = model.open()
    logging.info("%s: %d variants and recordings, %d factors", network, len(recordings), len(wanted))
    by_name = {factor.name: chosen_doses for factor, chosen_doses in wanted.items()}
    decides = made_by(
        network, layers=chosen, doses=by_name, excerpts=excerpts, seed=seed,
        random_weights=network.control_seeds(random_seeds), format=FORMAT,
    )  # fmt: skip
    key = run_key(decides, network.weights)
    store = ShardStore(folder / "shards", key)
    settings = (tuple(chosen), by_name, excerpts, seed, tuple(decides["random_weights"]), batch_size)
    least = max(network.example_seconds, SHORTEST_SECONDS)
    job = TuningJob(ModelHandle(network), *settings)
    rows = run_job(job, sets, store, executor, what="variants", least_seconds=least)
    rows += run_job(job, changed, store, executor)
    write_csv(folder / "recordings.csv", ledger_frame(rows, ()))
    usable = usable_recordings(recordings, rows, source)
    found = _found(store, usable, wanted, chosen, 1 + random_seeds, source)
    tables = tuning_tables(found, wanted, chosen, permutations=permutations, seed=seed)
    title = _title(network.name, wanted, usable, variants)
    _draw(folder / "figures", tables, network.name, title)
    write_csv(folder / "tuning_layers.csv", tables.layers)
    write_parquet(folder / "tuning_curves.parquet", tables.curves, key)
    write_csv(folder / "tuning.csv", tables.neurons)
    arguments = {
        "corpus": source if corpus is not None else None, "layers": chosen, "factors": list(by_name),
        "doses": by_name, "variants": variants, "excerpts": excerpts, "random_seeds": random_seeds,
        "permutations": permutations, "seed": seed, "executor": executor, "batch_size": batch_size,
        "output_dir": str(folder),
    }  # fmt: skip
    record = {
        **decides, **network_record(network), "title": title, "run_key": key, "corpus": source,
        "variants": variants, "permutations": permutations, "recordings": len(rows),
        "failed": len(rows) - len(usable),
        "features": {factor.name: factor.feature for factor in found},
        "factors": {
            factor.name: {"unit": factor.unit, "changes": factor.changes, "log": factor.log}
            for factor in found
        },
    }  # fmt: skip
    write_json(folder / "run.json", run_record("tune", began, arguments, record))
    return TuningResult.load(folder)


def _stimuli(factors: Mapping[Factor, Doses], variants: int) -> list[StimulusSet]:
    return [
        StimulusSet.of(factor.name, variant)
        for factor in factors
        if factor.stimulus is not None
        for variant in range(variants)
    ]


def _recordings(
    factors: Mapping[Factor, Doses], corpus: CorpusLike | None
) -> tuple[str, Sequence[Recording]]:
    """Open the recordings where there are interventions; first what messages call their source."""
    if not any(factor.intervention for factor in factors):
        if corpus is not None:
            logging.warning("no factor changes recordings: the corpus is not used")
        return "stimuli", ()
    assert corpus is not None  # `chosen_factors` refuses interventions without one
    opened = open_corpus(corpus)
    return opened.source, opened


def _found(
    store: ShardStore,
    recordings: Sequence[Recording],
    factors: Mapping[Factor, Doses],
    layers: Sequence[str],
    networks: int,
    source: str,
) -> dict[Factor, dict[str, list[Floats]]]:
    """Read the responses of each factor; CorpusError where no recording has any."""
    found = {}
    for factor in factors:
        responses = responses_of(store, recordings, factor.name, layers, networks)
        if responses:
            found[factor] = responses
        else:
            logging.warning("%s: no recording could be changed so, see recordings.csv", factor.name)
    if not found:
        raise CorpusError(source, "no recording could be changed by any factor")
    return found


def _title(name: str, factors: Mapping[Factor, Doses], usable: Sequence[Recording], variants: int) -> str:
    told = []
    if any(factor.stimulus for factor in factors):
        told.append(f"{variants} variants of each stimulus")
    if count := sum(not isinstance(each, StimulusSet) for each in usable):
        told.append(f"{count} recordings")
    return f"{name}: {', '.join(told)}"


def _draw(folder: Path, tables: Tables, name: str, title: str) -> None:
    save_figure(share_figure(tables.layers, title), folder / "layers.png")
    for factor in dict.fromkeys(tables.neurons["factor"]):
        shown = most_tuned(tables.neurons, factor)
        if len(shown):
            told = f"{name}: the most tuned neuron of each layer, {factor.replace('_', ' ')}"
            save_figure(curve_figure(shown, tables.curves, factor, told), folder / f"{factor}.png")
