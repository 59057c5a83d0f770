"""Downloading: how the network, the disk or an archive can misbehave, against a server on this machine."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import socket
import tarfile
import tempfile
import threading
import time
import zipfile
from collections import namedtuple
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evlib.data import download as module
from evlib.data import sources
from evlib.data.download import download, unpack
from evlib.data.sources import ARCHIVES, Archive
from evlib.utils import progress
from evlib.utils.errors import EvlibError

NOISE = b"".join(hashlib.sha256(bytes([i // 256, i % 256])).digest() for i in range(20_000))  # 640 kB, incompressible
FILES = {"set-1.0/a.tsv": b"sentence\tlabel\n", "set-1.0/deep/b.bin": NOISE}


@pytest.fixture
def data():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve() / "data"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    body = b""  # of every address that is not in `bodies`
    status = 200
    busy = 0  # so many requests get 503 first
    ranges = True  # honour Range
    wrong_range = False  # answer 206 with other bytes than were asked for
    length = True  # send Content-Length
    cut = None  # end the connection after so many bytes of a response
    stall = 0.0  # seconds before the answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/set.tar.gz"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, requested = self.server, self.headers.get("Range")
        server.requests.append(requested)
        time.sleep(server.stall)
        body, start, status = server.bodies.get(self.path, server.body), 0, server.status
        if server.busy:
            server.busy, status = server.busy - 1, 503
        if status == 200 and server.ranges and requested:
            start, status = int(requested.removeprefix("bytes=").rstrip("-")), 206
            start = 1 if server.wrong_range else start
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: server.cut])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests, server.body, server.bodies = [], tar_of(FILES), {}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def offer(server, monkeypatch):
    """Offer the server's archive as the task "toy"; keyword arguments change what is known of it."""

    def put(**changes) -> Archive:
        known = dict(
            url=server.url,
            filename="set.tar.gz",
            md5=md5(server.body),
            unpacks_to="set-1.0",
            rename="set",
            files={"a.tsv": md5(FILES["set-1.0/a.tsv"]), "deep/b.bin": None},
            license="none",
        )
        archive = Archive(**(known | changes))
        monkeypatch.setitem(ARCHIVES, "toy", (archive,))
        return archive

    put()
    return put


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar_of(files: dict[str, bytes], *extra: tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return buffer.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def special(name: str, kind: bytes, goal: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, goal
    return info


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def fails(*parts: str, call=None) -> str:
    """Run `call`, which must end in one line of EvlibError that holds all `parts`."""
    with pytest.raises(EvlibError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(part in message for part in parts), message
    return message


def fetch(data: Path) -> list[str]:
    lines: list[str] = []
    assert download("toy", data, lines.append) == data / ARCHIVES["toy"][0].folder
    return lines


def assert_complete(data: Path) -> None:
    assert (data / "set/a.tsv").read_bytes() == FILES["set-1.0/a.tsv"]
    assert (data / "set/deep/b.bin").read_bytes() == NOISE
    assert names(data) == ["set"]


# ---- the table -------------------------------------------------------------------------------------------------------


def test_the_table_is_well_formed():
    for task, parts in ARCHIVES.items():
        for archive in parts:
            assert archive.url.startswith(("https://", "http://data.csail.mit.edu/")) and archive.license, task
            assert "/" not in archive.filename
            for digest in (archive.md5, *archive.files.values()):
                assert digest is None or (len(digest) == 32 and int(digest, 16) >= 0)
    rows = {(archive.url, archive.filename, archive.path) for parts in ARCHIVES.values() for archive in parts}
    assert all(len(set(column)) == len(rows) for column in zip(*rows))  # none takes another's place
    assert set(sources.BEFORE) | set(sources.AFTER) <= set(ARCHIVES)


def test_folders_are_those_that_the_tasks_read():
    from evlib.data.tasks import TASKS

    assert set(ARCHIVES) == set(TASKS)
    for task, parts in ARCHIVES.items():
        assert {archive.folder for archive in parts} <= set(TASKS[task].folders[:1])


def test_lasot_is_whole():
    lists, zips = ARCHIVES["lasot"][:2], ARCHIVES["lasot"][2:]
    assert [archive.path for archive in lists] == ["LaSOT/training_set.txt", "LaSOT/testing_set.txt"]
    assert len(zips) == 70 and "LaSOT/rubicCube" in {archive.path for archive in zips}


# ---- fetching --------------------------------------------------------------------------------------------------------


def test_fetch_check_unpack_rename_and_record(data, server, offer, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    lines, size = fetch(data), f"{len(server.body) / 1e3:.0f}k"
    assert_complete(data)
    record = json.loads((data / "set/DOWNLOAD.json").read_text())
    assert record["sha256"] == hashlib.sha256(server.body).hexdigest()
    assert record["url"] == server.url and record["bytes"] == len(server.body) and record["checksum_was_known"]
    assert not any("SHA-256" in line for line in lines)
    assert any(f"set.tar.gz: fetching: 100% {size}/{size} [" in line and "MB/s" in line for line in lines)
    assert any("set.tar.gz: unpacking: " in line for line in lines)


def test_second_call_does_nothing(data, server, offer):
    fetch(data)
    assert "already there" in fetch(data)[0] and len(server.requests) == 1


def test_unknown_checksum_prints_and_records_what_was_found(data, server, offer):
    offer(md5=None)
    found = hashlib.sha256(server.body).hexdigest()
    assert any(found in line for line in fetch(data))
    assert json.loads((data / "set/DOWNLOAD.json").read_text())["checksum_was_known"] is False


@pytest.mark.parametrize("ranges, wrong_range", [(True, False), (False, False), (True, True)])
def test_a_cut_connection_continues(data, server, offer, monkeypatch, ranges, wrong_range):
    monkeypatch.setattr(module, "PAUSES", ())
    server.cut = 300_001
    fails("was cut", server.url, str(data / "set.tar.gz"), "run the same command again", call=lambda: fetch(data))
    have = (data / "set.tar.gz.part").stat().st_size
    assert 300_001 - module.CHUNK < have <= 300_001 and names(data) == ["set.tar.gz.part"]
    server.cut, server.ranges, server.wrong_range = None, ranges, wrong_range
    fetch(data)
    assert_complete(data)
    assert server.requests == [None, f"bytes={have}-", *([None] if wrong_range else [])]


@pytest.mark.parametrize("extra", [b"", b"too much"])
def test_a_part_that_is_already_whole_or_too_long(data, server, offer, extra):
    data.mkdir()
    (data / "set.tar.gz.part").write_bytes(server.body + extra)
    fetch(data)
    assert_complete(data)


def test_an_interrupted_fetch_keeps_its_part(data, server, offer, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)

    def interrupt(line: str) -> None:
        if "fetching" in line and "  0%" not in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("toy", data, interrupt)
    assert 0 < (data / "set.tar.gz.part").stat().st_size < len(server.body)
    fetch(data)
    assert_complete(data)


def test_without_a_length_the_end_is_the_end(data, server, offer):
    server.length = False
    fetch(data)
    assert_complete(data)


def test_within_one_call_a_cut_connection_is_tried_again(data, server, offer):
    server.cut = 300_001
    lines = fetch(data)
    assert_complete(data)
    assert len(server.requests) == 3 and server.requests[1].startswith("bytes=2")
    assert [line for line in lines if "next try" in line] == [
        "set.tar.gz: the connection was cut; next try in 0 s."
    ] * 2


def test_pauses_grow(data, server, offer, monkeypatch):
    slept = []
    monkeypatch.setattr(module, "PAUSES", (2.0, 10.0))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: slept.append(seconds) if seconds else None)
    server.busy = 2
    assert any("503" in line and "next try in 10 s" in line for line in fetch(data))
    assert_complete(data)
    assert slept == [2.0, 10.0]


@pytest.mark.parametrize("status, tries", [(404, 1), (403, 1), (500, 3), (503, 3)])
def test_the_server_refuses(data, server, offer, status, tries):
    server.status = status
    fails(str(status), server.url, str(data / "set.tar.gz"), call=lambda: fetch(data))
    assert names(data) == [] and len(server.requests) == tries


def test_the_server_does_not_answer(data, server, offer, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    server.stall = 0.4
    fails("no answer for", server.url, call=lambda: fetch(data))
    assert len(server.requests) == 3


def test_offline_says_what_to_fetch_by_hand_and_where_to_put_it(data, offer):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/set.tar.gz"
    offer(url=url)
    lines = []
    fails(
        url,
        f"put the file at {data / 'set.tar.gz'}",
        "run the same command again",
        call=lambda: download("toy", data, lines.append),
    )
    assert not any("next try" in line for line in lines)  # nobody is there: waiting would not help


def test_an_archive_put_there_by_hand_is_used_and_kept(data, server, offer):
    data.mkdir()
    (data / "set.tar.gz").write_bytes(server.body)
    (data / "set.tar.gz.part").write_bytes(b"of an earlier try")
    fetch(data)
    assert server.requests == [] and names(data) == ["set", "set.tar.gz"]
    assert json.loads((data / "set/DOWNLOAD.json").read_text())["placed_by_hand"]


def test_wrong_checksum(data, server, offer):
    offer(md5="0" * 32)
    fails(server.url, "0" * 32, md5(server.body), "run the same command again", call=lambda: fetch(data))
    assert names(data) == []  # and it is not used the next time


def test_wrong_checksum_of_an_archive_put_there_by_hand(data, server, offer):
    data.mkdir()
    (data / "set.tar.gz").write_bytes(server.body[:1000])
    expected = str(data / "set.tar.gz"), md5(server.body), md5(server.body[:1000]), "Remove the file"
    fails(*expected, call=lambda: fetch(data))
    assert server.requests == [] and names(data) == ["set.tar.gz"]  # it is the user's


def test_wrong_checksum_of_a_file_inside(data, offer):
    offer(files={"a.tsv": "0" * 32})
    fails("a.tsv", "0" * 32, md5(FILES["set-1.0/a.tsv"]), call=lambda: fetch(data))
    assert names(data) == ["set.tar.gz"]  # no folder of that name, no hidden one


def test_missing_file_or_folder_inside(data, offer):
    offer(files={"c.tsv": None})
    fails("c.tsv", "found none", call=lambda: fetch(data))
    offer(unpacks_to="other")
    fails("Expected the folder other", "set-1.0", call=lambda: fetch(data))
    assert names(data) == ["set.tar.gz"]


def test_an_archive_without_a_folder_gets_one(data, server, offer):
    server.body = zip_of({"a.tsv": b"a", "deep/b.bin": b"b"})
    offer(md5=None, filename="set.zip", unpacks_to="", rename="big/train", files={"a.tsv": None})
    assert download("toy", data, lambda line: None) == data / "big"
    assert names(data / "big") == ["train"] and names(data / "big/train") == ["DOWNLOAD.json", "a.tsv", "deep"]


# ---- single files, and data sets of several --------------------------------------------------------------------------

QUESTIONS = b'[{"scene_index": 0}]'


@pytest.fixture
def questions(server, offer):
    """Offer a single file as the task "toy"."""
    server.body = QUESTIONS
    return lambda **changes: offer(
        **dict(filename="toy-train.json", md5=None, unpacks_to=None, rename="toy/questions/train.json", files={})
        | changes
    )


def test_a_single_file_is_put_in_place_with_its_record(data, server, questions):
    questions()
    assert download("toy", data, lambda line: None) == data / "toy"
    folder = data / "toy/questions"
    assert (folder / "train.json").read_bytes() == QUESTIONS
    assert names(data) == ["toy"] and names(folder) == ["train.json", "train.json.DOWNLOAD.json"]
    assert (
        json.loads((folder / "train.json.DOWNLOAD.json").read_text())["sha256"] == hashlib.sha256(QUESTIONS).hexdigest()
    )
    assert fetch(data) == [f"{folder / 'train.json'}: already there."] and len(server.requests) == 1


def test_a_single_file_continues_and_is_checked(data, server, questions):
    data.mkdir()
    (data / "toy-train.json.part").write_bytes(QUESTIONS[:5])
    questions(md5="0" * 32)
    fails("toy-train.json", "0" * 32, md5(QUESTIONS), call=lambda: fetch(data))
    assert server.requests == ["bytes=5-"] and not (data / "toy/questions/train.json").exists()
    questions(md5=md5(QUESTIONS))
    fetch(data)
    assert (data / "toy/questions/train.json").read_bytes() == QUESTIONS and names(data) == ["toy"]


@pytest.mark.parametrize(
    "content, words", [(b"\n<!doctype html><title>Sign in</title>", "a web page"), (b"", "an empty one")]
)
def test_a_web_page_is_not_taken_for_a_file(data, server, questions, content, words):
    questions()
    server.body = content
    fails(words, str(data / "toy-train.json"), "remove it", call=lambda: fetch(data))
    assert names(data / "toy/questions") == []


def test_a_single_file_put_in_place_by_hand_is_checked(data, server, questions):
    questions(md5=md5(QUESTIONS))
    (data / "toy/questions").mkdir(parents=True)
    (data / "toy/questions/train.json").write_bytes(b"[]")
    fails("train.json", md5(b"[]"), "Move", call=lambda: fetch(data))
    (data / "toy/questions/train.json").write_bytes(QUESTIONS)
    assert "not fetched by this command" in fetch(data)[0] and server.requests == []


@pytest.fixture
def local(server, monkeypatch):
    """local("clevrer"): the real table of a task, with the files it asks for at the server on this machine."""

    def serve(task: str) -> None:
        parts = []
        for archive in ARCHIVES[task]:
            path = "/" + archive.filename
            parts.append(replace(archive, url=f"http://127.0.0.1:{server.server_address[1]}{path}"))
            members = {"/".join(filter(None, (archive.unpacks_to, name))): b"mp4" for name in archive.files}
            server.bodies[path] = QUESTIONS if archive.unpacks_to is None else zip_of(members)
        monkeypatch.setitem(ARCHIVES, task, tuple(parts))

    return serve


@pytest.fixture
def clevrer(data, local):
    local("clevrer")
    return data / "CLEVRER"


@pytest.mark.parametrize("task", ["tinyvirat", "colorization", "clevrer", "tgifqa", "lasot"])
def test_what_is_fetched_lies_where_the_task_looks(data, server, local, task):
    from evlib.data.tasks import TASKS

    local(task)
    root = download(task, data, lambda line: None)
    assert TASKS[task].root(data) == root and all(path.is_file() for path in TASKS[task].lists(root).values())
    assert names(data) == [root.name] and len(server.requests) == len(ARCHIVES[task])


def test_what_a_data_set_has_already_is_not_fetched_again(data, server, clevrer):
    path = "/CLEVRER-video_validation.zip"
    archive, server.bodies[path], lines = server.bodies[path], b"<html>Come back later</html>", []
    fails(path, "expected a zip or tar archive", call=lambda: download("clevrer", data, lines.append))
    assert "18 GB" in lines[0] and "12 GB" in lines[1]
    data.joinpath(path[1:]).unlink()
    server.bodies[path] = archive
    server.requests.clear()
    lines.clear()
    download("clevrer", data, lines.append)
    assert names(clevrer) == ["questions", "video_train", "video_validation"]
    assert (clevrer / "video_validation/video_10000-11000/video_10000.mp4").read_bytes() == b"mp4"
    assert sum("already there" in line for line in lines) == 2 and len(server.requests) == 2
    lines.clear()
    download("clevrer", data, lines.append)
    assert all(line.endswith(": already there.") for line in lines) and len(lines) == 4  # and nothing about gigabytes


def test_a_miniature_is_not_filled_up_with_real_data(data, server, clevrer):
    clevrer.mkdir(parents=True)
    (clevrer / "MINIATURE.json").write_text("{}")
    fails("miniature", str(clevrer), call=lambda: download("clevrer", data, lambda line: None))
    assert server.requests == [] and names(clevrer) == ["MINIATURE.json"]


def test_advice_at_the_end_names_the_place(data, offer, monkeypatch):
    monkeypatch.setitem(sources.AFTER, "toy", sources.AFTER["tgifqa"])
    for _ in range(2):  # also where everything is there already
        assert (
            f"{data}/set/gifs/<gif_name>.gif; questions whose GIF is not there are left out and counted"
            in fetch(data)[-1]
        )


# ---- folders that are there already ----------------------------------------------------------------------------------


def test_a_folder_unpacked_by_hand_is_checked(data, server, offer):
    (data / "set/deep").mkdir(parents=True)
    (data / "set/a.tsv").write_bytes(FILES["set-1.0/a.tsv"])
    fails("b.bin", "Move", call=lambda: fetch(data))
    (data / "set/deep/b.bin").write_bytes(b"anything: its checksum is not known")
    assert "not fetched by this command" in fetch(data)[0]
    (data / "set/a.tsv").write_bytes(b"cut")
    fails("a.tsv", md5(b"cut"), call=lambda: fetch(data))
    assert server.requests == [] and names(data / "set") == ["a.tsv", "deep"]


def test_leftovers_of_a_killed_run_are_removed(data, offer):
    (data / ".set.unpacking/set-1.0").mkdir(parents=True)
    (data / ".set.unpacking/set-1.0/stale").write_text("half")
    fetch(data)
    assert_complete(data)
    assert not (data / "set/stale").exists()


# ---- the disk --------------------------------------------------------------------------------------------------------


def test_too_little_space_is_known_before_fetching(data, server, offer, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "total used free")(0, 0, 1000))
    fails("the disk is full", "are needed", str(data), call=lambda: fetch(data))
    assert not (data / "set.tar.gz").exists()


def test_the_disk_fills_up_while_fetching(data, server, offer, monkeypatch):
    class Full(io.FileIO):
        def write(self, chunk):
            if self.tell() > 100_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(chunk)

    original = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "open",
            lambda self, mode="r", *rest, **more: (
                Full(self, mode) if self.suffix == ".part" else original(self, mode, *rest, **more)
            ),
        )
        fails("the disk is full", "Free some space", "is kept", call=lambda: fetch(data))
    assert (data / "set.tar.gz.part").stat().st_size > 0
    fetch(data)
    assert_complete(data)


def test_the_disk_fills_up_while_unpacking(data, server, offer, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", full)
        fails("the disk is full", "Free some space", call=lambda: fetch(data))
    assert names(data) == ["set.tar.gz"]
    fetch(data)
    assert len(server.requests) == 1 and (data / "set/deep/b.bin").exists()


def test_data_is_a_file(data, offer):
    data.write_text("not a folder")
    fails(str(data), os.strerror(errno.EEXIST), "--data", call=lambda: fetch(data))


# ---- hostile and broken archives -------------------------------------------------------------------------------------

LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD = {"good.txt": b"good"}
HOSTILE = {
    "tar ..": tar_of(GOOD | {"a/../../evil": b"x"}),
    "tar absolute": tar_of(GOOD | {"/tmp/evil": b"x"}),
    "tar link up": tar_of(GOOD, special("a/b/out", LINK, "../../../evil")),
    "tar hard link": tar_of(GOOD, special("out", HARD, "../evil")),
    # Each of these two links stays inside as it is written; one after the other they lead out.
    "tar chain": tar_of(GOOD, special("a/b/c", LINK, "../.."), special("a/b/c/d", LINK, "../..")),
    "tar device": tar_of(GOOD, special("null", tarfile.CHRTYPE)),
    "zip ..": zip_of(GOOD | {"a/../../evil": b"x"}),
    "zip absolute": zip_of(GOOD | {"/tmp/evil": b"x"}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_write_nothing_outside(data, kind):
    data.mkdir()
    (data / "bad").write_bytes(HOSTILE[kind])
    with suppress(EvlibError):  # or the member lies inside, under another name
        unpack(data / "bad", data / "into")
    assert names(data) == ["bad", "into"] and names(data.parent) == ["data"] and not Path("/tmp/evil").exists()
    assert all(path.is_dir() or path.is_file() for path in (data / "into").rglob("*"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Sign in to the network</html>",
        tar_of(FILES)[:300_000],
        tar_of(FILES, mode="w:bz2")[:300_000],
        tar_of(FILES, mode="w:xz")[:300_000],
        tar_of(FILES)[:-8] + b"\0" * 8,
        zip_of(FILES)[:300_000],
        zip_of(FILES).replace(NOISE[5000:5010], bytes(10)),
    ],
)
def test_broken_archives(data, content):
    data.mkdir()
    (data / "broken").write_bytes(content)
    fails(str(data / "broken"), "run the same command again", call=lambda: unpack(data / "broken", data / "into"))


def test_a_broken_archive_leaves_no_folder(data, server, offer):
    server.body = server.body[:300_000]
    offer()
    fails("damaged", call=lambda: fetch(data))
    assert names(data) == ["set.tar.gz"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_in_all_its_forms_with_a_link_inside(data, mode):
    data.mkdir()
    (data / "a.tar").write_bytes(tar_of(FILES, special("set-1.0/same.tsv", LINK, "a.tsv"), mode=mode))
    unpack(data / "a.tar", data / "into")
    assert (data / "into/set-1.0/deep/b.bin").read_bytes() == NOISE
    assert (data / "into/set-1.0/same.tsv").read_bytes() == FILES["set-1.0/a.tsv"]
