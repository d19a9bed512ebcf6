"""Train any of the networks, with Lightning underneath."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import math
import pickle
import signal
import warnings
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scatacworks._arguments import flag
from scatacworks._files import atomic_path, remove_empty_folders, require_place
from scatacworks._threads import torch_threads
from scatacworks.models._description import differences
from scatacworks.models._engine import explain_memory, pick_device
from scatacworks.models._recipes import TrainConfig, recipe
from scatacworks.models.base import Model
from scatacworks.models.checkpoint import LAST, TRAINED, architectures, load, require_storable, save
from scatacworks.models.guide import without_guide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.loggers import Logger

    from scatacworks.models.data import Sample

__all__ = ["TrainConfig", "TrainResult", "fit", "recipe", "start"]

_HISTORY = "history.csv"
_LOGS, _TENSORBOARD = "logs", "tensorboard"
_LOG_FILES = ("metrics.csv", "hparams.yaml", "events.out.tfevents.*")  # of Lightning's loggers


@dataclasses.dataclass(repr=False)
class TrainResult:
    """What a training run leaves.

    Attributes
    ----------
    model
        The network with the kept weights, in evaluation mode on the CPU.
    history
        One row per epoch: ``epoch``, ``step``, ``loss``, ``score`` (NaN without validation) and, per validation
        depth, ``auprc_…``, ``auroc_…``, ``pearson_…`` and ``mse_…`` (best-scaled) on bins.
    stopped
        Why the run ended early, or `None`.
    steps
        Updates that were made.
    path
        Folder of the run; `None` where nothing was written.
    """

    model: Model
    history: pd.DataFrame
    stopped: str | None
    steps: int
    path: Path | None

    def __repr__(self) -> str:
        parts = [f"{self.model.architecture} after {self.steps:,} steps"]
        if len(self.history) and self.history["score"].notna().any():
            best = self.history.loc[self.history["score"].idxmax()]
            parts.append(f"best validation score {best['score']:.3f} at step {int(best['step']):,}")
        parts += [f"stopped early: {self.stopped}"] if self.stopped else []
        parts += [f"in {self.path}"] if self.path else []
        return f"TrainResult({', '.join(parts)})"


def fit(
    model: Model,
    train: list[Sample],
    validation: list[Sample] | None = None,
    *,
    config: TrainConfig | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    precision: str = "32-true",
    tensorboard: bool = False,
    callbacks: Sequence[Callback] | Callback | None = None,
    loggers: Sequence[Logger] | Logger | None = None,
    n_jobs: int | None = 1,
    progress: bool = True,
) -> TrainResult:
    """Train a network on deep samples.

    On the CPU a run is deterministic for a seed, and a resumed run ends with the weights of an uninterrupted one.

    Parameters
    ----------
    model
        Network of any architecture; trained in place from the weights that it has.
    train, validation
        Deep samples with the regions to use, see :class:`~scatacworks.models.data.Sample`.
    config
        Recipe; the default one when `None`.
    out
        Folder for ``last.ckpt`` (to resume), ``history.csv`` and ``model.safetensors`` with its card. Nothing is
        written when `None`.
    resume
        Go on from ``last.ckpt`` in `out` where there is one; a finished run is returned as it ended, and one of other
        data, another network, recipe or seed is refused.
    overwrite
        Delete an earlier run in `out` first, its logs too, but nothing else that is there. Without this and `resume`
        it is refused.
    seed
        Seed of all draws. The initial weights are the caller's.
    accelerator, devices, num_nodes, precision
        Lightning's: ``"cpu"``, ``"gpu"``, or ``"auto"``, which is CUDA where there is one, else the CPU; number of
        devices and nodes; ``"bf16-mixed"`` and the like.
    tensorboard
        Also write TensorBoard logs to `out`.
    callbacks, loggers
        Lightning's, beside the package's own: such as ``EarlyStopping("auprc_1M", mode="max")`` or a
        ``WandbLogger()``. What is logged are the columns of the history.
    n_jobs
        Threads on the CPU; one by default, more seldom pay for networks this small.
    progress
        Show a progress bar.

    Returns
    -------
    The trained network and its history.

    Raises
    ------
    FileExistsError
        If `out` holds an earlier run, finished or not, and neither `resume` nor `overwrite` says what to do with it.
    ImportError
        If Lightning is not installed.
    KeyboardInterrupt
        If it was stopped (Ctrl-C), as anywhere else. `resume` takes it up from the last epoch.
    NotADirectoryError, PermissionError
        If `out` is a file, or cannot be written to.
    TypeError
        If a callback or logger is none of Lightning's.
    ValueError
        If the output dies, or becomes NaN before any validation, or the run to resume had other data, another network,
        recipe or seed; if logs have no folder, or if the file of a network of one's own could not be read back.
    """
    import pandas as pd

    config = config or TrainConfig()
    more = plugins(callbacks, loggers)
    check_folder(out, resume=resume, overwrite=overwrite)
    if out is not None:
        require_storable(model)
    elif tensorboard:
        msg = "tensorboard=True needs a folder for the logs; give it as out=."
        raise ValueError(msg)
    with _lightning_imported():
        from scatacworks.models._module import TrainingModule

    module = TrainingModule(model, config, (train, validation or []), seed)
    accelerator = pick_device(None).type if accelerator == "auto" else accelerator
    options = {"accelerator": accelerator, "devices": devices, "num_nodes": num_nodes, "precision": precision}
    folder = None if out is None else Path(out).expanduser()
    last = None if folder is None else folder / LAST
    path = last if resume and last is not None and last.is_file() else None
    if path is not None:
        _require_same_run(path, module.description)
    with torch_threads(n_jobs), _quiet():
        trainer = _trainer(config, folder, options, progress=progress, tensorboard=tensorboard, **more)
        if folder is not None and overwrite:
            _remove_run(folder)
        with _stoppable(last), _explain_memory(config, trainer.strategy.root_device):
            trainer.fit(module, ckpt_path=path, weights_only=True)
    kept = module.kept
    if module.diverged and not module.best[1]:
        msg = (
            f"Training failed: {module.stopped}, and there are no good weights from before. Give a lower learning_rate "
            "in settings=."
        )
        raise ValueError(msg)
    is_best = bool(module.best[1]) and (config.select == "best" or module.diverged)
    if is_best:
        kept.load_state_dict(module.best[1])
    model.load_state_dict(kept.state_dict())
    model.float().cpu().eval()  # as other networks are, whatever `precision` was
    model.card["metrics"] = _scores(module.history, module.best[0] if is_best else None)
    stopped = module.stopped or ("a callback said so" if trainer.should_stop else None)
    result = TrainResult(model, pd.DataFrame(module.history), stopped, trainer.global_step, folder)
    if folder is not None:
        save(model, folder / TRAINED)
        with atomic_path(folder / _HISTORY) as aside:
            result.history.to_csv(aside, index=False)
    return result


def _scores(history: list[dict[str, float]], best: float | None) -> dict[str, dict[str, float]]:
    """Validation scores of the weights that are kept, the last or those of the best score, for the card."""
    if not history or set(history[-1]) == {"epoch", "step", "loss", "score"}:
        return {}
    row = history[-1] if best is None else next(row for row in history if row["score"] == best)
    scores = {name: float(f"{value:.4g}") for name, value in row.items() if math.isfinite(value)}
    return {"validation": {name: value for name, value in scores.items() if name not in ("epoch", "loss", "score")}}


def check_folder(out: str | PathLike[str] | None, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder with an earlier run, which takes hours to repeat, unless it is said what to do with it.

    Raises
    ------
    FileExistsError
        If there is one.
    NotADirectoryError, PermissionError
        If it is a file, or cannot be written to.
    TypeError
        If it is not said by True or False.
    ValueError
        If it is to be both gone on with and overwritten, or gone on with and not named.
    """
    resume, overwrite = flag(resume, "resume"), flag(overwrite, "overwrite")
    if resume and overwrite:
        msg = "resume=True goes on with the earlier run in the folder, overwrite=True deletes it; give one of them."
        raise ValueError(msg)
    if out is None:
        if resume:
            msg = "resume=True needs the folder of the run to go on with; give it as out=."
            raise ValueError(msg)
        return
    folder = require_place(out)
    if overwrite:
        return
    stopped, finished = (folder / LAST).is_file(), (folder / TRAINED).is_file()
    if (resume and stopped) or not (stopped or finished):
        return
    what = "a finished model" if finished else "a training that was stopped"
    ways = ["give another folder", *(["resume=True (--resume) to go on with it"] if stopped else [])]
    msg = f"{folder} holds {what}; {', '.join(ways)}, or overwrite=True (--overwrite) to delete it and start anew."
    raise FileExistsError(msg)


def _require_same_run(path: Path, description: dict[str, Any]) -> None:
    """Refuse to go on with a run of other data, another network or another recipe, before anything is written."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("scatacworks")
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        msg = (
            f"{path} is cut off or damaged, or of another program; give another folder, or overwrite=True "
            "(--overwrite) to delete it and start anew."
        )
        raise ValueError(msg) from error
    if stored is None:
        msg = f"{path} is a checkpoint of another program; give another folder."
        raise ValueError(msg)
    found = differences(json.loads(stored["description"]), description)
    if found:
        msg = (
            f"{path} is of a run with other {', '.join(found)}. Give the same again to go on with it, "
            "another folder (out=), or overwrite=True (--overwrite) to delete it and start anew."
        )
        raise ValueError(msg)


def _remove_run(folder: Path) -> None:
    """Delete what a run leaves, but nothing else that is in the folder."""
    for name in (LAST, _HISTORY, TRAINED, Path(TRAINED).with_suffix(".json")):
        (folder / name).unlink(missing_ok=True)
    for logs in (folder / _LOGS, folder / _TENSORBOARD):
        for version in logs.glob("version_*"):
            for pattern in _LOG_FILES:
                for file in version.glob(pattern):
                    file.unlink()
        remove_empty_folders(logs)


@contextlib.contextmanager
def _stoppable(last: Path | None) -> Iterator[None]:
    """Hand on a Ctrl-C, which Lightning turns into the end of Python and ignores from then on."""
    usual = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, usual)
        is_kept = last is not None and last.is_file()
        msg = "The training was stopped; " + (
            f"resume=True (--resume) goes on from {last}." if is_kept else "nothing of it was kept."
        )
        raise KeyboardInterrupt(msg) from None


def start(model: str | PathLike[str] | Model, seed: int = 0, *, extra_channels: tuple[str, ...] = ()) -> Model:
    """Make the network that training starts from.

    Parameters
    ----------
    model
        Name of an architecture, whose weights are drawn from `seed` without touching torch's global random state; a
        network, returned as it is; or what :func:`~scatacworks.models.load` takes.
    seed
        Seed of the weights.
    extra_channels
        Names of the extra channels of a new network.

    Returns
    -------
    The network, without the guide that it may have: that was trained with other weights.

    Raises
    ------
    FileNotFoundError
        If there is neither an architecture nor a model of that name.
    TypeError
        If it is none of these, such as a class.
    ValueError
        If an architecture is to read extra channels and does not.
    """
    if not isinstance(model, Model | str | PathLike):
        shown = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
        msg = f"model is {shown}; expected a network, such as UNet(), the name of one, or the path of a model."
        raise TypeError(msg)
    known = architectures()
    if isinstance(model, Model) or str(model) not in known:
        try:
            network = model if isinstance(model, Model) else load(model)
        except FileNotFoundError as error:
            msg = f"{error} Architectures to start anew are {', '.join(known)}."
            raise FileNotFoundError(msg) from None
        return without_guide(network) if network.has_guide else network
    architecture = known[str(model)]
    shape = {"extra_channels": extra_channels} if extra_channels else {}
    if shape and "extra_channels" not in {field.name for field in dataclasses.fields(architecture.config_class)}:
        msg = f"A {model} reads cut sites alone; for the channels {', '.join(extra_channels)} take a BinnedUNet."
        raise ValueError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = architecture(architecture.config_class(**shape)) if shape else architecture()
    return network.float()  # whatever torch's default type is


def plugins(callbacks: Any, loggers: Any) -> dict[str, list]:
    """Return what of Lightning's takes part, each none, one or several, as lists.

    Raises
    ------
    TypeError
        If one is something else, such as a name or a class.
    """
    found = {}
    for name, given, method, example in (
        ("callbacks", callbacks, "on_fit_start", "EarlyStopping"),
        ("loggers", loggers, "log_metrics", "CSVLogger"),
    ):
        several = isinstance(given, Iterable) and not isinstance(given, str)
        found[name] = [] if given is None else list(given) if several else [given]
        for one in found[name]:
            if isinstance(one, type) or not hasattr(one, method):
                msg = f"{name} holds {one!r}; expected objects of Lightning's {name}, such as {example}(…)."
                raise TypeError(msg)
    return found


def _trainer(
    config: TrainConfig,
    folder: Path | None,
    options: dict[str, Any],
    *,
    progress: bool,
    tensorboard: bool,
    callbacks: list[Callback],
    loggers: list[Logger],
) -> Any:
    """Lightning's trainer for a recipe."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from scatacworks.models._module import ProgressBar

    callbacks = [*callbacks, *([ProgressBar()] if progress else [])]
    if folder is not None:
        loggers = [*loggers, CSVLogger(folder, name=_LOGS)]
        loggers += [TensorBoardLogger(folder, name=_TENSORBOARD)] if tensorboard else []
        callbacks.append(
            ModelCheckpoint(folder, filename="last", every_n_epochs=1, save_top_k=1, enable_version_counter=False)
        )
    return L.Trainer(
        max_epochs=config.epochs,
        gradient_clip_val=config.clip or None,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=folder is not None,
        callbacks=callbacks,
        plugins=[_checkpoints()],
        logger=loggers or False,
        log_every_n_steps=10,
        **options,
    )


def _checkpoints() -> Any:
    """Lightning's way to write checkpoints, but whole or not at all: its own copies over the one before."""
    from lightning.pytorch.plugins.io import TorchCheckpointIO

    class WholeCheckpoints(TorchCheckpointIO):
        def save_checkpoint(
            self, checkpoint: dict[str, Any], path: str | PathLike[str], storage_options: Any = None
        ) -> None:
            content = io.BytesIO()
            torch.save(checkpoint, content)
            with atomic_path(path) as aside:
                aside.write_bytes(content.getbuffer())

    return WholeCheckpoints()


def _explain_memory(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager:
    core, half = config.draw.core_bp, config.batch_size // 2
    batch = f"a batch of {config.batch_size} crops of {core:,} bp, their context and their gradients"
    smaller = f'settings={{"core_bp": {core // 2}}} in tl.train'
    if half:
        smaller = f'settings={{"batch_size": {half}}} in tl.train (--batch-size {half} on the command line)'
    return explain_memory(device, batch, f"Take less at once: {smaller}.")


@contextlib.contextmanager
def _lightning_imported() -> Iterator[None]:
    """Say how to install Lightning where it is missing."""
    try:
        yield
    except ImportError as error:
        if "lightning" in str(error):
            error.add_note("Training needs Lightning: pip install 'scatacworks[train]'")
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice about workers, folders and devices; its real warnings stay."""
    from lightning.fabric.utilities.warnings import PossibleUserWarning

    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=PossibleUserWarning)
        for text in (
            "Checkpoint directory",
            "but not used",
            "LeafSpec",
            "lr_scheduler.step",
            "returned `None`",
            "Total length of `list`",  # where there is no validation
        ):
            warnings.filterwarnings("ignore", message=f".*{text}.*")
        try:
            yield
        finally:
            log.setLevel(level)
