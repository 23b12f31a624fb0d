#include "resample.hpp"

#include <cmath>
#include <limits>

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

}  // namespace

void bootstrap_means(const double* values, int64_t m, int64_t g, int64_t replicates, uint64_t seed, int threads,
                     double* means) {
    // A group's values lie together, so that one draw costs one cache line for all metrics.
    const auto rows = static_cast<size_t>(m);
    std::vector<double> by_group(rows * static_cast<size_t>(g));
    bool all_defined = true;
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < g; ++j) {
            by_group[static_cast<size_t>(j * m + i)] = values[i * g + j];
            all_defined = all_defined && !std::isnan(values[i * g + j]);
        }
    }
    parallel_for(replicates, threads, [&](int64_t replicate) {
        Splitmix random{combine(seed, static_cast<uint64_t>(replicate))};
        std::vector<double> sum(rows, 0.0);
        std::vector<int64_t> count(rows, 0);
        const auto bound = static_cast<uint64_t>(g);
        for (int64_t draw = 0; draw < g; ++draw) {
            // The high half of a 64 x 64 product: uniform in [0, g) to within g / 2^64.
            const auto group = static_cast<size_t>((static_cast<unsigned __int128>(random.next()) * bound) >> 64);
            const double* at = by_group.data() + group * rows;
            if (all_defined) {
                for (size_t i = 0; i < rows; ++i) sum[i] += at[i];
            } else {
                for (size_t i = 0; i < rows; ++i) {
                    const bool defined = !std::isnan(at[i]);
                    sum[i] += defined ? at[i] : 0.0;
                    count[i] += defined;
                }
            }
        }
        for (size_t i = 0; i < rows; ++i) {
            const int64_t n = all_defined ? g : count[i];
            means[static_cast<int64_t>(i) * replicates + replicate] =
                n == 0 ? std::numeric_limits<double>::quiet_NaN() : sum[i] / static_cast<double>(n);
        }
    });
}

}  // namespace divfast
