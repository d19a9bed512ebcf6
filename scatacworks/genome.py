"""Genomes: ordered chromosome sizes, aliases of chromosome names, genes."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scatacworks import _keys
from scatacworks._files import open_text, require_file
from scatacworks._strands import strands_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from typing import TextIO

    import pandas as pd

__all__ = ["Genome", "Region"]

_MAX_LENGTH = 2**31 - 1  # positions are stored as int32
REGION = re.compile(r"^(?P<chrom>\S+):(?P<start>[\d,]+)-(?P<end>[\d,]+)$")  # the name may have colons: HLA-A*01:01
GENE_COLUMNS = ("chrom", "start", "end", "name", "strand")
_PREFIXES = ("chr", "", "Chr")
_MITO = ("M", "MT", "Mt", "mt", "Mito", "MtDNA")
_MITO += ("mitochondrion", "mitochondria", "mitochondrial", "mitochondrion_genome")
MITOCHONDRIAL = tuple(prefix + name for name in _MITO for prefix in _PREFIXES)
_OTHER_NAMES = {"grch38": "hg38", "grch37": "hg19", "grcm38": "mm10", "grcm39": "mm39"}
_FASTA = (".fa", ".fasta", ".fna", ".fas", ".fa.gz", ".fasta.gz", ".fna.gz", ".fas.gz")
_PLASTIDS = ("Pt", "PT", "pt", "Pltd", "plastid", "Plastid", "chloroplast", "Chloroplast")
PLASTID = ("chrC", "ChrC", *(prefix + name for name in _PLASTIDS for prefix in _PREFIXES))
_FAMILIES = {name.lower(): family for family in (MITOCHONDRIAL, PLASTID) for name in family}
_OF_SPECIES = re.compile(rf".+[_.-]({'|'.join(name for name in _FAMILIES if len(name) > 1)})")  # as mm10_chrM


class Region(NamedTuple):
    """A half-open interval `[start, end)` of a chromosome, in bp from 0.

    Examples
    --------
    >>> from scatacworks import Region
    >>> str(Region("chr1", 1000, 2000))
    'chr1:1000-2000'
    """

    chrom: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.chrom}:{self.start}-{self.end}"


class Genome:
    """The chromosomes of an assembly, in order, with their lengths in bp.

    Chromosome names are recognised under their usual aliases (`chr1`, `Chr1` and `1`; `chrM`, `MT`, `Mito` and
    `MtDNA`; `Pt` and `ChrC`); the genome's own spelling is the one written everywhere.

    Parameters
    ----------
    source
        `"hg38"`, `"hg19"`, `"mm10"` or `"mm39"`; the path of a chromosome sizes or `.fai` file (name and length in
        the first two columns), or of a FASTA file that has its index (`.fai`) beside it; a mapping from name to
        length; or another `Genome`.
    name
        Name of the assembly; by default that of the built-in one with these lengths, so that its genes are known, else
        that of the file up to its first dot, or `"custom"`.
    genes
        Gene table, instead of a built-in one: a BED file (chrom, start, end, name, score, strand; plain or
        gzipped) or a DataFrame with the columns `chrom`, `start`, `end`, `name`, `strand`, such as
        :func:`scatacworks.io.read_genes` makes of a GTF or GFF3 file.
    organelles
        Names of all mitochondria and plastids, as `["NC_012920.1"]`; by default those of the usual names (`chrM`, `MT`,
        `Pt`, …), also behind that of a species (`mm10_chrM`).

    Raises
    ------
    TypeError
        If `source` is none of these.
    KeyError
        If the genome has no such organelle.
    ValueError
        If the name is not a built-in genome, or a size is not a positive whole 32-bit number.
    FileNotFoundError
        If the sizes file, or the index of a FASTA file, is missing.

    Examples
    --------
    >>> import scatacworks as sca
    >>> genome = sca.Genome("hg38")
    >>> genome.chroms[:2], int(genome.lengths[0])
    (('chr1', 'chr2'), 248956422)
    >>> genome.code("1"), genome.code("MT") == genome.code("chrM")
    (0, True)
    >>> sca.Genome({"chrA": 1000}, name="toy").sizes
    {'chrA': 1000}
    """

    def __init__(
        self,
        source: str | Path | Mapping[str, int] | Genome,
        *,
        name: str | None = None,
        genes: str | Path | pd.DataFrame | None = None,
        organelles: Iterable[str] | None = None,
    ) -> None:
        default = "custom"
        if isinstance(source, Genome):
            organelles = source.organelles if organelles is None else organelles
            sizes, name = source.sizes, name or source.name
            genes = source._genes if genes is None else genes
        elif isinstance(source, Mapping):
            sizes = dict(source)
        elif not isinstance(source, str | os.PathLike):
            msg = (
                f"genome is {source!r}; expected one of {', '.join(built_in_sizes())}, the path of a chromosome sizes "
                "file, a dict of name -> length, or a Genome."
            )
            raise TypeError(msg)
        elif str(source) in built_in_sizes():
            sizes, name = built_in_sizes()[str(source)], name or str(source)
        else:
            sizes, default = _read_sizes(source), Path(source).name.split(".")[0]
        _check_sizes(sizes, source)
        self.name: str = name or guess_assembly(sizes) or default
        self.chroms: tuple[str, ...] = tuple(sizes)
        self.lengths: np.ndarray = np.fromiter((int(size) for size in sizes.values()), np.int64, len(sizes))
        self._codes = alias_codes(self.chroms)
        self._genes = genes
        if organelles is not None:
            organelles = [organelles] if isinstance(organelles, str) else organelles
            organelles = [self.chroms[code] for code in sorted({self.code(name) for name in organelles})]
        self.organelles: tuple[str, ...] = _called_organelles(self.chroms) if organelles is None else tuple(organelles)

    def __repr__(self) -> str:
        return f"Genome({self.name!r}, {len(self)} chromosomes, {self.lengths.sum() / 1e6:,.1f} Mb)"

    def __len__(self) -> int:
        return len(self.chroms)

    def __eq__(self, other: object) -> bool:
        # of the same positions and codes, whatever the name, the genes and what is told of organelles
        return isinstance(other, Genome) and self.chroms == other.chroms and np.array_equal(self.lengths, other.lengths)

    def __hash__(self) -> int:
        return hash((self.chroms, tuple(self.lengths.tolist())))

    @property
    def sizes(self) -> dict[str, int]:
        """Chromosome name -> length in bp, in order; a new dict each time, to change at will."""
        return dict(zip(self.chroms, self.lengths.tolist(), strict=True))

    @property
    def spellings(self) -> dict[str, int]:
        """Every spelling of a chromosome that is understood -> its code."""
        return dict(self._codes)

    @cached_property
    def offsets(self) -> np.ndarray:
        """Start of every chromosome in the concatenated genome, and its total length; int64, `(n_chroms + 1,)`."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @cached_property
    def nuclear(self) -> np.ndarray:
        """Which chromosomes are of the nucleus, not among `organelles`; bool, `(n_chroms,)`.

        What is accessible has another scale in organelles, which have no nucleosomes and many copies.
        """
        return ~np.isin(self.chroms, self.organelles)

    def code(self, chrom: str) -> int:
        """Return the position of a chromosome in the genome's order; aliases are understood.

        Raises
        ------
        KeyError
            If the genome has no such chromosome.
        """
        code = self._codes.get(str(chrom))
        if code is None:
            meant = next((name for name in self.chroms if name.lower() == str(chrom).lower()), None)
            hint = "" if meant is None else f" Did you mean {meant!r}?"
            shown = ", ".join(self.chroms[:5]) + (", …" if len(self) > 5 else "")
            msg = f"Chromosome {chrom!r} is not in the genome {self.name!r}, which has {shown}.{hint}"
            raise KeyError(msg)
        return code

    def length(self, chrom: str) -> int:
        """Return the length of a chromosome in bp; aliases are understood.

        Raises
        ------
        KeyError
            If the genome has no such chromosome.
        """
        return int(self.lengths[self.code(chrom)])

    def resolve(self, names: Iterable[str] | str) -> np.ndarray:
        """Return the code of every name (or of one), -1 where it is unknown; int32, one per name."""
        names = [names] if isinstance(names, str) else names
        if hasattr(names, "factorize"):  # a column, in which few names stand often
            places, names = names.factorize(use_na_sentinel=False)
            return self.resolve(list(names))[places]
        return np.fromiter((self._codes.get(str(name), -1) for name in names), np.int32)

    def region(self, region: str | tuple[str, int, int]) -> Region:
        """Return a :class:`Region` from `"chr1:1,000-2,000"`, `"chr1"`, `("chr1", 1000, 2000)` or a gene name.

        Raises
        ------
        ValueError
            If it is neither a region nor a gene, is empty, lies outside the genome, or begins or ends within a base.
        """
        if isinstance(region, str):
            code = self._codes.get(region.strip())
            if code is not None:
                return Region(self.chroms[code], 0, int(self.lengths[code]))
            match = REGION.match(region.strip())
            if match is None:
                return self.gene(region)
            code = self._chrom_of(match["chrom"], region)
            start, end = (int(match[key].replace(",", "")) for key in ("start", "end"))
        else:
            try:
                chrom, start, end = region
            except (TypeError, ValueError):
                ways = "'chr1:1000-2000', ('chr1', 1000, 2000), a chromosome or a gene"
                msg = f"{region!r} is no region; expected {ways}."
                raise ValueError(msg) from None
            code, start, end = self._chrom_of(chrom, region), _base(start, region), _base(end, region)
        length = int(self.lengths[code])
        if not 0 <= start < end <= length:
            msg = (
                f"The region {region!r} is not within {self.chroms[code]} of {self.name} (length {length:,} bp); "
                "expected 0 <= start < end <= length."
            )
            raise ValueError(msg)
        return Region(self.chroms[code], start, end)

    def _chrom_of(self, chrom: str, region: object) -> int:
        try:
            return self.code(chrom)
        except KeyError as error:
            msg = f"The region {region!r} is outside the genome: {error.args[0]}"
            raise ValueError(msg) from None

    def gene(self, name: str) -> Region:
        """Return the body of a gene by name; the case of letters matters only where genes differ by it (`dl`, `Dl`).

        Raises
        ------
        ValueError
            If the genome has no gene table, no such gene (the nearest names are given), or several that differ by case.
        """
        genes = self.genes
        as_written = genes["name"] == name
        hits = np.flatnonzero(as_written if as_written.any() else genes["name"].str.upper() == name.upper())
        meant = genes["name"].iloc[hits].unique()
        if len(meant) > 1:
            msg = f"{name!r} may be the gene {' or '.join(map(repr, meant))} of {self.name}; write it as there."
            raise ValueError(msg)
        if len(hits) == 0:
            from difflib import get_close_matches

            close = get_close_matches(name.upper(), genes["name"].str.upper().unique(), n=3)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            if not self.has_own_genes:
                slot = f".uns[{_keys.REFERENCE_GENES!r}]"
                hint += f" For other genes set {slot} to sca.io.read_genes of a GTF file (command line: --genes)."
            if name.lower().startswith("chr") or ":" in name:  # no gene was meant
                hint = f" The chromosomes are {', '.join(self.chroms[:5])}, …; a region has a start and an end."
            msg = f"{name!r} is neither a region like 'chr1:1000-2000' nor a gene of {self.name}.{hint}"
            raise ValueError(msg)
        chrom, start, end = genes.loc[hits[0], ["chrom", "start", "end"]]
        return Region(str(chrom), int(start), int(end))

    def with_genes(self, genes: str | Path | pd.DataFrame | None) -> Genome:
        """Return the same chromosomes with another gene table; `None` changes nothing."""
        return self if genes is None else Genome(self, genes=genes)

    @property
    def has_own_genes(self) -> bool:
        """Whether a gene table was given, instead of the built-in one."""
        return self._genes is not None

    @property
    def has_genes(self) -> bool:
        """Whether there is a gene table, given or built in."""
        return self.has_own_genes or self._built_in_genes.is_file()

    @property
    def _built_in_genes(self) -> Traversable:
        return resources.files("scatacworks") / "_data" / "genes" / f"{self.name}.bed.gz"

    @cached_property
    def genes(self) -> pd.DataFrame:
        """Genes, one row each: `chrom`, `start`, `end` (0-based, half-open), `name`, `strand`.

        Raises
        ------
        ValueError
            If none is built in and none was given, the one that was given cannot be read, or it is of another genome.
        """
        import pandas as pd

        from scatacworks._columns import whole_numbers

        if isinstance(self._genes, pd.DataFrame):
            table = self._genes
        elif self._genes is not None:
            with open_text(self._genes, "BED file of genes") as handle:
                table = _read_genes(handle, Path(self._genes))
        else:
            if not self.has_genes:
                msg = (
                    f"No gene table for the genome {self.name!r}. Give one as Genome(..., genes=...), or keep one in "
                    f".uns[{_keys.REFERENCE_GENES!r}] of the object (sca.io.read_genes reads GTF, GFF3 and BED); or "
                    "name a region such as 'chr1:1000-2000'."
                )
                raise ValueError(msg)
            with self._built_in_genes.open("rb") as raw, gzip.open(raw, "rt") as handle:
                table = _read_genes(handle, self._built_in_genes)
        missing = [column for column in GENE_COLUMNS if column not in table]
        if missing:
            msg = f"The gene table of {self.name} lacks the column(s) {missing}; it has {list(table.columns)}."
            raise ValueError(msg)
        codes = self.resolve(table["chrom"])
        if len(table) and not (codes >= 0).any():
            names = ", ".join(map(str, table["chrom"].unique()[:5]))
            msg = f"No gene of the table lies on a chromosome of {self!r}; it has {names}. Is it of another genome?"
            raise ValueError(msg)
        table = table.loc[codes >= 0, list(GENE_COLUMNS)].reset_index(drop=True)
        what = f"the gene table of {self.name}"
        start, end = (whole_numbers(table[name], what) for name in ("start", "end"))
        chrom = np.asarray(self.chroms, dtype=object)[codes[codes >= 0]]
        return table.assign(chrom=chrom, start=start, end=end, strand=strands_of(table["strand"], what))

    def to_frame(self) -> pd.DataFrame:
        """Return names and lengths under SnapATAC2's columns, the form kept in `.uns["reference_sequences"]`.

        Where names do not tell organelles, a third column, `reference_seq_nuclear` (bool), does.
        """
        import pandas as pd

        frame = pd.DataFrame({_keys.REFERENCE_NAME: list(self.chroms), _keys.REFERENCE_LENGTH: self.lengths})
        told_by_name = self.organelles == _called_organelles(self.chroms)
        return frame if told_by_name else frame.assign(**{_keys.REFERENCE_NUCLEAR: self.nuclear})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, name: str | None = None) -> Genome:
        """Make a genome from `.uns["reference_sequences"]`; a built-in one is recognised by its sizes.

        Raises
        ------
        TypeError
            If it is no table.
        KeyError
            If one of the columns `reference_seq_name` and `reference_seq_length` is missing.
        """
        from scatacworks._columns import whole_numbers

        slot = f".uns[{_keys.REFERENCE_SEQUENCES!r}]"
        if not hasattr(frame, "columns"):
            msg = f"{slot} is a {type(frame).__name__}; expected a table such as scatacworks.Genome('hg38').to_frame()."
            raise TypeError(msg)
        missing = {_keys.REFERENCE_NAME, _keys.REFERENCE_LENGTH} - set(frame.columns)
        if missing:
            msg = f"{slot} lacks the column(s) {sorted(missing)}; it has {list(frame.columns)}."
            raise KeyError(msg)
        lengths = whole_numbers(frame[_keys.REFERENCE_LENGTH], slot).tolist()
        sizes = dict(zip(frame[_keys.REFERENCE_NAME].astype(str), lengths, strict=True))
        nuclear = frame.get(_keys.REFERENCE_NUCLEAR)
        organelles = None if nuclear is None else frame.loc[~nuclear.astype(bool), _keys.REFERENCE_NAME]
        return cls(sizes, name=name, organelles=organelles)


def built_in_sizes() -> dict[str, dict[str, int]]:
    """Return the chromosome sizes of the built-in assemblies."""
    return json.loads((resources.files("scatacworks") / "_data" / "chrom_sizes.json").read_text(encoding="utf-8"))


def guess_assembly(sizes: Mapping[str, int]) -> str | None:
    """Return the built-in assembly with these chromosome lengths (at least one shared, none that differs)."""
    own = {alias: int(size) for chrom, size in sizes.items() for alias in aliases(str(chrom))}
    for assembly, reference in built_in_sizes().items():
        shared = [own[chrom] == size for chrom, size in reference.items() if chrom in own and chrom != "chrM"]
        if shared and all(shared):
            return assembly
    return None


def aliases(chrom: str) -> list[str]:
    """Return every spelling of a chromosome that is understood, the given one first."""
    family = _FAMILIES.get(chrom.lower())
    if family is not None:
        return [chrom, *family]
    bare = chrom[3:] if chrom.lower().startswith("chr") else chrom
    return [chrom, *(prefix + bare for prefix in _PREFIXES)]


def named_chromosomes(names: Iterable[str], name: str = "custom") -> Genome:
    """Return chromosomes of unknown length as a genome, which knows their other spellings."""
    return Genome(dict.fromkeys(map(str, names), _MAX_LENGTH), name=name)


def _called_organelles(chroms: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in chroms if name.lower() in _FAMILIES or _OF_SPECIES.fullmatch(name.lower()))


def alias_codes(chroms: Iterable[str]) -> dict[str, int]:
    """Return every spelling of chromosomes that is understood -> its position among them; their own come first."""
    chroms = tuple(chroms)
    codes = {chrom: code for code, chrom in enumerate(chroms)}
    for code, chrom in enumerate(chroms):
        for alias in aliases(chrom):
            codes.setdefault(alias, code)
    return codes


def _base(position: object, region: object) -> int:
    """Return a position as the whole number that it is, whatever its type."""
    number = position.replace(",", "") if isinstance(position, str) else position
    try:
        if isinstance(number, float | np.floating) and not float(number).is_integer():
            raise ValueError
        return int(number)
    except (TypeError, ValueError):
        found = repr(position) if isinstance(position, str) else position
        msg = f"The region {region!r} has the position {found}; expected a whole number of bp."
        raise ValueError(msg) from None


def _read_sizes(source: str | Path) -> dict[str, int]:
    looks_like_path = isinstance(source, Path) or any(mark in str(source) for mark in "./\\")
    if not looks_like_path and not Path(source).exists():
        meant = _OTHER_NAMES.get(str(source).lower(), str(source).lower())
        hint = f" (did you mean {meant!r}?)" if meant in built_in_sizes() else ""
        msg = (
            f"Unknown genome {source!r}{hint}. Built in are {', '.join(built_in_sizes())}; for any other give the "
            "path of a chromosome sizes or .fai file, or a dict of name -> length."
        )
        raise ValueError(msg)
    path = require_file(_index_of(source), "chromosome sizes file")
    sizes: dict[str, int] = {}
    with open_text(path, "chromosome sizes or .fai file (name, tab, length)") as handle:
        lines = handle.read().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) < 2 or not fields[1].isdigit():
            msg = f"{path}, line {number}: expected a chromosome name and its length, found {line[:80]!r}."
            raise ValueError(msg)
        if sizes.setdefault(fields[0], int(fields[1])) != int(fields[1]):
            msg = f"{path}, line {number}: {fields[0]} has the length {fields[1]} here and {sizes[fields[0]]} above."
            raise ValueError(msg)
    return sizes


def _index_of(source: str | Path) -> Path:
    """Return the file with the sizes: the index beside a FASTA file, else the file itself."""
    path = Path(source).expanduser()
    if not path.name.lower().endswith(_FASTA):
        return path
    index = path.with_name(f"{path.name}.fai")
    if not index.exists():
        msg = (
            f"{path} is a FASTA file without an index: {index} does not exist. Make it with `samtools faidx {path}`, "
            "or give a chromosome sizes file (name and length, separated by a tab)."
        )
        raise FileNotFoundError(msg)
    return index


def _check_sizes(sizes: Mapping[str, int], source: object) -> None:
    if not sizes:
        msg = f"The genome {source!r} has no chromosomes."
        raise ValueError(msg)
    for chrom, size in sizes.items():
        try:
            fits = 0 < int(size) <= _MAX_LENGTH and int(size) == float(size)
        except (TypeError, ValueError, OverflowError):  # text, None, NaN, infinity
            fits = False
        if not fits:
            msg = f"Chromosome {chrom!r} has length {size}; expected a whole number, 1 to {_MAX_LENGTH:,} bp."
            raise ValueError(msg)


def _read_genes(handle: TextIO, path: Path | Traversable) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(handle, sep="\t", header=None, comment="#")
    if table.shape[1] < 6:
        found = f"The gene table {path} has {table.shape[1]} columns"
        msg = f"{found}; expected BED6: chrom, start, end, name, score, strand."
        raise ValueError(msg)
    if not all(pd.api.types.is_integer_dtype(table[column]) for column in (1, 2)):
        line = " ".join(map(str, table.iloc[0]))[:80]
        msg = f"{path} is no BED file of genes: {line!r}. Read GTF and others with genes=sca.io.read_genes(...)."
        raise ValueError(msg)
    table = table.iloc[:, [0, 1, 2, 3, 5]].set_axis(list(GENE_COLUMNS), axis=1)
    return table.astype({"chrom": str, "name": str, "strand": str})
