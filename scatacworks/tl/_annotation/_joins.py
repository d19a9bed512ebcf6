"""Regions joined with an index's components and motifs, and with the variants of traits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks import _keys
from scatacworks._anndata import numbered
from scatacworks._core.enrichment import log_hypergeometric_sf, odds_ratio
from scatacworks._core.fdr import benjamini_hochberg
from scatacworks._core.intervals import overlap_pairs, point_in
from scatacworks.get._components import motif_words
from scatacworks.tl._annotation._elements import Elements, Intervals, elements_of, labels_of, on_chromosomes, read_bed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from scatacworks.genome import Genome

_DIRECTION = "direction"


def places_of(index: AnnData, chroms: Genome) -> Intervals:
    """Return the index's elements on the regions' chromosome codes, those of unknown chromosomes on a code of none."""
    own = elements_of(index.var, what="index.var")
    codes = chroms.resolve(own.chroms.chroms)[own.chrom]
    codes = np.where(codes < 0, len(chroms), codes)  # regions of unknown chromosomes have -1
    return codes, own.start, own.end


def component_columns(index: AnnData, hit: np.ndarray, component_key: str) -> dict[str, Any]:
    """Return component and name of the element `hit` by each region, where it is one."""
    labels, components = labels_of(index, component_key)
    names = index.var.get("identifier", index.var_names)
    names = np.asarray(names, dtype=object).astype(str).astype(object)
    shown = np.where((hit >= 0) & (labels[hit] >= 0), components[labels[hit]], "")
    return {"component": shown, "element": np.where(hit >= 0, names[hit], "")}


def motif_column(index: AnnData, hit: np.ndarray) -> dict[str, Any]:
    """Return the factors with a motif in the element `hit` by each region, if motifs have been matched there."""
    if _keys.MOTIF_MATCHES not in index.varm or _keys.MOTIF_ENRICHMENT not in index.uns:
        return {}
    rows, place = np.unique(hit, return_inverse=True)  # of an index with millions of elements, only those met
    return {"motifs": np.where(rows < 0, "", motif_words(index, rows))[place]}


def region_components(
    elements: Elements, table: pd.DataFrame, index: AnnData, places: Intervals, component_key: str
) -> pd.DataFrame:
    """Test the components among the elements that regions touch against the index, per direction."""
    labels, components = labels_of(index, component_key)
    region, element, _ = overlap_pairs(elements.intervals, places)
    region, element = region[labels[element] >= 0], element[labels[element] >= 0]
    total = np.bincount(labels[labels >= 0], minlength=len(components))
    selections = {"all": np.unique(element)}
    if _DIRECTION in table:
        direction = table[_DIRECTION].astype(str).to_numpy()
        selections |= {name: np.unique(element[direction[region] == name]) for name in sorted(set(direction))}
    rows = []
    for name, touched in selections.items():
        k = np.bincount(labels[touched], minlength=len(components))
        n = len(touched)
        with np.errstate(divide="ignore", invalid="ignore"):
            share, background = k / n, total / total.sum()
        frame = pd.DataFrame({_DIRECTION: name, "component": components, "n_regions": k, "n_elements": n})
        frame["share"], frame["background"], frame["enrichment"] = share, background, share / background
        frame["odds_ratio"] = odds_ratio(k, n, total, total.sum())
        frame["p_value"] = np.exp(log_hypergeometric_sf(k, n, total, total.sum()))
        rows.append(frame)
    result = pd.concat(rows, ignore_index=True)
    result["q_value"] = benjamini_hochberg(result["p_value"].to_numpy())
    return numbered(result)


def trait_column(elements: Elements, traits: Mapping[str, Any]) -> np.ndarray:
    """Return the traits with a fine-mapped variant in each region, with the sum of their posteriors."""
    if not hasattr(traits, "items"):
        msg = f"traits is a {type(traits).__name__}; expected a dict of trait -> fine-mapped variants."
        raise TypeError(msg)
    weights = np.zeros((len(elements.start), len(traits)))
    for column, (name, source) in enumerate(traits.items()):
        weights[:, column] = variant_weights(elements, source, name)
    words = np.full(len(weights), "", dtype=object)
    names = list(traits)
    for row in np.flatnonzero(weights.any(1)):
        order = [column for column in np.argsort(-weights[row], kind="stable") if weights[row, column] > 0]
        words[row] = ";".join(f"{names[column]} ({weights[row, column]:.2g})" for column in order)
    return words


def variant_weights(elements: Elements, source: Any, name: str) -> np.ndarray:
    """Return the sum of the posteriors of a trait's variants inside each region, float64.

    Raises
    ------
    ValueError
        If a posterior is not between 0 and 1, or no chromosome is shared.
    """
    table = read_bed(source, names=("region", "posterior"))
    if "posterior" not in table:
        msg = f"The variants of {name!r} have no posterior: expected chrom, start, end, region, posterior."
        raise ValueError(msg)
    posterior = pd.to_numeric(table["posterior"], errors="coerce").to_numpy(np.float64)
    bad = ~((posterior >= 0) & (posterior <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        msg = f"Variant {row + 1} of {name!r}: its posterior {table['posterior'].iloc[row]} is not between 0 and 1."
        raise ValueError(msg)
    table, codes = on_chromosomes(table.assign(posterior=posterior), elements.chroms, what=f"The trait {name!r}")
    variant, region = point_in(codes, table["start"].to_numpy(), elements.intervals)
    return np.bincount(region, weights=table["posterior"].to_numpy()[variant], minlength=len(elements.start))
