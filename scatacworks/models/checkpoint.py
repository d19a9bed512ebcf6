"""Models on disk: safetensors with a JSON card, and the published checkpoints read safely."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scatacworks._files import atomic_path, require_file
from scatacworks.models.base import ARCHITECTURES, Model, new_card

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    import pandas as pd
    from torch import Tensor

ZOO = Path(__file__).parent / "zoo"
TRAINED, LAST = "model.safetensors", "last.ckpt"  # in the folder that a training writes: the end, and where to go on
_ALIASES = {"default": "accessibility"}
_METADATA_KEY = "scatacworks"


def load(
    name_or_path: str | PathLike[str],
    *,
    dilation: int = 8,
    dilation_class: int | None = None,
    card: dict[str, Any] | None = None,
) -> Model:
    """Load a model with its weights.

    Parameters
    ----------
    name_or_path
        Name of a bundled model (:func:`list_models`; ``"default"`` for the recommended one), the path of a
        ``.safetensors`` file written by :func:`save`, of the folder that :func:`scatacworks.tl.train` wrote, or of a
        checkpoint of the original software (``.pth.tar``; its residual network), which is read without running any
        code in it.
    dilation, dilation_class
        Dilation of an original checkpoint's branches, which its file does not record; the classification branch's is
        taken equal when `None`. Ignored for all other files.
    card
        Entries that replace those of the stored card, e.g. ``{"input_depth": 5e6}`` for an original checkpoint.

    Returns
    -------
    The model, in evaluation mode, on the CPU.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is neither a bundled model nor a file of that name, or it is a folder without a model.
    ValueError
        If the file holds no weights, weights of another architecture, or a tensor does not fit.

    Examples
    --------
    >>> from scatacworks import models
    >>> models.load("default").architecture
    'BinnedUNet'
    """
    path = _find(name_or_path)
    with torch.random.fork_rng(devices=[]):  # a new network's weights are drawn, for nothing here
        if path.suffix == ".safetensors":
            model = _load_own(path)
        else:
            model = _load_original(path, dilation, dilation if dilation_class is None else dilation_class)
    model.card.update(card or {})
    return model.float().eval()  # whatever torch's default type is


def save(model: Model, path: str | PathLike[str]) -> Path:
    """Write a model as safetensors, with its card and configuration as JSON inside and beside the file.

    Parameters
    ----------
    model
        The model.
    path
        Where to; ``.safetensors`` is added when missing. The card goes to the same name with ``.json``.

    Returns
    -------
    Path of the safetensors file.

    Raises
    ------
    TypeError
        If it is not a model.

    Examples
    --------
    >>> from scatacworks import models
    >>> path = models.save(models.Gaussian(), "smooth")
    >>> models.load(path).architecture
    'Gaussian'
    """
    from safetensors.torch import save as to_bytes

    if not isinstance(model, Model):
        way_out = "; give its model" if hasattr(model, "model") else ""
        msg = f"Expected a model, got {type(model).__name__}{way_out}."
        raise TypeError(msg)
    path = Path(path).expanduser()
    path = path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")
    description = {"architecture": model.architecture, "config": model.config_dict(), "card": model.card}
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(path) as aside:
        aside.write_bytes(to_bytes(tensors, metadata={_METADATA_KEY: text}))
    with atomic_path(path.with_suffix(".json")) as aside:
        aside.write_text(text, encoding="utf-8")
    return path


def list_models() -> pd.DataFrame:
    """List the models in the package.

    Returns
    -------
    One row per model: ``name`` (index), ``architecture``, ``depth_min`` and ``depth_max`` (cut sites per 3.1e9 bp),
    ``extension`` (bp), ``genome``, ``data``, ``limits``.

    Examples
    --------
    >>> from scatacworks import models
    >>> "accessibility" in models.list_models().index
    True
    """
    import pandas as pd

    rows = []
    for file in sorted(ZOO.glob("*.json")):
        description = json.loads(file.read_text(encoding="utf-8"))
        card = new_card(**description["card"])
        low, high = card["depth_range"]
        row = {"name": file.stem, "architecture": description["architecture"], "depth_min": low, "depth_max": high}
        rows.append(row | {key: card[key] for key in ("extension", "genome", "data", "limits")})
    columns = ["name", "architecture", "depth_min", "depth_max", "extension", "genome", "data", "limits"]
    return pd.DataFrame(rows, columns=columns).set_index("name")


def fingerprint(model: Model) -> str:
    """Hash of architecture, configuration and weights; the same for equal models, wherever they are stored.

    Parameters
    ----------
    model
        The model.

    Returns
    -------
    Sixteen hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps([model.architecture, model.config_dict()], sort_keys=True).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _find(name_or_path: str | PathLike[str]) -> Path:
    """Path of a bundled model or of the given file."""
    bundled = ZOO / f"{_ALIASES.get(str(name_or_path), name_or_path)}.safetensors"
    if bundled.parent == ZOO and bundled.is_file():
        return bundled
    path = Path(name_or_path).expanduser()
    if not path.exists() and path.with_name(path.name + ".safetensors").is_file():
        return path.with_name(path.name + ".safetensors")
    if not path.exists():
        names = ", ".join(sorted(["default", *(file.stem for file in ZOO.glob("*.safetensors"))]))
        msg = f"There is no model {str(name_or_path)!r}: no such file, and the bundled models are {names}."
        raise FileNotFoundError(msg)
    if (path / LAST).is_file() and not (path / TRAINED).is_file():
        msg = f"{path} holds a training that was stopped, and no model yet; finish it with tl.train(…, resume=True)."
        raise FileNotFoundError(msg)
    return require_file(path / TRAINED if (path / TRAINED).is_file() else path, "model file")


def architectures() -> dict[str, type[Model]]:
    """Every architecture by name: the package's own, then other subclasses of :class:`Model` that were imported."""
    from scatacworks import models

    own = {name: getattr(models, name) for name in ARCHITECTURES}
    return own | {cls.architecture: cls for cls in _subclasses(Model) if cls.architecture not in own}


def _subclasses(cls: type[Model]) -> Iterator[type[Model]]:
    """Yield all that derives from a class; of classes of one name, the one defined last comes last."""
    for derived in cls.__subclasses__():
        yield derived
        yield from _subclasses(derived)


def build(architecture: str, config: dict[str, Any], card: dict[str, Any], source: str = "the model") -> Model:
    """Make a network without weights from its stored description.

    Parameters
    ----------
    architecture
        Name of the class.
    config
        Fields of its configuration.
    card
        Model card.
    source
        Where the description is from, for error messages.

    Returns
    -------
    The network, randomly initialised.

    Raises
    ------
    ValueError
        If the architecture is not known, or the configuration does not fit it.
    """
    known = architectures()
    if architecture not in known:
        msg = (
            f"{source} is of the unknown architecture {architecture!r}; known are {', '.join(known)}. Define or import "
            "the class first where it is of your own."
        )
        raise ValueError(msg)
    cls = known[architecture]
    try:
        return cls(cls.config_class(**config), card)
    except TypeError as error:
        msg = f"The configuration in {source} does not fit {architecture}: {error}."
        raise ValueError(msg) from error


def require_storable(model: Model) -> None:
    """Refuse a network that could not be written to a file and read back, before hours go into it.

    Parameters
    ----------
    model
        The network.

    Raises
    ------
    TypeError
        If JSON cannot write its configuration or card.
    ValueError
        If its class and configuration do not build it again.
    """
    found = {}
    for what, content in (("configuration", model.config_dict()), ("card", model.card)):
        try:
            found[what] = json.loads(json.dumps(content))
        except TypeError as error:
            msg = f"JSON cannot write the {what} of the {model.architecture}, so that it could not be saved: {error}."
            raise TypeError(msg) from error
    if model.architecture in ARCHITECTURES:
        return
    source = f"the network to train ({model.architecture})"
    with torch.random.fork_rng(devices=[]):
        again = build(model.architecture, found["configuration"], found["card"], source)
    load_tensors(again, model.state_dict(), source)


def _load_own(path: Path) -> Model:
    """Read a file of :func:`save`; a card beside it takes precedence over the one inside."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        msg = f"{path} is not a safetensors file ({error})."
        raise ValueError(msg) from error
    beside = path.with_suffix(".json")
    text = beside.read_text(encoding="utf-8") if beside.is_file() else text
    if text is None:
        msg = (
            f"{path} holds tensors but no scatacworks description, and {beside.name} is missing beside it; expected a "
            "model written by scatacworks.models.save."
        )
        raise ValueError(msg)
    description = _read_description(text, beside if beside.is_file() else path)
    model = build(description["architecture"], description["config"], description["card"], str(path))
    load_tensors(model, tensors, str(path))
    return model


def _read_description(text: str, source: Path) -> dict[str, Any]:
    """Parse a card file."""
    try:
        description = json.loads(text)
        return {key: description[key] for key in ("architecture", "config", "card")}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        msg = f"{source} is not a model card: expected JSON with architecture, config and card ({error})."
        raise ValueError(msg) from error


def load_tensors(model: Model, tensors: dict[str, Tensor], source: str) -> None:
    """Copy weights into a network, naming the first tensor that is missing, left over or of another shape.

    Parameters
    ----------
    model
        The network to fill.
    tensors
        Weights by name.
    source
        Where they are from, for error messages.

    Raises
    ------
    ValueError
        If the weights do not fit.
    """
    own = model.state_dict()
    for name, value in own.items():
        if name not in tensors:
            msg = f"{source} lacks the tensor {name} that a {model.architecture} needs; is it another architecture?"
            raise ValueError(msg)
        if tensors[name].shape != value.shape:
            shapes = f"{tuple(tensors[name].shape)}, expected {tuple(value.shape)}"
            msg = f"The tensor {name} in {source} has shape {shapes}; the weights are of another configuration."
            raise ValueError(msg)
        if not torch.isfinite(tensors[name]).all():
            msg = f"The tensor {name} in {source} holds NaN or infinite values."
            raise ValueError(msg)
    extra = sorted(set(tensors) - set(own))
    if extra:
        msg = f"{source} has the tensor {extra[0]} that a {model.architecture} of this configuration does not have."
        raise ValueError(msg)
    model.load_state_dict(tensors)


def _load_original(path: Path, dilation: int, dilation_class: int) -> Model:
    """Read the residual network of an original checkpoint; shapes give everything but the dilation."""
    from scatacworks.models.resnet import ResNet, ResNetConfig

    tensors = _unpickle(path)
    first, first_class = "res_blocks.0.conv_act1.conv_layer.weight", "res_blocks_class.0.conv_act1.conv_layer.weight"
    if first not in tensors or first_class not in tensors:
        shown = ", ".join(sorted(tensors)[:3])
        msg = f"{path} holds no residual network of the original layout (no tensor {first}); it has {shown}, …"
        raise ValueError(msg)
    n_filters, n_inputs, width = tensors[first].shape
    config = ResNetConfig(
        n_blocks=_count(tensors, "res_blocks"),
        n_filters=n_filters,
        width=width,
        dilation=dilation,
        n_blocks_class=_count(tensors, "res_blocks_class"),
        n_filters_class=tensors[first_class].shape[0],
        width_class=tensors[first_class].shape[2],
        dilation_class=dilation_class,
        extra_channels=tuple(f"channel_{i}" for i in range(1, n_inputs)),
    )
    card = new_card(
        name=path.name.split(".")[0],
        convention="atacworks",
        extension=config.extension,
        data="not recorded in the original checkpoint",
        limits="Original checkpoint: training depths, genome and data are not recorded in the file.",
    )
    model = ResNet(config, card)
    load_tensors(model, tensors, str(path))
    return model


def _unpickle(path: Path) -> dict[str, Tensor]:
    """Tensors of a torch file, without running code from it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pickle protocol.*")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        IndexError,
    ) as error:
        msg = f"{path} is not a file of weights: expected safetensors or a torch checkpoint of plain tensors."
        raise ValueError(msg) from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        msg = f"{path} is a torch file, but not of weights: expected a dictionary of tensors or its 'state_dict'."
        raise ValueError(msg)
    return {name.removeprefix("module."): value.float() for name, value in content.items()}


def _count(tensors: dict[str, Tensor], branch: str) -> int:
    """Number of residual blocks of a branch."""
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{branch}.")})
