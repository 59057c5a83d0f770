"""Official archives: how they are fetched, checked, and unpacked safely. Where they are: archives.py.

    python -m evlib download sst2 --data data        # or: download("sst2", Path("data"))

The archive is fetched to DIR/<filename>.part (an interrupted fetch continues there), checked, and unpacked into a
hidden folder that gets its final name only when everything in it is right. DOWNLOAD.json in that folder then says what
was fetched, with its SHA-256. A fetched archive is removed once it is unpacked; one that you put there is kept.
A single file takes the same way, without unpacking; its record is <file>.DOWNLOAD.json beside it.

No archive is trusted: all its members are checked before the first one is written, and nothing is ever unpickled.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import http.client
import json
import lzma
import shutil
import stat
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from evlib.config import nearest
from evlib.data.sources import AFTER, ARCHIVES, BEFORE, Archive, is_miniature
from evlib.utils import progress
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

MARKER = "DOWNLOAD.json"  # in a folder that `download` filled; the end of a name beside a single file
CHUNK = 1 << 18  # bytes: read at once, from the network or from disk
TIMEOUT = 30.0  # seconds without a byte from the server
PAUSES = (2.0, 10.0)  # seconds before the second try and the third, where the network failed in passing
MOST_BYTES = 200 * 10**9  # unpacked: more than any archive here
MOST_RATIO = 1000  # unpacked to packed: deflate itself ends at 1032
AGAIN = "run the same command again"
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def download(task: str, data: Path, log: Callable[[str], None] = log_line) -> Path:
    """Have the official data of `task` under the folder `data`; returns the data set's folder.

    What is there already is not fetched again. EvlibError, always a sentence that says what to do: unknown task, no
    network, wrong checksum, unsafe archive, no space, or a folder of that name that holds something else.
    """
    if task not in ARCHIVES:
        raise EvlibError(f"Nothing to download for {task!r}{nearest(task, list(ARCHIVES))}")
    root = Path(data) / ARCHIVES[task][0].folder
    with _disk(root):
        if is_miniature(root):
            raise EvlibError(f"{root} holds a miniature: name another folder with --data, or remove it and {AGAIN}.")
        if task in BEFORE and not all((Path(data) / archive.path).exists() for archive in ARCHIVES[task]):
            log(BEFORE[task])
    for archive in ARCHIVES[task]:
        target = Path(data) / archive.path
        with _disk(target):
            if target.exists():
                log(_already(archive, target))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _obtain(archive, Path(data) / archive.filename, target, log)
    if task in AFTER:
        log(AFTER[task].format(root=root))
    return root


def _already(archive: Archive, target: Path) -> str:
    """What to say about a folder or file that is there; EvlibError if it is not this data set."""
    ours = _marker(archive, target).exists()
    known = {".": archive.md5} if archive.unpacks_to is None else archive.files
    _verify(target, dict.fromkeys(known) if ours else known, f"Move {target} away and {AGAIN}.")
    return f"{target}: already there{'' if ours else ', not fetched by this command; what is known of its files is right'}."


def _marker(archive: Archive, target: Path) -> Path:
    return target.with_name(f"{target.name}.{MARKER}") if archive.unpacks_to is None else target / MARKER


def _obtain(archive: Archive, packed: Path, target: Path, log: Callable[[str], None]) -> None:
    """Fetch, check, unpack, check, and only then give the folder its name."""
    log(f"{archive.filename} ({archive.note or 'size unknown'}; licence: {archive.licence})")
    by_hand = packed.exists()
    if by_hand:
        log(f"{packed} is there already and is not fetched.")
    else:
        _fetch(archive, packed, log)
    md5, sha256 = _hashes(packed, log)
    size = packed.stat().st_size
    for what, expected, found in (("bytes", archive.size_bytes, size), ("md5", archive.md5, md5)):
        if expected is not None and found != expected:
            raise EvlibError(
                f"{packed}: expected {what} {expected}, found {found}. Remove the file and {AGAIN}; "
                f"if that does not help, {archive.url} has changed."
            )
    if archive.md5 is None:
        log(
            f"SHA-256 {sha256}; no official checksum is known to compare it with, so it is kept in {_marker(archive, target)}."
        )
    staging = target.with_name(f".{target.name}.unpacking")
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        if archive.unpacks_to is None:
            content = _single(packed, staging / target.name)
        else:
            unpack(packed, staging, log)
            content = staging / archive.unpacks_to
            if not content.is_dir():
                raise EvlibError(
                    f"{packed}: expected the folder {archive.unpacks_to} in it, found "
                    f"{', '.join(sorted(p.name for p in staging.iterdir())[:5]) or 'nothing'}. "
                    f"Remove the file and {AGAIN}."
                )
            _verify(content, archive.files, f"Remove {packed} and {AGAIN}.")
        record = {
            "url": archive.url,
            "file": archive.filename,
            "bytes": size,
            "md5": md5,
            "sha256": sha256,
            "checksum_was_known": archive.md5 is not None,
            "placed_by_hand": by_hand,
            "unpacked": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }
        marker = _marker(archive, content)
        marker.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        content.rename(target)
        if archive.unpacks_to is None:
            marker.rename(_marker(archive, target))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    packed.with_name(packed.name + ".part").unlink(missing_ok=True)
    if not by_hand:
        packed.unlink()
    log(f"{target}: ready.")


def _single(packed: Path, copy: Path) -> Path:
    """A file that needs no unpacking -> a copy; EvlibError if it is empty or a web page (a sign-in, an error)."""
    with packed.open("rb") as file:
        begin = file.read(CHUNK).lstrip()[:1]
    if begin in (b"", b"<"):
        raise EvlibError(
            f"{packed}: expected a file of the data set, found {'a web page' if begin else 'an empty one'}; "
            f"remove it and {AGAIN}."
        )
    copy.parent.mkdir(parents=True)
    shutil.copyfile(packed, copy)
    return copy


def _fetch(archive: Archive, packed: Path, log: Callable[[str], None]) -> None:
    """archive.url -> `packed`, through `packed`.part, which an interruption leaves for the next try and the next call."""
    part = packed.with_name(packed.name + ".part")
    for pause in (*PAUSES, None):
        try:
            _continue(archive, part, log)
            break
        except Lost as lost:
            if pause is None or not lost.passing:
                raise EvlibError(
                    f"Cannot fetch {archive.url}: {lost}. To continue, {AGAIN}; or fetch that address by other "
                    f"means, put the file at {packed.absolute()}, and {AGAIN}: it continues from there."
                ) from None
            log(f"{archive.filename}: {lost}; next try in {pause:.0f} s.")
            time.sleep(pause)
    part.rename(packed)


def _continue(archive: Archive, part: Path, log: Callable[[str], None]) -> None:
    """All bytes of archive.url that are not in `part` yet -> `part`; Lost if the network fails on the way."""
    have = part.stat().st_size if part.exists() else 0
    with _network():
        response, have, total = _request(archive.url, have)
    if response is None:
        return
    total = total or archive.size_bytes
    with response, part.open("ab" if have else "wb") as file:
        _need_room(part.parent, (total or 0) - have)
        with progress.bar(f"{archive.filename}: fetching", total, "bytes", log, have) as bar:
            while total is None or bar.done < total:
                with _network():
                    chunk = response.read1(CHUNK)  # what has arrived, so that a cut connection loses nothing
                    if not chunk and total is not None:
                        raise ConnectionError(f"the connection ended after {bar.done:,} of {total:,} bytes")
                if not chunk:
                    break
                file.write(chunk)
                bar.advance(len(chunk))


def _request(url: str, have: int) -> tuple[http.client.HTTPResponse | None, int, int | None]:
    """Ask for the bytes from `have` on: the response (None: there are no more), its first byte, the total if known."""
    headers = {"User-Agent": "evlib", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not have:
            raise
        complete = error.headers.get("Content-Range", "").endswith(f"/{have}")
        return (None, have, have) if complete else _request(url, 0)
    if response.status != 206:  # all of it: the server does not honour ranges
        length = response.headers.get("Content-Length")
        return response, 0, int(length) if length else None
    where, _, total = response.headers.get("Content-Range", "").partition("/")
    if not where.startswith(f"bytes {have}-"):  # some other bytes
        response.close()
        return _request(url, 0)
    return response, have, int(total) if total.isdigit() else None


class Lost(Exception):
    """No bytes from the server, in words, and whether that may be `passing`: the same request may succeed soon."""

    def __init__(self, why: str, passing: bool):
        super().__init__(why)
        self.passing = passing


@contextmanager
def _network() -> Iterator[None]:
    """What can go wrong between here and the server, apart from what goes wrong with the disk."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise Lost(str(error), passing=error.code >= 500) from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        passing = isinstance(why, (TimeoutError, ConnectionError, http.client.IncompleteRead))
        words = f"no answer for {TIMEOUT:.0f} s" if isinstance(why, TimeoutError) else str(why) or type(why).__name__
        raise Lost(words, passing and not isinstance(why, ConnectionRefusedError)) from None


def unpack(archive: Path, into: Path, log: Callable[[str], None] = log_line) -> None:
    """Unpack a zip or tar.* archive into the folder `into`.

    EvlibError if it is no such archive or is damaged (then a part of it may be in `into`), or if a member must not be
    unpacked: an absolute path, `..`, a link that leads up or out, a device, absurdly many bytes. Then nothing is written.
    """
    if not hasattr(tarfile, "data_filter"):
        raise EvlibError(f"Unpacking needs Python 3.11.4 or later, found {sys.version.split()[0]}; update Python.")
    with _disk(into):
        try:
            is_tar = tarfile.is_tarfile(archive)
            if not is_tar and not zipfile.is_zipfile(archive):
                raise EvlibError(
                    f"{archive}: expected a zip or tar archive, found something else, perhaps a cut file or "
                    f"an error page; remove it and {AGAIN}."
                )
            with tarfile.open(archive) if is_tar else zipfile.ZipFile(archive) as opened:
                entries, options = (opened, {"filter": "data"}) if is_tar else (opened.infolist(), {})
                total = _check(archive, map(_describe, entries))
                while is_tar and opened.fileobj.read(CHUNK):  # to the end, where gzip and xz keep their checksums
                    pass
                into.mkdir(parents=True, exist_ok=True)
                _need_room(into, total)
                with progress.bar(f"{archive.name}: unpacking", total, "bytes", log) as bar:
                    for entry in entries:
                        opened.extract(entry, into, **options)
                        bar.advance(_describe(entry).size)
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk; gzip's and bz2's have no number
                raise
            raise EvlibError(f"{archive}: the archive is damaged ({error}); remove it and {AGAIN}.") from None


class Member(NamedTuple):
    name: str
    size: int  # bytes, unpacked
    goal: str  # of a link, else ""
    odd: bool  # neither a file, nor a folder, nor a link


def _describe(entry: tarfile.TarInfo | zipfile.ZipInfo) -> Member:
    if isinstance(entry, tarfile.TarInfo):
        return Member(
            entry.name,
            entry.size,
            entry.linkname,
            not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()),
        )
    form = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the zip was not made on Unix
    return Member(entry.filename, entry.file_size, "", form not in (0, stat.S_IFREG, stat.S_IFDIR))


def _check(archive: Path, members: Iterable[Member]) -> int:
    """The unpacked size of all members in bytes; EvlibError that names the first one that must not be unpacked."""
    limit = min(MOST_BYTES, MOST_RATIO * archive.stat().st_size)
    total = 0
    for member in members:  # one by one: a bomb is refused before it is decompressed
        total += member.size
        if _climbs(member.name):
            why = "would be written outside the folder"
        elif _climbs(member.goal):  # links only lead down, so that no chain of them leads out
            why = f"is a link to {member.goal!r}, which may be outside the folder"
        elif member.odd:
            why = "is a device, a pipe or a link in a zip"
        elif total > limit:
            why = f"brings the unpacked size to {total:,} bytes, more than {limit:,}"
        else:
            continue
        raise EvlibError(
            f"{archive}: refused, because its member {member.name!r} {why}; nothing was unpacked. "
            "Remove the archive and fetch it from its official address."
        )
    return total


def _climbs(name: str) -> bool:
    """Whether a path is absolute or has `..` in it, on any system."""
    path = PureWindowsPath(name)  # knows both slashes and drive letters
    return bool(path.drive or path.root) or ".." in path.parts


def _verify(folder: Path, files: Mapping[str, str | None], remedy: str) -> None:
    for name, md5 in files.items():
        path = folder / name
        if not path.is_file():
            raise EvlibError(f"{path}: expected a file of the official data set, found none. {remedy}")
        if md5 is not None and (found := _hashes(path)[0]) != md5:
            raise EvlibError(f"{path}: expected md5 {md5}, found {found}. {remedy}")


def _hashes(path: Path, log: Callable[[str], None] = log_line) -> tuple[str, str]:
    """MD5 (what publishers give; it finds damage, not malice) and SHA-256 of a file."""
    digests = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file, progress.bar(f"{path.name}: checking", path.stat().st_size, "bytes", log) as bar:
        while chunk := file.read(CHUNK):
            for digest in digests:
                digest.update(chunk)
            bar.advance(len(chunk))
    return digests[0].hexdigest(), digests[1].hexdigest()


def _need_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(errno.ENOSPC, f"{need / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free", str(folder))


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What can go wrong with files, as a sentence."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        way = "Free some space" if full else "Name a folder that you may write to with --data"
        raise EvlibError(
            f"Cannot write {error.filename or path}: {'the disk is full, ' if full else ''}"
            f"{error.strerror or error}. {way} and {AGAIN}; what was fetched so far is kept."
        ) from error
