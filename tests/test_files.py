"""Files appear whole or not at all, and what stands in the way is named."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from scatacworks._files import atomic_path, require_writable, without_empty_folders


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
