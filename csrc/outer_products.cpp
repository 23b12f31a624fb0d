#include "outer_products.hpp"

#include "tiles.hpp"

namespace divfast {
namespace {

// Rows taken at a time: as doubles, 768 columns of them stay in a core's second cache.
constexpr int64_t kRows = 128;

// Rows are what a sum runs over, so it is columns that are packed side by side.
DIVFAST_TILE(Portable, , double, 2, 3, 3)
#if defined(__x86_64__)
DIVFAST_TILE(Avx2, __attribute__((target("avx2,fma"))), double, 4, 4, 3)
DIVFAST_TILE(Avx512, __attribute__((target("avx512f"))), double, 8, 8, 3)
#endif

template <typename Tile, typename Number>
void add_panels(const Number* rows, int64_t n, int64_t d, int64_t worker, int64_t workers, double* products) {
    const int64_t panels = (d + Tile::kWide - 1) / Tile::kWide;
    // The columns behind the last one stay zero.
    std::vector<double> packed(static_cast<size_t>(panels * Tile::kWide * kRows));
    alignas(64) double tile[Tile::kHigh * Tile::kWide];
    for (int64_t start = 0; start < n; start += kRows) {
        const int64_t many = std::min(kRows, n - start);
        for (int64_t r = 0; r < many; ++r) {
            const Number* row = rows + (start + r) * d;
            for (int64_t p = 0; p < panels; ++p) {
                double* to = packed.data() + (p * kRows + r) * Tile::kWide;
                const int64_t wide = std::min(Tile::kWide, d - p * Tile::kWide);
                for (int64_t j = 0; j < wide; ++j) to[j] = static_cast<double>(row[p * Tile::kWide + j]);
            }
        }
        for (int64_t p = 0; p < panels; ++p) {
            // Panels to the right have more tiles above the diagonal: handed out back and forth, all get alike.
            const int64_t turn = p % (2 * workers);
            if (turn != worker && turn != 2 * workers - 1 - worker) continue;
            const double* right = packed.data() + p * kRows * Tile::kWide;
            const int64_t wide = std::min(Tile::kWide, d - p * Tile::kWide);
            for (int64_t i = 0; i < std::min((p + 1) * Tile::kWide, d); i += Tile::kHigh) {
                const double* left = packed.data() + i / Tile::kWide * kRows * Tile::kWide + i % Tile::kWide;
                Tile::multiply(left, right, many, false, tile);
                for (int64_t h = 0; h < std::min(Tile::kHigh, d - i); ++h) {
                    double* out = products + (i + h) * d + p * Tile::kWide;
                    for (int64_t j = 0; j < wide; ++j) out[j] += tile[h * Tile::kWide + j];
                }
            }
        }
    }
}

}  // namespace

template <typename Number>
void add_outer_products(const Number* rows, int64_t n, int64_t d, int threads, double* products) {
    auto add = add_panels<Portable, Number>;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) add = add_panels<Avx2, Number>;
    if (__builtin_cpu_supports("avx512f")) add = add_panels<Avx512, Number>;
#endif
    // A thread costs more than a few rows.
    const int64_t workers = std::min<int64_t>(resolve_threads(threads), 1 + n * d * d / (1 << 22));
    parallel_for(workers, static_cast<int>(workers),
                 [&](int64_t worker) { add(rows, n, d, worker, workers, products); });
}

template void add_outer_products(const float*, int64_t, int64_t, int, double*);
template void add_outer_products(const double*, int64_t, int64_t, int, double*);

}  // namespace divfast
