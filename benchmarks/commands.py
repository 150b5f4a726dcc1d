"""How long do the commands take that people wait for, against another commit, with the same tables?

    git clone . /tmp/before && git -C /tmp/before checkout COMMIT
    bash -c 'cd /tmp/before && . bin/environment && make_environment .venv ""'
    taskset -c 0,1 python benchmarks/commands.py --against=/tmp/before
    taskset -c 0,1 python benchmarks/commands.py --against=/tmp/before --only=quickstart,figures --turns=3

The same command runs in turns here and in the other checkout, each with its own .venv. For each the shortest
wall time and processor time of all its processes is printed, the resident set of the largest process, and
whether the tables are the same byte for byte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).resolve().parents[1]
ASSETS = Path(os.environ.get("ACTPROBE_TEST_ASSETS", "."))
TABLES = ("*.csv", "*.parquet")
LEDGER = "recordings.csv"  # tells how long each recording took to decode

# Draws the figures of a run of maps again, OUT/figures, and nothing else.
FIGURES = """
import json, sys, time
from pathlib import Path
import pandas as pd
from actprobe.analyses.maps.figures import draw_figures
from actprobe.analyses.maps.gallery import read_gallery
run, out = map(Path, sys.argv[1:])
items, table = read_gallery(run), pd.read_csv(run / "maps.csv")
record = json.loads((run / "run.json").read_text())
began = time.process_time()
draw_figures(record, table, items, out / "figures")
count = len(list((out / "figures").glob("*.png")))
print(f"{(time.process_time() - began) / count:.2f} s of processor time a figure ({count} figures)")
"""


@dataclass
class Cost:
    """Seconds, seconds of all processes, MiB of the largest of them, and what the command said last."""

    wall: float
    processor: float
    memory: float
    said: str


def commands(corpus: Path, clips: int, work: Path) -> dict[str, list[str]]:
    """Name -> what is run in a checkout; OUT stands for a folder."""
    svd = ["--model=svd", "--checkpoint=svd-open"]
    few = work / "few"
    few.mkdir()
    for path in sorted(corpus.iterdir())[:5]:
        (few / path.name).symlink_to(path)
    many = work / "many"
    many.mkdir()
    for path in sorted(corpus.iterdir())[:clips]:
        (many / path.name).symlink_to(path)
    neurons = [
        "bin/actprobe-neurons", *svd, f"--input={many}", "--layers=fc8", "--features=onset_rate,loudness",
        "--output_dir=OUT",
    ]  # fmt: skip
    return {
        "maps": ["bin/actprobe-maps", *svd, f"--input={few}", "--layers=conv1", "--output_dir=OUT"],
        "figures": ["-c", FIGURES, str(work / "maps-here"), "OUT"],
        "neurons": [*neurons, "--random_seeds=0"],
        "neurons with three controls": neurons,
        "quickstart": ["bin/quickstart"],
    }


def run(checkout: Path, words: list[str], out: Path) -> Cost:
    """Run a command of a checkout in a process of its own, so that its children are told apart."""
    if words == ["bin/quickstart"]:
        shutil.rmtree(checkout / "out/quickstart", ignore_errors=True)
        command = [str(checkout / "bin/quickstart")]
    else:
        shutil.rmtree(out, ignore_errors=True)
        command = [".venv/bin/python", *(word.replace("OUT", str(out)) for word in words)]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        began = perf_counter()
        process = subprocess.Popen(
            command, cwd=checkout, stdout=said, stderr=errors,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (said, errors):
            stream.seek(0)
        if process.returncode:
            raise SystemExit(f"{checkout}: {errors.read()[-2000:]}")
        last = (said.read().strip().splitlines() or [""])[-1]
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, last)


def differing(one: Path, other: Path) -> tuple[int, list[str]]:
    """Count the tables of two folders, and name those that are not the same."""
    paths = [path.relative_to(one) for pattern in TABLES for path in sorted(one.rglob(pattern))]
    paths = [path for path in paths if path.name != LEDGER and "shards" not in path.parts]
    return len(paths), [
        str(path)
        for path in paths
        if not (other / path).exists() or (one / path).read_bytes() != (other / path).read_bytes()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, required=True, help="checkout with a .venv of its own")
    parser.add_argument("--corpus", type=Path, default=ASSETS / "audio/MIR-1K/Wavfile")
    parser.add_argument("--clips", type=int, default=865, help="recordings of neurons")
    parser.add_argument("--only", default="", help="commands, separated by commas; maps comes before figures")
    parser.add_argument("--turns", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        chosen = commands(options.corpus, options.clips, work)
        for name in options.only.split(",") if options.only else chosen:
            compare(name, chosen[name], options.against.resolve(), options.turns, work)


def compare(name: str, words: list[str], against: Path, turns: int, work: Path) -> None:
    """Run a command in turns in both checkouts and print what it cost."""
    costs: dict[str, list[Cost]] = {"before": [], "here": []}
    outs = {side: work / f"{name.replace(' ', '-')}-{side}" for side in costs}
    for _ in range(turns):
        for side, checkout in (("before", against), ("here", HERE)):
            costs[side].append(run(checkout, words, outs[side]))
    best = {
        side: Cost(
            min(cost.wall for cost in of),
            min(cost.processor for cost in of),
            max(cost.memory for cost in of),
            of[-1].said,
        )
        for side, of in costs.items()
    }
    print(f"{name}:")
    for side, cost in best.items():
        print(
            f"  {side:7s}{cost.wall:7.1f} s, processor {cost.processor:6.1f} s, "
            f"largest process {cost.memory:.0f} MiB; {cost.said}"
        )
    before, here = best["before"], best["here"]
    if words[0] == "bin/quickstart":
        outs = {"before": against / "out/quickstart", "here": HERE / "out/quickstart"}
    count, other = differing(outs["before"], outs["here"])
    same = f"{count} tables, " + (f"not the same: {', '.join(other)}" if other else "the same bytes")
    print(
        f"  ratio {before.wall / here.wall:.2f}, processor {before.processor / here.processor:.2f}; {same}",
        flush=True,
    )


if __name__ == "__main__":
    main()
