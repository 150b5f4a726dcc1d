"""Devices and strategies of a training."""

from __future__ import annotations

import json
import os
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError


def set_up_devices(device: str = "auto", memory_limit_mb: int | None = None, threads: int = 0) -> None:
    """Set what TensorFlow may use.

    ``cpu`` leaves GPUs alone; ``memory_limit_mb`` is the memory of each GPU that may be taken; ``threads`` is
    for one operation, 0 for what there is. UsageError once TensorFlow has computed, since it cannot be
    changed then.
    """
    config = backend.tf.config
    try:
        if threads:
            config.threading.set_intra_op_parallelism_threads(threads)
            config.threading.set_inter_op_parallelism_threads(2)
        gpus = config.list_physical_devices("GPU")
        if device == "cpu":
            config.set_visible_devices([], "GPU")
        elif memory_limit_mb is not None:
            for gpu in gpus:
                config.experimental.set_memory_growth(gpu, False)
                limit = config.LogicalDeviceConfiguration(memory_limit=memory_limit_mb)
                config.set_logical_device_configuration(gpu, [limit])
    except RuntimeError as error:
        reason = f"device, memory_limit_mb and threads come before a model is opened: {error}"
        raise UsageError(reason) from error


def distribution(name: str = "auto") -> Any:
    """Choose the tf.distribute.Strategy in whose scope a training runs.

    ``mirrored`` (all GPUs of this machine), ``multi_worker`` (the machines of ``TF_CONFIG``), or ``auto``:
    mirrored with more than one GPU, multi_worker when ``TF_CONFIG`` names a cluster. UsageError where
    ``TF_CONFIG`` is not JSON, or names no cluster for multi_worker.
    """
    distribute = backend.tf.distribute
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    except (ValueError, AttributeError) as error:
        raise UsageError(f"TF_CONFIG is not JSON as TensorFlow wants it: {error}") from error
    if name == "multi_worker" or (name == "auto" and cluster):
        if not cluster:
            raise UsageError("--strategy=multi_worker needs TF_CONFIG with the cluster and this task")
        return distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored" or (name == "auto" and len(backend.tf.config.list_logical_devices("GPU")) > 1):
        return distribute.MirroredStrategy()
    return distribute.get_strategy()


def is_chief() -> bool:
    """Whether this process writes the results."""
    resolver = backend.tf.distribute.get_strategy().cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)


def wait_for_all_workers() -> None:
    """Return when every worker has come here; at once where there is one."""
    tf = backend.tf
    chosen = tf.distribute.get_strategy()
    if chosen.cluster_resolver is not None:
        chosen.reduce(tf.distribute.ReduceOp.SUM, chosen.run(lambda: tf.ones(())), axis=None)
