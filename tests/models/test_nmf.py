"""The factorisation on a torch device against the one of the CPU kernels, from the same start."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scatacworks._core.nmf import Factors, factorize
from scatacworks._core.nndsvd import nndsvd
from scatacworks._core.patterns import Patterns, pack
from scatacworks.models._nmf import TorchDescent

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def patterns_of(matrix: sp.csr_matrix) -> Patterns:
    return pack(lambda: [(matrix.indptr, matrix.indices, matrix.data)], matrix.shape)


@pytest.fixture(scope="module")
def planted() -> Patterns:
    rng = np.random.default_rng(0)
    mean = rng.gamma(0.4, 1, (60, 6)) @ rng.gamma(0.3, 0.4, (6, 4000))
    return patterns_of(sp.csr_matrix((rng.random(mean.shape) < 1 - np.exp(-mean)).astype(np.uint8)))


def both(patterns: Patterns, device: str, k: int, *, chunk: int = 5000, kept: int | None = None, **options) -> tuple:
    """Factors of the CPU kernels and of torch from one start."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    start = nndsvd(patterns, k, rng=np.random.default_rng(0))
    solver = partial(TorchDescent, device=device, chunk=chunk, kept=kept)
    return factorize(patterns, *start, **options), factorize(patterns, *start, solver=solver, **options)


def agree(one: Factors, other: Factors, close: float) -> None:
    assert len(one.errors) == len(other.errors)
    np.testing.assert_allclose(other.errors, one.errors, rtol=close)
    assert other.columns.dtype == one.columns.dtype
    assert other.violation == pytest.approx(one.violation, rel=0.05)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_every_iteration_has_the_objective_of_the_kernels(planted, device, dtype, close):
    kernels, found = both(planted, device, 6, max_iter=30, tol=0, dtype=dtype)
    agree(kernels, found, close)
    np.testing.assert_allclose(found.rows, kernels.rows, atol=1e3 * close)
    np.testing.assert_allclose(found.columns, kernels.columns, atol=1e3 * close)


@pytest.mark.parametrize("device", DEVICES)
def test_the_stated_objective_is_that_of_the_product(planted, device):
    _, found = both(planted, device, 6, max_iter=10, tol=0)
    present = np.zeros((planted.n_rows, len(planted.count)))
    present[planted.rows, np.repeat(np.arange(len(planted.count)), np.diff(planted.indptr))] = 1
    residual = ((present - found.rows @ found.columns.T) ** 2 @ planted.count).sum()
    assert found.errors[-1] == pytest.approx(residual, rel=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_penalties_are_the_same(planted, device):
    options = {"l1": (1.5, 0.02), "l2": (2.0, 0.1), "dtype": np.float64, "max_iter": 20, "tol": 0}
    agree(*both(planted, device, 5, **options), 1e-10)


def test_chunks_kept_or_sent_anew_change_nothing(planted):
    _, kept = both(planted, "cpu", 4, max_iter=5, tol=0)
    _, sent = both(planted, "cpu", 4, max_iter=5, tol=0, kept=0)
    np.testing.assert_array_equal(kept.columns, sent.columns)
    _, whole = both(planted, "cpu", 4, max_iter=5, tol=0, chunk=10**9)
    np.testing.assert_allclose(whole.errors, kept.errors, rtol=1e-6)


def test_both_stop_at_the_same_iteration(planted):
    kernels, found = both(planted, "cpu", 6, max_iter=300, tol=1e-3)
    assert len(found.errors) == len(kernels.errors) < 300


def test_empty_rows_columns_and_components_stay_empty():
    matrix = np.zeros((6, 50), np.uint8)
    matrix[:2, :20], matrix[2:4, 20:40] = 1, 1
    kernels, found = both(patterns_of(sp.csr_matrix(matrix)), "cpu", 3, max_iter=10, tol=0)
    assert max(found.errors[-1], kernels.errors[-1]) < 1e-4
    np.testing.assert_allclose(found.columns, kernels.columns, atol=1e-5)
    assert not found.rows[4:].any()


@pytest.mark.parametrize("device", DEVICES)
def test_the_real_immune_matrix(shared_data, device):
    matrix = sp.load_npz(shared_data / "dhs_meuleman2020" / "immune38_binary_dhs.npz").T.tocsr()
    kernels, found = both(patterns_of(matrix), device, 8, chunk=2**18, max_iter=10, tol=0)
    agree(kernels, found, 1e-5)
