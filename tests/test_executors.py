"""Executors: what crashes or is killed costs nothing that was finished, and numbers are the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ROOT

import actprobe
from actprobe.batch.executors import Executor, parse_executor, run_job
from actprobe.batch.feature_pool import AHEAD, FeaturePool
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.shards import Shard, ShardStore
from actprobe.corpora import Recording, open_corpus
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import ActprobeError, UsageError
from actprobe.models import load_model
from actprobe.workers import forked

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # no other process can import this module

SIZES = {"big": 30_000_000, "middling": 3_000_000}
TABLES = ("neurons.csv", "neurons.parquet", "neurons_detail.csv", "layers.csv", "recordings.csv")


@dataclass
class Toy:
    """A job that does what the first word of a recording says."""

    folder: Path

    def prepare(self, recording: Recording) -> Any:
        word = recording.path.read_text().split()[0]
        if word == "abort":
            os.abort()
        if word == "segfault":
            import ctypes

            ctypes.string_at(0)
        if word == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "killed_once" and not (self.folder / "was").exists():
            (self.folder / "was").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "raise":
            raise ValueError("two\nlines")
        if word == "exit":
            os._exit(3)
        if word == "hang":
            threading.Event().wait()
        if word in SIZES:
            return np.arange(SIZES[word], dtype=np.int32)
        if word == "modules":
            return [
                name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "tf_keras", "keras")
            ]
        if word == "threads":
            return os.environ["OMP_NUM_THREADS"]
        if word == "noisy":
            print("this goes nowhere near the answer")
            subprocess.run(["echo", "neither does this"], check=True)
        return os.getpid()

    def consumer(self, store: Any) -> ToyConsumer:
        return ToyConsumer(store)


class ToyConsumer:
    def __init__(self, store: Any) -> None:
        self.store = store
        self.waiting: list[Any] = []

    def add(self, recording: Any, prepared: Any) -> Any:
        self.waiting.append((recording, prepared))
        return self.flush() if len(self.waiting) == 3 else []

    def flush(self) -> list[Any]:
        rows = []
        for recording, prepared in self.waiting:
            value = prepared.sum(dtype=float) if isinstance(prepared, np.ndarray) else 0.0
            self.store.save(recording, Shard({"features": {"value": value}}))
            rows.append(LedgerRow(recording.name, "ok", features={"value": value}))
        self.waiting = []
        return rows


def corpus(folder: Path, *words: str) -> list[Recording]:
    folder.mkdir(parents=True, exist_ok=True)
    recordings = []
    for i, word in enumerate(words):
        path = folder / f"{i:03d}"
        path.write_text(word)
        recordings.append(Recording(path.name, path))
    return recordings


def prepared(folder: Path, *words: str, workers: int = 1, **options: Any) -> list[Any]:
    with FeaturePool(Toy(folder), workers, **options) as pool:
        return [answer for _, answer in pool.prepare(corpus(folder / "in", *words))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local:3", Executor("local", 3)),
        ("dask:2", Executor("dask", 2)),
        ("dask://node7:8786", Executor("dask", 0, "tcp://node7:8786")),
    ],
)
def test_executors_are_read(text: str, expected: Executor) -> None:
    assert parse_executor(text) == expected


@pytest.mark.parametrize("text", ["", "local", "local:0", "local:x", "dask://", "dask://host", "slurm:3"])
def test_other_executors_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"local:N, dask:N and dask://HOST:PORT"):
        parse_executor(text)


def test_feature_processes_never_load_tensorflow(tmp_path: Path) -> None:
    modules, threads = prepared(tmp_path, "modules", "threads")
    assert modules == []
    assert threads == "1"


def test_real_recordings_are_prepared_without_tensorflow(tmp_path: Path) -> None:
    """The neuron run's own job, with all that decoding, features and front ends import."""
    from actprobe.batch.prepare import prepare_recording
    from actprobe.features import get_feature

    frontend = load_model("svd", seed=0).frontend
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).standard_normal(44100) * 0.1, 22050)

    class Watched(Toy):
        def prepare(self, recording: Any) -> tuple[Any, bool]:
            found = prepare_recording(
                recording, frontend, [get_feature("onset_rate"), get_feature("loudness")]
            )
            return found.row.examples, "tensorflow" in sys.modules

    with FeaturePool(Watched(tmp_path), 1) as pool:
        [(_, answer)] = pool.prepare([Recording("a.wav", tmp_path / "a.wav")])
    assert answer == (23, False)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("abort", r"crashed \(SIGABRT\)"),
        ("segfault", r"crashed \(SIGSEGV\)"),
        ("killed", r"killed \(SIGKILL\) 2 times"),
        ("exit", "ended with status 3"),
        ("raise", "unexpected ValueError: two lines"),
    ],
)
def test_crash_costs_that_recording_only(tmp_path: Path, word: str, reason: str, capfd: Any) -> None:
    before, bad, after, last = prepared(tmp_path, "ok", word, "ok", "noisy")
    assert isinstance(bad, LedgerRow)
    assert bad.status == "failed"
    import re

    assert re.search(reason, bad.reason)
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after == last


def test_recording_whose_process_was_killed_is_tried_again(tmp_path: Path) -> None:
    first, second, third = prepared(tmp_path, "ok", "killed_once", "ok")
    assert first != second == third
    assert (tmp_path / "was").exists()


def test_hanging_recording_is_given_up(tmp_path: Path) -> None:
    hung, after = prepared(tmp_path, "hang", "ok", time_limit_seconds=0.5)
    assert hung.status == "failed"
    assert "took longer than" in hung.reason
    assert isinstance(after, int)


def test_large_arrays_come_whole_from_several_processes(tmp_path: Path) -> None:
    for array in prepared(tmp_path, *["big"] * 4, workers=2):
        assert array[-1] == 29_999_999
        assert array.flags.writeable


def test_only_a_few_recordings_are_prepared_ahead(tmp_path: Path) -> None:
    recordings = corpus(tmp_path / "in", *["ok"] * 50)
    with FeaturePool(Toy(tmp_path), 2) as pool:
        asked = []

        def watched() -> Iterator[Any]:
            for recording in recordings:
                asked.append(recording)
                yield recording

        wanted: Any = watched()
        answers = pool.prepare(wanted)
        next(answers)
        assert len(asked) <= 5


def test_processes_end_with_the_pool(tmp_path: Path) -> None:
    with FeaturePool(Toy(tmp_path), 3) as pool:
        ids = pool.process_ids
        list(pool.prepare(corpus(tmp_path / "in", "ok", "ok", "ok")))
    assert len(ids) == 3
    assert not [pid for pid in ids if Path(f"/proc/{pid}").exists()]


def test_job_that_cannot_be_opened_is_one_clear_error(tmp_path: Path) -> None:
    class Closed(Toy):
        def __setstate__(self, state: Any) -> None:
            raise ImportError("no module named colours")

    with (
        FeaturePool(Closed(tmp_path), 1) as pool,
        pytest.raises(ActprobeError, match="no module named colours"),
    ):
        list(pool.prepare(corpus(tmp_path / "in", "ok")))


def any_of(pool: FeaturePool, chance: random.Random) -> int:
    return chance.choice(pool.process_ids)


def forking(pool: FeaturePool, chance: random.Random) -> int:
    assert forked._server._process is not None
    return forked._server._process.pid


@pytest.mark.parametrize("victim", [any_of, forking])
@pytest.mark.parametrize("seed", range(3))
def test_killed_feature_processes_lose_nothing(tmp_path: Path, seed: Any, victim: Any) -> None:
    """SIGKILL at random moments, five times in a run of sixty recordings, no recording twice."""
    recordings = corpus(tmp_path / "in", *["middling"] * 6, *["ok"] * 54)
    store = ShardStore(tmp_path / "out", "key")
    chance, done = random.Random(seed), threading.Event()
    real = FeaturePool.prepare

    def disturbed(self: FeaturePool, wanted: Any) -> Iterator[Any]:
        # What is being prepared when one strikes has been given back before the next one does.
        at = {12 * n + chance.randrange(12 - 2 * AHEAD) for n in range(5)}
        for i, answer in enumerate(real(self, wanted)):
            if i in at:
                os.kill(victim(self, chance), signal.SIGKILL)
            yield answer
        done.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeaturePool, "prepare", disturbed)
        rows = run_job(Toy(tmp_path), recordings, store, "local:2")
    assert done.is_set()
    assert [row.status for row in rows] == ["ok"] * 60
    assert [row.path for row in rows] == [recording.name for recording in recordings]


def test_rows_come_in_the_order_of_the_corpus_and_failed_ones_are_tried_again(tmp_path: Path) -> None:
    recordings = corpus(tmp_path / "in", "ok", "abort", "ok", "raise", "ok")
    store = ShardStore(tmp_path / "out", "key")
    rows = run_job(Toy(tmp_path), recordings, store, "local:2")
    assert [row.status for row in rows] == ["ok", "failed", "ok", "failed", "ok"]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/key").iterdir()}
    assert len(stamps) == 3
    recordings[1].path.write_text("ok ")
    rows = run_job(Toy(tmp_path), recordings, store, "local:2")
    assert [row.status for row in rows] == ["ok", "ok", "ok", "failed", "ok"]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


class Deadly(ToyConsumer):
    def add(self, recording: Any, prepared: Any) -> Any:
        if recording.path.read_text() == "network":
            os.abort()
        return super().add(recording, prepared)


class DeadlyToy(Toy):
    def consumer(self, store: Any) -> Deadly:
        return Deadly(store)


def test_recording_that_kills_every_worker_of_a_cluster_is_found_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker's nanny gives up, too, as it does on a machine too busy: a new cluster takes over."""
    import distributed

    from actprobe.batch import cluster

    given_up: list[Any] = []
    restart = distributed.Nanny._on_worker_exit

    async def give_up_once(nanny: Any, code: Any) -> Any:
        if given_up:
            return await restart(nanny, code)
        given_up.append(nanny)
        return await nanny.close()

    monkeypatch.setattr(distributed.Nanny, "_on_worker_exit", give_up_once)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 5)
    recordings = corpus(tmp_path / "in", "ok", "network", "ok", "ok", "abort", "ok")
    rows = run_job(DeadlyToy(tmp_path), recordings, ShardStore(tmp_path / "out", "key"), "dask:1")
    assert given_up
    assert [row.status for row in rows] == ["ok", "failed", "ok", "ok", "failed", "ok"]
    assert rows[1].reason == cluster.DEADLY
    assert "SIGABRT" in rows[4].reason


# --- the neuron run -----------------------------------------------------------------------------------


RECORDINGS = 24


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phantom recordings, each under four names, and one that is none."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, recordings=6, seconds=3)
    for path in sorted(folder.glob("phantom_*.wav")):
        for copy in range(1, RECORDINGS // 6):
            shutil.copyfile(path, folder / f"{path.stem}_{copy}.wav")
    (folder / "a_text.wav").write_text("this is not audio")
    return folder


FLAGS = [
    "--model=svd", "--hop=40", "--layers=fc8", "--random_seeds=0", "--permutations=20", "--figures=0",
    "--batch_size=8",
]  # fmt: skip


def neurons(folder: Path, output_dir: Path, **options: Any) -> Any:
    model = load_model("svd", seed=0, hop=40)
    return actprobe.neurons(
        model, folder, layers=["fc8"], features=["onset_rate", "loudness"], output_dir=output_dir, figures=0,
        **{"random_seeds": 0, "permutations": 20, "batch_size": 8} | options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("undisturbed")
    neurons(phantom, output_dir)
    return output_dir


def same_tables(one: Path, other: Path) -> None:
    for name in TABLES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def shards(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in folder.glob("shards/*/*.npz"):
        status = path.stat()
        found[path] = (status.st_mtime_ns, status.st_ino)
    return found


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def when_shards(folder: Path, count: int, is_over: Callable[[], object]) -> None:
    while len(shards(folder)) < count and not is_over():
        time.sleep(0.002)


def test_killed_run_goes_on_and_ends_the_same(phantom: Path, undisturbed: Path, tmp_path: Path) -> None:
    """SIGKILL of the run at random points, three times over; what was finished keeps its files."""
    command: list[str | Path] = [
        sys.executable, ROOT / "bin/actprobe-neurons", *FLAGS, f"--input={phantom}",
        f"--output_dir={tmp_path}", "--executor=local:1",
    ]  # fmt: skip
    finished: dict[Path, tuple[int, int]] = {}
    for count in sorted(random.Random(0).sample(range(1, RECORDINGS - 3), 3)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        when_shards(tmp_path, count, partial(has_ended, process))
        process.kill()
        assert process.wait() == -signal.SIGKILL
        now = shards(tmp_path)
        assert count <= len(now) < RECORDINGS
        assert finished.items() <= now.items()
        assert not (tmp_path / "neurons.csv").exists()
        finished = now
    neurons(phantom, tmp_path)
    assert finished.items() <= shards(tmp_path).items()
    same_tables(tmp_path, undisturbed)


def test_activations_are_the_same_bytes_on_a_cluster(phantom: Path, tmp_path: Path) -> None:
    model = load_model("svd", seed=0, hop=40)
    files = {}
    for executor in ("local:2", "dask:1"):
        found = actprobe.activations(
            model, open_corpus(phantom)[:4], layers=["fc8"], output_dir=tmp_path / executor[:4],
            executor=executor,
        )  # fmt: skip
        files[executor] = [path.read_bytes() for path in found.files.values()]
    assert len(files["local:2"]) == 3
    assert files["local:2"] == files["dask:1"]


class Cluster:
    """A scheduler and two workers, as `dask scheduler` and `dask worker` start them."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.executor = f"dask://127.0.0.1:{self.port}"
        self.scheduler = self._start("scheduler", f"--port={self.port}", "--host=127.0.0.1", "--no-dashboard")
        address = f"tcp://127.0.0.1:{self.port}"
        self.worker = self._start("worker", address, "--nworkers=2", "--nthreads=1", "--death-timeout=5")

    def _start(self, kind: str, *flags: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + f"dask_{kind}", *flags], cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def worker_ids(self) -> list[int]:
        """Ask the scheduler for the processes that work."""
        from distributed import Client

        address = f"tcp://127.0.0.1:{self.port}"
        with Client(address, timeout=20, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(2, timeout=30)
            return list(client.run(os.getpid).values())

    def end(self) -> None:
        for process in (self.scheduler, self.worker):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One that stays, so that TensorFlow is loaded once by each of its workers."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.end()


def test_cluster_gives_the_same_bytes_and_opens_what_it_is_told(
    phantom: Path, undisturbed: Path, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.worker_ids()
    found = neurons(phantom, tmp_path, executor=cluster.executor)
    same_tables(tmp_path, undisturbed)
    assert found.recordings.status.tolist() == ["failed"] + ["ok"] * RECORDINGS
    assert found.record["stages"]["features"] > 0
    changed = load_model("svd", seed=0, hop=40)
    changed.keras_model.get_layer("fc8").bias.assign_add(np.ones(64, np.float32))
    with pytest.raises(UsageError, match="does not have the weights it was opened with"):
        actprobe.neurons(
            changed, phantom, layers=["fc8"], features=["loudness"], output_dir=tmp_path / "changed",
            executor=cluster.executor, random_seeds=0,
        )  # fmt: skip


def test_killed_workers_and_killed_schedulers_lose_nothing(
    phantom: Path, undisturbed: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """Three times over, a worker and then the scheduler at random points; another cluster ends the run."""
    out, chance = tmp_path / "out", random.Random(1)
    finished: dict[Path, tuple[int, int]] = {}
    for turn in range(3):
        doomed = Cluster(tmp_path)
        try:
            victims = doomed.worker_ids()
            with ThreadPoolExecutor(1) as pool:
                run = as_user if turn == 0 else neurons
                ending = pool.submit(run, phantom, out, executor=doomed.executor)
                at = len(finished) + chance.randint(1, 2)
                when_shards(out, at, ending.done)
                os.kill(chance.choice(victims), signal.SIGKILL)
                when_shards(out, at + chance.randint(1, 3), ending.done)
                doomed.scheduler.kill()
                with pytest.raises(ActprobeError, match="scheduler was lost"):
                    ending.result()
        finally:
            doomed.end()
        now = shards(out)
        assert len(finished) < len(now) <= RECORDINGS
        assert finished.items() <= now.items()
        finished = now
    cluster.worker_ids()
    neurons(phantom, out, executor=cluster.executor)
    assert finished.items() <= shards(out).items()
    same_tables(out, undisturbed)


def as_user(folder: Path, output_dir: Path, executor: str) -> None:
    """Run the binary, which says in its last line what ended it."""
    flags = [*FLAGS, f"--input={folder}", f"--output_dir={output_dir}", f"--executor={executor}"]
    command: list[str | Path] = [sys.executable, ROOT / "bin/actprobe-neurons", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    raise ActprobeError(ended.stderr.splitlines()[-1])


def test_every_awkward_recording_is_analysed_or_listed_with_its_reason(assets: Path, tmp_path: Path) -> None:
    """Every odd and broken file among good ones, each in a process that may crash."""
    folder = tmp_path / "in"
    folder.mkdir()
    awkward = sorted((assets / "audio/awkward").iterdir())
    good = sorted((assets / "audio/annotated").glob("*.flac"))[:3]
    for path in (*awkward, *good):
        (folder / path.name).symlink_to(path)
    manifest = tmp_path / "all.csv"
    manifest.write_text("path\n" + "".join(f"in/{path.name}\n" for path in (*awkward, *good)))
    found = neurons(manifest, tmp_path / "out", random_seeds=0)
    ledger = found.recordings.set_index("path")
    assert len(ledger) == len(awkward) + 3
    assert (ledger.status[[f"in/{path.name}" for path in good]] == "ok").all()
    failed = ledger[ledger.status == "failed"]
    assert 10 < len(failed) < len(awkward)
    assert (failed.reason.str.len() > 5).all()
    assert (ledger.reason[ledger.status == "ok"] == "").all()
    counted = found.table.groupby("feature").n.max()
    for feature in ("onset_rate", "loudness"):  # some are too short for either
        assert counted[feature] == ledger[feature].notna().sum()
        lacking = (ledger.status == "ok") & ledger[feature].isna()
        assert lacking.sum() > 0
        assert ledger.warning[lacking].str.contains(f"feature {feature}: .* too short").all()


def test_feature_of_ones_own_that_crashes_costs_one_recording(
    phantom: Path, binary: Any, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "import os\nimport numpy as np\nfrom actprobe.features import feature\n\n"
        "def helper(samples):\n    return float(np.mean(np.abs(samples)))\n\n"
        "@feature('mean_level', unit='')\ndef mean_level(waveform):\n"
        "    '''Mean of the absolute samples.'''\n"
        "    if waveform.source.path.endswith('3.wav'):\n        os.abort()\n"
        "    return helper(waveform.samples)\n"
    )
    manifest = phantom / "few.csv"
    manifest.write_text("path\n" + "".join(f"phantom_0000{i}.wav\n" for i in range(6)))
    flags = [*FLAGS, "--features=mean_level", f"--features_from={own}", f"--input={manifest}"]
    ended = binary("actprobe-neurons", *flags, f"--output_dir={tmp_path / 'out'}", "--executor=local:1")
    assert ended.returncode == 0, ended.stderr
    ledger = pd.read_csv(tmp_path / "out/recordings.csv", keep_default_na=False).set_index("path")
    assert list(ledger.index[ledger.reason.str.contains("SIGABRT")]) == ["phantom_00003.wav"]
    assert (ledger.status == "ok").sum() == 5
    assert (ledger.mean_level[ledger.status == "ok"].astype(float) > 0).all()
