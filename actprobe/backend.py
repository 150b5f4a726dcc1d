"""The only place that imports TensorFlow, Keras, PyTorch, TensorFlow's add-ons, essentia and librosa.

essentia loads after TensorFlow only if the C++ library was loaded before that: otherwise its random device
cannot be opened, and features have it in another process (`actprobe.features.essentia_process`). So the C++
library is loaded first here. Every other module
writes ``from actprobe import backend`` and then ``backend.tf``, ``backend.keras`` (tf-keras),
``backend.keras3``, ``backend.torch``, ``backend.essentia``, ``backend.librosa`` or ``backend.tfio``; nothing
heavy is loaded until one of these is touched, and ``backend.essentia`` alone never loads TensorFlow.
``backend.serving.predict_pb2`` and the like are the modules of tensorflow-serving-api. Two have no public
name in TensorFlow: ``backend.freeze`` makes a function's variables constants, and ``backend.session_call``
makes a call of a session that is looked up once and not at each call.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from actprobe.errors import ActprobeError
from actprobe.extras import require

__all__ = [  # noqa: F822  (by __getattr__)
    "essentia", "freeze", "keras", "keras3", "librosa", "serving", "session_call", "tf", "tfio", "torch",
]  # fmt: skip

# librosa compiles these when they are imported, and Numba keeps what it compiled in two files each.
COMPILED_ON_IMPORT = ("librosa.util.utils", "librosa.core.audio", "librosa.core.pitch")

CPP_LIBRARY = "libstdc++.so.6"

_loaded: dict[str, Any] = {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what TensorFlow's C++ says while it is loaded, before its log levels count, off stderr."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3" or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def essentia_loads() -> bool:
    """Whether TensorFlow, imported before it, does not keep essentia from being loaded in this process."""
    return (
        "essentia.standard" in sys.modules
        or "tensorflow" not in sys.modules
        or "cpp" in _loaded
        or importlib.util.find_spec("essentia") is None
    )


def _load_cpp_library() -> None:
    """Load the C++ library, before TensorFlow does and keeps its own copy of std::random_device."""
    with suppress(OSError):  # another system, or another C++ library
        _loaded["cpp"] = ctypes.CDLL(CPP_LIBRARY)


def _load_essentia() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not essentia_loads():
        raise ActprobeError(
            "essentia does not load in a process that imported TensorFlow before it: let a function with "
            "@feature(..., backend='essentia-tensorflow') use it, which is called in a process of its own"
        )
    try:
        package = importlib.import_module("essentia")
    except ImportError as error:
        raise ActprobeError(f"essentia-tensorflow is not installed ({error})") from error
    package.log.infoActive = False
    package.log.warningActive = False
    return sys.modules.get("essentia.standard") or _essentia_standard(package)


def _essentia_standard(package: Any) -> Any:
    """Import essentia.standard so that the class of an algorithm is made when it is first asked for.

    It makes one of each algorithm to make its class, which takes a second and starts the threads of its
    TensorFlow, which no fork of this process could compute with.
    """
    native = package._essentia
    names = frozenset(native.keys())
    spec = importlib.util.find_spec("essentia.standard")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)

    def algorithm(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module 'essentia.standard' has no attribute {name!r}")
        return module._create_essentia_class(name)

    module.__getattr__ = algorithm
    sys.modules[spec.name] = package.standard = module
    keys, native.keys = native.keys, list  # what it makes at once: none
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    finally:
        native.keys = keys
    module.algorithmNames = keys
    module.__all__ = sorted({*names, *(name for name in vars(module) if not name.startswith("_"))})
    return module


def _load_tf() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if "tensorflow" not in sys.modules:  # who imported it before has essentia in another process
        _load_cpp_library()
    with _quiet():
        tensorflow = importlib.import_module("tensorflow")
        with suppress(RuntimeError):  # whoever imported TensorFlow before has computed on them already
            for gpu in tensorflow.config.list_physical_devices("GPU"):
                tensorflow.config.experimental.set_memory_growth(gpu, True)
        # Parity with the original networks is to five digits; TensorFloat-32 keeps three.
        tensorflow.config.experimental.enable_tensor_float_32_execution(False)
        # It takes many small functions for one that is traced anew, and warns of it.
        tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


def _load_keras() -> Any:
    _get("tf")
    with _quiet():
        return importlib.import_module("tf_keras")


def _load_keras3() -> Any:
    _get("tf")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _quiet():
        return importlib.import_module("keras")


def _load_torch() -> Any:
    require("torch", "a network of PyTorch")
    return importlib.import_module("torch")


def _load_tfio() -> Any:
    _get("tf")
    try:
        return importlib.import_module("tensorflow_io")
    except Exception as error:  # its shared objects fail in many ways beside another TensorFlow
        raise ActprobeError(f"tensorflow-io does not load here ({error})") from error


def _load_freeze() -> Any:
    _get("tf")
    module = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    return module.convert_variables_to_constants_v2


def _load_serving() -> Any:
    require("serve", "TensorFlow Serving's protocol")
    return _ServingApi()


def _load_librosa() -> Any:
    package = importlib.import_module("librosa")
    importlib.import_module("librosa.filters")  # most of it compiles nothing and need not wait
    # Two processes that compile the same generalised ufunc write files that do not fit each other, and every
    # later process that loads them crashes (Numba issue 10128): one at a time.
    with Path(str(package.__file__)).open("rb") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        for name in COMPILED_ON_IMPORT:
            importlib.import_module(name)
    return package


def _load_session_call() -> Any:
    _get("tf")
    options = importlib.import_module("tensorflow.core.protobuf.config_pb2").CallableOptions

    def session_call(session: Any, fed: list[str], fetched: list[str]) -> Any:
        return session._make_callable_from_options(options(feed=fed, fetch=fetched))

    return session_call


class _ServingApi:
    """The modules of tensorflow-serving-api by name; they import TensorFlow themselves."""

    def __getattr__(self, name: str) -> Any:
        _get("tf")
        room = "config" if name == "model_server_config_pb2" else "apis"
        try:
            return importlib.import_module(f"tensorflow_serving.{room}.{name}")
        except ImportError as error:
            raise AttributeError(f"tensorflow-serving-api has no module {name} ({error})") from error


_LOADERS = {
    "essentia": _load_essentia,
    "freeze": _load_freeze,
    "keras": _load_keras,
    "keras3": _load_keras3,
    "librosa": _load_librosa,
    "serving": _load_serving,
    "session_call": _load_session_call,
    "tf": _load_tf,
    "tfio": _load_tfio,
    "torch": _load_torch,
}


def _get(name: str) -> Any:
    if name not in _loaded:
        _loaded[name] = _LOADERS[name]()
    return _loaded[name]


def __getattr__(name: str) -> Any:
    if name in _LOADERS:
        return _get(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
