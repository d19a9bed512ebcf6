from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.text import Text

import scatacworks as sca


@pytest.fixture
def adata() -> AnnData:
    """A result with a background of 4 kb, made by hand."""
    genome = sca.Genome({"chr1": 10_000}, name="toy")
    out = AnnData(obs=pd.DataFrame(index=["c1", "c2"]))
    runs = (np.array([1_000, 2_000, 2_500], np.int32), np.array([1_000, 500, 2_500], np.int32), np.float32([1, 9, 1]))
    tracks = sca.Tracks.from_chromosomes(["rare"], genome, [("chr1", [runs])])
    params = {"model_hash": "h", "extension": 100, "genome": "toy"}
    out.uns["denoised"] = {"signal": tracks.to_dict(), "probability": tracks.to_dict(), "params": params}
    out.uns["background_moments"] = {
        "regions": pd.DataFrame({"chrom": ["chr1"], "start": [1_000], "end": [5_000]}),
        "universe": pd.DataFrame({"chrom": ["chr1"], "start": [2_000], "end": [2_500], "family": ["peak"]}),
        "mean": np.full(4_000, 2, np.float32),
        "sd": np.full(4_000, 0.5, np.float32),
        "signal": np.full((3, 1), 2, np.float32),
        "groups": np.array(["a", "b", "c"], dtype=object),
        "total": np.full(3, 8_000.0),
        "genome": "toy",
        "chroms": np.array(["chr1"], dtype=object),
        "chrom_lengths": np.array([10_000]),
        "params": params | {"groupby": ""},
    }
    columns = {"chrom": "chr1", "start": [2_000, 3_000, 4_000], "end": [2_500, 3_500, 4_500], "direction": [1, -1, 1]}
    columns |= {
        "p_value": [1e-9, 1e-4, 0.5],
        "q_value": [1e-7, 1e-3, 1.0],
        "log2fc": [2.0, -1.0, 0.1],
        "significant": [True, True, False],
    }
    out.uns["differential_regions"] = pd.DataFrame(columns | {"family": ["peak", "tile", "tile"]})
    out.uns["scatacworks"] = {"differential_regions": {"group": "rare", "background": "background"}}
    return out


def test_the_group_is_drawn_over_the_background_with_z_below(adata):
    figure = sca.pl.differential_regions(adata, show=False)
    signal, z, called = figure.axes
    assert signal.get_xlim() == (1_000, 4_500)  # the best region with a flank, cut at the background
    values = signal.lines[1].get_ydata()
    assert values.max() == pytest.approx(9.0 * 8_000 / 8_000)  # both total 8,000
    assert signal.lines[0].get_ydata().tolist() == [2.0] * len(values)
    assert z.lines[0].get_ydata().max() == 10.0  # (9 - 2) / 0.5, cut
    assert len(called.collections) == 2
    assert figure.axes[-1].get_xlabel() == "position on chr1 (bp)"
    plt.close(figure)


def test_a_region_can_be_named(adata):
    figure = sca.pl.differential_regions(adata, "chr1:1,500-2,600", show=False)
    assert figure.axes[0].get_xlim() == (1_500, 2_600)
    plt.close(figure)


def test_labels_are_told_apart_stay_on_the_page_and_leave_the_data_free(adata):
    figure = sca.pl.differential_regions(adata, "chr1:1,500-1,700", figsize=(3.35, 3), show=False)
    figure.canvas.draw()
    signal, last = figure.axes[0], figure.axes[-1]
    labels = [label.get_text() for label in last.get_xticklabels()]
    assert 1 < len(labels) == len(set(labels))
    assert [text.get_text() for text in signal.get_legend().texts] == ["rare", "background", "± 2 sd"]
    title = signal._left_title.get_window_extent()
    assert signal.bbox.y1 <= signal.get_legend().get_window_extent().y0
    assert signal.get_legend().get_window_extent().y1 <= title.y0
    boxes = [*(ax.yaxis.label.get_window_extent() for ax in figure.axes), title]
    boxes += [label.get_window_extent() for label in last.get_xticklabels()]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    plt.close(figure)


def test_the_best_region_is_one_that_is_called(adata):
    table = adata.uns["differential_regions"]
    table["p_value"] = [1e-4, 1e-2, 1e-5]
    table["q_value"] = [0.01, 1.0, 0.2]  # the tile's p-value is the smallest, and not enough
    figure = sca.pl.differential_regions(adata, show=False)
    assert figure.axes[0].get_xlim() == (1_000, 4_500)  # around the first, not the last
    plt.close(figure)


def test_genes_may_spell_chromosomes_in_other_ways(adata):
    genes = pd.DataFrame({"chrom": ["1", "2"], "start": 1_500, "end": 2_600, "name": ["HERE", "THERE"], "strand": "+"})
    adata.uns["reference_genes"] = genes
    figure = sca.pl.differential_regions(adata, "chr1:1000-4500", show=False)
    assert [text.get_text() for text in figure.axes[-1].texts] == ["HERE"]


def test_a_region_outside_the_background_is_refused(adata):
    with pytest.raises(ValueError, match="not within one region of the background; name a part of chr1:1,?000-"):
        sca.pl.differential_regions(adata, "chr1:100-2,600", show=False)
    with pytest.raises(ValueError, match="none of its 1 regions is near"):
        sca.pl.differential_regions(adata, "chr1:100-200", show=False)


@pytest.mark.parametrize("plot", [sca.pl.differential_regions, sca.pl.volcano])
def test_a_missing_result_is_explained(adata, plot):
    del adata.uns["differential_regions"]
    with pytest.raises(KeyError, match=r"run sca\.tl\.differential_regions\(.*\) first"):
        plot(adata, show=False)


def test_a_comparison_of_two_groups_has_no_background_to_draw(adata):
    adata.uns["scatacworks"]["differential_regions"] = {"group": "A", "reference": "B"}
    with pytest.raises(ValueError, match="compares 'A' with 'B', without a background to draw; .*pl.volcano"):
        sca.pl.differential_regions(adata, show=False)


def test_a_volcano_has_three_kinds_of_points_and_names(adata):
    (ax,) = sca.pl.volcano(adata, show=False).axes
    assert [len(points.get_offsets()) for points in ax.collections] == [1, 1, 1]
    assert ax.collections[1].get_offsets().tolist() == [[2.0, 9.0]]
    assert [text.get_text() for text in ax.texts] == ["chr1:2,000", "chr1:3,000"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["gained (1)", "lost (1)"]
    plt.close(ax.figure)


def test_a_volcano_of_another_table_is_refused(adata):
    adata.uns["peaks"] = pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [2]})
    with pytest.raises(KeyError, match="no result of .*differential_regions.*: it lacks 'p_value', 'log2fc'"):
        sca.pl.volcano(adata, key="peaks", show=False)


def test_a_volcano_of_one_family(adata):
    figure, ax = plt.subplots()
    assert sca.pl.volcano(adata, family="tile", ax=ax) is ax.figure
    assert sum(len(points.get_offsets()) for points in ax.collections) == 2
    with pytest.raises(KeyError, match="no regions of family 'given'; there are 'peak', 'tile'"):
        sca.pl.volcano(adata, family="given", ax=ax)
    plt.close(figure)


def test_the_slots_of_result_and_tracks_can_be_named(adata):
    other = adata.copy()
    other.uns["mine"], other.uns["tracks"] = other.uns.pop("differential_regions"), other.uns.pop("denoised")
    other.uns["scatacworks"] = {**other.uns["scatacworks"], "mine": other.uns["scatacworks"]["differential_regions"]}
    names = {"key": "mine", "denoised_key": "tracks"}
    for drawn, expected in [(sca.pl.differential_regions, names), (sca.pl.volcano, {"key": "mine"})]:
        kept, moved = drawn(adata, return_fig=True), drawn(other, return_fig=True, **expected)
        for left, right in zip(kept.axes, moved.axes, strict=True):
            for one, two in zip(left.lines, right.lines, strict=True):
                np.testing.assert_array_equal(one.get_xydata(), two.get_xydata())
        with pytest.raises(KeyError):
            drawn(other)


def test_names_of_a_volcano_do_not_overlap(adata):
    table = adata.uns["differential_regions"]
    near = pd.concat([table.iloc[:1]] * 8, ignore_index=True).assign(
        gene=[f"GENE{i}" for i in range(8)], significant=True
    )
    adata.uns["near"] = near.assign(p_value=1e-9)
    (ax,) = sca.pl.volcano(adata, key="near", show=False).axes
    ax.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without its line
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    plt.close(ax.figure)


def test_a_volcano_asks_for_axes(adata):
    with pytest.raises(TypeError, match="expected one matplotlib Axes"):
        sca.pl.volcano(adata, ax=5)
