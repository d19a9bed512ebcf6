"""Regulatory components of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm.auto import tqdm

from scatacworks import _keys, _step
from scatacworks._anndata import dominant
from scatacworks._arguments import one_of, real, share, whole
from scatacworks._core.nmf import Factors, factorize
from scatacworks._core.nndsvd import nndsvd
from scatacworks._files import require_writable
from scatacworks._logging import logger
from scatacworks._threads import resolve
from scatacworks.tl._vocabulary._device import choose, memory_explained
from scatacworks.tl._vocabulary._matrix import patterns_of

if TYPE_CHECKING:
    from os import PathLike

    from anndata import AnnData

    from scatacworks._core.patterns import Patterns

DTYPES = ("float32", "float64")
INITS = ("nndsvd", "nndsvda", "random")


def vocabulary(
    index: AnnData,
    *,
    n_components: int = 16,
    layer: str | None = None,
    init: Literal["nndsvd", "nndsvda", "random"] | tuple[np.ndarray, np.ndarray] = "nndsvd",
    alpha_W: float = 0.0,
    alpha_H: float = 0.0,
    l1_ratio: float = 0.0,
    max_iter: int = 200,
    tol: float = 1e-4,
    dtype: Literal["float32", "float64"] = "float32",
    folder: str | PathLike[str] | None = None,
    device: str | None = None,
    seed: int | np.random.Generator | None = 0,
    n_jobs: int | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    """Decompose the presence of elements in samples into regulatory components.

    Non-negative matrix factorisation: presence (samples x elements, 0 or 1) is approximated by loadings of samples
    times loadings of elements in the least-squares sense, by coordinate descent from a deterministic start (Meuleman
    et al. 2020, "regulatory vocabulary"; there k = 16 and no penalty). Identical columns are solved once.

    Parameters
    ----------
    index
        Samples x elements, as from :func:`~scatacworks.tl.dhs_index`; non-zero is present. A matrix that is not in
        memory (backed, zarr or dask, dense or CSR) is read in blocks of rows; a backed CSC matrix is read whole.
    n_components
        Number of components, at most the number of samples.
    layer
        Layer to use instead of `X`.
    init
        `"nndsvd"` (from singular vectors, zeros stay zero: the published choice), `"nndsvda"` (zeros become the mean),
        `"random"`, or loadings to start from: (n_samples, k) and (n_elements, k).
    alpha_W, alpha_H, l1_ratio
        Penalties of the loadings of samples and of elements, scaled by the size of the other side as in scikit-learn.
    max_iter, tol
        Stop after so many iterations or when the projected gradient has fallen to this share of the first.
    dtype
        Precision of the loadings of elements while fitting.
    folder
        Keep the packed matrix there instead of in memory (2 bytes per one).
    device
        `"cpu"`, or a CUDA device such as `"cuda"` or `"cuda:1"`; by default CUDA where there is one and the matrix is
        large enough to gain (ones of distinct columns times components of 2.7e8), else the CPU. Both fit the same way;
        their residuals differ by rounding.
    seed
        Seed or generator; with `"nndsvd"` it only starts the search for the singular vectors.
    n_jobs
        Threads; changes nothing in the result.
    progress
        Show a progress bar.
    copy
        Return a changed copy instead of changing `index`.

    Returns
    -------
    `None` if `copy=False`, else the copy. Sets:

    `obsm["X_vocabulary"]`, `varm["X_vocabulary"]` : float64 (n_samples, k), float32 (n_elements, k)
        Loadings.
    `obs` and `var`: `component` (categorical: the highest loading; missing where all are zero),
        `component_proportion` (float32: its share of the loadings), `n_components` (int64: loadings above zero)
    `uns["vocabulary"]`
        `names` of the components, `error` (Frobenius norm of the residual), `errors` (after each iteration),
        `explained_variance` (1 - squared error over the number of ones), `n_iter`, `params`.

    Raises
    ------
    TypeError
        If `n_components` or `max_iter` is no whole number, such as 4.5.
    ValueError
        If `n_components` is below 1 or exceeds the number of samples or elements, values are negative, nothing is
        present, a penalty is negative, or the device cannot be used.
    torch.OutOfMemoryError
        If the memory of the device is too small; with the way out.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> import scatacworks as sca
    >>> index = anndata.AnnData(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]))
    >>> sca.tl.vocabulary(index, n_components=2, progress=False)
    >>> round(index.uns["vocabulary"]["explained_variance"], 6)
    1.0
    >>> index.obs["component"].nunique()
    2
    """
    index = _step.own(index, copy=copy)
    n_components = whole(n_components, "n_components", **at_most(index))
    max_iter = whole(max_iter, "max_iter")
    _check_start(index, n_components, init)
    check_fit(alpha_W, alpha_H, l1_ratio, tol, dtype)
    n_jobs = resolve(n_jobs)
    given = not isinstance(init, str)  # equal columns may start from different loadings then
    folder = None if folder is None else require_writable(folder)
    patterns = patterns_of(index, layer, collapse=not given, folder=folder)
    solver, used = choose(device, patterns, n_components)
    start = start_of(patterns, n_components, init, np.random.default_rng(seed), n_jobs)
    with memory_explained(used, patterns, n_components):
        factors = fit(
            patterns, start, max_iter=max_iter, tol=tol, dtype=dtype, n_jobs=n_jobs, progress=progress, solver=solver,
            **penalties_of(index, alpha_W, alpha_H, l1_ratio),
        )  # fmt: skip
    params: dict[str, Any] = {
        "n_components": n_components,
        "init": "given" if given else init,
        "alpha_W": float(alpha_W),
        "alpha_H": float(alpha_H),
        "l1_ratio": float(l1_ratio),
        "max_iter": max_iter,
        "tol": float(tol),
        "dtype": dtype,
        "device": used,
    }
    _store(index, patterns, factors, params)
    return index if copy else None


def at_most(index: AnnData) -> dict[str, Any]:
    """The largest number of components, for :func:`whole`."""
    return {"most": min(index.shape), "of": f"for {index.n_obs:,} samples x {index.n_vars:,} elements"}


def check_fit(alpha_W: float, alpha_H: float, l1_ratio: float, tol: float, dtype: str) -> None:
    """Refuse penalties and precisions with which nothing can be fitted."""
    for name, value in {"alpha_W": alpha_W, "alpha_H": alpha_H, "tol": tol}.items():
        if not real(value, name) >= 0:
            msg = f"{name} is {value}; expected a number of 0 or more."
            raise ValueError(msg)
    share(l1_ratio, "l1_ratio")
    one_of(dtype, "dtype", DTYPES)


def penalties_of(index: AnnData, alpha_W: float, alpha_H: float, l1_ratio: float) -> dict[str, tuple[float, float]]:
    """L1 and L2 penalties of the loadings of samples and of elements, each scaled by the size of the other side."""
    penalties = alpha_W * index.n_vars, alpha_H * index.n_obs
    return {
        "l1": tuple(penalty * l1_ratio for penalty in penalties),
        "l2": tuple(penalty * (1 - l1_ratio) for penalty in penalties),
    }


def _check_start(index: AnnData, k: int, init: Any) -> None:
    """Refuse an unknown start, or a given one that does not fit."""
    if isinstance(init, str):
        if init not in INITS:
            msg = f"init is {init!r}; expected one of {INITS} or a pair of loadings."
            raise ValueError(msg)
        return
    wanted = [(index.n_obs, k), (index.n_vars, k)]
    shapes = [np.shape(part) for part in init]
    if shapes != wanted or min(np.min(part) for part in init) < 0:
        msg = f"The given start has shapes {shapes}; expected {wanted}, all values 0 or more."
        raise ValueError(msg)


def start_of(
    patterns: Patterns, k: int, init: Any, rng: np.random.Generator, n_jobs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Loadings of rows and of patterns to start from."""
    if patterns.n_ones == 0:
        msg = "The matrix has no non-zero value; there is nothing to decompose."
        raise ValueError(msg)
    if not isinstance(init, str):
        return tuple(np.asarray(part, float) for part in init)
    if init == "random":
        mean = np.sqrt(patterns.n_ones / patterns.n_rows / patterns.count.sum() / k)
        return tuple(mean * np.abs(rng.standard_normal((n, k))) for n in (patterns.n_rows, len(patterns.count)))
    rows, columns = nndsvd(patterns, k, rng=rng, n_jobs=n_jobs)
    if not rows.any(axis=0).all():
        empty = int((~rows.any(axis=0)).sum())
        logger.warning("The matrix has rank %d; %d component(s) stay empty.", k - empty, empty)
    if init == "nndsvda":
        mean = patterns.n_ones / patterns.n_rows / patterns.count.sum()
        rows[rows == 0] = mean
        columns[columns == 0] = mean
    return rows, columns


def fit(
    patterns: Patterns, start: tuple[np.ndarray, np.ndarray], *, max_iter: int, progress: bool, **options: Any
) -> Factors:
    """Factorise with a progress bar."""
    with tqdm(total=max_iter, desc="vocabulary", unit="iteration", disable=not progress, leave=False) as bar:

        def report(violation: float) -> None:
            bar.set_postfix(gradient=f"{violation:.1e}", refresh=False)
            bar.update()

        return factorize(patterns, *start, max_iter=max_iter, report=report, **options)


def explained(patterns: Patterns, squared_error: float) -> float:
    """Explained variance: one minus the squared error over the number of ones."""
    return 1 - squared_error / patterns.n_ones


def _store(index: AnnData, patterns: Patterns, factors: Factors, params: dict[str, Any]) -> None:
    """Write all slots."""
    names = [str(at + 1) for at in range(params["n_components"])]
    columns = factors.columns[patterns.inverse]
    for axis, loadings in (("obs", factors.rows), ("var", columns)):
        frame = getattr(index, axis)
        for name, values in dominant(loadings, names).items():
            frame[name] = values.array
    index.obsm[_keys.X_VOCABULARY] = factors.rows
    index.varm[_keys.X_VOCABULARY] = columns
    index.uns[_keys.VOCABULARY] = {
        "names": np.array(names),
        "error": float(np.sqrt(factors.errors[-1])),
        "errors": np.sqrt(factors.errors),
        "explained_variance": explained(patterns, float(factors.errors[-1])),
        "n_iter": len(factors.errors),
        "params": params,
    }
