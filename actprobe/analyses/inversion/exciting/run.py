"""`excite`: the inputs that excite neurons most, beside the excerpts of a corpus that do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from actprobe.analyses.inversion.exciting.neuron import COLUMNS, Exciter, Way
from actprobe.analyses.inversion.exciting.result import ExcitationResult
from actprobe.analyses.inversion.exciting.settings import ASCENT, LATENT, METHODS, ExcitationSettings
from actprobe.analyses.inversion.exciting.sounds import Facts, save_sounds
from actprobe.analyses.inversion.exciting.survey import INPUT, Survey, SurveyJob, merge_survey
from actprobe.analyses.inversion.networks.sources import (
    InverterSources,
    find_sources,
    open_sources,
    recorded,
)
from actprobe.batch.executors import DEFAULT, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.opening import chosen_names, corpus_or_phantom, head_start, output_folder
from actprobe.batch.progress import Progress
from actprobe.batch.shards import Shard, ShardStore, read_shard, write_shard
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.folder import plain_name
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.models.target import Target, read_target
from actprobe.plotting import save_figure
from actprobe.provenance import digest, run_record, write_csv, write_json, write_npz

FORMAT = 1  # raise when shards of before must be computed again


def excite(
    model: Model | ModelSource,
    neurons: Sequence[str],
    corpus: CorpusLike | None = None,
    *,
    methods: Sequence[str] = (ASCENT,),
    steps: int = 256,
    time_weight: float = 50.0,
    mel_weight: float = 50.0,
    jitter_frames: int = 3,
    start: str = "mean",
    inverters: InverterSources = None,
    sound: bool = True,
    seed: int = 0,
    output_dir: str | Path,
) -> ExcitationResult:
    """Search for the inputs that excite neurons most, beside the excerpts of a corpus that do.

    The search is within what recordings reach, in each band from the 1st percentile of half of them to the
    highest 99th percentile. Beside each excited input are the excerpt of the corpus with the highest value,
    and the control: what the same search finds in the network with random weights.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`; its gradients are needed.
    neurons : sequence of str
        ``LAYER/UNIT``, of a map a channel, averaged over the map; or labels of outputs.
    corpus : str, Path, list, pandas.DataFrame or Corpus, optional
        What `actprobe.open_corpus` takes; by default the phantom corpus.
    methods : sequence of str, optional
        ``ascent``: gradient ascent to the input. ``latent``: to the features that an inverter turns into the
        input, which keeps it closer to recordings (Nguyen et al., NIPS 2016).
    steps : int, optional
        Steps of Adam.
    time_weight, mel_weight : float, optional
        Weights of the total variation along time and mel, the mean squared difference of neighbours as shares
        of the range. With 50 the inputs vary about as much as recordings; with 0 everything is allowed.
    jitter_frames : int, optional
        Each step sees the input shifted in time by so many frames at most.
    start : str, optional
        ``mean``: the mean excerpt; ``noise``: uniform between the bounds.
    inverters : str, Path, Inverter or list of these, optional
        Of ``latent``, as of `actprobe.invert`; each is a row. By default, of the catalog's inverters for the
        network's weights, that of the last layer with a time axis.
    sound : bool, optional
        Whether wav files are written.
    seed : int, optional
        Of noise, shifts and the estimated phase of sounds.
    output_dir : str or Path
        Gets excited.csv, excited.npz, figures, sounds, recordings.csv and run.json.

    Returns
    -------
    ExcitationResult
        ``table``, ``inputs``, ``sounds`` and ``plot(neuron)``.

    Raises
    ------
    UsageError
        No such neuron, method, start or inverter; a network without gradients or front end; a neuron that
        does not change with the input.
    CorpusError
        The corpus cannot be read, or no recording could be used.
    WeightsError
        An inverter that was refused.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.excite(model, ["mp3/9"], "FOLDER", steps=8, output_dir="EXCITED")
    >>> found.table["method"].tolist()
    ['ascent']
    """
    began = time.time()
    settings = ExcitationSettings(
        steps=steps, time_weight=time_weight, mel_weight=mel_weight, jitter_frames=jitter_frames, start=start,
        seed=seed,
    )  # fmt: skip
    methods = chosen_names("method", methods, METHODS)
    if inverters and LATENT not in methods:
        raise UsageError(f"inverters are of the method {LATENT}, which is not asked for")
    targets = _targets(model, neurons)
    if inverters:
        find_sources(model, inverters)
    folder = output_folder(output_dir)
    recordings = corpus_or_phantom(corpus, model, folder)
    head_start(DEFAULT, len(recordings), SurveyJob.__module__)
    network = model.open()
    ways, described = _ways(network, methods, inverters)
    logging.info(
        "%s, %d neurons, %d recordings of %s", network, len(targets), len(recordings), recordings.source
    )
    spaces = tuple(dict.fromkeys(way.space for way in ways if way.space))
    job = SurveyJob(ModelHandle(network), targets, spaces)
    decides = made_by(network, neurons=[str(target) for target in targets], spaces=spaces, format=FORMAT)
    store = ShardStore(folder / "shards", run_key(decides, network.weights))
    rows = run_job(job, recordings, store, DEFAULT, least_seconds=network.example_seconds)
    write_csv(folder / "recordings.csv", ledger_frame(rows, ()))
    usable = usable_recordings(recordings, rows, recordings.source)
    survey = merge_survey(store, usable, spaces)
    (random_seed,) = network.control_seeds(1)
    exciter = Exciter(network, network.with_random_weights(random_seed), ways, settings, survey)
    state = digest([asdict(settings), described, random_seed, [store.state(each) for each in usable]])
    done = _Finished(store.directory, state)
    for target in targets:
        if done.load(target) is None:
            exciter.check(target)
    shards = {}
    with Progress(len(targets), "neurons") as progress:
        for i, target in enumerate(targets):
            shards[str(target)] = done.load(target) or done.save(target, exciter.excite(i, target))
            progress.advance()
    arguments = {
        "neurons": list(neurons), "corpus": recordings.source, "methods": methods, "steps": steps,
        "time_weight": time_weight, "mel_weight": mel_weight, "jitter_frames": jitter_frames, "start": start,
        "inverters": described, "sound": sound, "seed": seed, "output_dir": str(folder),
    }  # fmt: skip
    record = {
        **decides, **network_record(network), "corpus": recordings.source, "mono": recordings.mono,
        "recordings": len(rows), "failed": len(rows) - len(usable), "ways": [way.name for way in ways],
        "inverters": described, "settings": asdict(settings), "random_seed": random_seed,
        "unit": network.frontend.unit,
    }  # fmt: skip
    record["sounds"] = _sounds(folder / "sounds", network, shards, record["ways"], seed) if sound else {}
    write_npz(folder / "excited.npz", _arrays(network, survey, shards))
    listed = [row for shard in shards.values() for row in shard.facts["rows"]]
    write_csv(folder / "excited.csv", pd.DataFrame(listed, columns=list(COLUMNS)))
    write_json(folder / "run.json", run_record("excite", began, arguments, record))
    found = ExcitationResult.load(folder)
    for neuron in found.neurons:
        save_figure(found.plot(neuron), folder / "figures" / f"{neuron.replace('/', '-')}.png")
    return found


def _targets(model: Model | ModelSource, neurons: Sequence[str]) -> tuple[Target, ...]:
    """Read the neurons, and refuse a network that cannot be excited."""
    if isinstance(neurons, str) or not neurons:
        raise UsageError(f"neurons={neurons!r}: give a list of LAYER/UNIT or labels of outputs")
    if isinstance(model, Model) and not model.has_gradients:
        raise UsageError(
            f"{model.name} is {model.what}, whose gradients are not available: no input can be searched for; "
            f"its best excerpts are in the playlists of actprobe-neurons"
        )
    if not model.frontend.known:
        raise UsageError(
            f"{model.name} was wrapped without a front end, so what recordings reach is not known: "
            f"wrap_model(..., frontend=...)"
        )
    targets = tuple(read_target(model, neuron) for neuron in neurons)
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(f"neuron {target} is named more than once")
    return targets


def _ways(
    model: Model, methods: Sequence[str], inverters: InverterSources
) -> tuple[list[Way], list[dict[str, Any]]]:
    """Open what is asked for, in order, and describe the inverters for run.json."""
    ways: list[Way] = []
    described = []
    for method in methods:
        if method == ASCENT:
            ways.append(Way())
            continue
        sources = find_sources(model, inverters)
        if not inverters:
            maps = [source for source in sources if model.layers[source.layer].is_map]
            sources = (maps or sources)[-1:]
        for source, inverter in open_sources(model, sources, None):
            ways.append(Way(inverter))
            described.append(recorded(source, inverter))
    return ways, described


@dataclass(frozen=True)
class _Finished:
    """The neurons that are finished, a shard each beside those of the recordings."""

    folder: Path
    state: str

    def _path(self, target: Target) -> Path:
        return self.folder / f"neuron-{plain_name(str(target))}-{digest(str(target))}.npz"

    def load(self, target: Target) -> Shard | None:
        shard = read_shard(self._path(target))
        return shard if shard is not None and shard.facts["state"] == self.state else None

    def save(self, target: Target, shard: Shard) -> Shard:
        write_shard(self._path(target), Shard({**shard.facts, "state": self.state}, shard.arrays))
        return shard


def _arrays(model: Model, survey: Survey, shards: dict[str, Shard]) -> dict[str, Any]:
    """Give what excited.npz holds, see `ExcitationResult.arrays`."""
    frontend, reach = model.frontend, survey.reach[INPUT]
    frames = frontend.first_frame + np.arange(frontend.example_shape[0]) * frontend.frame_hop
    of_neurons = {
        f"{neuron}/{name}": array
        for neuron, shard in shards.items()
        for name, array in shard.arrays.items()
        if name != "best_samples"
    }
    return {
        **of_neurons,
        "low": reach.low,
        "high": reach.high,
        "times": frames / frontend.sample_rate,
        "bands_hz": frontend.band_edges_hz()[1:-1],
    }


def _sounds(
    folder: Path, model: Model, shards: dict[str, Shard], ways: Sequence[str], seed: int
) -> dict[str, Facts]:
    """Write the sounds of all neurons; none, with one warning, where the front end has no sound."""
    try:
        return {
            neuron: save_sounds(folder, neuron, model.frontend, shard.arrays, ways, seed)
            for neuron, shard in shards.items()
        }
    except UsageError as error:
        logging.warning("no sounds: %s", error)
        return {}
