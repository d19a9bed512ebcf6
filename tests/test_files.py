"""Files appear whole or not at all, and what stands in the way is named."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import scatacworks as sca
from scatacworks._files import atomic_path, require_place, require_writable, without_empty_folders


def test_a_store_that_is_no_path_is_told():
    adata = sca.datasets.toy(n_cells=10)
    with pytest.raises(TypeError, match=r"path is 5 \(int\); expected that of the zarr store"):
        sca.pp.pseudobulk(adata, "group", path=5, progress=False)
    sca.pp.pseudobulk(adata, "group", progress=False)
    with pytest.raises(TypeError, match=r"path is 5 \(int\)"):
        sca.tl.denoise(adata, path=5)
    with pytest.raises(TypeError, match=r"path is 5 \(int\)"):
        sca.tl.background(adata, key="group", path=5, progress=False)


def test_a_file_appears_when_it_is_whole(tmp_path):
    with atomic_path(tmp_path / "new" / "a.txt") as aside:
        aside.write_text("x")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "no space is left on the disk"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
    ],
)
def test_a_full_disk_is_told_with_the_file(tmp_path, number, cause):
    def write():
        with atomic_path(tmp_path / "a.bw") as aside:
            aside.write_text("half")
            raise OSError(number, "whatever the system says")

    with pytest.raises(OSError, match=rf"Cannot write .*a\.bw: {cause}\. Make room") as caught:
        write()
    assert caught.value.errno == number
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_threads_still_write_to_goes_and_does_not_hide_the_cause(tmp_path, monkeypatch):
    rmdir, late = os.rmdir, []

    def written_to(path, **options):
        if not late:
            late.append(next(tmp_path.iterdir()) / "chunk 3")
            late[0].write_text("by a thread that did not know")
        rmdir(path, **options)

    def write():
        with atomic_path(tmp_path / "store") as aside:
            aside.mkdir()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rmdir", written_to)
    with pytest.raises(OSError, match="Cannot write .*store: no space is left"):
        write()
    assert late
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_told_by_hdf5_is_understood(tmp_path):
    def write():
        with atomic_path(tmp_path / "a.h5ad"):
            msg = (
                "Can't decrement id ref count (file write failed: time = now\n, errno = 28, error message = 'No space')"
            )
            raise RuntimeError(msg)

    with pytest.raises(OSError, match=r"Cannot write .*a\.h5ad: no space is left"):
        write()


def test_a_part_of_a_folder_is_told_by_its_final_name(tmp_path):
    def write():
        with atomic_path(tmp_path / "store") as aside, atomic_path(aside / "part"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=rf"Cannot write {tmp_path}/store/part: no space"):
        write()


def test_other_faults_pass(tmp_path):
    def fail(error):
        with atomic_path(tmp_path / "a.h5ad"):
            raise error

    for error in (RuntimeError("a fault"), OSError("no number")):
        with pytest.raises(type(error), match=str(error)):
            fail(error)


def test_a_refused_file_is_told_by_its_final_name(tmp_path):
    def write():
        with atomic_path(tmp_path / "a.txt") as aside:
            (aside / "below").write_text("")

    def refused():
        with atomic_path(tmp_path / "a.txt") as aside:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(aside))

    with pytest.raises(FileNotFoundError, match=r"Cannot write .*a\.txt: no such file or directory"):
        refused()
    with pytest.raises(FileNotFoundError, match="below"):
        write()


def test_an_error_of_another_file_passes(tmp_path):
    def read():
        with atomic_path(tmp_path / "a.txt"):
            (tmp_path / "gone").read_text()

    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*gone"):
        read()


def test_a_folder_the_system_refuses_is_named(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"Cannot make the folder .*out: the file system is read-only\. Give another"):
        require_writable(tmp_path / "out")


def make(folder, *, file=None):
    with without_empty_folders(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        if file is not None:
            (folder / file).write_text("done")
        raise KeyboardInterrupt


def test_folders_that_stayed_empty_go(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "a" / "out")
    assert list(tmp_path.iterdir()) == []


def test_finished_files_and_earlier_folders_stay(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "a", file="peaks.bed")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["peaks.bed"]
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "mine")
    assert (tmp_path / "mine" / "empty").is_dir()


def test_a_place_is_checked_and_nothing_made(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    assert require_place(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    monkeypatch.chdir(tmp_path)
    assert require_place("a") == Path("a")
    with pytest.raises(NotADirectoryError, match=r"Cannot write into notes\.txt: it is a file\. Give another output"):
        require_place("notes.txt")
    with pytest.raises(NotADirectoryError, match=r"into .*/a/b: .*/notes\.txt is a file\. Give another output folder"):
        require_place(tmp_path / "notes.txt" / "a" / "b")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"Cannot make the folder .*/a: no permission\. Give a folder you may"):
        require_place(tmp_path / "a")


def write_store(path):
    with atomic_path(path, holds="data") as aside:
        aside.mkdir()
        (aside / "data").write_text("new")


def test_a_drive_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: False)  # on Windows, not even the root of it
    with pytest.raises(FileNotFoundError, match=r"out: there is no /\. Give another output folder\.$"):
        require_place(tmp_path / "out")


def test_only_a_folder_of_the_same_kind_is_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "free", "free"):
        write_store(tmp_path / name)
        assert [file.name for file in (tmp_path / name).iterdir()] == ["data"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"mine is a folder with something else in it, .*give a path that is free"
    ):
        write_store(tmp_path / "mine")
    with pytest.raises(NotADirectoryError, match=r"notes\.txt: it is a file"):
        write_store(tmp_path / "mine" / "notes.txt")
    with (
        pytest.raises(OSError, match=r"Cannot write .*mine: directory not empty"),
        atomic_path(tmp_path / "mine") as aside,
    ):
        aside.mkdir()
    assert [file.read_text() for file in (tmp_path / "mine").iterdir()] == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "free", "mine"]


def store_tracks(path):
    sca.Tracks.from_chromosomes(["A"], sca.Genome({"chr1": 9}), []).to_zarr(path)


def store_background(path):
    adata = sca.datasets.toy(n_cells=30)
    sca.tl.background(adata, key="group", regions="chr1:0-20,000", path=path, progress=False)


def store_denoised(path):
    adata = sca.datasets.toy(n_cells=30)
    sca.pp.pseudobulk(adata, "group", progress=False)
    sca.tl.denoise(adata, regions="chr1:0-20,000", path=path, progress=False)


def store_cut_sites(path):
    sca.pp.pseudobulk(sca.datasets.toy(n_cells=30), "group", path=path, progress=False)


def write_bigwigs(path):
    tracks = sca.Tracks.from_chromosomes(["A"], sca.Genome({"chr1": 9}), [])
    sca.io.write_bigwig(tracks, path, progress=False)


@pytest.mark.filterwarnings("ignore:Groups with fewer cut sites")
@pytest.mark.parametrize("write", [store_tracks, store_background, store_denoised, store_cut_sites, write_bigwigs])
def test_what_a_user_has_there_is_kept(tmp_path, write):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    for taken in ("mine/notes", "mine/notes/below"):
        with pytest.raises(NotADirectoryError, match=rf"{tmp_path}/mine/notes.*[Gg]ive"):
            write(tmp_path / taken)
    if write is not write_bigwigs:  # which adds its files to the folder
        with pytest.raises(FileExistsError, match=rf"{tmp_path}/mine .*give a path that is free"):
            write(tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes"]
    assert (tmp_path / "mine" / "notes").read_text() == "mine"
