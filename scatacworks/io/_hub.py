"""Write a track hub: the tracks and peaks of all groups as one entry of the UCSC Genome Browser."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tqdm.auto import tqdm

from scatacworks import _keys
from scatacworks._anndata import atac, peaks_of
from scatacworks._files import atomic_path
from scatacworks._groups import chosen_groups
from scatacworks._logging import logger
from scatacworks._membership import groupby_of
from scatacworks._palette import category_colors, rgb, with_others
from scatacworks._text import counted, listed
from scatacworks.genome import built_in_sizes
from scatacworks.get import tracks as get_tracks
from scatacworks.io._bigwig import write_bigwig
from scatacworks.io._names import safe_names
from scatacworks.io._peaks import checked, lines_of, rows_by_group, top_height
from scatacworks.io._peaks_read import on_genome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from types import ModuleType

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scatacworks.genome import Genome

_AUTOSQL: Final = """table bigNarrowPeak
"Peaks of one group, heights relative to all groups"
(
string chrom; "Chromosome"
uint chromStart; "Start, 0-based"
uint chromEnd; "End, half-open"
string name; "Name of the peak"
uint score; "Height, 0 to 1000"
char[1] strand; "Strand"
float signalValue; "Highest signal"
float pValue; "Not used, -1"
float qValue; "Not used, -1"
int peak; "Summit, bp from the start"
)
"""
_BED_FIELDS_OFFSET: Final = 34  # in the header of a bigBed file
_SIGNAL, _PEAKS = "signal", "peaks"
_VIEWS: Final = {
    _SIGNAL: {"shortLabel": "Signal", "visibility": "full", "autoScale": "group", "maxHeightPixels": "100:32:8"},
    _PEAKS: {"shortLabel": "Peaks", "visibility": "dense"},
}
_FIXED: Final = {"autoScale": "off", "viewLimits": "0:1"}  # of probabilities, where one scale is known
_TYPES: Final = {_SIGNAL: "bigWig", _PEAKS: "bigBed 6 +"}  # IGV shows no peaks of the type bigNarrowPeak


def write_hub(
    adata: AnnData | MuData,
    path: str | PathLike[str],
    *,
    key: str = _keys.DENOISED,
    layer: str | None = None,
    peaks_key: str | None = _keys.PEAKS,
    groups: Sequence[str] | None = None,
    groupby: str | None = None,
    genome: str | None = None,
    name: str = "scatacworks",
    email: str | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
    mod: str = "atac",
) -> Path:
    """Write the tracks and peaks of all groups as a track hub for the UCSC Genome Browser.

    Put the folder on a web server and give the address of its `hub.txt` under My Data > Track Hubs; IGV takes it too,
    or the files in it from your disk. The hub is one composite track that has, of every group and in its colour, the
    signal (bigWig), all at one scale, and the peaks (bigBed), where there are any. The folder appears whole or not at
    all.

    Parameters
    ----------
    adata
        Cells, after :func:`~scatacworks.tl.denoise`.
    path
        The folder to write; one that holds an earlier hub, and nothing else, is replaced.
    key, layer
        Which tracks, as for :func:`scatacworks.get.tracks`: by default the denoised signal. Cut sites are written as
        coverage of ±100 bp.
    peaks_key
        Slot of `.uns` with the peaks, which need not be those of the tracks in `key`. `None` writes none; nor does the
        default where there are none yet.
    groups
        Groups to write, in this order; all by default.
    groupby
        Column of `.obs` whose colours, `.uns[f"{groupby}_colors"]`, the groups take; by default that of the pseudobulk.
        Groups without one take colours of the package.
    genome
        The browser's name of the assembly; by default the object's. The browser knows hg38, hg19, mm10, mm39 and
        others. For any but these four a note goes to the log: where the browser does not know the name, the hub shows
        nothing until `genomes.txt` gets the sequence of the assembly (`twoBitPath`).
    name
        Name of the hub and of its composite track.
    email
        Whom users of the hub may ask.
    n_jobs
        Threads that compress.
    progress
        Show a progress bar.
    mod
        Modality to use where `adata` is a MuData.

    Returns
    -------
    Path of `hub.txt`. Beside it are `genomes.txt` and a folder named as the genome with `trackDb.txt` and the files.

    Raises
    ------
    KeyError
        If there are no such tracks, peaks or groups, or `groupby` is no column.
    FileExistsError
        If the folder holds something else than a hub.
    ValueError
        If the peaks do not say of which group they are, or are not of the tracks' genome.
    ImportError
        If there are peaks and `pybigtools`, which writes bigBed, is not installed.

    Warns
    -----
    UserWarning
        If some peaks lie on chromosomes that the tracks' genome lacks; they are left out.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import scatacworks as sca
    >>> adata = sca.datasets.pbmc_windows()
    >>> sca.pp.pseudobulk(adata, "cell_type", progress=False)
    >>> hub = sca.io.write_hub(adata, mkdtemp() + "/hub", key="pseudobulk", groups=["pDCs"], progress=False)
    >>> sorted(file.name for file in (hub.parent / "hg38").iterdir())
    ['signal_pDCs.bw', 'trackDb.txt']
    """
    adata = atac(adata, mod=mod)
    tracks = get_tracks(adata, key=key, layer=layer)
    names = chosen_groups(groups, tracks.groups)
    for group in names:
        tracks.group_code(group)
    no_peaks = peaks_key is None or (peaks_key == _keys.PEAKS and peaks_key not in adata.uns)
    peaks = None if no_peaks else peaks_of(adata, peaks_key, "chrom", "start", "end")
    if peaks is not None and "group" not in peaks:
        where = f"The peaks in .uns[{peaks_key!r}] have no column 'group'"
        msg = f"{where}; name those of the groups by peaks_key, or peaks_key=None."
        raise ValueError(msg)
    writer = None if peaks is None else _bigbed_writer()
    genome = _line(genome or tracks.genome.name)
    if genome not in built_in_sizes():
        logger.warning(
            "Whether the UCSC browser knows %r is not known here; give its name of the assembly as genome=, or add "
            "twoBitPath to genomes.txt.",
            genome,
        )
    if groupby is not None and groupby not in adata.obs and f"{groupby}_colors" not in adata.uns:
        msg = f"groupby={groupby!r} is no column of .obs and has no colours; the columns are {listed(adata.obs)}."
        raise KeyError(msg)
    assembly = safe_names([genome])[0]
    path = _free_folder(Path(path).expanduser(), assembly)
    colors = _colors(adata, groupby or groupby_of(adata, key), names)
    stems = dict(zip(names, safe_names(names), strict=True))
    rows = {}
    if peaks is not None:
        top = top_height(peaks)
        peaks = on_genome(checked(peaks), tracks.genome, f".uns[{peaks_key!r}]")
        rows = rows_by_group(peaks["group"])
    shown = {_SIGNAL: names, _PEAKS: [group for group in names if group in rows]}
    fixed = layer in (_keys.PROBABILITY, _keys.UNGUIDED)
    hub = {"hub": safe_names([name])[0], "shortLabel": _line(name), "longLabel": _line(name)}
    hub |= {"genomesFile": "genomes.txt"} | ({"email": email} if email else {})
    texts = {
        "hub.txt": _stanza(hub),
        "genomes.txt": _stanza({"genome": genome, "trackDb": f"{assembly}/trackDb.txt"}),
        f"{assembly}/trackDb.txt": _track_db(_line(name), shown, stems, colors, fixed=fixed),
    }
    with atomic_path(path, holds="hub.txt") as aside:
        folder = aside / assembly
        folder.mkdir(parents=True)
        for group in tqdm(names, desc="Writing hub", unit="group", disable=not progress):
            file = folder / f"{_SIGNAL}_{stems[group]}.bw"
            write_bigwig(tracks, file, groups=[group], n_jobs=n_jobs, progress=False)
            if group in rows:
                lines = lines_of(peaks.iloc[rows[group]], "narrowPeak", top)
                _write_bigbed(writer, folder / f"{_PEAKS}_{stems[group]}.bb", lines, tracks.genome)
        for place, text in texts.items():
            (aside / place).write_text(text, encoding="utf-8")
    return path / "hub.txt"


def _free_folder(path: Path, genome: str) -> Path:
    """Return a folder that may be replaced: none, an empty one or an earlier hub."""
    if path.is_dir():
        inside = {file.name for file in path.iterdir()} - {".DS_Store"}  # macOS makes it where a folder is looked at
        if inside and (inside - {genome} != {"hub.txt", "genomes.txt"}):
            what = "a hub of another genome" if "hub.txt" in inside else f"something else than a hub of {genome}"
            msg = f"{path} holds {what}, which would be lost; delete it, or give another folder."
            raise FileExistsError(msg)
    elif path.exists():
        msg = f"{path} is a file; give a folder for the hub."
        raise FileExistsError(msg)
    return path


def _colors(adata: AnnData, groupby: str, names: Sequence[str]) -> dict[str, str]:
    """Return group -> `red,green,blue`, as figures have them."""
    colors = with_others(category_colors(adata.uns, adata.obs.get(groupby)), names)
    return {name: rgb(colors[name]) for name in names}


def _bigbed_writer() -> ModuleType:
    try:
        import pybigtools
    except ImportError as error:
        error.add_note("Peaks of a hub are bigBed files: pip install 'scatacworks[hub]', or give peaks_key=None.")
        raise
    return pybigtools


def _write_bigbed(writer: ModuleType, path: Path, lines: pd.DataFrame, genome: Genome) -> None:
    """Write the peaks of one group, given as for a narrowPeak file, sorted as the format wants it."""
    lines = lines.astype({"chrom": str}).sort_values(["chrom", "start", "end"], kind="stable")
    rest = lines.iloc[:, 3:].astype(str).agg("\t".join, axis=1)
    rows = zip(lines["chrom"], lines["start"].astype(int), lines["end"].astype(int), rest, strict=True)
    handle = writer.open(str(path), "w")
    handle.write(dict(sorted(genome.sizes.items())), rows, _AUTOSQL)
    with path.open("r+b") as file:  # the writer declares all columns BED's, and IGV takes signalValue for thickStart
        file.seek(_BED_FIELDS_OFFSET)
        file.write(struct.pack("<H", 6))


def _track_db(
    name: str, shown: dict[str, list[str]], stems: dict[str, str], colors: dict[str, str], *, fixed: bool
) -> str:
    """Return the composite track, its views, and the tracks of the groups that each view shows.

    The scale is that of the highest signal in view or, `fixed`, from 0 to 1.
    """
    top = safe_names([name])[0]
    top = top if top[0].isalpha() else f"hub_{top}"  # the name of a track begins with a letter
    views = {view: groups for view, groups in shown.items() if groups}
    composite = {
        "track": top,
        "compositeTrack": "on",
        "shortLabel": name,
        "longLabel": f"{name}: {counted(len(stems), 'group')}",
        "type": "bed 3",
        "subGroup1": "view View " + " ".join(f"{view}={_VIEWS[view]['shortLabel']}" for view in views),
        "subGroup2": "group Group " + " ".join(f"{stem}={_label(group)}" for group, stem in stems.items()),
        "dimensions": "dimX=view dimY=group",
        "sortOrder": "group=+ view=+",
        "visibility": "full",
    }
    stanzas = [_stanza(composite)]
    for view, groups in views.items():
        parent = f"{top}_{view}"
        label = f"{name} {view}"
        settings = {"track": parent, "parent": top, "view": view, "type": _TYPES[view], "longLabel": label}
        settings |= _VIEWS[view] | (_FIXED if fixed and view == _SIGNAL else {})
        stanzas.append(_stanza(settings, 4))
        for group in groups:
            track = f"{view}_{stems[group]}"
            one = {
                "track": f"{top}_{track}",
                "parent": f"{parent} on",
                "type": _TYPES[view],
                "bigDataUrl": f"{track}.{'bw' if view == _SIGNAL else 'bb'}",
                "shortLabel": _line(group),
                "longLabel": f"{_line(group)}, {view}",
                "color": colors[group],
                "subGroups": f"view={view} group={stems[group]}",
            }
            stanzas.append(_stanza(one, 8))
    return "\n".join(stanzas)


def _stanza(settings: dict[str, str], indent: int = 0) -> str:
    return "".join(f"{' ' * indent}{name} {value}\n" for name, value in settings.items())


def _line(text: str) -> str:
    """Return a label without line breaks."""
    return " ".join(str(text).split())


def _label(group: str) -> str:
    """Return a label of a subgroup, which blanks and signs of equality would end."""
    return re.sub(r"[\s=]+", "_", group.strip())
