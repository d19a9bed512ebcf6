"""Footprints of transcription factors in the cut sites around their motifs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scatacworks import _keys, _step
from scatacworks._anndata import peaks_of
from scatacworks._arguments import flag, whole
from scatacworks._core import footprint as kernels
from scatacworks._fasta import open_fasta
from scatacworks._groups import chosen_groups
from scatacworks._logging import logger
from scatacworks._regions import as_regions
from scatacworks.get._track import tracks
from scatacworks.tl._denoising._sites import (
    find_matches,
    on_chromosomes,
    read_sites,
    report_left_out,
    with_sequence,
    within_chromosomes,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData

    from scatacworks._fasta import Sequences
    from scatacworks.genome import Genome
    from scatacworks.io import Motif
    from scatacworks.tl._denoising._sites import Sites
    from scatacworks.tracks import Runs, Tracks

BACKGROUND = 50  # bp at either end of the window that a profile is scaled by
_CORES = (5, 100)  # widths of sites that can be those of a motif
_CUTS_PER_WORD = 10  # from which a preference can be told
_BATCH = 4096  # windows worked on at a time


def footprint(
    adata: AnnData | MuData,
    sites: pd.DataFrame | str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    motifs: str | os.PathLike[str] | Sequence[Motif] | None = None,
    fasta: str | os.PathLike[str] | None = None,
    regions: Any = _keys.PEAKS,
    p_value: float = 1e-4,
    groups: Sequence[str] | str | None = None,
    flank: int = 250,
    core: int | None = None,
    shoulder: int = 50,
    kmer: int = 6,
    scale: bool = True,
    key: str = _keys.PSEUDOBULK,
    layer: str | None = None,
    key_added: str = _keys.FOOTPRINT,
    mod: str = "atac",
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Add up the cut sites of every group around the sites of motifs: where a protein sits, Tn5 does not cut.

    Every window is turned into the direction of its motif. With a FASTA file, what Tn5's own preference for the
    sequence would give is computed beside. The preference is how much more often a word of `kmer` bases is cut than the
    50 bp around it, in all groups of `key` together and outside the cores; the cut sites of each window are spread by
    it. The profile is what was seen over what was expected, scaled to 1 in the outermost 50 bp at either end. Without a
    FASTA file the same is expected at every base.

    With ``scale=False`` the profile is the plain mean around any places, such as starts of transcription or summits, of
    any track, such as conservation.

    Parameters
    ----------
    adata
        Cells after :func:`~scatacworks.pp.pseudobulk`.
    sites
        Matches of one motif: a table with ``chrom``, ``start``, ``end`` (0-based, half-open) and, where known,
        ``strand`` (``"+"``, ``"-"``, also 1, -1; else taken as forward), or a BED file; of several: a table with a
        column ``motif`` too, or motif -> such. A match on both strands, as palindromes have, counts once, as it comes
        first. Sites on mitochondria or plastids, on a chromosome that the FASTA file lacks, or closer than `flank` to
        the end of one are left out.
    motifs
        In place of `sites`: a motif file or :func:`~scatacworks.io.read_motifs`'s list. The best match in each of
        `regions` is a site, on either strand, once where regions overlap; needs `fasta`.
    fasta
        Genome sequence, with or without index; bgzipped too with the package `biopython`.
    regions
        Where motifs are looked for: a slot of `.uns`, such as that of :func:`~scatacworks.tl.call_peaks`, a table, or a
        BED file.
    p_value
        Probability that a random sequence matches at one position, for `motifs`.
    groups
        Groups to use; all by default.
    flank
        bp to either side of the middle of a site.
    core
        bp around the middle that a protein covers; by default the width of the sites (their median).
    shoulder
        bp to either side of the core that are compared with it.
    kmer
        Bases of a word.
    scale
        Scale the profile to the ends of the window, which takes values from 0 on. `False`: the mean of the values of
        the track at every base, of sites of any width and without `fasta`; `core` and `shoulder` are not used then, and
        there is neither depth nor accessibility.
    key, layer
        Tracks to use: slot of `.uns` and, in it, the layer; by default the cut sites. Denoised tracks
        (``key="denoised"``) are taken as they are, without `fasta`, in windows all of which was denoised; those of a
        model for coverage of ±100 bp are too smooth for footprints.
    key_added
        Slot of `.uns` to write.
    mod
        Modality to use where `adata` is a MuData.
    n_jobs
        Threads that look for motifs; `None`: all cores, or `SCATACWORKS_NUM_THREADS`.
    progress
        Show a bar.
    copy
        Return a changed copy rather than writing to `adata`.

    Returns
    -------
    `None`, or the changed copy. Sets `.uns[key_added]`:

    `groups`, `motifs` : names
    `offsets` : int64, `(2 flank + 1,)`
        bp from the middle of a site, in the direction of the motif.
    `observed`, `expected` : float32, `(n_groups, n_motifs, 2 flank + 1)`
        Cut sites per site of the motif.
    `profile` : float32, `(n_groups, n_motifs, 2 flank + 1)`
        Their ratio, scaled to 1 at the ends of the window; NaN where nothing was cut there. With ``scale=False``, what
        was observed; NaN for a group without a window.
    `table` : DataFrame
        One row per group and motif: ``group``, ``motif``, ``factor`` (where the motif file tells), ``n_sites``,
        ``core`` (bp), ``n_cut_sites`` (in the windows), ``depth`` (log2 of the shoulders over the core: how much less
        is cut where the protein sits) and ``accessibility`` (log2 of the shoulders over the ends of the window), with
        standard errors between sites, ``depth_se`` and ``accessibility_se``. Both use the ratios of observed to
        expected, and are NaN where one of the two zones has no cut site.
    `bias` : float32, `(4**kmer,)`
        With `fasta`: preference of Tn5 for every word, 1 for none, in alphabetic order of the words. The word of a cut
        site at `p` is `[p - kmer // 2, p - kmer // 2 + kmer)`.
    `params` : dict

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    KeyError
        If a group, a slot or a column is missing.
    TypeError
        If both or none of `sites` and `motifs` are given.
    ValueError
        If there is no site, or none with a window that lies on its chromosome and was denoised, sites are no matches of
        a motif by their width and `core` is not given, a strand is none, the window is too narrow, tracks with negative
        values are to be scaled, the FASTA file is of another assembly, or denoised tracks or ``scale=False`` are given
        with `fasta`.

    Notes
    -----
    A footprint needs some thousand cut sites in the windows; look at ``depth_se``. The published application
    (:cite:p:`Lal2021`, footprinting) adds up tracks that a model for cut sites of ±5 bp has denoised: such a model is
    ``models.ResNet(models.ResNetConfig(extension=5))``, trained by :func:`~scatacworks.tl.train`, and its tracks are
    given by `key`.

    Examples
    --------
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> middle = (adata.uns["windows"]["start"] + adata.uns["windows"]["end"]) // 2
    >>> sites = adata.uns["windows"][["chrom"]].assign(start=middle, end=middle + 20)
    >>> sca.tl.footprint(adata, sites, groups="CD14+ Monocytes", progress=False)
    >>> adata.uns["footprint"]["profile"].shape
    (1, 1, 501)
    """
    flank, shoulder = whole(flank, "flank"), whole(shoulder, "shoulder")
    kmer = whole(kmer, "kmer", most=10)
    core, scale = None if core is None else whole(core, "core"), flag(scale, "scale")
    if (sites is None) == (motifs is None):
        msg = "Give either sites (matches of motifs) or motifs (with fasta=, to look for them in regions=)."
        raise TypeError(msg)
    if motifs is not None and fasta is None:
        msg = "motifs= needs the genome's sequence: fasta=."
        raise TypeError(msg)
    result, target = _step.begin(adata, mod=mod, copy=copy)
    _step.claim(target, key_added, "offsets")
    kept = tracks(target, key=key, layer=layer)
    chosen = [kept.group_code(group) for group in chosen_groups(groups, kept.groups)]
    if fasta is not None and not scale:
        msg = "fasta= goes with scaled profiles. With scale=False give sites= alone."
        raise ValueError(msg)
    if fasta is not None and kept.lengths is not None:
        msg = f".uns[{key!r}] holds tracks of every base; fasta= goes with cut sites (key={_keys.PSEUDOBULK!r})."
        raise ValueError(msg)
    known = np.flatnonzero(kept.genome.nuclear).tolist() if fasta is None else with_sequence(kept.genome, fasta)
    if motifs is None:
        found = on_chromosomes(read_sites(sites, kept.genome), known)
    else:
        if isinstance(regions, str) and regions == _keys.PEAKS:
            regions = peaks_of(target, regions)
        table = as_regions(regions, kept.genome, uns=target.uns)
        table = table[table["code"].isin(known)]
        found = find_matches(motifs, table, fasta, p_value=p_value, n_jobs=n_jobs, progress=progress)
    without = np.full(2 * flank + 1, -1, np.int8)
    zones = {name: _zones(name, one, flank, core, shoulder) if scale else without for name, one in found.items()}
    everywhere, found = found, within_chromosomes(found, kept.genome, flank)
    sums = {name: _Sums(len(chosen), zones[name]) for name in found}
    used = np.unique(np.concatenate([one.chrom for one in found.values()])).tolist()
    with nullcontext() if fasta is None else open_fasta(fasta) as sequences:  # once: its index may be long
        expectation = _Expectation(kept.genome, sequences, kmer)
        if fasta is not None:
            bar = tqdm(known, desc="sequence bias", unit="chrom", disable=not progress)
            expectation.learn(kept, everywhere, zones, bar)
        for code in tqdm(used, desc="footprints", unit="chrom", disable=not progress):
            runs = [kept.runs(group, code) for group in chosen]  # once: of a zarr store they are read
            if scale:
                _refuse_signed(kept, chosen, runs, key)
            for name, one in found.items():
                centers, reverse = one.on(code)
                for first in range(0, len(centers), _BATCH):
                    windows = centers[first : first + _BATCH], reverse[first : first + _BATCH]
                    shares = expectation.shares(code, *windows, 2 * flank + 1)
                    sums[name].add(runs, kept.fill[chosen], *windows, shares)
    params = _step.params(key=key, layer=layer, flank=flank, core=core, shoulder=shoulder, kmer=kmer, scale=scale)
    target.uns[key_added] = _result(kept.groups[chosen], found, sums, flank, scale=scale) | {_keys.PARAMS: params}
    if expectation.bias is not None:
        target.uns[key_added]["bias"] = expectation.bias.astype(np.float32)
    return result if copy else None


def _zones(name: str, sites: Sites, flank: int, core: int | None, shoulder: int) -> np.ndarray:
    """Return the zones of a motif's windows."""
    width = sites.width if core is None else core
    if core is None and not _CORES[0] <= width <= _CORES[1]:
        msg = (
            f"The sites of {name} are {width} bp wide, which no motif is. Give its matches, or core=, the bp around "
            "the middle of each site that the protein covers."
        )
        raise ValueError(msg)
    least = (width + 1) // 2 + shoulder + BACKGROUND
    if flank < least:
        msg = f"flank is {flank}; with a core of {width} bp and shoulders of {shoulder} bp at least {least} are needed."
        raise ValueError(msg)
    return kernels.zones(flank, width, shoulder, BACKGROUND)


def _refuse_signed(kept: Tracks, chosen: Sequence[int], runs: Sequence[Runs], key: str) -> None:
    """Refuse tracks with values below zero, whose ratio to the ends of the windows means nothing."""
    for group, (_, _, values) in zip(chosen, runs, strict=True):
        if (values < 0).any() or kept.fill[group] < 0:
            msg = (
                f"The track {kept.groups[group]!r} of .uns[{key!r}] has negative values, which cannot be scaled by "
                "those at the ends of windows; expected cut sites or coverage. For the plain mean give scale=False."
            )
            raise ValueError(msg)


# -- sums -------------------------------------------------------------------------------------------------------------
class _Expectation:
    """How cut sites would spread over windows: evenly, or as Tn5 prefers the words of a FASTA file."""

    def __init__(self, genome: Genome, sequences: Sequences | None, kmer: int) -> None:
        self._genome, self._sequences, self._kmer = genome, sequences, kmer
        self._codes = (-1, np.empty(0, np.uint8))  # of the chromosome at work
        self.bias: np.ndarray | None = None

    def learn(self, kept: Tracks, found: Mapping[str, Sites], zones: Mapping[str, np.ndarray], bar: Any) -> None:
        """Take the preference for every word from the cut sites of all groups.

        Words that reach into a core are left out, where it may be a protein that keeps Tn5 away.
        """
        seen, expected = np.zeros((2, 4**self._kmer))
        for code in bar:
            runs = [kept.runs(group, code) for group in range(len(kept.groups))]
            if not any(len(starts) for starts, _, _ in runs):
                continue
            codes = self._read(code).copy()
            for name, sites in found.items():
                kernels.hide(codes, sites.on(code)[0], np.flatnonzero(zones[name] == 0) - len(zones[name]) // 2)
            for starts, _, counts in runs:
                kernels.add_words(codes, starts, counts, self._kmer, seen, expected)
        if seen.sum() < _CUTS_PER_WORD * len(seen):
            logger.warning(
                "Only %d cut sites tell of Tn5's preference for %d words; give a smaller kmer=.", seen.sum(), len(seen)
            )
        self.bias = kernels.word_bias(seen, expected)

    def shares(self, chrom: int, centers: np.ndarray, reverse: np.ndarray, width: int) -> np.ndarray:
        """Return what part of a window's cut sites is expected at each of its bases, `(n_sites, width)`."""
        if self.bias is None:
            return np.full((len(centers), width), 1 / width)
        return kernels.expected_shares(self._read(chrom), self.bias, self._kmer, centers, reverse, width // 2)

    def _read(self, chrom: int) -> np.ndarray:
        """Return the codes of a chromosome."""
        if self._codes[0] != chrom:
            self._codes = chrom, self._sequences.codes(self._genome.chroms[chrom])
        return self._codes[1]


class _Sums:
    """Profiles and zones of one motif in all groups."""

    def __init__(self, n_groups: int, zone: np.ndarray) -> None:
        self.zone = zone
        self.in_zone = np.stack([zone == i for i in range(kernels.N_ZONES)], axis=1).astype(np.float64)
        self.observed, self.expected = np.zeros((2, n_groups, len(zone)))
        self.ratios = [kernels.LogRatios() for _ in range(n_groups)]

    def add(
        self, runs: Sequence[Runs], fill: np.ndarray, centers: np.ndarray, reverse: np.ndarray, shares: np.ndarray
    ) -> None:
        """Add sites of one chromosome, with the runs of every group there; none whose window is not wholly known."""
        expected_in_zone = shares @ self.in_zone
        known = np.ones(len(centers), bool)
        totals = np.zeros((len(runs), len(centers)))
        for group, (starts, lengths, values) in enumerate(runs):
            if lengths is None:
                inside = np.zeros((len(centers), kernels.N_ZONES + 1))
                kernels.add_windows(starts, values, centers, reverse, self.zone, self.observed[group], inside)
                in_zone, totals[group] = inside[:, :-1], inside[:, -1]
            else:
                windows = np.zeros(shares.shape)
                kernels.read_windows(starts, lengths, values, fill[group], centers, reverse, windows)
                known = ~np.isnan(windows).any(axis=1)  # denoised, all of it
                windows[~known] = 0
                self.observed[group] += windows.sum(axis=0)
                in_zone, totals[group] = windows @ self.in_zone, windows.sum(axis=1)
            self.ratios[group].add(in_zone[known], totals[group, known, None] * expected_in_zone[known])
        self.expected += totals @ shares


def _result(
    groups: np.ndarray, found: Mapping[str, Sites], sums: Mapping[str, _Sums], flank: int, *, scale: bool
) -> dict[str, Any]:
    """Put the sums into the form in which they are kept."""
    n_sites = np.array([[sums[name].ratios[group].n for name in found] for group in range(len(groups))])
    n, most = sum(len(sites.center) for sites in found.values()), int(n_sites.sum(axis=1).max())
    report_left_out(most, n, "windows reach beyond the regions that were denoised")
    seen, expected = (
        np.stack([getattr(sums[name], what) for name in found], axis=1) for what in ("observed", "expected")
    )
    at_ends = np.abs(np.arange(-flank, flank + 1)) > flank - BACKGROUND
    with np.errstate(divide="ignore", invalid="ignore"):
        if scale:
            level = (seen[..., at_ends].sum(axis=-1) / expected[..., at_ends].sum(axis=-1))[..., None]
            profile = np.where(level > 0, seen / expected / level, np.nan)
        else:
            profile = seen / n_sites[..., None]
    rows = []
    for group, label in enumerate(groups):
        for motif, (name, sites) in enumerate(found.items()):
            depth, accessibility = (sums[name].ratios[group].log2(1, under) for under in (0, 2))
            core = int((sums[name].zone == 0).sum())
            n_cut_sites = seen[group, motif].sum()
            rows.append((label, name, sites.factor, n_sites[group, motif], core, n_cut_sites, *depth, *accessibility))
    names = ["group", "motif", "factor", "n_sites", "core", "n_cut_sites", "depth", "depth_se", "accessibility"]
    table = pd.DataFrame(rows, columns=[*names, "accessibility_se"])
    per_site = np.maximum(n_sites, 1)[..., None]
    return {
        "groups": groups.copy(),
        "motifs": np.array(list(found), dtype=object),
        "offsets": np.arange(-flank, flank + 1),
        "observed": (seen / per_site).astype(np.float32),
        "expected": (expected / per_site).astype(np.float32),
        "profile": profile.astype(np.float32),
        "table": table,
    }
