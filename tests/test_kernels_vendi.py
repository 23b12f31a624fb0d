"""The kernels of Vendi Scores: in Triton's interpreter, or on a GPU where there is one, against float64."""

import numpy as np
import pytest

from compiling import check_compiles

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from divfast.kernels import padded  # noqa: E402
from divfast.kernels.vendi import spectrum, tiles_for, vendi  # noqa: E402
from divfast.reference.vendi import vendi as reference  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Fill what is allocated and not written with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield
    torch.use_deterministic_algorithms(False)


def draw(sizes, d, dtype=torch.float32, common=0.5):
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(sum(sizes), d, generator=random) * 3 + 3 * common
    return rows.to(dtype).to(DEVICE), torch.tensor(np.cumsum([0, *sizes])).to(DEVICE)


def truth(rows, groups, q):
    return reference(rows.double().cpu().numpy(), groups.tolist(), q=q)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sizes_without_eigenvalues(dtype):
    rows, groups = draw([0, *SIZES, 0, 129, 2], 20, dtype)
    expected = truth(rows, groups, 2.0)
    expected[-2] = np.nan
    np.testing.assert_allclose(vendi(rows, groups, q=2.0).cpu(), expected, rtol=5e-7)


@pytest.mark.parametrize("d", [1, 3, 16, 63, 65, 257, 1024])
def test_dimensions(d):
    rows, groups = draw([3, 0, 9], d)
    np.testing.assert_allclose(vendi(rows, groups).cpu(), truth(rows, groups, 1.0), rtol=1e-12)
    np.testing.assert_allclose(vendi(rows, groups, q=2.0).cpu(), truth(rows, groups, 2.0), rtol=1e-12)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.995, 1.0, 1.0001, 3.0, 50.0, np.inf])
def test_orders(q):
    rows, groups = draw([1, 2, 5], 12)
    np.testing.assert_allclose(vendi(rows, groups, q=q).cpu(), truth(rows, groups, q), rtol=1e-9)
    few = rows.bfloat16()
    np.testing.assert_allclose(vendi(few, groups, q=q).cpu(), truth(few, groups, q), rtol=1e-5)


@pytest.mark.parametrize("k", [15, 16, 17, 31])
def test_sizes(k):
    rows, groups = draw([k], 24, torch.bfloat16)
    np.testing.assert_allclose(vendi(rows, groups).cpu(), truth(rows, groups, 1.0), rtol=1e-5)


@pytest.mark.parametrize("k", [32, 33, 64, 65, 97, 128])
def test_large_groups_that_few_sweeps_solve(k):
    rows = torch.eye(k, device=DEVICE)
    rows[-1, 0] = 1  # a cosine of sqrt(1/2) with the first one, 0 for all others
    p = np.array([1 + 0.5**0.5, 1 - 0.5**0.5] + [1.0] * (k - 2)) / k
    got = vendi(rows.bfloat16(), torch.tensor([0, k], device=DEVICE)).item()
    assert got == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize("q", [0.5, 1.0, np.inf])
def test_equal_rows_count_once(kinds, q):
    rows = torch.eye(5, device=DEVICE)[:kinds].repeat(4, 1)
    groups = torch.tensor([0, len(rows)], device=DEVICE)
    for dtype in (torch.float32, torch.bfloat16):
        assert vendi(rows.to(dtype), groups, q=q).item() == pytest.approx(kinds, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("common", [0.1, 2.0])
def test_error_is_at_most_twice_that_of_plain_torch(dtype, common):
    rows, groups = draw([8] * 3, 96, dtype, common)
    for q in (1.0, 2.0):
        expected = truth(rows, groups, q)
        plain = padded.vendi(rows, groups, 8, q).double().cpu().numpy()
        error = np.abs(vendi(rows, groups, q=q).cpu().numpy() / expected - 1).max()
        assert error <= 2 * np.abs(plain / expected - 1).max()


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("q", [1.0, 2.0])
def test_a_row_without_direction_makes_its_group_undefined_and_no_other(bad, q):
    rows, groups = draw([3, 4, 2], 9)
    rows[4] = bad
    assert torch.isnan(vendi(rows, groups, q=q)).tolist() == [False, True, False]


def test_groups_that_are_too_large_or_lead_outside_are_undefined():
    rows, groups = draw([3, 17, 2], 8)
    assert torch.isnan(vendi(rows, groups, q=2.0, max_k=16)).tolist() == [False, True, False]
    lead = torch.tensor([-1, 3, 99], device=DEVICE)
    assert torch.isnan(vendi(rows, lead, q=2.0)).all()
    assert tiles_for(16) == [16] and tiles_for(17) == [16, 32] and tiles_for(10**6) == [16, 32, 64, 128]


@pytest.mark.parametrize("q", [0.7, 1.0, 1.004, 2.0, 3.0, np.inf])
def test_spectrum_and_its_slope(q):
    random = torch.Generator().manual_seed(1)
    factors = torch.randn(3, 6, 4, generator=random, dtype=torch.float64)
    products = (factors @ factors.mT).to(DEVICE)
    products[2] = 0
    mine, plain = spectrum(products, q=q), padded.spectrum(products, q)
    np.testing.assert_allclose(mine.cpu(), plain.cpu(), rtol=1e-11)
    mine, plain = spectrum(products, q=q, gradient=True), padded.spectrum(products, q, gradient=True)
    # What a slope is along directions that no row has does not matter, and it has none that is sure.
    mine, plain = (slope[:2] @ products[:2] for slope in (mine, plain))
    np.testing.assert_allclose(mine.cpu(), plain.cpu(), rtol=1e-9, atol=1e-9)


COMPILE = """
import sys
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import torch
from divfast.kernels import cosine, vendi

def compiled(kernel, pointers, shape):
    shape = dict(shape)
    warps = shape.pop("num_warps")
    numbers = {"n": "i32", "d": "i32", "k": "i32", "q_high": "fp32", "q_low": "fp32"}
    signature = {name: pointers.get(name) or numbers.get(name, "constexpr") for name in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=shape)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    assert len(made.asm["cubin"]) > 1000, kernel
    return made.asm["ptx"]

exact, single = torch.float64, torch.float32
for rows, operand, accumulator in (("*bf16", tl.bfloat16, single), ("*fp32", tl.float64, exact)):
    values = "*fp64" if accumulator is exact else "*fp32"
    pointers = {"rows_ptr": rows, "groups_ptr": "*i64", "mean_ptr": "*fp64", "out_ptr": "*fp64"}
    pointers |= {"row_mean_ptr": values, "row_max_ptr": values}
    shape = cosine.launch_shape(1600, 100, 768, accumulator)
    more = {"ACC": tl.float64 if accumulator is exact else tl.float32, "OPERAND": operand}
    ptx = compiled(cosine._cosine_kernel, pointers, shape | more | {"ROWS": True})
    assert "mma.sync" in ptx
    for tile in (16,) if accumulator is exact else (16, 128):
        shape = vendi.launch_shape(tile, 1.0, accumulator)
        more = {"OPERAND": operand, "MORE_THAN": 0, "LAST": True, "CHUNK": 64}
        assert "mma" in compiled(vendi._vendi_kernel, pointers, shape | more)
for q in (0.5, 1.001, float("inf")):
    pointers = {"products_ptr": "*fp32", "score_ptr": "*fp64", "gradient_ptr": "*fp32"}
    compiled(vendi._spectrum_kernel, pointers, vendi.launch_shape(16, q, exact) | {"GRADIENT": True})
print("compiled")
"""


def test_compiles_for_a_gpu(tmp_path):
    check_compiles(COMPILE, tmp_path)
