"""How a training run went, and what its model is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scatacworks.pl._figure import INK, create_axes, finish, legend_beside, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = {
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "pearson": "Pearson's r",
    "pearson_inside": "Pearson's r, peaks",
    "pearson_outside": "Pearson's r, outside peaks",
    "spearman": "Spearman's ρ",
    "mse_scaled": "mean squared error, best scale",
    "f1": "F1",
    "f1_max": "best F1",
}
_USUAL = ("auprc", "pearson")
_COLORS = {"raw": "#8c8c8c", "gaussian": "#d8a13a", "linear": "#cc79a7", "denoised": "#2a6fb0"}
_OTHERS = ("#5aa469", "#d55e00", "#56b4e9", "#882255", "#332288", "#999933")  # models by names of the user's


def training(
    history: pd.DataFrame,
    *,
    metrics: str | Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw a training run: loss and validation scores by epoch, one line per validation depth or number of cells.

    Parameters
    ----------
    history
        ``history`` of :func:`~scatacworks.tl.train`, or its ``history.csv`` read back.
    metrics
        Scores to draw: ``"auprc"``, ``"auroc"``, ``"pearson"``, ``"mse"``; by default the first and the third, which a
        run without validation lacks.
    figsize
        Width and height in inches.
    show
        Show the figure; by default unless it is returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False`, else `None`.

    Raises
    ------
    KeyError
        If the history lacks one of the scores that are named.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> history = pd.DataFrame({"step": [10, 20], "loss": [1.0, 0.5], "auprc_5M": [0.6, 0.8]})
    >>> figure = sca.pl.training(history, metrics=["auprc"], return_fig=True)
    """
    import matplotlib.pyplot as plt

    wanted = _USUAL if metrics is None else [metrics] if isinstance(metrics, str) else metrics
    _require(history, ["step", "loss"])
    columns = {m: [c for c in history.columns if c.startswith(f"{m}_")] for m in wanted}
    missing = [m for m, found in columns.items() if not found]
    if missing and metrics is not None:
        msg = f"The history has no column of {missing[0]!r}; it has {', '.join(map(str, history.columns))}."
        raise KeyError(msg)
    columns = {m: found for m, found in columns.items() if found}
    n = len(columns) + 1
    figure, axes = plt.subplots(1, n, figsize=size_of(figsize, (3.2 * n, 2.6)), layout="constrained")
    axes = np.atleast_1d(axes)
    axes[0].plot(history["step"], history["loss"], color=INK)
    axes[0].set_ylabel("training loss")
    for ax, (metric, found) in zip(axes[1:], columns.items(), strict=True):
        for shade, column in zip(plt.get_cmap("viridis")(np.linspace(0.1, 0.8, len(found))), found, strict=True):
            ax.plot(history["step"], history[column], color=shade, label=column.removeprefix(f"{metric}_"))
        ax.set_ylabel(_NAMES.get(metric, metric))
    lines = max((ax.get_legend_handles_labels() for ax in axes[1:]), key=lambda found: len(found[1]), default=([], []))
    depths_only = not any(c.endswith(("cell", "cells")) for found in columns.values() for c in found)
    title = "cut sites" if depths_only else None
    if lines[1]:
        figure.legend(*lines, title=title, loc="outside right center", frameon=False, fontsize="small")
    for ax in axes:
        ax.set_xlabel("update")
        ax.spines[["top", "right"]].set_visible(False)
    return finish(figure, show=show, return_fig=return_fig, given=False)


def metrics(
    table: pd.DataFrame,
    *,
    metrics: str | Sequence[str] = ("auprc", "pearson", "pearson_outside"),
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw scores of several methods side by side, one dot per group or block.

    Parameters
    ----------
    table
        Rows of :func:`~scatacworks.tl.evaluate`, of groups or of blocks.
    metrics
        Columns to draw, one panel each.
    figsize
        Width and height in inches.
    show
        Show the figure; by default unless it is returned.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False`, else `None`.

    Raises
    ------
    KeyError
        If a column is missing.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> table = pd.DataFrame({"method": ["raw", "denoised"], "group": ["B", "B"], "auprc": [0.4, 0.8]})
    >>> figure = sca.pl.metrics(table, metrics=["auprc"], return_fig=True)
    """
    import matplotlib.pyplot as plt

    metrics = [metrics] if isinstance(metrics, str) else metrics
    _require(table, ["method", *metrics])
    methods = list(dict.fromkeys(table["method"]))
    colors = _colors(methods)
    wide = size_of(figsize, (0.6 * len(methods) * len(metrics) + 1.5 * len(metrics), 2.8))
    figure, axes = plt.subplots(1, len(metrics), figsize=wide, layout="constrained", squeeze=False)
    for ax, metric in zip(axes[0], metrics, strict=True):
        for x, method in enumerate(methods):
            values = table.loc[table["method"] == method, metric].dropna().to_numpy(float)
            spread = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(len(values))
            color = colors[method]
            ax.scatter(x + spread, values, s=14, color=color, alpha=0.7, linewidths=0)
            if len(values):
                ax.hlines(values.mean(), x - 0.3, x + 0.3, color=color, linewidth=2)
        ax.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
        ax.set_ylabel(_NAMES.get(metric, metric))
        ax.spines[["top", "right"]].set_visible(False)
    return finish(figure, show=show, return_fig=return_fig, given=False)


def depth_curve(
    table: pd.DataFrame,
    *,
    metric: str = "auprc",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Figure | None:
    """Draw a score against the depth of the input, one line per method, and group where there are several.

    The horizontal distance from a denoised line to the raw one is what denoising is worth in reads
    (:func:`~scatacworks.metrics.equivalent_reads`).

    Parameters
    ----------
    table
        Rows with columns ``method``, ``depth`` (cut sites per 3.1e9 bp), the score and maybe ``group``: tables of
        :func:`~scatacworks.tl.evaluate` at several depths, one below the other (`pandas.concat`). Rows of one depth,
        such as blocks, are averaged; with ``low`` and ``high`` the line gets a band.
    metric
        Column to draw.
    ax
        Axes to draw on.
    figsize
        Width and height in inches of a new figure.
    show
        Show the figure; by default unless it is returned or `ax` is given.
    return_fig
        Return the figure.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig=True` or `show=False` or `ax` is given, else `None`.

    Raises
    ------
    KeyError
        If a column is missing.

    Examples
    --------
    >>> import pandas as pd, scatacworks as sca
    >>> table = pd.DataFrame({"method": ["raw"] * 2, "depth": [1e6, 5e6], "auprc": [0.36, 0.69]})
    >>> figure = sca.pl.depth_curve(table, return_fig=True)
    """
    _require(table, ["method", "depth", metric])
    given = ax is not None
    figure, ax = create_axes(ax, figsize, (4.2, 3.2))
    colors = _colors(table["method"])
    by = [column for column in ("method", "group") if column in table.columns]
    band = ["low", "high"] if {"low", "high"} <= set(table.columns) else []
    named = set()
    for (method, *_), found in table.groupby(by, sort=False, observed=True):
        rows = found.groupby("depth", as_index=False)[[metric, *band]].mean()
        label = None if method in named else method
        ax.plot(rows["depth"], rows[metric], marker="o", markersize=4, color=colors[method], label=label)
        named.add(method)
        if band:
            ax.fill_between(rows["depth"], rows["low"], rows["high"], color=colors[method], alpha=0.2, linewidth=0)
    ax.set_xscale("log")
    ax.set_xlabel("depth (cut sites per 3.1 Gb)")
    ax.set_ylabel(_NAMES.get(metric, metric))
    legend_beside(ax)
    ax.spines[["top", "right"]].set_visible(False)
    return finish(figure, show=show, return_fig=return_fig, given=given)


def _colors(methods: Iterable[str]) -> dict[str, str]:
    """Return a colour per method; the baselines always have the same."""
    others = [method for method in dict.fromkeys(methods) if method not in _COLORS]
    return _COLORS | {method: _OTHERS[i % len(_OTHERS)] for i, method in enumerate(others)}


def _require(table: pd.DataFrame, columns: Sequence[Any]) -> None:
    """Refuse what is no table, or lacks a column."""
    if not isinstance(table, pd.DataFrame):
        way_out = "; give its history" if hasattr(table, "history") else ""
        msg = f"Expected a DataFrame, got {type(table).__name__}{way_out}."
        raise TypeError(msg)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        msg = f"The table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}."
        raise KeyError(msg)
