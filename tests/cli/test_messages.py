"""What all commands share: Ctrl-C, and what files and models are said to be."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
import typer
from tqdm.auto import tqdm

import scatacworks as sca
from scatacworks._files import atomic_path
from scatacworks._logging import logger
from scatacworks.cli._common import FAILED, HUNG_UP, INTERRUPTED, TERMINATED, guarded, in_options


class _Loses:
    """A finaliser in which Python drops every exception."""

    def __del__(self):
        raise KeyboardInterrupt


class _Stops:
    """Likewise, where a signal comes."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.fixture
def interruptible():
    """Listen to interrupts, which a shell tells the programs that it runs in the background to ignore."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_lost_in_a_finaliser_still_stops(capsys):
    @guarded
    def command():
        thing = _Loses()
        del thing
        for _ in range(1000):
            time.sleep(0.01)

    with pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == INTERRUPTED
    assert "Stopped" in capsys.readouterr().err


def unheard(*_):
    """Do nothing about a signal that nobody listens to."""


@pytest.fixture(
    params=["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.skipif(sys.platform == "win32", reason="not there"))]
)
def stop(request):
    """What stops a program, not heard as long as nobody listens."""
    number = getattr(signal, request.param)
    usual = signal.signal(number, unheard)
    yield number
    signal.signal(number, usual)


def test_schedulers_and_terminals_stop_a_run_as_ctrl_c_does(stop, capsys, tmp_path):
    @guarded
    def command():
        with atomic_path(tmp_path / "out.bw") as aside:
            aside.write_text("half")
            try:
                signal.raise_signal(stop)
                aside.write_text("whole")
            finally:
                signal.raise_signal(stop)  # once more, as from a shell that ends
                (tmp_path / "cleaned").touch()

    with pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == (TERMINATED if stop == signal.SIGTERM else HUNG_UP)
    assert "Stopped" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cleaned"]
    assert signal.getsignal(stop) is unheard  # again


def test_a_stop_lost_in_a_finaliser_is_one_where_ctrl_c_is_ignored(stop):
    @guarded
    def command():
        thing = _Stops(stop)
        del thing
        for _ in range(1000):
            time.sleep(0.01)

    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    try:
        with pytest.raises(typer.Exit) as end:
            command()
    finally:
        signal.signal(signal.SIGINT, usual)
    assert end.value.exit_code == (TERMINATED if stop == signal.SIGTERM else HUNG_UP)


def test_what_is_ignored_stays_ignored(stop):
    @guarded
    def command():
        signal.raise_signal(stop)

    signal.signal(stop, signal.SIG_IGN)  # as nohup does
    command()
    assert signal.getsignal(stop) == signal.SIG_IGN


class _Repeats:
    """An object of HDF5 whose file cannot be written."""

    def __del__(self):
        msg = "Can't decrement id ref count (file write failed: errno = 28)"
        raise RuntimeError(msg)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_message_has_a_line_of_its_own_beside_a_progress_bar(capsys, quiet):
    @guarded
    def command(*, quiet):
        for _ in tqdm(range(1), desc="reading", disable=quiet):
            logger.warning("Compiling.", extra={"in_passing": True})
            logger.warning("Wrong.")

    command(quiet=quiet)
    lines = [line.strip() for line in re.split(r"[\r\n]", capsys.readouterr().err)]
    told = [line for line in lines if line and not line.startswith("reading:")]
    assert told == (["Note: Wrong."] if quiet else ["Note: Compiling.", "Note: Wrong."])
    assert any(line.startswith("reading:") for line in lines) != quiet


def test_names_that_would_steer_the_terminal_are_shown_instead(capsys):
    @guarded
    def command(*, quiet=False):
        logger.warning("There is no group %s.\tLeft out.", "\x1b[2J\x07B\r\x9b")
        msg = "no chromosome \x1b]0;title\x07 α"
        raise ValueError(msg)

    with pytest.raises(typer.Exit):
        command()
    told = capsys.readouterr().err
    assert "There is no group \\x1b[2J\\x07B\\r\\x9b.\tLeft out.\n" in told
    assert "no chromosome \\x1b]0;title\\x07 α\n" in told


def test_a_full_disk_is_not_told_for_every_object(capsys):
    @guarded
    def command():
        thing = _Repeats()
        del thing

    command()
    assert capsys.readouterr().err == ""


def test_a_device_without_memory_is_no_fault_of_the_program(capsys):
    @guarded
    def command():
        msg = "The memory of 'cuda:0' does not hold it."
        raise torch.OutOfMemoryError(msg)

    with pytest.raises(typer.Exit) as end:
        command()
    assert end.value.exit_code == FAILED
    assert capsys.readouterr().err == "Error: The memory of 'cuda:0' does not hold it.\n"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("n_jobs is 0", "--n-jobs is 0"),
        ("below min_cells=10.", "below --min-cells 10."),
        ("take another, or prior=None.", "take another, or no --prior."),
        ("it lies in holdout=, or regions= names others", "it lies in --holdout, or --regions names others"),
        ("by validation=, or none by validation=[].", "by --validation, or none by --validation none."),
        ("validation=['chr2', 'chr3'] is empty", "--validation chr2,chr3 is empty"),
        ("so, with organelles=['chrM', 'x'] of", "so, with --organelles chrM,x of"),
        ("Give batch_size=3 (--batch-size 3 on the command line).", "Give --batch-size 3."),
        ("or overwrite=True (--overwrite) to delete it", "or --overwrite to delete it"),
        ("Genome(..., genes=...) has model=1, the_prior=2", "Genome(..., genes=...) has model=1, the_prior=2"),
        ("The prior is on another genome.", "The prior is on another genome."),
        ("a.tsv: no genome. genome is missing", "a.tsv: no genome. --genome is missing"),
    ],
)
def test_the_command_line_speaks_of_its_options(said, meant):
    assert in_options(said) == meant


def test_bad_input_is_one_sentence_and_leaves_nothing(call, result, inputs, model, tmp_path):
    denoise = ("denoise", inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes")
    to = ("--out", tmp_path / "out", "-q", "-j", 1)
    peaks, train = ("peaks", result / "scatacworks.h5ad"), ("train", result / "scatacworks.h5ad")
    (tmp_path / "mm10.tsv.gz").write_bytes(b"x")
    for command, code, words in (
        ((*denoise, "--prior", "nope", *to), 1, r"The prior 'nope' is not there; expected a file or a folder"),
        ((*denoise, "--model", inputs / "cells.tsv", *to), 1, r"cells\.tsv is not a file of weights"),
        ((*denoise, "--model", model, "--min-cells", 99, *to), 1, r"below --min-cells 99"),
        ((*denoise, "--model", model, "--show", "MS4A1", *to), 1, r"--genes names a file of genes"),
        (
            ("peaks", tmp_path / "mm10.tsv.gz", *to),
            1,
            r"holds no tracks by its name; .* For fragments, `scatacworks de",
        ),
        ((*peaks, "--out", tmp_path / "out.gz"), 1, r"is neither \.bed nor \.narrowPeak"),
        ((*peaks, "--threshold", -1, *to), 2, r"'--threshold'"),
        (("train", inputs / "fragments.tsv", *to), 1, r"neither an \.h5ad or \.h5mu file nor, by its name, a bigWig"),
        ((*train, "--bigwig", "nope", *to), 2, r"'nope' is not one of"),
        ((*train, "--cells", 0, *to), 2, r"'--cells'"),
        ((*train, "--resume", "--overwrite", *to), 1, r"--resume goes on with .*, --overwrite deletes it"),
        (("models", inputs / "cells.tsv"), 1, r"is not a file of weights"),
    ):
        ended, out, err = call(*command)
        assert (ended, out) == (code, ""), err
        assert re.search(words, " ".join(err.split())), err
        assert code == 2 or err.count("Error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mm10.tsv.gz"]


def test_models_are_listed_in_lines_that_fit(call):
    code, out, _ = call("models")
    assert code == 0
    assert "accessibility " in out
    assert max(map(len, out.splitlines())) <= 100


def test_info_says_what_it_describes(call, tmp_path):
    (tmp_path / "fragments.tsv.gz").write_text("hello")
    code, out, err = call("info", tmp_path / "fragments.tsv.gz")
    assert (code, out) == (1, "")
    assert re.search(r"fragments\.tsv\.gz is not described; expected an \.h5ad or \.h5mu file, a bigWig file", err)


def test_info_knows_fragments_that_an_object_holds(call, tmp_path):
    (tmp_path / "f.tsv").write_text("chr1\t10\t90\tA\n")
    adata = sca.io.read_fragments(tmp_path / "f.tsv", genome={"chr1": 100}, barcodes=["A"], in_memory=True)
    del adata.uns["files"]  # as SnapATAC2 leaves it
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert re.search(r"fragments +in the object", call("info", tmp_path / "cells.h5ad")[1])


_BARS = """
from scatacworks.cli import main
try:
    main(["--version"])
except SystemExit:
    from tqdm.auto import tqdm
    bar = tqdm([])
    print(min(bar.mininterval, bar.maxinterval))
"""


def test_a_log_is_not_filled_with_progress():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TQDM_")}
    done = subprocess.run([sys.executable, "-c", _BARS], capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout.split()[-1]) >= 30  # seconds between two


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes it")
def test_a_run_needs_no_standard_error(result, tmp_path):
    command = f"{sys.executable} -m scatacworks peaks {result}/scatacworks.h5ad -j 1 --out {tmp_path}/p.bed 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 0
    assert (tmp_path / "p.bed").is_file()
