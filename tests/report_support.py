"""Small real runs of every kind over recordings with hostile names, for the tests of the report."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = (
    "<img src=x onerror=alert(1)>&amp;\"'.wav",
    "שלום \u202egnp.wav",
    "🎵🎶 {{7*7}} ${x}.wav",
    "n" * 246 + ".wav",
    "<\u2215script><b>bold<\u2215b>\\.wav",
    "plain.wav",
)
BROKEN = "<i>broken<\u2215i>.wav"  # a file name cannot hold the plain slash
TAG = '<b onclick="alert(2)">tag</b> 😀'  # a column of the manifest, so a feature
RATE = 22050
SECONDS = 2.6


def write_corpus(folder: Path) -> Path:
    """Write recordings whose names are hostile, one that cannot be read, and their manifest."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    time = np.arange(round(SECONDS * RATE)) / RATE
    rows = []
    for i, name in enumerate(HOSTILE):
        tone = sum(np.sin(2 * np.pi * 220 * (i + 1) * k * time) / k for k in (1, 2, 3))
        clicks = (np.arange(len(time)) % (RATE // (i + 2)) < 200) * rng.normal(size=len(time))
        soundfile.write(folder / name, 0.05 * (i + 1) * (tone / 2 + clicks) / 3, RATE)
        rows.append((name, i * 1.5))
    (folder / BROKEN).write_bytes(b"RIFF")
    rows.append((BROKEN, 1.0))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", TAG), *rows])
    return folder / "manifest.csv"


def _calls(manifest: Path) -> dict[str, list[str]]:
    svd = ["--model=svd", "--checkpoint=svd-open"]
    excerpt = [f"--input={manifest.parent / HOSTILE[0]}", "--method=gradient", "--gradient_steps=2"]
    return {
        "neurons": [
            "actprobe-neurons", *svd, f"--input={manifest}", "--layers=conv5,fc8", "--hop=60",
            f"--features=loudness,{TAG}", "--permutations=20", "--random_seeds=1", "--figures=0",
            "--executor=local:1",
        ],
        "maps": [
            "actprobe-maps", *svd, f"--input={manifest}", "--layers=conv1", "--features=harmonic,hpcp",
            "--figures=1", "--null_partners=1", "--executor=local:1",
        ],
        "inversion": ["actprobe-invert", *svd, "--layer=conv1,fc8", *excerpt, "--at=0.2"],
        "inversion-2": ["actprobe-invert", *svd, "--layer=fc8", *excerpt, "--at=0.5", "--nosound"],
        "excitation": [
            "actprobe-excite", *svd, f"--input={manifest}", "--neurons=fc8/3,conv1/1", "--steps=2",
        ],
        "attribution": [
            "actprobe-attribute", *svd, f"--input={manifest}", "--excerpts=1", "--figures=2",
            "--methods=gradient_x_input,grad_cam",
        ],
        "evaluation": [
            "actprobe-evaluate-inverters", *svd, f"--input={manifest}", "--draws=1",
            "--excerpts_per_recording=1", "--methods=gradient", "--gradient_steps=2", "--layers=conv1,fc8",
        ],
    }  # fmt: skip


def make_runs(folder: Path, binary: Any) -> dict[str, Path]:
    """Run every analysis on the corpus; returns kind -> folder of the run."""
    runs = {}
    for kind, call in _calls(write_corpus(folder / "in")).items():
        done = binary(*call, f"--output_dir={folder / kind}", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        runs[kind] = folder / kind
    return runs
