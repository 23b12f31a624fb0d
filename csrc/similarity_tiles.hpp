// Products of rows with rows, panel by panel, and the first look at them.
#pragma once

#include "similarity.hpp"
#include "tiles.hpp"

namespace divfast {

// A tile of products, and `Scan`: whether any of one row's kWide products reaches the row's threshold or that of its
// column. The least of every column is kept, and those of the row in `least`, one a lane.
#define DIVFAST_SIMILARITY_TILE(NAME, TARGET, LANES, HIGH, VECTORS)                                               \
    DIVFAST_TILE(NAME##Products, TARGET, float, LANES, HIGH, VECTORS)                                             \
    struct NAME : NAME##Products {                                                                                \
        static constexpr int64_t kLanes = LANES;                                                                  \
        typedef int Mask __attribute__((vector_size(LANES * sizeof(float))));                                     \
        TARGET static bool scan(const float* products, float threshold, const float* thresholds, float* least,   \
                                float* lowest) {                                                                  \
            Mask reached = {};                                                                                    \
            Vector low;                                                                                           \
            std::memcpy(&low, least, sizeof low);                                                                 \
            for (int v = 0; v < VECTORS; ++v) {                                                                   \
                Vector product, bound, under;                                                                     \
                std::memcpy(&product, products + v * LANES, sizeof product);                                      \
                std::memcpy(&bound, thresholds + v * LANES, sizeof bound);                                        \
                std::memcpy(&under, lowest + v * LANES, sizeof under);                                            \
                reached |= (product >= threshold) | (product >= bound);                                           \
                low = product < low ? product : low;                                                              \
                under = product < under ? product : under;                                                        \
                std::memcpy(lowest + v * LANES, &under, sizeof under);                                            \
            }                                                                                                     \
            std::memcpy(least, &low, sizeof low);                                                                 \
            uint64_t words[sizeof reached / 8], any = 0;                                                          \
            std::memcpy(words, &reached, sizeof reached);                                                         \
            for (const uint64_t word : words) any |= word;                                                        \
            return any != 0;                                                                                      \
        }                                                                                                         \
    };

DIVFAST_SIMILARITY_TILE(PortableSimilarity, , 4, 3, 3)
#if defined(__x86_64__)
DIVFAST_SIMILARITY_TILE(Avx2Similarity, __attribute__((target("avx2,fma"))), 8, 4, 3)
DIVFAST_SIMILARITY_TILE(Avx512Similarity, __attribute__((target("avx512f,avx512dq"))), 16, 8, 3)
#endif
#undef DIVFAST_SIMILARITY_TILE
#undef DIVFAST_TILE

// Sums run over so many dimensions at a time, and then over those sums: half a panel stays in a core's first cache,
// and rounding grows with 128 + d / 128 instead of d.
constexpr int64_t kDepth = 128;

// Calls `run` with the tile of this processor.
template <typename Run>
auto with_tile(const Run& run) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return run(Avx512Similarity{});
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return run(Avx2Similarity{});
#endif
    return run(PortableSimilarity{});
}

// Rows [start, stop), side by side: dimension after dimension, kWide rows; zeros behind the last.
template <int64_t kWide>
void pack_panel(const Matrix& rows, int64_t start, int64_t stop, float* packed) {
    constexpr int64_t kStep = 16;
    for (int64_t from = 0; from < rows.d; from += kStep) {
        const int64_t many = std::min(kStep, rows.d - from);
        for (int64_t r = 0; r < stop - start; ++r) {
            const float* row = rows.values + (start + r) * rows.d + from;
            for (int64_t k = 0; k < many; ++k) packed[(from + k) * kWide + r] = row[k];
        }
        for (int64_t r = stop - start; r < kWide; ++r) {
            for (int64_t k = 0; k < many; ++k) packed[(from + k) * kWide + r] = 0;
        }
    }
}

// A run of rows, packed, and what their products with one panel are written to.
template <typename Tile>
class Stripe {
  public:
    static constexpr int64_t kWide = Tile::kWide;

    Stripe(const Matrix& rows, int64_t start, int64_t stop) : start_(start), stop_(stop), d_(rows.d) {
        const int64_t panels = (stop - start + kWide - 1) / kWide;
        packed_.resize(static_cast<size_t>(panels * kWide * d_));
        panel_.resize(static_cast<size_t>(kWide * d_));
        products_.resize(static_cast<size_t>(panels * kWide * kWide));
        for (int64_t p = 0; p < panels; ++p) {
            pack_panel<kWide>(rows, start + p * kWide, std::min(stop, start + (p + 1) * kWide),
                              packed_.data() + p * kWide * d_);
        }
    }

    // For each panel of columns from the one that starts at `from` on, calls see(first column, columns, rows): with the
    // products of that many rows of the stripe. Of a symmetric matrix, those before the panel's last column alone.
    template <typename See>
    void walk(const Matrix& others, bool symmetric, int64_t from, int64_t to, const See& see) {
        for (int64_t column = from; column < to; column += kWide) {
            const int64_t wide = std::min(kWide, others.n - column);
            const int64_t rows = symmetric ? std::min(stop_, column + wide) - start_ : stop_ - start_;
            if (rows <= 0) continue;
            pack_panel<kWide>(others, column, column + wide, panel_.data());
            multiply(rows);
            if (!see(column, wide, rows)) return;
        }
    }

    const float* products(int64_t row) const { return products_.data() + row * kWide; }

  private:
    void multiply(int64_t rows) {
        if (d_ == 0) std::fill(products_.begin(), products_.end(), 0.0f);
        for (int64_t k = 0; k < d_; k += kDepth) {
            const int64_t depth = std::min(kDepth, d_ - k);
            for (int64_t i = 0; i < rows; i += Tile::kHigh) {
                const float* left = packed_.data() + (i / kWide * d_ + k) * kWide + i % kWide;
                Tile::multiply(left, panel_.data() + k * kWide, depth, k > 0, products_.data() + i * kWide);
            }
        }
    }

    int64_t start_, stop_, d_;
    std::vector<float, Uninitialized<float>> packed_, panel_, products_;
};

}  // namespace divfast
