"""A prior from whatever tells where other samples are accessible."""

from __future__ import annotations

import logging
import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scatacworks import _keys
from scatacworks._anndata import genome_of, require_no_mudata
from scatacworks._arguments import whole
from scatacworks._arrays import in_memory
from scatacworks._columns import intervals, whole_numbers
from scatacworks._core.runs import join_equal, sum_runs
from scatacworks._files import is_peak_file
from scatacworks._logging import logger
from scatacworks._text import listed, natural
from scatacworks.genome import Genome
from scatacworks.io import read_dhs_index
from scatacworks.prior import NOTE, Prior
from scatacworks.tl._vocabulary._peaks import PeakTable, collect_peaks, read_samples
from scatacworks.tracks import Tracks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PUBLISHED_SAMPLES = 733
_UNKNOWN = "inferred from the elements"


def prior(
    source: AnnData | pd.DataFrame | Mapping[str, str | PathLike[str] | pd.DataFrame] | str | PathLike[str] | Prior,
    *,
    exclude: Sequence[str] | str | None = None,
    genome: Genome | str | Mapping[str, int] | None = None,
    n_samples: int | None = None,
) -> Prior:
    """Make a prior, which tells :func:`~scatacworks.tl.denoise` where other samples are accessible.

    Parameters
    ----------
    source
        Any of:

        - what :func:`~scatacworks.tl.dhs_index` returns (its samples; their peaks where they are kept, else elements);
        - peaks of several samples, in the forms that :func:`~scatacworks.tl.dhs_index` takes;
        - the published index, as :func:`~scatacworks.io.read_dhs_index` returns it, or the path of its file: it has one
          row per component, and says only in how many samples an element is;
        - a folder of peak files, one per sample, or one written by :meth:`Prior.to_zarr`;
        - a BED file whose first line names its columns, among them the sample: `#chrom start end sample` (separated by
          tabs, as :func:`~scatacworks.io.read_peaks` reads them). Without such a line the file is one sample's, and
          the log says so where the fourth column looks like samples;
        - a :class:`~scatacworks.Prior`.
    exclude
        Rows to leave out: above all the sample that will be denoised, and samples of the same individual.
    genome
        The genome that the prior will be used on. Chromosomes that it lacks are left out.
    n_samples
        Of a table of elements: number of samples that it was made of, by default 733, those of the published index.

    Returns
    -------
    A :class:`~scatacworks.Prior`.

    Raises
    ------
    KeyError
        If a name to exclude is not in the prior; it is named.
    ValueError
        If nothing is left, elements lie beyond their chromosome or on none of the genome, or the number of samples of
        the elements is missing.
    TypeError
        If the source says nothing about places, such as a list of identifiers.

    Warns
    -----
    UserWarning
        If the prior has a single sample, which says little about what is common.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> peaks = pd.DataFrame(
    ...     {"chrom": "chr1", "start": [100, 120], "end": [300, 310], "sample": ["liver", "lung"], "score": 1.0}
    ... )
    >>> sca.tl.prior(peaks, genome={"chr1": 1000}).fraction("chr1", 118, 122).tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    found = _read(source, n_samples)
    if exclude is not None and len(exclude):
        found = found.exclude(exclude)
    if genome is not None:
        found = on_genome(found, genome if isinstance(genome, Genome) else Genome(genome))
    if found.n_samples == 1 and not (isinstance(source, Prior) and source.n_samples == 1):  # told when that was made
        msg = f"The prior has a single sample ({found.rows[0]}), which says little about what is common."
        warnings.warn(msg, UserWarning, stacklevel=2)
    return found


def _read(source: Any, n_samples: int | None) -> Prior:
    """Read a source in any of its forms."""
    if isinstance(source, Prior):
        return source
    require_no_mudata(source)
    if isinstance(source, str | PathLike):
        return _from_path(_existing(source), n_samples)
    if isinstance(source, AnnData):
        return _from_anndata(source, n_samples)
    if isinstance(source, pd.DataFrame):
        is_peaks = "sample" in source or "group" in source
        return _from_peaks(source, "DataFrame") if is_peaks else _from_elements(source, n_samples, "the table")
    if hasattr(source, "keys"):
        return _from_peaks(source, "peaks of samples")
    msg = (
        f"The prior is a {type(source).__name__}; expected an index, a table with coordinates, peaks of samples, or "
        "a path. Identifiers alone do not say where elements are."
    )
    raise TypeError(msg)


def _existing(source: Any) -> Path:
    """Return the path of a prior, which must be there."""
    path = Path(source).expanduser()
    if not str(source) or not path.exists():
        msg = f"The prior {str(source)!r} is not there; expected a file or a folder, or 'self' for the other groups."
        raise FileNotFoundError(msg)
    return path


def _from_path(path: Path, n_samples: int | None) -> Prior:
    if (path / NOTE).is_file():
        return Prior.from_zarr(path)
    if path.suffix == ".h5ad":
        from anndata import read_h5ad

        return _from_anndata(read_h5ad(path), n_samples)
    if path.is_dir() or is_peak_file(path):
        return _from_peaks(read_samples(path), str(path))
    return _from_elements(read_dhs_index(path), n_samples, str(path))


def _from_anndata(adata: AnnData, n_samples: int | None) -> Prior:
    """Samples of an index by their peaks, or by its elements where these are other ones; or called peaks."""
    stored = adata.uns.get(_keys.DHS_INDEX)
    genome = genome_of(adata)
    if stored is None and not {"chrom", "start", "end"} <= set(adata.var):
        return _from_peaks(adata, f".uns[{_keys.PEAKS!r}]", genome)
    peaks = None if stored is None else stored.get("peaks")
    if peaks is not None and int(peaks["element"].max()) + 1 == adata.n_vars:
        peaks = peaks[peaks["sample"].isin(adata.obs_names)]
        return _from_peaks(peaks.assign(sample=peaks["sample"].astype(str)), "index", genome, named=adata.obs_names)
    if stored is None and adata.n_obs == 0 and "n_samples" in adata.var:  # the published index with its loadings
        return _from_elements(adata.var, n_samples, "index")
    if adata.n_obs == 0 or adata.X is None:
        msg = "The index has no samples, so how common its elements are is not known; give one with samples in X."
        raise ValueError(msg)
    rows, columns = in_memory(adata.X).nonzero()
    of = adata.var[["chrom", "start", "end"]].iloc[columns].reset_index(drop=True)
    return _from_peaks(of.assign(sample=adata.obs_names.to_numpy()[rows]), "index", genome, named=adata.obs_names)


def _from_peaks(peaks: Any, source: str, genome: Genome | None = None, *, named: Sequence[str] = ()) -> Prior:
    """One row per sample, 1 in its peaks; also for those of `named` that have none."""
    if isinstance(peaks, pd.DataFrame):
        column = "sample" if "sample" in peaks else "group"
        peaks = peaks[["chrom", "start", "end", column]].assign(summit=peaks["start"], signal=1.0)
    table: PeakTable = collect_peaks(peaks, None, named=named)
    parts = (table.chrom, table.start, table.end, table.sample.astype(np.int64), np.ones(len(table.start), np.float32))
    tracks = _tracks(parts, list(table.chroms), list(table.samples), genome)
    return Prior(tracks, provenance={"source": source})


def _from_elements(table: pd.DataFrame, n_samples: int | None, source: str) -> Prior:
    """One row per component, the fraction of samples in its elements."""
    _check_elements(table, source)
    total = PUBLISHED_SAMPLES if n_samples is None else whole(n_samples, "n_samples")
    start, end = intervals(table, source)
    counts = whole_numbers(table["n_samples"], source, least=1)
    if (counts > total).any():
        msg = f"{source} has elements in {counts.max()} samples, more than {total}; give n_samples."
        raise ValueError(msg)
    component = table["component"] if "component" in table else pd.Series("all", index=table.index)
    component, chrom = component.astype(str).astype("category"), table["chrom"].astype(str).astype("category")
    chrom = chrom.cat.reorder_categories(sorted(chrom.cat.categories, key=natural))
    fraction = (counts / total).astype(np.float32)
    parts = (chrom.cat.codes.to_numpy(), start, end, component.cat.codes.to_numpy(np.int64), fraction)
    tracks = _tracks(parts, list(chrom.cat.categories), list(component.cat.categories), None)
    return Prior(tracks, n_samples=total, provenance={"source": source})


def _check_elements(table: pd.DataFrame, source: str) -> None:
    """Refuse a table of elements that does not say where they are, or how common."""
    missing = [name for name in ("chrom", "start", "end", "n_samples") if name not in table]
    if missing:
        hint = "identifiers alone do not say where elements are"
        if "start" not in missing:
            hint = "so how common is not known; peaks of samples need a column sample"
        msg = (
            f"{source} lacks the column(s) {', '.join(missing)} ({hint}); it has {', '.join(map(str, table.columns))}."
        )
        raise ValueError(msg)


def _tracks(parts: tuple[np.ndarray, ...], chroms: list[str], rows: list[str], genome: Genome | None) -> Tracks:
    """Lay intervals (chromosome, start, end, row, value) out as step functions; where they overlap they add up to 1."""
    chrom, start, end, row, value = parts
    if genome is None:
        ends = [int(end[chrom == code].max()) for code in range(len(chroms))]
        genome = Genome(dict(zip(chroms, ends, strict=True)), name=_UNKNOWN)
    codes = genome.resolve(chroms)[chrom]
    order = np.lexsort((start, row, codes))
    bounds = np.searchsorted(codes[order] * len(rows) + row[order], np.arange(len(genome) * len(rows) + 1))
    columns = [column[order] for column in (start.astype(np.int32), (end - start).astype(np.int32), value)]

    def runs(slot: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = slice(bounds[slot], bounds[slot + 1])
        starts, lengths, values = sum_runs(*(column[own] for column in columns))
        return join_equal(starts, lengths, np.minimum(values, 1).astype(np.float32))

    chromosomes = ((c, [runs(c * len(rows) + r) for r in range(len(rows))]) for c in range(len(genome)))
    return Tracks.from_chromosomes(rows, genome, chromosomes, dtype=np.float32)


def on_genome(prior: Prior, genome: Genome) -> Prior:
    """Return a prior on another genome's chromosomes; elements beyond them, or on none of them, are refused."""
    if prior.genome == genome:
        return prior
    codes = genome.resolve(prior.genome.chroms)
    if (codes < 0).all():
        msg = (
            f"The prior has no chromosome of {genome.name!r} (it has {listed(prior.genome.chroms)}); "
            "is it of another genome?"
        )
        raise ValueError(msg)
    places = {int(code): place for place, code in enumerate(codes) if code >= 0}
    known = prior.genome.name != _UNKNOWN
    for code, place in places.items():
        ours, theirs = int(genome.lengths[code]), int(prior.genome.lengths[place])
        if theirs > ours or (known and theirs != ours):
            msg = (
                f"The prior reaches to {theirs:,} bp on {genome.chroms[code]}, which has {ours:,} bp in "
                f"{genome.name!r}; it is of another genome."
            )
            raise ValueError(msg)
    lost = [chrom for chrom, code in zip(prior.genome.chroms, codes, strict=True) if code < 0]
    if lost:
        whole_ones = [chrom for chrom in lost if "_" not in chrom]  # not scaffolds, which genomes often lack
        level = logging.WARNING if whole_ones else logging.INFO
        text = "Chromosomes of the prior that %r lacks are left out: %s."
        logger.log(level, text, genome.name, listed(whole_ones or lost))
    nothing = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    n = len(prior.rows)
    chromosomes = (
        (code, [prior.tracks.runs(row, places[code]) if code in places else nothing for row in range(n)])
        for code in range(len(genome))
    )
    tracks = Tracks.from_chromosomes(prior.rows, genome, chromosomes, dtype=np.float32)
    n_samples = prior.n_samples if prior.pooled else None
    return Prior(tracks, n_samples=n_samples, provenance=prior.provenance)
