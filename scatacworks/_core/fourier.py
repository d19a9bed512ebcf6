"""Overlap-save convolution of many signals at once, by a Fourier transform whose inner loops run over the signals.

Signals lie as (channels, 2, rows, LANES): neighbouring numbers belong to different signals, so every step of a
transform is the same for all of them and compiles to vector instructions. Two real signals are transformed as the real
and the imaginary part of one; kernels are real, so the two convolutions come out as real and imaginary part again.

A transform of `N_FFT` rows is four passes of radix 4 over 32 kB, which stay in a core's first cache. The forward one
leaves the frequencies in the order of their reversed base-4 digits (`ORDER`), in which the inverse takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scatacworks._numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

N_FFT = 256
LANES = 16
ROWS = N_FFT + 1  # of spectra in memory: channels a power of two apart would compete for the same lines of a cache
_SIZE = N_FFT * LANES
_HALF = ROWS * LANES
_ZERO = np.float32(0)
# Rounding spreads noise over a frame of zeros, 1e-8 of what is beside it, and layer by layer on to the next frames,
# until it is denormal, which makes arithmetic many times slower.
_LEAST = np.float32(1e-25)
_SPANS = (256, 64, 16, 4)  # rows that a pass combines


def _reversed_digits(n: int) -> np.ndarray:
    """Numbers below `n`, a power of 4, with their base-4 digits reversed."""
    out = np.zeros(1, np.int64)
    while len(out) < n:
        out = (4 * out + np.arange(4)[:, None]).ravel()
    return out


ORDER = _reversed_digits(N_FFT)


def _factors(span: int) -> np.ndarray:
    """The three factors of every butterfly of a pass; (3 * span // 4,)."""
    return np.exp(-2j * np.pi / span * np.outer(np.arange(span // 4), [1, 2, 3])).ravel()


_ALL = np.concatenate([_factors(span) for span in _SPANS])
COS, SIN = _ALL.real.astype(np.float32), _ALL.imag.astype(np.float32)
_FIRST = np.cumsum([0] + [3 * span // 4 for span in _SPANS]).tolist()


@njit(fastmath=True, error_model="numpy")
def _split(
    ar: float, ai: float, br: float, bi: float, cr: float, ci: float, dr: float, di: float, w: tuple
) -> tuple[float, ...]:
    """Butterfly of a forward pass: four complex numbers and the factors of all but the first result."""
    c1, s1, c2, s2, c3, s3 = w
    even_r, even_i, diff_r, diff_i = ar + cr, ai + ci, ar - cr, ai - ci
    odd_r, odd_i, turned_r, turned_i = br + dr, bi + di, bi - di, dr - br
    xr, xi, yr, yi = diff_r + turned_r, diff_i + turned_i, even_r - odd_r, even_i - odd_i
    zr, zi = diff_r - turned_r, diff_i - turned_i
    first, second = (xr * c1 - xi * s1, xr * s1 + xi * c1), (yr * c2 - yi * s2, yr * s2 + yi * c2)
    return (even_r + odd_r, even_i + odd_i, *first, *second, zr * c3 - zi * s3, zr * s3 + zi * c3)


@njit(fastmath=True, error_model="numpy")
def _join(
    ar: float, ai: float, br: float, bi: float, cr: float, ci: float, dr: float, di: float, w: tuple
) -> tuple[float, ...]:
    """Undo a butterfly, but for a factor of 4."""
    c1, s1, c2, s2, c3, s3 = w
    br, bi = br * c1 + bi * s1, bi * c1 - br * s1
    cr, ci = cr * c2 + ci * s2, ci * c2 - cr * s2
    dr, di = dr * c3 + di * s3, di * c3 - dr * s3
    even_r, even_i, odd_r, odd_i = ar + cr, ai + ci, ar - cr, ai - ci
    sum_r, sum_i, turned_r, turned_i = br + dr, bi + di, di - bi, br - dr
    return (
        even_r + sum_r,
        even_i + sum_i,
        odd_r + turned_r,
        odd_i + turned_i,
        even_r - sum_r,
        even_i - sum_i,
        odd_r - turned_r,
        odd_i - turned_i,
    )


def _compiled(run: Callable, span: int, butterfly: Callable) -> Callable:
    """Compile a pass under a name of its own.

    Functions of one name share an index of what is compiled on disk, where processes that start at the same time take
    each other's numbers: a pass would then be loaded in the place of another.
    """
    run.__qualname__ = f"{run.__qualname__}{butterfly.py_func.__name__}_{span}"
    return njit(fastmath=True, error_model="numpy")(run)


def _make_pass(span: int, first: int, butterfly: Callable) -> Callable:
    """Make one pass of a transform, within `re` and `im`.

    Distances between rows are constants: without that, the loop over lanes is not vectorised.
    """
    b, c, d = (i * span // 4 * LANES for i in (1, 2, 3))

    def run(re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        for j in range(span // 4):
            k = first + 3 * j
            w = cos[k], sin[k], cos[k + 1], sin[k + 1], cos[k + 2], sin[k + 2]
            for start in range(j * LANES, _SIZE, span * LANES):
                for a in range(start, start + LANES):
                    (re[a], im[a], re[a + b], im[a + b], re[a + c], im[a + c], re[a + d], im[a + d]) = butterfly(
                        re[a], im[a], re[a + b], im[a + b], re[a + c], im[a + c], re[a + d], im[a + d], w
                    )

    return _compiled(run, span, butterfly)


def _make_first_pass(span: int, first: int, butterfly: Callable) -> Callable:
    """Make a pass that reads rows from elsewhere; one array under two names would hinder the other passes."""
    b, c, d = (i * span // 4 * LANES for i in (1, 2, 3))

    def run(x: np.ndarray, y: np.ndarray, re: np.ndarray, im: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
        for j in range(span // 4):
            k = first + 3 * j
            w = cos[k], sin[k], cos[k + 1], sin[k + 1], cos[k + 2], sin[k + 2]
            for start in range(j * LANES, _SIZE, span * LANES):
                for a in range(start, start + LANES):
                    (re[a], im[a], re[a + b], im[a + b], re[a + c], im[a + c], re[a + d], im[a + d]) = butterfly(
                        x[a], y[a], x[a + b], y[a + b], x[a + c], y[a + c], x[a + d], y[a + d], w
                    )

    return _compiled(run, span, butterfly)


_f256 = _make_first_pass(_SPANS[0], _FIRST[0], _split)
_f64, _f16, _f4 = (_make_pass(_SPANS[i], _FIRST[i], _split) for i in (1, 2, 3))
_i256, _i64, _i16, _i4 = (_make_pass(_SPANS[i], _FIRST[i], _join) for i in range(4))


@njit
def transform(x: np.ndarray, row: int, out: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """Transform rows `row` to `row + N_FFT` of `x` (channels, 2, rows, LANES) to `out` (channels, 2, ROWS, LANES).

    `cos` and `sin` are `COS` and `SIN`, here and in :func:`restore`.
    """
    n_rows = x.shape[2]
    flat, to = x.reshape(-1), out.reshape(-1)
    for channel in range(x.shape[0]):
        real, at = (channel * 2 * n_rows + row) * LANES, channel * 2 * _HALF
        imaginary = real + n_rows * LANES
        re, im = to[at : at + _SIZE], to[at + _HALF : at + _HALF + _SIZE]
        _f256(flat[real : real + _SIZE], flat[imaginary : imaginary + _SIZE], re, im, cos, sin)
        _f64(re, im, cos, sin)
        _f16(re, im, cos, sin)
        _f4(re, im, cos, sin)


@njit
def restore(
    spectra: np.ndarray,
    drop: int,
    bias: np.ndarray,
    skip: np.ndarray,
    out: np.ndarray,
    row: int,
    n: int,
    cos: np.ndarray,
    sin: np.ndarray,
) -> None:
    """Transform spectra back, times `N_FFT`, and write max(x + bias + skip, 0) to rows `row` to `row + n` of `out`.

    Numbers below 1e-25 become 0.

    Parameters
    ----------
    spectra
        (channels or more, 2, ROWS, LANES); overwritten.
    drop
        Rows left out before the first that is written: those that the convolution, being circular, spoils.
    bias
        One per channel.
    skip
        Like `out`; without channels, it adds nothing.
    out
        (channels, 2, rows, LANES).
    row, n
        First row of `out` that is written, and how many.
    cos, sin
        `COS` and `SIN`.
    """
    n_channels, n_rows = out.shape[0], out.shape[2]
    flat, to, added = spectra.reshape(-1), out.reshape(-1), skip.reshape(-1)
    for channel in range(n_channels):
        at = channel * 2 * _HALF
        re, im = flat[at : at + _SIZE], flat[at + _HALF : at + _HALF + _SIZE]
        _i4(re, im, cos, sin)
        _i16(re, im, cos, sin)
        _i64(re, im, cos, sin)
        _i256(re, im, cos, sin)
        for half, values in ((0, re[drop * LANES :]), (1, im[drop * LANES :])):
            at = ((2 * channel + half) * n_rows + row) * LANES
            if len(skip):
                for i in range(n * LANES):
                    value = values[i] + bias[channel] + added[at + i]
                    to[at + i] = value if value > _LEAST else _ZERO
            else:
                for i in range(n * LANES):
                    value = values[i] + bias[channel]
                    to[at + i] = value if value > _LEAST else _ZERO


@njit
def share_context(x: np.ndarray, head: int, n: int, tail: int, dilation: int, length: int) -> None:
    """Give every tile the rows above and below it from its neighbours, and zeros beyond the ends of the window.

    A tile is `dilation` lanes of one half of `x` (channels, 2, rows, LANES): `head` rows of context, `n` of its own,
    and `tail` of context. Tiles follow each other lane by lane, then half by half, and hold `length` numbers in all.
    """
    n_tiles = 2 * LANES // dilation
    for channel in range(len(x)):
        for i in range(n_tiles):
            left = min(max(length - i * n * dilation, 0), n * dilation)
            lane = i * dilation % LANES
            tile = x[channel, i * dilation // LANES]
            for at in range(left, n * dilation):
                tile[head + at // dilation, lane + at % dilation] = 0
        for i in range(n_tiles):
            lane = i * dilation % LANES
            tile = x[channel, i * dilation // LANES]
            before, after = max(i - 1, 0), min(i + 1, n_tiles - 1)
            above, lane_above = x[channel, before * dilation // LANES], before * dilation % LANES
            below, lane_below = x[channel, after * dilation // LANES], after * dilation % LANES
            for row in range(head):
                for k in range(dilation):
                    tile[row, lane + k] = above[n + row, lane_above + k] if i else 0
            for row in range(head, head + tail):
                for k in range(dilation):
                    tile[n + row, lane + k] = below[row, lane_below + k] if i + 1 < n_tiles else 0
