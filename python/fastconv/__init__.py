"""Convolution for NumPy arrays: 1-D, 2-D and 3-D, multi-channel, with gradients.

Deep-learning convention: "convolution" is cross-correlation unless ``flip=True``.

======================================  ==========================================================
`conv1d`, `conv2d`, `conv3d`            forward
`conv_transpose1d` ... `3d`             transposed
`fastconv.grad`                         gradients of input and weight
`conv1d_backward` ... `conv3d_backward` all gradients of a call at once
`plan`                                  weights prepared once for many calls
`StreamingConv1d`                       signals that arrive piece by piece
`explain`, `algorithms`                 which algorithm, and why
`fastconv.signal`                       drop-ins for functions of ``scipy.signal``
`fastconv.reference`                    the definition of it all, in NumPy
======================================  ==========================================================
"""

from fastconv import grad, reference, signal
from fastconv._backward import conv1d_backward, conv2d_backward, conv3d_backward
from fastconv._configuration import (
    cpu_info,
    get_num_threads,
    set_num_threads,
    show_config,
    threads,
)
from fastconv._core import UnsupportedError, __version__
from fastconv._functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    corr2d,
)
from fastconv._plan import ConvPlan, algorithms, explain, plan
from fastconv._streaming import StreamingConv1d

__all__ = [
    "ConvPlan",
    "StreamingConv1d",
    "UnsupportedError",
    "__version__",
    "algorithms",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "corr2d",
    "cpu_info",
    "explain",
    "get_num_threads",
    "grad",
    "plan",
    "reference",
    "set_num_threads",
    "show_config",
    "signal",
    "threads",
]
