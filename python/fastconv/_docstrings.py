"""Docstrings that the functions for 1, 2 and 3 dimensions share.

A function's text differs between ranks in names of layouts and in its example alone; writing it
once keeps the three alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_LAYOUTS = {1: ("NCW", "NWC"), 2: ("NCHW", "NHWC"), 3: ("NCDHW", "NDHWC")}

_SIZES = """\
stride, dilation : int or sequence of int, default 1
    At least 1; one for all spatial axes or one for each.
"""

_PADDING = """\
padding : int, sequence, or {{"valid", "same", "same_lower", "full"}}, default 0
    Elements added on both sides of every spatial axis: one number, one for each axis, or a pair
    ``(before, after)`` for each axis. Negative numbers crop. ``"same"`` gives an output of
    ``ceil(n / stride)``, the odd element after (``"same_lower"``: before); ``"full"`` gives every
    position in which kernel and input overlap.
"""

_GROUPS = """\
groups : int, default 1
    Divides the channels of input and output into groups that do not see one another.
"""

_LAYOUT = """\
layout : {{"{first}", "{last}"}}, optional
    Order of the axes of inputs and outputs; ``"{first}"`` by default. Weights keep their order.
"""

_MODE = """\
padding_mode : str, default "zeros"
    What stands in the padding: ``"zeros"``, ``"constant"`` (`padding_value`), ``"reflect"``,
    ``"symmetric"``, ``"replicate"`` or ``"circular"``, as in `numpy.pad`.
padding_value : number, default 0
    For ``padding_mode="constant"`` alone.
"""

_FLIP = """\
flip : bool, default False
    Mirror the kernel along every spatial axis: convolution in the strict sense.
"""

_EPILOGUE = """\
activation : str, optional
    Applied last: ``"relu"``, ``"leaky_relu"`` (slope 0.01), ``"relu6"``, ``"silu"``, ``"gelu"``
    (exact), ``"sigmoid"`` or ``"tanh"``.
accumulate : bool, default False
    Add what `out` holds before the activation.
"""

_EXECUTION = """\
algorithm : str, default "auto"
    One of `fastconv.algorithms`, or the one with the lowest estimated cost.
precision : {{"default", "strict", "fast"}}, default "default"
    ``"strict"`` excludes algorithms that reassociate sums.
threads : int, optional
    Number of threads; see `fastconv.set_num_threads`. It does not change the result.
"""

_OUT = """\
out : ndarray, optional
    Where to write the result: of its shape and dtype, any strides, no overlap with an argument.
"""

_RAISES = """\
Raises
------
ValueError
    If shapes do not fit together, or an option has a value that is not allowed.
TypeError
    If an array has no numbers, or a size is not an integer.
fastconv.UnsupportedError
    If no algorithm, or not the one asked for, takes the problem.
OverflowError
    If a sum of 8-bit products does not fit int32.
"""

_DTYPES = """\
Mixed dtypes follow `numpy.result_type`; 8-bit integers and bool alone give int32, wider integers
int64. float16 and bfloat16 are accumulated in float32."""

_SIZE_FORMULA = "floor((n + padding - dilation * (kernel - 1) - 1) / stride) + 1"

_TEMPLATES = {
    "conv": (
        """Convolve inputs with weights: cross-correlation, unless ``flip=True``.

Parameters
----------
input : array_like, shape (N, C, *spatial) or (C, *spatial)
    {rank} spatial axes, in the order that `layout` says.
weight : array_like, shape (K, C / groups, *kernel)
bias : array_like, shape (K,), optional
"""
        + _SIZES
        + _PADDING
        + _GROUPS
        + _LAYOUT
        + _MODE
        + _FLIP
        + _EPILOGUE
        + _EXECUTION
        + _OUT
        + """
Returns
-------
ndarray, shape (N, K, *output) or (K, *output)
    With an output of """
        + _SIZE_FORMULA
        + """ along each axis. """
        + _DTYPES
        + """

"""
        + _RAISES
        + """
Notes
-----
``out[n, k, o] = activation(bias[k] + sum_{{c, a}} weight[k, c, a] * padded[n, c, o * stride + a *
dilation])``, with c over the channels of k's group. Positional order is that of
``torch.nn.functional``; the formula is in Dumoulin and Visin, "A guide to convolution arithmetic
for deep learning" (arXiv 1603.07285).

Examples
--------
>>> import numpy as np, fastconv
>>> x = np.arange({count}, dtype=np.float32).reshape((1, 1) + {example_shape})
>>> fastconv.{name}(x, np.ones((1, 1) + {example_kernel}, np.float32)).ravel()
{example_result}
"""
    ),
    "conv_transpose": (
        """Transposed convolution: the adjoint of `conv{rank}d`, without conjugation.

Parameters
----------
input : array_like, shape (N, C, *spatial) or (C, *spatial)
    {rank} spatial axes, in the order that `layout` says.
weight : array_like, shape (C, K / groups, *kernel)
bias : array_like, shape (K,), optional
stride : int or sequence of int, default 1
padding : int or sequence, default 0
    Elements taken off both sides of every spatial axis of the result; pairs ``(before, after)``
    are accepted.
output_padding : int or sequence of int, default 0
    Elements added after the end of the result, less than the larger of stride and dilation.
"""
        + _GROUPS
        + """\
dilation : int or sequence of int, default 1
"""
        + _LAYOUT
        + _FLIP
        + _EPILOGUE
        + _EXECUTION
        + _OUT
        + """
Returns
-------
ndarray, shape (N, K, *output) or (K, *output)
    With an output of (n - 1) * stride - padding + dilation * (kernel - 1) + output_padding + 1
    along each axis. """
        + _DTYPES
        + """

"""
        + _RAISES
        + """
Notes
-----
Every input element adds ``weight`` times itself to the output at ``stride`` times its position
(Dumoulin and Visin, arXiv 1603.07285, chapter 4). It is computed in phases, one for each
remainder modulo the stride, without inserting zeros.

Examples
--------
>>> import numpy as np, fastconv
>>> x = np.array([1.0, 2.0]).reshape((1, 1) + {transpose_shape})
>>> fastconv.{name}(x, np.ones((1, 1) + {transpose_kernel}), stride={transpose_stride}).ravel()
array([1., 1., 1., 2., 2., 2.])
"""
    ),
    "input_gradient": (
        """Gradient of `fastconv.conv{rank}d` with respect to its input.

Parameters
----------
input_size : sequence of int
    Shape of the input, (N, C, *spatial) or (C, *spatial), in the order that `layout` says.
weight : array_like, shape (K, C / groups, *kernel)
grad_output : array_like, shape (N, K, *output) or (K, *output)
    Gradient with respect to the output of the forward call.
"""
        + _SIZES
        + _PADDING
        + _GROUPS
        + _LAYOUT
        + _MODE
        + _FLIP
        + _EXECUTION
        + _OUT
        + """
Returns
-------
ndarray, shape `input_size`
    """
        + _DTYPES
        + """

"""
        + _RAISES
        + """
Notes
-----
The adjoint of the forward call: ``<conv(x, w), g> = <x, gradient>``, so that a complex weight is
conjugated. With a padding mode that repeats the input, an element collects the gradients of its
copies.

Examples
--------
>>> import numpy as np, fastconv
>>> w = np.arange(1.0, 4.0).reshape((1, 1) + {gradient_kernel})
>>> g = np.ones((1, 1) + {gradient_output})
>>> fastconv.grad.{name}((1, 1) + {gradient_input}, w, g).ravel()
array([1., 3., 5., 3.])
"""
    ),
    "weight_gradient": (
        """Gradient of `fastconv.conv{rank}d` with respect to its weight.

Parameters
----------
input : array_like, shape (N, C, *spatial) or (C, *spatial)
    {rank} spatial axes, in the order that `layout` says.
weight_size : sequence of int
    Shape of the weight, (K, C / groups, *kernel).
grad_output : array_like, shape (N, K, *output) or (K, *output)
    Gradient with respect to the output of the forward call.
"""
        + _SIZES
        + _PADDING
        + _GROUPS
        + _LAYOUT
        + _MODE
        + _FLIP
        + _EXECUTION
        + _OUT
        + """
Returns
-------
ndarray, shape `weight_size`
    """
        + _DTYPES
        + """

"""
        + _RAISES
        + """
Notes
-----
The adjoint of the forward call: ``<conv(x, w), g> = <w, gradient>``, so that a complex input is
conjugated. Tiles of the sum over images and positions depend on the problem alone: the result is
the same, bit for bit, for any number of threads.

Examples
--------
>>> import numpy as np, fastconv
>>> x = np.arange(4.0).reshape((1, 1) + {gradient_input})
>>> g = np.ones((1, 1) + {gradient_output})
>>> fastconv.grad.{name}(x, (1, 1) + {gradient_kernel}, g).ravel()
array([1., 3., 5.])
"""
    ),
    "backward": (
        """Gradients of `conv{rank}d` with respect to input, weight and bias.

Parameters
----------
grad_output : array_like, shape (N, K, *output) or (K, *output)
    Gradient with respect to the output of the forward call.
input : array_like, shape (N, C, *spatial) or (C, *spatial)
    {rank} spatial axes, in the order that `layout` says.
weight : array_like, shape (K, C / groups, *kernel)
"""
        + _SIZES
        + _PADDING
        + _GROUPS
        + """\
output_mask : (bool, bool, bool), default (True, True, True)
    Which of the three gradients to compute.
"""
        + _LAYOUT
        + _MODE
        + _FLIP
        + _EXECUTION
        + """
Returns
-------
grad_input : ndarray or None, shape of `input`
grad_weight : ndarray or None, shape of `weight`
grad_bias : ndarray or None, shape (K,)
    The sum of `grad_output` over images and positions. What the mask leaves out is None.

Notes
-----
Where transforms compute the gradients of both input and weight they share those of `grad_output`:
one call is faster than two of `fastconv.grad`.

"""
        + _RAISES
        + """
See Also
--------
fastconv.grad.conv{rank}d_input, fastconv.grad.conv{rank}d_weight

Examples
--------
>>> import numpy as np, fastconv
>>> x = np.arange(4.0).reshape((1, 1) + {gradient_input})
>>> w = np.arange(1.0, 4.0).reshape((1, 1) + {gradient_kernel})
>>> g = np.ones((1, 1) + {gradient_output})
>>> [gradient.ravel() for gradient in fastconv.{name}(g, x, w)]
[array([1., 3., 5., 3.]), array([1., 3., 5.]), array([2.])]
"""
    ),
}


def _in_last_axis(size: int, rank: int) -> str:
    """Text of a tuple of ones that ends in `size`."""
    shape = (1,) * (rank - 1) + (size,)
    return repr(shape)


def _examples(rank: int) -> dict[str, str]:
    """Small arrays for each rank, and what comes out of them."""
    results = {
        1: "array([1., 3., 5.], dtype=float32)",
        2: "array([ 8., 12., 20., 24.], dtype=float32)",
        3: "array([ 52.,  60.,  76.,  84., 124., 132., 148., 156.], dtype=float32)",
    }
    side = {1: 4, 2: 3, 3: 3}[rank]
    return {
        "count": str(side**rank),
        "example_shape": repr((side,) * rank),
        "example_kernel": repr((2,) * rank),
        "example_result": results[rank],
        "transpose_shape": _in_last_axis(2, rank),
        "transpose_kernel": _in_last_axis(3, rank),
        "transpose_stride": "3",
        "gradient_input": _in_last_axis(4, rank),
        "gradient_kernel": _in_last_axis(3, rank),
        "gradient_output": _in_last_axis(2, rank),
    }


def documented(template: str, rank: int) -> Callable[[Function], Function]:
    """Give a function the docstring of its kind, for its number of spatial axes."""

    def decorate(function: Function) -> Function:
        first, last = _LAYOUTS[rank]
        function.__doc__ = _TEMPLATES[template].format(
            rank=rank, first=first, last=last, name=function.__name__, **_examples(rank)
        )
        return function

    return decorate
