from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca
from scatacworks.models import _predictor
from scatacworks.models._dense import DensePredictor
from scatacworks.tl._differential import _stream
from scatacworks.tl._differential._store import get_background
from scatacworks.tl._differential._target import Target, stretches

REGIONS = [("chrA", 4_000, 130_000), ("chrA", 140_000, 230_000)]


def naive(adata, model, regions):
    """Denoise every group whole, normalise, and take numpy's mean and standard deviation."""
    sca.pp.pseudobulk(adata, "background", key_added="groups", progress=False)
    sca.tl.denoise(adata, key="groups", key_added="tracks", model=model, regions=regions, progress=False)
    tracks = sca.get.tracks(adata, key="tracks")
    values = np.stack([np.concatenate([tracks.window(g, *region) for region in regions]) for g in tracks.groups])
    values = values.astype(np.float64)
    total = values.sum(axis=1)
    return values * (total.mean() / total)[:, None], total


def test_streamed_moments_and_region_means_equal_the_naive_ones(adata, model):
    values, total = naive(adata, model, REGIONS)
    background = get_background(adata, "background_moments")
    np.testing.assert_allclose(background.total, total, rtol=1e-6)
    np.testing.assert_allclose(background.mean, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(background.sd, values.std(0), rtol=1e-5, atol=1e-6)
    flat = {("chrA", 4_000): 0, ("chrA", 140_000): 126_000}
    for i in (0, 100, len(background.universe) - 1):
        row = background.universe.iloc[i]
        chrom, first = max(key for key in flat if key <= (row["chrom"], row["start"]))
        low = flat[chrom, first] + row["start"] - first
        expected = values[:, low : low + row["end"] - row["start"]].mean(1)
        np.testing.assert_allclose(background.signal[:, i], expected, rtol=1e-5)


def test_the_result_does_not_depend_on_blocks_batches_threads_or_the_source(adata, model, monkeypatch):
    before = get_background(adata, "background_moments")
    universe = before.universe
    sca.pp.pseudobulk(adata, "background", key_added="counted", progress=False)
    monkeypatch.setattr(_stream, "BATCH_BP", 1_100_000)
    monkeypatch.setattr(_predictor, "_CORE", 20_000)
    options = {"universe": universe, "n_jobs": 2, "progress": False}
    sca.tl.background(adata, key="counted", regions=REGIONS, model=model, **options)
    after = get_background(adata, "counted_moments")
    np.testing.assert_allclose(after.mean, before.mean, rtol=1e-5)
    np.testing.assert_allclose(after.sd, before.sd, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.signal, before.signal, rtol=1e-5)
    columns = ["chrom", "start", "end"]
    pd.testing.assert_frame_equal(after.universe[columns], universe[columns])


def test_a_killed_run_goes_on_and_gives_the_same(adata, model, monkeypatch, tmp_path):
    before = get_background(adata, "background_moments")
    monkeypatch.setattr(_stream, "BATCH_BP", 1_100_000)
    monkeypatch.setattr(_stream, "SAVE_SECONDS", 0)
    computed = []
    original = _stream.Stream._add

    def failing(self, found, groups, *rest):
        if computed:
            raise KeyboardInterrupt
        computed.append(groups)
        return original(self, found, groups, *rest)

    path = tmp_path / "moments"
    monkeypatch.setattr(_stream.Stream, "_add", failing)
    options = {"regions": REGIONS, "model": model, "path": path, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        sca.tl.background(adata, **options)
    with pytest.raises(ValueError, match="unfinished work of a run that differs in tile"):
        sca.tl.background(adata, **options | {"tile": 1000})
    done = []
    monkeypatch.setattr(
        _stream.Stream,
        "_add",
        lambda self, found, groups, *rest: done.append(groups) or original(self, found, groups, *rest),
    )
    sca.tl.background(adata, **options)
    assert done[0].start == computed[0].stop > 0
    after = get_background(adata, "background_moments")
    np.testing.assert_allclose(np.asarray(after.mean), before.mean, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(after.signal), before.signal, rtol=1e-5)
    assert [found.name for found in tmp_path.iterdir()] == ["moments"]


@pytest.fixture
def held(tmp_path):
    """Have another process hold the lock of what is made at `moments`."""
    folder = tmp_path / ".moments.unfinished"
    folder.mkdir()
    script = "import filelock, sys\nwith filelock.FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script, folder / "lock"], **pipes) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_another_process_at_work_on_the_same_path_is_told(adata, model, tmp_path, held):
    options = {"regions": REGIONS, "model": model, "path": tmp_path / "moments", "progress": False}
    with pytest.raises(RuntimeError, match=r"Another process is at work on .*moments\. Wait for it, or give"):
        sca.tl.background(adata, **options)
    held.kill()
    held.wait()
    sca.tl.background(adata, **options)
    assert [found.name for found in tmp_path.iterdir()] == ["moments"]


def test_every_group_is_denoised_once(adata, model, monkeypatch):
    seen = []
    original = DensePredictor.signal
    monkeypatch.setattr(
        DensePredictor,
        "signal",
        lambda self, sites, *rest: seen.extend(sites.groups) or original(self, sites, *rest),
    )
    sca.tl.background(adata, regions=REGIONS, model=model, progress=False)
    assert seen == list(adata.uns["background_moments"]["groups"])


def test_a_store_that_another_slot_shows_is_not_overwritten(adata, model, tmp_path):
    adata.uns["mine"] = {"path": str(tmp_path / "store")}
    with pytest.raises(ValueError, match=r"holds the result in \.uns\['mine'\]"):
        sca.tl.background(adata, regions=REGIONS[:1], model=model, path=tmp_path / "store", progress=False)


@pytest.mark.parametrize("array", ["mean", "sd", "signal"])
def test_a_store_that_lacks_a_part_is_not_read_as_zeros(adata, tmp_path, array):
    store = tmp_path / "store"
    adata.uns["background_moments"] = get_background(adata, "background_moments").to_slot(store)
    get_background(adata, "background_moments")
    chunk = next(path for path in (store / array / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(ValueError, match=f"The background at .* is damaged: a part of {array} cannot be read"):
        np.asarray(getattr(get_background(adata, "background_moments"), array))
    chunk.unlink()  # by a copy that was stopped
    for damage in (lambda: None, lambda: shutil.rmtree(store / array)):
        damage()
        with pytest.raises(
            ValueError, match=f"store is damaged, or .*: it lacks all or part of {array}. Delete it and run"
        ):
            get_background(adata, "background_moments")
    shutil.rmtree(store)
    store.mkdir()
    with pytest.raises(FileNotFoundError, match="There is no background at"):
        get_background(adata, "background_moments")


def test_a_store_that_was_written_anew_is_not_taken_for_the_one_before(adata, tmp_path):
    found = get_background(adata, "background_moments")
    adata.uns["background_moments"] = found.to_slot(tmp_path / "store")
    order = np.roll(np.arange(len(found.groups)), 1)  # other groups in the same regions, as after clustering again
    later = replace(found, signal=np.asarray(found.signal)[order], groups=found.groups[order], total=found.total[order])
    later.to_slot(tmp_path / "store")
    with pytest.raises(ValueError, match="store is of another run than the one that the object has"):
        get_background(adata, "background_moments")


@pytest.mark.parametrize("part", ["regions", "groups", "chroms", "params", "signal"])
def test_a_slot_that_lacks_a_part_is_no_background(adata, part):
    del adata.uns["background_moments"][part]
    with pytest.raises(KeyError, match="There is no background in .*; there are: none"):
        get_background(adata, "background_moments")


def test_it_survives_being_written(adata, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    for data in (adata, back):
        sca.tl.differential_regions(data, "primed", progress=False)
    pd.testing.assert_frame_equal(
        adata.uns["differential_regions"], back.uns["differential_regions"], check_dtype=False
    )


def test_tested_regions_can_be_given(adata, model):
    peaks = pd.DataFrame({"chrom": "chrA", "start": [6_000, 100, 60_000], "end": [6_400, 500, 60_400]})
    sca.tl.background(adata, regions=REGIONS, universe=peaks, model=model, key_added="given", progress=False)
    universe = adata.uns["given"]["universe"]
    assert universe["start"].tolist() == [6_000, 60_000]  # the other one lies outside the regions
    assert set(universe["family"]) == {"given"}
    peaks["family"] = ["promoter", "promoter", "other"]
    sca.tl.background(adata, regions=REGIONS, universe=peaks, model=model, key_added="given", progress=False)
    assert adata.uns["given"]["universe"]["family"].tolist() == ["promoter", "other"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": "nothing"}, KeyError, "no groups under 'nothing'"),
        ({"key": "kind"}, ValueError, "needs at least 3"),
        ({"regions": [("chrB", 100, 50_000)]}, ValueError, "None of the 24 groups has a cut site in"),
        ({"universe": pd.DataFrame({"chrom": ["chrB"], "start": [1], "end": [9]})}, ValueError, "nothing to test"),
    ],
)
def test_bad_input_is_explained(adata, model, change, error, message):
    options = {"regions": REGIONS, "model": model, "progress": False} | change
    with pytest.raises(error, match=message):
        sca.tl.background(adata, **options)


def test_copy_leaves_the_input_alone(adata, model):
    del adata.uns["background_moments"]
    changed = sca.tl.background(adata, regions=REGIONS[:1], model=model, progress=False, copy=True)
    assert "background_moments" in changed.uns
    assert "background_moments" not in adata.uns


@pytest.mark.gpu
def test_a_gpu_gives_the_same_background(adata, model):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    found = []
    for device in ("cpu", "cuda"):
        options = {"regions": REGIONS, "model": model, "device": device, "progress": False}
        sca.tl.background(adata, key_added=device, **options)
        found.append(get_background(adata, device))
    one, other = found
    np.testing.assert_allclose(other.mean, one.mean, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(other.sd, one.sd, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(other.signal, one.signal, rtol=0.01, atol=1e-3)


def test_pooled_peaks_are_those_of_all_cells_together_however_deep():
    adata = sca.datasets.toy()
    where = "chr1:20,000-120,000"
    adata.obs["part"] = [f"part {i % 5}" for i in range(adata.n_obs)]
    adata.obs["all"] = "all"
    sca.tl.background(adata, key="part", regions=where, progress=False)
    universe = adata.uns["part_moments"]["universe"]
    found = universe.loc[universe["family"] == "peak", ["start", "end"]].to_numpy()
    sca.pp.pseudobulk(adata, "all", progress=False)
    sca.tl.denoise(adata, regions=where, progress=False)  # scales what is deeper than anything in training
    sca.tl.call_peaks(adata)
    np.testing.assert_array_equal(found, adata.uns["peaks"][["start", "end"]].to_numpy())
    assert len(found) > 3


@pytest.fixture
def scaffolds():
    """Three groups of cells on 60 scaffolds of 3 kb, six of them with a peak; every second with a window left out."""
    genome = sca.Genome({f"s{i}": 3_000 for i in range(60)})
    rng = np.random.default_rng(0)
    inside = np.where(rng.random(6_000) < 0.5, rng.normal(600, 60, 6_000).astype(int), rng.integers(0, 3_000, 6_000))
    start = np.sort(np.where(inside < 900, rng.integers(0, 6, 6_000) * 10, rng.integers(0, 60, 6_000)) * 3_000 + inside)
    chromosomes = []
    for code in range(60):
        own = start[start // 3_000 == code] % 3_000
        sites = [np.unique(own[i::3]).astype(np.int32) for i in range(3)]
        chromosomes.append((code, [(at, None, np.ones(len(at), np.uint16)) for at in sites]))
    tracks = sca.Tracks.from_chromosomes(list("abc"), genome, chromosomes)
    adata = anndata.AnnData(np.zeros((1, 1), np.float32))
    adata.uns["counted"] = {"cut_sites": tracks.to_dict(), "params": {"convention": "10x"}}
    windows = [(f"s{i}", 0, 3_000) if i % 2 else (f"s{i}", low, low + 1_000) for i in range(60) for low in (0, 2_000)]
    return adata, pd.DataFrame(windows, columns=["chrom", "start", "end"]).drop_duplicates()


def test_short_scaffolds_are_denoised_together(scaffolds, model, monkeypatch):
    """As many of them as fit, once each; the result is that of one after the other."""
    adata, regions = scaffolds
    calls = []
    denoise = _stream.Denoiser.__call__
    monkeypatch.setattr(
        _stream.Denoiser, "__call__", lambda self, *args: calls.append(list(args[2])) or denoise(self, *args)
    )
    options = {"key": "counted", "regions": regions, "tile": 500, "model": model, "progress": False}
    sca.tl.background(adata, **options, key_added="together")
    assert calls == [list(range(60))]
    monkeypatch.setattr(_stream, "POOLED_BP", 1)
    sca.tl.background(adata, **options, key_added="apart")
    assert calls[1:] == [[code] for code in range(60)]
    together, apart = (get_background(adata, key) for key in ("together", "apart"))
    pd.testing.assert_frame_equal(together.universe, apart.universe)
    assert (together.universe["family"] == "peak").sum() == 6
    np.testing.assert_array_equal(together.signal, apart.signal)


def test_regions_on_many_scaffolds_are_measured_where_they_lie(scaffolds, model):
    adata, regions = scaffolds
    sca.tl.background(adata, key="counted", regions=regions, tile=500, model=model, progress=False)
    background = get_background(adata, "counted_moments")
    regions, tested = background.regions, background.universe
    assert set(tested["family"]) == {"peak", "tile"}
    for at, row in enumerate(tested.itertuples()):
        holds = (regions["chrom"] == row.chrom) & (regions["start"] <= row.start) & (regions["end"] >= row.end)
        number = int(np.flatnonzero(holds)[0])
        low = int((regions["end"] - regions["start"])[:number].sum()) + row.start - int(regions["start"].iloc[number])
        expected = background.mean[low : low + row.end - row.start].mean()
        np.testing.assert_allclose(background.signal[:, at].mean(), expected, rtol=1e-4)
    tiles = tested[tested["family"] == "tile"]
    assert (tiles["start"] % 500 == 0).all()
    assert (tiles["end"] - tiles["start"] == 500).all()


class Reads:
    """An array that counts how often it is read from."""

    def __init__(self, values):
        self.values, self.n = values, 0

    def __getitem__(self, where):
        self.n += 1
        return self.values[where]


def test_the_background_of_many_short_regions_is_read_at_once(scaffolds, model):
    adata, regions = scaffolds
    sca.tl.background(adata, key="counted", regions=regions, model=model, progress=False)
    sca.tl.denoise(adata, key="counted", model=model, progress=False)
    background = get_background(adata, "counted_moments")
    signal = sca.get.tracks(adata, key="denoised", layer="signal")
    mean, offsets = background.mean, background.offsets
    background.mean = Reads(mean)
    found = list(stretches(background, Target(signal, "a")))
    assert background.mean.n == 1
    assert [one[:3] for one in found] == list(background.regions.itertuples(index=False, name=None))
    for one, low, high in zip(found, offsets, offsets[1:], strict=False):
        np.testing.assert_array_equal(one.mean, mean[low:high])
        np.testing.assert_array_equal(one.signal, signal.window("a", *one[:3]))


def test_groups_without_a_cut_site_are_left_out(adata, model, caplog):
    adata.obs_names = [f"absent{i}" if i < 30 else name for i, name in enumerate(adata.obs_names)]
    members = adata.obsm["background"].toarray()
    members[:, 0] = np.arange(len(members)) < 30
    adata.obsm["background"], adata.obsm["filled"] = (sparse.csr_matrix(members[:, low:]) for low in range(2))
    options = {"regions": REGIONS, "model": model, "progress": False}
    sca.tl.background(adata, **options)
    assert "1 of 24 groups have no cut site in the regions and are left out" in caplog.text
    sca.tl.background(adata, key="filled", **options)
    ours, expected = (get_background(adata, f"{name}_moments") for name in ("background", "filled"))
    assert list(ours.groups) == [str(i) for i in range(1, 24)]
    np.testing.assert_array_equal(ours.mean, expected.mean)
    np.testing.assert_array_equal(ours.signal, expected.signal)
    adata.obs["n_fragments"] = np.r_[np.zeros(30), np.full(300, 200.0)]
    sca.tl.differential_regions(adata, "primed", progress=False)
    assert np.isfinite(adata.uns["differential_regions"]["z"]).all()
    assert adata.uns["scatacworks"]["differential_regions"]["n_groups"] == 23


def test_mitochondria_are_no_part_of_what_signal_is_normalised_to():
    """Groups of the same nuclear cut sites, the last with far more of mitochondria, have the same background signal."""
    genome = sca.Genome({"chr1": 20_000, "chrM": 4_000})
    rng = np.random.default_rng(0)
    starts = np.unique(rng.integers(0, 20_000, 300)).astype(np.int32)
    nuclear = (starts, None, np.ones(len(starts), np.uint16))
    of_mito = [(np.arange(0, 4_000, 7, dtype=np.int32), None, np.full(572, n, np.uint16)) for n in (1, 1, 30)]
    tracks = sca.Tracks.from_chromosomes(list("abc"), genome, [("chr1", [nuclear] * 3), ("chrM", of_mito)])
    adata = anndata.AnnData(np.zeros((1, 1), np.float32))
    adata.uns["pseudobulk"] = {"cut_sites": tracks.to_dict(), "params": {"convention": "10x"}}
    model = sca.models.Gaussian()
    model.card["data"] = "none is needed"
    sca.tl.background(adata, key="pseudobulk", tile=1_000, model=model, progress=False)
    background = get_background(adata, "pseudobulk_moments")
    assert list(background.universe["chrom"].unique()) == ["chr1"]
    np.testing.assert_allclose(background.signal, background.signal[:1].repeat(3, axis=0), rtol=1e-5)
    assert (background.signal > 0).all()


@pytest.fixture
def windows_only(tmp_path, model):
    """Cells in four parts, with fragments in two windows of a chromosome only."""
    rng = np.random.default_rng(0)
    start = np.sort(rng.choice([5_000_000, 9_000_000], 8_000) + rng.integers(0, 20_000, 8_000))
    cells = rng.choice([f"c{i}" for i in range(40)], len(start))
    table = pd.DataFrame({"chrom": "chrA", "start": start, "end": start + 50, "cell": cells})
    table.to_csv(tmp_path / "fragments.tsv", sep="\t", header=False, index=False)
    obs = pd.DataFrame({"part": [f"p{i % 4}" for i in range(40)]}, index=[f"c{i}" for i in range(40)])
    adata = anndata.AnnData(obs=obs)
    adata.uns["files"] = {"fragments": str(tmp_path / "fragments.tsv")}
    adata.uns["reference_sequences"] = sca.Genome({"chrA": 20_000_000}).to_frame()
    sca.pp.pseudobulk(adata, "part", progress=False)
    return adata


@pytest.mark.parametrize("key", ["part", "pseudobulk"])  # counted on the fly, and before
def test_of_a_file_cut_to_windows_these_are_the_default(windows_only, model, key):
    with pytest.warns(UserWarning, match="in 2 windows of 0.04 Mb in all; only these are used") as told:
        sca.tl.background(windows_only, key=key, model=model, progress=False)
    assert told[0].filename == __file__
    regions = windows_only.uns[f"{key}_moments"]["regions"]
    np.testing.assert_allclose(regions["start"], [5_000_000, 9_000_000], atol=100)
    np.testing.assert_allclose(regions["end"], [5_020_000, 9_020_000], atol=100)
    with pytest.warns(UserWarning, match="in 2 windows") as told:
        sca.tl.differential_regions(
            windows_only, "p0", reference="p1", key=key, replicates=2, model=model, progress=False
        )
    assert told[0].filename == __file__
    tested = windows_only.uns["differential_regions"]
    assert set(tested["start"] // 1_000_000) == {5, 9}
    assert tested["end"].max() <= regions["end"].max()


def test_counted_groups_are_not_mistaken_for_a_column_of_another_modality(windows_only, model, mudata):
    rna = anndata.AnnData(obs=windows_only.obs.rename(columns={"part": "kind"}))
    data = mudata.MuData({"atac": windows_only, "rna": rna})
    sca.pp.pseudobulk(data, "rna:kind", key_added="kind", progress=False)
    regions = [("chrA", 5_000_000, 5_020_000)]
    sca.tl.background(data, key="kind", regions=regions, model=model, progress=False)
    sca.tl.differential_regions(
        data, "p0", reference="p1", key="kind", replicates=2, regions=regions, model=model, progress=False
    )
    tables = [data.mod["atac"].uns["differential_regions"]]
    sca.tl.differential_regions(
        windows_only, "p0", reference="p1", key="part", replicates=2, regions=regions, model=model, progress=False
    )
    pd.testing.assert_frame_equal(tables[0], windows_only.uns["differential_regions"])


def test_whatever_takes_long_has_a_bar(windows_only, model, capsys):
    regions = [("chrA", 5_000_000, 5_020_000)]
    sca.tl.background(windows_only, key="part", regions=regions, model=model)
    told = capsys.readouterr().err
    assert "pooled peaks: 100%" in told
    assert "background: 100%" in told
    sca.tl.differential_regions(windows_only, "p0", reference="p1", replicates=2, regions=regions, model=model)
    told = capsys.readouterr().err
    assert "replicates: 100%" in told
    assert "background" not in told
