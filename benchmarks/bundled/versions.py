"""Crops to train the network on, cut from a pool of shallow versions that is renewed a few at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.bundled.data import BIN, HSC_SHALLOW, SHIFTS, STRIDE
from benchmarks.bundled.draws import centers_of, flipped, log_uniform

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.bundled.data import HSC, Blood


@dataclass
class DrawSettings:
    """How versions and crops are drawn.

    Attributes
    ----------
    core
        bp of a crop without its context.
    depth
        Range of depths, drawn log-uniformly.
    real
        Share of versions that are the real shallow sample.
    pairs
        Share of the other versions that are thinned in pairs.
    blood
        Share of crops that are of blood cells.
    jitter, blood_jitter
        Standard deviation of the logarithm of the factor by which depths are misstated, in half of the crops.
    kept
        Versions in the pool; a quarter as many of blood cells.
    renewed
        Versions renewed per batch; every other batch one of blood cells.
    """

    core: int = 65_536
    depth: tuple[float, float] = (3e4, 4e7)
    real: float = 0.3
    pairs: float = 0.25
    blood: float = 0.125
    jitter: float = 0.1
    blood_jitter: float = 0.3
    kept: int = 256
    renewed: int = 2


class Versions:
    """A pool of shallow versions from which crops are cut.

    Parameters
    ----------
    hsc, blood
        What versions are made of.
    settings
        How they are drawn.
    halo
        bp of context on either side of a crop.
    seed
        Seed of all draws but those of cut sites, which are from torch's global state.
    """

    def __init__(self, hsc: HSC, blood: Blood, settings: DrawSettings, halo: int, seed: int) -> None:
        self.hsc, self.blood, self.settings, self.halo = hsc, blood, settings, halo
        self.device, self.rng = hsc.device, np.random.default_rng(seed)
        n, n_blood = settings.kept, max(settings.kept // 4, 1)
        self.counts = torch.zeros((n, hsc.axis.n_bins), dtype=torch.int16, device=self.device)
        self.shift, self.depth = np.zeros(n, np.int64), np.zeros(n)
        self.blood_pool = {
            key: torch.zeros((n_blood, blood.axis.n_bins), dtype=dtype, device=self.device)
            for key, dtype in (("counts", torch.int16), ("target", torch.float16), ("label", torch.float16))
        }
        self.blood_scalars = np.zeros((n_blood, 2))  # depth, exposure
        for i in range(n):
            self._renew(i)
        for i in range(n_blood):
            self._renew_blood(i)
        self.centers, self.blood_centers = centers_of(hsc.deep.mask), centers_of(blood.mask)

    def _renew(self, i: int) -> None:
        """Draw a version of the HSC."""
        settings, rng = self.settings, self.rng
        shift = int(rng.integers(len(SHIFTS)))
        if rng.random() < settings.real:
            self.counts[i], self.depth[i] = self.hsc.real[shift], HSC_SHALLOW
        else:
            depth = log_uniform(rng, *settings.depth)
            self.counts[i] = self.hsc.deep.thinned(depth, SHIFTS[shift], pairs=rng.random() < settings.pairs)
            self.depth[i] = depth
        self.shift[i] = shift

    def _renew_blood(self, i: int) -> None:
        """Draw a type and some of its cells."""
        code, n, shift = self.blood.draw(self.rng)
        found = self.blood.split(self.blood.types[code], n, SHIFTS[shift])
        for key, pool in self.blood_pool.items():
            pool[i] = found[key].to(pool.dtype)
        self.blood_scalars[i] = found["depth"], found["exposure"]

    def batch(self, size: int) -> dict[str, Tensor]:
        """Cut a batch of crops.

        Returns
        -------
        ``counts`` (size, 1, n_bins with context), ``target``, ``label`` and ``mask`` (size, n_bins), ``depth`` and
        ``exposure`` (size,); all float32.
        """
        settings, rng = self.settings, self.rng
        for _ in range(settings.renewed):
            self._renew(int(rng.integers(len(self.counts))))
        if rng.random() < 0.5:
            self._renew_blood(int(rng.integers(len(self.blood_scalars))))
        n_blood = int(rng.binomial(size, settings.blood))
        parts = [self._crops(size - n_blood)]
        if n_blood:
            parts.append(self._blood_crops(n_blood))
        batch = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        return flipped(batch, ("counts", "target", "label", "mask"), rng)

    def _crops(self, n: int) -> dict[str, Tensor]:
        """Cut crops of the HSC."""
        drawn = self.rng.integers(len(self.counts), size=n)
        wide, core = self._index(self.centers, n)
        which = torch.from_numpy(drawn).to(self.device)[:, None]
        shift = torch.from_numpy(self.shift[drawn]).to(self.device)[:, None]
        deep = self.hsc.deep
        cut = {"target": deep.target[shift, core], "label": deep.label[shift, core], "mask": deep.mask[core]}
        scalars = self._misstated(self.depth[drawn], np.ones(n), self.settings.jitter)
        return {"counts": self.counts[which, wide][:, None].float(), **cut, **scalars}

    def _blood_crops(self, n: int) -> dict[str, Tensor]:
        """Cut crops of blood cells."""
        drawn = self.rng.integers(len(self.blood_scalars), size=n)
        wide, core = self._index(self.blood_centers, n)
        which = torch.from_numpy(drawn).to(self.device)[:, None]
        pool = self.blood_pool
        cut = {key: pool[key][which, core].float() for key in ("target", "label")}
        scalars = self._misstated(*self.blood_scalars[drawn].T, self.settings.blood_jitter)
        return {"counts": pool["counts"][which, wide][:, None].float(), **cut, "mask": self.blood.mask[core], **scalars}

    def _index(self, centers: np.ndarray, n: int) -> tuple[Tensor, Tensor]:
        """Bins of crops round drawn centres, with and without the context."""
        n_bins, edge, step = self.settings.core // BIN, self.halo // BIN, STRIDE // BIN
        center = centers[self.rng.integers(len(centers), size=n)]
        first = (center - n_bins // 2 - self.rng.integers(-n_bins // 3, n_bins // 3, size=n)) // step * step
        first = torch.from_numpy(first).to(self.device)[:, None]
        wide = first - edge + torch.arange(n_bins + 2 * edge, device=self.device)
        return wide, first + torch.arange(n_bins, device=self.device)

    def _misstated(self, depth: np.ndarray, exposure: np.ndarray, jitter: float) -> dict[str, Tensor]:
        """Depth and exposure; with the depth overstated, the same input stands for a signal lower by that factor."""
        n = len(depth)
        factor = np.where(self.rng.random(n) < 0.5, np.exp(self.rng.normal(0, jitter, n)), 1.0)
        return {
            key: torch.from_numpy((values * factor).astype(np.float32)).to(self.device)
            for key, values in (("depth", depth), ("exposure", exposure))
        }
