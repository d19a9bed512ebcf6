"""The published network in pixels of eight rows, by torch and by Triton, against plain convolution in float64.

Where Triton is installed its interpreter runs the kernel on the CPU (`tests/conftest.py` asks for it); on a GPU the
compiled kernel runs.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scatacworks.models import ResNet, ResNetConfig, _blocked, conv

SHAPES = [  # inputs, outputs, width, dilation, length
    (15, 15, 51, 8, 1000),
    (1, 15, 51, 8, 517),
    (3, 5, 11, 4, 64 * 4),
    (5, 4, 10, 1, 200),
    (4, 8, 9, 3, 301),
]


def some_layer(inputs, outputs, width, dilation, length, *, bias, skip):
    """Input, weight, bias and skip, and what a layer must give in float64."""
    rng = np.random.default_rng(inputs + width)
    x = torch.from_numpy(rng.normal(size=(2, inputs, length)))
    weight = torch.from_numpy(rng.normal(size=(outputs, inputs, width)) / np.sqrt(inputs * width))
    given_bias = torch.from_numpy(rng.normal(size=outputs)) if bias else None
    given_skip = torch.from_numpy(rng.normal(size=(2, outputs, length))) if skip else None
    return x, weight, given_bias, given_skip


def expected(x, weight, bias, skip, dilation):
    out = conv.direct(*(None if values is None else values.double() for values in (x, weight, bias)), dilation)
    return F.relu(out if skip is None else out + skip.double())


def error(image, truth, length):
    """Relative error of pixels, and whether what lies beyond the windows is zero."""
    n, channels = truth.shape[:2]
    rows = image.double().cpu().permute(0, 2, 3, 1).unflatten(3, (_blocked.ROWS, -1))  # (n, pixels, dilation, ROWS, C)
    flat = rows.permute(0, 4, 1, 3, 2).flatten(2)
    assert not flat[:, :, length:].any()
    assert not flat[:, channels:].any()
    return float((flat[:, :channels, :length] - truth).norm() / truth.norm()), n


def rounded(values, dtype):
    return None if values is None else values.to(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("bias", "skip"), [(False, True), (True, False)])
def test_a_layer_in_pixels_is_exact(shape, bias, skip, device):
    *_, dilation, length = shape
    x, weight, b, s = some_layer(*shape, bias=bias, skip=skip)
    layer = _blocked.make_layer(weight.to(device), rounded(b, torch.float64), dilation)
    image = _blocked.to_pixels(x.to(device), dilation)
    pixels = None if s is None else _blocked.to_pixels(s.to(device), dilation)
    layer = layer._replace(bias=None if layer.bias is None else layer.bias.to(device))
    found = _blocked.convolve(image, layer, length, pixels)
    assert error(found, expected(x, weight, b, s, dilation), length)[0] < 1e-14


@pytest.mark.parametrize("shape", SHAPES)
def test_the_weights_without_rows_of_zeros_are_those_of_the_kernel(shape):
    """Each output is a sum over (row, channel) from the first row on that a pixel reads."""
    inputs, outputs, _, dilation, length = shape
    x, weight, *_ = some_layer(*shape, bias=False, skip=False)
    layer = _blocked.make_layer(weight, None, dilation)
    image = F.pad(x, (0, -length % (8 * dilation), 0, layer.image.shape[1] // 8 - inputs))
    image = image.unflatten(2, (-1, dilation)).numpy()  # (windows, C, rows, phases)
    n_rows = layer.rows.shape[1] // image.shape[1]
    padded = np.pad(image, ((0, 0), (0, 0), (layer.head, n_rows), (0, 0)))
    found = np.zeros((2, outputs, image.shape[2], dilation))
    for first in range(0, image.shape[2], 8):
        terms = padded[:, :, first : first + n_rows].transpose(0, 3, 2, 1).reshape(2, dilation, -1)
        sums = (terms @ layer.rows.numpy().T).reshape(2, dilation, 8, -1)[..., :outputs]
        found[:, :, first : first + 8] = sums.transpose(0, 3, 2, 1)
    truth = conv.direct(x, weight, None, dilation).numpy()
    np.testing.assert_allclose(found.reshape(2, outputs, -1)[..., :length], truth, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("bias", "skip"), [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_kernel_gives_the_same(shape, bias, skip, dtype, device):
    kernels = pytest.importorskip("scatacworks.models._triton_conv", exc_type=ImportError)
    if device == "cpu" and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter does not know bfloat16; float16 takes the same way")
    *_, dilation, length = shape
    x, weight, b, s = (rounded(values, dtype) for values in some_layer(*shape, bias=bias, skip=skip))
    image = _blocked.to_pixels(x.to(device), dilation)
    layer = _blocked.make_layer(weight.to(device), None if b is None else b.to(device), dilation)
    pixels = None if s is None else _blocked.to_pixels(s.to(device), dilation)
    found = kernels.convolve(image, layer, length, pixels, tile=kernels.Tile(64, 32, 4, 2))
    assert found.dtype == dtype
    single = 1e-6 if device == "cpu" else 2e-3  # TF32 on a GPU
    close = {torch.float32: single, torch.float16: 1e-3, torch.bfloat16: 6e-3}[dtype]
    assert error(found, expected(x, weight, b, s, dilation), length)[0] < close


@pytest.mark.gpu
def test_the_network_takes_the_kernel_in_the_precision_that_is_asked_for(monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    kernels = pytest.importorskip("scatacworks.models._triton_conv", exc_type=ImportError)
    model, x = network(), torch.rand(3, 1, 9_000) * 4
    truth = plain(model, x)
    model, x = model.float().to("cuda"), x.to("cuda")
    calls, convolve = [], kernels.convolve
    monkeypatch.setattr(kernels, "convolve", lambda *given, **named: (calls.append(1), convolve(*given, **named))[1])
    for amp, tf32, close, taken in ((False, False, 1e-5, 0), (False, True, 5e-3, 21), (True, True, 3e-2, 21)):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
        calls.clear()
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=amp):
            found = model.denoise(x)
        assert len(calls) == taken
        for ours, wanted in zip(found, truth, strict=True):
            assert ours.dtype == torch.float32
            assert float((ours.double().cpu() - wanted).norm() / wanted.norm()) < close


def network(**options):
    torch.manual_seed(0)
    return ResNet(ResNetConfig(**options)).eval()


def plain(model, x):
    """The network by its definition, in float64."""
    with torch.enable_grad():  # without it, the network may take another way
        return [values.detach() for values in model.double().denoise(x.double())]


@pytest.mark.parametrize(
    "options", [{}, {"n_filters": 5, "n_filters_class": 3, "width": 11, "width_class": 9, "extra_channels": ("a", "b")}]
)
@pytest.mark.parametrize("length", [64 * 20, 1_003])
def test_the_network_in_pixels_is_exact(options, length, device):
    model = network(**options)
    x = torch.rand(2, model.n_channels, length) * 4
    truth = plain(model, x)
    with torch.inference_mode():
        found = _blocked.run(model.to(device), x.double().to(device))
        single = _blocked.run(model.float(), x.to(device))
    for ours, one, wanted in zip(found, single, truth, strict=True):
        assert ours.shape == wanted.shape
        np.testing.assert_allclose(ours.cpu(), wanted, rtol=1e-10, atol=1e-12)
        allowed = 1e-5 if device == "cpu" else 5e-3
        assert float((one.double().cpu() - wanted).norm() / wanted.norm()) < allowed


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_changed_weights_are_laid_out_anew(name):
    model, x = network(n_blocks=1, n_blocks_class=1), torch.rand(1, 1, 640)
    with torch.inference_mode():
        before = _blocked.run(model, x)[1].clone()
    with torch.no_grad():
        getattr(model.classifier.conv_layer, name).add_(0.5)
    truth = plain(model, x)[1]
    with torch.inference_mode():
        after = _blocked.run(model.float(), x)[1]
    assert not np.allclose(before, after, atol=0.01)
    np.testing.assert_allclose(after, truth, rtol=1e-5, atol=1e-6)


def test_it_is_left_to_gpus_and_to_networks_that_fit():
    model, x = network(), torch.rand(1, 1, 640)
    with torch.inference_mode():
        assert not _blocked.usable(model, x)
    assert _blocked.fits(model)
    assert not _blocked.fits(network(width=50))  # padding that is no whole number of rows
    assert not _blocked.fits(network(dilation_class=4))
