#include "group_products.hpp"

namespace divfast {
namespace {

// A tile of the result is 4 rows by 4: its sums are as many as hide the latency of adding, and each number that is read
// takes part in more than one product. Rows are padded by zeros to whole tiles and vectors. A macro, since vectors are
// compiled for the processor that the function itself names, not for that of those it is inlined into.
constexpr int64_t kHigh = 4, kWide = 4;

#define DIVFAST_DOTS(NAME, TARGET, LANES)                                                                         \
    struct NAME {                                                                                                 \
        static constexpr int64_t kLanes = LANES;                                                                  \
        typedef double Vector __attribute__((vector_size(LANES * sizeof(double))));                               \
        TARGET static void dot(const double* left, const double* right, int64_t width, double* out) {             \
            Vector sum[kHigh][kWide] = {};                                                                        \
            for (int64_t at = 0; at < width; at += LANES) {                                                       \
                Vector a[kHigh];                                                                                  \
                for (int i = 0; i < kHigh; ++i) std::memcpy(&a[i], left + i * width + at, sizeof(Vector));        \
                _Pragma("GCC unroll 4") for (int j = 0; j < kWide; ++j) {                                         \
                    Vector b;                                                                                     \
                    std::memcpy(&b, right + j * width + at, sizeof(Vector));                                      \
                    _Pragma("GCC unroll 4") for (int i = 0; i < kHigh; ++i) sum[i][j] += a[i] * b;                \
                }                                                                                                 \
            }                                                                                                     \
            for (int i = 0; i < kHigh; ++i) {                                                                     \
                for (int j = 0; j < kWide; ++j) {                                                                 \
                    double total = 0;                                                                             \
                    for (int lane = 0; lane < LANES; ++lane) total += sum[i][j][lane];                            \
                    out[i * kWide + j] = total;                                                                   \
                }                                                                                                 \
            }                                                                                                     \
        }                                                                                                         \
        TARGET static void widen(const float* from, int64_t count, double* to) {                                  \
            for (int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(from[i]);                             \
        }                                                                                                         \
    };

DIVFAST_DOTS(Portable, , 2)
#if defined(__x86_64__)
DIVFAST_DOTS(Avx2, __attribute__((target("avx2,fma"))), 4)
DIVFAST_DOTS(Avx512, __attribute__((target("avx512f"))), 8)
#endif
#undef DIVFAST_DOTS

template <typename Dots>
void multiply(const float* rows, int64_t d, const int64_t* starts, int64_t groups, int64_t k, double* products) {
    const int64_t width = (d + Dots::kLanes - 1) / Dots::kLanes * Dots::kLanes;
    const int64_t high = (k + kWide - 1) / kWide * kWide;
    // What is behind the last row and the last column stays zero.
    std::vector<double> wide(static_cast<size_t>(high * width));
    double tile[kHigh * kWide];
    for (int64_t g = 0; g < groups; ++g) {
        const float* group = rows + starts[g] * d;
        for (int64_t i = 0; i < k; ++i) Dots::widen(group + i * d, d, wide.data() + i * width);
        double* out = products + g * k * k;
        for (int64_t i = 0; i < k; i += kHigh) {
            for (int64_t j = i / kWide * kWide; j < k; j += kWide) {
                Dots::dot(wide.data() + i * width, wide.data() + j * width, width, tile);
                for (int64_t y = i; y < std::min(i + kHigh, k); ++y) {
                    for (int64_t x = std::max(j, y); x < std::min(j + kWide, k); ++x) {
                        out[y * k + x] = out[x * k + y] = tile[(y - i) * kWide + x - j];
                    }
                }
            }
        }
    }
}

}  // namespace

void group_products(const float* rows, int64_t d, const int64_t* starts, int64_t groups, int64_t k, int threads,
                    double* products) {
    auto run = multiply<Portable>;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) run = multiply<Avx2>;
    if (__builtin_cpu_supports("avx512f")) run = multiply<Avx512>;
#endif
    // A thread costs more than a few products.
    const int64_t work = std::max<int64_t>(1, k * k * d);
    const int64_t many = std::max<int64_t>(1, (1 << 21) / work);
    parallel_for((groups + many - 1) / many, threads, [&](int64_t part) {
        const int64_t start = part * many;
        run(rows, d, starts + start, std::min(many, groups - start), k, products + start * k * k);
    });
}

}  // namespace divfast
