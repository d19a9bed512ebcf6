"""Every formulation of the dilated convolution against float64, and the networks built on them against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scatacworks.models import ResNet, ResNetConfig, _framed, _spectral, conv

SHAPES = [  # length, dilation, width
    (8000, 8, 51),
    (8003, 8, 51),
    (2100, 10, 31),
    (2100, 7, 50),
    (3000, 8, 50),
    (999, 1, 9),
    (40, 8, 51),
]


def plain(x, weight, bias, dilation):
    """Convolution by its definition, in float64."""
    total = (weight.shape[-1] - 1) * dilation
    padded = np.pad(x.astype(float), ((0, 0), (0, 0), (total // 2, total - total // 2)))
    out = np.zeros((x.shape[0], weight.shape[0], x.shape[-1]))
    for tap in range(weight.shape[-1]):
        at = tap * dilation
        out += np.einsum("oc,bcl->bol", weight[..., tap].astype(float), padded[..., at : at + x.shape[-1]])
    return out if bias is None else out + bias[:, None].astype(float)


CASES = [
    (method, *shape)
    for method in ("direct", "view", "fft")
    for shape in SHAPES
    if method != "fft" or _spectral.fits(shape[2], shape[1])  # frames need whole rows of padding
]


@pytest.mark.parametrize(("method", "length", "dilation", "width"), CASES)
def test_every_formulation_is_exact(method, length, dilation, width):
    rng = np.random.default_rng(0)
    x, weight = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, length), (4, 3, width)))
    bias = rng.normal(size=4).astype(np.float32)
    expected = plain(x, weight, bias, dilation)
    tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
    errors = [
        np.linalg.norm(conv.METHODS[name](*tensors, dilation).numpy() - expected) / np.linalg.norm(expected)
        for name in (method, "direct")
    ]
    assert errors[0] < 5e-7
    assert errors[0] <= 2 * errors[1]


@pytest.mark.parametrize("method", ["view", "fft"])
@pytest.mark.parametrize(("length", "dilation", "width"), [(700, 4, 21), (401, 2, 15)])
def test_gradients_equal_those_of_the_direct_form_in_float64(method, length, dilation, width):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, length, dtype=torch.float64), torch.randn(4, 3, width, dtype=torch.float64)
    upstream = torch.randn(2, 4, length, dtype=torch.float64)
    gradients = []
    for name in (method, "direct"):
        inputs = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
        out = conv.METHODS[name](*inputs, None, dilation)
        gradients.append(torch.autograd.grad((out * upstream).sum(), inputs))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_a_gradient_can_follow_inference_in_the_same_thread():
    x, weight = torch.randn(1, 7, 900), torch.randn(5, 7, 21, requires_grad=True)  # a shape of no other test
    with torch.inference_mode():
        expected = conv.fft(x, weight, None, 4).numpy().copy()
    out = conv.fft(x, weight, None, 4)
    np.testing.assert_array_equal(out.detach().numpy(), expected)
    out.sum().backward()
    assert weight.grad.abs().sum() > 0


def test_the_choice_depends_on_shape_and_device():
    weight = torch.empty(15, 15, 51)
    assert conv.choose(torch.empty(1, 15, 60_000), weight, 8) == "fft"
    assert conv.choose(torch.empty(1, 15, 60_000), torch.empty(15, 15, 50), 8) == "view"
    assert conv.choose(torch.empty(1, 15, 60_000, device="meta"), weight, 8) == "view"
    assert conv.choose(torch.empty(1, 15, 60_000), weight, 1) == "direct"
    assert conv.choose(torch.empty(1, 15, 60_000), torch.empty(15, 15, 1), 1) == "direct"
    assert conv.choose(torch.empty(1, 15, 20), weight, 8) == "direct"


def plain_resnet(state, x, dilations):
    """The published network in float64: numpy only, straight from its description."""

    def layer(name, x, dilation):
        weight, bias = state[f"{name}.conv_layer.weight"], state.get(f"{name}.conv_layer.bias")
        return plain(x, weight, bias, dilation)

    def relu(x):
        return np.maximum(x, 0)

    def branch(name, x, dilation):
        n_blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith(f"{name}."))
        for i in range(n_blocks):
            block = f"{name}.{i}"
            skip = relu(layer(f"{block}.conv_input", x, 1)) if i == 0 else x
            hidden = relu(layer(f"{block}.conv_act1", x, dilation))
            hidden = relu(layer(f"{block}.conv_act2", hidden, dilation))
            x = relu(layer(f"{block}.conv_act3", hidden, dilation) + skip)
        return x

    signal = relu(layer("regressor", branch("res_blocks", x, dilations[0]), 1))
    return signal[:, 0], layer("classifier", branch("res_blocks_class", signal, dilations[1]), 1)[:, 0]


@pytest.mark.parametrize(
    ("options", "length"),
    [
        ({}, 2_600),
        ({}, 2_601),
        ({"n_blocks": 1, "n_filters": 4, "width": 50}, 700),
        ({"n_blocks": 1, "n_filters": 4, "width": 21, "dilation": 3, "dilation_class": 5}, 1_500),
    ],
)
def test_the_network_equals_a_plain_implementation_in_float64(options, length):
    torch.manual_seed(1)
    model = ResNet(ResNetConfig(**{"n_blocks": 2, "n_blocks_class": 1, "n_filters": 15} | options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.6)
        model.regressor.conv_layer.weight.abs_()
    x = np.random.default_rng(0).poisson(3, (2, 1, length)).astype(np.float32)
    with torch.no_grad():
        got = model.denoise(torch.from_numpy(x))
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = plain_resnet(state, x, (model.config.dilation, model.config.dilation_class))
    assert expected[0].max() > 0
    for ours, truth in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), truth, atol=1e-5 * max(1, np.abs(truth).max()))


@pytest.mark.parametrize(
    ("length", "dilation", "width"), [(4805, 8, 17), (13_201, 8, 51), (900, 1, 24), (3_211, 2, 31), (2_400, 16, 41)]
)
def test_frames_equal_layers(length, dilation, width):
    torch.manual_seed(0)
    shape = {"width": width, "width_class": width, "dilation": dilation, "dilation_class": dilation}
    model = ResNet(ResNetConfig(n_blocks=2, n_blocks_class=1, n_filters=3, n_filters_class=2, **shape))
    for x in (torch.rand(3, 1, length), torch.rand(1, 1, length)):  # the second finds the buffers of the first
        with torch.no_grad():
            assert _framed.usable(model, x)
            framed = model.denoise(x)
        assert not _framed.usable(model, x)  # gradients
        for ours, expected in zip(framed, model.denoise(x), strict=True):
            torch.testing.assert_close(ours, expected.detach(), rtol=1e-5, atol=2e-6)


def test_frames_are_not_used_where_they_do_not_fit():
    with torch.no_grad():
        x = torch.rand(1, 1, 20_000)
        assert _framed.usable(ResNet(), x)
        assert not _framed.usable(ResNet(), x.double())
        assert not _framed.usable(ResNet(), x[..., :1_000])
        for options in ({"width": 129, "width_class": 129}, {"dilation": 3, "dilation_class": 3}, {"width_class": 21}):
            assert not _framed.usable(ResNet(ResNetConfig(**options)), x)


def test_new_weights_are_seen():
    model = ResNet(ResNetConfig(n_blocks=1, n_blocks_class=1, n_filters=3, n_filters_class=2, width=17, width_class=17))
    x = torch.rand(1, 1, 8 * 300)
    with torch.no_grad():
        before = model.denoise(x)[1]
        for parameter in model.parameters():
            parameter.add_(0.1)
        after = model.denoise(x)[1]
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, model.denoise(x)[1].detach(), rtol=1e-4, atol=1e-4)
