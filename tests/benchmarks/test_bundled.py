"""The training of the bundled weights, on made-up data: its kernels against the package's, its crops, a few updates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import scatacworks as sca
from scatacworks import models
from scatacworks._core.pileup import box_coverage
from scatacworks._core.prior import TILE_BP
from scatacworks.prior import Guidance

if not (Path(__file__).parents[2] / "benchmarks").is_dir():
    pytest.skip("the source distribution has no benchmarks", allow_module_level=True)

from benchmarks.bundled.data import BIN, EXTEND, HSC, ROOM, SHIFTS, Axis, Blood, binned, coverage, in_bins, paired
from benchmarks.bundled.guide import Contexts, GuideSettings, fit_guide
from benchmarks.bundled.network import NetworkSettings, fit
from benchmarks.bundled.prior import Rows, on_axis, stacked, touches, trust
from benchmarks.bundled.scoring import run
from benchmarks.bundled.targets import BloodTargets, MadeUp, Target
from benchmarks.bundled.versions import DrawSettings, Versions

CPU = torch.device("cpu")
SIZES = {"chr1": 60_000, "chr2": 40_960}
TABLE = ["chrom", "start", "end"]


# -- kernels -----------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_made_up_fragments_have_two_sites_at_about_the_distance_or_one(data):
    n = data.draw(st.integers(1, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    positions = np.sort(rng.integers(0, 2_000, n))
    lengths = rng.integers(30, 300, n) * rng.choice([-1, 1], n)
    fragment = paired(positions, lengths, rng.permutation(n))
    assert set(np.bincount(fragment)) <= {1, 2}
    for number in range(fragment.max() + 1):
        own = np.flatnonzero(fragment == number)
        if len(own) == 2:
            distance = positions[own[::-1]] - positions[own]  # seen from either
            assert (abs(distance - lengths[own]) < 40).any()


def test_a_made_up_fragment_takes_the_nearest_free_site():
    positions = np.array([100, 195, 203, 240, 5_000])
    lengths = np.array([100, -95, 0, -40, 50])  # 203 is the nearest to 200, and gone when 240 looks for it
    assert paired(positions, lengths, np.array([0, 1, 3, 2, 4])).tolist() == [0, 1, 0, 2, 3]


@given(st.lists(st.integers(0, 999), max_size=40), st.sampled_from([500, 1_000]))
def test_coverage_is_that_of_the_package(sites, n_bases):
    at, counts = np.unique(np.array([s for s in sites if s < n_bases], np.int64), return_counts=True)
    dense = torch.zeros(n_bases, dtype=torch.int64)
    dense[at] = torch.from_numpy(counts)
    np.testing.assert_array_equal(
        coverage(dense), box_coverage(at.astype(np.int32), counts.astype(np.uint16), 0, n_bases, EXTEND)
    )


@pytest.mark.parametrize("shift", SHIFTS)
def test_bins_begin_after_the_shift(shift):
    axis = Axis([("chr1", 0)], np.array([1_000]))
    positions = np.random.default_rng(0).integers(ROOM, ROOM + 1_000, 300)
    dense = np.bincount(positions, minlength=axis.size)
    counts = [dense[first : first + BIN].sum() for first in range(shift, axis.size, BIN)]
    assert binned(torch.from_numpy(positions), axis, shift).tolist() == counts
    assert in_bins(torch.from_numpy(dense), shift).tolist() == [n / BIN for n in counts]


def test_intervals_are_painted_where_they_lie_in_a_territory():
    axis = Axis([("chr1", 1_000), ("chr1", 5_000), ("chr2", 0)], np.array([300, 700, 128]))
    assert all((b - a) >= 2 * ROOM for a, b in zip(axis.starts, axis.starts[1:], strict=False))
    rows = [("chr1", 900, 1_010), ("chr1", 1_290, 5_010), ("chr2", 100, 999), ("chr2", 5, 7), ("chrX", 0, 9_999)]
    expected = np.zeros(axis.size, bool)
    for (chrom, first), length, start in zip(axis.names, axis.lengths, axis.starts, strict=True):
        for base in range(length):
            expected[start + base] = any(chrom == c and a <= first + base < b for c, a, b in rows)
    np.testing.assert_array_equal(axis.painted(pd.DataFrame(rows, columns=TABLE)), expected)
    assert axis.whole().sum() == 300 + 700 + 128


@given(st.lists(st.integers(0, 90), max_size=8, unique=True), st.integers(0, 5))
def test_intervals_touch_within_room(borders, room):
    b = np.sort(borders)[: len(borders) // 2 * 2].astype(int).reshape(-1, 2)
    covered = {base for start, end in b for base in range(start, end)}
    a = np.array([[40, 45], [3, 4]])
    expected = [any(base in covered for base in range(low - room, high + room)) for low, high in a]
    assert touches(a, b, room).tolist() == expected


# -- priors ------------------------------------------------------------------------------------------------------------


def some_elements(rng):
    """Elements of rows on chr1: common ones, and each row's own."""
    rows = {}
    for row in range(4):
        starts = np.sort(rng.choice(np.arange(500, 58_000, 900), 20, replace=False)) + rng.integers(0, 300, 20)
        rows[f"row{row}"] = np.column_stack([starts, starts + rng.integers(150, 500, 20)])
    return rows


def test_rows_are_weighed_as_by_the_package():
    rng = np.random.default_rng(1)
    elements, size = some_elements(rng), 468 * TILE_BP + 1
    everywhere = np.append(np.arange(0, size, 100), size - 1)  # so that nothing counts as unmeasured
    in_row = rng.choice(elements["row1"][:, 0], 3_000) + rng.integers(0, 200, 3_000)
    at, counts = np.unique(np.concatenate([everywhere, in_row]), return_counts=True)
    genome = sca.Genome({"chr1": size})
    sites = sca.Tracks.from_chromosomes(["a"], genome, [("chr1", [(at.astype(np.int32), None, counts)])])
    runs = [(r[:, 0].astype(np.int32), np.diff(r)[:, 0].astype(np.int32), np.ones(len(r))) for r in elements.values()]
    prior = sca.Prior(sca.Tracks.from_chromosomes(list(elements), genome, [("chr1", runs)]))
    use = np.array([True, True, False, True])
    truth = Guidance.make(prior, sites, use=use[None])

    axis = Axis([("chr1", 0)], np.array([size]))
    rows = Rows(axis, list(elements), {name: ROOM + spans for name, spans in elements.items()}, CPU)
    weights, explained = rows.match(torch.from_numpy(axis.sites(sites)), use)
    np.testing.assert_allclose(weights, truth.weights[0], rtol=1e-3)
    assert explained == pytest.approx(truth.explained[0], rel=1e-4)
    assert truth.weights[0].argmax() == 1
    assert trust(explained) == pytest.approx(truth.trust(0))

    bounds, channels = truth.channels(0, 0)
    for shift in range(len(SHIFTS)):
        found = stacked(
            rows.channels(weights, shift)[None],
            torch.tensor([float(use.sum())]),
            torch.tensor([explained]),
            torch.tensor([trust(explained)]),
        )[0, :, ROOM // BIN : (ROOM + size) // BIN - 1]
        bases = np.arange(found.shape[1]) * BIN + (BIN - 1) // 2 + SHIFTS[shift]
        expected = channels[np.searchsorted(bounds, bases, side="right") - 1].T
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)


# -- made-up samples and crops -----------------------------------------------------------------------------------------


def tracks(rng, peaks, n_peak, n_background):
    """Cut sites in peaks and elsewhere."""
    chromosomes = []
    for chrom, size in SIZES.items():
        own = peaks.loc[peaks["chrom"] == chrom, ["start", "end"]].to_numpy()
        at = [rng.integers(0, size, n_background), *(rng.integers(a, b, n_peak) for a, b in own)]
        at, counts = np.unique(np.concatenate(at).astype(np.int32), return_counts=True)
        chromosomes.append((chrom, [(at, None, counts.astype(np.uint16))]))
    return sca.Tracks.from_chromosomes(["HSC"], sca.Genome(SIZES), chromosomes)


@pytest.fixture(scope="module")
def hsc():
    rng = np.random.default_rng(0)
    starts = {chrom: np.arange(2_000, size - 2_000, 3_000) for chrom, size in SIZES.items()}
    peaks = pd.DataFrame([(chrom, a, a + 320) for chrom, at in starts.items() for a in at.tolist()], columns=TABLE)
    unknown = pd.DataFrame([("chr1", 30_000, 30_100)], columns=TABLE)
    axis = Axis([(chrom, 0) for chrom in SIZES], np.array(list(SIZES.values())))
    deep, shallow = tracks(rng, peaks, 200, 1_000), tracks(rng, peaks, 20, 100)
    train = {"chr1": [(0, 60_000)], "chr2": [(0, 20_000)]}
    return HSC(axis, deep, shallow, peaks=peaks, unknown=unknown, train=train, device=CPU)


@pytest.fixture(scope="module")
def blood():
    rng = np.random.default_rng(0)
    windows = pd.DataFrame([("chr1", 100_000, 120_000), ("chr2", 50_000, 70_000)], columns=TABLE)
    cells = [(f"{name}{i}", name) for name in ("B", "T", "rare") for i in range(5 if name == "rare" else 60)]
    own = {"B": 105_000, "T": 108_000, "rare": 111_000}
    rows = []
    for barcode, name in cells:
        for chrom, start, end in windows.itertuples(index=False):
            at = np.concatenate([rng.integers(start, end - 300, 4), own[name] + rng.integers(0, 400, 8)])
            rows += [(chrom, a, a + length, barcode) for a, length in zip(at, rng.integers(40, 300, 12), strict=True)]
    type_of = pd.Series(dict(cells))
    return Blood(pd.DataFrame(rows, columns=[*TABLE, "barcode"]), type_of, windows, CPU, held_out=False)


def test_blood_is_that_of_windows_and_types_that_are_wanted(blood):
    assert blood.types == ["B", "T"]
    assert blood.axis.names == [("chr1", 100_000)]  # chr2 is held out
    drawn = blood.split("B", 20, 0)
    rest = blood.split("B", 40, 0)
    assert int(drawn["counts"].sum()) < int(rest["counts"].sum())
    assert drawn["depth"] / drawn["exposure"] == pytest.approx(80e6 / 2)
    inside = blood.axis.starts[0] + 5_000 + np.array([100, 300])
    assert (drawn["target"][inside // BIN] > 10 * drawn["target"][inside // BIN + 500]).all()


def test_a_made_up_sample_is_open_where_the_other_one_is(hsc):
    peaks = on_axis(hsc.axis, hsc.peaks.assign(sample="x"), "sample")["x"]
    other = np.concatenate([peaks[::2], peaks[::2] + 1_500])
    other = other[np.argsort(other[:, 0])]
    made = MadeUp(hsc, {"same": peaks, "other": other}).make("other", np.random.default_rng(0))
    positions, label = np.sort(made.positions.numpy()), made.label[0].numpy() >= 0.5
    n_in = np.diff(np.searchsorted(positions, peaks))[:, 0]
    is_open = label[peaks.mean(1).astype(int) // BIN]
    assert (is_open == (np.arange(len(peaks)) % 2 == 0)).mean() > 0.7  # a tenth is turned round
    assert n_in[is_open].min() > 150
    assert n_in[~is_open].max() < 60
    new = (peaks[::2] + 1_500).mean(1).astype(int)
    new = new[hsc.trained[new]]
    assert 0.5 < label[new // BIN].mean() < 1
    np.testing.assert_array_equal(np.isin(label[new // BIN], True), made.target[0][new // BIN].numpy() > 60)
    assert set(np.bincount(made.fragments[0])) <= {1, 2}
    whole = hsc.axis.whole()
    assert whole[positions].all()


def test_crops_hold_counts_target_and_label_of_the_same_place(hsc, blood):
    settings = DrawSettings(core=8_192, real=0.0, blood=0.5, jitter=0.0, depth=(8e7, 8.1e7), kept=8)
    halo = 1_024
    batch = Versions(hsc, blood, settings, halo, seed=0).batch(64)
    edge = halo // BIN
    counts = batch["counts"][:, 0, edge:-edge]
    assert batch["target"].shape == batch["label"].shape == batch["mask"].shape == counts.shape
    of_hsc = batch["depth"] > 8e7  # all cut sites, so that the target is their coverage
    assert 16 < int(of_hsc.sum()) < 48
    for n, target, label in zip(counts[of_hsc], batch["target"][of_hsc], batch["label"][of_hsc], strict=True):
        near = np.convolve(n, np.ones(2 * EXTEND // BIN), mode="same")
        assert np.corrcoef(near, target)[0, 1] > 0.99
        assert float(target[label == 1].mean()) > 5 * float(target[label == 0].mean())


def test_contexts_hold_the_prior_of_the_same_place(hsc, blood):
    spans = on_axis(hsc.axis, hsc.peaks.assign(sample="x"), "sample")["x"]
    rows = Rows(hsc.axis, ["x", "none"], {"x": spans}, CPU)
    never, model = np.array([False, False]), small_network()
    target = Target(hsc.deep, rows, never, never, 1.0, hsc.real)
    settings = GuideSettings(core=8_192, kept=6, batch=24, blood=0.0, wrong=0.0, few=0.0)
    batch = Contexts([target], BloodTargets(blood, model), settings, model.halo, seed=0).batch()
    edge = model.halo // BIN
    is_open, label = batch["prior"][:, 2, edge:-edge], batch["label"]
    assert 0.05 < float(label.mean()) < 0.2
    assert float(((is_open > 0) == (label >= 0.5)).float().mean()) > 0.99
    np.testing.assert_allclose(batch["prior"][:, 3], np.log10(2) / 2, rtol=1e-6)
    settings.wrong = 1.0
    moved = Contexts([target], BloodTargets(blood, model), settings, model.halo, seed=0).batch()["prior"]
    assert float(moved[:, 4].mean()) < float(batch["prior"][:, 4].mean()) / 2  # explains less of the cut sites


def test_of_noisy_libraries_less_is_explained_and_the_same_peaks_are_to_be_found(hsc, blood):
    model = models.BinnedUNet()
    rows = Rows(hsc.axis, ["x"], {"x": on_axis(hsc.axis, hsc.peaks.assign(sample="x"), "sample")["x"]}, CPU)
    target = Target(hsc.deep, rows, np.zeros(1, bool), np.zeros(1, bool), 1.0, hsc.real)
    settings = GuideSettings(kept=12, wrong=0.0, few=0.0, real=0.0, depth=(2e7, 2e7))
    explained, background = [], []
    outside = hsc.deep.mask.bool() & (hsc.deep.label == 0).all(0)
    for settings.noisy in (0.0, 1.0):
        drawn = Contexts([target], BloodTargets(blood, model), settings, model.halo, seed=0).drawn
        assert all(any(torch.equal(c.label, own) for own in hsc.deep.label) for c in drawn)
        explained.append(np.mean([c.explained for c in drawn]))
        background.append(np.mean([float(c.target[outside].float().mean()) for c in drawn]))
    assert explained[1] < 0.9 * explained[0]
    noise = 80e6 / 3.1e9 * (2 * EXTEND + 1)  # coverage of a library that is noise alone
    assert (background[1] > background[0]) == (noise > background[0])


# -- training ----------------------------------------------------------------------------------------------------------


def small_network(seed=0, dilations=(1, 2)):
    torch.manual_seed(seed)
    return models.BinnedUNet(models.BinnedUNetConfig(channels=(8, 8, 8), dilations=dilations)).eval()


def test_updates_make_the_loss_smaller_and_leave_the_network_to_its_guide(hsc, blood, capsys):
    draw = DrawSettings(core=8_192, kept=8)
    settings = NetworkSettings(steps=40, batch=4, warmup=2, average=0.5, teacher=0.2, draw=draw)
    found = [fit(small_network(), hsc, blood, settings, seed=0, teachers=[small_network(1, (1, 2, 4))]) for _ in "ab"]
    for one, other in zip(found[0].parameters(), found[1].parameters(), strict=True):
        assert torch.equal(one, other)
    span = (int(hsc.axis.starts[1]) // BIN, (int(hsc.axis.starts[1]) + SIZES["chr2"]) // BIN)
    label = hsc.deep.label[0, slice(*span)]
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    before, after = (float(entropy(run(m, hsc.real[0], 5e6, span)[1], label)) for m in (small_network(), found[0]))
    assert after < 0.9 * before

    spans = on_axis(hsc.axis, hsc.peaks.assign(sample="x"), "sample")["x"]
    rows = Rows(hsc.axis, ["x", "y"], {"x": spans, "y": spans[::2]}, CPU)
    target = Target(hsc.deep, rows, np.array([False, False]), np.array([False, True]), 1.0, hsc.real)
    options = GuideSettings(steps=2, batch=2, core=8_192, kept=2, calibration=1)
    guided = fit_guide(found[0], [target], BloodTargets(blood, found[0]), options, seed=0)
    assert guided.has_guide
    own = dict(guided.named_parameters())
    for name, value in found[0].named_parameters():
        assert torch.equal(own[name], value)
    assert "2 updates in" in capsys.readouterr().out
