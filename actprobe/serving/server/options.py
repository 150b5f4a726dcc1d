"""What the server is told, by the names of TensorFlow Serving's flags where it has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerOptions:
    """Options of the server.

    Parameters
    ----------
    model_base : str
        One model, a folder of models, or what ``actprobe-export`` wrote; empty with a
        ``model_config_file``, or the folder that stands for ``/models`` in it.
    model_name : str
        Name of the model, where the base is one model; otherwise the only one of it to be served.
    model_config_file : str
        Text-format ModelServerConfig.
    model_config_file_poll_wait_seconds : float
        Seconds between looks at that file; 0 for never.
    file_system_poll_wait_seconds : float
        Seconds between looks for new versions; 0 for never.
    host : str
        Address to listen on.
    port, rest_api_port : int
        Ports of gRPC and REST; 0 picks one, -1 leaves it out.
    enable_batching : bool
        Put requests of different callers together.
    batching_parameters_file : str
        Text-format BatchingParameters.
    monitoring_config_file : str
        Text-format MonitoringConfig; without it metrics are at ``/monitoring/prometheus/metrics``.
    ssl_config_file : str
        Text-format SSLConfig, for gRPC and REST.
    bearer_token_file : str
        File with tokens, one in a line; a request has to carry one.
    access_log : str
        File for a JSON line for each request; ``-`` for standard error.
    rest_api_timeout_in_ms : int
        Longest time for a REST request.
    grpc_max_message_bytes, rest_max_body_bytes : int
        Largest request.
    grpc_max_threads, rest_api_num_threads : int
        Requests, of those that are not batched, that are worked on at a time.
    max_pending_requests : int
        Requests that may be under way together, for gRPC and for REST; more are refused.
    tensorflow_intra_op_parallelism, tensorflow_inter_op_parallelism : int
        Threads of TensorFlow within an operation (0 takes the cores there are) and operations at a time (0
        runs those of a request one after another).
    enable_model_warmup : bool
        Replay the warm-up requests of a version before it serves.
    allow_version_labels_for_unavailable_models : bool
        Take labels of versions that are not there yet.
    shutdown_grace_seconds : float
        How long requests that are under way may take when the server is told to stop.
    """

    model_base: str = ""
    model_name: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0
    file_system_poll_wait_seconds: float = 1
    host: str = "127.0.0.1"
    port: int = 8500
    rest_api_port: int = 8501
    enable_batching: bool = False
    batching_parameters_file: str = ""
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    bearer_token_file: str = ""
    access_log: str = ""
    rest_api_timeout_in_ms: int = 30_000
    grpc_max_message_bytes: int = 64 * 2**20
    rest_max_body_bytes: int = 64 * 2**20
    grpc_max_threads: int = 64
    rest_api_num_threads: int = 64
    max_pending_requests: int = 1024
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    enable_model_warmup: bool = True
    allow_version_labels_for_unavailable_models: bool = False
    shutdown_grace_seconds: float = 30
