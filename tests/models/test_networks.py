"""Every network: tiling changes nothing, the halo is enough, the published layout is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from scatacworks import models
from scatacworks.models import gaussian, resnet
from scatacworks.models.base import box_weights, in_double
from scatacworks.models.binned_unet import _filter_bank
from scatacworks.models.resnet import extend

SMALL = models.ResNetConfig(n_blocks=2, n_filters=4, width=11, n_blocks_class=1, n_filters_class=4, width_class=10)


def binned_unet():
    """A network in which the depth counts; before training it does not."""
    model = models.BinnedUNet()
    torch.nn.init.normal_(model.depth_net[2].weight, std=0.1)
    return model


NETWORKS = {
    "BinnedUNet": binned_unet,
    "ResNet": lambda: models.ResNet(SMALL),
    "UNet": lambda: models.UNet(models.UNetConfig(channels=(4, 6, 8))),
    "Linear": models.Linear,
    "Gaussian": models.Gaussian,
}


def window(model, core, seed=0, rate=0.02):
    generator = torch.Generator().manual_seed(seed)
    n_bins = (core + 2 * model.halo) // model.bin_size
    return torch.poisson(torch.full((1, 1, n_bins), rate * model.bin_size), generator=generator)


def run(model, counts, depth=1e6):
    with torch.no_grad():
        return torch.stack(model(counts, torch.tensor([depth])), dim=1)[0]


@pytest.fixture(params=NETWORKS)
def model(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]().eval()


def test_window_gives_its_core_and_a_margin(model):
    core = 8 * model.stride
    assert run(model, window(model, core)).shape == (2, core // model.bin_size + 2 * model.margin)


def test_tiles_equal_the_whole(model):
    core = max(16 * model.stride, 2048)
    counts = window(model, core)
    whole = run(model, counts)
    half = core // 2
    for start in (0, half // 2 // model.stride * model.stride, half):
        first = start // model.bin_size
        tile = run(model, counts[..., first : first + (half + 2 * model.halo) // model.bin_size])
        torch.testing.assert_close(tile, whole[:, first : first + tile.shape[1]], rtol=1e-5, atol=2e-5)


def test_nothing_beyond_the_halo_matters(model):
    core = 8 * model.stride
    counts = window(model, core, rate=0.0)
    wider = F.pad(counts, (model.stride // model.bin_size * 4,) * 2)
    wider[..., 0] = wider[..., -1] = 50
    edge = model.stride // model.bin_size * 4
    far = run(model, wider)[:, edge : edge + core // model.bin_size + 2 * model.margin]
    torch.testing.assert_close(far, run(model, counts), rtol=1e-5, atol=1e-5)


def test_empty_input_gives_the_constant(model):
    counts = window(model, 8 * model.stride, rate=0.0)
    signal, logit = run(model, counts, depth=2e5)
    expected = model.constant(2e5)
    torch.testing.assert_close(signal, torch.full_like(signal, expected[0]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logit, torch.full_like(logit, expected[1]), rtol=1e-5, atol=1e-6)


def test_windows_of_a_batch_do_not_see_each_other(model):
    counts = torch.cat([window(model, 4 * model.stride, seed=i) for i in range(2)])
    with torch.no_grad():
        both = torch.stack(model(counts, torch.tensor([1e6, 5e6])))
    for i, depth in enumerate((1e6, 5e6)):
        torch.testing.assert_close(both[:, i], run(model, counts[i : i + 1], depth), rtol=1e-5, atol=1e-5)


def test_wrong_shapes_are_refused(model):
    with pytest.raises(ValueError, match="counts must have shape"):
        model(torch.zeros(1, 3, 10_000), torch.tensor([1e6]))
    with pytest.raises(ValueError, match="halo"):
        model(torch.zeros(1, 1, model.halo // model.bin_size), torch.tensor([1e6]))


def test_extra_channels_enter_by_name():
    model = models.BinnedUNet(models.BinnedUNetConfig(extra_channels=("prior",)))
    assert model.n_channels == 2
    counts = torch.cat([window(model, 1024)] * 2, dim=1)
    assert run(model, counts).shape == (2, 130)


@pytest.mark.parametrize("depth", [1e5, 2e5, 4e5, 1e6, 3e6, 2e7])
def test_gaussian_equals_a_sum_over_the_cut_sites_around(depth):
    model = models.Gaussian(models.GaussianConfig(sigmas=(300.0, 250.0, 40.0), max_sigma=280.0))
    counts = window(model, 1024)
    signal, logit = run(model, counts, depth).numpy()
    sigma = min(np.exp(np.interp(np.log(depth), np.log([2e5, 1e6, 5e6]), np.log([300, 250, 40]))), 280)
    far = np.arange(-500, 501)
    kernel = np.where(np.abs(8 * far) <= 3 * sigma, np.exp(-0.5 * (8 * far / sigma) ** 2), 0)
    smooth = np.convolve(counts[0, 0].numpy().astype(float), kernel / kernel.sum())[500:-500]
    beside = (len(smooth) - len(signal)) // 2
    expected = smooth[beside:-beside] * 201 / 8 * model.target_depth / depth
    np.testing.assert_allclose(signal, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logit, 2 * np.log1p(expected) - 6, rtol=1e-4, atol=1e-5)


def test_what_a_binned_network_reads_is_what_it_says():
    model = models.BinnedUNet(
        models.BinnedUNetConfig(sigmas=(25.0, 80.0), reference_depth=5e6, depth_limits=(3e4, 8e7))
    )
    z = np.log10([3e4 / 5e6, 0.2, 8e7 / 5e6])
    code = model._depth_code(torch.tensor([1e3, 1e6, 1e9]))
    np.testing.assert_allclose(code, np.stack([z, z**2 / 2, np.sin(z * np.pi / 2)], axis=1), rtol=1e-5)
    filters = _filter_bank(8, model.config).numpy()
    x = 8 * (np.arange(filters.shape[1]) - filters.shape[1] // 2)
    weights = np.array(box_weights(8, 100))
    np.testing.assert_allclose(filters[0][filters[0] > 0], weights, rtol=1e-6)
    for row, sigma in zip(filters[1:], (25, 80), strict=True):
        density = np.exp(-(x**2) / (2 * sigma**2))
        np.testing.assert_allclose(row, density / density.sum() * weights.sum(), rtol=1e-5, atol=1e-9)


def test_paper_network_equals_a_plain_one_in_double_precision():
    torch.manual_seed(1)
    config = models.ResNetConfig(n_blocks=2, n_filters=5, width=50, dilation=3, width_class=7, dilation_class=10)
    model = models.ResNet(config).double().eval()
    with torch.no_grad():
        for name, value in model.named_parameters():  # larger weights than at the start, so that the output is alive
            value.mul_(1.5).add_(0.02 if name.startswith("regressor") else 0.0)
    x = torch.rand(1, 1, 3000, dtype=torch.float64) * 5
    signal, logit = model.denoise(x)
    expected = plain_resnet({k: v.detach().numpy() for k, v in model.state_dict().items()}, x.numpy()[0], config)
    assert signal.abs().max() > 0
    np.testing.assert_allclose(signal.detach().numpy()[0], expected[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(logit.detach().numpy()[0], expected[1], rtol=1e-9, atol=1e-12)


def plain_resnet(tensors, x, config):
    """The published network in NumPy, tap by tap."""

    def conv(x, name, dilation=1):
        weight, bias = tensors[f"{name}.conv_layer.weight"], tensors.get(f"{name}.conv_layer.bias")
        total = (weight.shape[2] - 1) * dilation
        padded = np.pad(x, ((0, 0), (total // 2, total - total // 2)))
        n = x.shape[1]
        out = sum(weight[:, :, k] @ padded[:, k * dilation : k * dilation + n] for k in range(weight.shape[2]))
        return out if bias is None else out + bias[:, None]

    def branch(x, name, n_blocks, dilation):
        for i in range(n_blocks):
            block = f"{name}.{i}"
            skip = np.maximum(conv(x, f"{block}.conv_input"), 0) if i == 0 else x
            h = np.maximum(conv(x, f"{block}.conv_act1", dilation), 0)
            h = np.maximum(conv(h, f"{block}.conv_act2", dilation), 0)
            x = np.maximum(conv(h, f"{block}.conv_act3", dilation) + skip, 0)
        return x

    signal = np.maximum(conv(branch(x, "res_blocks", config.n_blocks, config.dilation), "regressor"), 0)
    hidden = branch(signal, "res_blocks_class", config.n_blocks_class, config.dilation_class)
    return signal[0], conv(hidden, "classifier")[0]


def test_paper_regression_is_homogeneous():
    torch.manual_seed(3)
    model = models.ResNet().eval()
    x = torch.rand(1, 1, 500) * 10
    with torch.no_grad():
        torch.testing.assert_close(model.denoise(3 * x)[0], 3 * model.denoise(x)[0], rtol=1e-4, atol=1e-6)


def test_extension_of_sites_equals_a_double_loop():
    counts = torch.zeros(1, 1, 40)
    counts[0, 0, [0, 5, 39]] = torch.tensor([2.0, 1.0, 3.0])
    expected = [sum(float(counts[0, 0, j]) for j in range(40) if abs(i - j) <= 3) for i in range(40)]
    assert extend(counts, 3)[0, 0].tolist() == expected


@pytest.mark.parametrize(("bin_size", "extension"), [(8, 100), (1, 100), (8, 5)])
def test_box_on_bins_has_the_weight_of_the_box_on_bases(bin_size, extension):
    weights = box_weights(bin_size, extension)
    assert sum(weights) == pytest.approx((2 * extension + 1) / bin_size)
    assert weights == weights[::-1]


class Doubles(TorchDispatchMode):
    """Collects the operations that make float64 of something else, which an Apple GPU refuses."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        wide = [
            {leaf.dtype for leaf in torch.utils._pytree.tree_leaves(side) if isinstance(leaf, torch.Tensor)}
            & {torch.float64, torch.complex128}
            for side in (out, (args, kwargs))
        ]
        if wide[0] and not wide[1]:
            self.found.append(str(function))
        return out


def test_float64_is_made_in_one_place(model, monkeypatch):
    counts, depth = window(model, max(16 * model.stride, 2048)), torch.tensor([1e6])
    allowed = []

    def counted(values):
        allowed.append("aten._to_copy.default")
        return in_double(values)

    for module in (gaussian, resnet):
        monkeypatch.setattr(module, "in_double", counted)
    with Doubles() as doubles:
        model(counts, depth)
    assert doubles.found == allowed
    assert bool(allowed) == (type(model).__name__ in {"Gaussian", "ResNet", "UNet"})


def test_a_transform_that_is_none_is_refused():
    with pytest.raises(ValueError, match="transform='log' is unknown; expected 'none' or 'sqrt'"):
        models.ResNet(models.ResNetConfig(transform="log"))
