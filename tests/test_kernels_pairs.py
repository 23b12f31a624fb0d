"""The kernels over all pairs: in Triton's interpreter, or on a GPU where there is one, against float64."""

import numpy as np
import pytest

from compiling import check_compiles
from divfast.device import driver

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from divfast.errors import BackendError, DataError  # noqa: E402
from divfast.kernels import tiles  # noqa: E402
from divfast.kernels.join import join  # noqa: E402
from divfast.kernels.pairs import pairs, quantiles  # noqa: E402
from divfast.kernels.tiles import Tile  # noqa: E402
from divfast.reference import similarity as reference  # noqa: E402

SIZES = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128, 129]
GPU = driver()
DEVICE = "cuda" if GPU else "cpu"
# What tensor cores round is a GPU's; the interpreter multiplies in float32.
ERROR = {"fp32": 1e-6, "bf16": 1e-6, "tf32": 2**-10 if GPU else 1e-6}
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
SMALL = Tile(64, 32, 32, 4, 1)

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")


@pytest.fixture(autouse=True)
def poisoned():
    """Fill what is allocated and not written with NaN, or the largest whole number."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.utils.deterministic.fill_uninitialized_memory = before
    torch.use_deterministic_algorithms(False)


def unit(n, d, seed=0, dtype=torch.float32):
    """Unit rows within a larger tensor of NaN, so that what reads beyond them shows."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) + 0.4
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    around = torch.full((n + 3, d + 5), torch.nan, dtype=dtype, device=DEVICE)
    around[:n, :d] = torch.from_numpy(rows).to(dtype)
    return around[:n, :d]


def plain(rows):
    return None if rows is None else rows.float().cpu().numpy()


def check(rows, others=None, mode="fp32", tile=SMALL, bins=16, nearest=2, thresholds=(0.3, 2.0)):
    found = pairs(rows, others, nearest=nearest, bins=bins, thresholds=thresholds, mode=mode, tile=tile)
    found = {name: value.cpu().numpy() for name, value in found._asdict().items()}
    edges = np.linspace(-1, 1, bins + 1)
    expected = reference.pairs(
        plain(rows), plain(others), nearest=nearest, edges=edges, thresholds=thresholds
    )
    close = {"rtol": 0, "atol": ERROR[mode]}
    for name in ("similarity", "mean", "lowest", "highest"):
        np.testing.assert_allclose(found[name], expected[name], **close, err_msg=name)
    everything = reference.similarities(plain(rows), plain(others))
    there = found["neighbours"] >= 0
    assert (there == (expected["neighbours"] >= 0)).all()
    own = np.broadcast_to(np.arange(len(rows))[:, None], there.shape)
    np.testing.assert_allclose(
        everything[own[there], found["neighbours"][there]], found["similarity"][there], **close
    )
    once = everything if others is not None else everything[np.triu_indices(len(rows), 1)]
    values = np.sort(once[~np.isnan(once)])
    # A pair may be on the other side of an edge or threshold within rounding.
    slack = 4 * ERROR[mode]
    below = np.cumsum(found["histogram"])
    assert below[-1] == len(values)
    for edge, many in zip(edges[1:-1], below, strict=False):
        assert np.searchsorted(values, edge - slack) <= many <= np.searchsorted(values, edge + slack)
    for threshold, many in zip(thresholds, found["above"], strict=True):
        reached = [(values >= threshold + shift).sum() for shift in (slack, -slack)]
        assert reached[0] <= many <= reached[1]
    return found


@pytest.mark.parametrize("n", SIZES)
def test_every_number_of_rows(n):
    check(unit(n, 20, n))
    check(unit(n, 20, n), unit(SIZES[-1] + 1 - n, 20, 1000))


@pytest.mark.parametrize("mode", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("d", [1, 2, 15, 16, 17, 31, 33, 127, 128, 1023, 1024])
def test_every_width_and_mode(d, mode):
    check(unit(40, d, d, DTYPES[mode]), mode=mode)


@pytest.mark.parametrize("tile", [Tile(32, 64, 16, 4, 1), Tile(32, 16, 64, 1, 2), Tile(128, 128, 32, 4, 1)])
def test_tiles_change_nothing(tile):
    rows, others = unit(97, 24), unit(65, 24, 1)
    for other in (None, others):
        small, large = check(rows, other, tile=SMALL), check(rows, other, tile=tile)
        assert (small["neighbours"] == large["neighbours"]).all()
        assert (small["histogram"] == large["histogram"]).all() and (small["above"] == large["above"]).all()


@pytest.mark.parametrize("mode", ["fp32", "bf16"])
def test_float16_and_rows_that_are_converted(mode):
    check(unit(50, 24, dtype=torch.float16), mode=mode)
    rows = unit(50, 24)
    found = pairs(rows, mode="bf16", nearest=1)
    rounded = pairs(rows.to(torch.bfloat16), mode="bf16", nearest=1)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(found, rounded, strict=True))
    exact = reference.pairs(plain(rows), nearest=1)
    assert np.abs(found.similarity.cpu().numpy() - exact["similarity"]).max() < 2**-7


def test_no_further_from_float64_than_torch():
    rows = unit(129, 384)
    exact = reference.similarities(plain(rows))
    own = np.abs(check(rows, nearest=1)["similarity"][:, 0] - np.nanmax(exact, axis=1)).max()
    by_torch = (rows @ rows.T).fill_diagonal_(torch.nan).cpu().numpy()
    assert own <= 2 * np.nanmax(np.abs(by_torch - exact))


@pytest.mark.parametrize("nearest", [1, 3, 7])
def test_equal_rows_are_nearest_in_their_order(nearest):
    rows = unit(1, 8).repeat(70, 1)
    found = pairs(rows, nearest=nearest, tile=SMALL)
    expected = [[j for j in range(70) if j != i][:nearest] for i in range(70)]
    assert found.neighbours.tolist() == expected


def test_rows_that_are_not_finite_are_left_out():
    rows, others = unit(70, 12), unit(40, 12, 1)
    rows[3, 5], rows[64, 0], others[39, 11] = torch.nan, torch.inf, -torch.inf
    for other in (None, others):
        found = check(rows, other)
        assert found["undefined"] == 2 + (other is not None)
        assert (found["neighbours"][[3, 64]] == -1).all()
    assert listed(join(rows, 0.2, tile=SMALL)) == reference.join(plain(rows), 0.2)


def test_nothing_to_look_at():
    for n, m in ((0, None), (1, None), (0, 4), (4, 0)):
        rows, others = unit(n, 6), None if m is None else unit(m, 6)
        found = pairs(rows, others, nearest=2, bins=3, thresholds=(0.0,))
        assert (
            found.similarity.shape == (n, 2) and found.similarity.isnan().all() and found.mean.isnan().all()
        )
        assert (found.neighbours == -1).all() and found.histogram.tolist() == [0, 0, 0]
        assert found.above.tolist() == [0] and found.lowest.isnan().all()
        assert list(join(rows, -2, others=others)) == []
    assert pairs(unit(40, 6), nearest=0, extremes=False).similarity.shape == (40, 0)


def listed(passes):
    return [pair for i, j, _ in passes for pair in zip(i.tolist(), j.tolist(), strict=True)]


@pytest.mark.parametrize("n", SIZES)
def test_join_lists_every_pair(n):
    rows, others = unit(n, 9, n), unit(70, 9, 1)
    for other in (None, others):
        assert listed(join(rows, 0.25, others=other, tile=SMALL)) == reference.join(
            plain(rows), 0.25, others=plain(other)
        )


@pytest.mark.parametrize(("n", "capacity"), [(9, 1), (40, 100), (97, 1000)])
def test_join_takes_as_many_passes_as_the_list_needs(n, capacity):
    rows = unit(n, 9)
    whole, passes = list(join(rows, 0.2, tile=SMALL)), list(join(rows, 0.2, capacity=capacity, tile=SMALL))
    assert len(whole) == 1 and len(passes) > 1
    assert max(len(i) for i, _, _ in passes) <= max(capacity, n)
    for one, parts in zip(whole[0], zip(*passes, strict=True), strict=True):
        assert torch.equal(one, torch.cat(parts))


def test_same_as_on_the_cpu():
    from divfast import similarity

    rows = unit(129, 64)
    found, cpu = check(rows, nearest=5), similarity.pairs(plain(rows), nearest=5)
    assert (found["neighbours"] == cpu.neighbours).all()
    np.testing.assert_allclose(found["similarity"], cpu.similarity, rtol=0, atol=1e-6)


def test_quantiles_are_within_a_bin():
    rows = unit(60, 5)
    values = reference.similarities(plain(rows))[np.triu_indices(60, 1)]
    q = torch.tensor([0.0, 0.1, 0.5, 0.99, 1.0], device=DEVICE)
    histogram = pairs(rows, bins=200, tile=SMALL).histogram
    np.testing.assert_allclose(quantiles(histogram, q).cpu(), np.quantile(values, q.cpu()), atol=0.01)
    assert quantiles(torch.zeros(3, dtype=torch.int64), torch.tensor([0.5])).isnan().all()


def test_traced_by_torch_compile():
    rows = unit(20, 8).contiguous()

    def spread(rows):
        found = pairs(rows, nearest=2, bins=4, thresholds=(0.5,))
        return found.similarity.mean() + found.histogram.sum() + found.neighbours.sum()

    compiled = torch.compile(spread, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(rows), spread(rows))
    asked = (rows, None, 1, 4, -1.0, 1.0, [0.5], True, "fp32")
    torch.library.opcheck(torch.ops.divfast.pairs, asked, test_utils=("test_schema", "test_faketensor"))
    asked = (rows, None, 0.1, 0, 20, 400, "fp32")
    torch.library.opcheck(torch.ops.divfast.join, asked, test_utils=("test_schema", "test_faketensor"))


class OnDevice(torch.Tensor):
    is_cuda = True


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pairs(torch.zeros(3)), DataError, "rows: must be"),
        (lambda: pairs(torch.zeros(3, 2, dtype=torch.float64)), DataError, "float64"),
        (lambda: pairs(unit(3, 2), unit(3, 4)), DataError, "others: must have 2 dimensions"),
        (lambda: pairs(unit(3, 2), mode="int8"), DataError, "mode: must be one of bf16, tf32, fp32"),
        (lambda: pairs(unit(3, 2), nearest=-1), DataError, "at least 0"),
        (lambda: pairs(unit(3, 2), bins=5000), DataError, "at most 4096"),
        (lambda: pairs(unit(3, 2), span=(1.0, 1.0)), DataError, "ascend"),
        (
            lambda: pairs(torch.zeros(3, 2, device="meta"), tile=SMALL),
            BackendError,
            "cannot read rows on the device meta",
        ),
        (lambda: join(unit(3, 2), float("nan")), DataError, "tau nan"),
        (lambda: join(unit(3, 2), 0.5, capacity=0), DataError, "capacity 0"),
    ],
)
def test_errors_say_what(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_gpu_without_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "T4")
    rows = torch.zeros(3, 2).as_subclass(OnDevice)
    with pytest.raises(BackendError, match="T4 has no bfloat16"):
        tiles.check(rows, None, "bf16")
    tiles.check(rows, None, "fp32")


def test_short_of_memory(monkeypatch):
    from triton.runtime.errors import OutOfResources

    tried = []

    def run(tile):
        tried.append(tile)
        if tile.rows > 64:
            raise OutOfResources(200_000, 99_000, "shared memory")
        return tile

    assert tiles.with_tiles(run, "bf16", None) == tiles.TILES["bf16"][2]
    assert tried == list(tiles.TILES["bf16"][:3])
    with pytest.raises(BackendError, match="200,000 of shared memory, where the device has 99,000"):
        tiles.with_tiles(run, "bf16", Tile(256, 256, 64, 8, 3))

    def full():
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (8_000_000, 10_000_000))
    with pytest.raises(
        BackendError, match=r"take 80 MB, and the device has 8 MB left(.|\n)*100,000 of them would fit"
    ):
        tiles.allocate(full, "lists of neighbours", 80_000_000, 80)


COMPILE = """
import sys
from pathlib import Path
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from divfast.kernels import join, pairs
from divfast.kernels.tiles import GROUP, TILES

TYPES = {
    "left": "*bf16", "right": "*bf16", "left_finite": "*i8", "right_finite": "*i8", "best": "*i64", "lowest": "*i32",
    "histogram": "*i64", "above": "*i64", "thresholds": "*fp32", "starts": "*i64", "found_i": "*i64", "found_j": "*i64",
    "found_s": "*fp32", "found": "*i64", "offset": "fp32", "scale": "fp32", "tau": "fp32",
}
for kernel, own in (
    (pairs._pairs_kernel, {"K": 1, "BINS": 50, "COUNTERS": 64, "COUNTS": 0, "LOWEST": False}),
    (join._join_kernel, {}),
):
    tile = TILES["bf16"][2]
    constants = own | {
        "SYMMETRIC": True, "GROUP": GROUP, "D": 64, "BM": tile.rows, "BN": tile.columns, "BK": tile.depth,
        "PRECISION": "ieee", "WIDEN": False,
    }
    signature = {name: "constexpr" if name in constants else TYPES.get(name, "i32") for name in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=constants)
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "wgmma" in made.asm["ptx"] and len(made.asm["cubin"]) > 1000, kernel
print("compiled")
"""


def test_compiles_for_the_tensor_cores_of_hopper(tmp_path):
    check_compiles(COMPILE, tmp_path)
