"""Rates and averages of a training."""

import pytest
import torch
from torch import nn

from scatacworks.models._updates import follow, rise, rise_and_fall


def test_the_rate_rises_and_falls_by_a_cosine():
    assert [rise(step, 4) for step in (0, 1, 3, 4, 100)] == [0.25, 0.5, 1, 1, 1]
    assert rise(0, 0) == 1
    rates = [rise_and_fall(step, 10, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[50] == pytest.approx(0.5)
    assert rates[75] == pytest.approx((1 - 0.5**0.5) / 2)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rise_and_fall(120, 10, 100) == pytest.approx(0, abs=1e-12)
    assert max(rates) == max(rates[9:11])


def test_the_average_equals_its_formula():
    average, current = nn.Linear(1, 1), nn.Linear(1, 1)
    torch.nn.init.constant_(average.weight, 0.0)
    expected = 0.0
    for n in range(1, 30):
        torch.nn.init.constant_(current.weight, float(n))
        follow(average, current, 0.7, n)
        past = min(0.7, (1 + n) / (10 + n))
        expected = past * expected + (1 - past) * n
        assert average.weight.item() == pytest.approx(expected, rel=1e-6)
        assert current.weight.item() == n
