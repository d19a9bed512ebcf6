"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import shutil
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

_CAUSES = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the file system or a limit of the system allows",
    errno.EROFS: "the file system is read-only",
}
_ADDRESS = re.compile(r"(?:^|/)((?:https?|ftp|s3|gs):)/+(.*)")
_REFUSAL = "Cannot write "
_WAITS = (0.1, 0.3, 1, 3)  # seconds after which to see whether something was written again to what was deleted


@contextmanager
def atomic_path(
    path: str | os.PathLike[str], *, holds: str | None = None, folder: Path | None = None
) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the final name only when the block ends without an error.

    With `folder`, on the same file system, the path is in there, so that what a killed process leaves goes with it.

    Works for files and for folders (a zarr store). The parent folder is made when missing. An earlier file is replaced;
    an earlier folder only where it is empty or holds a file of the name `holds`, by which its kind is known.

    Raises
    ------
    FileExistsError
        If there is a folder with something else.
    PermissionError, NotADirectoryError
        If the folder cannot be written to, naming it.
    OSError
        If the disk is full or the system refuses the file otherwise, naming the file.
    """
    final = Path(path).expanduser()
    if holds is not None:
        require_replaceable(final, holds)
    require_writable(final.parent)
    part = f".{final.name}.{uuid.uuid4().hex[:8]}.part{''.join(final.suffixes[-1:])}"
    aside = (final.parent if folder is None else require_writable(folder)) / part
    try:
        yield aside
        if holds is not None and final.is_dir():
            shutil.rmtree(final)
        aside.replace(final)
    except (OSError, RuntimeError) as error:  # HDF5 raises either
        _explain(error, final, aside)
        raise
    finally:
        _remove(aside)


def _remove(aside: Path) -> None:
    """Delete what was begun; where one chunk of a store failed, threads may still be writing others into it."""
    if not aside.is_dir():
        aside.unlink(missing_ok=True)
        return
    for wait in _WAITS:
        shutil.rmtree(aside, ignore_errors=True)
        time.sleep(wait)
        if not aside.exists():
            return


def _explain(error: OSError | RuntimeError, final: Path, aside: Path) -> None:
    """Raise one sentence that names the file where its place is the cause, such as a full disk."""
    told = re.search(r"file write failed.*errno = (\d+)", str(error), re.DOTALL)  # of HDF5, sometimes only in the text
    number = int(told[1]) if told else getattr(error, "errno", None)
    text = str(getattr(error, "strerror", None) or "the system refused")
    cause = _CAUSES.get(number)
    if cause is None and getattr(error, "filename", None) == str(aside):
        cause = text.lower()
    if cause is None:
        return
    if text.startswith(_REFUSAL):  # told already, of a part of this folder
        msg = text.replace(str(aside), str(final))
    else:
        msg = f"{_REFUSAL}{final}: {cause}. {'Make room, or give' if number in _CAUSES else 'Give'} another place."
    raise OSError(number, msg) from error


@contextmanager
def without_empty_folders(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Remove the folders that were made for `folder` when the block fails before anything was put into them."""
    missing = [path for path in (Path(folder), *Path(folder).parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if missing:
            remove_empty_folders(missing[-1])
        raise


def remove_empty_folders(top: Path) -> None:
    """Remove `top` and what is below it as far as there are no files in it."""
    for path, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):  # what is not empty stays
            Path(path).rmdir()


def unfinished_folder(path: Path, description: Mapping[str, Any]) -> Path:
    """Return the hidden folder beside `path` where unfinished work waits, made when missing.

    Raises
    ------
    ValueError
        If work of another description lies there.
    """
    folder = path.with_name(f".{path.name}.unfinished")
    note, text = folder / "parameters.json", json.dumps(description, sort_keys=True)
    if note.exists():
        stored, now = json.loads(note.read_text(encoding="utf-8")), json.loads(text)
        if other := [name for name in {**now, **stored} if stored.get(name) != now.get(name)]:
            msg = (
                f"{folder} holds unfinished work of a run that differs in {', '.join(other)}. Repeat that run to "
                "finish it, delete the folder, or give another path."
            )
            raise ValueError(msg)
        return folder
    require_writable(folder)
    with atomic_path(note) as aside:
        aside.write_text(text, encoding="utf-8")
    return folder


@contextmanager
def only_process(folder: Path, path: Path) -> Iterator[None]:
    """Let one process at a time work in a folder, on what will be at `path`.

    Raises
    ------
    RuntimeError
        If another one does.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(folder / "lock").acquire(timeout=0)
    except Timeout:
        msg = f"Another process is at work on {path}. Wait for it, or give another path."
        raise RuntimeError(msg) from None
    with lock:
        yield


def store_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a store to write, given as the argument `path`.

    Raises
    ------
    TypeError
        If it is no path.
    """
    if not isinstance(path, str | os.PathLike):
        msg = f"path is {path!r} ({type(path).__name__}); expected that of the zarr store to write."
        raise TypeError(msg)
    return Path(path).expanduser().resolve()


def require_writable(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` when missing and check that files can be written to it."""
    folder = require_place(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = _CAUSES.get(error.errno, (error.strerror or "the system refused").lower())
        msg = f"Cannot make the folder {folder}: {cause}. Give another output folder."
        raise OSError(error.errno, msg) from error
    return folder


def require_place(folder: str | os.PathLike[str]) -> Path:
    """Check, before long work, that `folder` can be written to or be made; nothing is made yet."""
    folder = Path(folder).expanduser()
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), None)
    if there is None:  # a drive of Windows
        msg = f"Cannot write into {folder}: there is no {folder.absolute().anchor}. Give another output folder."
        raise FileNotFoundError(msg)
    if not there.is_dir():
        what = "it" if there == folder else there
        msg = f"Cannot write into {folder}: {what} is a file. Give another output folder."
        raise NotADirectoryError(msg)
    if not os.access(there, os.W_OK):
        what = f"Cannot write into {folder}" if there == folder else f"Cannot make the folder {folder}"
        msg = f"{what}: no permission. Give a folder you may write to."
        raise PermissionError(msg)
    return folder


def require_replaceable(folder: str | os.PathLike[str], holds: str) -> Path:
    """Check, before long work, that `folder` is free, empty or known by a file `holds` to be of the kind to write."""
    folder = require_place(folder)
    if folder.is_dir() and not (folder / holds).exists() and any(folder.iterdir()):
        msg = f"{folder} is a folder with something else in it, which would be lost; give a path that is free."
        raise FileExistsError(msg)
    return folder


def visible(folder: Path) -> list[Path]:
    """Return what is in a folder, in order, but for hidden files: macOS puts a `._name` beside what it copies."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a file in lower case, that before `.gz` or `.bgz` where it is compressed."""
    return Path(Path(path).name.lower().removesuffix(".gz").removesuffix(".bgz")).suffix


def is_peak_file(path: str | os.PathLike[str]) -> bool:
    """Tell a file of peaks (BED, narrowPeak, broadPeak, compressed or not) by its name."""
    return kind_of(path) in (".bed", ".narrowpeak", ".broadpeak")


def is_bigwig_file(path: str | os.PathLike[str]) -> bool:
    """Tell a bigWig file by its name."""
    return Path(path).suffix.lower() in (".bw", ".bigwig")


def require_file(path: str | os.PathLike[str], what: str = "file") -> Path:
    """Return `path` as a :class:`~pathlib.Path`, or raise one clear sentence when it is missing, a folder or empty.

    A leading `~` is the user's home. Addresses and pipes are refused: files are read several times.
    """
    if not isinstance(path, str | os.PathLike):
        msg = f"{path!r} ({type(path).__name__}) is no path; expected that of a {what}."
        raise TypeError(msg)
    path = Path(path).expanduser()
    if path.is_dir():
        msg = f"{path} is a folder; expected a {what}."
        raise IsADirectoryError(msg)
    address = _ADDRESS.search(path.as_posix())
    if address is not None and not path.exists():
        msg = f"The {what} {address[1]}//{address[2]} is an address; download it and give the path of the file."
        raise FileNotFoundError(msg)
    if path.exists() and not path.is_file():
        msg = f"{path} is a pipe or device; a {what} is read more than once: save it and give the path of the file."
        raise ValueError(msg)
    if not path.exists():
        msg = f"The {what} {path} does not exist (looked in {path.parent.resolve()})."
        raise FileNotFoundError(msg)
    if path.stat().st_size == 0:
        msg = f"The {what} {path} is empty (0 bytes)."
        raise ValueError(msg)
    return path


@contextmanager
def open_text(path: str | os.PathLike[str], what: str) -> Iterator[TextIO]:
    """Open a text file, plain or gzipped, whatever its name is; a byte order mark is passed over.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        If there is no such file, or, in the block, if it is cut off, damaged, no text, or no table where pandas reads.
    """
    path = require_file(path, what)
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig") if zipped else path.open(encoding="utf-8-sig") as handle:
            yield handle
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file; expected a {what}, plain or gzipped."
        raise ValueError(msg) from error
    except ValueError as error:
        if type(error).__module__ != "pandas.errors":  # not imported for a file that is no table
            raise
        msg = f"{path} cannot be read as a table ({str(error).strip()}); expected a {what}, plain or gzipped."
        raise ValueError(msg) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{path} is cut off or damaged ({error}); copy or download the {what} again."
        raise ValueError(msg) from error
