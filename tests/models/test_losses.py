"""What training makes small, against other packages' measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error

from scatacworks.models.losses import LOSSES, paper_loss, poisson_loss


@pytest.fixture
def given():
    """Signal, logit and a batch of three windows, of which some bins do not count."""
    rng = np.random.default_rng(0)
    batch = {
        "target": rng.poisson(3.0, (3, 40)),
        "label": rng.random((3, 40)) < 0.3,
        "mask": rng.random((3, 40)) < 0.8,
        "exposure": np.array([0.5, 1.0, 3.0]),
    }
    batch = {name: torch.tensor(values, dtype=torch.float64) for name, values in batch.items()}
    return torch.tensor(rng.gamma(2, 1.0, (3, 40))), torch.tensor(rng.standard_normal((3, 40))), batch


def counted(signal, logit, batch):
    """Expected counts, counts, probabilities and labels of the bins that count."""
    kept = batch["mask"].numpy() > 0
    mean = (signal * batch["exposure"][:, None]).numpy()[kept]
    return mean, batch["target"].numpy()[kept], torch.sigmoid(logit).numpy()[kept], batch["label"].numpy()[kept]


def test_the_default_is_the_deviance_of_counts_and_the_cross_entropy(given):
    mean, target, probability, label = counted(*given)
    loss, terms = poisson_loss(*given, signal_weight=0.3, peak_weight=2.0)
    assert float(terms["deviance"]) == pytest.approx(mean_poisson_deviance(target, mean + 1e-4))
    assert float(terms["bce"]) == pytest.approx(log_loss(label, probability))
    assert float(loss) == pytest.approx(0.3 * float(terms["deviance"]) + 2 * float(terms["bce"]))
    loss, _ = poisson_loss(*given)
    assert float(loss) == pytest.approx(0.02 * float(terms["deviance"]) + float(terms["bce"]))


def test_the_papers_is_that_of_its_formula(given):
    mean, target, probability, label = counted(*given)
    loss, terms = paper_loss(*given)
    assert float(terms["mse"]) == pytest.approx(mean_squared_error(target, mean))
    assert float(terms["pearson"]) == pytest.approx(1 - np.corrcoef(target, mean)[0, 1])
    assert float(terms["bce"]) == pytest.approx(log_loss(label, probability))
    assert float(loss) == pytest.approx(5e-4 * float(terms["mse"]) + float(terms["pearson"]) + float(terms["bce"]))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("height", [0.0, 0.5])
def test_a_signal_that_is_the_same_everywhere_can_be_learned_from(given, name, height):
    _, logit, batch = given
    batch["exposure"][:] = 1  # as in a batch without cut sites
    signal, logit = torch.full_like(logit, height).requires_grad_(), logit.clone().requires_grad_()
    loss, _ = LOSSES[name](signal, logit, batch)
    loss.backward()
    assert torch.isfinite(signal.grad).all()
    assert logit.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_bins_that_do_not_count_change_nothing_not_even_all(given, name):
    signal, logit, batch = given
    loss, _ = LOSSES[name](*given)
    out = batch["mask"] == 0
    changed = {
        **batch,
        "target": batch["target"] + 50 * out,
        "label": torch.where(out, 1 - batch["label"], batch["label"]),
    }
    again, _ = LOSSES[name](signal + 9 * out, logit - 5 * out, changed)
    torch.testing.assert_close(again, loss)
    loss, terms = LOSSES[name](signal, logit, {**batch, "mask": torch.zeros_like(batch["mask"])})
    assert torch.isfinite(loss)
    assert terms["bce"] == 0
