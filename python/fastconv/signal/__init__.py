"""Drop-ins for the convolution functions of `scipy.signal`, computed by fastconv.

The functions take the arguments of SciPy's functions of the same names in SciPy 1.17, and give the
same shapes, result dtypes and errors, without SciPy.

============================  ====================================================================
`convolve`, `correlate`       any number of dimensions; the sum itself or by transforms
`fftconvolve`, `oaconvolve`   by transforms, along some of the axes
`choose_conv_method`          which of the two is estimated, or measured, to be faster
`convolve2d`, `correlate2d`   images, with a choice of boundaries
============================  ====================================================================

Unlike the rest of fastconv, "convolution" here is the strict one, which mirrors its second
argument, and integers wrap around in the dtype that `numpy.result_type` names.
"""

from fastconv.signal._boundaries import convolve2d, correlate2d
from fastconv.signal._convolve import choose_conv_method, convolve, correlate
from fastconv.signal._fftconvolve import fftconvolve, oaconvolve

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "fftconvolve",
    "oaconvolve",
]
