from __future__ import annotations

import sys
from itertools import pairwise

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

import scatacworks as sca
from scatacworks.genome import Region
from scatacworks.pl._browser import MAX_POINTS, bin_edges, draw_strip, gene_lines

GROUPS = ["A", "B", "C"]


@pytest.fixture
def adata():
    """Toy cells with a hand-made denoised track: A twice as high as B, nothing in C."""
    adata = sca.datasets.toy(n_cells=30)
    sca.pp.pseudobulk(adata, "group", progress=False)
    genome = sca.get.tracks(adata).genome
    none = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))

    def runs(height):
        return np.array([1_000], np.int32), np.array([500], np.int32), np.array([height], np.float32)

    signal, probability = (
        sca.Tracks.from_chromosomes(GROUPS, genome, [("chr1", [runs(a), runs(b), none])])
        for a, b in ((40, 20), (0.9, 0.4))
    )
    params = {"groups": np.array(GROUPS, object), "depth": np.array([4e6, 2e6, 1e6]), "target_depth": np.full(3, 8e6)}
    adata.uns["denoised"] = {"signal": signal.to_dict(), "probability": probability.to_dict(), "params": params}
    columns = {"group": pd.Categorical(["A"], categories=GROUPS), "chrom": ["chr1"], "start": [1_000], "end": [1_500]}
    adata.uns["peaks"] = pd.DataFrame(columns | {"summit": [1_250], "mean": [40.0], "max": [40.0]})
    return adata


def heights(ax):
    return max(path.vertices[:, 1].max() for path in ax.collections[0].get_paths())


def test_every_group_has_a_line_per_layer(adata):
    figure = sca.pl.tracks(adata, "chr1:500-2500", show=False)
    assert len(figure.axes) == 3 * 4
    named = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert [name for name in named if name in GROUPS] == GROUPS


def test_raw_coverage_is_brought_to_the_depth_of_the_denoised_signal(adata):
    figure = sca.pl.tracks(adata, "chr1:500-2500", groups=["B"], layers=["raw", "denoised"], show=False)
    raw = sca.get.track(adata, "B", "chr1:500-2500", extend=100)
    assert heights(figure.axes[0]) == pytest.approx(4 * raw.max())
    assert heights(figure.axes[1]) == 20


@pytest.mark.parametrize("names", [["CD14", "CD4", "NK"], [2, 10, 33]])
def test_groups_keep_their_colours_in_a_part_and_in_a_file(names):
    adata = sca.datasets.toy(n_cells=30)
    adata.obs["kind"] = [names[i % 3] for i in range(30)]
    sca.pp.pseudobulk(adata, "kind", progress=False)
    labels = list(map(str, names))

    def colors(data, groups=None):
        figure = sca.pl.tracks(data, "chr1:500-2500", groups=groups, layers=["raw"], genes=False, show=False)
        return {
            text.get_text(): text.get_color() for ax in figure.axes for text in ax.texts if text.get_text() in labels
        }

    whole = colors(adata[:])  # a view, to which no colours are written
    assert len(set(whole.values())) == 3
    assert colors(adata[:], labels[1:]) == {name: whole[name] for name in labels[1:]}
    adata.strings_to_categoricals()  # as when it is written
    assert colors(adata) == whole


@pytest.mark.parametrize(("column", "value", "group"), [("chrom", "1", "A"), ("group", 1, "1")])
def test_peaks_may_spell_chromosomes_and_groups_in_other_ways(adata, column, value, group):
    adata.uns["peaks"] = adata.uns["peaks"].assign(**{column: [value]})
    figure = sca.pl.tracks(adata, "chr1:500-2500", groups=[group], layers=["peaks"], genes=False, show=False)
    ends = [path.vertices[:, 0] for path in figure.axes[0].collections[0].get_paths()]
    assert [(end.min(), end.max()) for end in ends] == [(1_000, 1_500)]


def test_raw_coverage_without_denoised_tracks_is_per_million_nuclear_fragments(adata):
    del adata.uns["denoised"], adata.uns["peaks"]
    figure = sca.pl.tracks(adata, "chr1:500-9000", groups=["A"], show=False)
    raw = sca.get.track(adata, "A", "chr1:500-9000", extend=100)
    assert heights(figure.axes[0]) == pytest.approx(raw.max() * 1e6 / adata.uns["pseudobulk"]["n_fragments"][0])
    assert any("per million nuclear fragments" in text.get_text() for text in figure.axes[0].texts)


def test_mitochondria_do_not_lower_raw_coverage(adata):
    def raw_height(chroms):
        genome = sca.Genome(dict.fromkeys(chroms, 100_000))
        sites = [np.array([2_000], np.int32), None, np.array([10], np.uint16)]
        more = [np.array([50, 70], np.int32), None, np.array([40, 50], np.uint16)]
        tracks = sca.Tracks.from_chromosomes(["A"], genome, [(0, [sites]), (1, [more])])
        n_fragments = np.array([50])
        adata.uns = {"pseudobulk": {"cut_sites": tracks.to_dict(), "n_fragments": n_fragments, "params": {}}}
        return heights(sca.pl.tracks(adata, f"{chroms[0]}:1500-2500", genes=False, show=False).axes[0])

    assert raw_height(["chr1", "chr2"]) == pytest.approx(10 * 1e6 / 50)
    assert raw_height(["chr1", "chrM"]) == pytest.approx(10 * 1e6 / 5)


def test_groups_share_the_y_scale_unless_declined(adata):
    shared = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], show=False)
    assert {ax.get_ylim() for ax in shared.axes} == {(0, 40)}
    own = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], share_y=False, show=False)
    assert [ax.get_ylim()[1] for ax in own.axes] == [40, 20, 1]


def test_a_gene_is_shown_with_flanks_and_its_neighbours():
    adata = sca.datasets.pbmc_windows()
    sca.pp.pseudobulk(adata, "cell_type", groups=["NK"], progress=False)
    figure = sca.pl.tracks(adata, "MS4A1", show=False)
    body = sca.Genome("hg38").gene("MS4A1")
    left, right = figure.axes[0].get_xlim()
    assert left < body.start
    assert right > body.end
    assert "MS4A1" in [text.get_text() for text in figure.axes[-1].texts]
    exact = sca.pl.tracks(adata, "MS4A1", flank=0, show=False)
    assert exact.axes[0].get_xlim() == (body.start, body.end)


def test_exons_are_drawn_where_they_are_known(adata):
    rows = [("transcript", 800, 2_000), ("CDS", 800, 900), ("CDS", 1_500, 1_600)]
    genes = pd.DataFrame(
        [{"chrom": "chr1", "start": s, "end": e, "part": p, "name": "G1", "strand": "+"} for p, s, e in rows]
    )
    figure = sca.pl.tracks(adata, "chr1:500-2500", genes=genes, show=False)
    drawn = [collection for collection in figure.axes[-1].collections if isinstance(collection, PolyCollection)]
    bars = [path for collection in drawn for path in collection.get_paths()]
    assert len(bars) == 2


def test_a_view_stays_a_view(adata):
    view = adata[:20]
    sca.pl.tracks(view, "chr1:0-4,000", groupby="group", show=False)
    assert view.is_view
    assert "group_colors" not in view.uns


def test_colors_follow_scanpys_slot_and_are_written_when_absent(adata):
    sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], show=False)
    assert len(adata.uns["group_colors"]) == 3
    adata.uns["group_colors"] = ["#010203", "#ff0000", "#00ff00"]
    figure = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], groups=["A"], show=False)
    np.testing.assert_allclose(figure.axes[0].collections[0].get_facecolor()[0, :3], np.array([1, 2, 3]) / 255)


def texts_of(axes):
    """Texts but the labels of ticks, with their boxes."""
    axes[0].figure.canvas.draw()
    shown = [text for ax in axes for text in (ax.title, ax._left_title, ax.xaxis.label, *ax.texts) if text.get_text()]
    return {text.get_text(): text.get_window_extent() for text in shown}


@pytest.mark.parametrize("layout", ["none", "constrained", "tight"])
def test_the_figure_keeps_to_the_place_of_given_axes(adata, layout):
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.7, 3), layout=layout)
    left.plot([0, 1])
    assert sca.pl.tracks(adata, "chr1:500-2500", groups=["A", "B"], ax=right, return_fig=True) is figure
    texts = texts_of(right.child_axes)
    assert {"A", "raw", "chr1:500–2,500", "position on chr1 (bp)"} <= set(texts)
    place, neighbour = right.get_window_extent(), left.get_window_extent()
    assert place.width > 0.7 * neighbour.width
    for box in texts.values():
        assert place.x0 - 1 <= box.x0 < box.x1 <= place.x1 + 1
        assert place.y0 - 1 <= box.y0 < box.y1 <= place.y1 + 1
    lines = [line.get_window_extent() for line in right.child_axes]
    assert min(line.width for line in lines) > 0.2 * place.width
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(lines))


def test_axes_of_any_kind_can_be_given_if_they_are_large_enough(adata):
    figure = plt.figure()
    free, (half, _) = figure.add_axes((0.1, 0.1, 0.8, 0.8)), plt.figure().subfigures(1, 2)
    for ax in (free, half.subplots()):
        sca.pl.tracks(adata, "chr1:500-2500", ax=ax)
        assert len(ax.child_axes) == 3 * 4
    with pytest.raises(ValueError, match="0.64 x 0.48 inches are too small; tracks need at least"):
        sca.pl.tracks(adata, "chr1:500-2500", ax=figure.add_axes((0, 0, 0.1, 0.1)))


@pytest.mark.parametrize("shape", [(3, 1), (4, 1), (1, 3)])
def test_usual_subplots_are_large_enough(adata, shape):
    figure, axes = plt.subplots(*shape)
    sca.pl.tracks(adata, "chr1:500-2500", groups=["A"], ax=axes[1])
    figure.canvas.draw()
    place = axes[1].get_window_extent()
    lines = [line.get_window_extent() for line in axes[1].child_axes]
    assert sum(line.height for line in lines) > 0.25 * place.height
    assert min(line.width for line in lines) > 0.15 * place.width


@pytest.mark.parametrize("width", [3.35, 7.2])  # a column of a journal, and two
def test_long_names_and_titles_stay_on_the_page(adata, width):
    name = "regulatory T cells, effector memory, " * 2 + "x" * 30
    adata.obs["long"] = np.where(adata.obs["group"] == "A", name, "B")
    sca.pp.pseudobulk(adata, "long", key_added="long", progress=False)
    figure = sca.pl.tracks(
        adata, "chr1:500-2500", layers="raw", pseudobulk_key="long", title="t" * 30, figsize=(width, 3), show=False
    )
    texts = texts_of(figure.axes)
    assert any("regulatory" in text for text in texts)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in texts.values())


def test_a_layout_of_the_settings_does_not_move_the_lines(adata):
    usual = sca.pl.tracks(adata, "chr1:500-2500", show=False)
    with plt.rc_context({"figure.constrained_layout.use": True}):
        other = sca.pl.tracks(adata, "chr1:500-2500", show=False)
    for figure in (usual, other):
        figure.canvas.draw()
    places = [[ax.get_position().bounds for ax in figure.axes] for figure in (usual, other)]
    np.testing.assert_allclose(*places)


def test_labels_of_positions_do_not_overlap_in_a_narrow_figure(adata):
    figure = sca.pl.tracks(adata, "chr1:1500-2500", groups=["A"], layers="raw", figsize=(2.4, 2), show=False)
    figure.canvas.draw()
    axis = figure.axes[-1].xaxis
    boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
    assert len(boxes) > 1
    assert all(first.x1 < second.x0 for first, second in pairwise(boxes))


def test_highlighted_regions_are_shaded_on_all_lines(adata):
    figure = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], highlight=("chr1", 700, "800"), show=False)
    assert all(any(patch.get_width() == 100 for patch in ax.patches) for ax in figure.axes)


@pytest.mark.parametrize("layer", ["raw", "denoised"])
def test_wide_regions_show_the_maximum_of_bins(adata, layer):
    region = Region("chr1", 5, 10_006)
    edges = bin_edges(region)
    assert len(edges) <= MAX_POINTS + 1
    assert (edges[0], edges[-1]) == (5, 10_006)
    key, factor = {"raw": ("pseudobulk", 2.0), "denoised": ("denoised", 1.0)}[layer]
    values = factor * sca.get.track(adata, "A", region, key=key)
    figure = sca.pl.tracks(adata, region, groups=["A"], layers=[layer], genes=False, show=False)
    drawn = figure.axes[0].collections[0].get_paths()[0]
    middles, highest = (edges[:-1] + edges[1:]) / 2, np.maximum.reduceat(values, edges[:-1] - 5)
    for share, filled in ((0.99, highest > 0), (1.01, np.zeros(len(highest), bool))):
        np.testing.assert_array_equal(drawn.contains_points(np.column_stack([middles, share * highest + 1e-9])), filled)
    assert np.ptp(values) > 0
    assert drawn.vertices[:, 1].max() == values.max()


def test_lines_have_points_only_where_they_change(adata):
    figure = sca.pl.tracks(adata, "chr1:500-2500", groups=["A"], layers=["denoised"], genes=False, show=False)
    (drawn,) = figure.axes[0].collections[0].get_paths()
    assert np.unique(drawn.vertices, axis=0).tolist() == [
        [500, 0], [1_000, 0], [1_000, 40], [1_500, 0], [1_500, 40], [2_500, 0],
    ]  # fmt: skip


def test_a_peak_of_one_bin_is_seen_in_the_strip_of_a_chromosome():
    """Narrow peaks along 4,000 bins, each of which must leave its colour in the picture."""
    places = np.arange(20, 4_000, 97)
    values = np.zeros(4_000, np.float32)
    values[places] = 1
    figure, ax = plt.subplots(figsize=(6, 0.4), dpi=100)
    ax.set_position((0, 0, 1, 1))
    ax.axis("off")
    draw_strip(ax, np.arange(4_001) * 500, values, "#ff0000")
    ax.set_xlim(0, 4_000 * 500)
    figure.canvas.draw()
    row = np.asarray(figure.canvas.buffer_rgba())[20, :, :3].astype(int)
    is_red = row[:, 0] - row[:, 1] > 200
    assert np.count_nonzero(np.diff(is_red.astype(int)) == 1) == len(places)


def test_genes_that_would_overlap_go_to_other_lines():
    region = Region("chr1", 0, 1_000)
    genes = pd.DataFrame({"start": [0, 50, 300], "end": [100, 150, 400], "name": ["a", "b", "c"]})
    assert gene_lines(genes, region, 1.0).tolist() == [0, 1, 0]
    assert gene_lines(genes, region, 200.0).tolist() == [0, 1, 2]


def test_what_was_not_denoised_is_hatched_and_not_zero(adata):
    adata.uns["denoised"]["signal"]["fill"] = np.full(3, np.nan, np.float32)
    figure = sca.pl.tracks(adata, "chr1:500-2500", groups=["A"], layers=["raw", "denoised"], show=False)
    raw, denoised = figure.axes[:2]
    assert [collection.get_hatch() for collection in raw.collections] == [None]
    hatched = [c for c in denoised.collections if c.get_hatch()]
    spans = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for c in hatched for path in c.get_paths()]
    assert spans == [(500, 1_000), (1_500, 2_500)]  # the only run is 1,000-1,500
    plt.close(figure)


@pytest.fixture
def index():
    """Elements with components around chr1:500-2500, under another spelling of the chromosome."""
    rows = [
        (100, 200, 150, 140, 160, 9.0, "Neural"),
        (450, 700, 600, 580, 620, 5.0, "Myeloid"),  # reaches into the region
        (690, 900, 800, 750, 850, 7.0, "Lymphoid"),
        (1_000, 1_400, 1_250, pd.NA, pd.NA, 1.0, np.nan),  # has neither core nor component
        (2_500, 2_600, 2_550, 2_540, 2_560, 3.0, "Stromal"),
    ]
    columns = ["start", "end", "summit", "core_start", "core_end", "mean_signal", "component"]
    var = pd.DataFrame(rows, columns=columns).assign(chrom="1")
    var = var.astype({"core_start": "Int64", "core_end": "Int64", "component": "category"})
    index = anndata.AnnData(np.ones((1, len(var)), np.float32), var=var.set_index(var.index.astype(str)))
    index.uns["component_colors"] = ["#000001", "#000002", "#000003", "#000004"]  # of the components by name
    return index


def bars(collection):
    """Ends and colour of every bar, in the order in which they are drawn."""
    ends = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in collection.get_paths()]
    return [(*end, to_hex(color)) for end, color in zip(ends, collection.get_facecolors(), strict=True)]


def test_elements_of_an_index_have_a_line_in_the_colours_of_their_components(adata, index):
    figure = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], genes=False, index=index, show=False)
    *_, last, line = figure.axes
    assert len(figure.axes) == 3 + 1
    assert line.bbox.y1 < last.bbox.y0
    extents, cores = line.collections
    grey = "#d3d6da"
    assert bars(extents) == [(1_000, 1_400, grey), (450, 700, "#000002"), (690, 900, "#000001")]  # by signal
    assert bars(cores) == [(1_250, 1_251, grey), (580, 621, "#000002"), (750, 851, "#000001")]
    heights = [np.ptp(collection.get_paths()[0].vertices[:, 1]) for collection in (extents, cores)]
    assert heights[1] > 2 * heights[0]
    shown = line.get_legend()
    pairs = zip(shown.texts, shown.get_patches(), strict=True)
    colors = {text.get_text(): to_hex(patch.get_facecolor()) for text, patch in pairs}
    assert colors == {"Lymphoid": "#000001", "Myeloid": "#000002"}
    assert [text.get_text() for text in line.texts] == ["elements", "component"]


def test_elements_have_the_colours_of_the_bed_file(adata, index, tmp_path):
    del index.uns["component_colors"]
    sca.get.components(index, bed=tmp_path / "elements.bed")
    bed = pd.read_csv(tmp_path / "elements.bed", sep="\t", header=None).iloc[1:4]
    figure = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], genes=False, index=index, show=False)
    drawn = {start: color for start, _, color in bars(figure.axes[-1].collections[0])}
    assert drawn == {row[1]: "#" + "".join(f"{int(v):02x}" for v in row[8].split(",")) for _, row in bed.iterrows()}


def test_elements_without_a_vocabulary_are_grey(adata, index):
    del index.var["component"]
    figure = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], genes=False, index=index, show=False)
    assert {color for _, _, color in bars(figure.axes[-1].collections[0])} == {"#8c8f94"}
    assert figure.axes[-1].get_legend() is None


def test_a_region_without_elements_has_an_empty_line_above_the_genes(adata, index):
    genes = pd.DataFrame([["chr1", 3_000, 3_500, "G", "+"]], columns=["chrom", "start", "end", "name", "strand"])
    figure = sca.pl.tracks(adata, "chr1:2800-4000", layers=["denoised"], genes=genes, index=index, show=False)
    *_, line, below = figure.axes
    assert [bars(collection) for collection in line.collections] == [[], []]
    assert [text.get_text() for text in line.texts] == ["elements"]
    assert "G" in [text.get_text() for text in below.texts]
    assert {ax.get_xlim() for ax in figure.axes} == {(2_800, 4_000)}


def test_of_many_elements_the_strongest_of_every_bin_is_shown(adata):
    """Twice as many as bins, two in each."""
    length = sca.get.tracks(adata).genome.length("chr1")
    width = -(-length // MAX_POINTS)
    assert width > 2
    start = np.sort(np.concatenate([np.arange(0, length - width, width), np.arange(2, length - width, width)]))
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 1, "mean_signal": np.arange(len(start)) % 2})
    index = anndata.AnnData(np.ones((1, len(var)), np.float32), var=var.set_index(var.index.astype(str)))
    figure = sca.pl.tracks(adata, "chr1", groups=["A"], layers=["raw"], genes=False, index=index, show=False)
    drawn = [first for first, _, _ in bars(figure.axes[-1].collections[0])]
    assert drawn == start[1::2].tolist()


@pytest.mark.parametrize(("size", "is_named"), [((6, 3), True), ((6, 1.6), False), ((2.5, 3), False)])
def test_components_are_named_where_there_is_room(adata, index, size, is_named):
    names = [f"component of many letters {i}" for i in range(12)]
    rows = pd.DataFrame({"chrom": "chr1", "start": np.arange(12) * 100 + 600, "component": names})
    rows["end"] = rows["start"] + 50
    index = anndata.AnnData(np.ones((1, 12), np.float32), var=rows.set_index(rows.index.astype(str)))
    given = {"groups": ["A"], "layers": ["denoised"], "genes": False, "index": index, "show": False}
    whole = sca.pl.tracks(adata, "chr1:500-2500", figsize=size, **given)
    _, ax = plt.subplots(figsize=size, layout="constrained")
    sca.pl.tracks(adata, "chr1:500-2500", ax=ax, **given)
    for lines in (whole.axes, ax.child_axes):
        lines[0].figure.canvas.draw()
        legend, place = lines[-1].get_legend(), lines[-1].get_window_extent()
        assert (legend is not None) == is_named
        if is_named:
            box = legend.get_window_extent()
            assert len(legend.texts) == 12
            assert place.y0 - 1 <= box.y0 < box.y1 < place.y1
            assert box.x1 <= lines[0].figure.bbox.x1


def test_an_index_that_does_not_fit_the_tracks_is_refused(adata, index):
    given = {"layers": ["denoised"], "genes": False, "show": False}
    with pytest.raises(ValueError, match="The index has no element on chr2; it has elements on chr1"):
        sca.pl.tracks(adata, "chr2:500-2500", index=index, **given)
    with pytest.raises(TypeError, match="index is a DataFrame; expected the AnnData of tl.dhs_index"):
        sca.pl.tracks(adata, "chr1:500-2500", index=index.var, **given)
    index.uns["reference_sequences"] = sca.Genome({"chr1": 5_000_000}, name="other").to_frame()
    with pytest.raises(ValueError, match="The tracks are of .*whose chr1 has"):
        sca.pl.tracks(adata, "chr1:500-2500", index=index, **given)
    del index.var["start"]
    with pytest.raises(KeyError, match="index.var lacks the column"):
        sca.pl.tracks(adata, "chr1:500-2500", index=anndata.AnnData(var=index.var), **given)


def test_bad_input_is_explained(adata):
    with pytest.raises(ValueError, match="outside the genome|nor a gene|not within"):
        sca.pl.tracks(adata, "chr1:500-900000", show=False)
    with pytest.raises(KeyError, match="no group 'Z'"):
        sca.pl.tracks(adata, "chr1:500-2500", groups=["Z"], show=False)
    for options, error, match in (
        ({"layers": 5}, ValueError, "layer 5 is unknown"),
        ({"layers": []}, ValueError, "layers is empty"),
        ({"key": "denoise"}, KeyError, "There is no .uns.'denoise'.; there are"),
        ({"key": "peaks"}, KeyError, "'peaks'. holds no tracks"),
        ({"palette": ["red"]}, TypeError, "palette is .*; expected a dict"),
        ({"highlight": 5}, ValueError, "5 is no region"),
        ({"ax": 5}, TypeError, "ax is 5 .int.; expected one matplotlib Axes"),
    ):
        with pytest.raises(error, match=match):
            sca.pl.tracks(adata, "chr1:500-2500", show=False, **options)
    for key in ({"groupby": "nope"}, {"groupby": ["group"]}):
        with pytest.raises(KeyError, match="groupby=.* is no column of .obs"):
            sca.pl.tracks(adata, "chr1:500-2500", show=False, **key)
    with pytest.raises(TypeError, match="genes is 5; expected True, False or a table"):
        sca.pl.tracks(adata, "chr1:500-2500", genes=5, show=False)
    with pytest.raises(ValueError, match="genes lacks the column"):
        sca.pl.tracks(adata, "chr1:500-2500", genes=pd.DataFrame({"chrom": ["chr1"]}), show=False)
    for figsize in (5, (5,), "wide", (5, "4")):
        with pytest.raises(TypeError, match="figsize"):
            sca.pl.tracks(adata, "chr1:500-2500", figsize=figsize, show=False)
    with pytest.raises(ValueError, match="groups is empty"):
        sca.pl.tracks(adata, "chr1:500-2500", groups=[], show=False)
    with pytest.raises(KeyError, match="no group 'Z'"):
        sca.pl.tracks(adata, "chr1:500-2500", groups=["Z"], layers=["peaks"], show=False)
    with pytest.raises(ValueError, match="layer 'raws' is unknown"):
        sca.pl.tracks(adata, "chr1:500-2500", layers=["raws"], show=False)
    del adata.uns["denoised"]
    with pytest.raises(KeyError, match=r"run scatacworks\.tl\.denoise first"):
        sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised"], show=False)


def test_tracks_of_other_cut_sites_are_told(adata):
    digest = adata.uns["pseudobulk"]["params"]["digest"]
    adata.uns["denoised"]["params"]["cut_sites_digest"] = digest
    sca.pl.tracks(adata, "chr1:500-2500", show=False)
    sca.pp.pseudobulk(adata, "group", groups=["A", "B", "C"][:2], progress=False)
    with pytest.warns(UserWarning, match="was denoised from other cut sites"):
        sca.pl.tracks(adata, "chr1:500-2500", groups=["A"], show=False)


@pytest.mark.filterwarnings("ignore:.*was denoised from other cut sites")
def test_only_groups_of_all_layers_are_shown_together(adata):
    sca.pp.pseudobulk(adata, "group", groups=["C", "B"], progress=False)  # and tracks of A, B and C from before
    figure = sca.pl.tracks(adata, "chr1:500-2500", show=False)
    names = {text.get_text() for ax in figure.axes for text in ax.texts} & {*GROUPS}
    assert names == {"B", "C"}
    with pytest.raises(KeyError, match=r"no group 'A' to show: \.uns\['denoised'\] has 'A', .* has 'C', 'B'; run"):
        sca.pl.tracks(adata, "chr1:500-2500", groups=["A"], show=False)
    sca.pl.tracks(adata, "chr1:500-2500", groups=["A"], layers=["denoised", "peaks"], show=False)
    adata.obs["renamed"] = adata.obs["group"].astype(str).str.lower()
    sca.pp.pseudobulk(adata, "renamed", progress=False)
    with pytest.raises(KeyError, match="no group that all layers have: .* has 'A', 'B', 'C' and .* 'a', 'b', 'c';"):
        sca.pl.tracks(adata, "chr1:500-2500", show=False)
    sca.pl.tracks(adata, "chr1:500-2500", layers="raw", show=False)
    plt.close("all")


def test_global_settings_are_left_alone(adata):
    before = dict(plt.rcParams)
    sca.pl.tracks(adata, "chr1:500-2500", show=False)
    assert dict(plt.rcParams) == before


def test_one_layer_and_one_highlight_need_no_list(adata):
    region = "chr1:500-2,000"
    one = sca.pl.tracks(adata, region, groups="A", layers="denoised", highlight="chr1:1,000-1,500", show=False)
    listed = sca.pl.tracks(adata, region, groups=["A"], layers=["denoised"], highlight=["chr1:1,000-1,500"], show=False)
    assert [len(ax.patches) for ax in one.axes] == [len(ax.patches) for ax in listed.axes]
    assert len(one.axes) == len(listed.axes)


def n_calls(function):
    """Count the calls of Python functions that a call makes."""
    count = [0]

    def note(_frame, event, _arg):
        count[0] += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count[0]


def test_work_grows_with_the_number_of_groups_not_with_its_square():
    calls = []
    for n in (2, 10, 40):  # the first warms caches
        genome = sca.Genome({"chr1": 5_000})
        run = (np.array([1_000], np.int32), np.array([500], np.int32), np.array([0.9], np.float32))
        groups = [f"g{i}" for i in range(n)]
        tracks = sca.Tracks.from_chromosomes(groups, genome, [("chr1", [run] * n)])
        adata = anndata.AnnData(np.zeros((1, 1), np.float32))
        adata.uns["denoised"] = {"signal": tracks.to_dict(), "probability": tracks.to_dict()}
        calls.append(n_calls(lambda adata=adata: sca.pl.tracks(adata, "chr1:500-2500", show=False)))
        plt.close("all")
    assert calls[2] < 6 * calls[1]  # 4 times as many lines


def test_lines_share_their_positions(adata):
    """Moving one in an open window moves all."""
    figure = sca.pl.tracks(adata, "chr1:500-2500", show=False)
    figure.axes[4].set_xlim(800, 900)
    assert {ax.get_xlim() for ax in figure.axes} == {(800, 900)}


def test_strips_are_images_and_nothing_is_drawn_by_way_of_the_whole_page(adata):
    """An artist that is rasterized is drawn on a canvas as large as the figure, which has no bounds."""
    figure = sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised", "probability"], show=False)
    assert [len(ax.images) for ax in figure.axes] == [0, 1] * 3
    assert not any(artist.get_rasterized() for artist in figure.findobj())
    values = np.asarray(figure.axes[1].images[0].get_array()).ravel()
    assert values.max() == pytest.approx(0.9)


def test_peaks_of_the_region_are_looked_up_once(adata, monkeypatch):
    asked = []
    get = pd.DataFrame.__getitem__
    monkeypatch.setattr(
        pd.DataFrame, "__getitem__", lambda table, key: asked.append(table is adata.uns["peaks"]) or get(table, key)
    )
    sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised", "peaks"], show=False)
    one = sum(asked)
    asked.clear()
    sca.pl.tracks(adata, "chr1:500-2500", layers=["denoised", "peaks"], groups=["A"], show=False)
    assert sum(asked) == one > 0
