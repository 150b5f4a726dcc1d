"""`train_inverter`: a feature inverter, trained on the recordings of a corpus, in a folder with its card."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from actprobe.analyses.inversion.training.losses import Objective
from actprobe.analyses.inversion.training.result import TrainingResult
from actprobe.analyses.inversion.training.store import frames_in
from actprobe.analyses.inversion.training.task import Comparator, Task, choose_comparator
from actprobe.analyses.inversion.training.training import run_task
from actprobe.batch.identity import made_by
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.further import open_further
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.corpora.splits import hold_out
from actprobe.errors import CorpusError, UsageError
from actprobe.models.model import Model
from actprobe.models.source import ModelSource
from actprobe.provenance import run_record, write_json
from actprobe.training.device import (
    distribution,
    set_up_devices,
)
from actprobe.training.history import plain_command
from actprobe.training.mixed import mixed_recordings
from actprobe.training.mixer import FOR_INVERTERS, Mixer
from actprobe.training.settings import Settings
from actprobe.training.sounds import SoundStore


def train_inverter(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    layer: str,
    output_dir: str | Path,
    loss: str = "joint",
    distance: str = "squared",
    comparator: str | Comparator | None = None,
    comparator_checkpoint: str | Path | None = None,
    valid: CorpusLike | None = None,
    songs: CorpusLike | None = None,
    songs_match: str = "*",
    voiceless: Sequence[str | Path] = (),
    voices: Sequence[str | Path] = (),
    phantom: int = 0,
    mixes: int = 0,
    mix_seconds: float = 4.0,
    input_weight: float = 1.0,
    feature_weight: float = 1.0,
    l2: float | None = None,
    adversarial_weight: float = 0.0,
    ending: str | None = None,
    architecture: str = "published",
    excerpt_hop: int = 10,
    epochs: int = 30,
    steps_per_epoch: int | None = None,
    max_minutes: float | None = None,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    schedule: str = "published",
    validation_excerpts: int | None = 2048,
    precision: str = "float32",
    seed: int = 0,
    jit_compile: bool = False,
    average: float = 0.0,
    file_dtype: str = "float32",
    cache_dir: str | Path | None = None,
    cache_gb: float = 8.0,
    strategy: str = "auto",
    device: str = "auto",
    memory_limit_mb: int | None = None,
    threads: int = 0,
) -> TrainingResult:
    """Train a network that turns the features of a layer back into the excerpt.

    A killed training goes on where it was when it is called again, and ends as it would have.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes. Recordings of its split ``train`` are trained on, those of
        ``valid`` choose the epoch; one whose split is not known is for training. Where none is for
        validation, about a tenth is held out: whole recordings, those of one singer, artist or song together.
    layer : str
        Layer whose features are inverted.
    output_dir : str or Path
        Gets NETWORK-inverter-LAYER.npz (of the epoch best on validation), README.md (the card), metrics.json,
        history.json, training.json, run.json and the folders backup, logs and cache.
    loss : str, optional
        ``joint`` (the squared error of the excerpt and of its features at the comparator, means), ``eq3``
        (the sums of the paper's equation 3), ``input`` (the excerpt alone), ``balanced`` (each term divided
        by its variance) or ``released`` (as the authors' program ran).
    distance : str, optional
        ``squared``, as published, or ``euclidean``: ``joint``, ``input`` and ``balanced`` then take the mean
        of the examples' root mean square errors, which the NRE measures.
    comparator : str or tuple, optional
        What inversions are compared by: a layer of the network, ``"MODEL:LAYER"``, or a pair of a model and
        its layer; by default ``model.default_comparator``.
    comparator_checkpoint : str or Path, optional
        Weights of another comparator that is named.
    valid : str, Path, list, pandas.DataFrame or Corpus, optional
        Recordings that choose the epoch, instead of those of the corpus.
    songs : str, Path, list, pandas.DataFrame or Corpus, optional
        Further recordings, by their splits.
    songs_match : str, optional
        Names of ``songs`` that count, as a shell pattern.
    voiceless, voices : sequence of str or Path, optional
        Folders of recordings without singing, and of a voice alone.
    phantom : int, optional
        Synthetic recordings, see `actprobe.write_phantom`, that are added.
    mixes : int, optional
        How many mixes of the recordings are trained on in their place: 60 % as recorded, the others any voice
        over any accompaniment, each varied in tempo, pitch, timbre and level
        (`actprobe.training.mixer.FOR_INVERTERS`). 0 for none.
    mix_seconds : float, optional
        How long a mix is; at least an example.
    input_weight, feature_weight : float, optional
        Factors of the two terms of the loss.
    l2 : float, optional
        Factor of the squared weights; by default 1e-4, ``balanced`` 1e-6.
    adversarial_weight : float, optional
        Factor of an adversarial term.
    ending : str, optional
        ``elu``, which cuts at -1, or ``linear``; by default as published inverters end, else linear.
    architecture : str, optional
        ``published``: the published inverter where there is one; ``designed``: one designed from the shapes;
        ``wide``: the same with twice the channels.
    excerpt_hop : int, optional
        Frames between excerpts.
    epochs, steps_per_epoch : int, optional
        How long; None for a pass over all excerpts.
    max_minutes : float, optional
        Begin no epoch that would end later.
    batch_size : int, optional
        Excerpts in a step.
    learning_rate : float, optional
        Of Adam, in the first epoch.
    schedule : str, optional
        How the rate falls: ``published``, ``cosine``, ``exponential`` or ``constant``.
    validation_excerpts : int, optional
        Excerpts that an epoch is judged by; None for all.
    precision : str, optional
        ``float32``, or ``mixed_bfloat16``, which is faster where the processor has it.
    seed : int, optional
        Seed of weights, order, and of the recordings that are held out.
    jit_compile : bool, optional
        Whether the step is compiled with XLA.
    average : float, optional
        What the moving average of the weights keeps in every step, such as 0.999. The average is judged and
        kept; 0 takes the weights as they are.
    file_dtype : str, optional
        ``float32``, or ``float16`` for a file half as large; an epoch is judged before the rounding.
    cache_dir : str or Path, optional
        Folder for frames and features, which trainings may share; by default in ``output_dir``.
    cache_gb : float, optional
        Features of a layer that take more are computed again in every step; 0 keeps none.
    strategy : str, optional
        ``mirrored`` (all GPUs of this machine), ``multi_worker`` (the machines of ``TF_CONFIG``) or ``auto``.
    device, memory_limit_mb, threads : str, int, int, optional
        ``cpu`` leaves GPUs alone; memory of each GPU that may be taken; threads for TensorFlow, 0 for what
        there is. Other than the defaults they have to come before a model is opened.

    Returns
    -------
    TrainingResult
        ``table`` with a row an epoch, ``plot()``, ``path`` of the weights, ``inverter()``.

    Raises
    ------
    UsageError
        A layer, loss, comparator or schedule that does not exist, a comparator for excerpts of another shape,
        or a folder that holds another training.
    CorpusError
        No recording can be used, or there are too few excerpts for one batch.

    Examples
    --------
    >>> found = actprobe.train_inverter(
    ...     model, "FOLDER", layer="fc8", epochs=1, steps_per_epoch=2, output_dir="TRAINED"
    ... )
    >>> found.inverter().layer
    'fc8'
    """
    began = time.time()
    model.layers.select([layer])
    Objective(loss, distance)
    source, its_layer = choose_comparator(model, layer, loss, comparator, comparator_checkpoint)
    settings = Settings(
        epochs, steps_per_epoch, batch_size, learning_rate, schedule, precision, seed, jit_compile,
        average,
    )  # fmt: skip
    opened = open_labelled(corpus, "unused")
    recordings = [*opened.recordings]
    if songs is not None:
        further = open_labelled(songs, "unused").recordings
        recordings += [song for song in further if fnmatch.fnmatch(song.name, songs_match)]
    folder = Path(output_dir)
    cache = folder / "cache" if cache_dir is None else Path(cache_dir)
    added = open_further(voiceless, voices, phantom, cache, opened.recordings[0].mono)
    recordings += [*added.voiceless, *added.voices]
    train = [each for each in recordings if each.split == "train"]
    judging = [each for each in recordings if each.split == "valid"]
    if valid is not None:
        judging = open_labelled(valid, "unused").recordings
    if not train:
        raise CorpusError(opened.source, "has no recordings to train on")
    for each in (model, source):
        if isinstance(each, ModelSource):
            each.located()
    set_up_devices(device, memory_limit_mb, threads)
    chosen = distribution(strategy)
    if max_minutes is not None and chosen.cluster_resolver is not None:
        raise UsageError("--max_minutes is for one machine: several would not stop at the same epoch")
    network = model.open()
    held = [] if judging else hold_out(train, seed, lambda each: frames_in(each, network.frontend))
    apart = set(held)
    train = [each for each in train if each not in apart]
    task = Task(
        network, layer, network if source is model else source.open(), its_layer, loss, distance,
        input_weight, feature_weight, ending, architecture, excerpt_hop, l2, adversarial_weight,
        validation_excerpts, file_dtype,
    )  # fmt: skip
    mixed = None
    if mixes:
        rate, needed = network.frontend.sample_rate, network.frontend.example_samples
        mixer = Mixer(SoundStore(cache, train, rate), FOR_INVERTERS, seed)
        mixed = mixer.describe()
        train = mixed_recordings(mixer, mixes, max(mix_seconds, needed / rate))
    arguments = {
        "corpus": opened.source, "layer": layer, "output_dir": str(folder), "loss": loss,
        "distance": distance, "comparator": f"{task.comparator.name}:{its_layer}", "songs_match": songs_match,
        "voiceless": [str(each) for each in voiceless], "voices": [str(each) for each in voices],
        "phantom": phantom, "mixes": mixes, "mix_seconds": mix_seconds,
        "input_weight": input_weight, "feature_weight": feature_weight, "l2": l2,
        "adversarial_weight": adversarial_weight, "ending": ending, "architecture": architecture,
        "excerpt_hop": excerpt_hop, "max_minutes": max_minutes, "validation_excerpts": validation_excerpts,
        "file_dtype": file_dtype,
        "cache_dir": None if cache_dir is None else str(cache_dir), "cache_gb": cache_gb,
        "strategy": strategy, "device": device, "threads": threads, **asdict(settings),
    }  # fmt: skip
    with chosen.scope():
        metrics = run_task(
            folder,
            task,
            train,
            judging or held,
            settings,
            command=plain_command(run_record("train_inverter", began, arguments, {})),
            cache_dir=cache,
            cache_bytes=cache_gb * 1e9,
            deadline=math.inf if max_minutes is None else began + 60 * max_minutes,
            held_out=[each.name for each in held],
            mixes=mixed,
        )
    provenance = made_by(
        network,
        layer=metrics["model"]["layer"],
        corpus=opened.source,
        mono=opened.mono,
        training=metrics["settings"],
        held_out=metrics["held_out"],
    )
    write_json(folder / "run.json", run_record("train_inverter", began, arguments, provenance))
    return TrainingResult.load(folder)
