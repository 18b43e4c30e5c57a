"""Downloads of COCO 2014 and 2017, CelebA's attribute list and Open Images V1's lists, from their official addresses.

The size is shown first; a download that was cut goes on where it stopped, in the same call or in a later one; the
checksum is compared; archives are unpacked into the layout that `coco` reads.
"""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nlcore.errors import InputError, require

CHUNK = 1 << 16  # bytes; what a cut connection loses at most
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch."""

    url: str
    name: str  # in the folder where it is put
    size: int | None = None  # bytes
    checksum: str | None = None  # pooch's "algorithm:digits"; None where no published one is known
    terms: str | None = None  # what must be accepted before it may be fetched
    about: int | None = None  # bytes, where only a rounded size is known


def _coco(part: str, size: int, md5: str) -> RemoteFile:
    return RemoteFile(f"http://images.cocodataset.org/{part}.zip", f"{part.split('/')[1]}.zip", size, f"md5:{md5}")


# Sizes as the server gives them; digests as several public download scripts check them.
VAL2017 = (
    _coco("annotations/annotations_trainval2017", 252_907_541, "f4bbac642086de4f52a3fdda2de5fa2c"),
    _coco("zips/val2017", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
)
CATALOGUE = {
    "coco2014": (
        _coco("annotations/annotations_trainval2014", 252_872_794, "0a379cfc70b0e71301e0f377548639bd"),
        _coco("zips/val2014", 6_645_013_297, "a3d79f5ed8d289b7a7554ce06a5782b3"),
        _coco("zips/train2014", 13_510_573_713, "0da8c0bd3d6becc4dcb32757491aca88"),
    ),
    "val2017": VAL2017,  # all of COCO 2017 that a paper here looks at
    "coco2017": (*VAL2017, _coco("zips/train2017", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2")),
    "celeba": (
        RemoteFile(
            "https://drive.usercontent.google.com/download?id=0B7EVK8r0v71pblRyaVFSWGxPY0U&export=download&confirm=t",
            "list_attr_celeba.txt",
            checksum="md5:75e246fa4810816ffd6ee81facbd244c",
            terms="CelebA is for non-commercial research only, and no part of it may be passed on "
            "(https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)",
        ),
    ),
    # Sizes as the release's page rounds them, so they are announced and not compared; it gives no checksums.
    "openimages_v1": tuple(
        RemoteFile(f"https://storage.googleapis.com/openimages/2016_08/{name}.tar.gz", f"{name}.tar.gz", about=size)
        for name, size in (
            ("images_2016_08_v5", 990_000_000),
            ("machine_ann_2016_08_v3", 450_000_000),
            ("human_ann_2016_08_v3", 9_000_000),
        )
    ),
}


def download(
    name: str,
    root: str | Path,
    *,
    accept_terms: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
    catalogue: dict[str, tuple[RemoteFile, ...]] = CATALOGUE,
) -> list[Path]:
    """Fetch every file of a data set and unpack archives; files that are there are kept.

    CelebA's images have to be fetched by hand from the page its terms name.

    Args:
        name: of the catalogue: "coco2014", "val2017", "coco2017", "celeba" (attributes only) or "openimages_v1"
            (lists only).
        root: the folder, made where it is absent.
        accept_terms: whether you accept the terms of a data set that has some.
        progress: whether to show a bar.
        say: what gets a line about every file before it is fetched: its size, and where it comes from and goes to.
        catalogue: what there is to fetch.

    Returns:
        Where each file lies.

    Raises:
        InputError: an unknown name, terms not accepted, no connection, want of disk space, a refused address, or a
            wrong size or checksum.
    """
    require(name in catalogue, "data set to download", name, f"one of {', '.join(catalogue)}")
    root = Path(root)
    for file in catalogue[name]:
        if file.terms and not accept_terms:
            raise InputError(f"{file.name}: {file.terms}; expected accept_terms, if you accept this")
    root.mkdir(parents=True, exist_ok=True)
    return [fetch(file, root, progress=progress, say=say) for file in catalogue[name]]


def fetch(file: RemoteFile, root: Path, *, progress: bool = True, say: Callable[[str], None] = print) -> Path:
    """One file: announce, download or resume, verify, unpack if it is an archive.

    Args:
        file: what to fetch; without a published checksum, that of the first download is what later ones must have.
        root: the folder, which exists.
        progress, say: as for `download`.

    Returns:
        Where the file lies.

    Raises:
        InputError: no connection, want of disk space, a refused address, or a wrong size or checksum.
    """
    target = root / file.name
    checksum = file.checksum or _recorded_checksum(target)
    downloader = ResumingDownloader(file, root, progress, say)
    pooch.get_logger().setLevel(logging.ERROR)
    try:
        pooch.retrieve(file.url, checksum, target.name, root, downloader=downloader)
    except requests.RequestException as error:
        raise InputError(_unreachable(file, target, error)) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file.name}: wrong checksum, so deleted; expected {checksum}, from {file.url}") from None
    if checksum is None:
        _checksum_file(target).write_text(pooch.file_hash(str(target)) + "\n", encoding="utf-8")
    if zipfile.is_zipfile(target):
        unpack(target, root)
    elif tarfile.is_tarfile(target):
        unpack_tar(target, root)
    return target


@dataclass(frozen=True)
class ResumingDownloader:
    """A downloader for pooch that keeps what has arrived in `<name>.part` and asks only for the rest.

    pooch's own deletes a partial file. The server's entity tag is kept in `<name>.part.etag`, so that a file that has
    changed in between is fetched anew, not joined to the old half. Calling it raises what `requests` raises once it has
    given up, and InputError for want of space or a wrong size.
    """

    file: RemoteFile
    root: Path
    progress: bool = True
    say: Callable[[str], None] = print
    attempts: int = 5  # in a row without one new byte

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        part = self.root / f"{self.file.name}.part"
        _announce(self.file, self.root, self.say)
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        with Progress(TextColumn(self.file.name), *columns, disable=not self.progress) as bar:
            transfer = Transfer(url, part, bar)
            failures = 0
            while not transfer.complete:
                before = transfer.received
                try:
                    transfer.go_on()
                except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                    failures = 0 if transfer.received > before else failures + 1
                    if failures == self.attempts or not transfer.received:
                        raise
                    time.sleep(failures)
        received = transfer.received
        if self.file.size not in (None, received):
            part.unlink()
            raise InputError(f"{self.file.name}: {received} bytes came; expected {self.file.size}, from {url}")
        os.replace(part, output_file)
        transfer.etag_file.unlink(missing_ok=True)


@dataclass
class Transfer:
    """The state of one download: what is in `part`, and whether that is all."""

    url: str
    part: Path
    bar: Progress
    complete: bool = False
    task: int = field(init=False)

    def __post_init__(self) -> None:
        self.task = self.bar.add_task("", total=None)

    @property
    def received(self) -> int:
        """Bytes that are here, from earlier calls and processes too."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def etag_file(self) -> Path:
        """Beside `part`: the server's name for the version of the file that `part` is a piece of."""
        return self.part.with_name(self.part.name + ".etag")

    def go_on(self) -> None:
        """One request for what is missing, appended as it comes; whole from the start if the server insists.

        Raises:
            requests.RequestException: the connection failed or ended early, or the server refused; what has come stays.
        """
        with requests.get(self.url, headers=self._headers(), stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 416 and self.received:  # nothing beyond what is here: all of it, or another file
                self.complete = response.headers.get("Content-Range", "") == f"bytes */{self.received}"
                if not self.complete:
                    self.part.unlink()
                return
            response.raise_for_status()
            start = self.received if response.status_code == 206 else 0
            length = int(response.headers.get("Content-Length", 0))
            self.etag_file.write_text(response.headers.get("ETag", ""), encoding="utf-8")
            self.bar.update(self.task, completed=start, total=start + length or None)
            with self.part.open("ab" if start else "wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    self.bar.advance(self.task, len(chunk))
            if length and self.received < start + length:
                raise requests.ConnectionError(f"the connection ended {start + length - self.received} bytes early")
        self.complete = True

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}  # offsets count the file's own bytes
        etag = self.etag_file.read_text(encoding="utf-8") if self.etag_file.exists() else ""
        if self.received:
            headers["Range"] = f"bytes={self.received}-"
            if etag and not etag.startswith("W/"):
                headers["If-Range"] = etag
        return headers


def unpack(archive: Path, root: Path) -> None:
    """Extract what is not there yet in full, so that an unpacking that was killed is completed the next time.

    Args:
        archive: a zip file.
        root: where its members go.

    Raises:
        InputError: want of disk space.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(Path(folder, "val2017.zip"), "w") as content:
    ...         content.writestr("val2017/1.txt", "one")
    ...     unpack(Path(folder, "val2017.zip"), Path(folder))
    ...     Path(folder, "val2017", "1.txt").read_text()
    'one'
    """
    with zipfile.ZipFile(archive) as content:
        members = [m for m in content.infolist() if not m.is_dir()]
        missing = [m for m in members if _size(root / m.filename) != m.file_size]
        _check_space(root, sum(m.file_size for m in missing), archive.name)
        for member in missing:
            content.extract(member, root)


def unpack_tar(archive: Path, root: Path) -> None:
    """Extract a (compressed) tar archive's files that are not there yet in full; nothing outside of `root`.

    By hand, since the standard library's own filter for this is younger than Python 3.11.

    Args and errors as for `unpack`. InputError also: a file that would land outside of `root`; nothing is extracted.
    """
    with tarfile.open(archive) as content:
        members = [m for m in content if m.isfile() and _size(root / m.name) != m.size]
        for member in members:
            inside = (root / member.name).resolve().is_relative_to(root.resolve())
            require(inside, f"{archive.name}: a file", member.name, f"one that lands in {root}")
        _check_space(root, sum(m.size for m in members), archive.name)
        for member in members:
            (root / member.name).parent.mkdir(parents=True, exist_ok=True)
            with content.extractfile(member) as source, (root / member.name).open("wb") as target:
                shutil.copyfileobj(source, target)


def _announce(file: RemoteFile, root: Path, say: Callable[[str], None]) -> None:
    """Say what is coming, and refuse what cannot fit: an archive needs its space twice, packed and unpacked."""
    size = file.size or file.about or _remote_size(file.url)
    here = _size(root / f"{file.name}.part") or 0
    known = f"{size / 1e6:,.1f} MB" if size else "size not known"
    resumed = f", {here / 1e6:,.1f} MB of it here already" if here else ""
    say(f"{file.name}: {known} from {file.url} to {root}{resumed}")
    _check_space(root, (size or 0) * (2 if file.name.endswith(".zip") else 1) - here, file.name)


def _remote_size(url: str) -> int:
    """What the server says, or 0 if it says nothing."""
    response = requests.head(url, headers={"Accept-Encoding": "identity"}, allow_redirects=True, timeout=TIMEOUT)
    return int(response.headers.get("Content-Length", 0)) if response.ok else 0


def _check_space(root: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise InputError(f"{root}: {free / 1e9:.1f} GB are free; expected {needed / 1e9:.1f} GB for {name}")


def _unreachable(file: RemoteFile, target: Path, error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        found = f"{file.url} answered {error.response.status_code}"
        return f"{file.name}: {found}; expected the file, so put it at {target} by other means"
    host = urlsplit(file.url).hostname
    way_out = f"run again to go on, or put {file.url} at {target}"
    return f"{file.name}: no connection to {host} (offline?); expected one, so {way_out}"


def _checksum_file(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _recorded_checksum(target: Path) -> str | None:
    """The digest of the first download, for files without a published one."""
    record = _checksum_file(target)
    return f"sha256:{record.read_text(encoding='utf-8').strip()}" if record.is_file() else None


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
