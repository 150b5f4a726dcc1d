"""`train_detector`: the open singing voice detector, trained and judged, in a folder with its model card."""

from __future__ import annotations

import fnmatch
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.further import open_further
from actprobe.corpora.labelled_corpus import open_labelled, open_with_splits
from actprobe.corpora.splits import Splits, open_splits
from actprobe.detection.card import model_card
from actprobe.detection.evaluation import PLAIN, report
from actprobe.detection.listening import FIGURE, draw_voice_levels, judge, open_predictor
from actprobe.detection.result import DetectorResult
from actprobe.detection.segments import Segments
from actprobe.detection.spectra import normalization_of
from actprobe.detection.training import NORMALIZATION, WEIGHTS, detector_training
from actprobe.frontends.logmel import SAMPLE_RATE
from actprobe.models.networks import svd
from actprobe.plotting import save_figure
from actprobe.provenance import atomic_path, run_record, versions, write_json
from actprobe.training.device import set_up_devices
from actprobe.training.history import plain_command, without_nan
from actprobe.training.loop import Training
from actprobe.training.mixer import AS_RECORDED, Mixer, Recipe
from actprobe.training.settings import Settings
from actprobe.training.sounds import SoundStore, stem_samples

FEW = 40  # recordings of a set: their AUC is given one by one


def train_detector(
    corpus: CorpusLike,
    *,
    output_dir: str | Path,
    songs: CorpusLike | None = None,
    songs_match: str = "*",
    voiceless: Sequence[str | Path] = (),
    voices: Sequence[str | Path] = (),
    phantom: int = 0,
    close_gaps: float = 0.0,
    epochs: int = 24,
    steps_per_epoch: int | None = 1000,
    batch_size: int = 10,
    excerpts: int = 17,
    learning_rate: float = 0.01,
    augment: bool = True,
    schedule: str = "exponential",
    precision: str = "float32",
    seed: int = 0,
    average: float = 0.0,
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
        model card), figures/voice_level.png where the corpus has stems, history.json, training.json,
        run.json and the folders backup, logs and sounds.
    songs : str, Path, list, pandas.DataFrame or Corpus, optional
        Further recordings with labels.
    songs_match : str, optional
        Names of ``songs`` that count, as a shell pattern.
    voiceless : sequence of str or Path, optional
        Folders of recordings in which nobody sings.
    voices : sequence of str or Path, optional
        Folders of recordings of a voice alone. Without label files, singing is where the voice sounds.
    phantom : int, optional
        Synthetic recordings, see `actprobe.write_phantom`, that are added.
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
        Whether examples are mixed and varied, see `actprobe.training.mixer.Recipe`, or as recorded.
    schedule : str, optional
        How the rate falls: ``exponential`` (to 0.85 of itself every epoch), ``cosine`` or ``constant``.
    precision : str, optional
        ``float32``, or ``mixed_bfloat16``, which is faster where the processor has it.
    seed : int, optional
        Seed of weights, data, dropout, and of the recordings that are held out.
    average : float, optional
        What the moving average of the weights keeps in every step, such as 0.999. The average is judged and
        kept; 0 takes the weights as they are.
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
    settings = Settings(
        epochs, steps_per_epoch, batch_size, learning_rate, schedule, precision, seed, average=average
    )
    folder = Path(output_dir)
    recordings = detector_splits(
        corpus, songs, songs_match, voiceless, voices, phantom, folder, close_gaps, seed
    )
    set_up_devices(threads=threads)
    store = SoundStore(folder / "sounds", recordings.train, SAMPLE_RATE)
    segments = Segments(Mixer(store, Recipe() if augment else AS_RECORDED, seed), excerpts)
    normalization = normalization_of(store)
    training = detector_training(folder, segments, recordings.valid, settings, normalization)
    training.run(math.inf if max_minutes is None else began + 60 * max_minutes)
    logging.info("judging every frame of the validation and test recordings")
    metrics = _judged(training, recordings)
    described = dict(training.described)
    held_out = recordings.held_out
    made_by = {
        "corpus": recordings.source, "mono": recordings.train[0].mono, "versions": versions(),
        "training": described, "held_out": held_out,
    }  # fmt: skip
    arguments = {
        "corpus": recordings.source, "output_dir": str(folder), "songs_match": songs_match,
        "voiceless": [str(each) for each in voiceless], "voices": [str(each) for each in voices],
        "phantom": phantom, "close_gaps": close_gaps, "epochs": epochs,
        "steps_per_epoch": steps_per_epoch, "batch_size": batch_size, "excerpts": excerpts,
        "learning_rate": learning_rate, "augment": augment, "schedule": schedule, "precision": precision,
        "seed": seed, "average": average, "max_minutes": max_minutes, "threads": threads,
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
    voices: Sequence[str | Path] = (),
    phantom: int = 0,
    folder: Path = Path(),
    close_gaps: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Gather the recordings of a training; see `train_detector`. ``folder`` gets the synthetic ones."""
    opened = open_with_splits(corpus)
    added = open_further(voiceless, voices, phantom, folder, opened[0].mono)
    labelled = [] if songs is None else open_labelled(songs).recordings
    return open_splits(
        opened,
        [song for song in labelled if fnmatch.fnmatch(song.name, songs_match)],
        added.voiceless,
        added.voices,
        close_gaps,
        seed=seed,
        read=lambda recording: stem_samples(recording, SAMPLE_RATE),
    )


def _judged(training: Training, recordings: Splits) -> dict[str, Any]:
    """Judge the best epoch by every frame not trained on, and draw the figure of it."""
    folder = training.output_dir
    predict = open_predictor(folder / WEIGHTS, folder / NORMALIZATION)
    tests = {name: predict(group) for name, group in recordings.tests.items()}
    valid = predict(recordings.valid)
    figures = report(valid or predict(recordings.train), tests)
    one_by_one = {
        found.recording.name: report([found], {})["valid"][PLAIN]["auc"]
        for group in tests.values()
        if len(group) <= FEW
        for found in group
    }
    counts = {"train": len(recordings.train), "valid": len(recordings.valid)}
    judged = without_nan(
        {
            "figures": figures,
            "auc_of_each": one_by_one,
            "recordings": counts | {name: len(group) for name, group in recordings.tests.items()},
            "listening": judge(predict, tests, valid, figures["valid"][PLAIN]["threshold"]),
        }
    )
    if "voice_level" in judged["listening"]:
        save_figure(draw_voice_levels(judged["listening"]["voice_level"]), folder / FIGURE)
    return {**judged, **training.summary()}
