"""Requests per second of the embedded server against the same model called in a process.

    python benchmarks/serving.py [--cores=2] [--seconds=6] [--requests=0]

The FC7 inverter of the SVD network (256 features -> 115 x 80), one example in a request, seeded weights. The
server has the first two cores; the clients run in another process, on the other cores where there are any.
The limit is measured in the same run, on the same cores, between the servers' turns: the SavedModel's own
signature called in a loop, the best of several batch sizes. --requests=50000 adds as many requests at
concurrency 32 and prints the server's memory.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
METHOD = "/tensorflow.serving.PredictionService/Predict"
NAME = "svd_inverter_fc7"
FEATURES, SHAPE = 256, (115, 80)
BATCHES = (1, 4, 8, 16, 32, 64)


def export(folder: Path) -> Path:
    """Export the inverter; gives what a server takes as --model_base."""
    from actprobe import load_inverter
    from actprobe.serving.export import export

    export(load_inverter("svd", "fc7"), output_dir=folder, name=NAME)
    return folder / "models"


def limit(folder: Path, seconds: float) -> None:
    """Print examples per second of each batch size and the median milliseconds of a single call."""
    from actprobe import backend

    tf = backend.tf
    cores = len(os.sched_getaffinity(0))
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    tf.config.threading.set_inter_op_parallelism_threads(cores)
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    speeds, single = {}, []
    for size in BATCHES:
        features = tf.constant(np.random.default_rng(0).standard_normal((size, FEATURES)), tf.float32)
        signature(features=features)
        began, count = perf_counter(), 0
        while (now := perf_counter()) - began < seconds / len(BATCHES):
            signature(features=features)["mel_spectrogram"].numpy()
            count += size
            if size == 1:
                single.append(perf_counter() - now)
        speeds[size] = count / (perf_counter() - began)
    print(json.dumps({"speeds": speeds, "single_ms": 1e3 * median(single)}))


def grpc_caller(address: str) -> Callable[[], int]:
    """A function that asks once; the bytes of the request are made only once."""
    import grpc

    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(address, options=options)
    call = channel.unary_unary(METHOD)
    body = (Path(tempfile.gettempdir()) / f"actprobe-request-{os.getppid()}").read_bytes()

    def ask() -> int:
        return len(call(body, timeout=60))

    return ask


def rest_caller(address: str) -> Callable[[], int]:
    """A function that asks once, on a connection that is kept."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    features = np.random.default_rng(0).standard_normal(FEATURES).astype(np.float32)
    body = json.dumps({"instances": [[float(str(value)) for value in features]]})

    def ask() -> int:
        connection.request("POST", f"/v1/models/{NAME}:predict", body)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(content[:200])
        return len(content)

    return ask


def load(address: str, kind: str, concurrency: int, seconds: float, requests: int) -> None:
    """Ask from so many threads; print requests per second, median and 99th percentile, failures."""
    callers = [
        (grpc_caller if kind == "grpc" else rest_caller)(address)
        for _ in range(concurrency if kind == "rest" else min(concurrency, 4))
    ]
    taken: list[list[float]] = [[] for _ in range(concurrency)]
    failures: list[str] = []
    sizes: set[int] = set()
    start = threading.Barrier(concurrency + 1)
    ends = [0.0]
    left = [requests]

    def work(index: int) -> None:
        ask = callers[index % len(callers)]
        ask()
        start.wait()
        while perf_counter() < ends[0] or left[0] > 0:
            left[0] -= 1
            began = perf_counter()
            try:
                sizes.add(ask() // 1000)
            except Exception as error:
                failures.append(repr(error))
            taken[index].append(perf_counter() - began)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(concurrency)]
    for thread in threads:
        thread.start()
    ends[0] = perf_counter() + seconds
    start.wait()
    began = perf_counter()
    for thread in threads:
        thread.join()
    elapsed = perf_counter() - began
    every = np.array([value for values in taken for value in values]) * 1e3
    print(
        json.dumps(
            {
                "rate": len(every) / elapsed,
                "p50": float(np.percentile(every, 50)),
                "p99": float(np.percentile(every, 99)),
                "count": len(every),
                "failures": len(failures),
                "first": failures[:1],
            }
        )
    )


class Server:
    """The embedded server in a process of its own."""

    def __init__(self, base: Path, cores: list[int], *flags: str) -> None:
        command = [
            sys.executable, str(ROOT / "bin/actprobe-serve"), f"--model_base={base}", "--port=0",
            "--rest_api_port=0", *flags,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(2)]
        self.addresses = {"grpc": lines[0].split()[-1], "rest": lines[1].split()[-1]}

    def memory(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait()


def part(cores: list[int], *arguments: str) -> dict[str, Any]:
    """Run a part of this file on some cores."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def write_request(path: Path) -> None:
    from actprobe import backend
    from actprobe.serving.protocol.tensors import fill_tensor_proto

    request = backend.serving.predict_pb2.PredictRequest()
    request.model_spec.name = NAME
    features = np.random.default_rng(0).standard_normal((1, FEATURES)).astype(np.float32)
    fill_tensor_proto(request.inputs["features"], features)
    path.write_bytes(request.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=["limit", "load"], help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--concurrency", default="1,8,32,128")
    parser.add_argument("--kinds", default="grpc,rest")
    parser.add_argument("--model", help="a SavedModel's folder of versions in place of the inverter's")
    parser.add_argument("--batching_parameters_file", default="")
    options = parser.parse_args()
    if options.part == "limit":
        return limit(Path(options.rest[0]), float(options.rest[1]))
    if options.part == "load":
        address, kind, concurrency, seconds, requests = options.rest
        return load(address, kind, int(concurrency), float(seconds), int(requests))

    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = cores[: options.cores], cores[options.cores :] or cores
    request = Path(tempfile.gettempdir()) / f"actprobe-request-{os.getpid()}"
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(options.model).parent if options.model else export(Path(scratch))
        version = max((base / NAME).iterdir())
        write_request(request)
        print(f"server on cores {ours}, clients on {theirs}, load {os.getloadavg()[0]:.1f}")
        rows, limits = [], []
        try:
            for batching in (True, False):
                flags = ["--enable_batching"] if batching else []
                if batching and options.batching_parameters_file:
                    flags.append(f"--batching_parameters_file={options.batching_parameters_file}")
                for kind in options.kinds.split(","):
                    limits.append(part(ours, "limit", str(version), str(options.seconds)))
                    server = Server(base, ours, *flags)
                    for concurrency in map(int, options.concurrency.split(",")):
                        found = part(
                            theirs, "load", server.addresses[kind], kind, str(concurrency),
                            str(options.seconds), "0",
                        )  # fmt: skip
                        rows.append((kind, batching, concurrency, found))
                    assert server.stop() == 0
            limits.append(part(ours, "limit", str(version), str(options.seconds)))
            show(rows, limits)
            if options.requests:
                endure(base, ours, theirs, options.requests)
        finally:
            request.unlink(missing_ok=True)
    return None


def show(rows: list[Any], limits: list[dict[str, Any]]) -> None:
    best = [max(found["speeds"].values()) for found in limits]
    single = median(found["single_ms"] for found in limits)
    print("in process, examples/s by batch size, median of all turns:")
    print(
        "  "
        + ", ".join(f"{size}: {median(one['speeds'][str(size)] for one in limits):.0f}" for size in BATCHES)
    )
    print(f"limit {median(best):.0f} examples/s ({min(best):.0f} to {max(best):.0f})")
    print(f"single call {single:.2f} ms at p50")
    print(f"{'':6}{'batching':10}{'c':>5}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'of limit':>10}{'lost':>6}")
    for kind, batching, concurrency, found in rows:
        share = found["rate"] / median(best)
        print(
            f"{kind:6}{'yes' if batching else 'no':10}{concurrency:>5}{found['rate']:>8.0f}"
            f"{found['p50']:>9.2f}{found['p99']:>9.2f}{share:>10.0%}{found['failures']:>6} "
            + " ".join(found["first"])
        )
    for kind in ("grpc", "rest"):
        first = [row for row in rows if row[0] == kind and row[2] == 1]
        for _, batching, _, found in first:
            extra = found["p50"] - single
            how = "with" if batching else "without"
            print(f"{kind} c1 {how} batching: p50 {extra:+.2f} ms on the bare call")


def endure(base: Path, ours: list[int], theirs: list[int], requests: int) -> None:
    server = Server(base, ours, "--enable_batching")
    try:
        memory, done = [server.memory()], [0]
        for _ in range(5):
            for kind in ("grpc", "rest"):
                share = requests // 10
                found = part(theirs, "load", server.addresses[kind], kind, "32", "0", str(share))
                assert not found["failures"], found["first"]
                done.append(done[-1] + found["count"])
                memory.append(server.memory())
        sleep(1)
        print(f"{done[-1]} requests: resident MiB " + ", ".join(f"{value:.0f}" for value in memory))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
