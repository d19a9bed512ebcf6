"""Extra input channels and other targets: ChIP-seq peaks of a factor predicted from cut sites and its motifs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from sklearn.metrics import average_precision_score

import scatacworks as sca
from scatacworks.models import BinnedUNet, BinnedUNetConfig
from scatacworks.models.guide import with_guide
from scatacworks.models.predict import predict
from scatacworks.tl._denoising import _extra

SIZES = {"chr1": 300_000, "chr2": 100_000}
HEIGHT = 20.0  # of the planted ChIP-seq signal in its peaks
TINY = {"channels": (8, 8, 8), "dilations": (1, 2)}
SETTINGS = {"steps": 90, "epochs": 1, "core_bp": 16_384, "batch_size": 2, "warmup": 10, "learning_rate": 0.01}


def table(rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


class Planted:
    """Open places with and without a motif, and motifs elsewhere; the factor binds where both are."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.genome = sca.Genome(SIZES, name="toy")
        chromosomes, self.bound, self.motifs = [], [], []
        for chrom, size in SIZES.items():
            sites = [rng.integers(0, size, size // 200)]
            for i, center in enumerate(range(2_000, size - 2_000, 2_500)):
                if i % 3 != 2:  # open
                    sites.append(np.rint(rng.normal(center, 100, 250)).astype(int))
                if i % 3 != 1:
                    self.motifs.append((chrom, center - 250, center + 250))
                if i % 3 == 0:
                    self.bound.append((chrom, center - 200, center + 200))
            at, counts = np.unique(np.concatenate(sites).clip(0, size - 1).astype(np.int32), return_counts=True)
            chromosomes.append((chrom, [(at, None, counts.astype(np.uint32))]))
        self.sites = sca.Tracks.from_chromosomes(["B"], self.genome, chromosomes)
        self.motifs, self.bound = table(self.motifs), table(self.bound)
        self.target = self.track(self.bound, HEIGHT)

    def track(self, rows, value=1.0, group="chip"):
        def runs(chrom):
            own = rows[rows["chrom"] == chrom]
            starts = own["start"].to_numpy(np.int32)
            return starts, (own["end"] - own["start"]).to_numpy(np.int32), np.full(len(own), value, np.float32)

        return sca.Tracks.from_chromosomes([group], self.genome, [(c, [runs(c)]) for c in SIZES])

    def train(self, extra, **options):
        torch.manual_seed(0)
        network = BinnedUNet(BinnedUNetConfig(**TINY, extra_channels=tuple(extra or ())))
        options = {"peaks": self.bound, "target": self.target, "settings": SETTINGS} | options
        options |= {"validation": [], "holdout": ["chr2"], "progress": False}
        return sca.tl.train(self.sites, model=network, extra=extra, **options)


@pytest.fixture(scope="module")
def planted():
    return Planted()


@pytest.fixture(scope="module")
def trained(planted):
    return planted.train({"motif": planted.motifs}).model


@pytest.fixture
def cells(planted, make_pseudobulk):
    adata = make_pseudobulk()
    adata.uns["pseudobulk"] |= {"cut_sites": planted.sites.to_dict(), "n_fragments": planted.sites.sums() / 2}
    adata.uns["pseudobulk"]["params"]["territory_bp"] = float(sum(SIZES.values()))
    return adata


def test_motifs_tell_which_open_places_are_bound(planted, trained, cells):
    without = planted.train(None).model
    truth = planted.target.window(0, "chr2", 0, SIZES["chr2"])
    scores = {}
    for name, model, extra in (("with", trained, {"motif": planted.motifs}), ("without", without, None)):
        sca.tl.denoise(cells, model=model, extra=extra, regions="chr2", progress=False)
        signal, probability = (
            sca.get.track(cells, "B", "chr2", key="denoised", layer=x) for x in ("signal", "probability")
        )
        scores[name] = average_precision_score(truth > 0, probability), signal
    assert scores["with"][0] > 0.9
    assert scores["without"][0] < 0.7  # half of the open places are not bound
    signal = scores["with"][1]
    assert np.corrcoef(truth, signal)[0, 1] > 0.9
    # the signal is in the target's unit, which no depth has scaled
    assert signal[truth > 0].mean() == pytest.approx(HEIGHT, rel=0.25)
    assert trained.card["signal"] == "target"
    assert trained.extra_channels == ("motif",)
    params = cells.uns["denoised"]["params"]
    assert "extra" not in params
    assert params["signal"] == "target"
    assert "target_depth" not in params  # the signal is at none
    figure = sca.pl.tracks(cells, "chr2:1-20000", genes=False, show=False)
    assert any("unit of the model's target" in text.get_text() for text in figure.findobj(Text))
    with pytest.raises(ValueError, match="predicts a signal in the unit of the target .* leave out target_depth"):
        sca.tl.denoise(cells, model=trained, extra={"motif": planted.motifs}, target_depth="input", progress=False)


def test_all_forms_of_a_channel_give_the_same(planted, trained, cells, tmp_path):
    bed = tmp_path / "motifs.bed"
    planted.motifs.to_csv(bed, sep="\t", header=False, index=False)
    tracks = planted.track(planted.motifs)
    bigwig = sca.io.write_bigwig(tracks, tmp_path / "motifs.bw", progress=False)["chip"]
    cells.uns["matches"] = planted.motifs
    forms = {
        "table": planted.motifs,
        "BED": bed,
        "text": str(bed),
        "key": "matches",
        "tracks": tracks,
        "bigWig": bigwig,
        "by group": {"B": bigwig},
    }
    (expected,) = predict(trained, planted.sites, depth=[2e9], extra=[tracks], progress=False)[:1]
    hashes = set()
    for name, form in forms.items():
        sca.tl.denoise(cells, model=trained, extra={"motif": form}, depth=2e9, key_added=name, progress=False)
        found = sca.get.tracks(cells, key=name, layer="signal")
        for field in ("starts", "lengths", "values", "indptr"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=name)
        params = cells.uns[name]["params"]
        assert list(params["extra"]) == ["motif"]
        hashes.add(params["extra_hash"])
    assert len(hashes) == 1


def test_each_group_has_its_own_values(planted, trained):
    nothing = planted.motifs.iloc[:0]
    both = [planted.track(planted.motifs, group="B"), planted.track(nothing, group="T")]
    chromosomes = [(chrom, [one.runs(0, chrom) for one in both]) for chrom in SIZES]
    extra = sca.Tracks.from_chromosomes(["B", "T"], planted.genome, chromosomes)
    twice = [(chrom, [planted.sites.runs(0, chrom)] * 2) for chrom in SIZES]
    sites = sca.Tracks.from_chromosomes(["T", "B"], planted.genome, twice)
    run = {"depth": [2e9, 2e9], "progress": False}
    _, probability = predict(trained, sites, extra=[extra], **run)
    for group, one in zip("BT", both, strict=True):
        _, alone = predict(trained, sites, extra=[one], **run)
        np.testing.assert_array_equal(*(p.window(group, "chr1", 0, 300_000) for p in (probability, alone)))


def test_a_store_made_with_other_values_is_made_anew(planted, trained, cells, tmp_path, caplog):
    def run(motifs):
        options = {"regions": "chr2", "path": tmp_path / "store", "progress": False}
        sca.tl.denoise(cells, model=trained, extra={"motif": motifs}, **options)
        return sca.get.track(cells, "B", "chr2", key="denoised", layer="probability")

    caplog.set_level("INFO", logger="scatacworks")
    first = run(planted.motifs)
    assert (run(planted.motifs) == first).all()
    assert "taken as it is" in caplog.text
    assert (run(planted.motifs.iloc[::2]) != first).any()


def test_wrong_channels_are_named(planted, trained, cells):
    options = {"model": trained, "progress": False}
    with pytest.raises(ValueError, match=r"reads the extra channels motif; extra= lacks motif"):
        sca.tl.denoise(cells, **options)
    with pytest.raises(ValueError, match=r"reads the extra channels motif; extra= has wrong"):
        sca.tl.denoise(cells, extra={"motif": planted.motifs, "wrong": planted.motifs}, **options)
    with pytest.raises(ValueError, match=r"'accessibility' reads no extra channels; extra= has motif"):
        sca.tl.denoise(cells, extra={"motif": planted.motifs}, progress=False)
    with pytest.raises(TypeError, match=r"extra is a DataFrame; expected a dict of a channel's name"):
        sca.tl.denoise(cells, extra=planted.motifs, **options)
    other = sca.Genome({"chr1": 300_001, "chr2": 100_000}, name="other")
    moved = sca.Tracks.from_chromosomes(["x"], other, [])
    with pytest.raises(ValueError, match=r"extra\['motif'\] is on .*other.*the cut sites on .*toy"):
        sca.tl.denoise(cells, extra={"motif": moved}, **options)
    groups = sca.Tracks.from_chromosomes(["x", "y"], planted.genome, [])
    with pytest.raises(KeyError, match=r"extra\['motif'\] has no group 'B'; it has x, y"):
        sca.tl.denoise(cells, extra={"motif": groups}, **options)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.bed"):
        sca.tl.denoise(cells, extra={"motif": "nowhere.bed"}, **options)
    for form, told in (
        (planted.motifs[["chrom"]], "lacks the column"),
        (None, "is None"),
        (planted.motifs[:0], "empty"),
    ):
        with pytest.raises((KeyError, TypeError, ValueError), match=rf"extra\['motif'\]: regions.*{told}"):
            sca.tl.denoise(cells, extra={"motif": form}, **options)
    with pytest.raises(TypeError, match=r"extra\['motif'\]\['B'\] is a DataFrame; a dict names a bigWig file"):
        sca.tl.denoise(cells, extra={"motif": {"B": planted.motifs}}, **options)
    with pytest.raises(ValueError, match=r"extra\['motif'\] holds infinite values"):
        sca.tl.denoise(cells, extra={"motif": planted.track(planted.motifs, np.inf)}, **options)
    assert "denoised" not in cells.uns


@pytest.mark.parametrize("name", [1, "", None])
def test_channels_are_named_by_text(planted, name):
    # 1 and "1" would be one channel; a model file keeps names as text
    options = {"peaks": planted.bound, "settings": SETTINGS | {"steps": 1}, "progress": False}
    with pytest.raises(TypeError, match=r"extra has a channel of the name .*; expected text"):
        sca.tl.train(planted.sites, extra={"x": planted.motifs, name: planted.motifs}, **options)
    with pytest.raises(TypeError, match=r"extra is a DataFrame; expected a dict"):
        sca.tl.train(planted.sites, extra=planted.motifs, **options)


def test_channels_that_are_not_whole_are_told(planted, trained, cells, tmp_path):
    half = planted.motifs[planted.motifs["chrom"] == "chr2"]
    options = {"model": trained, "progress": False}
    unknown = sca.Tracks.from_dict(planted.track(half).to_dict() | {"fill": [np.nan]})  # as of denoised regions
    for form in (half, planted.track(half), unknown):
        with pytest.warns(UserWarning, match=r"extra\['motif'\] has no value on chr1, where it counts as zero"):
            sca.tl.denoise(cells, extra={"motif": form}, **options)
        sca.tl.denoise(cells, extra={"motif": form}, regions="chr2", **options)  # where it has all there is
    for size, value, told in ((300_000, np.nan, r"one\.bw has NaN at chr1:9"), (299_999, 1.0, r"chr1 has 299,999 bp")):
        with pytest.importorskip("pyBigWig").open(str(tmp_path / "one.bw"), "w") as file:
            file.addHeader([("chr1", size)])
            file.addEntries(["chr1"], [9], ends=[14], values=[value])
        with pytest.raises(ValueError, match=told):
            sca.tl.denoise(cells, extra={"motif": tmp_path / "one.bw"}, **options)


def test_a_chip_seq_track_scores_what_was_predicted(planted, trained, cells, tmp_path):
    sca.tl.denoise(cells, model=trained, extra={"motif": planted.motifs}, key_added="ctcf", progress=False)
    signal = planted.track(planted.bound, HEIGHT / 3, group="B")
    files = sca.io.write_bigwig(signal, tmp_path, progress=False)
    for truth, kind in ((files, "coverage"), (files, "cut_sites"), (signal, "coverage")):
        with pytest.raises(ValueError, match=r"cut sites.* scored by metrics\.evaluate_tracks"):
            sca.tl.evaluate(planted.sites, truth, bigwig=kind, progress=False)
    predicted, score = (sca.get.tracks(cells, key="ctcf", layer=layer) for layer in ("signal", "probability"))
    chip = sca.io.read_bigwig({"B": files["B"]}, genome=planted.genome)
    options = {"score": score, "peaks": planted.bound, "groups": ["B"], "regions": "chr2"}
    with pytest.warns(UserWarning, match="pearson_inside"):  # it has one height
        found = sca.metrics.evaluate_tracks(predicted, chip, **options)
    truth, signal, probability = (track.window("B", "chr2", 0, SIZES["chr2"]) for track in (chip, predicted, score))
    assert found.loc[0, "auprc"] == pytest.approx(average_precision_score(truth > 0, probability), rel=1e-6)
    assert found.loc[0, "pearson"] == pytest.approx(np.corrcoef(truth, signal)[0, 1], rel=1e-4)


def test_places_without_cut_sites_are_not_called_constant(planted, trained, cells):
    positions = planted.sites.runs(0, "chr2")[0]
    gap = int(np.argmax(np.diff(positions)))
    closed = [("chr2", int(positions[gap]) + 1, int(positions[gap + 1]))]
    with pytest.warns(UserWarning, match=r"No group has a cut site within regions=\. Does"):
        sca.tl.denoise(cells, model=trained, extra={"motif": planted.motifs}, regions=closed, progress=False)


def test_a_model_with_channels_is_scored_by_its_tracks(planted, trained):
    with pytest.raises(ValueError, match=r"models\['own'\] reads the extra channels motif\. Run tl\.denoise"):
        sca.tl.evaluate(planted.sites, planted.sites, models={"own": trained}, peaks=planted.bound, progress=False)


def test_groups_with_channels_guide_each_other(planted, trained, cells):
    guided = with_guide(trained)
    with torch.no_grad():
        for parameter in guided.guide.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    twice = [(chrom, [planted.sites.runs(0, chrom)] * 2) for chrom in SIZES]
    sites = sca.Tracks.from_chromosomes(["T", "B"], planted.genome, twice)
    cells.uns["pseudobulk"] |= {"cut_sites": sites.to_dict(), "n_fragments": sites.sums() / 2}
    both = [(chrom, [planted.track(planted.motifs).runs(0, chrom)] * 2) for chrom in SIZES]
    extra = {"motif": sca.Tracks.from_chromosomes(["B", "T"], planted.genome, both)}
    options = {"model": guided, "extra": extra, "prior": "self", "regions": "chr2", "progress": False}
    for groups, key in ((["B"], "one"), (None, "all")):
        sca.tl.denoise(cells, groups=groups, key_added=key, **options)
    layers = [sca.get.track(cells, "B", "chr2", key=key, layer="probability") for key in ("one", "all")]
    np.testing.assert_array_equal(*layers)
    assert (layers[0] != sca.get.track(cells, "B", "chr2", key="one", layer="probability_unguided")).any()


def test_a_target_needs_peaks_and_values(planted):
    with pytest.raises(ValueError, match=r"target= needs peaks="):
        planted.train(None, peaks=None)
    with pytest.raises(ValueError, match=r"target has no value on chr1; leave that out by regions="):
        planted.train(None, target=planted.track(planted.bound[planted.bound["chrom"] == "chr2"]))
    both = [planted.track(rows, group=name) for name, rows in (("B", planted.bound[:0]), ("T", planted.bound))]
    chromosomes = [(chrom, [one.runs(0, chrom) for one in both]) for chrom in SIZES]
    with pytest.raises(ValueError, match=r"target has no value on chr1"):  # of the group that is trained on
        planted.train(None, target=sca.Tracks.from_chromosomes(["B", "T"], planted.genome, chromosomes))
    for value, told in (
        (0, "has no value on chr1"),
        (-1, "is -1 somewhere"),
        (np.nan, "is nan some"),
        (np.inf, "infin"),
    ):
        with pytest.raises(ValueError, match=rf"target .*{told}"):
            planted.train(None, target=planted.track(planted.bound, value))
    with pytest.raises(TypeError, match=r"target is .*expected tracks, a bigWig file"):
        planted.train(None, target=planted.bound)


def test_a_new_network_gets_its_channels_by_name(planted):
    settings = SETTINGS | {"steps": 1, "core_bp": 2_048}
    options = {"peaks": planted.bound, "settings": settings, "holdout": ["chr2"], "validation": []}
    options |= {"extra": {"x": planted.motifs, "y": "chr1:5-9"}, "progress": False}
    for name in ("BinnedUNet", "UNet", "ResNet"):
        model = sca.tl.train(planted.sites, model=name, **options).model
        assert model.extra_channels == ("x", "y")
        assert model.card["signal"] == "coverage"
    with pytest.raises(ValueError, match=r"A Linear reads cut sites alone; for the channels x, y take a BinnedUNet"):
        sca.tl.train(planted.sites, model="Linear", **options)
    with pytest.raises(ValueError, match=r"'accessibility' reads no extra channels; extra= has x, y"):
        sca.tl.train(planted.sites, model="default", **options)


def test_keys_of_tables_are_those_of_the_modality(planted, cells, mudata):
    cells.uns["matches"] = planted.motifs
    settings = {"steps": 1, "epochs": 1, "core_bp": 4_096, "batch_size": 1, "warmup": 0}
    options = {"model": BinnedUNet(BinnedUNetConfig(**TINY, extra_channels=("motif",))), "peaks": planted.bound}
    options |= {
        "extra": {"motif": "matches"},
        "settings": settings,
        "holdout": ["chr2"],
        "validation": [],
        "draw": "sites",
    }
    whole = mudata.MuData({"atac": cells})
    model = sca.tl.train(whole, groups=["B"], progress=False, **options).model
    sca.tl.denoise(whole, model=model, extra={"motif": "matches"}, regions="chr2", progress=False)
    assert list(whole["atac"].uns["denoised"]["params"]["extra"]) == ["motif"]


def test_a_run_is_not_resumed_with_other_values(planted, tmp_path):
    run = {"settings": SETTINGS | {"steps": 1}, "out": tmp_path / "run"}
    planted.train({"motif": planted.motifs}, **run)
    planted.train({"motif": planted.motifs}, resume=True, **run)
    for change, told in (
        ({"extra": {"motif": planted.motifs.iloc[::2]}}, "extra"),
        ({"target": planted.track(planted.bound, 2.0)}, "target"),
        ({"target": sca.Tracks.from_dict(planted.target.to_dict() | {"fill": [1.0]})}, "target"),
    ):
        with pytest.raises(ValueError, match=rf"is of a run with other {told}"):
            planted.train(**{"extra": {"motif": planted.motifs}, "resume": True} | run | change)


def test_peaks_are_read_from_files(planted, tmp_path):
    bed = tmp_path / "bound.bed"
    planted.bound.to_csv(bed, sep="\t", header=False, index=False)
    quick = {"settings": SETTINGS | {"steps": 2}}
    read, given = (planted.train(None, peaks=peaks, **quick).model for peaks in (bed, planted.bound))
    for one, other in zip(read.parameters(), given.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
    sites = planted.sites
    chromosomes = [(c, [(sites.runs(0, c)[0][::2], None, sites.runs(0, c)[2][::2])]) for c in SIZES]
    half = sca.Tracks.from_chromosomes(["B"], planted.genome, chromosomes)
    options = {"baselines": ["raw"], "progress": False}
    tables = [sca.tl.evaluate(half, sites, peaks=peaks, **options) for peaks in (bed, planted.bound)]
    pd.testing.assert_frame_equal(*tables)


def test_intervals_become_one_track(planted):
    reader = _extra.Reader(["B"], planted.genome, 1, {})
    found = reader.channels({"x": ["chr1:10-20", "chr1:15-30", "chr2:0-5"]}, ["chr1", "chr2"])["x"]
    dense = found.window(0, "chr1", 0, 40)
    np.testing.assert_array_equal(dense, np.r_[np.zeros(10), np.ones(20), np.zeros(10)])
    np.testing.assert_array_equal(found.sums(), [25])
