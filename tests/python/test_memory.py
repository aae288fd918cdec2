"""How much memory a call takes beside its arguments and its result."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastconv

# The high-water mark of resident memory is reset before the call and read after it.
MEASURE = """
import numpy, fastconv

def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) * 1024

which, layout, threads = {arguments!r}
shape = (1, 64, 512, 512) if layout == "NCHW" else (1, 512, 512, 64)
first, second = numpy.full(shape, 1, numpy.float32), numpy.full(shape, 0.5, numpy.float32)
weight = numpy.full((64, 64, 3, 3), 0.25, numpy.float32)
options = dict(padding=1, layout=layout, threads=threads)
calls = dict(
    forward=lambda: fastconv.conv2d(first, weight, out=second, **options),
    backward_input=lambda: fastconv.grad.conv2d_input(
        shape, weight, first, out=second, **options),
    backward_weight=lambda: fastconv.grad.conv2d_weight(
        first, weight.shape, second, **options),
    transposed=lambda: fastconv.conv_transpose2d(first, weight, out=second, **options),
)
fastconv.conv2d(first[:, :4, :4] if layout == "NHWC" else first[..., :4, :4], weight, **options)
with open("/proc/self/clear_refs", "w") as marks:
    marks.write("5")
before = resident("VmRSS")
calls[which]()
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", ["forward", "backward_input", "backward_weight", "transposed"])
def test_no_copy_of_the_whole_input(run_python, name, layout, threads):
    completed = run_python(MEASURE.format(arguments=(name, layout, threads)))
    assert completed.returncode == 0, completed.stderr
    input_and_output = 2 * 64 * 512 * 512 * 4
    assert int(completed.stdout) < input_and_output / 2


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("name", ["forward", "backward_input", "backward_weight"])
def test_plans_report_their_workspace(name, layout):
    shape = (1, 64, 512, 512) if layout == "NCHW" else (1, 512, 512, 64)
    plan = fastconv.plan(
        np.ones((64, 64, 3, 3), np.float32), shape, padding=1, layout=layout, passes=(name,)
    )
    assert isinstance(plan.workspace_bytes, int)
    assert 0 <= plan.workspace_bytes < 64 * 512 * 512 * 4


def test_repeated_calls_do_not_leak(run_python):
    script = """
import numpy, fastconv, resource
x, w = numpy.ones((2, 16, 32, 32), numpy.float32), numpy.ones((16, 16, 3, 3), numpy.float32)
def work(count):
    for _ in range(count):
        y = fastconv.conv2d(x, w, padding=1)
        fastconv.conv2d_backward(y, x, w, padding=1)
        fastconv.plan(w, x.shape)(x)
        try:
            fastconv.conv2d(x, w, stride=0)
        except ValueError:
            pass
work(20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(300)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    completed = run_python(script)
    assert completed.returncode == 0, completed.stderr
    # 300 lost results alone would be 39 MB.
    assert int(completed.stdout) < 8 * 1024


def test_results_share_no_memory_with_those_that_live():
    """Memory of a dropped result serves the next one of its size, and no other."""
    x, w = np.ones((1, 8, 60, 60), np.float32), np.ones((8, 8, 3, 3), np.float32)
    kept = [fastconv.conv2d(x * scale, w) for scale in range(1, 9)]
    view = kept[0][0, 0, 5:]
    addresses = {array.ctypes.data for array in kept}
    assert len(addresses) == 8
    dropped = kept.pop().ctypes.data
    del kept[0]  # its view is still there
    again = fastconv.conv2d(x, w)
    assert again.ctypes.data == dropped
    for scale, array in enumerate(kept, 2):
        assert (array == 72 * scale).all()
    assert (view == 72).all()
    assert (again == 72).all()


def test_more_memory_than_there_is():
    with pytest.raises(MemoryError, match="Unable to allocate"):
        fastconv.conv_transpose2d(
            np.ones((1, 1, 2, 2), np.float32), np.ones((1, 1, 1, 1), np.float32), stride=10_000_000
        )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_little_memory_of_results_is_kept(run_python):
    """Many large results of different sizes: at most 64 MiB of theirs stay."""
    completed = run_python("""
import numpy, fastconv

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024

x, w = numpy.ones((1, 4, 1000, 1000), numpy.float32), numpy.ones((4, 4, 1, 1), numpy.float32)
fastconv.conv2d(x[:, :, :100], w, threads=1)
before = resident()
results = [fastconv.conv2d(x[:, :, : 300 + 70 * i], w, threads=1) for i in range(10)]
del results
print(resident() - before)
""")
    assert completed.returncode == 0, completed.stderr
    assert int(completed.stdout) < 80 << 20
