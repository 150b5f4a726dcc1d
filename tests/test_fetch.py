"""Fetching: only the right file gets its name in the cache, whatever a server does."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe.checkpoints.catalog import CatalogEntry
from actprobe.errors import WeightsError
from actprobe.weights.cache import cached_path
from actprobe.weights.fetch import copy_in, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)


@dataclass
class Server:
    """A web server that answers as a test tells it to."""

    answer: Callable[[http.server.BaseHTTPRequestHandler], object] | None = None
    ranges: list[str | None] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    told = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.ranges.append(self.headers.get("Range"))
            assert told.answer is not None
            told.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{web.server_port}"
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    yield told
    told.closing.set()
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def entry(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogEntry:
    monkeypatch.setenv("ACTPROBE_CACHE", str(tmp_path / "cache"))
    return CatalogEntry(
        name="toy_weights",
        model="toy",
        filename="toy.npz",
        url=f"{server.url}/toy.npz",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        md5=None,
        git_blob_sha1=None,
        licence="",
        origin="",
        purpose="",
    )


def send(
    content: bytes, *, status: int = 200, length: int | None = -1, **headers: str
) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """Answer with some bytes; a length of None leaves the end to the closing of the connection."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(len(content) if length < 0 else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(ConnectionError):  # the other side has had enough
            handler.wfile.write(content)

    return answer


def send_range(content: bytes) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """Answer as a server that knows ranges."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        if wanted is None:
            return send(content)(handler)
        begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if begin >= len(content):
            return send(b"", status=416)(handler)
        where = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        return send(content[begin:], status=206, Content_Range=where)(handler)

    return answer


def part_of(entry: CatalogEntry) -> Any:
    return cached_path(entry).with_name(f"{entry.filename}.part")


def begin(entry: CatalogEntry, content: bytes) -> None:
    """Leave what an interrupted download leaves."""
    part_of(entry).parent.mkdir(parents=True, exist_ok=True)
    part_of(entry).write_bytes(content)


def refusal(entry: CatalogEntry, **options: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        fetch(entry, **options)
    assert "\n" not in str(caught.value)
    assert not cached_path(entry).exists()
    return str(caught.value)


def test_good_file_is_downloaded_once(server: Server, entry: CatalogEntry) -> None:
    server.answer = send(CONTENT)
    done = fetch(entry)
    assert done.how == "downloaded"
    assert done.path == cached_path(entry)
    assert done.path.read_bytes() == CONTENT
    assert [path.name for path in done.path.parent.iterdir()] == ["toy.npz"]
    assert fetch(entry).how == "was there"
    assert server.ranges == [None]


@pytest.mark.parametrize("kind", ["sha256", "md5", "git_blob_sha1"])
def test_any_known_digest_is_checked_also_where_the_size_is_unknown(
    server: Server, entry: CatalogEntry, kind: str
) -> None:
    digests = {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "md5": hashlib.md5(CONTENT).hexdigest(),
        "git_blob_sha1": hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest(),
    }
    known = {name: value if name == kind else None for name, value in digests.items()}
    entry = replace(entry, size_bytes=None, at_most_bytes=1_000_000, **known)
    server.answer = send(OTHER)
    assert f"the {kind} " in refusal(entry)
    server.answer = send(CONTENT, length=None)
    assert fetch(entry).path.read_bytes() == CONTENT


def test_wrong_content_never_gets_the_name_and_is_not_resumed(server: Server, entry: CatalogEntry) -> None:
    server.answer = send(OTHER)
    assert "what it sent has the sha256" in refusal(entry)
    assert not part_of(entry).exists()


def test_truncated_download_is_resumed(server: Server, entry: CatalogEntry) -> None:
    server.answer = send(CONTENT[:100_000], length=len(CONTENT))
    assert "the same command goes on from there" in refusal(entry)
    kept = part_of(entry).read_bytes()
    assert kept
    assert CONTENT.startswith(kept)
    server.answer = send_range(CONTENT)
    assert fetch(entry).how == "resumed"
    assert server.ranges == [None, f"bytes={len(kept)}-"]
    assert cached_path(entry).read_bytes() == CONTENT
    assert not part_of(entry).exists()


def test_short_answer_without_a_length_is_noticed(server: Server, entry: CatalogEntry) -> None:
    server.answer = send(CONTENT[:1000], length=None)
    assert "only 1000 of 300000 bytes" in refusal(entry)


def test_server_without_ranges_sends_everything_again(server: Server, entry: CatalogEntry) -> None:
    begin(entry, OTHER[:5000])
    server.answer = send(CONTENT)
    assert fetch(entry).how == "downloaded"
    assert cached_path(entry).read_bytes() == CONTENT


def test_rest_of_another_version_is_found_out_and_fetched_anew(server: Server, entry: CatalogEntry) -> None:
    begin(entry, OTHER[:5000])
    server.answer = send_range(CONTENT)
    assert fetch(entry).how == "downloaded"
    assert server.ranges == ["bytes=5000-", None]
    assert cached_path(entry).read_bytes() == CONTENT


def test_whole_part_needs_no_server(server: Server, entry: CatalogEntry) -> None:
    begin(entry, CONTENT)
    assert fetch(entry).how == "resumed"
    assert server.ranges == []


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"])
def test_nothing_behind_the_part(server: Server, entry: CatalogEntry, left: Any) -> None:
    """416: the part is already the whole file, or no beginning of it."""
    entry = replace(entry, size_bytes=None, at_most_bytes=1_000_000)
    begin(entry, left)
    server.answer = send_range(CONTENT)
    assert fetch(entry).path.read_bytes() == CONTENT


def test_range_that_begins_elsewhere_is_refused(server: Server, entry: CatalogEntry) -> None:
    begin(entry, CONTENT[:1000])
    server.answer = send(CONTENT[10:], status=206, Content_Range="bytes 10-299999/300000")
    assert "bytes 10-299999" in refusal(entry)


@pytest.mark.parametrize(("status", "said"), [(404, "404"), (503, "503"), (204, "204")])
def test_other_answers_are_named_with_what_to_do(
    server: Server, entry: CatalogEntry, status: int, said: str
) -> None:
    server.answer = send(b"", status=status)
    text = refusal(entry)
    assert said in text
    assert entry.url in text
    assert "--from_file=FILE" in text
    assert str(cached_path(entry)) in text
    assert not part_of(entry).exists()


def test_silent_server_is_given_up(server: Server, entry: CatalogEntry) -> None:
    server.answer = lambda _: server.closing.wait()
    assert "did not answer within 0.05 s" in refusal(entry, timeout=0.05)


def test_server_that_falls_silent_is_given_up_and_its_bytes_are_kept(
    server: Server, entry: CatalogEntry
) -> None:
    def stall(handler: Any) -> None:
        send(CONTENT[:200_000], length=len(CONTENT))(handler)
        handler.wfile.flush()
        server.closing.wait()

    server.answer = stall
    assert "goes on from there" in refusal(entry, timeout=0.05)
    kept = part_of(entry).read_bytes()
    assert CONTENT.startswith(kept)


def test_unreachable_server(entry: CatalogEntry) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        port = web.server_port
    assert "cannot be reached" in refusal(replace(entry, url=f"http://127.0.0.1:{port}/toy.npz"))


@pytest.mark.parametrize("length", [None, -1])
def test_server_that_sends_too_much_is_cut_off(
    server: Server, entry: CatalogEntry, length: int | None
) -> None:
    server.answer = send(CONTENT + b"x", length=length)
    assert "more than the 300000 bytes" in refusal(entry)
    assert not part_of(entry).exists()


def test_endless_answer_ends(server: Server, entry: CatalogEntry) -> None:
    def answer(handler: Any) -> None:
        send(b"", length=None)(handler)
        with contextlib.suppress(ConnectionError):
            while not server.closing.is_set():
                handler.wfile.write(CONTENT)

    server.answer = answer
    assert "more than the 300000 bytes" in refusal(entry)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/toy.npz"])
def test_redirect_out_of_http_is_refused(server: Server, entry: CatalogEntry, target: str) -> None:
    server.answer = send(b"", status=302, Location=target)
    assert target in refusal(entry)


def test_redirect_is_followed_and_one_without_end_is_not(server: Server, entry: CatalogEntry) -> None:
    def moved(handler: Any) -> None:
        if handler.path == "/moved":
            send(CONTENT)(handler)
        else:
            send(b"", status=302, Location=f"{server.url}/moved")(handler)

    server.answer = moved
    assert fetch(entry).how == "downloaded"
    cached_path(entry).unlink()
    server.answer = send(b"", status=302, Location=entry.url)
    assert "redirect" in refusal(entry)


def test_compressed_answer_is_no_way_around_the_size(server: Server, entry: CatalogEntry) -> None:
    import gzip

    bomb = gzip.compress(bytes(10_000_000))
    server.answer = send(bomb, Content_Encoding="gzip")
    assert "more than the 300000 bytes" in refusal(entry)


def test_damaged_file_in_the_cache_is_replaced(server: Server, entry: CatalogEntry) -> None:
    cached_path(entry).parent.mkdir(parents=True)
    cached_path(entry).write_bytes(OTHER)
    server.answer = send(CONTENT)
    assert fetch(entry).how == "downloaded"
    assert cached_path(entry).read_bytes() == CONTENT


def test_two_downloads_of_one_file_do_not_mix(server: Server, entry: CatalogEntry) -> None:
    began = threading.Event()
    go_on = threading.Event()

    def slow(handler: Any) -> None:
        began.set()
        go_on.wait()
        send(CONTENT)(handler)

    server.answer = slow
    first = threading.Thread(target=fetch, args=(entry,))
    first.start()
    assert began.wait(10)
    assert "another process" in refusal(entry)
    go_on.set()
    first.join()
    assert cached_path(entry).read_bytes() == CONTENT


def test_cache_that_cannot_be_written(server: Server, entry: CatalogEntry, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    server.answer = send(CONTENT)
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch(entry)
    (tmp_path / "toy.npz").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="cannot be written"):
        copy_in(entry, tmp_path / "toy.npz")


def test_own_copy_is_verified_and_taken(server: Server, entry: CatalogEntry, tmp_path: Path) -> None:
    entry = replace(entry, url=None)
    with pytest.raises(WeightsError, match=r"no public address.*--from_file=FILE"):
        fetch(entry)
    source = tmp_path / "download.bin"
    source.write_bytes(CONTENT)
    done = copy_in(entry, source)
    assert done.how == "copied"
    assert done.path.read_bytes() == CONTENT
    assert source.exists()
    assert copy_in(entry, done.path).how == "was there"
    assert fetch(entry).how == "was there"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OTHER, "has the sha256"),
        (CONTENT[:-1], "has 299999 bytes"),
        (b"", "has 0 bytes"),
        (None, "does not exist"),
    ],
)
def test_other_copy_is_refused(entry: CatalogEntry, tmp_path: Path, content: Any, said: str) -> None:
    source = tmp_path / "download.bin"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(WeightsError, match=said) as caught:
        copy_in(entry, source)
    assert str(source) in str(caught.value)
    assert not cached_path(entry).exists()


def test_own_copy_that_is_no_regular_file_is_not_read(entry: CatalogEntry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="not a file"):
        copy_in(entry, tmp_path / "pipe")


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """An environment in which every address leads to a port where nobody answers."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        nobody = f"http://127.0.0.1:{web.server_port}"
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    return {
        **environment,
        "ACTPROBE_CACHE": str(tmp_path / "cache"),
        "http_proxy": nobody,
        "https_proxy": nobody,
    }


def test_binary_lists_what_is_known(binary: Any, offline: dict[str, str]) -> None:
    shown = binary("actprobe-fetch", "--model=mm_cnn", "--list", env=offline)
    assert shown.returncode == 0
    assert "mm_cnn_irmas_single: weights, 829992 bytes, not fetched yet" in shown.stdout
    assert "licence: AGPL-3.0" in shown.stdout
    assert "goes with: mm_cnn_irmas_mean" in shown.stdout
    only = binary("actprobe-fetch", "--model=svd", "--list", "--name=svd_jamendo", env=offline)
    assert "no public address is known" in only.stdout
    assert "svd_inverter" not in only.stdout.replace("svd_inverter entries", "")


def test_binary_without_a_network_says_where_to_get_the_file_and_where_to_put_it(
    binary: Any, offline: dict[str, str], tmp_path: Path
) -> None:
    ended = binary("actprobe-fetch", "--model=cnn_at", env=offline)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    for said in (
        "https://raw.githubusercontent.com/keunwoochoi/music-auto_tagging-keras/",
        "--name=cnn_at_msd_tensorflow --from_file=FILE",
        str(tmp_path / "cache/cnn_at/music_tagger_cnn_weights_tensorflow.h5"),
    ):
        assert said in ended.stderr


def test_binary_takes_a_copy_and_has_nothing_left_to_do(
    binary: Any, offline: dict[str, str], tensorflow_weights: Path
) -> None:
    copied = binary("actprobe-fetch", "--model=cnn_at", f"--from_file={tensorflow_weights}", env=offline)
    assert copied.returncode == 0, copied.stderr
    assert "cnn_at_msd_tensorflow: copied and verified" in copied.stdout
    again = binary("actprobe-fetch", "--model=cnn_at", env=offline)
    assert again.returncode == 0
    assert "cnn_at_msd_tensorflow: was there and verified" in again.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model=resnet"], "it has weights of basic_pitch, cnn_at, crepe_full, "),
        (["--model=cnn_at", "--name=cnn_at_msd"], "cnn_at_msd_tensorflow, cnn_at_msd_theano"),
        (["--model=cnn_at", "--name=all", "--from_file=x"], "say which by --name"),
    ],
)
def test_binary_lists_the_names_when_one_is_wrong(
    binary: Any, offline: dict[str, str], flags: list[Any], said: str
) -> None:
    ended = binary("actprobe-fetch", *flags, env=offline)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
