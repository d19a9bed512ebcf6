"""Barcodes of the user's cells against those of a fragment file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEPARATORS = (":", "#", "___", "__", "_", "-", "|", ".", "+")
_SEPARATOR = "|".join(map(re.escape, SEPARATORS))
_AFTER = re.compile(f"(?:{_SEPARATOR})(.*)", re.DOTALL)  # a sample: the barcode
_BEFORE = re.compile(f"(.*?)(?:{_SEPARATOR})", re.DOTALL)
BASES = re.compile(r"[ACGTN]{8,}")
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


def join_names(sample: str, barcodes: Iterable[str]) -> list[str]:
    """Return the names of a sample's cells among several samples."""
    return [f"{sample}:{barcode}" for barcode in barcodes]


def split_names(names: Sequence[str], samples: Sequence[str]) -> dict[str, dict[str, int]]:
    """Tell the sample and the barcode of every name: `sample:barcode`, `sample#barcode`, `barcode-sample` and the like.

    Returns
    -------
    Sample -> barcode -> position of the name.

    Raises
    ------
    ValueError
        If a name carries none of the samples, or two mean the same cell.
    """
    known, lengths = frozenset(samples), sorted({len(sample) for sample in samples}, reverse=True)
    out: dict[str, dict[str, int]] = {sample: {} for sample in samples}
    for position, name in enumerate(names):
        sample, barcode = _split(name, known, lengths)
        if sample is None:
            msg = (
                f"Cannot tell the sample of the cell {name!r}; expected names such as "
                f"{join_names(next(iter(samples)), ['AAACGAAAGACGTCAG-1'])[0]!r}, of the samples "
                f"{', '.join(map(repr, list(samples)[:5]))}."
            )
            raise ValueError(msg)
        if barcode in out[sample]:
            msg = (
                f"The cells {names[out[sample][barcode]]!r} and {name!r} are both {barcode!r} of the sample {sample!r}."
            )
            raise ValueError(msg)
        out[sample][barcode] = position
    return out


def _split(name: str, samples: frozenset[str], lengths: Sequence[int]) -> tuple[str | None, str]:
    """Return the sample and the barcode; the longest sample is meant, since its name may hold separators itself."""
    for length in lengths:
        if name[:length] in samples and (found := _AFTER.match(name, length)) and found[1]:
            return name[:length], found[1]
    for length in lengths:
        at = len(name) - length
        if name[at:] in samples and (found := _BEFORE.fullmatch(name, 0, at)) and found[1]:
            return name[at:], found[1]
    return None, name


def explain_no_match(path: str, cells: Sequence[str], found: Sequence[str]) -> str:
    """Return the sentence for a file without any barcode of the cells, and the change that would make them match."""
    shown = [", ".join([*map(repr, list(names)[:3]), *(["…"] if len(names) > 3 else [])]) for names in (cells, found)]
    guess = guess_change(cells, found)
    if len(_around(cells)) > 1 >= len(_around(found)):
        guess += (
            " Cells differ around the bases among themselves, as those of several samples do; give each sample its "
            "file: {sample: path, …}."
        )
    return f"None of the {len(cells):,} barcodes ({shown[0]}) occurs in {path}, which has {shown[1]}.{guess}"


def guess_change(cells: Sequence[str], found: Sequence[str]) -> str:
    """Return a sentence on the change of names that would make cells match, empty where none is seen."""
    by_core = {core: name for name in found if (core := _core(name)) is not None}
    for name in cells:
        core = _core(name) or ""
        if core in by_core:
            there = by_core[core]
            return f" They differ around the bases: {name!r} here is {there!r} there{_difference(name, there)}."
        if (reverse := core.translate(_COMPLEMENT)[::-1]) in by_core:
            return f" They are reverse complements: {name!r} here is {by_core[reverse]!r} there."
    endings = {name.rsplit("-", 1)[0]: name for name in found}
    for name in cells:
        bare = name.rsplit("-", 1)[0]
        if name in endings or bare in found:
            there = endings.get(name, bare)
            return f" They differ in the ending: {name!r} here is {there!r} there."
    return _unlike(cells, found) + " Are they of the same sample?"


def _unlike(cells: Sequence[str], found: Sequence[str]) -> str:
    """Return a sentence where all names of a side have the same around the bases and the other side's differ."""
    kinds = [_around(names) for names in (cells, found)]
    if kinds[0] == kinds[1] or any(len(kind) != 1 for kind in kinds):
        return ""
    mine = next(name for name in cells if _core(name) is not None)
    before, after = kinds[1].pop()
    there = f"{before}{_core(mine)}{after}"
    return f" Names there are formed otherwise: {mine!r} would be {there!r}{_difference(mine, there)}."


def _around(names: Sequence[str]) -> set[tuple[str, str]]:
    """Return what names have before and after the bases."""
    return {tuple(name.split(core, 1)) for name in names if (core := _core(name)) is not None}


def _core(name: str) -> str | None:
    match = BASES.search(name)
    return None if match is None else match[0]


def _difference(name: str, there: str) -> str:
    """Return what to take away from, or add to, the names of the cells."""
    core = _core(name)
    steps = []
    for side, (mine, other) in zip(
        ("prefix", "suffix"), zip(name.split(core, 1), there.split(core, 1), strict=True), strict=True
    ):
        mine, other = _without_shared(mine, other, side)
        if mine and mine != other:
            steps.append(f"remove the {side} {mine!r}")
        if other and mine != other:
            steps.append(f"add the {side} {other!r}")
    return f" ({' and '.join(steps)})" if steps else ""


def _without_shared(mine: str, other: str, side: str) -> tuple[str, str]:
    """Leave out what both have next to the bases, up to a separator: of `"-1-x"` and `"-1"`, `"-x"` and nothing."""
    step = 1 if side == "suffix" else -1
    mine, other = mine[::step], other[::step]
    short, long = sorted((mine, other), key=len)
    if long.startswith(short) and long[len(short) :].startswith(SEPARATORS):
        mine, other = mine[len(short) :], other[len(short) :]
    return mine[::step], other[::step]
