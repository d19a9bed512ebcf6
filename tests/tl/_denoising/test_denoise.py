"""tl.denoise: what it writes, where, and what it refuses."""

from __future__ import annotations

import os
import shutil
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks.models import BinnedUNet
from scatacworks.models._plan import Unit
from scatacworks.models._predictor import Predictor
from scatacworks.models.predict import predict
from scatacworks.tl._denoising import _store

DEPTH = {"B": 5e6, "NK/T": 5e5, "nothing": 0}
GROUPS = ["B", "NK/T"]


def denoise(adata, model, **options):
    options = {"groups": GROUPS, "depth": DEPTH, "progress": False, "n_jobs": 1} | options
    return sca.tl.denoise(adata, model=model, **options)


def layers(adata, key="denoised"):
    return [sca.get.tracks(adata, key=key, layer=layer) for layer in ("signal", "probability")]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        assert x.groups.tolist() == y.groups.tolist()
        np.testing.assert_array_equal(x.fill, y.fill)
        for group in x.groups:
            for chrom in x.genome.chroms:
                for left, right in zip(x.runs(group, chrom), y.runs(group, chrom), strict=True):
                    np.testing.assert_array_equal(left, right)


def test_the_slot_holds_what_predict_returns(adata, model_file, network):
    assert denoise(adata, model_file) is None
    expected = predict(network, sca.get.tracks(adata).select(GROUPS), depth=[5e6, 5e5], progress=False)
    assert_same(layers(adata), expected)
    params = adata.uns["denoised"]["params"]
    assert params["model"] == "toy"
    assert len(params["model_hash"]) == 16
    assert params["depth"].tolist() == [5e6, 5e5]
    assert params["extension"] == 100
    assert params["convention"] == "10x"
    assert params["version"] == sca.__version__


def test_cells_that_were_not_counted_are_told(adata, model_file):
    """As where anndata.concat keeps the pseudobulk of the first object; cells that were left out are no matter."""
    slot = adata.uns["pseudobulk"]
    slot["groups"], slot["n_cells"] = np.array(["B", "NK/T", "nothing"], dtype=object), np.array([3, 1, 0])
    slot["params"]["groupby"] = "cell_type"
    cells = pd.DataFrame({"cell_type": ["B", "B", "B", "NK/T"]}, index=list("abcd"))
    counted = ad.AnnData(obs=cells, uns=adata.uns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kept in (counted, counted[1:].copy(), counted[:3].copy()):
            denoise(kept, model_file)
    joined = ad.concat([counted, counted[:1]], index_unique="-", uns_merge="first")
    with pytest.warns(UserWarning, match=r"\.obs\['cell_type'\], as where anndata.concat.*: 'B' \(3, now 4\)\. Run"):
        denoise(joined, model_file)


def test_copy_leaves_the_input_alone(adata, model_file):
    changed = denoise(adata, model_file, copy=True, key_added="other")
    assert list(adata.uns) == ["pseudobulk"]
    assert "other" in changed.uns


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_results_survive_writing_and_reading(adata, model_file, tmp_path, suffix):
    denoise(adata, model_file, regions=["chr1:100-5000", "chr3"])
    sca.tl.call_peaks(adata)
    path = tmp_path / f"x.{suffix}"
    (adata.write_h5ad if suffix == "h5ad" else adata.write_zarr)(path)
    back = (ad.read_h5ad if suffix == "h5ad" else ad.read_zarr)(path)
    assert_same(layers(back), layers(adata))
    assert back.uns["denoised"]["params"]["model"] == "toy"
    regions = back.uns["denoised"]["regions"]
    assert regions["start"].tolist() == [100, 0]
    pd.testing.assert_frame_equal(back.uns["peaks"], adata.uns["peaks"])


def test_a_store_equals_memory(adata, model_file, tmp_path):
    denoise(adata, model_file)
    denoise(adata, model_file, path=tmp_path / "deep" / "store", key_added="stored")
    assert_same(layers(adata), layers(adata, "stored"))
    assert sorted(adata.uns["stored"]) == ["params", "path"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["store"]


def test_a_store_without_its_signal_is_not_taken_for_one_of_probabilities(adata, model_file, tmp_path):
    denoise(adata, model_file, path=tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "signal")  # what a stopped copy comes to last
    with pytest.raises(ValueError, match="store of .*denoised.* is damaged: it lacks signal"):
        sca.get.tracks(adata, key="denoised")
    assert sca.get.track(adata, "B", "chr1:0-10", key="denoised", layer="probability").shape == (10,)
    with pytest.raises(FileExistsError, match="a folder with something else in it"):
        denoise(adata, model_file, path=tmp_path / "store")


def test_a_finished_store_is_computed_again_only_for_other_parameters(adata, model_file, tmp_path, monkeypatch):
    ran, run = [], Predictor.run
    monkeypatch.setattr(Predictor, "run", lambda self, unit, bar=None: (ran.append(unit), run(self, unit, bar))[1])
    options = {"path": tmp_path / "store", "key_added": "stored"}
    denoise(adata, model_file, **options)
    first = len(ran)
    del adata.uns["stored"]
    denoise(adata, model_file, **options)
    assert len(ran) == first
    denoise(adata, model_file)
    assert_same(layers(adata), layers(adata, "stored"))
    ran.clear()
    denoise(adata, model_file, depth=1e6, **options)
    assert ran
    denoise(adata, model_file, depth=1e6)
    assert_same(layers(adata), layers(adata, "stored"))


def small_units(monkeypatch):
    from scatacworks.models import _predictor
    from scatacworks.models._plan import make_units

    monkeypatch.setattr(_predictor, "make_units", lambda *args, **kw: make_units(*args, **kw, unit_bp=30_000))


def test_a_stopped_run_goes_on_where_it_was(adata, model_file, tmp_path, monkeypatch):
    small_units(monkeypatch)
    denoise(adata, model_file)
    whole, run, seen = layers(adata), Predictor.run, []

    def stopped(self, unit, progress=None):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(unit)
        return run(self, unit, progress)

    monkeypatch.setattr(Predictor, "run", stopped)
    path = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        denoise(adata, model_file, path=path, key_added="stored")
    assert "stored" not in adata.uns
    assert not path.exists()

    with pytest.raises(ValueError, match=r"unfinished work of a run that differs in depth\."):
        denoise(adata, model_file, path=path, key_added="stored", depth=1e6)

    again = []
    monkeypatch.setattr(Predictor, "run", lambda self, unit, bar=None: (again.append(unit), run(self, unit, bar))[1])
    denoise(adata, model_file, path=path, key_added="stored")
    assert not set(seen) & set(again)
    assert_same(layers(adata, "stored"), whole)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_units_of_a_run_whose_folder_was_deleted_are_not_mixed_in(tmp_path):
    one = _store.Parts(tmp_path / "store", {"depth": 1})
    unit = Unit((0,), (0,))
    assert list(one.claimed([unit], wait=False)) == [unit]
    shutil.rmtree(one.folder)
    two = _store.Parts(tmp_path / "store", {"depth": 2})
    one.save(unit, {(0, 0): ((np.zeros(1, np.int32),) * 3,)})
    assert one.has(unit)
    assert one.folder == two.folder
    assert not two.has(unit)


def test_what_was_killed_while_the_store_was_written_goes(adata, model_file, tmp_path, monkeypatch):
    path, rest = tmp_path / "store", tmp_path / ".store.unfinished" / ".store.12345678.part"

    def killed(*_):
        (rest / "signal").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_store, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            denoise(adata, model_file, path=path)

    def written(*arguments):
        assert not rest.exists()
        write(*arguments)
        raise KeyboardInterrupt

    write = _store._write
    monkeypatch.setattr(_store, "_write", written)
    with pytest.raises(KeyboardInterrupt):
        denoise(adata, model_file, path=path)
    denoise(adata, model_file, path=path)
    assert (path / "signal").is_dir()


def test_units_that_somebody_deletes_are_told_of(adata, model_file, tmp_path, monkeypatch):
    finish = _store.finish

    def deleted(predictor, parts, scale):
        shutil.rmtree(parts.folder)
        finish(predictor, parts, scale)

    monkeypatch.setattr(_store, "finish", deleted)
    with pytest.raises(FileNotFoundError, match="repeat the call"):
        denoise(adata, model_file, path=tmp_path / "store")
    monkeypatch.undo()
    denoise(adata, model_file, path=tmp_path / "store")
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_a_finished_store_is_taken_from_where_nothing_can_be_written(adata, model_file, tmp_path, monkeypatch):
    denoise(adata, model_file, path=tmp_path / "store")
    first = layers(adata)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    denoise(adata, model_file, path=tmp_path / "store")
    assert_same(layers(adata), first)
    with pytest.raises(PermissionError, match="no permission"):
        denoise(adata, model_file, depth=1e6, path=tmp_path / "store")


def test_replacing_the_store_of_another_run_is_told(adata, model_file, tmp_path, caplog):
    denoise(adata, model_file, path=tmp_path / "store")
    assert "replaced" not in caplog.text
    denoise(adata, model_file, path=tmp_path / "store", groups=["B"])
    assert "store holds the tracks of another run, which are replaced at the end." in caplog.text


def test_ctrl_c_in_memory_leaves_no_slot(adata, model_file, monkeypatch):
    def stopped(self, unit, progress=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        denoise(adata, model_file)
    assert list(adata.uns) == ["pseudobulk"]


def test_empty_groups_warn_and_are_constant(adata, model_file):
    with pytest.warns(UserWarning, match="Without cut sites.*nothing"):
        denoise(adata, model_file, groups=["nothing", "B"])
    signal, probability = layers(adata)
    assert len(np.unique(signal.window("nothing", "chr1", 0, 60_000))) == 1
    assert 0 < probability.window("nothing", "chr1", 0, 1)[0] < 1


def test_regions_without_a_cut_site_of_any_group_warn(adata, model_file):
    first = min(int(sca.get.tracks(adata).runs(group, "chr1")[0][0]) for group in ("B", "NK/T"))
    with pytest.warns(UserWarning, match="No group has a cut site within regions="):
        denoise(adata, model_file, regions=[("chr1", 0, first)])
    denoise(adata, model_file, regions=[("chr1", 0, first + 1)])  # one cut site is enough


def test_depths_below_the_models_range_warn(adata, model_file):
    with pytest.warns(UserWarning, match="fewer cut sites than the model was trained on, 10,000 .* B, NK/T"):
        denoise(adata, model_file, depth=5e3)


def test_groups_deeper_than_training_are_scaled_down_to_it(adata, model_file):
    denoise(adata, model_file, depth=5e8)
    deep = layers(adata)[0].window("B", "chr1", 0, 60_000)
    sites = sca.get.tracks(adata)
    scaled = dict(sites.to_dict(), values=np.asarray(sites.values, np.float32) * np.float32(1e8 / 5e8))
    expected, _ = predict(sca.models.load(model_file), sca.Tracks.from_dict(scaled), depth=[1e8] * 3, progress=False)
    np.testing.assert_array_equal(deep, expected.window("B", "chr1", 0, 60_000))


def test_target_depth_input_scales_to_each_groups_own(adata, model_file):
    denoise(adata, model_file)
    denoise(adata, model_file, target_depth="input", key_added="own")
    common, own = (sca.get.track(adata, "B", "chr1:0-900", key=key) for key in ("denoised", "own"))
    np.testing.assert_allclose(own, common * 5e6 / 80e6, rtol=1e-5)
    assert adata.uns["own"]["params"]["target_depth"].tolist() == [5e6, 5e5]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"key": "nothing"}, KeyError, "pseudobulk"),
        ({"groups": ["T"]}, KeyError, "no group 'T'"),
        ({"depth": {"B": 1}}, KeyError, "no entry for .*NK/T"),
        ({"depth": [1.0, -1.0]}, ValueError, "depth of the group 'NK/T' is -1; expected a positive number"),
        ({"depth": 0}, ValueError, "depth of the group 'B' is 0"),
        ({"depth": {"B": 1e6, "NK/T": np.nan}}, ValueError, "depth of the group 'NK/T' is nan"),
        ({"depth": ["1e6", 1e6]}, TypeError, "depth of the group 'B' is '1e6'"),
        ({"depth": [1e6]}, ValueError, "depth has 1 entries; .*2 groups"),
        ({"target_depth": np.inf}, ValueError, "positive number"),
        ({"target_depth": [1e6]}, TypeError, "target_depth is"),
        ({"target_depth": "deep"}, ValueError, '"input" or None'),
        ({"target_depth": 0}, ValueError, "positive number"),
        ({"rounding": 3}, TypeError, "rounding is 3; expected a scatacworks.models.Rounding"),
        ({"precision": "int8"}, ValueError, "bfloat16"),
        ({"regions": []}, ValueError, "regions is empty"),
        ({"regions": "chr1:5-100000"}, ValueError, "not within chr1"),
        ({"regions": pd.DataFrame({"chrom": []})}, KeyError, "lacks the column"),
        ({"device": "cuda:99"}, ValueError, "cannot be used"),
    ],
)
def test_wrong_arguments_are_refused(adata, model_file, options, error, match):
    with pytest.raises(error, match=match):
        denoise(adata, model_file, **options)
    assert list(adata.uns) == ["pseudobulk"]


def test_a_network_without_weights_is_refused(adata):
    with pytest.raises(ValueError, match="may be random"):
        denoise(adata, BinnedUNet())
    with pytest.raises(FileNotFoundError):
        denoise(adata, "no-such-model")
    with pytest.raises(TypeError, match="expected a bundled model's name"):
        denoise(adata, 3)


def test_a_gaussian_needs_no_training(adata):
    denoise(adata, sca.models.Gaussian(), depth=1e6)
    assert adata.uns["denoised"]["params"]["model"] == "Gaussian"
    at = sca.get.track(adata, "B", "chr1:10000-30000", key="denoised")
    sites = sca.get.track(adata, "B", "chr1:0-60000", extend=0)
    smooth = np.convolve(sites, np.exp(-0.5 * (np.arange(-1000, 1001) / 250) ** 2), "same")[10_000:30_000]
    assert np.corrcoef(at, smooth)[0, 1] > 0.999


def test_a_base_resolution_model_needs_its_own_convention(adata):
    model = sca.models.ResNet(sca.models.ResNetConfig(n_blocks=1, n_filters=2, width=3))
    model.card.update(data="none", convention="atacworks")
    with pytest.raises(ValueError, match='convention="atacworks"'):
        denoise(adata, model)


def test_a_folder_of_something_else_is_not_overwritten(adata, model_file, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(FileExistsError, match="mine is a folder with something else in it"):
        denoise(adata, model_file, path=tmp_path / "mine")


def test_a_store_that_another_slot_shows_is_not_overwritten(adata, model_file, tmp_path):
    denoise(adata, model_file, path=tmp_path / "store", key_added="one")
    with pytest.raises(ValueError, match=r"holds the result in \.uns\['one'\]"):
        denoise(adata, model_file, path=tmp_path / "store", key_added="two")
    denoise(adata, model_file, path=tmp_path / "store", key_added="one")
    assert "two" not in adata.uns


@pytest.fixture
def with_mito(make_pseudobulk):
    """Cut sites with many on chrM beside the nuclear ones, which are as without them."""
    adata = make_pseudobulk()
    nuclear = sca.get.tracks(adata)
    at, counts = np.unique(np.random.default_rng(0).normal(2_000, 150, 600).astype(np.int32), return_counts=True)
    mito = (at, None, counts.astype(np.uint32))
    genome = sca.Genome({**nuclear.genome.sizes, "chrM": 4_000}, name="toy")
    chromosomes = [*nuclear.chromosomes(), ("chrM", [mito] * 3)]
    both = sca.Tracks.from_chromosomes(nuclear.groups, genome, chromosomes)
    adata.uns["pseudobulk"]["cut_sites"] = both.to_dict()
    return adata


@pytest.mark.parametrize("stored", [False, True])
def test_mitochondria_are_left_out_unless_they_are_named(adata, with_mito, model_file, tmp_path, stored):
    denoise(adata, model_file)
    denoise(with_mito, model_file, path=tmp_path / "store" if stored else None)
    for nuclear, found in zip(layers(adata), layers(with_mito), strict=True):
        for group in GROUPS:
            assert np.isnan(found.window(group, "chrM", 0, 4_000)).all()
            for chrom, size in nuclear.genome.sizes.items():
                where = (group, chrom, 0, size)
                np.testing.assert_array_equal(found.window(*where), nuclear.window(*where))
        np.testing.assert_allclose(found.sums(), nuclear.sums())
    sca.tl.call_peaks(adata, min_length=1)
    sca.tl.call_peaks(with_mito, min_length=1)
    columns = ["start", "end", "summit", "mean", "max"]
    pd.testing.assert_frame_equal(with_mito.uns["peaks"][columns], adata.uns["peaks"][columns])
    with pytest.raises(ValueError, match=r"chrM was not denoised in \.uns\['denoised'\]; name it in the regions="):
        sca.tl.call_peaks(with_mito, chroms=["chr1", "MT"])
    files = sca.io.write_bigwig(with_mito, tmp_path, progress=False)
    with pytest.importorskip("pyBigWig").open(str(files["B"])) as written:
        assert not written.intervals("chrM")
        assert written.intervals("chr1")


def test_mitochondria_that_are_named_are_denoised_and_called(with_mito, model_file, network):
    denoise(with_mito, model_file, regions=["chr3", "MT"])
    sites = sca.get.tracks(with_mito).select(GROUPS)
    where = {2: np.array([[0, 900]]), 3: np.array([[0, 4_000]])}
    expected = predict(network, sites, depth=[5e6, 5e5], regions=where, progress=False)
    assert_same(layers(with_mito), expected)
    assert not np.isnan(sca.get.track(with_mito, "B", "chrM", key="denoised")).any()
    sca.tl.call_peaks(with_mito, threshold=0, min_length=1)
    assert set(with_mito.uns["peaks"]["chrom"]) == {"chr3", "chrM"}
    sca.tl.call_peaks(with_mito, threshold=0, min_length=1, chroms="chrM")
    assert set(with_mito.uns["peaks"]["chrom"]) == {"chrM"}
    with pytest.raises(ValueError, match="chr1 was not denoised"):
        sca.tl.call_peaks(with_mito, chroms="chr1")


def test_a_depth_that_is_text_is_refused(adata, network):
    with pytest.raises(TypeError, match=r"depth is '1e6' \(str\); expected a number"):
        sca.tl.denoise(adata, model=network, depth="1e6", progress=False)


def test_moved_cut_sites_move_the_tracks(network):
    """On another chromosome, with another beside it, by a whole number of the network's strides."""
    rng, shift, size = np.random.default_rng(0), 3 * network.stride, 60_000
    starts, counts = np.unique(rng.normal(size / 2, 400, 500).astype(np.int32), return_counts=True)
    found = []
    for moved, genome in ((0, {"chr1": size}), (shift, {"chr2": 9_000, "chr7": size + shift})):
        sites = (starts + np.int32(moved), None, counts.astype(np.uint32))
        tracks = sca.Tracks.from_chromosomes(["a"], sca.Genome(genome), [(list(genome)[-1], [sites])])
        cells = ad.AnnData(obs=pd.DataFrame(index=["cell"]))
        cells.uns["pseudobulk"] = {"cut_sites": tracks.to_dict(), "params": {"convention": "10x"}}
        sca.tl.denoise(cells, model=network, depth=1e6, progress=False, n_jobs=1)
        found.append([t.window("a", list(genome)[-1], 10_000 + moved, 50_000 + moved) for t in layers(cells)])
    assert np.ptp(found[0][0]) > 0
    np.testing.assert_array_equal(found[0], found[1])
