"""The kernel of cosines within groups: in Triton's interpreter, or on a GPU where there is one, against float64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from divfast.errors import BackendError, DataError  # noqa: E402
from divfast.kernels import launching, padded  # noqa: E402
from divfast.kernels.cosine import WIDEST, cosine  # noqa: E402
from divfast.reference.cosine import similarities  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128, 129]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Fill what is allocated and not written with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield
    torch.use_deterministic_algorithms(False)


def draw(sizes, d, dtype=torch.float32, seed=0):
    """Return rows of any length with something in common, and the offsets of their groups."""
    random = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    rows = torch.randn(n, d, generator=random) * torch.rand(n, 1, generator=random).add(0.1) * 5 + 0.5
    return rows.to(dtype).to(DEVICE), torch.tensor(np.cumsum([0, *sizes])).to(DEVICE)


def truth(rows, groups):
    """Return mean, row means and row maxima by the full matrix in float64."""
    means, of_rows = [], np.full((2, len(rows)), np.nan)
    for start, stop in zip(groups.tolist(), groups.tolist()[1:], strict=False):
        k = stop - start
        if k < 2:
            means.append(np.nan)
            continue
        similar = similarities(rows[start:stop].double().cpu().numpy())
        others = similar[~np.eye(k, dtype=bool)].reshape(k, k - 1)
        means.append(others.mean())
        of_rows[:, start:stop] = others.mean(1), others.max(1)
    return np.array(means), *of_rows


def check(rows, groups, atol, **options):
    found = cosine(rows, groups, per_row=True, **options)
    for got, expected in zip(found, truth(rows, groups), strict=True):
        np.testing.assert_allclose(got.cpu().numpy(), expected, rtol=0, atol=atol)
    alone = cosine(rows, groups, **options)
    assert alone.row_mean is None and alone.row_max is None
    np.testing.assert_array_equal(alone.mean.cpu(), found.mean.cpu())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sizes(dtype):
    check(*draw([0, *SIZES, 0, 2], 20, dtype), 5e-7)


@pytest.mark.parametrize("d", [1, 2, 15, 16, 17, 63, 65, 100, 384, 777, 1024])
def test_dimensions(d):
    check(*draw([3, 0, 17, 1, 5], d, torch.bfloat16 if d % 2 else torch.float32), 1e-6)


@pytest.mark.parametrize("sizes", [[40], [2] * 9, [0, 0], [], [1]])
def test_few_groups_and_many(sizes):
    check(*draw(sizes, 33), 5e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_float64_sums_are_exact(dtype):
    rows, groups = draw([5, 16, 33], 100)
    check(rows.to(dtype), groups, 1e-14, accumulator=torch.float64)
    same = torch.nn.functional.normalize(torch.ones(9, 7, device=DEVICE) * 0.3, dim=1)
    mean = cosine(same, torch.tensor([0, 9], device=DEVICE), accumulator=torch.float64).mean
    assert abs(1 - mean.item()) < 1e-14


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_error_is_at_most_twice_that_of_plain_torch(dtype):
    rows, groups = draw([16] * 24, 384, dtype)
    exact = truth(rows, groups)
    mine, plain = cosine(rows, groups, per_row=True), padded.cosine(rows, groups, 16)
    for got, theirs, expected in zip(mine, plain, exact, strict=True):
        error, allowed = (np.abs(x.double().cpu().numpy() - expected).max() for x in (got, theirs))
        assert error <= 2 * allowed


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf"), -float("inf")])
def test_a_row_without_direction_makes_its_group_undefined_and_no_other(bad):
    rows, groups = draw([3, 20, 4], 9)
    rows[7] = bad
    for got in cosine(rows, groups, per_row=True):
        ends = groups.tolist() if len(got) == len(rows) else [0, 1, 2, 3]
        nan = torch.isnan(got)
        assert nan[ends[1] : ends[2]].all() and not nan[: ends[1]].any() and not nan[ends[2] :].any()


def test_rows_of_no_group_and_offsets_that_lead_outside():
    rows, _ = draw([9], 5)
    found = cosine(rows, torch.tensor([2, 5, 12], device=DEVICE), per_row=True)
    assert torch.isnan(found.mean).tolist() == [False, True]
    assert torch.isnan(found.row_max).tolist() == [True] * 2 + [False] * 3 + [True] * 4
    assert torch.isnan(cosine(rows, torch.tensor([-3, 5], device=DEVICE)).mean).all()


def test_lengths_beyond_float32_need_float64():
    rows = torch.tensor([[1e25, 0], [1e25, 1e25], [0, 1e-30]], device=DEVICE)
    groups = torch.tensor([0, 3], device=DEVICE)
    assert torch.isnan(cosine(rows, groups).mean).all()
    expected = 2 * 0.5**0.5 / 3
    assert cosine(rows, groups, accumulator=torch.float64).mean.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("rows", "groups", "words"),
    [
        (torch.zeros(3), torch.tensor([0, 3]), "rows must be"),
        (torch.zeros(3, 2, dtype=torch.int32), torch.tensor([0, 3]), "rows must be"),
        (torch.zeros(3, 2), torch.tensor([0, 3], dtype=torch.int32), "groups must be int64"),
        (torch.zeros(3, 2), torch.zeros(0, dtype=torch.int64), "groups must be int64"),
        (torch.zeros(3, WIDEST + 1), torch.tensor([0, 3]), "wider than the kernel's 16,384"),
    ],
)
def test_what_no_kernel_takes_is_told(rows, groups, words):
    with pytest.raises(DataError, match=words) as error:
        cosine(rows.to(DEVICE), groups.to(DEVICE))
    assert error.value.remedy


def test_too_many_groups_are_told():
    class Many(torch.Tensor):
        def __len__(self):
            return 2**31 + 1

    groups = torch.zeros(1, dtype=torch.int64).as_subclass(Many)
    with pytest.raises(DataError, match="2,147,483,648 groups are more than one launch"):
        launching.check(torch.zeros(1, 1), groups)


def test_rows_where_no_kernel_runs_are_told(monkeypatch):
    monkeypatch.setattr(launching, "interpreted", lambda: False)
    with pytest.raises(BackendError, match="on the device cpu") as error:
        launching.check(torch.zeros(1, 1), torch.tensor([0, 1]))
    assert "TRITON_INTERPRET=1" in error.value.remedy


def test_a_gpu_without_bfloat16_is_told(monkeypatch):
    class Elsewhere:
        dtype, is_cuda, device, shape = torch.bfloat16, True, torch.device("cuda"), (1, 1)

        def dim(self):
            return 2

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(BackendError, match="Tesla T4 has no bfloat16") as error:
        launching.check(Elsewhere(), torch.tensor([0, 1]))
    assert ".float()" in error.value.remedy


def test_short_memory_is_tried_in_smaller_parts_and_then_told():
    tried = []

    def run(start, stop):
        tried.append(stop - start)
        if stop - start > 3:
            raise torch.OutOfMemoryError
        return stop - start

    assert [found for _, _, found in launching.in_parts(run, 10, 10, "a group", 1)] == [2, 2, 2, 2, 2]
    assert tried[:3] == [10, 5, 2]

    def never(start, stop):
        raise torch.OutOfMemoryError

    with pytest.raises(BackendError, match="no memory for a group of 7 rows, about 3 MB") as error:
        list(launching.in_parts(never, 4, 4, "a group of 7 rows", 3_000_000))
    assert "Free 3 MB" in error.value.remedy
