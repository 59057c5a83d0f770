"""Official archives: pooch fetches and checks them, and this module unpacks them safely. `sources` has the URLs.

    python -m evlib download sst2 --data data        # or: download("sst2", Path("data"))

An archive is fetched to DIR/<filename>.part, so that an interrupted download can continue, and unpacked into a hidden
folder that gets its final name only after all checks. DOWNLOAD.json in it (for a single file, beside it) records what
was fetched, with its SHA-256. A fetched archive is removed once it is unpacked; one that you put there is kept.

No archive is trusted: members outside the folder are refused or unpacked inside it, and nothing is ever unpickled.
"""

import errno
import json
import lzma
import shutil
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, HTTPError, RequestException, Timeout

from evlib.config import nearest
from evlib.data.sources import AFTER, ARCHIVES, BEFORE, Archive, is_miniature
from evlib.utils import progress
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

RECORD = "DOWNLOAD.json"  # in a folder that `download` filled; suffix of a record beside a single file
CHUNK = 1 << 16  # bytes per read; a lost connection loses at most one chunk
TIMEOUT = 30.0  # seconds without a byte from the server
PAUSES = (2.0, 10.0)  # seconds before the second and the third try, if the failure may be temporary
AGAIN = "run the same command again"
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)
Log = Callable[[str], None]


def download(task: str, data: Path, log: Log = log_line) -> Path:
    """Fetches whatever is missing of a task's official data into the folder `data`; returns the data set's folder.
    EvlibError, with what to do: unknown task, no network, wrong checksum, unsafe archive, no space, other contents."""
    if task not in ARCHIVES:
        raise EvlibError(f"Nothing to download for {task!r}{nearest(task, list(ARCHIVES))}")
    root = Path(data) / ARCHIVES[task][0].folder
    with _disk_errors(root):
        if is_miniature(root):
            raise EvlibError(f"{root} holds a miniature: name another folder with --data, or remove it and {AGAIN}.")
        if task in BEFORE and not all((Path(data) / archive.path).exists() for archive in ARCHIVES[task]):
            log(BEFORE[task])
    for archive in ARCHIVES[task]:
        target = Path(data) / archive.path
        with _disk_errors(target):
            if target.exists():
                log(_verify_existing(archive, target))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                _obtain(archive, Path(data) / archive.filename, target, log)
    if task in AFTER:
        log(AFTER[task].format(root=root))
    return root


def _verify_existing(archive: Archive, target: Path) -> str:
    """A log line about a folder or file that already exists; EvlibError if it is not this data set."""
    ours = _record(archive, target).exists()
    known = {".": archive.md5} if archive.unpacks_to is None else archive.files
    _verify(target, dict.fromkeys(known) if ours else known, f"Move {target} away and {AGAIN}.")
    return f"{target}: already there{'' if ours else ', not fetched by this command; its known checksums are right'}."


def _record(archive: Archive, target: Path) -> Path:
    return target.with_name(f"{target.name}.{RECORD}") if archive.unpacks_to is None else target / RECORD


def _obtain(archive: Archive, packed: Path, target: Path, log: Log) -> None:
    """Fetches, checks, unpacks, checks again, and only then gives the folder its final name."""
    log(f"{archive.filename} ({archive.note or 'size unknown'}; license: {archive.license})")
    part, by_hand = packed.with_name(packed.name + ".part"), packed.exists()
    if by_hand:
        log(f"{packed} is there already and is not fetched.")
        _verify(packed.parent, {packed.name: archive.md5}, f"Remove the file and {AGAIN}.")
    else:
        _fetch(archive, packed, part, log)
    sha256 = pooch.file_hash(str(packed))
    if archive.md5 is None:
        log(f"SHA-256 {sha256}; no official checksum is known. It is recorded in {_record(archive, target)}.")
    record = {"url": archive.url, "file": archive.filename, "bytes": packed.stat().st_size, "md5": archive.md5}
    record |= {"sha256": sha256, "checksum_was_known": archive.md5 is not None, "placed_by_hand": by_hand}
    record |= {"unpacked": datetime.now(UTC).isoformat(timespec="seconds")}
    staging = target.with_name(f".{target.name}.unpacking")
    try:
        shutil.rmtree(staging, ignore_errors=True)  # left by a run that was killed
        if archive.unpacks_to is None:
            content = staging / target.name
            _copy_single(packed, content)
        else:
            content = staging / archive.unpacks_to
            unpack(packed, staging, log)
            _verify(content, archive.files, f"Remove {packed} and {AGAIN}.")
        _record(archive, content).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        content.rename(target)
        if archive.unpacks_to is None:
            _record(archive, content).rename(_record(archive, target))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    part.unlink(missing_ok=True)
    if not by_hand:
        packed.unlink()
    log(f"{target}: ready.")


def _copy_single(packed: Path, copy: Path) -> None:
    """Copies a file that needs no unpacking; EvlibError if it is empty or a web page (a sign-in, an error)."""
    with packed.open("rb") as file:
        begin = file.read(CHUNK).lstrip()[:1]
    if begin in (b"", b"<"):
        found = "a web page" if begin else "an empty one"
        raise EvlibError(f"{packed}: expected a file of the data set, found {found}; remove it and {AGAIN}.")
    copy.parent.mkdir(parents=True)
    shutil.copyfile(packed, copy)


def _verify(folder: Path, files: Mapping[str, str | None], remedy: str) -> None:
    if not folder.exists():
        found = ", ".join(sorted(path.name for path in folder.parent.iterdir())[:5])
        raise EvlibError(f"Expected the folder {folder.name} in the archive, found {found}. {remedy}")
    for name, md5 in files.items():
        path = folder / name
        if not path.is_file():
            raise EvlibError(f"{path}: expected a file of the official data set, found none. {remedy}")
        if md5 is not None and (found := pooch.file_hash(str(path), alg="md5")) != md5:
            raise EvlibError(f"{path}: expected md5 {md5}, found {found}. {remedy}")


def _fetch(archive: Archive, packed: Path, part: Path, log: Log) -> None:
    pooch.get_logger().setLevel("WARNING")
    known_hash = archive.md5 and f"md5:{archive.md5}"
    try:
        pooch.retrieve(archive.url, known_hash, packed.name, packed.parent, downloader=partial(_resume, part, log))
    except RequestException as error:
        raise EvlibError(
            f"Cannot fetch {archive.url}: {_reason(error)}. To continue, {AGAIN}; or fetch it by other means, "
            f"put the file at {packed.absolute()}, and {AGAIN}: it continues from there."
        ) from None
    except ValueError as error:  # the checksum; pooch has removed the file
        raise EvlibError(f"{archive.url}: {error} Please {AGAIN}.") from None


def _resume(part: Path, log: Log, url: str, output_file: str, _: pooch.Pooch | None) -> None:
    """A downloader for pooch that resumes from `part`, which is kept after a failure for the next try or call."""
    for pause in (*PAUSES, None):
        try:
            _continue(part, log, url)
            break
        except (Timeout, ChunkedEncodingError, HTTPError) as error:  # the same request may succeed soon
            if pause is None or isinstance(error, HTTPError) and error.response.status_code < 500:
                raise
            log(f"{part.stem}: {_reason(error)}; next try in {pause:.0f} s.")
            time.sleep(pause)
    part.replace(output_file)


def _continue(part: Path, log: Log, url: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        status, content_range = response.status_code, response.headers.get("Content-Range", "")
        if have and status == 416 and content_range.endswith(f"/{have}"):
            return  # all of it was there
        if have and (status == 416 or status == 206 and f" {have}-" not in content_range):
            part.unlink()  # it is not the beginning of what the server has
            return _continue(part, log, url)
        response.raise_for_status()
        if status != 206:  # the server ignores ranges and sends the whole file
            have = 0
        to_come = int(response.headers.get("Content-Length", 0))
        _require_space(part.parent, to_come)
        bar = progress.bar(f"{part.stem}: fetching", have + to_come if to_come else None, "B", log, have)
        with bar, part.open("ab" if have else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _reason(error: RequestException) -> str:
    """The reason in a few words: the messages of requests are chains of three libraries' messages."""
    if isinstance(error, HTTPError):
        return f"the server answers {error.response.status_code}"
    if isinstance(error, Timeout):
        return f"no answer for {TIMEOUT:g} s"
    cut = isinstance(error, ChunkedEncodingError)
    return "the connection was cut" if cut else f"no connection ({type(error).__name__})"


def unpack(archive: Path, into: Path, log: Log = log_line) -> None:
    """Unpacks a zip or tar.* archive into a folder. EvlibError if it is damaged, or if a member of a tar archive is
    a device, lies outside the folder, or is a link that does not point down. Parts may already be unpacked then."""
    if not hasattr(tarfile, "data_filter"):
        raise EvlibError(f"Unpacking needs Python 3.11.4 or later, found {sys.version.split()[0]}; update Python.")
    with _disk_errors(into):
        try:
            is_tar = tarfile.is_tarfile(archive)
            if not is_tar and not zipfile.is_zipfile(archive):
                found = "something else, perhaps a truncated file or an error page"
                raise EvlibError(f"{archive}: expected a zip or tar archive, found {found}; remove it and {AGAIN}.")
            with tarfile.open(archive) if is_tar else zipfile.ZipFile(archive) as opened:
                members, options = (opened.getmembers(), {"filter": _downward}) if is_tar else (opened.infolist(), {})
                sizes = [member.size if is_tar else member.file_size for member in members]
                while is_tar and opened.fileobj.read(CHUNK):  # to the end, where gzip and xz have their checksums
                    pass
                into.mkdir(parents=True, exist_ok=True)
                _require_space(into, sum(sizes))
                with progress.bar(f"{archive.name}: unpacking", sum(sizes), "B", log) as bar:
                    for member, size in zip(members, sizes):
                        opened.extract(member, into, **options)
                        bar.update(size)
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # from the disk; gzip's and bz2's have no errno
                raise
            raise EvlibError(f"{archive}: the archive is damaged or unsafe ({error}); remove it and {AGAIN}.") from None


def _downward(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """The standard library's filter, and only links that point down: a chain of others may lead out of the folder."""
    if ".." in Path(member.linkname).parts or Path(member.linkname).is_absolute():
        raise ValueError(f"{member.name} is a link to {member.linkname}")
    return tarfile.data_filter(member, folder)


def _require_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OSError(errno.ENOSPC, f"{need / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free", str(folder))


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turns disk errors into an EvlibError that explains them."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        remedy = "Free some space" if full else "Name a folder that you may write to with --data"
        raise EvlibError(
            f"Cannot write {error.filename or path}: {'the disk is full, ' if full else ''}"
            f"{error.strerror or error}. {remedy} and {AGAIN}; what was fetched so far is kept."
        ) from error
