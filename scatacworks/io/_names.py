"""Names of files and tracks, made of those that groups and components have."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST = 200  # bytes, which leaves room for what comes before and after
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # of Windows, whatever the ending


def file_stems(names: Sequence[str]) -> list[str]:
    """Return a file name stem for every group: what file systems cannot hold becomes `_`, clashes get a number."""
    stems = []
    for name in names:
        stem = re.sub(r"[\x00-\x1f<>:\"/\\|?*\s]+", "_", unicodedata.normalize("NFC", name)).strip("._")
        while len(stem.encode()) > _LONGEST:
            stem = stem[:-1]
        stems.append(f"_{stem}" if _DEVICES.match(stem) else stem or "group")
    return _distinct(stems)


def safe_names(names: Sequence[str], *, taken: Iterable[str] = ()) -> list[str]:
    """Return names of letters, digits and `_` alone, as other programs need; clashes (with `taken`) get a number."""
    stems = (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:_LONGEST] for name in names)
    return _distinct([stem or "group" for stem in stems], taken)


def _distinct(stems: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Number what is there already; files of names that differ in case only are one on some systems."""
    used, out = {name.casefold() for name in taken}, []
    for stem in stems:
        unique, number = stem, 2
        while unique.casefold() in used:
            unique, number = f"{stem}_{number}", number + 1
        used.add(unique.casefold())
        out.append(unique)
    return out
