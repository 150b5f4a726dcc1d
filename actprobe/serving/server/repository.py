"""All models: the folders are polled, versions come and go, and a request finds the version it asks for.

A new version is loaded, warmed up, and only then the one before it is withdrawn; one that fails to load
replaces nothing and is tried again when its files change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actprobe.errors import ServingError, UsageError
from actprobe.serving.bundle import version_number, versions_in
from actprobe.serving.server.config import ModelConfig
from actprobe.serving.server.servable import Servable
from actprobe.serving.server.versions import Versions, fingerprint

Load = Callable[[Path, str, int], Servable]
Report = Callable[[str], None]


class Repository:
    """The models that are served.

    `load` makes a version ready: folder, name, number -> Servable. `report` takes a line about each version
    that comes, fails or goes.
    """

    def __init__(self, load: Load, report: Report = lambda line: None) -> None:
        self._load, self._report = load, report
        self._configs: Mapping[str, ModelConfig] = {}
        self._models: dict[str, Versions] = {}
        self._turn = threading.Lock()  # one thread at a time loads and unloads
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def configure(self, configs: Mapping[str, ModelConfig], *, strict_labels: bool = True) -> None:
        """Serve these models and no others; returns when their versions have been loaded or have failed.

        With `strict_labels` a label of a version that does not answer is FAILED_PRECONDITION, and what was
        served before stays.
        """
        with self._turn:
            for name, config in configs.items():
                self._update(self._models.setdefault(name, Versions(name)), config, withdraw=False)
            try:
                chosen = {name: self._labels(config, strict_labels) for name, config in configs.items()}
            except ServingError:  # what this call brought in goes again
                for name in self._models.keys() - self._configs.keys():
                    self._models.pop(name).close(timeout_seconds=0)
                for name, config in self._configs.items():
                    self._update(self._models[name], config)
                raise
            self._configs = dict(configs)
            for name, labels in chosen.items():
                self._models[name].labels = labels
                self._update(self._models[name], configs[name])
            for name in self._models.keys() - configs.keys():
                self._report(f"{name}: no longer served")
                self._models.pop(name).close(timeout_seconds=0)

    def _labels(self, config: ModelConfig, strict: bool) -> dict[str, int]:
        answering = self._models[config.name].available()
        before = self._models[config.name].labels
        chosen: dict[str, int] = {}
        for label, number in config.labels.items():
            if number in answering:
                chosen[label] = number
            elif strict:
                reason = f"label {label} of {config.name}: version {number} is not available"
                raise ServingError("FAILED_PRECONDITION", reason)
            else:
                self._report(f"{config.name}: label {label} waits for version {number}")
                if before.get(label) in answering:
                    chosen[label] = before[label]
        return chosen

    def poll(self) -> None:
        """Look at the folders once: load what is new, withdraw what is gone."""
        with self._turn:
            for name, config in self._configs.items():
                model = self._models[name]
                self._update(model, config)
                if config.labels != model.labels:
                    answering = model.available()
                    model.labels = model.labels | {
                        label: number for label, number in config.labels.items() if number in answering
                    }

    def _update(self, model: Versions, config: ModelConfig, *, withdraw: bool = True) -> None:
        try:
            there = versions_in(config.base_path)
        except OSError as error:
            self._report(f"{model.name}: {config.base_path} cannot be read ({error.strerror})")
            return
        wanted = self._bring_wanted(model, config, there)
        if not withdraw:
            return
        for number in model.available():
            # Something has to answer: the old one goes when another is there, or when its files are gone.
            if number not in wanted and (wanted or number not in there):
                model.withdraw(number)
                self._report(f"{model.name} {number}: withdrawn")
        model.forget(set(there))

    def _bring_wanted(self, model: Versions, config: ModelConfig, there: list[int]) -> list[int]:
        """Load what is wanted; in place of a version that fails, the next best is wanted."""
        sound = list(there)
        while True:
            wanted, answering = config.policy.choose(sound), model.available()
            missing = [number for number in wanted if number not in answering]
            if not missing:
                return wanted
            folder = _folder(config.base_path, missing[0])
            seen = fingerprint(folder)
            if model.failed(missing[0], seen) or not self._bring(model, folder, missing[0], seen):
                sound.remove(missing[0])

    def _bring(self, model: Versions, folder: Path, number: int, seen: tuple[object, ...]) -> bool:
        model.began(number, seen)
        began = time.perf_counter()
        try:
            servable = self._load(folder, model.name, number)
        except ServingError as error:
            self._report(f"{model.name} {number}: {folder}: {error.reason}")
            model.ended(number, error)
        except Exception as error:  # a fault here must not stop the versions that answer
            self._report(f"{model.name} {number}: {folder}: {error!r}")
            model.ended(number, ServingError("INTERNAL", f"could not be loaded ({error!r})"))
        else:
            model.ended(number, servable)
            self._report(f"{model.name} {number}: available after {time.perf_counter() - began:.1f} s")
            return True
        return False

    def start(self, wait_seconds: float, *, also: Callable[[], None] = lambda: None) -> None:
        """Poll from now on in a thread, every so many seconds (0: never); `also` comes first."""
        if wait_seconds <= 0:
            return

        def keep_looking() -> None:
            while not self._stop.wait(wait_seconds):
                self._look(also)

        self._thread = threading.Thread(target=keep_looking, name="repository", daemon=True)
        self._thread.start()

    def _look(self, also: Callable[[], None]) -> None:
        try:
            also()
        except (ServingError, UsageError) as error:
            self._report(f"settings were not taken: {error}")
        try:
            self.poll()
        except Exception as error:  # the next look may find what this one did not
            self._report(f"the look at the folders failed: {error!r}")

    def close(self, timeout_seconds: float | None = None) -> None:
        """Stop polling and withdraw everything, waiting so long for requests that run."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        for model in list(self._models.values()):
            model.close(timeout_seconds)

    @contextmanager
    def lease(self, spec: Any) -> Iterator[Servable]:
        """Use the version that a ModelSpec asks for, by number, label or neither, see `Versions.lease`."""
        number, label = _asked(spec)
        with self._model(spec.name, number).lease(number, label) as servable:
            yield servable

    def status(self, spec: Any) -> list[tuple[int, str, ServingError | None]]:
        """List number, state and error of the version that a ModelSpec asks for, or of all.

        No such model or version is NOT_FOUND, no such label INVALID_ARGUMENT.
        """
        number, label = _asked(spec)
        model = self._models.get(spec.name)
        if model is not None and label is not None:
            number = model.labels.get(label)
            if number is None:
                reason = f"Unrecognized servable version label: {label[:64]}"
                raise ServingError("INVALID_ARGUMENT", reason)
        found = [] if model is None else model.snapshot()
        found = [one for one in found if number is None or one[0] == number]
        if not found:
            what = "any versions" if number is None else f"version {number}"
            raise ServingError("NOT_FOUND", f"Could not find {what} of model {spec.name[:128]}")
        return found

    def served(self) -> dict[str, list[int]]:
        """List the versions that answer, by model."""
        return {name: model.available() for name, model in list(self._models.items())}

    def _model(self, name: str, number: int | None) -> Versions:
        if not name:
            raise ServingError("INVALID_ARGUMENT", "Missing ModelSpec")
        model = self._models.get(name)
        if model is None:
            shown = name[:128]
            asked = f"Latest({shown})" if number is None else f"Specific({shown}, {number})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")
        return model


def _asked(spec: Any) -> tuple[int | None, str | None]:
    choice = spec.WhichOneof("version_choice")
    return (
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )


def _folder(base: Path, number: int) -> Path:
    """The folder of a version, whose name may have zeros before the number."""
    plain = base / str(number)
    if plain.is_dir():
        return plain
    named = (path for path in base.iterdir() if version_number(path.name) == number)
    return next(named, plain)
