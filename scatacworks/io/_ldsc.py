"""Annotations for stratified LD score regression, and its results."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from scatacworks import _keys
from scatacworks._columns import whole_numbers
from scatacworks._core.fdr import benjamini_hochberg
from scatacworks._core.intervals import any_overlap, merge
from scatacworks._files import atomic_path, open_text, require_file
from scatacworks._logging import logger
from scatacworks.genome import Genome, named_chromosomes
from scatacworks.io._names import safe_names

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

__all__ = ["read_ldsc", "write_ldsc"]

_ALL = "all_elements"


def write_ldsc(
    index: AnnData,
    folder: str | os.PathLike[str],
    *,
    bim: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    component_key: str = _keys.COMPONENT,
    core: bool = False,
    name: str = "components",
    genome: Genome | str | None = None,
) -> dict[str, Path]:
    r"""Write annotations of SNPs by component in the forms that ldsc reads; the regression stays ldsc's.

    A SNP belongs to a component when its base lies in an element with that label (1-based `.bim` position minus 1 in
    `[start, end)`). Rows are in the order of the `.bim` file, as ldsc requires.

    Parameters
    ----------
    index
        Elements in `.var` with labels.
    folder
        Where to write.
    bim
        PLINK `.bim` files of the reference panel: one per chromosome with `@` in place of the number
        (`"1000G.EUR.QC.@.bim"`), or a list of files.
    component_key
        Column of `.var` with the labels.
    core
        Use the cores, from `core_start` to `core_end` with both of them, instead of whole elements; elements without a
        core are left out.
    name
        Prefix of the files.
    genome
        The index's genome, if the `.bim` positions are to be checked against its chromosome lengths.

    Returns
    -------
    Paths written: `full` (prefix of `<name>.<chr>.annot.gz` with the columns `CHR BP SNP CM` and one per component),
    `thin` (the same without the first four), `cts` (prefix per component and of `all_elements`, thin, for
    `--ref-ld-chr-cts` once their LD scores are computed), `ldcts` (the list for that option, with `all_elements` as
    control), `bed` (folder of one BED file per component) and `names` (a table: label, name in the files).

    Raises
    ------
    KeyError
        If labels or positions are missing.
    FileNotFoundError
        If no `.bim` file is found.
    ValueError
        If a `.bim` file is not one, or is of another genome: positions beyond a chromosome's end, or no SNP in any
        element.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd, scatacworks as sca
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = (folder / "ref.22.bim").write_text("22 rs1 0 101 A G\n22 rs2 0 900 A G\n")
    >>> var = pd.DataFrame({"chrom": ["chr22"], "start": [100], "end": [200], "component": ["Lymphoid"]})
    >>> index = anndata.AnnData(np.ones((1, 1), np.float32), var=var.set_index(var.index.astype(str)))
    >>> paths = sca.io.write_ldsc(index, folder / "out", bim=folder / "ref.@.bim")
    >>> pd.read_csv(f"{paths['full']}.22.annot.gz", sep="\t")["Lymphoid"].tolist()
    [1, 0]
    """
    folder = Path(folder).expanduser()
    table = _elements(index, component_key, core=core)
    labels = list(table["label"].cat.categories)
    safe = dict(zip(labels, safe_names(labels, taken=[_ALL]), strict=True))
    chroms = named_chromosomes(table["chrom"].unique())
    sets = {_ALL: table} | {safe[label]: table[table["label"] == label] for label in labels}
    merged = {key: merge(chroms.resolve(rows["chrom"]), rows["start"], rows["end"]) for key, rows in sets.items()}
    paths = {key: folder / key / name for key in ("full", "thin", "cts")}
    paths |= {"ldcts": folder / f"{name}.ldcts", "bed": folder / "bed", "names": folder / f"{name}.names.tsv"}
    panel = _read_bims(bim)
    if genome is not None:
        _check_build(panel, Genome(genome))
    members = [_membership(snps, chroms, merged) for snps in panel]
    n_snps, n_inside = sum(map(len, panel)), sum(int(member[_ALL].sum()) for member in members)
    if n_inside == 0:
        msg = (
            f"None of {n_snps} SNPs of {bim} lies in an element; are .bim and index of different genomes, or do they "
            "share no chromosome?"
        )
        raise ValueError(msg)
    logger.info("%d of %d SNPs lie in an element.", n_inside, n_snps)
    for snps, member in zip(panel, members, strict=True):
        _write_chromosome(snps, member, paths)
    _write_lists(paths, labels, safe, merged, chroms)
    return paths


def _elements(index: AnnData, component_key: str, *, core: bool) -> pd.DataFrame:
    """Return chrom, start, end and label of the labelled elements."""
    start, end = ("core_start", "core_end") if core else ("start", "end")
    missing = [column for column in ("chrom", start, end, component_key) if column not in index.var]
    if missing:
        msg = f".var lacks the column(s) {missing}; it has {list(index.var.columns)}."
        raise KeyError(msg)
    found = index.var[["chrom", start, end, component_key]].dropna()
    table = pd.DataFrame({"chrom": found["chrom"].astype(str), "label": found[component_key].astype(str)})
    table["start"], table["end"] = (whole_numbers(found[name], ".var") for name in (start, end))
    if core:
        table["end"] += 1  # the core's last position is part of it
    table["label"] = table["label"].astype("category")
    if isinstance(found[component_key].dtype, pd.CategoricalDtype):
        order = found[component_key].cat.remove_unused_categories().cat.categories
        table["label"] = table["label"].cat.reorder_categories(order.astype(str))
    if table.empty:
        msg = f"No element has a label in .var[{component_key!r}]."
        raise ValueError(msg)
    return table.reset_index(drop=True)


def _read_bims(bim: Any) -> list[pd.DataFrame]:
    """Return the SNPs of every chromosome, in the order of the files."""
    if isinstance(bim, str | Path) and "@" in str(bim):
        files = [Path(str(bim).replace("@", str(number))).expanduser() for number in [*range(1, 23), "X"]]
        files = [path for path in files if path.exists()]
    else:
        files = [Path(bim)] if isinstance(bim, str | Path) else [Path(path) for path in bim]
    if not files:
        msg = f"No .bim file like {bim}; '@' stands for the chromosome number."
        raise FileNotFoundError(msg)
    tables = []
    for path in files:
        with open_text(path, ".bim file") as handle:
            snps = pd.read_csv(handle, sep=r"\s+", header=None, dtype={0: str, 1: str})
        is_bim = snps.shape[1] == 6 and pd.api.types.is_integer_dtype(snps[3])
        if not is_bim or not snps[0].str.fullmatch(r"\w[\w.-]*").all():  # chromosomes name files
            msg = f"{path} is not a .bim file: expected six columns (chromosome, SNP, cM, position, two alleles)."
            raise ValueError(msg)
        snps = snps.iloc[:, [0, 3, 1, 2]].set_axis(["CHR", "BP", "SNP", "CM"], axis=1)
        tables.extend(rows.reset_index(drop=True) for _, rows in snps.groupby("CHR", sort=False))
    repeated = pd.Series([rows["CHR"].iloc[0] for rows in tables])
    if repeated.duplicated().any():
        msg = f"Chromosome {repeated[repeated.duplicated()].iloc[0]} is in more than one .bim file."
        raise ValueError(msg)
    return tables


def _check_build(panel: list[pd.DataFrame], genome: Genome) -> None:
    """Refuse positions beyond the end of their chromosome."""
    for snps in panel:
        length = genome.length(snps["CHR"].iloc[0])
        beyond = snps[snps["BP"] > length]
        if len(beyond):
            chrom, position, name, _ = beyond.iloc[0]
            msg = (
                f"SNP {name} lies at {chrom}:{position}, beyond the chromosome's end in {genome.name} ({length}); the "
                ".bim file is of another genome."
            )
            raise ValueError(msg)


def _membership(snps: pd.DataFrame, chroms: Genome, merged: dict[str, tuple]) -> pd.DataFrame:
    """Return a 0/1 column per set."""
    code = chroms.resolve(snps["CHR"].iloc[:1])[0]
    base = snps["BP"].to_numpy(np.int64) - 1
    query = (np.full(len(base), code, np.int32), base, base + 1)
    columns = {name: any_overlap(query, target).astype(np.int8) if code >= 0 else 0 for name, target in merged.items()}
    return pd.DataFrame(columns, index=snps.index)


def _write_chromosome(snps: pd.DataFrame, member: pd.DataFrame, paths: dict[str, Path]) -> None:
    """Write the full, thin and single-column files of one chromosome."""
    chrom = str(snps["CHR"].iloc[0]).removeprefix("chr")
    snps = snps.assign(CHR=chrom)
    components = member.drop(columns=_ALL)  # it is their sum where elements do not overlap, which ldsc refuses
    _write_gz(pd.concat([snps, components], axis=1), Path(f"{paths['full']}.{chrom}.annot.gz"))
    _write_gz(components, Path(f"{paths['thin']}.{chrom}.annot.gz"))
    for column in member:
        _write_gz(member[[column]], Path(f"{paths['cts']}.{column}.{chrom}.annot.gz"))


def _write_gz(table: pd.DataFrame, path: Path) -> None:
    """Write a table, gzipped without a time stamp."""
    with atomic_path(path) as aside, aside.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as handle:
        table.to_csv(handle, sep="\t", index=False, lineterminator="\n")


def _write_lists(
    paths: dict[str, Path], labels: list[str], safe: dict[str, str], merged: dict[str, tuple], chroms: Genome
) -> None:
    """Write the `.ldcts` list, the BED files and the table of names."""
    control = f"{paths['cts']}.{_ALL}."
    lines = [f"{safe[label]}\t{paths['cts']}.{safe[label]}.,{control}\n" for label in labels]
    with atomic_path(paths["ldcts"]) as aside:
        aside.write_text("".join(lines), encoding="utf-8")
    with atomic_path(paths["names"]) as aside:
        pd.DataFrame({"label": labels, "name": [safe[label] for label in labels]}).to_csv(aside, sep="\t", index=False)
    for name, (chrom, start, end) in merged.items():
        table = pd.DataFrame({"chrom": np.array(chroms.chroms, dtype=object)[chrom], "start": start, "end": end})
        with atomic_path(paths["bed"] / f"{name}.bed") as aside:
            table.to_csv(aside, sep="\t", header=False, index=False, lineterminator="\n")


def read_ldsc(results: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]]) -> pd.DataFrame:
    r"""Read results of stratified LD score regression into one table.

    Parameters
    ----------
    results
        A `.results` file (`--h2 … --overlap-annot`) or a `.cell_type_results.txt` file (`--h2-cts`), or a mapping
        trait -> file. The trait of a single file is its name without ending.

    Returns
    -------
    DataFrame, one row per trait and annotation: `trait`, `component`, `prop_snps`, `prop_h2`, `prop_h2_se`,
    `enrichment`, `enrichment_se`, `enrichment_p` (NaN for cell-type results), `coefficient`, `coefficient_se`,
    `coefficient_z`, `p_value` (one-sided, coefficient above 0), `q_value` (Benjamini-Hochberg over all rows).

    Raises
    ------
    ValueError
        If a file has neither form, no row, or text where a number is due.

    Examples
    --------
    >>> import scatacworks as sca
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "MONO.cell_type_results.txt"
    >>> columns = ["Name", "Coefficient", "Coefficient_std_error", "Coefficient_P_value"]
    >>> _ = path.write_text("\t".join(columns) + "\nMyeloid\t2e-8\t1e-8\t0.02275\n")
    >>> sca.io.read_ldsc(path)[["trait", "component", "coefficient_z"]].values.tolist()
    [['MONO', 'Myeloid', 2.0]]
    """
    files = results if isinstance(results, Mapping) else {_trait_of(require_file(results, "ldsc result")): results}
    if not files:
        msg = "results is empty; expected a mapping of trait -> file."
        raise ValueError(msg)
    table = pd.concat([_one_result(str(trait), Path(path)) for trait, path in files.items()], ignore_index=True)
    table["p_value"] = stats.norm.sf(table["coefficient_z"])
    table["q_value"] = benjamini_hochberg(table["p_value"].to_numpy())
    return table


def _trait_of(path: Path) -> str:
    return path.name.removesuffix(".results").removesuffix(".cell_type_results.txt")


def _one_result(trait: str, path: Path) -> pd.DataFrame:
    """Read one file of either form."""
    with open_text(path, "ldsc result") as handle:
        raw = pd.read_csv(handle, sep=r"\s+")
    names = {
        "Category": "component",
        "Name": "component",
        "Prop._SNPs": "prop_snps",
        "Prop._h2": "prop_h2",
        "Prop._h2_std_error": "prop_h2_se",
        "Enrichment": "enrichment",
        "Enrichment_std_error": "enrichment_se",
        "Enrichment_p": "enrichment_p",
        "Coefficient": "coefficient",
        "Coefficient_std_error": "coefficient_se",
    }
    if not {"Coefficient", "Coefficient_std_error"} <= set(raw.columns) or not {"Category", "Name"} & set(raw.columns):
        msg = (
            f"{path} is no result of ldsc with coefficients: expected .results of --h2 with --print-coefficients, or "
            f".cell_type_results.txt of --h2-cts; found the columns {list(raw.columns)}."
        )
        raise ValueError(msg)
    table = raw.rename(columns=names).reindex(columns=list(dict.fromkeys(names.values())))
    if table.empty:
        msg = f"{path} holds no result, only the names of its columns."
        raise ValueError(msg)
    for name in table.columns[1:]:
        table[name] = _numbers(table[name], name, path)
    named = table["component"].astype(str)
    bare = named.str.replace(r"(L2)?_\d+$", "", regex=True)
    table["component"] = bare.where(bare != "", named)  # a file of one annotation has it as L2, without a name
    if "Name" in raw:
        table["component"] = raw["Name"].astype(str)
    table["coefficient_z"] = table["coefficient"] / table["coefficient_se"]
    table.insert(0, "trait", trait)
    return table


def _numbers(column: pd.Series, name: str, path: Path) -> pd.Series:
    """Return a column as numbers, NaN where ldsc wrote NA."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        msg = f"{path}, line {row + 2}: expected a number as {name}, found {column.iloc[row]!r}."
        raise ValueError(msg)
    return numbers.astype(np.float64)
