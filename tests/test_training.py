"""Diversity as functions of tensors: values by hand, gradients, what torch.compile makes of them, bad input."""

import pytest

torch = pytest.importorskip("torch")

from divfast import training  # noqa: E402
from divfast.errors import BackendError, DataError, MetricError  # noqa: E402
from divfast.kernels import ops, padded  # noqa: E402
from divfast.training import (  # noqa: E402
    cosine_distance,
    leave_one_out_cosine,
    leave_one_out_vendi,
    nearest_cosine,
    vendi_score,
)

GROUPS = torch.tensor([0, 1, 5, 5, 9])
FUNCTIONS = [cosine_distance, leave_one_out_cosine, vendi_score, leave_one_out_vendi]


@pytest.fixture
def plain(monkeypatch):
    """Plain torch on the CPU, also where Triton interprets kernels."""
    monkeypatch.setattr(ops, "_kernels", lambda rows: False)


def draw(n=9, d=5, dtype=torch.float64):
    return torch.randn(n, d, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("function", "options"),
    [(function, {}) for function in FUNCTIONS]
    + [(function, {"q": q}) for function in FUNCTIONS[2:] for q in (0.7, 1.004, 2.0, 3.0, float("inf"))],
)
def test_gradients(function, options):
    rows = draw().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, GROUPS, **options).nan_to_num(), rows)


@pytest.mark.usefixtures("plain")
def test_the_gradient_to_operators_of_matrices():
    factors = draw(6, 6).requires_grad_()
    for q in (1.0, 3.0):
        assert torch.autograd.gradcheck(lambda x, q=q: ops.effective_number((x @ x.mT)[None], q), factors)


@pytest.mark.parametrize(
    ("added", "whole"), [(leave_one_out_cosine, cosine_distance), (leave_one_out_vendi, vendi_score)]
)
@pytest.mark.usefixtures("plain")
def test_what_a_row_adds_is_the_value_with_it_less_that_without(added, whole):
    rows = draw()
    for start, stop in ((1, 5), (5, 9)):
        for i in range(start, stop):
            rest = torch.cat([rows[start:i], rows[i + 1 : stop]])
            expected = whole(rows[start:stop]) - whole(rest)
            torch.testing.assert_close(added(rows, GROUPS)[i : i + 1], expected)


@pytest.mark.usefixtures("plain")
def test_small_groups_are_undefined_and_spoil_no_gradient():
    rows = draw().requires_grad_()
    assert torch.isnan(cosine_distance(rows, GROUPS)).tolist() == [True, False, True, False]
    assert torch.isnan(vendi_score(rows, GROUPS)).tolist() == [False, False, True, False]
    assert torch.isnan(leave_one_out_cosine(rows, GROUPS)).tolist() == [True] + [False] * 8
    assert torch.isnan(leave_one_out_vendi(rows, GROUPS)).tolist() == [True] + [False] * 8
    two = torch.tensor([0, 2, 9])
    assert torch.isnan(leave_one_out_cosine(rows, two)).tolist() == [True] * 2 + [False] * 7
    for function in FUNCTIONS:
        values = function(rows, GROUPS)
        (slope,) = torch.autograd.grad(values[~torch.isnan(values)].sum(), rows)
        assert torch.isfinite(slope).all(), function.__name__


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_types_of_rows_and_of_values(dtype):
    rows = draw(12).to(dtype).requires_grad_()
    for function in FUNCTIONS:
        values = function(rows, 4)
        assert values.dtype == torch.float32
        exact = function(rows.detach().double(), 4)
        torch.testing.assert_close(values.double(), exact, rtol=1e-4, atol=1e-5)
        (slope,) = torch.autograd.grad(values.sum(), rows)
        assert slope.dtype == dtype


@pytest.mark.usefixtures("plain")
def test_ways_to_name_groups_agree():
    rows = draw(12)
    expected = vendi_score(rows, torch.arange(0, 13, 4))
    for given in ((rows, 4), (rows.unflatten(0, (3, 4)),), (rows, torch.arange(0, 13, 4), 4)):
        torch.testing.assert_close(vendi_score(*given), expected)
    assert cosine_distance(rows).shape == (1,)
    assert torch.isnan(vendi_score(rows, torch.tensor([0, 5, 9]), 4)).tolist() == [True, False]
    assert cosine_distance(rows[:0], torch.tensor([0])).shape == (0,)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_whole(backend):
    rows = draw(12).requires_grad_()

    def loss(x):
        added = leave_one_out_vendi(x, 4).sum() + leave_one_out_cosine(x, 4).square().sum()
        return added + vendi_score(x, 4, q=2.0).sum() - cosine_distance(x, 4).sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    slopes = [torch.autograd.grad(function(rows), rows)[0] for function in (compiled, loss)]
    torch.testing.assert_close(*slopes)


@pytest.mark.usefixtures("plain")
def test_operators_keep_the_rules_of_torch():
    rows, groups = draw().requires_grad_(), torch.tensor([0, 4, 9])
    products = (draw() @ draw().T)[None].requires_grad_()
    for op, arguments in (
        (torch.ops.divfast.cosine.default, (rows, groups, 5)),
        (torch.ops.divfast.vendi.default, (rows, groups, 5, 1.0)),
        (torch.ops.divfast.effective_number.default, (products, 1.0)),
    ):
        torch.library.opcheck(op, arguments)


def test_kernels_agree_with_plain_torch(monkeypatch):
    launching = pytest.importorskip("divfast.kernels.launching")
    if not (launching.interpreted() or torch.cuda.is_available()):
        pytest.skip("there is neither a GPU nor Triton's interpreter")
    rows = draw(7, 5, torch.float32)
    rows = rows.to("cuda" if torch.cuda.is_available() else "cpu").requires_grad_()
    groups = torch.tensor([0, 3, 7], device=rows.device)
    found = []
    for kernels in (launching.runs_on, lambda rows: False):
        monkeypatch.setattr(ops, "_kernels", kernels)
        values = [function(rows, groups) for function in FUNCTIONS]
        (slope,) = torch.autograd.grad(sum(value.square().sum() for value in values), rows)
        found.append([*values, slope, nearest_cosine(rows, groups)])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-5, atol=1e-5)


@pytest.mark.usefixtures("plain")
def test_wide_rows_and_large_groups():
    rows = draw(140, 3)
    torch.testing.assert_close(vendi_score(rows), padded.vendi(rows, torch.tensor([0, 140]), 140, 1.0))
    assert vendi_score(rows).item() <= 3


@pytest.mark.parametrize(
    ("rows", "groups", "words"),
    [
        ([[1.0]], None, "must be a tensor, got list"),
        (torch.zeros(3), None, r"must be \[n, d\]"),
        (torch.zeros(3, 2, dtype=torch.int64), None, r"must be \[n, d\]"),
        (torch.zeros(3, 2), 2, "3 rows are no groups of 2 each"),
        (torch.zeros(3, 2), torch.tensor([0, 3], dtype=torch.int32), "groups must be int64"),
    ],
)
def test_bad_input_is_told(rows, groups, words):
    with pytest.raises(DataError, match=words) as error:
        cosine_distance(rows, groups)
    assert error.value.remedy


def test_a_bad_order_is_told():
    with pytest.raises(MetricError, match="greater than 0"):
        vendi_score(draw(), q=0.0)


def test_a_gpu_without_triton_is_told(monkeypatch):
    import sys

    class OnGpu:
        is_cuda = True

    monkeypatch.setitem(sys.modules, "divfast.kernels.launching", None)
    monkeypatch.delattr("divfast.kernels.launching", raising=False)
    with pytest.raises(BackendError, match="Triton is not installed") as error:
        ops._kernels(OnGpu())
    assert "divfast[gpu]" in error.value.remedy


def test_every_function_is_documented():
    for name in training.__all__:
        assert ">>> " in getattr(training, name).__doc__
