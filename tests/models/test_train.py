"""Training: the same weights for the same seed, after a kill too; and what goes wrong is said."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import functools
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import scatacworks as sca
from scatacworks import models
from scatacworks.models import _module
from scatacworks.models.data import CellSites, Drawer, DrawRules, Sample, depth_of
from scatacworks.models.losses import poisson_loss
from scatacworks.models.train import fit, recipe, start

LENGTH = 100_000


def made_up(seed=0):
    """Cut sites with thirty peaks on two small chromosomes."""
    rng = np.random.default_rng(seed)
    genome = sca.Genome({"chr1": LENGTH, "chr2": LENGTH})
    chromosomes = []
    for chrom in genome.chroms:
        rate = np.full(LENGTH, 0.02)
        for center in rng.integers(1000, LENGTH - 1000, 15):
            rate[center - 150 : center + 150] += 1.0
        counts = rng.poisson(rate)
        positions = np.flatnonzero(counts).astype(np.int32)
        chromosomes.append((chrom, [(positions, None, counts[positions].astype(np.uint16))]))
    return sca.Tracks.from_chromosomes(["A"], genome, chromosomes)


@pytest.fixture(scope="module")
def samples():
    tracks = made_up()
    depth = depth_of(tracks.sums()[0], 2 * LENGTH)
    whole = np.array([[0, LENGTH]])
    return [Sample(tracks, "A", depth, {chrom: whole}) for chrom in ("chr1", "chr2")]


def run(
    samples,
    out=None,
    *,
    architecture=models.Linear,
    resume=False,
    overwrite=False,
    accelerator="auto",
    progress=False,
    **settings,
):
    torch.manual_seed(0)
    settings = {"steps": 6, "epochs": 3, "core_bp": 4096, "batch_size": 2, "warmup": 2} | settings
    config = recipe(validation_depths=(samples[0].depth / 10,), **settings)
    how = {"out": out, "resume": resume, "overwrite": overwrite, "progress": progress, "accelerator": accelerator}
    return fit(architecture(), samples[:1], samples[1:], config=config, **how)


@pytest.fixture(scope="module")
def usual(samples):
    """The result of a run with the usual settings; not to be changed."""
    return run(samples)


@pytest.fixture(scope="module")
def finished(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run(samples, folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """Folder of a finished run."""
    return shutil.copytree(finished, tmp_path / "run")


def weights(result):
    return result.model.state_dict()


def assert_equal(a, b):
    assert all(torch.equal(x, y) for x, y in zip(weights(a).values(), weights(b).values(), strict=True))


def test_training_is_deterministic_and_resumes_exactly(samples, usual, tmp_path, monkeypatch):
    assert_equal(usual, run(samples))
    step = _module.TrainingModule.training_step

    def killed(self, batch, i):
        if self.global_step == 5:
            msg = "killed"
            raise OSError(msg)
        return step(self, batch, i)

    monkeypatch.setattr(_module.TrainingModule, "training_step", killed)
    with pytest.raises(OSError, match="killed"):
        run(samples, tmp_path)
    monkeypatch.setattr(_module.TrainingModule, "training_step", step)
    resumed = run(samples, tmp_path, resume=True)
    assert_equal(usual, resumed)
    assert len(resumed.history) == 3
    assert_equal(resumed, dataclasses.replace(resumed, model=models.load(tmp_path / "model")))


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(samples, usual, tmp_path, monkeypatch):
    replace, n_checkpoints = Path.replace, 0

    def full(self, target):
        nonlocal n_checkpoints
        n_checkpoints += Path(target).name == "last.ckpt"
        if n_checkpoints == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="Cannot write .*last.ckpt: no space is left on the disk"):
        run(samples, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "logs"}
    monkeypatch.undo()
    resumed = run(samples, tmp_path, resume=True)
    assert_equal(resumed, usual)
    assert len(resumed.history) == 3


@pytest.mark.parametrize("left", [0, 100, 12_288, -100])
def test_a_damaged_checkpoint_is_named(samples, folder, left):
    content = (folder / "last.ckpt").read_bytes()
    (folder / "last.ckpt").write_bytes(content[:left])
    with pytest.raises(ValueError, match=r"last.ckpt is cut off or damaged.*overwrite=True"):
        run(samples, folder, resume=True)


def test_a_checkpoint_with_objects_of_another_program_is_not_called_ours(samples, folder):
    torch.save({"hyper_parameters": argparse.Namespace(depth=1)}, folder / "last.ckpt")
    with pytest.raises(ValueError, match=r"last.ckpt is .*, or of another program; give another folder"):
        run(samples, folder, resume=True)


def shifted(sample):
    """The same sample with its first cut site a base further on."""
    chromosomes = []
    for chrom in sample.clean.genome.chroms:
        positions, _, counts = sample.clean.runs("A", chrom)
        chromosomes.append((chrom, [(np.append(positions[0] + 1, positions[1:]), None, counts)]))
    clean = sca.Tracks.from_chromosomes(["A"], sample.clean.genome, chromosomes)
    return dataclasses.replace(sample, clean=clean)


def on_longer_genome(sample):
    sizes = {"chr1": LENGTH, "chr2": LENGTH + 1}
    chromosomes = [(chrom, [sample.clean.runs("A", chrom)]) for chrom in sizes]
    return dataclasses.replace(sample, clean=sca.Tracks.from_chromosomes(["A"], sca.Genome(sizes), chromosomes))


half = {"chr1": np.array([[0, LENGTH // 2]])}


@pytest.mark.parametrize(
    ("changes", "options", "what"),
    [
        ({}, {"steps": 9}, r"other steps \(then 6, now 9\)\."),
        ({}, {"core_bp": 2048, "batch_size": 1}, r"core_bp \(then 4096, now 2048\), batch_size \(then 2, now 1\)"),
        ({}, {"architecture": models.Gaussian}, r"architecture \(then Linear, now Gaussian\)"),
        ({"name": "B"}, {}, r"other groups \(then \['A'\], now \['B'\]\)\."),
        ({"depth": 1e6}, {}, r", depth\."),
        ({"peaks": half}, {}, r"other peaks\."),
        ({"exclude": half}, {}, r"other exclude\."),
        ({"regions": half}, {}, r"other regions\."),
        ({"noisy": made_up(1), "noisy_depth": 1e6}, {}, r"other noisy cut sites, noisy depth\."),
        (shifted, {}, r"other cut sites\."),
        (on_longer_genome, {}, r"other genome\."),
    ],
)
def test_another_run_is_not_gone_on_with(samples, folder, changes, options, what):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    other = changes(samples[0]) if callable(changes) else dataclasses.replace(samples[0], **changes)
    with pytest.raises(ValueError, match=rf"last\.ckpt is of a run with .*{what}") as caught:
        run([other, samples[1]], folder, resume=True, **options)
    assert "another folder (out=), or overwrite=True (--overwrite)" in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_other_validation_is_not_gone_on_with(samples, folder):
    other = dataclasses.replace(samples[1], regions={"chr2": np.array([[0, LENGTH // 2]])})
    with pytest.raises(ValueError, match=r"of a run with other validation\."):
        run([samples[0], other], folder, resume=True)
    torch.save({"state_dict": {}}, folder / "last.ckpt")
    with pytest.raises(ValueError, match="is a checkpoint of another program"):
        run(samples, folder, resume=True)


def test_without_validation_the_loss_is_kept(samples, usual, tmp_path):
    result = run(samples[:1], tmp_path)
    assert result.history["loss"].tolist() == usual.history["loss"].tolist()
    assert result.history["step"].tolist() == [2, 4, 6]
    assert result.history["score"].isna().all()
    assert result.model.card["metrics"] == {}
    assert run(samples[:1], tmp_path, resume=True).history.equals(result.history)
    logged = pd.read_csv(tmp_path / "logs" / "version_0" / "metrics.csv")
    np.testing.assert_allclose(logged["loss"], result.history["loss"], rtol=1e-6)
    figure = sca.pl.training(pd.read_csv(tmp_path / "history.csv"), return_fig=True)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), result.history["loss"])


def test_a_run_is_described_in_a_line(samples, tmp_path):
    result = run(samples, tmp_path)
    assert (result.steps, result.path) == (6, tmp_path)
    best = result.history.sort_values("score").iloc[-1]
    score = f"best validation score {best['score']:.3f} at step {best['step']:.0f}"
    assert repr(result) == f"TrainResult(Linear after 6 steps, {score}, in {tmp_path})"
    assert repr(run(samples[:1])) == "TrainResult(Linear after 6 steps)"
    assert run(samples, tmp_path, resume=True).steps == 6
    early = dataclasses.replace(result, stopped="no better auprc for 2 epochs", path=None)
    assert repr(early).endswith(", stopped early: no better auprc for 2 epochs)")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder_for_a_run(samples, tmp_path, overwrite):
    (tmp_path / "notes").write_text("mine")
    for out, what in (("notes", "it"), ("notes/run", f"{tmp_path}/notes")):
        with pytest.raises(NotADirectoryError, match=rf"into {tmp_path / out}: {what} is a file\. Give another output"):
            run(samples, tmp_path / out, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_logs_without_a_folder_are_refused(samples):
    with pytest.raises(ValueError, match=r"tensorboard=True needs a folder .* out=\."):
        fit(models.Linear(), samples[:1], tensorboard=True)


@pytest.mark.parametrize("listed", [False, True])
def test_callbacks_and_loggers_of_the_user_take_part(samples, tmp_path, listed):
    from lightning.pytorch.callbacks import EarlyStopping
    from lightning.pytorch.loggers import CSVLogger

    given = {
        "callbacks": EarlyStopping("auprc_1M", mode="max", stopping_threshold=0.0),  # reached at once
        "loggers": CSVLogger(tmp_path / "mine", name=""),
    }
    given = {name: [value] if listed else value for name, value in given.items()}
    config = recipe(steps=6, epochs=3, core_bp=4096, batch_size=2)
    result = fit(models.Linear(), samples[:1], samples[1:], config=config, out=tmp_path / "run", **given)
    assert result.steps == 2
    assert result.stopped == "a callback said so"
    (mine,) = (tmp_path / "mine").rglob("metrics.csv")
    logged = pd.read_csv(mine)
    assert {"loss", "score", "auprc_1M"} <= set(logged)
    assert logged["score"].tolist() == pytest.approx(result.history["score"].tolist())
    assert (tmp_path / "run" / "logs" / "version_0" / "metrics.csv").read_text() == mine.read_text()


def test_no_callbacks_and_loggers_may_be_none(samples):
    config = recipe(steps=2, epochs=1, core_bp=4096, batch_size=2)
    result = fit(models.Linear(), samples[:1], config=config, callbacks=None, loggers=None, progress=False)
    assert result.stopped is None


@pytest.mark.parametrize("name", ["callbacks", "loggers"])
def test_what_is_no_callback_or_logger_is_refused(samples, name):
    for wrong in ("early", 3, object(), object, ["early"]):
        with pytest.raises(TypeError, match=rf"^{name} holds .*; expected objects of Lightning's {name}, such as"):
            fit(models.Linear(), samples[:1], **{name: wrong})
    with pytest.raises(TypeError, match=rf"{name} holds 'early'"):
        sca.tl.train(None, **{name: "early"})  # before any data are read


def shifted_loss(signal, logit, batch, *, by=0.0):
    loss, terms = poisson_loss(signal, logit, batch)
    return loss + by, terms


def test_a_loss_of_the_users_takes_the_place_of_ours(samples, usual, tmp_path):
    mine = run(samples, tmp_path / "mine", loss=functools.partial(shifted_loss, by=10.0)).history["loss"]
    np.testing.assert_allclose(mine, usual.history["loss"] + 10, rtol=1e-5)
    stopped = tmp_path / "mine" / "model.safetensors"
    stopped.unlink()
    again = run(samples, tmp_path / "mine", loss=functools.partial(shifted_loss, by=10.0), resume=True)
    np.testing.assert_array_equal(again.history["loss"], mine)
    with pytest.raises(ValueError, match=r"loss \(then shifted_loss\(by=10.0\), now shifted_loss\(by=9.0\)\)"):
        run(samples, tmp_path / "mine", loss=functools.partial(shifted_loss, by=9.0), resume=True)
    with pytest.raises(TypeError, match=r"returned a Tensor; expected the loss and a dict of its terms\."):
        run(samples, loss=lambda *given: poisson_loss(*given)[0])
    for wrong in ("mse", ["poisson"]):
        with pytest.raises(ValueError, match=r"^loss=.* is unknown; expected 'poisson' or 'paper'\."):
            recipe(loss=wrong)


def test_a_run_that_is_overwritten_leaves_nothing(samples, tmp_path):
    pytest.importorskip("tensorboard")
    settings = {"steps": 6, "epochs": 3, "core_bp": 4096, "batch_size": 2}
    fit(models.Linear(), samples[:1], samples[1:], config=recipe(**settings), out=tmp_path, tensorboard=True)
    run(samples, tmp_path / "beside")
    (tmp_path / "logs" / "mine.txt").write_text("notes")
    run(samples, tmp_path, overwrite=True, steps=3)
    files = ["last.ckpt", "logs/version_0/metrics.csv", "history.csv", "model.safetensors", "model.json"]
    beside = [f"beside/{name}" for name in files]
    found = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(found) == sorted([*files, *beside, "logs/mine.txt"])
    assert not (tmp_path / "tensorboard").exists()
    logged = pd.read_csv(tmp_path / "logs" / "version_0" / "metrics.csv")
    assert logged["step"].max() == 2


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_the_training_and_not_python(samples, usual, tmp_path, monkeypatch):
    step, handler = _module.TrainingModule.training_step, signal.getsignal(signal.SIGINT)

    def stopped(self, batch, i):
        if self.global_step == 5:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch, i)

    monkeypatch.setattr(_module.TrainingModule, "training_step", stopped)
    with pytest.raises(KeyboardInterrupt, match=r"resume=True \(--resume\) goes on from .*last.ckpt"):
        run(samples, tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler  # the next one is heard, too
    with pytest.raises(KeyboardInterrupt, match="nothing of it was kept"):
        run(samples)
    monkeypatch.setattr(_module.TrainingModule, "training_step", step)
    assert_equal(run(samples, tmp_path, resume=True), usual)


def test_a_name_that_is_no_network_tells_of_both_kinds():
    with pytest.raises(FileNotFoundError, match="bundled models are .* Architectures to start anew are BinnedUNet, "):
        start("BinnedUnet")
    with pytest.raises(TypeError, match=r"model is the class UNet; expected a network, such as UNet\(\)"):
        start(models.UNet)


def test_what_is_frozen_stays_as_it_is(samples):
    model = models.load("default")  # has a guide, which is left out
    model.requires_grad_(requires_grad=False)
    model.head.requires_grad_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network = start(model)
    fit(network, samples[:1], config=recipe(steps=1, core_bp=1024, batch_size=1), progress=False)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize("architecture", [models.BinnedUNet, models.Gaussian, models.UNet])
def test_every_architecture_trains_on_the_same_path(samples, architecture):
    result = run(samples, architecture=architecture, steps=1, epochs=1, core_bp=8192)
    assert np.isfinite(result.history["score"]).all()
    assert all(torch.isfinite(value).all() for value in weights(result).values())


def test_paper_recipe_trains_the_published_network(samples):
    small = models.ResNetConfig(n_blocks=1, n_filters=8, width=5, n_blocks_class=1, n_filters_class=3, width_class=5)
    torch.manual_seed(2)
    config = recipe("paper", steps=2, epochs=1, core_bp=4000, batch_size=2)
    result = fit(models.ResNet(small), samples[:1], samples[1:], config=config, progress=False)
    assert config.loss == "paper"
    assert "auroc_5M" in result.history


def test_loss_of_nan_stops_and_keeps_the_last_good_weights(samples, monkeypatch, caplog, capsys):
    loss = _module.LOSSES["poisson"]

    def poisoned(signal, logit, batch):
        value, terms = loss(signal, logit, batch)
        poisoned.calls += 1
        return (value * float("nan") if poisoned.calls > 9 else value), terms

    poisoned.calls = 0
    monkeypatch.setitem(_module.LOSSES, "poisson", poisoned)
    result = run(samples, steps=12, progress=True)
    assert "nan at update 9" in result.stopped
    assert re.search(r"9/12 .*loss=\d", capsys.readouterr().err)
    assert "last good weights" in caplog.text
    assert all(torch.isfinite(value).all() for value in weights(result).values())


def test_weights_that_diverge_are_not_kept(samples, monkeypatch):
    class Breaks(models.Linear):
        broken, weights = False, None

        def forward(self, counts, depth):
            Breaks.weights = {name: value.clone() for name, value in self.state_dict().items()}
            signal, logit = super().forward(counts, depth)
            return signal, logit * (float("nan") if Breaks.broken else 1)

    loss, validated = _module.LOSSES["poisson"], {}

    def breaking(*args):
        breaking.calls += 1
        if breaking.calls == breaking.at:
            Breaks.broken = True
            validated.update(Breaks.weights)
        return loss(*args)

    monkeypatch.setitem(_module.LOSSES, "poisson", breaking)
    breaking.calls, breaking.at = 0, 3  # the first update after the first validation
    result = run(samples, architecture=Breaks, average=0.0)
    assert "nan at update 3" in result.stopped
    assert len(result.history) == 1
    assert result.model.card["metrics"]["validation"]["step"] == 2
    for name, value in result.model.state_dict().items():
        torch.testing.assert_close(value, validated[name], rtol=0, atol=0)

    Breaks.broken, breaking.calls, breaking.at = False, 0, 1
    with pytest.raises(ValueError, match="loss became nan at update 1, and there are no good weights .* learning_rate"):
        run(samples, architecture=Breaks)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_what_is_trained_in_other_numbers_is_used_like_any_network(samples, precision):
    model = models.Linear()
    result = fit(
        model, samples[:1], config=recipe(steps=1, core_bp=1024, batch_size=1), precision=precision, progress=False
    )
    assert {value.dtype for value in weights(result).values()} == {torch.float32}


def test_a_negative_signal_is_named(samples):
    class Negative(models.Linear):
        def forward(self, counts, depth):
            signal, logit = super().forward(counts, depth)
            return signal - 5, logit

    result = run(samples, architecture=Negative)
    assert result.stopped == "the loss became nan at update 0, where the signal is negative"


def test_dead_output_is_noticed(samples):
    class Dead(models.ResNet):
        def denoise(self, x):
            signal, logit = super().denoise(x)
            return signal * 0, logit

    small = models.ResNetConfig(n_blocks=1, n_filters=2, width=5, n_blocks_class=1, n_filters_class=2, width_class=5)
    with pytest.raises(ValueError, match="has died"):
        run(samples, architecture=lambda: Dead(small), steps=1, epochs=1)


def test_validation_with_one_class_has_no_ranking_score(samples):
    everywhere = Sample(
        samples[1].clean, "A", samples[1].depth, samples[1].regions, peaks={"chr2": np.array([[0, LENGTH]])}
    )
    with pytest.warns(UserWarning, match="(AUPRC|AUROC) is undefined"):
        result = run([samples[0], everywhere], steps=1, epochs=1)
    assert result.history.filter(like="auprc").isna().all(axis=None)
    assert result.history.filter(like="pearson").notna().all(axis=None)
    with pytest.warns(UserWarning, match="(AUPRC|AUROC) is undefined"):
        best, last = (run([samples[0], everywhere], select=select) for select in ("best", "last"))
    assert_equal(best, last)
    assert best.model.card["metrics"] == last.model.card["metrics"]
    assert best.model.card["metrics"]["validation"]["step"] == 6


def test_unusable_samples_are_refused(samples):
    tracks, depth = samples[0].clean, samples[0].depth
    whole = {"chr1": np.array([[0, LENGTH]])}
    for noisy_depth in (1.6 * depth, 0, None):
        with pytest.raises(ValueError, match=r"at most 1\.5 times that of the clean one"):
            Sample(tracks, "A", depth, whole, noisy=samples[1].clean, noisy_depth=noisy_depth)
    with pytest.raises(ValueError, match="the very cut sites of the clean one"):
        Sample(tracks, "A", depth, whole, noisy=tracks, noisy_depth=depth)
    with pytest.raises(ValueError, match="no peak"):
        Sample(tracks, "A", depth, whole, peaks={"chr1": np.empty((0, 2), np.int64)})
    other = sca.Tracks.from_chromosomes(["A"], sca.Genome({"chr1": 5}), [])
    with pytest.raises(ValueError, match="different genomes"):
        Sample(tracks, "A", depth, whole, noisy=other, noisy_depth=1.0)
    with pytest.raises(ValueError, match="no recipe"):
        recipe("other")
    with pytest.raises(ValueError, match="no setting 'learning'"):
        recipe(learning=1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("flip", "no", "expected True or False"),
        ("tiled", 1, "expected True or False"),
        ("learning_rate", "fast", "expected a number"),
        ("learning_rate", -1e-3, "expected a number from 0 on"),
        ("weight_decay", float("nan"), "expected a number from 0 on"),
        ("clip", -1, "expected a number from 0 on"),
        ("depth_jitter", -1, "expected a number from 0 on"),
        ("average", 1.5, "expected a number from 0 to 1"),
        ("peak_fraction", 2, "expected a number from 0 to 1"),
        ("real_fraction", "half", "expected a number"),
        ("channel_dropout", 5, "expected a number from 0 to 1"),
        ("n_cells", (1.5,), "expected a whole number of 1 or more"),
        ("n_cells", "100", "expected a whole number of 1 or more"),
        ("depth_range", ("low", "high"), "expected a number"),
        ("warmup", -5, "expected a whole number of 0 or more"),
        ("patience", -1, "expected a whole number of 0 or more"),
        ("validation_depths", 1e6, r"such as \[2e5, 1e6\]"),
        ("validation_depths", [-1], r"such as \[2e5, 1e6\]"),
        ("draw", {"flip": False}, "made of the settings channel_dropout, core_bp, .*give these themselves"),
    ],
)
def test_settings_that_would_mean_something_else_are_refused(name, value, expected):
    with pytest.raises((TypeError, ValueError), match=rf"{name}.*{expected}"):
        recipe(**{name: value})


def test_settings_change_what_they_name():
    changed = recipe(flip=False, clip=0, validation_depths=np.array([1e5]))
    assert (changed.draw.flip, changed.clip, changed.validation_depths) == (False, 0, (1e5,))


def test_one_number_of_cells_needs_no_list():
    assert recipe(n_cells=5).draw.n_cells == (5,)
    assert recipe(n_cells=np.array([5, 10])).draw.n_cells == (5, 10)


def test_few_steps_are_as_many_epochs():
    assert [recipe(steps=n).epochs for n in (1, 4, 10, 2000)] == [1, 4, 10, 10]
    assert recipe(steps=4, epochs=2).epochs == 2
    assert recipe("paper").epochs == 25


def test_crops_hold_what_the_tracks_hold(samples):
    model = models.BinnedUNet()
    sample = samples[0]
    drawer = Drawer([sample], model, DrawRules(core_bp=4096))
    crop = drawer.at(sample, "chr1", 8192, depth=sample.depth, rng=np.random.default_rng(0))
    dense = sample.clean.window("A", "chr1", 8192 - model.halo, 8192 + 4096 + model.halo)
    np.testing.assert_array_equal(crop["counts"][0], dense.reshape(-1, 8).sum(axis=1))
    padded = sample.clean.window("A", "chr1", 8092, 8192 + 4096 + 100).astype(float)
    coverage = np.convolve(padded, np.ones(201), "valid")
    np.testing.assert_allclose(crop["target"], coverage.reshape(-1, 8).mean(axis=1), rtol=1e-6)
    assert crop["exposure"] == pytest.approx(sample.depth / model.target_depth)


@pytest.mark.parametrize(
    ("size", "way_out"),
    [
        (2, r'settings=\{"batch_size": 1\} in tl.train \(--batch-size 1 on the'),
        (1, r'settings=\{"core_bp": 2048\} in tl.train'),
    ],
)
def test_a_device_whose_memory_is_too_small_is_explained(samples, monkeypatch, size, way_out):
    def too_small(*_):
        message = "CUDA out of memory. Tried to allocate 20.00 GiB."
        raise torch.OutOfMemoryError(message)

    monkeypatch.setattr(models.Linear, "forward", too_small)
    with pytest.raises(torch.OutOfMemoryError, match=f"a batch of {size} crops of 4,096 bp.* {way_out}"):
        run(samples, batch_size=size)


def test_a_tiling_holds_every_base_of_the_regions_once(samples):
    regions = {
        "chr1": np.array([[48, 96], [200, 1000], [1024, 1048], [1200, 20_000], [40_000, 40_104]]),
        "chr2": np.array([[104, 152], [8000, 12_000]]),
    }
    peaks = {chrom: rows[:1] for chrom, rows in regions.items()}
    sample = Sample(samples[0].clean, "A", samples[0].depth, regions, peaks=peaks)
    drawer = Drawer([sample], models.Linear(), DrawRules(core_bp=1024))
    found = {chrom: np.zeros(LENGTH // 8) for chrom in regions}
    for _, chrom, begin in drawer.tiles():
        mask = drawer.at(sample, chrom, begin, depth=sample.depth / 2, rng=np.random.default_rng(0))["mask"]
        found[chrom][begin // 8 : begin // 8 + len(mask)] += mask
    for chrom, rows in regions.items():
        expected = np.zeros(LENGTH // 8)
        for first, last in rows // 8:
            expected[first:last] = 1
        np.testing.assert_array_equal(found[chrom], expected)


def test_thinning_has_the_expected_depth_and_cells_are_drawn_whole(samples):
    sample = samples[0]
    drawer = Drawer([sample], models.Linear(), DrawRules(core_bp=65_536))
    rng = np.random.default_rng(0)
    full = drawer.at(sample, "chr1", 16_384, depth=sample.depth, rng=rng)["counts"].sum()
    thinned = [drawer.at(sample, "chr1", 16_384, depth=sample.depth / 10, rng=rng)["counts"].sum() for _ in range(20)]
    assert np.mean(thinned) == pytest.approx(full / 10, rel=0.05)
    positions, counts = sample.sites("chr1")
    every = np.repeat(positions, counts)
    cells = CellSites({"chr1": every}, {"chr1": (np.arange(len(every)) % 2).astype(np.int32)}, 2)
    by_cell = Sample(sample.clean, "A", sample.depth, sample.regions, cells=cells)
    rules = DrawRules(core_bp=65_536, depth_range=(1e6, 1e12), depth_jitter=0, flip=False)
    crop = Drawer([by_cell], models.Linear(), rules).random(rng)
    assert crop["depth"] == pytest.approx(sample.depth / 2, rel=1e-3)  # the number of sites may be odd
    assert 0.4 < crop["counts"].sum() / (crop["target"].sum() * 8 / 201) < 1.2


def with_fragments(sample, n_cells=20):
    """The sample's sites joined in pairs of neighbours, dealt out to cells."""
    positions, counts = sample.sites("chr1")
    every = np.repeat(positions, counts)[: int(counts.sum()) // 2 * 2]
    fragment = np.repeat(np.arange(len(every) // 2, dtype=np.int32), 2)
    cells = CellSites({"chr1": every}, {"chr1": fragment % n_cells}, n_cells, {"chr1": fragment})
    return Sample(sample.clean, "A", sample.depth, sample.regions, cells=cells), fragment


def test_fragments_are_kept_or_dropped_whole(samples):
    sample, fragment = with_fragments(samples[0])
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(10):
        kept, counts = sample.cells.of_fragments(rng, "chr1", (0, LENGTH), 0.25)
        lookup = dict(zip(sample.cells.positions["chr1"].tolist(), fragment.tolist(), strict=True))
        assert (counts == 1).all()
        seen.append(len(kept) / len(fragment))
        unique = [p for p in kept.tolist() if np.sum(sample.cells.positions["chr1"] == p) == 1]
        partners = {lookup[p] for p in unique}
        assert all(np.isin(sample.cells.positions["chr1"][fragment == f], kept).all() for f in list(partners)[:50])
    assert np.mean(seen) == pytest.approx(0.25, rel=0.05)
    assert len(sample.cells.of_fragments(rng, "chr1", (5, 5), 0.5)[0]) == 0


def test_numbers_of_cells_are_drawn_and_validated_by_number(samples):
    sample, _ = with_fragments(samples[0])
    drawer = Drawer([sample], models.Linear(), DrawRules(core_bp=4096, n_cells=(1, 5, 500), depth_jitter=0))
    assert drawer.numbers_of_cells(sample) == [1, 5, 10]  # at most half of the twenty
    depths = {round(float(drawer.random(np.random.default_rng(i))["depth"]) / sample.depth, 2) for i in range(30)}
    assert depths == {0.05, 0.25, 0.5}
    torch.manual_seed(0)
    config = recipe(steps=1, epochs=1, core_bp=65_536, warmup=0, n_cells=[1, 10], unit="cells")
    result = fit(models.Linear(), [sample], [sample], config=config, progress=False)
    assert {"auprc_1 cell", "auprc_10 cells"} <= set(result.history)
    tiled = recipe("paper", steps=1, epochs=1, core_bp=65_536, batch_size=1, n_cells=[5])
    assert np.isfinite(fit(models.Linear(), [sample], [sample], config=tiled, progress=False).history["loss"]).all()
    for wrong in ({"unit": "reads"}, {"n_cells": [0]}, {"n_cells": [5], "unit": "sites"}):
        with pytest.raises(ValueError, match="expected"):
            DrawRules(**wrong)


def test_misstated_depth_scales_the_signal_with_it(samples):
    """Told twice the true depth, the same cut sites stand for half the signal, so the exposure doubles."""
    sample, model = samples[0], models.Linear()
    rules = DrawRules(core_bp=4096, depth_range=(1e6, 1e6), depth_jitter=1.0)
    drawer = Drawer([sample], model, rules)
    crops = [drawer.random(np.random.default_rng(i)) for i in range(20)]
    stated = np.array([crop["depth"] / 1e6 for crop in crops])
    exposure = np.array([crop["exposure"] for crop in crops]) * model.target_depth / sample.depth
    assert (stated == 1).any()
    assert stated.max() > 1.2
    np.testing.assert_allclose(exposure, stated, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("architecture", [models.BinnedUNet, models.ResNet])
def test_a_gpu_trains_as_the_cpu_does(samples, architecture, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    one, other = (
        run(samples, architecture=architecture, accelerator=accelerator, steps=4, epochs=1, core_bp=2048, batch_size=1)
        for accelerator in ("cpu", "gpu")
    )
    losses = [result.history["loss"] for result in (one, other)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    difference = torch.cat(
        [(a - b.cpu()).abs().flatten() for a, b in zip(weights(one).values(), weights(other).values(), strict=True)]
    )
    assert (difference > 1e-4).float().mean() < 0.05  # where a gradient is near zero, its sign may differ


@pytest.mark.parametrize(("finished", "match"), [(True, "a finished model"), (False, "a training that was stopped")])
def test_an_earlier_run_is_not_written_over(samples, tmp_path, monkeypatch, finished, match):
    step = _module.TrainingModule.training_step
    if not finished:

        def killed(self, batch, i):
            if self.global_step == 5:
                raise KeyboardInterrupt
            return step(self, batch, i)

        monkeypatch.setattr(_module.TrainingModule, "training_step", killed)
    with contextlib.nullcontext() if finished else pytest.raises((KeyboardInterrupt, SystemExit)):
        run(samples, tmp_path)
    monkeypatch.setattr(_module.TrainingModule, "training_step", step)
    (tmp_path / "mine.txt").write_text("notes")
    before = {path: path.read_bytes() for path in tmp_path.glob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=f"{match}; give another folder, resume=True .* or overwrite=True"):
        run(samples, tmp_path)
    with pytest.raises(ValueError, match="give one of them"):
        run(samples, tmp_path, resume=True, overwrite=True)
    assert {path: path.read_bytes() for path in before} == before
    other = run(samples, steps=3)
    assert_equal(run(samples, tmp_path, overwrite=True, steps=3), other)
    assert torch.equal(next(models.load(tmp_path).parameters()), next(other.model.parameters()))
    assert (tmp_path / "mine.txt").read_text() == "notes"


def test_a_finished_run_is_taken_up_as_it_ended(samples, tmp_path):
    first = run(samples, tmp_path)
    assert_equal(run(samples, tmp_path, resume=True), first)
    (tmp_path / "last.ckpt").unlink()
    with pytest.raises(FileExistsError, match="give another folder, or overwrite=True"):
        run(samples, tmp_path, resume=True)
