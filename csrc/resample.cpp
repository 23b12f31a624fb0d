#include "resample.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

namespace divfast {
namespace {

// splitmix64 (Steele, Lea and Flood 2014)
struct Splitmix {
    uint64_t state;
    uint64_t next() {
        uint64_t z = (state += 0x9E3779B97F4A7C15ull);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
    }
};

constexpr size_t kTile = 4;                      // columns that one draw serves
constexpr int kBlockBits = 13;                   // 8,192 groups: a block of the table, 256 KiB, stays in cache
constexpr int64_t kReplicatesAtOnce = 8;

// Calls take(i) for n draws of i, uniform in [0, bound) to within bound / 2^32, two from each random number.
template <typename Take>
inline void draw(Splitmix random, int64_t n, uint64_t bound, const Take& take) {
    for (; n >= 2; n -= 2) {
        const uint64_t bits = random.next();
        take((bits >> 32) * bound >> 32);
        take((bits & 0xFFFFFFFFu) * bound >> 32);
    }
    if (n == 1) take((random.next() >> 32) * bound >> 32);
}

}  // namespace

void bootstrap_means(const double* values, int64_t m, int64_t g, int64_t replicates, uint64_t seed, int threads,
                     double* means) {
    if (g >> 32 != 0) throw std::invalid_argument("at most 2^32 - 1 groups can be resampled");
    // An undefined value adds nothing to its sum; where there are any, further columns count the defined ones.
    bool all_defined = true;
    for (int64_t i = 0; i < m * g && all_defined; ++i) all_defined = !std::isnan(values[i]);
    const auto columns = static_cast<size_t>(all_defined ? m : 2 * m);
    const size_t tiles = (columns + kTile - 1) / kTile, rows = static_cast<size_t>(g);
    // A group's values lie together, so that one draw costs one cache line for several metrics.
    std::vector<double> table(tiles * kTile * rows, 0.0);
    for (size_t column = 0; column < columns; ++column) {
        const bool counts = column >= static_cast<size_t>(m);
        const double* from = values + (column % static_cast<size_t>(m)) * rows;
        double* to = table.data() + column / kTile * rows * kTile + column % kTile;
        for (size_t j = 0; j < rows; ++j) {
            const bool defined = !std::isnan(from[j]);
            to[j * kTile] = counts ? static_cast<double>(defined) : defined ? from[j] : 0.0;
        }
    }
    // Drawing g groups is drawing how many fall into each block, and then that many within it: the same
    // distribution, but a block is gone through for several replicates while it is in cache.
    const size_t blocks = (rows + (size_t{1} << kBlockBits) - 1) >> kBlockBits;
    parallel_for((replicates + kReplicatesAtOnce - 1) / kReplicatesAtOnce, threads, [&](int64_t run) {
        const int64_t first = run * kReplicatesAtOnce, last = std::min(replicates, first + kReplicatesAtOnce);
        const auto many = static_cast<size_t>(last - first);
        std::vector<int64_t> draws(many * blocks, blocks == 1 ? g : 0);
        if (blocks > 1) {
            for (size_t r = 0; r < many; ++r) {
                int64_t* into = draws.data() + r * blocks;
                draw({combine(seed, static_cast<uint64_t>(first) + r)}, g, rows, [&](uint64_t i) { ++into[i >> kBlockBits]; });
            }
        }
        std::vector<double> sums(many * tiles * kTile, 0.0);
        for (size_t block = 0; block < blocks; ++block) {
            const size_t start = block << kBlockBits, size = std::min(rows - start, size_t{1} << kBlockBits);
            for (size_t r = 0; r < many; ++r) {
                const Splitmix random{combine(combine(seed, static_cast<uint64_t>(first) + r), block + 1)};
                for (size_t tile = 0; tile < tiles; ++tile) {
                    const double* part = table.data() + (tile * rows + start) * kTile;
                    double sum[kTile] = {};
                    draw(random, draws[r * blocks + block], size, [&](uint64_t i) {
                        for (size_t c = 0; c < kTile; ++c) sum[c] += part[i * kTile + c];
                    });
                    for (size_t c = 0; c < kTile; ++c) sums[(r * tiles + tile) * kTile + c] += sum[c];
                }
            }
        }
        for (size_t r = 0; r < many; ++r) {
            const double* sum = sums.data() + r * tiles * kTile;
            for (int64_t i = 0; i < m; ++i) {
                const double n = all_defined ? static_cast<double>(g) : sum[m + i];
                means[i * replicates + first + static_cast<int64_t>(r)] =
                    n == 0.0 ? std::numeric_limits<double>::quiet_NaN() : sum[i] / n;
            }
        }
    });
}

}  // namespace divfast
