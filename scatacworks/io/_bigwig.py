"""Write bigWig files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from scatacworks import _keys, _threads
from scatacworks._arguments import whole
from scatacworks._core import bigwig as format_
from scatacworks._core import interpolate, pileup
from scatacworks._depth import nuclear_sums
from scatacworks._files import atomic_path, is_bigwig_file
from scatacworks._groups import chosen_groups
from scatacworks.get import tracks as get_tracks
from scatacworks.io._names import file_stems
from scatacworks.tracks import Runs, Tracks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from anndata import AnnData
    from mudata import MuData


def write_bigwig(
    data: AnnData | MuData | Tracks,
    path: str | PathLike[str],
    *,
    key: str = _keys.DENOISED,
    layer: str | None = None,
    groups: Sequence[str] | None = None,
    extend: int | None = 100,
    per_million: bool = False,
    fill_gaps: bool = True,
    ending: str = ".bw",
    n_jobs: int | None = None,
    progress: bool = True,
    mod: str = "atac",
) -> dict[str, Path]:
    """Write one bigWig file per group.

    The values are written run by run as they are stored (float32), with zoom levels for browsers. A file appears whole
    or not at all.

    Parameters
    ----------
    data
        Annotated data that holds tracks, or :class:`~scatacworks.Tracks`.
    path
        A folder, which then gets `<group>.bw` (see `ending`) for every group, where characters that file names cannot
        hold become `_`; or, for a single group, a file ending in `.bw` or `.bigWig`.
    key, layer
        Which tracks, as for :func:`scatacworks.get.tracks`: by default the denoised signal. Not used for `Tracks`.
    groups
        Groups to write; all by default.
    extend
        Cut sites only: the coverage of cut sites extended by this many bp to either side is written, as
        :func:`scatacworks.get.track` gives it; `None` writes the counts of cut sites themselves.
    per_million
        Cut sites only: divide by the millions of fragments that the group has on chromosomes of the nucleus, as
        :func:`scatacworks.pl.tracks` does. CPM of other programs counts both ends of a fragment and is half of this.
    fill_gaps
        Write the bases without a run too: zeros between counts, a model's constant far from any cut site. Browsers that
        zoom out show means over the bases written; without the zeros a sparse group would look as deep as a rich one.
    ending
        What follows the group's name in the names of files in a folder, such as `".denoised.bw"`.
    n_jobs
        Threads that compress.
    progress
        Show a progress bar.
    mod
        Modality to use where `data` is a MuData.

    Returns
    -------
    Group -> file written.

    Raises
    ------
    KeyError
        If there are no such tracks or groups.
    ValueError
        If several groups are to go into one file, or tracks other than cut sites are to be given per million.
    PermissionError, NotADirectoryError
        If the folder cannot be written to.

    Examples
    --------
    >>> import numpy as np, scatacworks as sca
    >>> genome = sca.Genome({"chr1": 100})
    >>> runs = (np.array([10, 20], np.int32), np.array([5, 2], np.int32), np.array([1.5, 3], np.float32))
    >>> tracks = sca.Tracks.from_chromosomes(["NK/T"], genome, [("chr1", [runs])])
    >>> from tempfile import mkdtemp
    >>> written = sca.io.write_bigwig(tracks, mkdtemp(), progress=False)
    >>> written["NK/T"].name
    'NK_T.bw'
    >>> sca.io.read_bigwig(written["NK/T"]).window("NK_T", "chr1", 13, 16)
    array([1.5, 1.5, 0. ], dtype=float32)
    """
    extend = None if extend is None else whole(extend, "extend", least=0)
    tracks = data if isinstance(data, Tracks) else get_tracks(data, key=key, layer=layer, mod=mod)
    if per_million and tracks.lengths is not None:
        msg = f"per_million is for cut sites, such as key={_keys.PSEUDOBULK!r}; other tracks are written as they are."
        raise ValueError(msg)
    n_fragments = nuclear_sums(tracks) / 2 if per_million else None
    names = chosen_groups(groups, tracks.groups)
    codes = [tracks.group_code(name) for name in names]
    files = _files_for(names, Path(path).expanduser(), ending)
    with (
        ThreadPoolExecutor(_threads.resolve(n_jobs)) as pool,
        tqdm(total=len(names) * len(tracks.genome), desc="Writing bigWig", unit="chrom", disable=not progress) as bar,
    ):
        for name, code in zip(names, codes, strict=True):
            fill = float(tracks.fill[code]) if fill_gaps else np.nan
            with atomic_path(files[name]) as aside, aside.open("wb") as handle:
                writer = format_.Writer(handle, tracks.genome.sizes, pool=pool)
                for chrom in writer.chroms:
                    length = tracks.genome.length(chrom)
                    runs = _extended(tracks.runs(code, chrom), length, extend)
                    if n_fragments is not None:
                        runs = _per_million(runs, n_fragments[code])
                    writer.add(chrom, *with_gaps(runs, length, fill))
                    bar.update()
                writer.close()
    return files


def _extended(runs: Runs, size: int, extend: int | None) -> Runs:
    """Turn cut sites into coverage; other runs pass."""
    starts, lengths, values = runs
    if lengths is not None or extend is None or len(starts) == 0:
        return runs
    return pileup.run_length_coverage(starts, values, size, extend)


def _per_million(runs: Runs, n_fragments: float) -> Runs:
    """Divide by the millions of fragments of the nucleus; where it has none, all is 0."""
    starts, lengths, values = runs
    return starts, lengths, (values * (1e6 / n_fragments if n_fragments else 0)).astype(np.float32)


def with_gaps(runs: Runs, size: int, fill: float) -> Runs:
    """Fill what no run covers of `[0, size)` with runs of value `fill`, unless that is NaN; leave out NaN."""
    starts, lengths, values = runs
    if not np.isnan(fill):
        lengths = np.ones(len(starts), np.int32) if lengths is None else lengths
        values = values.astype(np.float32, copy=False)
        starts, lengths, values = interpolate.fill_gaps(starts, lengths, values, np.array([[0, size]]), fill)
    known = ~np.isnan(values)
    if known.all():
        return starts, lengths, values
    return starts[known], None if lengths is None else lengths[known], values[known]


def _files_for(names: Sequence[str], path: Path, ending: str) -> dict[str, Path]:
    if is_bigwig_file(path) and not path.is_dir():
        if len(names) != 1:
            msg = (
                f"{path} is one bigWig file but there are {len(names)} groups; "
                "give a folder, or name one group by groups=[...]."
            )
            raise ValueError(msg)
        return {names[0]: path}
    return {name: path / f"{stem}{ending}" for name, stem in zip(names, file_stems(names), strict=True)}
