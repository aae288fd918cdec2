"""Convolution of signals that arrive piece by piece."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _core
from fastconv._arrays import as_array
from fastconv._typing import Array, ArrayLike


class StreamingConv1d:
    """Convolve an endless multi-channel signal, piece by piece (cross-correlation unless `flip`).

    All outputs put together are those of the call on the whole signal,
    ``fastconv.conv1d(signal, weight, padding=(taps - 1, 0), groups=groups, flip=flip)``: output
    ``t`` depends on the samples ``t - taps + 1`` to ``t``, with zeros before the first one. With
    ``flip=True`` this is the FIR filter whose impulse response is ``weight``, as
    `scipy.signal.lfilter` computes it.

    Parameters
    ----------
    weight : array_like, shape (K, C / groups, taps)
        float32 or float64. It is copied.
    block : int, optional
        Samples that are computed together: outputs come in blocks, so that a long block means
        latency and a short one more work for each sample. By default ``taps / 32``, rounded up to
        a power of two, but 256 to 4096: there the work of the transforms, which a longer block
        does not save, is about that of all else.
    groups : int, default 1
        As in `conv1d`; with ``groups=C`` each channel has its own kernels.
    dtype : dtype, optional
        Of weights, samples and outputs; the weight's by default.
    flip : bool, default False
        Mirror the kernels: strict convolution.
    threads : int, optional
        The number that `get_num_threads` gives by default.

    Attributes
    ----------
    block, taps : int
    latency : int
        ``block - 1``: the most samples that must follow one before its output is given.
    pending : int
        Samples taken whose outputs were not given yet; less than `block`.
    workspace_bytes : int
        All memory of the stream, allocated at once.

    Raises
    ------
    ValueError
        If shapes do not fit together, or an option has a value that is not allowed.
    TypeError
        If an array has no numbers, a size is not an integer, or `dtype` cannot hold the weight's.
    fastconv.UnsupportedError
        For dtypes other than float32 and float64.

    Notes
    -----
    A uniformly partitioned convolution in the frequency domain: kernels are cut into pieces of
    `block` taps, every block of samples is transformed once and kept in a delay line of spectra
    [1]_ [2]_. Each block takes the same work and allocates nothing. The error is that of the
    algorithm ``"fft"``. Results do not depend on how the signal is cut into pieces, nor on the
    number of threads, in any bit.

    A NaN or infinity reaches the outputs whose window holds it and no others. While it is in the
    windows, a block takes one more multiplication for each of its outputs and such a sample.

    One thread at a time may use a stream; different streams are independent.

    References
    ----------
    .. [1] W. G. Gardner, "Efficient convolution without input-output delay", Journal of the Audio
       Engineering Society 43 (3), 1995.
    .. [2] F. Wefers, "Partitioned convolution algorithms for real-time auralization", 2015.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> average = fastconv.StreamingConv1d(np.full((1, 1, 4), 0.25), block=2)
    >>> average.process([[4.0, 8.0, 12.0]]).round(6)
    array([[1., 3.]])
    >>> average.process([[16.0]]).round(6)
    array([[ 6., 10.]])
    >>> average.process([[20.0]]).shape
    (1, 0)
    >>> average.flush().round(6)
    array([[14.]])
    """

    def __init__(
        self,
        weight: ArrayLike,
        block: SupportsIndex | None = None,
        *,
        groups: SupportsIndex = 1,
        dtype: DTypeLike | None = None,
        flip: bool = False,
        threads: SupportsIndex | None = None,
    ) -> None:
        kernels = as_array(weight, "weight")
        if dtype is not None:
            kernels = _converted(kernels, dtype)
        self._dtype = kernels.dtype
        self._stream = _core.Stream(kernels, block, groups, flip, threads)

    def process(self, samples: ArrayLike, out: Array | None = None) -> Array:
        """Take samples, and return the outputs that they complete.

        Parameters
        ----------
        samples : array_like, shape (C, n)
            Of the stream's dtype; any number, 0 included.
        out : ndarray, shape (K, ready(n)), optional
            Where to write the outputs; any strides. Nothing is allocated then.

        Returns
        -------
        ndarray, shape (K, m)
            ``m`` is a multiple of `block`, often 0.

        Raises
        ------
        ValueError, TypeError
            For other shapes and dtypes; the stream has then not changed.
        RuntimeError
            If another thread is using the stream.
        """
        return self._stream.process(samples, out)

    def flush(self, out: Array | None = None) -> Array:
        """Return the outputs of all samples that are still pending, and begin a new signal.

        Parameters
        ----------
        out : ndarray, shape (K, pending), optional

        Returns
        -------
        ndarray, shape (K, m)
            ``m`` is less than `block`, and 0 after another `flush`.
        """
        return self._stream.flush(out)

    def reset(self) -> None:
        """Forget all samples, so that the next ones begin a new signal."""
        self._stream.reset()

    def ready(self, samples: SupportsIndex) -> int:
        """Return how many outputs `process` will give for so many samples.

        Parameters
        ----------
        samples : int

        Returns
        -------
        int
        """
        return self._stream.ready(samples)

    @property
    def block(self) -> int:
        """Samples that are computed together."""
        return self._stream.block

    @property
    def taps(self) -> int:
        """Length of the kernels."""
        return self._stream.taps

    @property
    def latency(self) -> int:
        """The most samples that must follow one before its output is given."""
        return self._stream.latency

    @property
    def pending(self) -> int:
        """Samples taken whose outputs were not given yet."""
        return self._stream.pending

    @property
    def workspace_bytes(self) -> int:
        """All memory of the stream."""
        return self._stream.workspace_bytes

    def __repr__(self) -> str:
        stream = self._stream
        return (
            f"<StreamingConv1d: {stream.channels} channels to {stream.outputs}, {stream.taps} "
            f"taps, block {stream.block}, {self._dtype}>"
        )


def _converted(kernels: Array, dtype: DTypeLike) -> Array:
    """The weight in the dtype that was asked for, unless that loses digits."""
    try:
        wanted = np.dtype(dtype)
    except TypeError as error:
        raise TypeError(f"dtype: got {dtype!r}, needs the name of a dtype: {error}") from None
    if not np.can_cast(kernels.dtype, wanted, "same_kind"):
        raise TypeError(f"dtype: got {wanted}, which cannot hold the weight's {kernels.dtype}")
    return kernels.astype(wanted, copy=False)
