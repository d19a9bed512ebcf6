"""Cut sites per group of cells, in one pass over the fragments."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scatacworks import _keys, _step
from scatacworks._arguments import one_of, whole
from scatacworks._core.pileup import CONVENTIONS, group_cut_sites
from scatacworks._counting import CellCounter
from scatacworks._files import require_replaceable, without_empty_folders
from scatacworks._logging import logger
from scatacworks._membership import resolve_groups
from scatacworks._text import listed
from scatacworks.io._source import excluded_digest, open_fragments
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from scatacworks._core.fragments import FragmentBlock
    from scatacworks._membership import Membership
    from scatacworks.genome import Genome

_MOST_WITHOUT = 0.1  # share of the cells without a fragment that passes without a word


def pseudobulk(
    adata: AnnData | MuData,
    groupby: str,
    *,
    convention: Literal["10x", "atacworks"] = "10x",
    groups: Sequence[str] | None = None,
    min_cells: int = 0,
    key_added: str = _keys.PSEUDOBULK,
    path: str | PathLike[str] | None = None,
    mod: str = "atac",
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Count the cut sites of every group of cells at base resolution.

    Every fragment `[start, end)` has two cut sites, at its ends, and adds each of them to all groups of its cell; the
    number of reads behind a fragment (column 5) plays no part. One pass over the fragments serves all groups, with
    one chromosome in memory at a time. Coverage and denoised tracks are derived from the cut sites when asked for:
    :func:`~scatacworks.get.track`, ``tl.denoise``.

    Parameters
    ----------
    adata
        Cells, `(n_cells, …)`, that know their fragments: `.uns["files"]["fragments"]` (see ``io.read_fragments``) or
        SnapATAC2's `.obsm["fragment_paired"]`.
    groupby
        Column of `.obs`, or key of a cells x groups membership in `.obsm` such as :func:`~scatacworks.pp.knn_groups`
        and :func:`~scatacworks.pp.subsample` write; there a cell may be in several groups. Cells with a missing value
        are left out. Of a MuData also a column of its own `.obs`, or of another modality's, as `"rna:leiden"`; it is
        copied to the modality.
    convention
        Where the cut sites of a fragment are. `"10x"`: `start` and `end - 1`, right for every file that is shifted
        for Tn5 already. `"atacworks"`: `start + 1` and `end + 1`, as the published AtacWorks models were trained.
    groups
        Names of the groups to count, in this order; all by default.
    min_cells
        Groups with fewer cells are left out. By default even a group without cells is kept, as an empty track.
    key_added
        Slot of `.uns` to write.
    path
        Write the cut sites to a zarr store (a folder) chromosome by chromosome, and only its path to `.uns`. An older
        store there is replaced.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads; `None`: all cores, or `SCATACWORKS_NUM_THREADS`.
    progress
        Show a progress bar.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets:

    `.uns[key_added]["cut_sites"]` : dict
        The form of a :class:`~scatacworks.Tracks`: cut-site counts per group, positions 0-based. With `path`,
        `.uns[key_added]["path"]` instead.
    `.uns[key_added]["groups"]`, `["n_cells"]`, `["n_fragments"]` : `(n_groups,)`
        Names of the groups, and (int64) the cells of each and the fragments of these.
    `.uns[key_added]["params"]` : dict
        Parameters, version, digests of the counts and of `.uns["excluded_regions"]`, `n_excluded`, the fragments of all
        cells that this pass left out as cut in these, and `territory_bp`: the bases that the others cover, without
        mitochondria and plastids; less than the genome for a file cut to windows.

    Raises
    ------
    KeyError
        If `groupby`, or one of `groups`, does not exist, or the object knows no fragments.
    ValueError
        If `groupby` holds measurements, or differs between a MuData and its modality, no fragment belongs to any group,
        another slot shows the store at `path`, or `.uns[key_added]` holds another kind of result.
    FileExistsError, NotADirectoryError, PermissionError
        If `path` holds something else than such a store, is a file or cannot be written to.

    Warns
    -----
    UserWarning
        If cells have no group, groups have no fragment, more than a tenth of the cells have none, or most
        fragments are one base long.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> bool(sca.get.track(adata, "naive B", "MS4A1").max() > 0)
    True
    """
    one_of(convention, "convention", CONVENTIONS)
    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, "n_fragments")
    path = _step.free_store(target, path, key_added)
    _step.take_column(result, target, groupby)
    min_cells = whole(min_cells, "min_cells", least=0)
    membership = resolve_groups(target, groupby, groups=groups, min_cells=min_cells)
    source = open_fragments(target)
    counting = _Counting(membership, convention, source.genome)
    chromosomes = counting.run(source.chromosomes(n_jobs=n_jobs, progress=progress))
    stored = _store(chromosomes, membership.groups, source.genome, path)
    logger.info("%s", source.report)
    _warn_about_fragments(counting, key_added)
    empty = membership.groups[counting.n_fragments == 0]
    if len(empty):
        msg = f"{len(empty)} group(s) of {groupby!r} have no fragments, and empty tracks: {listed(empty)}."
        warnings.warn(msg, UserWarning, stacklevel=2)
    target.uns[key_added] = stored | {
        "groups": membership.groups,
        "n_cells": membership.n_cells,
        "n_fragments": counting.n_fragments,
        _keys.PARAMS: _step.params(
            groupby=groupby,
            convention=convention,
            genome=source.genome.name,
            excluded=excluded_digest(target),
            n_excluded=source.report.n_excluded,
            territory_bp=counting.territory_bp(),
            digest=counting.digest.hexdigest()[:16],
        ),
    }
    return result if copy else None


def _warn_about_fragments(counting: CellCounter, key: str) -> None:
    """Tell of cells that look as if their fragments were in another file, and of fragments that look like cut sites."""
    if 2 * counting.n_of_one_base > counting.per_cell.sum():
        msg = (
            "Most fragments are one base long, as if the file held cut sites. Each line counts as two at its base, so "
            "that coverage and depth are twice what they should be. Where all lines are cut sites, halve the counts of "
            f"convention='10x': .uns[{key!r}][{_keys.CUT_SITES!r}]['values'] //= 2 (not in a store, path=)."
        )
        warnings.warn(msg, UserWarning, stacklevel=3)
    without, n_cells = int((counting.per_cell[counting.in_a_group] == 0).sum()), int(counting.in_a_group.sum())
    if without > _MOST_WITHOUT * n_cells:
        msg = (
            f"{without:,} of {n_cells:,} cells have no fragment. Are all their samples in "
            f".uns[{_keys.FILES!r}][{_keys.FRAGMENTS!r}], under the barcodes of the file?"
        )
        warnings.warn(msg, UserWarning, stacklevel=3)


def _store(
    chromosomes: Iterator[tuple[int, list[Runs]]],
    groups: np.ndarray,
    genome: Genome,
    path: Path | None,
) -> dict[str, Any]:
    """Keep the cut sites in memory, or write them to `path`; return what goes into `.uns`."""
    if path is None:
        return {_keys.CUT_SITES: Tracks.from_chromosomes(groups, genome, chromosomes).to_dict()}
    require_replaceable(path, f"{_keys.CUT_SITES}/zarr.json")
    with without_empty_folders(path):
        Tracks.write_zarr(path / _keys.CUT_SITES, groups, genome, chromosomes, dtype=np.uint32, lengths=False)
    return {"path": str(path)}


class _Counting(CellCounter):
    """Counts cut sites per group, and their digest."""

    def __init__(self, membership: Membership, convention: str, genome: Genome) -> None:
        super().__init__(membership, convention, genome)
        self.digest = hashlib.sha256("\0".join(membership.groups).encode())

    def run(self, blocks: Iterator[FragmentBlock]) -> Iterator[tuple[int, list[Runs]]]:
        """Yield each chromosome's code and the cut sites of every group on it."""
        for block in blocks:
            chrom = block.chrom
            self.add(block)
            keys = [self.keys(block)]
            del block  # while the next chromosome is read
            yield chrom, self._count(chrom, keys.pop())
        self.require_fragments()  # before a store takes its name

    def _count(self, chrom: int, keys: np.ndarray) -> list[Runs]:
        """Return the cut sites of every group on one chromosome."""
        matrix = self.membership.matrix
        runs = group_cut_sites(keys, matrix.indptr, matrix.indices, len(self.membership.groups))
        self.digest.update(np.array([chrom, *(len(starts) for starts, _, _ in runs)]))
        for starts, _, counts in runs:
            self.digest.update(starts)
            self.digest.update(counts)
        return runs
