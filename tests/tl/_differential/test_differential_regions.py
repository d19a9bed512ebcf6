from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import scatacworks as sca
from scatacworks.tl._differential._store import get_background

GAINED, LOST, NEW = (10, 20, 50), (15, 25, 45), (107_800, 163_800)
SPACING, PEAK = 4_000, 400
REGIONS = [("chrA", 4_000, 130_000), ("chrA", 140_000, 230_000)]


def touches(table, start):
    return ((table["start"] < start + PEAK) & (table["end"] > start)).any()


def test_planted_regions_are_found_with_their_direction(adata):
    sca.tl.differential_regions(adata, "primed", progress=False)
    table = adata.uns["differential_regions"]
    called = table[table["significant"]]
    assert list(table.columns[:6]) == ["chrom", "start", "end", "summit", "direction", "top_z"]
    up, down = called[called["direction"] > 0], called[called["direction"] < 0]
    assert all(touches(up, 2_000 + i * SPACING) for i in GAINED)
    assert all(touches(up, start) for start in NEW)
    assert sum(touches(down, 2_000 + i * SPACING) for i in LOST) >= 2
    places = [*(2_000 + i * SPACING for i in GAINED + LOST), *NEW]
    false = [row for row in called.itertuples() if not any(abs(row.start - place) < 2_000 for place in places)]
    assert len(false) <= 1
    assert (up["log2fc"] > 0).all()
    assert ((table["start"] <= table["summit"]) & (table["summit"] < table["end"])).all()


@pytest.mark.slow
def test_groups_of_the_background_are_not_different_from_it(adata, model):
    groups = adata.obsm["background"].toarray()
    called = []
    for group in range(0, 24, 3):  # the tested group's cells are left out of the background, group by group
        data = adata.copy()
        data.obs["half"] = pd.Categorical(np.where(groups[:, group], "in", None), categories=["in"])
        disjoint = groups.copy()
        disjoint[groups[:, group]] = False
        data.obsm["background"] = sparse.csr_matrix(disjoint)
        with pytest.warns(UserWarning, match="have no value"):
            sca.pp.pseudobulk(data, "half", key_added="half", progress=False)
        sca.tl.denoise(data, key="half", model=model, regions=REGIONS[:1], progress=False)
        sca.tl.background(data, regions=REGIONS[:1], model=model, progress=False)
        sca.tl.differential_regions(data, "in", progress=False)
        called.append(int(data.uns["differential_regions"]["significant"].sum()))
    assert sum(called) <= 2


def reference_paper(signal, mean, sd, first, min_coverage):
    """The published steps, one base at a time."""
    found = []
    for sign in (1, -1):
        run: list[int] = []
        z = [
            0.0 if s == m else (s - m) / d if d > 0 else sign * np.inf * (s - m)
            for s, m, d in zip(signal, mean, sd, strict=True)
        ]
        bases = [i for i in range(len(z)) if sign * z[i] > 2]
        for i in [*bases, None]:
            if run and (i is None or i - run[-1] - 1 > 200):
                top = max(sign * z[j] for j in run) * sign
                inside = slice(run[0], run[-1] + 1)
                if max(np.mean(signal[inside]), np.mean(mean[inside])) >= min_coverage:
                    found.append((first + run[0], first + run[-1] + 1, sign, top, 2 * stats.norm.sf(abs(top))))
                run = []
            if i is not None:
                run.append(i)
    return found


def test_the_papers_method_equals_a_slow_obvious_reference(adata):
    sca.tl.differential_regions(adata, "primed", method="paper", progress=False)
    table = adata.uns["differential_regions"]
    background = get_background(adata, "background_moments")
    tracks = sca.get.tracks(adata, key="denoised")
    whole = np.concatenate([tracks.window("primed", *region) for region in REGIONS]).astype(float)
    whole *= background.total.mean() / whole.sum()
    level = background.total.mean() / len(whole)
    rows, at = [], 0
    for _, start, end in REGIONS:
        part = slice(at, at + end - start)
        rows += reference_paper(
            whole[part], np.asarray(background.mean[part], float), np.asarray(background.sd[part], float), start, level
        )
        at += end - start
    rows.sort(key=lambda row: row[0])
    expected = pd.DataFrame(rows, columns=["start", "end", "direction", "top_z", "p_value"])
    order = np.argsort(expected["p_value"], kind="stable")
    n = len(expected)
    adjusted = np.empty(n)
    lowest = 1.0
    for rank in range(n, 0, -1):
        i = order.iloc[rank - 1]
        lowest = min(lowest, expected["p_value"].iloc[i] * n / rank)
        adjusted[i] = lowest
    assert n > 20
    assert (
        table[["start", "end", "direction"]].to_numpy().tolist()
        == expected[["start", "end", "direction"]].to_numpy().tolist()
    )
    np.testing.assert_allclose(table["top_z"], expected["top_z"], rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], expected["p_value"], rtol=1e-6, atol=1e-300)
    np.testing.assert_allclose(table["q_value"], adjusted, rtol=1e-6, atol=1e-300)


def test_groups_with_tested_cells_are_left_out(adata, model):
    members = adata.obsm["background"].toarray()
    members[-1, :5] = True
    adata.obsm["background"] = sparse.csr_matrix(members)
    sca.tl.differential_regions(adata, "primed", progress=False)
    assert adata.uns["scatacworks"]["differential_regions"]["n_groups"] == 19
    members[-1] = True
    adata.obsm["background"] = sparse.csr_matrix(members)
    with pytest.raises(ValueError, match="Only 0 of 24 background groups hold no cell of 'primed'"):
        sca.tl.differential_regions(adata, "primed", progress=False)


def test_shared_cells_are_accounted_for(adata):
    sca.tl.differential_regions(adata, "primed", progress=False)
    notes = adata.uns["scatacworks"]["differential_regions"]
    assert 5 < notes["effective_number"] < 25
    assert notes["target_noise"] > 1.05


@pytest.mark.parametrize(("size", "way_out"), [(60, "smaller"), (15, "larger")])  # the tested group has 30 cells
def test_a_group_of_another_size_than_those_of_the_background_is_warned_of(adata, caplog, size, way_out):
    members = np.zeros((330, 24), bool)
    for group in range(24):
        members[np.random.default_rng(group).choice(300, size, replace=False), group] = True
    adata.obsm["background"] = sparse.csr_matrix(members)
    sca.tl.differential_regions(adata, "primed", progress=False)
    assert f"Make a background of {way_out} groups" in caplog.text


def test_the_background_is_made_when_only_its_groups_are_there(adata, model):
    del adata.uns["background_moments"]
    with pytest.raises(ValueError, match="name the regions to make it for"):
        sca.tl.differential_regions(adata, "primed", progress=False)
    sca.tl.differential_regions(adata, "primed", regions=REGIONS[:1], model=model, progress=False)
    assert "background_moments" in adata.uns
    assert adata.uns["differential_regions"]["end"].max() <= 130_000


def test_regions_limit_the_test(adata):
    sca.tl.differential_regions(adata, "primed", regions="chrA:40,000-80,000", progress=False)
    table = adata.uns["differential_regions"]
    assert ((table["end"] > 40_000) & (table["start"] < 80_000)).all()
    assert len(table) > 50
    adata.uns["here"] = pd.DataFrame({"chrom": ["chrA"], "start": [40_000], "end": [80_000]})
    sca.tl.differential_regions(adata, "primed", regions="here", progress=False)
    pd.testing.assert_frame_equal(adata.uns["differential_regions"], table)
    kept = {name: adata.uns[name] for name in ("differential_regions", "differential_regions_z")}
    for wrong, message in (("chrA:0-10", "regions= touches none of the"), ("chrZ:0-10", "is outside the genome")):
        with pytest.raises(ValueError, match=message):
            sca.tl.differential_regions(adata, "usual", regions=wrong, method="paper", progress=False)
    assert all(adata.uns[name] is slot for name, slot in kept.items())


@pytest.mark.parametrize("replicates", ["sample", 3])
def test_two_groups_are_compared_by_replicates(adata, model, replicates):
    sca.tl.differential_regions(
        adata, "primed", reference="usual", replicates=replicates, regions=REGIONS[:1], model=model, progress=False
    )
    table = adata.uns["differential_regions"]
    called = table[table["significant"]]
    assert all(touches(called[called["direction"] > 0], 2_000 + i * SPACING) for i in GAINED[:2])
    places = [*(2_000 + i * SPACING for i in GAINED + LOST), *NEW]
    false = [row for row in called.itertuples() if not any(abs(row.start - place) < 2_500 for place in places)]
    assert len(false) <= max(2, 0.2 * len(called))


def test_names_of_groups_and_samples_may_run_into_each_other(adata, model):
    adata.obs["kind"] = adata.obs["kind"].astype(object).replace({"primed": "T", "usual": "T cell"})
    number = adata.obs["sample"].astype(str).str.removeprefix("s")
    adata.obs["donor"] = number.where(adata.obs["kind"] == "T cell", "cell " + number)  # "T cell 1" of either
    options = {"replicates": "donor", "regions": REGIONS[:1], "model": model, "progress": False}
    sca.tl.differential_regions(adata, "T", reference="T cell", **options)
    assert adata.uns["differential_regions"]["significant"].any()


NO_TRACKS = "There are no denoised tracks in .uns['denoised']."
NO_BACKGROUND = "There is no background 'background' (there are: none)."
STEPS = (
    "sca.pp.pseudobulk(adata, groupby=...)",
    "sca.tl.denoise(adata, key_added='denoised')",
    "sca.pp.knn_groups(adata, key_added='background')",
    "sca.tl.background(adata, key='background')",
)


@pytest.mark.parametrize(
    ("gone", "told", "steps"),
    [
        (["pseudobulk", "denoised", "background_moments"], [NO_TRACKS, NO_BACKGROUND], STEPS),
        (["denoised"], [NO_TRACKS], STEPS[1:2]),
        (["background_moments"], [NO_BACKGROUND], STEPS[2:]),
    ],
)
def test_what_was_not_run_is_named_in_order(adata, gone, told, steps):
    """Also before the time is spent that making the background takes."""
    for slot in gone:
        del adata.uns[slot]
    if "background_moments" in gone:
        del adata.obsm["background"]
    with pytest.raises(KeyError) as error:
        sca.tl.differential_regions(adata, "primed", regions=REGIONS, progress=False)
    assert error.value.args[0] == f"{' '.join(told)} Run first, in this order: {'; '.join(steps)}."


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"method": "best"}, ValueError, "method='best' is unknown"),
        ({"fdr": 2}, ValueError, "fdr is 2"),
        ({"method": "paper", "z_threshold": 0}, ValueError, "z_threshold is 0"),
        ({"method": "paper", "max_gap": -1}, ValueError, "max_gap is -1"),
        ({"min_coverage": np.nan}, ValueError, "min_coverage is nan; expected a mean signal of 0 or more"),
        ({"min_coverage": "1"}, TypeError, "min_coverage is '1'"),
        ({"background": "nothing"}, KeyError, "there are: 'background_moments'"),
        ({"reference": "primed"}, ValueError, "cells are in both"),
        ({"reference": "usual", "method": "paper"}, ValueError, "method='paper' compares with a background"),
        ({"reference": "usual", "replicates": 1}, ValueError, "replicates is 1"),
        ({"reference": "usual", "replicates": "kind"}, ValueError, "at least 2 are needed"),
        ({"reference": "usual", "replicates": 31}, ValueError, "30 cells cannot be divided into 31"),
    ],
)
def test_bad_arguments_are_explained(adata, model, change, error, message):
    with pytest.raises(error, match=message):
        sca.tl.differential_regions(adata, "primed", **{"model": model, "progress": False} | change)


def test_without_a_pseudobulk_replicates_have_no_groups(adata, model):
    del adata.uns["pseudobulk"]
    with pytest.raises(KeyError, match=r"no groups under 'pseudobulk': .* \(pp\.pseudobulk writes them\)"):
        sca.tl.differential_regions(adata, "primed", reference="usual", model=model, progress=False)


def test_replicates_without_cut_sites_in_the_regions_are_named(adata, model):
    elsewhere = [("chrB", 100, 50_000)]  # no fragment lies on it
    with pytest.raises(ValueError, match="6 of 6 replicates have no cut site in the regions: .*Give more regions"):
        sca.tl.differential_regions(
            adata, "primed", reference="usual", replicates=3, regions=elsewhere, model=model, progress=False
        )


def test_a_sample_without_cut_sites_in_the_regions_can_be_left_out(adata, model):
    adata.obs_names = [*adata.obs_names[:-1], "not in the file"]
    adata.obs["donor"] = adata.obs["sample"].astype(object)
    adata.obs.iloc[-1, adata.obs.columns.get_loc("donor")] = "s4"
    options = {"reference": "usual", "replicates": "donor", "regions": REGIONS[:1], "model": model, "progress": False}
    message = r"1 of 7 replicates .*: 's4' of 'primed'\. .*, by a missing value in \.obs\['donor'\] for cells"
    with pytest.raises(ValueError, match=message):
        sca.tl.differential_regions(adata, "primed", **options)
    adata.obs["donor"] = adata.obs["donor"].where(adata.obs["donor"] != "s4")
    with pytest.warns(UserWarning, match="1 of 330 cells have no value"):
        sca.tl.differential_regions(adata, "primed", **options)
    assert adata.uns["scatacworks"]["differential_regions"]["n_replicates"] == 3


def test_replicates_may_be_a_column_of_another_modality(adata, model):
    mudata = pytest.importorskip("mudata")
    rna = adata[::-1, :0].copy()
    rna.obs = rna.obs[["sample"]].rename(columns={"sample": "donor"})
    both = mudata.MuData({"atac": adata.copy(), "rna": rna})
    options = {"reference": "usual", "regions": REGIONS[:1], "model": model, "progress": False}
    sca.tl.differential_regions(adata, "primed", replicates="sample", **options)
    sca.tl.differential_regions(both, "primed", replicates="rna:donor", **options)
    pd.testing.assert_frame_equal(both["atac"].uns["differential_regions"], adata.uns["differential_regions"])


def test_the_rest_of_the_cells_is_told_to_be_the_background(adata, model):
    with pytest.raises(ValueError, match=r"no group 'rest'.*leave out reference=: the background, tl\.background"):
        sca.tl.differential_regions(adata, "primed", reference="rest", model=model, progress=False)


@pytest.mark.parametrize("method", ["default", "paper"])
def test_a_group_of_all_cells_is_refused(adata, model, method):
    adata.obs["all"] = "everyone"
    sca.pp.pseudobulk(adata, "all", key_added="all", progress=False)
    sca.tl.denoise(adata, key="all", key_added="tracks", model=model, regions=REGIONS, progress=False)
    with pytest.raises(ValueError, match="holds all 330 cells; there are no others to compare it with"):
        sca.tl.differential_regions(adata, "everyone", key="tracks", method=method, progress=False)


def test_an_unknown_group_is_named(adata):
    with pytest.raises(KeyError, match="no group 'absent'"):
        sca.tl.differential_regions(adata, "absent", progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_hash", "other"), ("precision", "bfloat16"), ("extension", 5), ("genome", "hg38"), ("excluded", "other")],
)
def test_tracks_made_otherwise_than_the_background_are_refused(adata, name, value):
    adata.uns["denoised"]["params"][name] = value
    with pytest.raises(ValueError, match="they cannot be compared"):
        sca.tl.differential_regions(adata, "primed", progress=False)


def test_tracks_with_and_a_background_without_a_blacklist_are_refused(adata, model):
    adata.uns["excluded_regions"] = pd.DataFrame({"chrom": ["chrA"], "start": [1_000], "end": [2_000]})
    sca.tl.background(adata, key="background", key_added="anew", model=model, regions=REGIONS, progress=False)
    with pytest.raises(ValueError, match="made with the excluded regions 'none', the background with"):
        sca.tl.differential_regions(adata, "primed", background="anew", progress=False)


def test_tracks_that_do_not_cover_the_regions_are_refused(adata, model):
    sca.tl.denoise(adata, model=model, regions=REGIONS[:1], progress=False)
    with pytest.raises(ValueError, match="lacks bases of chrA:140000-230000"):
        sca.tl.differential_regions(adata, "primed", progress=False)


def test_z_and_regions_can_be_exported(adata, tmp_path):
    sca.tl.differential_regions(adata, "primed", progress=False)
    background = get_background(adata, "background_moments")
    z = sca.get.track(adata, "primed", "chrA:20,000-60,000", key="differential_regions_z")
    signal = sca.get.track(adata, "primed", "chrA:20,000-60,000", key="denoised").astype(float)
    tracks = sca.get.tracks(adata, key="denoised")
    whole = sum(tracks.window("primed", *region).sum(dtype=float) for region in REGIONS)
    part = slice(16_000, 56_000)
    expected = (signal * background.total.mean() / whole - background.mean[part]) / background.sd[part]
    shown = np.abs(expected) > 1.2
    np.testing.assert_allclose(z[shown], np.clip(expected[shown], -100, 100), atol=0.13)
    assert (z[np.abs(expected) < 0.8] == 0).all()
    files = sca.io.write_bigwig(adata, tmp_path / "z.bw", key="differential_regions_z", progress=False)
    assert files["primed"].stat().st_size > 0
    table = adata.uns["differential_regions"].query("significant")
    written = sca.io.write_peaks(table, tmp_path / "regions.bed")
    back = sca.io.read_peaks(written["peaks"])
    for name in ("start", "end", "summit", "direction", "z", "p_value", "q_value", "significant"):
        assert back[name].tolist() == table[name].tolist()


def test_copy_leaves_the_input_alone(adata):
    changed = sca.tl.differential_regions(adata, "primed", progress=False, copy=True)
    assert "differential_regions" in changed.uns
    assert "differential_regions" not in adata.uns
