"""Elements that a query and a reference have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._anndata import genome_of, require_assembly
from scatacworks._logging import logger

if TYPE_CHECKING:
    from anndata import AnnData

_PLACES = ("start", "end")  # an identifier begins with the chromosome


def shared_elements(query: AnnData, reference: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of the query that are elements of the reference by name, and their columns there.

    Identifiers are ranks along a chromosome: two indexes made apart share most of them, for other places. Where both
    tell places and a shared name has two, the indexes are not related and nothing is shared.

    Raises
    ------
    ValueError
        If the two are of different genomes.
    """
    require_assembly(genome_of(query), genome_of(reference), "The query is")
    at = reference.var_names.get_indexer(query.var_names)
    columns = np.flatnonzero(at >= 0)
    at = at[columns]
    if set(_PLACES) <= set(query.var) and set(_PLACES) <= set(reference.var):
        for place in _PLACES:
            same = query.var[place].to_numpy()[columns] == reference.var[place].to_numpy()[at]
            if not same.all():
                name = query.var_names[columns[np.argmin(same)]]
                logger.info("Names such as %r stand for other places in the query than in the reference.", name)
                return columns[:0], at[:0]
    if 0 < len(columns) < reference.n_vars:
        logger.warning("The query lacks %d of %d elements.", reference.n_vars - len(columns), reference.n_vars)
    return columns, at
