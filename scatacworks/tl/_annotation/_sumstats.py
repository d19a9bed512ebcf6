"""Summary statistics of a trait: positions and p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scatacworks._files import open_text
from scatacworks._logging import logger

if TYPE_CHECKING:
    import os

_NAMES = {  # the spellings of common collections, lower case
    "chrom": ("chrom", "chr", "#chrom", "#chr", "chromosome", "hm_chrom", "ch", "seqname"),
    "position": ("pos", "bp", "position", "base_pair_location", "hm_pos", "ps", "bp_hg19", "bp_hg38"),
    "p": ("p", "pval", "p_value", "pvalue", "p-value", "p.value", "p_bolt_lmm", "p_lrt"),
    "log10_p": ("neglog10_pval_eur", "neglog10_pval", "neg_log_pvalue", "mlog10p", "log10p", "nlp", "neglog10p"),
    "variant": ("snp", "rsid", "rs", "variant_id", "markername", "id", "hm_rsid", "variant", "rs_id"),
    "start": ("start", "chromstart"),
}
_NAMELESS = ("", ".", "NA", "nan", "NaN")
_PLACE = r"^(?P<chrom>(?:chr)?(?:\d{1,2}|X|Y|MT?))[:_](?P<position>\d+)[:_]"


def read_sumstats(source: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """Return variants as `chrom`, `position` (0-based), `log10_p` (negative or zero) and `variant`.

    Rows without a numeric p in [0, 1] or without a position are dropped and counted in the log; of a repeated
    identifier the row of lowest p is kept; p = 0 becomes the smallest p that is not 0, or 1e-300. Of several columns
    of positions, as of two assemblies, the first of `_NAMES` is taken, which the log says.

    Raises
    ------
    ValueError
        If there is no column of positions or p-values, or no row is left.
    """
    what = "the summary statistics" if isinstance(source, pd.DataFrame) else str(source)
    raw = source.reset_index(drop=True) if isinstance(source, pd.DataFrame) else _read(source)
    columns = {name: next(iter(_spelled(raw, name)), None) for name in _NAMES}
    if columns["chrom"] is None and columns["variant"] is not None:
        raw, columns = _placed_by_name(raw, columns)
    if columns["chrom"] is None or (columns["position"] is None and columns["start"] is None):
        msg = (
            f"{what} has no positions: expected a chromosome and a position column (such as CHR and BP), found "
            f"{list(raw.columns)[:12]}. Identifiers alone cannot be placed."
        )
        raise ValueError(msg)
    if columns["p"] is None and columns["log10_p"] is None:
        msg = f"{what} has no p-values: expected a column such as P or pval, found {list(raw.columns)[:12]}."
        raise ValueError(msg)
    one_based = columns["position"] is not None
    place = "position" if one_based else "start"
    if len(several := _spelled(raw, place)) > 1:  # of two assemblies
        logger.warning(
            "%s has several columns of positions, %s; %s is taken. Where the index is of the other's genome, leave "
            "that column out.",
            what, ", ".join(map(str, several)), several[0],
        )  # fmt: skip
    table = pd.DataFrame(
        {
            "chrom": raw[columns["chrom"]].astype(str).str.removesuffix(".0"),
            "position": pd.to_numeric(raw[columns[place]], errors="coerce"),
            "log10_p": _log10_p(raw, columns),
            "variant": "" if columns["variant"] is None else _identifiers(raw[columns["variant"]]),
        }
    )
    return _clean(table, what, shift=int(one_based))


def _identifiers(column: pd.Series) -> pd.Series:
    """Return identifiers as text, empty where there is none."""
    text = column.astype(object).where(column.notna(), "").astype(str)
    return text.mask(text.isin(_NAMELESS), "")


def _placed_by_name(raw: pd.DataFrame, columns: dict[str, str | None]) -> tuple[pd.DataFrame, dict[str, str | None]]:
    """Add the positions that identifiers such as `1:15791:C:T` tell, as UK Biobank's do, if most of them do."""
    named = raw[columns["variant"]].astype(str).str.extract(_PLACE)
    if not named["position"].notna().mean() > 0.5:
        return raw, columns
    return raw.assign(**named), columns | {"chrom": "chrom", "position": "position"}


def _read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table separated by tabs, commas or blanks."""
    with open_text(path, "table of summary statistics") as handle:
        first = handle.readline()
    separator = next((one for one in "\t," if one in first), r"\s+")
    how = {"dtype": str, "keep_default_na": False, "na_values": list(_NAMELESS)}
    with open_text(path, "table of summary statistics") as handle:
        return pd.read_csv(handle, sep=separator, **how)


def _spelled(table: pd.DataFrame, name: str) -> list[str]:
    """Return the columns of a kind, the one to take first."""
    lower = {str(column).lower(): column for column in table.columns}
    return [lower[spelling] for spelling in _NAMES[name] if spelling in lower]


def _log10_p(raw: pd.DataFrame, columns: dict[str, str | None]) -> pd.Series:
    """Return log10 p; text such as 1e-400 is read from its exponent, since a double cannot hold it."""
    if columns["p"] is None:
        minus = pd.to_numeric(raw[columns["log10_p"]], errors="coerce")
        return -minus.where(minus >= 0)  # the logarithm without the minus would make every p at least 1
    text = raw[columns["p"]]
    p = pd.to_numeric(text, errors="coerce")
    with np.errstate(divide="ignore", invalid="ignore"):
        out = np.log10(p.where((p >= 0) & (p <= 1)))
    tiny = (p == 0) & text.astype(str).str.contains("e-", case=False, regex=False)
    if tiny.any():
        parts = text[tiny].astype(str).str.lower().str.extract(r"^\s*([\d.]+)e-(\d+)\s*$").astype(np.float64)
        with np.errstate(divide="ignore"):
            out[tiny] = np.log10(parts[0]) - parts[1]
    return out


def _clean(table: pd.DataFrame, what: str, *, shift: int) -> pd.DataFrame:
    """Drop what cannot be used, counting why."""
    no_position, no_p = table["position"].isna(), table["log10_p"].isna()
    dropped = {"no numeric position": int(no_position.sum()), "no p between 0 and 1": int((no_p & ~no_position).sum())}
    kept = table[~no_position & ~no_p].copy()
    zero = np.isneginf(kept["log10_p"])
    if zero.any():
        smallest = kept.loc[~zero, "log10_p"].min()
        kept.loc[zero, "log10_p"] = min(-300.0, smallest if np.isfinite(smallest) else 0.0)
        logger.warning("%d variants of %s have p = 0; they count as 1e-300 or the smallest p given.", zero.sum(), what)
    named = kept["variant"].ne("")
    order = kept["log10_p"].to_numpy().argsort(kind="stable")
    repeated = kept.iloc[order]["variant"].where(named.iloc[order]).duplicated() & named.iloc[order]
    dropped["repeated identifier"] = int(repeated.sum())
    kept = kept.drop(index=repeated.index[repeated])
    for reason, count in dropped.items():
        if count:
            logger.warning("%d of %d variants of %s are left out: %s.", count, len(table), what, reason)
    if kept.empty:
        msg = f"{what}: none of {len(table)} variants can be used ({dropped})."
        raise ValueError(msg)
    kept["position"] = kept["position"].astype(np.int64) - shift
    return kept.reset_index(drop=True)
