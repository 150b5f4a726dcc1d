"""Versions come and go: policy, labels, polling, warm-up, broken versions, reload, start and stop."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from serving_support import (
    EXAMPLE,
    Http,
    Process,
    options,
    predict_request,
    running,
    save_model,
    soon,
    write_warmup,
)

from actprobe import backend
from actprobe.errors import ServingError, UsageError
from actprobe.serving.bundle import versions_in
from actprobe.serving.protocol.settings import parse_message
from actprobe.serving.server import Server
from actprobe.serving.server.config import Policy, configs_of, models_in
from actprobe.serving.server.repository import Repository
from actprobe.serving.server.servable import Servable


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions whose answers tell them apart: version n adds n."""
    folder = tmp_path_factory.mktemp("stock")
    for version in (1, 2, 3):
        save_model(folder / str(version), bias=float(version))
    return folder


def bring(stock: Path, version: int, base: Path, name: str = "toy") -> None:
    """Put a version there as an exporter does: written aside, renamed in."""
    (base / name).mkdir(parents=True, exist_ok=True)
    shutil.copytree(stock / str(min(version, 3)), base / name / ".coming")
    (base / name / ".coming").rename(base / name / str(version))


def bring_broken(base: Path, version: int, name: str = "toy") -> None:
    folder = base / name / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"no SavedModel")


def sees_only(seen: set[float], version: float) -> bool:
    """Whether nothing but that version has answered since it first did."""
    if seen != {version} and version in seen:
        seen.clear()
    return seen == {version}


def answers(server: Any, where: str = "toy") -> Any:
    """Which version answers, by what it adds."""
    status, found = Http(f"http://127.0.0.1:{server.rest_api_port}").predict({"inputs": [[0, 0, 0]]}, where)
    assert status == 200, found
    return found["outputs"][0][0]


def states(server: Any, name: str = "toy") -> dict[int, str]:
    spec = backend.serving.model_pb2.ModelSpec(name=name)
    return {number: state for number, state, _ in server.repository.status(spec)}


# ---- policy


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (Policy(), [3]),
        (Policy("latest", latest=2), [3, 2]),
        (Policy("all"), [3, 2, 1]),
        (Policy("specific", specific=(1, 2, 9)), [2, 1]),
    ],
)
def test_policy_chooses_versions(policy: Policy, chosen: list[Any]) -> None:
    assert policy.choose([1, 3, 2]) == chosen


def test_the_newest_version_answers_and_a_newer_one_takes_over(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path, port=-1)) as server:
        assert answers(server) == 1
        bring(stock, 2, tmp_path)
        server.repository.poll()
        assert answers(server) == 2
        assert states(server) == {2: "AVAILABLE", 1: "END"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows a thread's own niceness")
def test_threads_that_compute_give_way_to_the_event_loop(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with running(options(tmp_path, port=-1, enable_batching=True)) as server:
        assert answers(server) == 1
        nice = {
            each.name: os.getpriority(os.PRIO_PROCESS, each.native_id)
            for each in threading.enumerate()
            if each.native_id is not None
        }
    assert nice["serving"] == nice["MainThread"] == before
    assert nice["loader_0"] == nice["batched_0"] == before + 5


def test_new_versions_and_models_are_found_by_polling(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path, port=-1, file_system_poll_wait_seconds=0.02)) as server:
        bring(stock, 2, tmp_path)
        soon(lambda: server.repository.served()["toy"] == [2])
        bring(stock, 3, tmp_path, "other")
        soon(lambda: server.repository.served().get("other") == [3])
        assert (answers(server), answers(server, "other")) == (2, 3)


def test_a_folder_that_is_still_being_written_is_no_version(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    shutil.copytree(stock / "2", tmp_path / "toy/.2.tmp")
    (tmp_path / "toy/notes").mkdir()
    with running(options(tmp_path, port=-1)) as server:
        assert states(server) == {1: "AVAILABLE"}


def test_a_number_may_have_zeros_before_it(stock: Path, tmp_path: Path) -> None:
    shutil.copytree(stock / "2", tmp_path / "toy/00000002")
    with running(options(tmp_path, port=-1)) as server:
        assert answers(server, "toy/versions/2") == 2


@pytest.mark.parametrize("name", ["9223372036854775808", "20240101123000123456", "\u0661", "+3", "1_0"])
def test_a_number_of_more_than_64_bits_is_no_version(stock: Path, tmp_path: Path, name: str) -> None:
    """Nor is one in other digits: TensorFlow Serving takes neither."""
    bring(stock, 1, tmp_path)
    shutil.copytree(stock / "2", tmp_path / "toy" / name)
    assert versions_in(tmp_path / "toy") == [1]
    shutil.copytree(stock / "3", tmp_path / "toy/9223372036854775807")
    assert versions_in(tmp_path / "toy") == [1, 2**63 - 1]


def test_a_folder_named_by_the_clock_leaves_the_version_in_place(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    shutil.copytree(stock / "2", tmp_path / "toy/20240101123000123456")
    with running(options(tmp_path, port=-1)) as server:
        assert (answers(server), states(server)) == (1, {1: "AVAILABLE"})


# ---- broken versions


def test_a_broken_new_version_replaces_nothing_and_says_why(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path)) as server:
        bring_broken(tmp_path, 2)
        server.repository.poll()
        assert answers(server) == 1
        assert states(server) == {2: "END", 1: "AVAILABLE"}
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            request = backend.serving.get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "toy"
            stub = backend.serving.model_service_pb2_grpc.ModelServiceStub(channel)
            broken = stub.GetModelStatus(request).model_version_status[0]
        assert broken.version == 2
        assert broken.status.error_code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
        assert "cannot be loaded" in broken.status.error_message
        assert any("toy 2" in line and "cannot be loaded" in line for line in server.said)


def test_a_broken_version_is_tried_again_when_its_files_change_and_not_before(
    stock: Path, tmp_path: Path
) -> None:
    bring(stock, 1, tmp_path)
    bring_broken(tmp_path, 2)
    tried = []

    def load(folder: Path, name: Any, number: Any) -> Servable:
        tried.append(number)
        return Servable(folder, name, number)

    repository = Repository(load)
    repository.configure(models_in(tmp_path))
    repository.poll()
    assert tried == [2, 1]  # in place of the newest, the next best
    assert repository.served() == {"toy": [1]}
    shutil.rmtree(tmp_path / "toy/2")
    shutil.copytree(stock / "2", tmp_path / "toy/2")
    repository.poll()
    assert tried == [2, 1, 2]
    assert repository.served() == {"toy": [2]}
    repository.close()


@pytest.mark.parametrize("damage", ["cut graph", "no variables", "cut variables", "empty"])
def test_damaged_versions_are_refused_with_a_reason(stock: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "toy/1"
    shutil.copytree(stock / "1", folder)
    if damage == "cut graph":
        graph = folder / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    elif damage == "no variables":
        shutil.rmtree(folder / "variables")
    elif damage == "cut variables":
        for file in (folder / "variables").glob("*.data-*"):
            file.write_bytes(b"")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
    with pytest.raises(ServingError, match="cannot be loaded"):
        Servable(folder, "toy", 1)


# ---- versions that vanish


def test_when_the_newest_version_vanishes_the_one_before_takes_over(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    bring(stock, 2, tmp_path)
    with running(options(tmp_path, port=-1)) as server:
        assert answers(server) == 2
        shutil.rmtree(tmp_path / "toy/2")
        server.repository.poll()
        assert answers(server) == 1
        assert states(server)[1] == "AVAILABLE"


def test_when_all_versions_vanish_nothing_answers_until_one_is_back(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path, port=-1)) as server:
        ask = Http(f"http://127.0.0.1:{server.rest_api_port}")
        shutil.rmtree(tmp_path / "toy/1")
        server.repository.poll()
        assert ask.predict({"inputs": [[0, 0, 0]]})[0] == 404
        bring(stock, 1, tmp_path)
        server.repository.poll()
        assert answers(server) == 1


def test_a_version_that_is_in_use_is_closed_when_the_last_request_is_answered(
    stock: Path, tmp_path: Path
) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path, port=-1)) as server:
        spec = backend.serving.model_pb2.ModelSpec(name="toy")
        with server.repository.lease(spec) as old:
            bring(stock, 2, tmp_path)
            server.repository.poll()
            assert states(server) == {2: "AVAILABLE", 1: "UNLOADING"}
            assert answers(server) == 2
            assert old.run(old.signature(""), {"x": 0 * EXAMPLE})["y"][0, 0] == 1
        assert states(server) == {2: "AVAILABLE", 1: "END"}


# ---- warm-up


def test_warm_up_requests_are_replayed_before_a_version_serves(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    write_warmup(tmp_path / "toy/1", [{"x": EXAMPLE}, {"x": np.zeros((4, 3), np.float32)}])
    servable = Servable(tmp_path / "toy/1", "toy", 1)
    assert servable.warm_up() == 2
    servable.close()


def test_a_version_whose_warm_up_fails_replaces_nothing(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path, port=-1)) as server:
        bring(stock, 2, tmp_path, "coming")
        write_warmup(tmp_path / "coming/2", [{"x": EXAMPLE}, {"x": EXAMPLE[:, :2]}])
        (tmp_path / "coming/2").rename(tmp_path / "toy/2")
        server.repository.poll()
        assert answers(server) == 1
        assert any("warm-up request 2" in line for line in server.said)


def test_damaged_warm_up_requests_are_a_reason_too(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    write_warmup(tmp_path / "toy/1", [{"x": EXAMPLE}])
    file = tmp_path / "toy/1/assets.extra/tf_serving_warmup_requests"
    file.write_bytes(file.read_bytes()[:-5])
    servable = Servable(tmp_path / "toy/1", "toy", 1)
    with pytest.raises(ServingError, match="warm-up"):
        servable.warm_up()
    servable.close()


# ---- models.config: several models, labels, reload


CONFIG = """
model_config_list {{
  config {{
    name: "toy"
    base_path: "/models/toy"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: {stable} }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""


def test_labels_lead_to_versions_and_canary_becomes_stable(stock: Path, tmp_path: Path) -> None:
    base = tmp_path / "models"
    bring(stock, 1, base)
    bring(stock, 2, base)
    config = tmp_path / "models.config"
    config.write_text(CONFIG.format(stable=1))
    given = options(
        base,
        model_config_file=str(config),
        model_config_file_poll_wait_seconds=0.02,
        file_system_poll_wait_seconds=0.02,
    )
    with running(given) as server:
        assert (answers(server, "toy/labels/stable"), answers(server, "toy/labels/canary")) == (1, 2)
        assert answers(server) == 2
        status = Http(f"http://127.0.0.1:{server.rest_api_port}")("GET", "/v1/models/toy/labels/stable")[1]
        assert [entry["version"] for entry in status["model_version_status"]] == ["1"]
        config.write_text(CONFIG.format(stable=2))
        soon(lambda: answers(server, "toy/labels/stable") == 2)
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)
            found = stub.Predict(predict_request({"x": EXAMPLE}, label="stable"))
            assert found.model_spec.version.value == 2
        config.write_text("model_config_list {")  # half written: what was served stays
        soon(lambda: any("settings were not taken" in line for line in server.said))
        assert answers(server, "toy/labels/stable") == 2


def test_a_label_of_a_version_that_is_not_there_is_refused_and_changes_nothing(
    stock: Path, tmp_path: Path
) -> None:
    bring(stock, 1, tmp_path)
    with running(options(tmp_path)) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = backend.serving.model_service_pb2_grpc.ModelServiceStub(channel)
        request = backend.serving.model_management_pb2.ReloadConfigRequest()
        entry = request.config.model_config_list.config.add(name="toy", base_path=str(tmp_path / "toy"))
        entry.version_labels["canary"] = 5
        answer = stub.HandleReloadConfigRequest(request)
        assert answer.status.error_code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
        assert "version 5 is not available" in answer.status.error_message
        assert answers(server) == 1
        entry.version_labels["canary"] = 1
        assert stub.HandleReloadConfigRequest(request).status.error_code == 0
        assert answers(server, "toy/labels/canary") == 1


def test_reload_serves_the_new_list_and_only_that(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    bring(stock, 2, tmp_path / "elsewhere", "other")
    with running(options(tmp_path)) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = backend.serving.model_service_pb2_grpc.ModelServiceStub(channel)
        request = backend.serving.model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.add(name="other", base_path=str(tmp_path / "elsewhere/other"))
        assert stub.HandleReloadConfigRequest(request).status.error_code == 0
        assert server.repository.served() == {"other": [2]}
        assert answers(server, "other") == 2
        empty = backend.serving.model_management_pb2.ReloadConfigRequest()
        assert stub.HandleReloadConfigRequest(empty).status.error_code != 0
        assert server.repository.served() == {"other": [2]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('config { name: "a/b" base_path: "x" }', "cannot be the name"),
        ('config { name: "a" base_path: "x" } config { name: "a" base_path: "y" }', "twice"),
        ('config { name: "a" }', "no base_path"),
        ('config { name: "a" base_path: "x" model_platform: "torch" }', "torch"),
        ('config { name: "a" base_path: "x" model_version_policy { specific { } } }', "without versions"),
    ],
)
def test_lists_of_models_that_cannot_be_are_refused(text: str, words: str) -> None:
    message = parse_message(f"model_config_list {{ {text} }}", "ModelServerConfig")
    with pytest.raises(UsageError, match=words):
        configs_of(message, Path())


def test_what_a_base_folder_may_be(stock: Path, tmp_path: Path) -> None:
    assert list(models_in(stock)) == [stock.name]
    assert list(models_in(stock, "mine")) == ["mine"]
    bring(stock, 1, tmp_path / "out/models")
    bring(stock, 1, tmp_path / "out/models", "other")
    assert list(models_in(tmp_path / "out/models")) == ["other", "toy"]
    (tmp_path / "out/models.config").write_text(CONFIG.format(stable=1))
    found = models_in(tmp_path / "out")
    assert list(found) == ["other", "toy"]
    assert found["toy"].labels == {"stable": 1, "canary": 2}
    assert found["toy"].base_path == tmp_path / "out/models/toy"
    assert list(models_in(tmp_path / "out", "toy")) == ["toy"]
    for folder, name in ((tmp_path / "nowhere", None), (tmp_path / "out", "nobody")):
        with pytest.raises(UsageError):
            models_in(folder, name)


# ---- the process


def test_a_user_starts_it_asks_it_and_stops_it(stock: Path, tmp_path: Path) -> None:
    bring(stock, 1, tmp_path)
    process = Process(f"--model_base={tmp_path}", "--port=0", "--rest_api_port=0", "--enable_batching")
    assert Http(process.rest).predict({"inputs": [[0, 0, 0]]})[1] == {"outputs": [[1.0, 1.0, 1.0]]}
    assert process.rest.startswith("http://127.0.0.1:")
    code, said = process.terminate()
    assert code == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--model_base"),
        (["--model_base=nowhere"], "no such folder"),
        (["--model_base=.", "--batching_parameters_file=x"], "needs --enable_batching"),
        (["--model_base=.", "--port=8600", "--rest_api_port=8600"], "same as --port"),
        (["--model_base=.", "--port=-1", "--rest_api_port=-1"], "both"),
        (["--model_base=."], "holds no model"),
        (["--model_base=.", "--bearer_token_file=none"], "none: cannot be read"),
        (["--model_base=.", "--ssl_config_file=none"], "none: No such file"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[Any], words: str
) -> None:
    from dataclasses import replace

    from actprobe.serving.server import ServerOptions

    monkeypatch.chdir(tmp_path)
    given = dict(flag.removeprefix("--").split("=") if "=" in flag else (flag[2:], True) for flag in flags)
    given = {name: int(value) if name.endswith("port") else value for name, value in given.items()}
    with pytest.raises(UsageError, match=words):
        Server(replace(ServerOptions(), **given)).start()


def test_a_port_that_is_taken_is_one_line_and_status_2(stock: Path, tmp_path: Path, binary: Any) -> None:
    import socket

    bring(stock, 1, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = binary("actprobe-serve", f"--model_base={tmp_path}", "--port=-1", f"--rest_api_port={port}")
    assert done.returncode == 2
    assert "REST cannot listen there" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_what_it_is_and_what_it_is_not(binary: Any) -> None:
    done = binary("actprobe-serve", "--help")
    assert done.returncode == 0
    for words in ("embedded server for a subset", "Not supported", "Classify", "--[no]enable_batching"):
        assert words in done.stdout


FAKE = """#!{python}
import json, sys
print(json.dumps(sys.argv))
config = [word for word in sys.argv if word.startswith("--model_config_file=")][0].split("=", 1)[1]
print(json.dumps(open(config).read()))
"""


def test_the_real_server_is_started_with_the_same_settings(stock: Path, tmp_path: Path, binary: Any) -> None:
    import sys

    bring(stock, 1, tmp_path / "models")
    fake = tmp_path / "bin/tensorflow_model_server"
    fake.parent.mkdir()
    fake.write_text(FAKE.format(python=sys.executable))
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    done = binary(
        "actprobe-serve",
        "--engine=tensorflow_model_server",
        f"--model_base={tmp_path / 'models'}",
        "--port=8600",
        "--rest_api_port=8601",
        "--enable_batching",
        env={**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    words, config = map(json.loads, done.stdout.splitlines())
    assert words[0] == str(fake)
    assert {"--port=8600", "--rest_api_port=8601", "--enable_batching=true"} <= set(words)
    message = parse_message(config, "ModelServerConfig")
    assert [one.base_path for one in message.model_config_list.config] == [str(tmp_path / "models/toy")]


def test_without_the_real_server_there_is_one_clear_line(tmp_path: Path, binary: Any) -> None:
    done = binary(
        "actprobe-serve",
        "--engine=tensorflow_model_server",
        f"--model_base={tmp_path}",
        env={**os.environ, "PATH": "/nowhere"},
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "tensorflow_model_server is not on the PATH" in done.stderr


# ---- under load


def test_versions_come_break_and_vanish_under_load_without_a_failed_request(
    stock: Path, tmp_path: Path
) -> None:
    bring(stock, 1, tmp_path)
    given = options(tmp_path, enable_batching=True, file_system_poll_wait_seconds=0.02)
    with running(given) as server:
        seen: list[set[float]] = [set() for _ in range(32)]
        over, failures = threading.Event(), []

        def over_rest(index: int) -> None:
            ask = Http(f"http://127.0.0.1:{server.rest_api_port}")
            while not over.is_set():
                status, found = ask.predict({"inputs": [[0, 0, 0]]})
                if status != 200:
                    failures.append((status, found))
                else:
                    seen[index].add(found["outputs"][0][0])

        def over_grpc(index: int) -> None:
            request = predict_request({"x": 0 * EXAMPLE})
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                stub = backend.serving.prediction_service_pb2_grpc.PredictionServiceStub(channel)
                while not over.is_set():
                    call = stub.Predict.future(request, timeout=30)
                    if call.exception() is not None:
                        failures.append(call.exception().details())
                    else:
                        seen[index].add(float(call.result().model_spec.version.value))

        def everybody_sees(version: float) -> None:
            for one in seen:
                one.clear()
            soon(lambda: all(sees_only(one, version) for one in seen))

        with ThreadPoolExecutor(32) as callers:
            for index in range(32):
                callers.submit(over_rest if index % 4 == 0 else over_grpc, index)
            try:
                everybody_sees(1)
                bring(stock, 2, tmp_path)  # a new version appears
                soon(lambda: server.repository.served()["toy"] == [2])
                everybody_sees(2)
                bring_broken(tmp_path, 3)  # a broken one appears: the old one keeps serving
                soon(lambda: states(server).get(3) == "END")
                everybody_sees(2)
                shutil.rmtree(tmp_path / "toy/2")  # a version vanishes: the one before it serves
                soon(lambda: server.repository.served()["toy"] == [1])
                everybody_sees(1)
            finally:
                over.set()
        assert failures == []
