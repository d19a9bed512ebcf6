"""zarr stores, opened so that what is wrong with one is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import zarr


class Stored:
    """An array of a store that names itself where a chunk cannot be read, as of a copy that was cut off."""

    def __init__(self, array: zarr.Array, place: Path, damaged: Callable[[str], ValueError]) -> None:
        self.array, self.place, self._damaged = array, place, damaged
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks

    def __getitem__(self, wanted: Any) -> Any:
        """Return what a zarr array returns."""
        try:
            return self.array[wanted]
        except (RuntimeError, ValueError) as error:  # of decompression, of the number of bytes
            how = f"a part of {self.place.name} cannot be read ({error})"
            raise self._damaged(how) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - NumPy's own
        """Return all of it."""
        return np.asarray(self[:], dtype)

    @property
    def is_whole(self) -> bool:
        """Whether all chunks are there, where those of zeros were written too; a lost one would be read as zeros.

        The files are counted: zarr itself looks for one chunk after the other.
        """
        files = (name for _, _, names in os.walk(self.place / "c") for name in names)
        return sum(name.isdigit() for name in files) >= self.array.nchunks


def open_store(
    path: str | os.PathLike[str], names: Iterable[str], *, what: str, again: str
) -> tuple[dict[str, Any], dict[str, Stored]]:
    """Return the attributes of a store, and those of the named arrays that it has.

    Parameters
    ----------
    path
        The folder of the store.
    names
        The arrays.
    what, again
        What kind of store it is, and what to do where it is damaged or gone, for messages.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If what describes it or an array cannot be read.
    """
    import zarr

    def damaged(how: str) -> ValueError:
        return ValueError(f"The {what} at {path} is damaged: {how}. Delete it and {again}.")

    arrays, described = {}, Path("zarr.json")
    try:
        store = zarr.open_group(path, mode="r", zarr_format=3)  # an older one may name codecs that run code
        for name in names:
            described = Path(name) / "zarr.json"
            if (array := store.get(name)) is not None:
                arrays[name] = Stored(array, Path(path) / name, damaged)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError) as error:
        msg = f"There is no {what} at {path}; it may have been moved. Else {again}."
        raise FileNotFoundError(msg) from error
    except (ValueError, TypeError, AttributeError) as error:  # no JSON, or not what zarr writes
        how = f"{described} cannot be read ({error})"
        raise damaged(how) from error
    return store.attrs.asdict(), arrays
