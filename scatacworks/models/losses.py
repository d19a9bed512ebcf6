"""What training makes small."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor, dict[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]
"""Signal, logit and batch -> the loss, and its terms by name; see :func:`poisson_loss`."""


def poisson_loss(
    signal: Tensor, logit: Tensor, batch: dict[str, Tensor], *, signal_weight: float = 0.02, peak_weight: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Poisson deviance of the coverage plus cross-entropy of the peaks.

    The coverage of a deep track is a count: its variance grows with its mean, and the deviance weighs high and low
    places accordingly where a squared error would see nothing but the highest peaks.

    Parameters
    ----------
    signal, logit
        Output on the core, (`n_windows`, `n_bins`).
    batch
        ``target``, ``label``, ``mask`` (`n_windows`, `n_bins`) and ``exposure`` (`n_windows`,), see
        :class:`~scatacworks.models.data.Drawer`.
    signal_weight, peak_weight
        Weights of the terms.

    Returns
    -------
    The loss, and its terms by name.
    """
    rate = signal * batch["exposure"][:, None] + 1e-4
    target = batch["target"]
    # y log y with a floor: its gradient at zero would be NaN otherwise
    deviance = 2 * (target * (target.clamp(min=1e-6).log() - rate.log()) - target + rate)
    terms = {
        "deviance": _masked_mean(deviance, batch["mask"]),
        "bce": _cross_entropy(logit, batch),
    }
    return signal_weight * terms["deviance"] + peak_weight * terms["bce"], terms


def paper_loss(
    signal: Tensor, logit: Tensor, batch: dict[str, Tensor], *, mse_weight: float = 5e-4
) -> tuple[Tensor, dict[str, Tensor]]:
    """The paper's loss: 0.0005 MSE + (1 - Pearson) + cross-entropy :cite:p:`Lal2021`.

    One correlation is taken over the whole batch.

    Parameters
    ----------
    signal, logit
        Output on the core, (`n_windows`, `n_bins`).
    batch
        As for :func:`poisson_loss`.
    mse_weight
        Weight of the squared error.

    Returns
    -------
    The loss, and its terms by name.
    """
    x, y, mask = signal * batch["exposure"][:, None], batch["target"], batch["mask"]
    dx, dy = ((values - _masked_mean(values, mask)) * mask for values in (x, y))
    # of a signal that is the same everywhere, as without cut sites, the root's gradient would be NaN
    length_x, length_y = (d.square().sum().clamp(min=1e-12).sqrt() for d in (dx, dy))
    pearson = (dx * dy).sum() / (length_x * length_y + 1e-7)
    terms = {
        "mse": _masked_mean((x - y).square(), mask),
        "pearson": 1 - pearson,
        "bce": _cross_entropy(logit, batch),
    }
    return mse_weight * terms["mse"] + terms["pearson"] + terms["bce"], terms


def _cross_entropy(logit: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Mean cross-entropy of the labels."""
    return _masked_mean(F.binary_cross_entropy_with_logits(logit, batch["label"], reduction="none"), batch["mask"])


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the bins that count."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


LOSSES: dict[str, Loss] = {"poisson": poisson_loss, "paper": paper_loss}

__all__ = ["LOSSES", "Loss", "paper_loss", "poisson_loss"]
