"""Downloads from a server of our own on 127.0.0.1, which can cut connections and ignore ranges."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from nlcore.data.download import CATALOGUE, RemoteFile, download, fetch
from nlcore.errors import InputError

SIZE = 1_000_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` at every path. `cut_after` ends that many responses after `cut_at` bytes of their body."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = CONTENT, '"one"'
        self.cuts, self.cut_at, self.ranges, self.status = 0, 400_000, True, 200
        self.requests: list[str | None] = []  # the Range header of every GET

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self):
        self.answer(200, len(self.server.content))

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.requests.append(wanted)
        if server.status != 200:
            return self.answer(server.status, 0)
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range", server.etag) == server.etag:
            start = int(re.match(r"bytes=(\d+)-", wanted)[1])
        if start >= len(server.content):
            return self.answer(416, 0, f"bytes */{len(server.content)}")
        body = server.content[start:]
        self.answer(206 if start else 200, len(body))
        if server.cuts:
            server.cuts -= 1
            body = body[: server.cut_at]
            self.close_connection = True
        self.wfile.write(body)

    def answer(self, status: int, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", self.server.etag)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(server, root, *, size=SIZE, checksum=MD5, name="file.bin", say=lambda line: None):
    return fetch(RemoteFile(server.url, name, size, checksum), root, progress=False, say=say)


def test_the_size_is_said_before_anything_is_fetched(server, tmp_path):
    said = []
    get(server, tmp_path, say=lambda line: said.append((line, len(server.requests))))
    assert said == [(f"file.bin: 1.0 MB from {server.url} to {tmp_path}", 0)]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_size_that_is_not_known_is_asked_for(server, tmp_path):
    said = []
    get(server, tmp_path, size=None, say=said.append)
    assert said[0].startswith("file.bin: 1.0 MB")


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.requests) == 1


def test_a_cut_connection_is_resumed(server, tmp_path):
    server.cuts = 2
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    starts = [int(re.findall(r"\d+", wanted)[0]) for wanted in server.requests[1:]]
    assert len(starts) == 2 and 300_000 < starts[0] <= 400_000 < starts[1] <= 800_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.bin"]


def interrupt(server, tmp_path) -> int:
    """Leave a partial download behind, as a killed process would; returns its length."""
    server.cuts = 100
    server.cut_at, server.ranges = 300_000, False  # no progress from attempt to attempt: it gives up
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda seconds: None)
        with pytest.raises(InputError, match="no connection"):
            get(server, tmp_path)
    server.cuts, server.ranges = 0, True
    server.requests.clear()
    return (tmp_path / "file.bin.part").stat().st_size


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server, tmp_path):
    here = interrupt(server, tmp_path)
    said = []
    get(server, tmp_path, say=said.append)
    assert server.requests == [f"bytes={here}-"] and "0.3 MB of it here already" in said[0]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_fetched_anew(server, tmp_path):
    interrupt(server, tmp_path)
    server.etag, server.content = '"two"', CONTENT[::-1]
    get(server, tmp_path, checksum="md5:" + hashlib.md5(server.content).hexdigest())
    assert (tmp_path / "file.bin").read_bytes() == server.content


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    interrupt(server, tmp_path)
    server.ranges = False
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and server.requests == ["bytes=1000000-"]


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"x")
    get(server, tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and len(server.requests) == 2


def test_a_wrong_checksum(server, tmp_path):
    with pytest.raises(InputError, match=r"file.bin: wrong checksum, so deleted; expected md5:0000"):
        get(server, tmp_path, checksum="md5:" + "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size(server, tmp_path):
    with pytest.raises(InputError, match="1000000 bytes came; expected 999"):
        get(server, tmp_path, size=999, checksum=None)
    assert not (tmp_path / "file.bin").exists()


def test_without_a_published_checksum_the_first_download_sets_it(server, tmp_path):
    get(server, tmp_path, checksum=None)
    assert (tmp_path / "file.bin.sha256").read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / "file.bin").unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(InputError, match="wrong checksum"):
        get(server, tmp_path, checksum=None)


def test_offline(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.bin"
        with pytest.raises(InputError, match=r"no connection to 127.0.0.1 \(offline\?\); expected one") as caught:
            fetch(RemoteFile(url, "file.bin", 10), tmp_path, progress=False, say=lambda line: None)
    assert url in str(caught.value) and str(tmp_path / "file.bin") in str(caught.value)


def test_a_refused_address(server, tmp_path):
    server.status = 403
    with pytest.raises(InputError, match="answered 403"):
        get(server, tmp_path)


def test_too_little_disk_space(server, tmp_path):
    with pytest.raises(InputError, match="GB are free"):
        get(server, tmp_path, size=10**18)
    assert server.requests == []


def test_archives_are_unpacked_and_a_killed_unpacking_is_completed(server, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("a", "b"):
            archive.writestr(f"val2017/{name}.jpg", name * 1000)
    server.content = packed.getvalue()
    catalogue = {"coco": (RemoteFile(server.url, "val2017.zip", len(server.content)),)}
    for damage in (None, "a.jpg", "b.jpg"):
        if damage:
            (tmp_path / "val2017" / damage).write_text("half")
        download("coco", tmp_path, progress=False, say=lambda line: None, catalogue=catalogue)
        assert {p.name: p.read_text() for p in (tmp_path / "val2017").iterdir()} == {
            "a.jpg": "a" * 1000, "b.jpg": "b" * 1000}  # fmt: skip
    assert len(server.requests) == 1


def test_terms_have_to_be_accepted(tmp_path):
    with pytest.raises(InputError, match="non-commercial research"):
        download("celeba", tmp_path / "celeba")
    assert not (tmp_path / "celeba").exists()


def test_unknown_data_set(tmp_path):
    with pytest.raises(InputError, match="data set to download: found 'coco2015'; expected one of coco2014, val2017"):
        download("coco2015", tmp_path)


def test_the_catalogue_holds_what_coco_reads():
    for year in (2014, 2017):
        names = {file.name: file for file in CATALOGUE[f"coco{year}"]}
        assert set(names) == {f"train{year}.zip", f"val{year}.zip", f"annotations_trainval{year}.zip"}
        assert all(re.fullmatch(r"md5:[0-9a-f]{32}", file.checksum) and file.size for file in names.values())
        assert names[f"val{year}.zip"].url == f"http://images.cocodataset.org/zips/val{year}.zip"
