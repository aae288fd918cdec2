"""A small grid over all passes, dtypes and layouts, to be run once for each instruction set.

Run as a program it prints, as JSON, which instruction set it ran on and a digest of the results.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

import fastconv
from comparison import check_passes, check_transpose, random_array, to_layout

DTYPES = ("float32", "float64", "complex64", "complex128", "float16", "int8", "int16", "int64")

# Sizes (N, C, H, W), weights (K, C/groups, kh, kw), and the other options.
PROBLEMS = (
    ((2, 3, 9, 37), (5, 3, 3, 3), {"padding": 1}),
    ((1, 17, 6, 19), (33, 17, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
    ((2, 16, 7, 7), (8, 16, 1, 1), {}),
    ((1, 18, 8, 21), (18, 1, 3, 3), {"padding": 1, "groups": 18}),
    ((2, 4, 11, 18), (6, 2, 2, 5), {"stride": (2, 1), "dilation": (1, 2), "groups": 2}),
    ((1, 2, 12, 23), (7, 2, 3, 4), {"stride": 3, "padding": "same", "flip": True}),
    ((1, 1, 5, 97), (1, 1, 5, 31), {"padding": ((0, 1), (30, 2))}),
)


def run_grid() -> int:
    """Compare every problem in every dtype and layout with the reference, and count them."""
    rng = np.random.default_rng(11)
    count = 0
    for dtype in DTYPES:
        for channels_last in (False, True):
            layout = "NHWC" if channels_last else "NCHW"
            for shape, weight_shape, options in PROBLEMS:
                x = to_layout(random_array(rng, shape, dtype), channels_last)
                w = random_array(rng, weight_shape, dtype)
                check_passes(rng, x, w, layout=layout, **options)
                groups = options.get("groups", 1)
                transposed = random_array(rng, (shape[1], 3, *weight_shape[2:]), dtype)
                check_transpose(x, transposed, stride=2, groups=groups, layout=layout)
                count += 4
    return count


def digest() -> str:
    """Hash float32 results of every pass, which must not depend on the number of threads."""
    rng = np.random.default_rng(12)
    sha = hashlib.sha256()
    for shape, weight_shape, options in PROBLEMS:
        x = random_array(rng, shape, np.float32)
        w = random_array(rng, weight_shape, np.float32)
        y = fastconv.conv2d(x, w, **options)
        sha.update(y.tobytes())
        for gradient in fastconv.conv2d_backward(y, x, w, **options):
            sha.update(gradient.tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    print(json.dumps({"checks": run_grid(), "isa": fastconv.cpu_info()["isa"], "digest": digest()}))
