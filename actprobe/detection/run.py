"""`train_detector`: the open singing voice detector, trained and judged, in a folder with its model card."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from actprobe.corpora.corpus import CorpusLike, with_mono
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import open_labelled, open_with_splits
from actprobe.corpora.labelled_folders import open_voiceless_folder
from actprobe.corpora.splits import Splits, open_splits
from actprobe.detection.card import model_card
from actprobe.detection.evaluation import PLAIN, report
from actprobe.detection.prediction import Predictions, predict_all
from actprobe.detection.result import DetectorResult
from actprobe.detection.segments import NO_AUGMENTATION, Augmentation, Segments
from actprobe.detection.spectra import SpectraStore
from actprobe.detection.training import WEIGHTS, Normalization, detector_training
from actprobe.models.networks import svd
from actprobe.provenance import atomic_path, run_record, versions, write_json
from actprobe.training.device import set_up_devices
from actprobe.training.history import plain_command, without_nan
from actprobe.training.loop import Training
from actprobe.training.settings import Settings

FEW = 40  # recordings of a set: their AUC is given one by one


def train_detector(
    corpus: CorpusLike,
    *,
    output_dir: str | Path,
    songs: CorpusLike | None = None,
    songs_match: str = "*",
    voiceless: Sequence[str | Path] = (),
    close_gaps: float = 0.0,
    epochs: int = 24,
    steps_per_epoch: int | None = 1000,
    batch_size: int = 10,
    excerpts: int = 17,
    learning_rate: float = 0.01,
    augment: bool = True,
    precision: str = "float32",
    seed: int = 0,
    max_minutes: float | None = None,
    threads: int = 0,
) -> DetectorResult:
    """Train a singing voice detector as Schlüter and Grill did (ISMIR 2015), and judge it.

    A killed training goes on where it was when it is called again, and ends as it would have.

    Parameters
    ----------
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes; it has to say where somebody sings, itself or by label files.
        Recordings for testing are never trained on. Where none is for validation, about a tenth is held
        out: whole recordings, those of one singer, artist or song together.
    output_dir : str or Path
        Gets svd.npz (weights of the epoch best on validation), meanstd.npz, metrics.json, README.md (the
        model card), history.json, training.json, run.json and the folders backup, logs and spectra.
    songs : str, Path, list, pandas.DataFrame or Corpus, optional
        Further recordings with labels.
    songs_match : str, optional
        Names of ``songs`` that count, as a shell pattern.
    voiceless : sequence of str or Path, optional
        Folders of recordings in which nobody sings.
    close_gaps : float, optional
        Gaps under so many seconds count as sung in training.
    epochs, steps_per_epoch : int, optional
        How long; None for as many steps as see as many excerpts as there are every 9 frames.
    batch_size : int, optional
        Segments in a step.
    excerpts : int, optional
        Excerpts in a segment, 9 frames apart.
    learning_rate : float, optional
        Of the first epoch.
    augment : bool, optional
        Whether examples are varied.
    precision : str, optional
        ``float32``, or ``mixed_bfloat16``, which is faster where the processor has it.
    seed : int, optional
        Seed of weights, data, dropout, and of the recordings that are held out.
    max_minutes : float, optional
        Begin no epoch that would end later.
    threads : int, optional
        Threads for TensorFlow; 0 takes what there is.

    Returns
    -------
    DetectorResult
        ``table`` with a row an epoch, ``figures``, ``plot()``, and the path of the weights.

    Raises
    ------
    UsageError
        A number that is too small, or a folder that holds another training.
    CorpusError
        There is nothing to train on, or there are no labels of singing.

    Examples
    --------
    >>> found = actprobe.train_detector(
    ...     "mir1k:MIR-1K", epochs=1, steps_per_epoch=2, output_dir="DETECTOR"
    ... )
    >>> found.path.name
    'svd.npz'
    """
    began = time.time()
    settings = Settings(epochs, steps_per_epoch, batch_size, learning_rate, "exponential", precision, seed)
    recordings = detector_splits(corpus, songs, songs_match, voiceless, close_gaps, seed)
    set_up_devices(threads=threads)
    folder = Path(output_dir)
    store = SpectraStore(folder / "spectra", recordings.train)
    segments = Segments(store, excerpts, Augmentation() if augment else NO_AUGMENTATION, seed)
    normalization = store.normalization()
    training = detector_training(folder, segments, recordings.valid, settings, normalization)
    training.run(math.inf if max_minutes is None else began + 60 * max_minutes)
    logging.info("judging every frame of the validation and test recordings")
    metrics = _judged(training, recordings, normalization)
    described = dict(training.described)
    held_out = recordings.held_out
    made_by = {
        "corpus": recordings.source, "mono": recordings.train[0].mono, "versions": versions(),
        "training": described, "held_out": held_out,
    }  # fmt: skip
    arguments = {
        "corpus": recordings.source, "output_dir": str(folder), "songs_match": songs_match,
        "voiceless": [str(each) for each in voiceless], "close_gaps": close_gaps, "epochs": epochs,
        "steps_per_epoch": steps_per_epoch, "batch_size": batch_size, "excerpts": excerpts,
        "learning_rate": learning_rate, "augment": augment, "precision": precision, "seed": seed,
        "max_minutes": max_minutes, "threads": threads,
    }  # fmt: skip
    record = run_record("train_detector", began, arguments, {"model": svd.NAME, **made_by})
    metrics |= {**described, "held_out": held_out, "command": plain_command(record)}
    metrics["session_hours"] = (time.time() - began) / 3600
    write_json(folder / "metrics.json", metrics)
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(model_card(metrics), "utf-8")
    write_json(folder / "run.json", record)
    return DetectorResult.load(folder)


def detector_splits(
    corpus: CorpusLike,
    songs: CorpusLike | None = None,
    songs_match: str = "*",
    voiceless: Sequence[str | Path] = (),
    close_gaps: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Gather the recordings of a training; see `train_detector`."""
    opened = open_with_splits(corpus)
    further = [] if songs is None else open_labelled(songs).recordings
    return open_splits(
        opened,
        [song for song in further if fnmatch.fnmatch(song.name, songs_match)],
        [each for folder in voiceless for each in with_mono(open_voiceless_folder(folder), opened[0].mono)],
        close_gaps,
        seed=seed,
        read=SpectraStore.frames_in,
    )


def _judged(training: Training, recordings: Splits, normalization: Normalization) -> dict[str, Any]:
    """Judge the best epoch, whose weights the model gets, by every frame not trained on."""
    network = training.model.network
    for name, arrays in svd.port(svd.read(training.output_dir / WEIGHTS)).items():
        network.get_layer(name).set_weights(arrays)

    def predictions(group: Sequence[LabelledRecording]) -> list[Predictions]:
        return predict_all(network, normalization, group)

    tests = {name: predictions(group) for name, group in recordings.tests.items()}
    one_by_one = {
        found.recording.name: report([found], {})["valid"][PLAIN]["auc"]
        for group in tests.values()
        if len(group) <= FEW
        for found in group
    }
    counts = {"train": len(recordings.train), "valid": len(recordings.valid)}
    figures = {
        "figures": report(predictions(recordings.valid or recordings.train), tests),
        "auc_of_each": one_by_one,
        "recordings": counts | {name: len(group) for name, group in recordings.tests.items()},
    }
    return {**dict(without_nan(figures)), **training.summary()}
