"""Files appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the final name only when the block ends without an error.

    Works for files and for folders (a zarr store). The parent folder is made when missing.

    Raises
    ------
    PermissionError, NotADirectoryError
        If the folder cannot be written to, naming it.
    """
    final = Path(path)
    require_writable(final.parent)
    aside = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.part{''.join(final.suffixes[-1:])}")
    try:
        yield aside
        if aside.is_dir() and final.is_dir():
            shutil.rmtree(final)
        aside.replace(final)
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)


def require_writable(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` when missing and check that files can be written to it."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        msg = f"Cannot write into {folder}: it, or a folder above it, is a file. Give another output folder."
        raise NotADirectoryError(msg) from error
    except PermissionError as error:
        msg = f"Cannot make the folder {folder}: no permission. Give a folder you may write to."
        raise PermissionError(msg) from error
    if not os.access(folder, os.W_OK):
        msg = f"Cannot write into {folder}: no permission. Give a folder you may write to."
        raise PermissionError(msg)
    return folder


def require_file(path: str | os.PathLike[str], what: str = "file") -> Path:
    """Return `path` as a :class:`~pathlib.Path`, or raise one clear sentence when it is missing, a folder or empty."""
    path = Path(path)
    if path.is_dir():
        msg = f"{path} is a folder; expected a {what}."
        raise IsADirectoryError(msg)
    if not path.exists():
        msg = f"The {what} {path} does not exist (looked in {path.parent.resolve()})."
        raise FileNotFoundError(msg)
    if path.stat().st_size == 0:
        msg = f"The {what} {path} is empty (0 bytes)."
        raise ValueError(msg)
    return path
