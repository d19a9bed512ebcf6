from __future__ import annotations

import json
import pickle
import shutil

import anndata as ad
import numcodecs.pickles
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scatacworks import Genome, Tracks
from scatacworks._core.runs import encode
from scatacworks.io import write_bigwig

GENOME = Genome({"chr1": 60, "chr2": 40})


def from_dense(dense, *, fill=0.0):
    """Tracks from {chrom: (n_groups, length)} arrays."""
    n_groups = len(next(iter(dense.values())))
    chromosomes = [(chrom, [encode(row, 0, fill) for row in rows]) for chrom, rows in sorted(dense.items())]
    return Tracks.from_chromosomes([f"g{i}" for i in range(n_groups)], GENOME, chromosomes, fill=fill)


dense_tracks = st.fixed_dictionaries(
    {
        chrom: hnp.arrays(np.float32, (3, size), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.5]))
        for chrom, size in GENOME.sizes.items()
    }
)


@given(dense=dense_tracks, start=st.integers(-10, 70), length=st.integers(1, 90))
def test_any_window_equals_the_dense_array(dense, start, length):
    tracks = from_dense(dense)
    for chrom, rows in dense.items():
        for group, row in enumerate(rows):
            padded = np.concatenate([np.zeros(10), row, np.zeros(200)])
            window = tracks.window(f"g{group}", chrom, start, start + length)
            np.testing.assert_array_equal(window, padded[start + 10 : start + 10 + length])


@pytest.mark.parametrize("lengths", [None, [1, 4, 2]])
def test_sums_leave_out_what_is_not_known(lengths):
    run = np.array([2, 4, 9], np.int32), lengths and np.array(lengths, np.int32), np.array([3, np.nan, 5], np.float32)
    tracks = Tracks.from_chromosomes(["a"], Genome({"chr1": 20}), [("chr1", [run])])
    assert tracks.sums() == np.nansum(tracks.window("a", "chr1", 0, 20), dtype=float)


@given(dense=dense_tracks)
def test_sums_and_group_sum_equal_the_dense_ones(dense):
    tracks = from_dense(dense)
    np.testing.assert_allclose(tracks.sums(), sum(rows.sum(1) for rows in dense.values()))
    total = tracks.sum_groups()
    for chrom, rows in dense.items():
        np.testing.assert_allclose(total.window("sum", chrom, 0, GENOME.sizes[chrom]), rows.sum(0))


@given(dense=dense_tracks)
def test_runs_are_maximal_sorted_and_apart(dense):
    tracks = from_dense(dense)
    for _, runs in tracks.chromosomes():
        for starts, lengths, values in runs:
            ends = starts + (1 if lengths is None else lengths)
            assert (starts[1:] >= ends[:-1]).all()
            assert not ((starts[1:] == ends[:-1]) & (values[1:] == values[:-1])).any()


def cut_sites():
    chr1 = [
        (np.array([3, 9], np.int32), None, np.array([1, 2], np.uint16)),
        (np.array([9], np.int32), None, np.array([5], np.uint16)),
    ]
    chr2 = [
        (np.empty(0, np.int32), None, np.empty(0, np.uint16)),
        (np.array([39], np.int32), None, np.array([1], np.uint16)),
    ]
    return Tracks.from_chromosomes(["NK/T", "B µ"], GENOME, [("chr1", chr1), ("chr2", chr2)])


def test_cut_sites_add_up_over_groups():
    total = cut_sites().sum_groups()
    assert total.lengths is None
    starts, _, values = total.runs("sum", "chr1")
    assert (starts.tolist(), values.tolist()) == ([3, 9], [1, 7])


def test_fractions_of_single_bases_add_up_over_groups():
    rows = np.random.default_rng(0).random((3, 40)) * np.random.default_rng(1).integers(0, 2, (3, 40))
    runs = [(np.flatnonzero(row).astype(np.int32), None, row[row > 0].astype(np.float32)) for row in rows]
    total = Tracks.from_chromosomes(list("abc"), GENOME, [("chr2", runs)]).sum_groups()
    np.testing.assert_allclose(total.window("sum", "chr2", 0, 40), rows.sum(axis=0), rtol=1e-6)


def test_select_keeps_order_and_fill():
    tracks = from_dense({c: np.ones((3, n), np.float32) for c, n in GENOME.sizes.items()})
    tracks = Tracks(
        tracks.groups,
        GENOME,
        indptr=tracks.indptr,
        starts=tracks.starts,
        lengths=tracks.lengths,
        values=tracks.values,
        fill=[0.0, 1.5, 3.0],
    )
    chosen = tracks.select(["g2", "g0"])
    assert chosen.groups.tolist() == ["g2", "g0"]
    assert chosen.window("g2", "chr1", -2, 1).tolist() == [3, 3, 1]


def test_none_can_be_selected():
    none = from_dense({c: np.ones((3, n), np.float32) for c, n in GENOME.sizes.items()}).select([])
    assert (none.groups.tolist(), none.n_runs, none.sums().tolist()) == ([], 0, [])


@pytest.mark.parametrize("store", ["h5ad", "zarr"])
def test_uns_round_trip(tmp_path, store):
    tracks = cut_sites()
    adata = ad.AnnData(np.zeros((2, 1), np.float32), uns={"pseudobulk": {"cut_sites": tracks.to_dict()}})
    path = tmp_path / f"a.{store}"
    getattr(adata, f"write_{store}")(path)
    back = Tracks.from_dict(getattr(ad, f"read_{store}")(path).uns["pseudobulk"]["cut_sites"])
    assert back.groups.tolist() == ["NK/T", "B µ"]
    assert back.genome == GENOME
    np.testing.assert_array_equal(back.window("B µ", "chr2", 30, 40), tracks.window("B µ", "chr2", 30, 40))


@settings(max_examples=5, deadline=None)
@given(dense=dense_tracks)
def test_zarr_round_trip(tmp_path_factory, dense):
    tracks = from_dense(dense)
    path = tmp_path_factory.mktemp("zarr") / "tracks.zarr"
    tracks.to_zarr(path)
    back = Tracks.from_zarr(path)
    for chrom, rows in dense.items():
        for group in range(3):
            np.testing.assert_array_equal(back.window(group, chrom, 0, rows.shape[1]), rows[group])
            np.testing.assert_array_equal(back.window(group, chrom, 17, 23), rows[group][17:23])


def stored_runs():
    runs = [(np.array([5, 20, 40]), np.array([10, 5, 20]), np.array([1.0, 2.0, 3.0]))] * 2
    typed = [(starts.astype(np.int32), lengths.astype(np.int32), values) for starts, lengths, values in runs]
    return Tracks.from_chromosomes(["a", "b"], GENOME, [("chr1", typed)]).to_dict()


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("starts", 0, -1),
        ("starts", 1, 10),  # overlaps with the one before
        ("starts", 1, 2),
        ("starts", 2, 50),  # beyond the chromosome
        ("starts", 2, 2**31 - 1),
        ("lengths", 0, 0),
        ("lengths", 1, -5),
        ("lengths", 2, 2**31 - 1),
    ],
)
def test_runs_that_are_no_step_function_are_told_and_not_computed_with(name, at, value, tmp_path):
    stored = stored_runs()
    stored[name][at] = value
    tracks = Tracks.from_dict(stored)
    message = "tracks are damaged: the runs of 'a' on chr1 are not in order within the chromosome"
    with pytest.raises(ValueError, match=message):
        tracks.runs("a", "chr1")
    with pytest.raises(ValueError, match=message):
        write_bigwig(tracks, tmp_path, progress=False)
    assert tracks.runs("b", "chr1")[2].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("indptr", [1, 3, 6, 6, 6], "indptr does not count up from 0"),
        ("indptr", [0, 7, 6, 6, 6], "indptr does not count up from 0"),
        ("indptr", [0, -3, 6, 6, 6], "indptr does not count up from 0"),
        ("values", np.ones(5), r"values is an array of float64 of the shape \(5,\)"),
        ("lengths", np.ones(3, np.int32), "lengths is an array of int32"),
        ("starts", np.arange(6.0), "starts is an array of float64"),
        ("values", np.full(6, "a"), "expected numbers"),
        ("starts", np.zeros((6, 2), np.int32), r"of the shape \(6, 2\)"),
        ("fill", np.zeros(3), r"fill has the shape \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_told(name, changed, told):
    with pytest.raises(ValueError, match=told):
        Tracks.from_dict(stored_runs() | {name: np.asarray(changed)})


@pytest.mark.parametrize("part", ["starts", "lengths", "values"])
def test_a_chunk_that_a_stopped_copy_left_out_is_not_read_as_zeros(part, tmp_path):
    stored = stored_runs()
    stored["values"] = np.zeros_like(stored["values"])  # which are written nevertheless
    Tracks.from_dict(stored).to_zarr(tmp_path / "store")
    assert not Tracks.from_zarr(tmp_path / "store").values.any()
    lost = next(path for path in (tmp_path / "store" / part / "c").rglob("*") if path.is_file())
    lost.rename(lost.with_name("Thumbs.db"))  # other programs' files are no chunks
    with pytest.raises(ValueError, match=f"store is damaged: a part of {part} is lost"):
        Tracks.from_zarr(tmp_path / "store")


def test_a_store_that_lacks_a_part_or_claims_more_than_it_has_is_told(tmp_path):
    for part in ("values", "indptr"):
        Tracks.from_dict(stored_runs()).to_zarr(tmp_path / part)
        shutil.rmtree(tmp_path / part / part)
        with pytest.raises(ValueError, match=f"is damaged: it lacks {part}"):
            Tracks.from_zarr(tmp_path / part)
    described = json.loads((tmp_path / "values" / "indptr" / "zarr.json").read_text()) | {"shape": [10**15]}
    Tracks.from_dict(stored_runs()).to_zarr(tmp_path / "large")
    (tmp_path / "large" / "indptr" / "zarr.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"is damaged: its indptr has the shape \(1000000000000000,\), not 5"):
        Tracks.from_zarr(tmp_path / "large")


@pytest.mark.parametrize("part", ["", "indptr", "starts", "values"])
def test_what_cannot_be_read_of_a_store_is_named(part, tmp_path):
    Tracks.from_dict(stored_runs()).to_zarr(tmp_path)
    described = tmp_path / part / "zarr.json"
    whole = described.read_bytes()
    for text in (whole[: len(whole) // 2], b"[]"):
        described.write_bytes(text)
        found = f"({part}/?zarr.json cannot be read|it lacks {part or 'groups'})"  # older zarr reads [] as nothing
        with pytest.raises(ValueError, match=f"store at {tmp_path} is damaged: {found}.* again"):
            Tracks.from_zarr(tmp_path)
    described.write_bytes(whole)
    for chunk in (tmp_path / part / "c").glob("*"):
        chunk.write_bytes(chunk.read_bytes()[:-3])
        with pytest.raises(ValueError, match=f"at {tmp_path} is damaged: a part of {part} cannot be read .* again"):
            Tracks.from_zarr(tmp_path)


def test_a_damaged_part_of_a_long_store_is_named_where_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("scatacworks.tracks._CHUNK", 2)
    tracks = Tracks.from_dict(stored_runs())
    tracks.to_zarr(tmp_path)
    last = max((tmp_path / "values" / "c").iterdir(), key=lambda path: int(path.name))
    last.write_bytes(b"")
    damaged = Tracks.from_zarr(tmp_path)
    with pytest.raises(ValueError, match=f"store at {tmp_path} is damaged: a part of values cannot be read"):
        damaged.sums()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


def test_a_store_that_names_the_pickle_codec_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)  # as older numcodecs do
    store, touched = tmp_path / "signal", tmp_path / "touched"
    tracks = Tracks.from_chromosomes(["a"], GENOME, [])
    codecs = {
        "starts": ("|O", [{"id": "vlen-utf8"}, {"id": "pickle"}]),
        "values": ("<f4", None),
        "indptr": ("<i8", None),
    }
    for name, (dtype, filters) in codecs.items():
        (store / name).mkdir(parents=True)
        described = {"zarr_format": 2, "shape": [3], "chunks": [3], "dtype": dtype, "compressor": None, "order": "C"}
        described |= {"fill_value": "" if filters else 0, "filters": filters}
        (store / name / ".zarray").write_text(json.dumps(described))
        (store / name / "0").write_bytes(pickle.dumps(Touch(touched)) if filters else bytes(24))
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    (store / ".zattrs").write_text(
        json.dumps({"groups": ["a"], "genome": "toy", "sizes": tracks.genome.sizes, "fill": [0.0]})
    )
    with pytest.raises(FileNotFoundError, match="no track store"):
        Tracks.from_zarr(store)
    assert not touched.exists()


def test_stores_are_read_again_whatever_format_zarr_writes_by_default(tmp_path):
    with zarr.config.set({"default_zarr_format": 2}):
        tracks = from_dense({"chr1": np.ones((1, 60), np.float32), "chr2": np.zeros((1, 40), np.float32)})
        tracks.to_zarr(tmp_path / "signal")
    assert Tracks.from_zarr(tmp_path / "signal").sums().tolist() == [60.0]


def test_missing_zarr_store_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no track store"):
        Tracks.from_zarr(tmp_path / "gone.zarr")


def test_unknown_group_names_the_groups():
    with pytest.raises(KeyError, match="NK/T"):
        cut_sites().runs("Mono", "chr1")


def test_repeated_group_names_are_refused():
    with pytest.raises(ValueError, match="unique"):
        Tracks.from_chromosomes(["a", "a"], GENOME, [])


def test_chromosomes_out_of_order_are_refused():
    empty = [(np.empty(0, np.int32), None, np.empty(0, np.float32))]
    with pytest.raises(ValueError, match="order"):
        Tracks.from_chromosomes(["a"], GENOME, [("chr2", empty), ("chr1", empty)])


def test_empty_tracks_are_legal():
    tracks = Tracks.from_chromosomes(["a"], GENOME, [])
    assert tracks.sums().tolist() == [0.0]
    assert tracks.window("a", "chr1", 0, 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("lengths", [False, True])
def test_a_store_written_chromosome_by_chromosome_equals_the_whole(tmp_path, lengths):
    tracks = cut_sites()
    chromosomes = ((chrom, runs) for chrom, runs in tracks.chromosomes() if chrom == "chr1")
    written = Tracks.write_zarr(
        tmp_path / "sites.zarr", tracks.groups, GENOME, chromosomes, dtype=np.uint32, lengths=lengths
    )
    assert written.groups.tolist() == tracks.groups.tolist()
    for group in tracks.groups:
        np.testing.assert_array_equal(written.window(group, "chr1", 0, 60), tracks.window(group, "chr1", 0, 60))
        assert not written.window(group, "chr2", 0, 40).any()


@pytest.mark.parametrize("with_lengths", [True, False])
def test_a_store_of_many_scaffolds_is_written_in_parts_of_any_size(tmp_path, monkeypatch, with_lengths):
    rng = np.random.default_rng(0)
    genome = Genome({f"scaffold_{i}": 100 for i in range(12)})
    runs = [
        [
            (
                np.arange(0, 10 * n, 10, dtype=np.int32),
                rng.integers(1, 9, n).astype(np.int32) if with_lengths else None,
                rng.integers(1, 9, n).astype(np.float32),
            )
            for n in rng.integers(0, 9, 3)
        ]
        for _ in genome.chroms
    ]
    tracks = Tracks.from_chromosomes(["a", "b", "c"], genome, enumerate(runs))
    writes = []
    append = zarr.Array.append
    monkeypatch.setattr(zarr.Array, "append", lambda array, *rest: (writes.append(array.name), append(array, *rest))[1])
    for part in (1, 7, 1 << 20):
        monkeypatch.setattr("scatacworks.tracks._PART", part)
        writes.clear()
        tracks.to_zarr(tmp_path / f"{part}.zarr")
        again = Tracks.from_zarr(tmp_path / f"{part}.zarr")
        for group in range(3):
            for chrom in range(12):
                for ours, theirs in zip(again.runs(group, chrom), tracks.runs(group, chrom), strict=True):
                    assert (ours is None and theirs is None) or np.array_equal(ours, theirs)
    assert len(writes) == 2 + with_lengths, "once each, however many the chromosomes"


def test_a_store_that_names_no_organelles_is_read(tmp_path):
    Tracks.from_chromosomes(["a"], GENOME, []).to_zarr(tmp_path / "sites.zarr")
    del zarr.open_group(tmp_path / "sites.zarr").attrs["organelles"]
    assert Tracks.from_zarr(tmp_path / "sites.zarr").genome == GENOME


def many_groups(n_groups):
    """Tracks of cut sites of many sparse groups."""
    rng = np.random.default_rng(0)
    runs = [(np.unique(rng.integers(0, 60, 3)).astype(np.int32), None, np.ones(3, np.uint16)) for _ in range(n_groups)]
    chromosomes = [("chr1", [(starts, None, values[: len(starts)]) for starts, _, values in runs])]
    return Tracks.from_chromosomes([f"g{i}" for i in range(n_groups)], GENOME, chromosomes)


def test_a_store_of_many_groups_is_read_by_chunks_not_by_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("scatacworks.tracks._CHUNK", 50)
    tracks = many_groups(200)
    tracks.to_zarr(tmp_path / "sites.zarr")
    kept = Tracks.from_zarr(tmp_path / "sites.zarr")
    reads = []
    read = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda array, wanted: reads.append(wanted) or read(array, wanted))
    np.testing.assert_array_equal(kept.sums(), tracks.sums())
    n_chunks = tracks.n_runs // 50 + 1
    assert len(reads) <= 4 * n_chunks  # of two arrays, each chunk once, and a group's runs that lie across two
    for group in tracks.groups:
        np.testing.assert_array_equal(kept.window(group, "chr1", 5, 50), tracks.window(group, "chr1", 5, 50))


def test_writing_many_groups_looks_at_each_once(tmp_path):
    class Counted(np.ndarray):
        n_looks = 0

        def __len__(self):
            Counted.n_looks += 1
            return self.shape[0]

    tracks = many_groups(100)
    runs = [(starts.view(Counted), None, values) for starts, _, values in next(iter(tracks.chromosomes()))[1]]
    written = Tracks.write_zarr(
        tmp_path / "sites.zarr", tracks.groups, GENOME, [("chr1", runs)], dtype=np.uint16, lengths=False
    )
    np.testing.assert_array_equal(written.sums(), tracks.sums())
    assert Counted.n_looks < 20 * len(runs)
