"""Seconds of audio read per second, by actprobe.load_audio and by librosa.load.

load_audio(path, rate) and librosa.load(path, sr=rate, mono=True) both end at mono float32 resampled by
soxr HQ (librosa's default). The two alternate file by file, and take turns in going first, so that a machine
that slows down slows both. Usage, from the repository root:

    python benchmarks/decode.py [FOLDER_OR_FILE ...] [--rate 22050] [--files 200] [--rounds 3]

Without a folder: the first MIR-1K recordings and the annotated mp3 files below $ACTPROBE_TEST_ASSETS/audio.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import soundfile

from actprobe.audio import load_audio

ENDINGS = {".wav", ".mp3", ".flac", ".ogg", ".m4a"}


def with_actprobe(path: Path, rate: int) -> None:
    load_audio(path, rate)


def with_librosa(path: Path, rate: int) -> None:
    librosa.load(path, sr=rate, mono=True)


LOADERS: dict[str, Callable[[Path, int], None]] = {"actprobe": with_actprobe, "librosa": with_librosa}


def recordings(where: list[Path], most: int) -> dict[str, list[Path]]:
    """Name of each group -> its recordings."""
    if where:
        groups = {str(each): sorted(each.rglob("*")) if each.is_dir() else [each] for each in where}
    elif "ACTPROBE_TEST_ASSETS" in os.environ:
        audio = Path(os.environ["ACTPROBE_TEST_ASSETS"]) / "audio"
        groups = {
            "MIR-1K": sorted((audio / "MIR-1K" / "Wavfile").iterdir()),
            "annotated mp3": sorted((audio / "annotated").glob("*.mp3")),
        }
    else:
        sys.exit("name a folder, or set ACTPROBE_TEST_ASSETS")
    return {
        name: [path for path in files if path.suffix.lower() in ENDINGS][:most]
        for name, files in groups.items()
    }


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_megabytes(loader: str, path: Path, rate: int) -> float:
    """Largest resident size of a fresh process while it reads a recording, above what it held before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (loader, path, rate))


def _growth(loader: str, path: Path, rate: int) -> float:
    with tempfile.TemporaryDirectory() as folder:  # lazy imports come with the first recording
        short = Path(folder) / "short.wav"
        soundfile.write(short, np.zeros(4800), 48000)
        LOADERS[loader](short, rate)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the largest resident size so far; see proc(5)
    before = _kilobytes("VmRSS")
    LOADERS[loader](path, rate)
    return (_kilobytes("VmHWM") - before) / 1024


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("where", nargs="*", type=Path, help="folders or files")
    parser.add_argument("--rate", type=int, default=22050, help="wanted rate in Hz")
    parser.add_argument("--files", type=int, default=200, help="most recordings per group")
    parser.add_argument("--rounds", type=int, default=3, help="times each group is read")
    arguments = parser.parse_args()
    rate = arguments.rate
    for group, files in recordings(arguments.where, arguments.files).items():
        if not files:
            print(f"{group}: no recordings")
            continue
        seconds = 0.0
        for path in files:
            seconds += load_audio(path, rate).seconds
            with_librosa(path, rate)
        spent: dict[str, list[float]] = {name: [] for name in (*LOADERS, "decode", "resample")}
        for turn in range(arguments.rounds):
            sums = dict.fromkeys(spent, 0.0)
            for number, path in enumerate(files):
                order = list(LOADERS) if (number + turn) % 2 else list(LOADERS)[::-1]
                for name in order:
                    sums[name] += timed(partial(LOADERS[name], path, rate))
                waveform = load_audio(path)
                sums["decode"] += timed(partial(load_audio, path))
                sums["resample"] += timed(partial(waveform.resample, rate))
            for name, value in sums.items():
                spent[name].append(value)
        ratios = [other / own for own, other in zip(spent["actprobe"], spent["librosa"], strict=True)]
        best = {name: min(values) for name, values in spent.items()}
        resampling = best["resample"] / (best["decode"] + best["resample"])
        largest = max(files, key=lambda path: path.stat().st_size)
        print(f"{group}: {len(files)} recordings, {seconds:.0f} s of audio, to {rate} Hz")
        for name in LOADERS:
            print(
                f"  {name:9s} {seconds / best[name]:7.0f} s of audio per second; "
                f"grows by {peak_megabytes(name, largest, rate):.0f} MB for {largest.name}"
            )
        print(
            f"  actprobe / librosa: {statistics.median(ratios):.2f} "
            f"(median of {len(ratios)} rounds, {min(ratios):.2f} to {max(ratios):.2f})"
        )
        print(f"  actprobe: {1 - resampling:.0%} decoding, {resampling:.0%} resampling")


if __name__ == "__main__":
    main()
