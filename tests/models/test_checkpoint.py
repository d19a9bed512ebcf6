"""Models on disk: what is saved is loaded, and what does not fit is named."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from scatacworks import models, pl
from scatacworks.models.base import new_card
from scatacworks.models.checkpoint import build, fingerprint, require_storable
from scatacworks.models.train import TrainResult, fit
from scatacworks.tl._denoising._inputs import resolve_model


@pytest.mark.parametrize("cls", [models.BinnedUNet, models.ResNet, models.UNet, models.Linear, models.Gaussian])
def test_saved_model_comes_back(cls, tmp_path):
    torch.manual_seed(0)
    model = cls()
    model.card["limits"] = "none, it is a test – ± included"
    path = models.save(model, tmp_path / "some.model")
    assert models.load(path, card={"data": "other"}).card == model.card | {"data": "other"}
    loaded = models.load(tmp_path / "some.model")
    assert path.name == "some.model.safetensors"
    assert loaded.card == model.card
    assert loaded.config == model.config
    assert fingerprint(loaded) == fingerprint(model)
    path.with_suffix(".json").unlink()
    assert models.load(path).card == model.card


def test_what_holds_a_model_is_none(tmp_path):
    trained = TrainResult(models.Gaussian(), pd.DataFrame(), None, 0, None)
    with pytest.raises(TypeError, match="Expected a model, got TrainResult; give its model"):
        models.save(trained, tmp_path / "x")
    with pytest.raises(TypeError, match="model is a TrainResult; .*; give its model"):
        resolve_model(trained)
    with pytest.raises(TypeError, match="Expected a DataFrame, got TrainResult; give its history"):
        pl.training(trained)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_training_is_taken_for_its_model(tmp_path):
    model = models.Gaussian()
    models.save(model, tmp_path / "my_model" / "model.safetensors")
    assert fingerprint(models.load(tmp_path / "my_model")) == fingerprint(model)
    with pytest.raises(IsADirectoryError, match="is a folder; expected a model file"):
        models.load(tmp_path)


def test_a_training_that_was_stopped_is_no_model_yet(tmp_path):
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(FileNotFoundError, match="training that was stopped, and no model yet.*resume=True"):
        models.load(tmp_path)


def test_bundled_models_load_and_describe_themselves():
    table = models.list_models()
    assert "accessibility" in table.index
    for name in table.index:
        card = models.load(name).card
        assert all(card[key] for key in ("data", "licence", "split", "metrics", "limits", "version"))
    assert fingerprint(models.load("default")) == fingerprint(models.load("accessibility"))


@pytest.mark.parametrize(("width", "width_class"), [(51, 51), (50, 50), (7, 5)])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_original_layout_loads(tmp_path, width, width_class, prefix):
    torch.manual_seed(0)
    config = models.ResNetConfig(width=width, width_class=width_class, n_blocks=2, n_filters=4, n_filters_class=4)
    model = models.ResNet(config)
    path = tmp_path / "model_best.pth.tar"
    torch.save({"state_dict": {prefix + k: v for k, v in model.state_dict().items()}}, path)
    loaded = models.load(path, dilation=8)
    assert loaded.config == config
    assert fingerprint(loaded) == fingerprint(model)
    assert loaded.card["convention"] == "atacworks"
    assert loaded.card["data"]  # a model without any is taken for one that was not trained


def test_original_layout_has_the_published_tensors():
    names = models.ResNet().state_dict()
    assert len(names) == 32
    assert names["res_blocks.0.conv_act1.conv_layer.weight"].shape == (15, 1, 51)
    assert names["classifier.conv_layer.bias"].shape == (1,)
    assert "regressor.conv_layer.bias" not in names


def test_missing_model_names_what_there_is():
    with pytest.raises(FileNotFoundError, match=r"no such file, and the bundled models are .*accessibility"):
        models.load("nothing")


def test_file_that_is_no_model_is_refused(tmp_path):
    text = tmp_path / "track.bw"
    text.write_text("not weights")
    with pytest.raises(ValueError, match="is not a file of weights"):
        models.load(text)
    fake = tmp_path / "fake.safetensors"
    fake.write_text("not weights")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        models.load(fake)
    bare = tmp_path / "bare.safetensors"
    save_file({"weight": torch.zeros(1)}, bare)
    with pytest.raises(ValueError, match=r"holds tensors but no scatacworks description, and bare\.json is missing"):
        models.load(bare)
    empty = tmp_path / "empty.pth"
    empty.touch()
    with pytest.raises(ValueError, match="empty"):
        models.load(empty)


class Malicious:
    def __reduce__(self):
        return (print, ("code was run",))


def test_pickled_code_is_never_run(tmp_path, capsys):
    path = tmp_path / "evil.pth.tar"
    with path.open("wb") as file:
        pickle.dump({"state_dict": Malicious()}, file)
    with pytest.raises(ValueError, match="is not a file of weights"):
        models.load(path)
    torch.save({"state_dict": Malicious()}, path)
    with pytest.raises(ValueError, match="is not a file of weights"):
        models.load(path)
    assert "code was run" not in capsys.readouterr().out


def test_mismatch_names_the_tensor(tmp_path):
    tensors = models.ResNet().state_dict()
    path = tmp_path / "other.pth.tar"
    torch.save({"state_dict": {k: v for k, v in tensors.items() if not k.startswith("classifier")}}, path)
    with pytest.raises(ValueError, match=r"lacks the tensor classifier.conv_layer"):
        models.load(path)
    torch.save({"state_dict": {"denoising_linear.conv_layer.weight": torch.zeros(1, 1, 8401)}}, path)
    with pytest.raises(ValueError, match="no residual network of the original layout"):
        models.load(path)
    own = models.save(models.Linear(), tmp_path / "linear")
    card = own.with_suffix(".json")
    description = json.loads(card.read_text())
    card.write_text(json.dumps(description | {"config": {"field": 1001, "extension": 100}}))
    with pytest.raises(ValueError, match=r"The tensor weight in .* has shape"):
        models.load(own)
    card.write_text(json.dumps(description | {"architecture": "Transformer"}))
    with pytest.raises(ValueError, match="unknown architecture 'Transformer'"):
        models.load(own)
    card.write_text("{")
    with pytest.raises(ValueError, match="not a model card"):
        models.load(own)


class Doubled(models.Linear):
    """A network of one's own, which stores no name of its architecture."""

    def forward(self, counts, depth):
        signal, logit = super().forward(counts, depth)
        return 2 * signal, logit


def test_a_network_of_ones_own_comes_back_as_what_it_is(tmp_path):
    model = Doubled()
    loaded = models.load(models.save(model, tmp_path / "own"))
    assert type(loaded) is Doubled
    counts, depth = torch.ones(1, 1, (1024 + 2 * model.halo) // 8), torch.tensor([1e6])
    torch.testing.assert_close(loaded(counts, depth)[0], 2 * models.Linear()(counts, depth)[0])
    assert fingerprint(loaded) != fingerprint(models.Linear())


def test_a_class_defined_again_takes_the_place_of_the_first():
    made = [type("Again", (Doubled,), {"__module__": __name__}) for _ in range(2)]
    assert type(build("Again", {}, {})) is made[1]


def test_a_class_cannot_take_the_name_of_a_network_of_the_package():
    with pytest.raises(TypeError, match="ResNet is a network of scatacworks"):
        type("ResNet", (models.Model,), {"__module__": __name__})


@pytest.mark.parametrize(
    ("geometry", "message"),
    [({"halo": 4300}, "the halo one of the stride"), ({"crop": lambda _, values: values}, r"returned .* Model.crop")],
)
def test_a_network_that_does_not_fit_its_windows_is_refused(geometry, message):
    model = type("Unfit", (Doubled,), {"__module__": __name__, "crop": geometry.get("crop", models.Model.crop)})()
    model.halo = geometry.get("halo", model.halo)
    with pytest.raises(ValueError, match=message):
        model.check_geometry()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda signal, logit: {"signal": signal, "logit": logit}, r"Unfit returned dict for a core"),
        (lambda signal, logit: signal, r"Unfit returned \(1, 18\) for a core"),
        (lambda signal, logit: (signal, None), r"Unfit returned \(1, 18\) and NoneType for a core"),
    ],
)
def test_a_network_that_returns_something_else_is_refused(output, message):
    forward = {"forward": lambda self, *inputs: output(*Doubled.forward(self, *inputs))}
    with pytest.raises(ValueError, match=message):
        type("Unfit", (Doubled,), {"__module__": __name__, **forward})().check_geometry()


def test_a_network_of_other_numbers_or_without_weights_is_refused():
    with pytest.raises(ValueError, match=r"Doubled has weights of torch.float64; expected torch.float32"):
        Doubled().double().check_geometry()
    model = Doubled()
    for name, _ in list(model.named_parameters()):
        delattr(model, name)
    with pytest.raises(ValueError, match="Doubled has no weights"):
        model.check_geometry()


@pytest.mark.parametrize("config", [None, {"field": 1001}, models.GaussianConfig(), models.LinearConfig])
def test_a_config_that_no_network_can_be_built_from_is_refused(config):
    class Bare(models.Model):
        config_class = models.LinearConfig

    with pytest.raises(TypeError, match=r"The config of a Bare is .*; expected an instance of its config_class"):
        Bare(config)


def test_a_network_that_could_not_be_read_back_is_not_trained(tmp_path):
    class Unnamed(Doubled):
        def __init__(self):
            super().__init__()

    class Wider(Doubled):
        def __init__(self, config=None, card=None, more=0):
            super().__init__(config, card)
            self.more = torch.nn.Linear(1, 1 + more)

    with pytest.raises(ValueError, match=r"configuration in the network to train \(Unnamed\) does not fit Unnamed"):
        fit(Unnamed(), [], out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"tensor more.weight in the network to train \(Wider\) has shape \(3, 1\)"):
        fit(Wider(more=2), [], out=tmp_path / "run")
    model, before = Wider(), torch.random.get_rng_state()
    require_storable(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not (tmp_path / "run").exists()


def test_numbers_that_json_cannot_write_are_told_before_training(tmp_path):
    shape = {"n_filters": 2, "width": 5, "n_blocks_class": 1, "n_filters_class": 2, "width_class": 5}
    of_numpy = models.ResNet(models.ResNetConfig(n_blocks=np.int64(1), **shape))
    card = models.Linear(card=new_card(depth_range=(np.int64(1_000), np.int64(9_000))))
    for model, what in ((of_numpy, "configuration of the ResNet"), (card, "card of the Linear")):
        with pytest.raises(TypeError, match=f"JSON cannot write the {what}, .*: Object of type int64"):
            fit(model, [], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = models.Gaussian()
    with torch.no_grad():
        model.slope[0] = float("nan")
    path = models.save(model, tmp_path / "bad")
    with pytest.raises(ValueError, match="tensor slope .* NaN"):
        models.load(path)
