"""The server as a process: it is put together, told to stop, and stops without losing what it has taken."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.serving.bundle import METRICS_PATH
from actprobe.serving.protocol.settings import read_message
from actprobe.serving.server.access_log import AccessLog
from actprobe.serving.server.batching import BatchingParameters, read_batching_parameters
from actprobe.serving.server.config import ModelConfig, configs_of, models_in, read_models
from actprobe.serving.server.grpc_service import GrpcServer
from actprobe.serving.server.listening import http_server, listen, new_loop
from actprobe.serving.server.metrics import Metrics
from actprobe.serving.server.options import ServerOptions
from actprobe.serving.server.predict import Predictor
from actprobe.serving.server.priority import lower_priority
from actprobe.serving.server.repository import Repository
from actprobe.serving.server.rest import Rest
from actprobe.serving.server.runner import Runner
from actprobe.serving.server.security import read_certificate, read_tokens
from actprobe.serving.server.servable import Parallelism, Servable

_SWITCH_SECONDS = 2e-4  # a thread that comes back from TensorFlow waits so long for the event loop, not 5 ms

Report = Callable[[str], None]


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


class Server:
    """An embedded server for a subset of TensorFlow Serving's API.

    `report` takes a line about each thing that happens. Options that contradict each other or name what is
    not there are a `UsageError`.
    """

    def __init__(self, options: ServerOptions, report: Report = _say) -> None:
        if not (options.model_base or options.model_config_file):
            raise UsageError("nothing to serve: give --model_base or --model_config_file")
        if options.port < 0 and options.rest_api_port < 0:
            raise UsageError("--port and --rest_api_port both leave their side out")
        if options.port == options.rest_api_port and options.port > 0:
            raise UsageError("--rest_api_port cannot be the same as --port")
        self.options, self._report = options, report
        self._batching: BatchingParameters | None = None
        if options.batching_parameters_file and not options.enable_batching:
            raise UsageError("--batching_parameters_file needs --enable_batching")
        if options.enable_batching:
            file = options.batching_parameters_file
            self._batching = read_batching_parameters(file) if file else BatchingParameters()
        self._tokens = read_tokens(options.bearer_token_file)
        self._certificate = read_certificate(options.ssl_config_file)
        self._metrics_path = _metrics_path(options.monitoring_config_file)
        self._file_seen: tuple[object, ...] = ()
        self._parallelism = Parallelism(
            options.tensorflow_intra_op_parallelism, options.tensorflow_inter_op_parallelism
        )
        self.repository = Repository(self._load, report)
        self.metrics = Metrics(self.repository.served)
        self.access_log = AccessLog(options.access_log)
        self._runner = Runner()
        self._predictor = Predictor(self.repository, self.metrics, self.access_log, self._runner)
        self._grpc: GrpcServer | None = None
        self._rest: Rest | None = None
        self._http: Any = None
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader", initializer=lower_priority)
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="serving", daemon=True)
        self.port = self.rest_api_port = 0

    def _load(self, folder: Path, name: str, number: int) -> Servable:
        """Load in a thread of its own, whose priority TensorFlow's threads take over."""
        return self._loader.submit(self._load_here, folder, name, number).result()

    def _load_here(self, folder: Path, name: str, number: int) -> Servable:
        servable = Servable(folder, name, number, self._batching, self._parallelism)
        if self.options.enable_model_warmup:
            try:
                servable.warm_up()
            except Exception:
                servable.close()
                raise
        return servable

    def _models(self) -> dict[str, ModelConfig]:
        options = self.options
        base = Path(options.model_base).resolve() if options.model_base else None
        if options.model_config_file:
            return read_models(Path(options.model_config_file), base)
        assert base is not None
        return models_in(base, options.model_name or None)

    def start(self) -> None:
        """Load the models, then listen; `UsageError` if there are no models or an address cannot be had."""
        options = self.options
        models = self._models()
        if not models:
            raise UsageError(f"{options.model_base or options.model_config_file}: holds no model to serve")
        backend.tf.get_logger().setLevel("ERROR")
        lenient = options.allow_version_labels_for_unavailable_models
        self._file_seen = self._look()
        self.repository.configure(models, strict_labels=not lenient)
        self._thread.start()
        self._on_loop(self._listen())
        wait = options.file_system_poll_wait_seconds
        self.repository.start(wait, also=self._look_at_settings)

    def _reload(self, message: Any) -> None:
        """Take the settings that a call brings."""
        configs = configs_of(message, Path.cwd())
        if not configs:
            raise UsageError("the model_config_list is empty")
        lenient = self.options.allow_version_labels_for_unavailable_models
        self.repository.configure(configs, strict_labels=not lenient)

    def _look(self) -> tuple[object, ...]:
        """What the settings look like; of a base folder, the names of the models."""
        options = self.options
        try:
            if options.model_config_file:
                stat = Path(options.model_config_file).stat()
                return stat.st_mtime_ns, stat.st_size, stat.st_ino
            return tuple(sorted(self._models().items(), key=lambda item: item[0]))
        except (OSError, UsageError):
            return ()

    def _look_at_settings(self) -> None:
        """Take settings that have changed since the last look; called before the folders are polled."""
        if self.options.model_config_file:
            wait = self.options.model_config_file_poll_wait_seconds
            if wait <= 0 or time.monotonic() < getattr(self, "_next_look", 0.0):
                return
            self._next_look = time.monotonic() + wait
        seen = self._look()
        if not seen or seen == self._file_seen:
            return
        self._file_seen = seen
        lenient = self.options.allow_version_labels_for_unavailable_models
        models = self._models()
        if (
            self.options.model_config_file and not models
        ):  # a file that is just being written is empty at first
            raise UsageError(f"{self.options.model_config_file}: names no model")
        self.repository.configure(models, strict_labels=not lenient)
        self._report(f"settings were read again: {', '.join(models)}")

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        options = self.options
        if options.rest_api_port >= 0:
            listening = listen(options.host, options.rest_api_port)
            self.rest_api_port = listening.getsockname()[1]
            self._rest = Rest(self._predictor, options, self._tokens, self._metrics_path)
            self._http = http_server(self._rest, self._certificate, options)
            self._http_done = asyncio.ensure_future(self._http.serve(sockets=[listening]))
            while not (self._http.started or self._http_done.done()):
                await asyncio.sleep(0.005)
        if options.port >= 0:
            self._grpc = GrpcServer(self._predictor, self._reload, options, self._tokens, self._certificate)
            self.port = self._grpc.port
            await self._grpc.start()

    async def _stop_listening(self) -> None:
        ends = []
        if self._rest is not None:
            self._http.should_exit = True
            ends.append(self._http_done)
        if self._grpc is not None:
            stopped = self._grpc.stop(self.options.shutdown_grace_seconds)
            ends.append(asyncio.ensure_future(stopped))
        if ends:
            await asyncio.wait(ends, timeout=self.options.shutdown_grace_seconds + 1)

    def stop(self) -> None:
        """Take no more requests, answer those that were taken, and close the models."""
        if self._thread.is_alive():
            self._on_loop(self._stop_listening())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if self._rest is not None:
            self._rest.close()
        self._runner.close()
        self.repository.close(self.options.shutdown_grace_seconds)
        self._loader.shutdown(wait=False)
        self.access_log.close()

    def addresses(self) -> list[str]:
        """List where the server listens, a line for gRPC and one for REST."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        secure = "s" if self._certificate is not None else ""
        lines = []
        if self._grpc is not None:
            lines.append(f"gRPC at {host}:{self.port}" + (" (TLS)" if secure else ""))
        if self._rest is not None:
            lines.append(f"REST at http{secure}://{host}:{self.rest_api_port}")
        return lines


def _metrics_path(file: str) -> str:
    if not file:
        return METRICS_PATH
    config = read_message(file, "MonitoringConfig").prometheus_config
    path = str(config.path or METRICS_PATH) if config.enable else ""
    if path and (not path.startswith("/") or path.startswith("/v1/") or "{" in path):
        raise UsageError(f"{file}: {path!r} cannot be the path of metrics")
    return path


def serve(options: ServerOptions, report: Report = _say) -> int:
    """Serve until SIGTERM or SIGINT; return 0 when every request that was taken has been answered."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        if told.is_set():  # a second time: at once
            os._exit(128 + number)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    server = Server(options, report)
    server.start()
    for line in server.addresses():
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    while not told.wait(0.5):
        pass
    report("stopping: no more requests are taken")
    server.stop()
    report("stopped")
    return 0
