"""Which parts of genes regions lie in, by component or group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from anndata import AnnData

from scatacworks import _keys
from scatacworks._anndata import table_of
from scatacworks._palette import cycle
from scatacworks.pl._figure import create_axes, dress, finish, legend_above, name_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# from what is tied to genes to what is far from them
_COLORS = {"promoter": "#b3123f", "exon": "#e8a33d", "intron": "#8da0cb", "intergenic": "#d5d8dc"}
_NONE = "none"


def annotate_regions(
    data: AnnData | pd.DataFrame,
    *,
    groupby: str | None = None,
    column: str = "annotation",
    key: str | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw the shares of promoters, exons, introns and intergenic regions as stacked bars, one per component or group.

    The first bar holds all regions; the number beside a bar is that of its regions. Regions without a group are in the
    first bar only.

    Parameters
    ----------
    data
        What :func:`~scatacworks.tl.annotate_regions` has annotated: an AnnData (`.var`, or a table in `.uns` named by
        `key`) or the table it returned.
    groupby
        Column with the groups, such as `"direction"` of differential regions; by default the components where the
        regions have them, else one bar. Regions without a group count in the bar of all only.
    column
        Column with the classes: `"annotation"`, its parts `"exon_class"` and `"gene_class"`, or another class
        (repeats, for example).
    key
        Table in `.uns`, instead of `.var`.
    ax
        Axes to draw in.
    figsize
        Width and height in inches.
    show
        Show the figure; by default where it is not returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False` or `ax` is given, else `None`.

    Raises
    ------
    KeyError
        If the table or a column is missing.
    ValueError
        If there is no region.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> regions = pd.DataFrame({"chrom": "chrX", "start": [48_786_400, 48_900_000], "component": ["Myeloid", "Neural"]})
    >>> regions["end"] = regions["start"] + 300
    >>> table = sca.tl.annotate_regions(regions, genes="hg38")
    >>> figure = sca.pl.annotate_regions(table, return_fig=True)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['all', 'Myeloid', 'Neural']
    """
    table = _table(data, key, column)
    if groupby is None and _keys.COMPONENT in table:
        groupby = _keys.COMPONENT
    counts = _counts(table, column, groupby)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    figure, axes = create_axes(ax, figsize, (5.4, 0.9 + 0.2 * len(counts)))
    colors = _class_colors(list(counts.columns))
    left = pd.Series(0.0, index=shares.index)
    for name, color in colors.items():
        axes.barh(range(len(shares)), shares[name], left=left, height=0.8, color=color, label=name)
        left += shares[name]
    axes.set_xlim(0, 1)
    dress(axes, x="share of regions")
    name_rows(axes, list(shares.index), [f"{n:,}" for n in counts.sum(axis=1)])
    legend_above(axes, ncols=4, handlelength=1, handleheight=1, columnspacing=1.2)
    return finish(figure, show=show, return_fig=return_fig, given=ax is not None)


def _table(data: AnnData | pd.DataFrame, key: str | None, column: str) -> pd.DataFrame:
    """Return the annotated table."""
    if isinstance(data, AnnData):
        data = data.var if key is None else table_of(data, key, "sca.tl.annotate_regions(adata, key=...)")
    if column not in data:
        msg = f"The regions have no column {column!r}; run sca.tl.annotate_regions first (it has {list(data.columns)})."
        raise KeyError(msg)
    if data.empty:
        msg = "There is no region to show."
        raise ValueError(msg)
    return data


def _counts(table: pd.DataFrame, column: str, groupby: str | None) -> pd.DataFrame:
    """Count regions by group (rows, all of them first) and class (columns)."""
    classes = _categories(table[column], empty=_NONE)
    total = classes.value_counts(sort=False).rename("all").to_frame().T
    if groupby is None:
        return total
    if groupby not in table:
        msg = f"The regions have no column {groupby!r}; they have {list(table.columns)}."
        raise KeyError(msg)
    groups = _categories(table[groupby])
    by_group = pd.crosstab(groups, classes, dropna=False).reindex(
        index=groups.cat.categories, columns=classes.cat.categories, fill_value=0
    )
    counts = pd.concat([total, by_group])
    return counts.set_axis([str(name) for name in counts.index])


def _categories(values: pd.Series, *, empty: str | None = None) -> pd.Series:
    """Return used categories in their order, empty and missing ones last under the name `empty` or left out."""
    values = values.astype("category").cat.remove_unused_categories()
    names = [str(name) for name in values.cat.categories if str(name)]
    text = values.astype(object).where(values.notna(), "").astype(str)
    if empty is not None and (text == "").any():
        names, text = [*[name for name in names if name != empty], empty], text.replace("", empty)
    return pd.Series(pd.Categorical(text.where(text.isin(names)), names), index=values.index)


def _class_colors(names: list[str]) -> dict[str, str]:
    """Return fixed colours for gene parts, those of the palette for other classes, grey for none."""
    free = iter(cycle(len(names)))
    return {name: _COLORS.get(name) or (_COLORS["intergenic"] if name == _NONE else next(free)) for name in names}
