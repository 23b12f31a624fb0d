// Products of matrices by tiles of our own: as many sums as there are registers for.
#pragma once

#include "common.hpp"

// What is multiplied is packed in panels of kWide columns, row after row, so that a tile of the result is made of two
// short streams. It has HIGH rows and VECTORS vectors of LANES columns. `out`, which has HIGH rows of kWide, is added to
// where `more` says so. A macro, since vectors are compiled for the processor that the function itself names, not for
// that of those it is inlined into.
#define DIVFAST_TILE(NAME, TARGET, NUMBER, LANES, HIGH, VECTORS)                                                  \
    struct NAME {                                                                                                 \
        static constexpr int64_t kHigh = HIGH, kWide = LANES * VECTORS;                                           \
        static_assert(kWide % kHigh == 0);                                                                        \
        typedef NUMBER Vector __attribute__((vector_size(LANES * sizeof(NUMBER))));                               \
        TARGET static void multiply(const NUMBER* a, const NUMBER* b, int64_t rows, bool more, NUMBER* out) {     \
            Vector sum[HIGH][VECTORS] = {};                                                                       \
            for (int64_t r = 0; r < rows; ++r, a += kWide, b += kWide) {                                          \
                Vector right[VECTORS];                                                                            \
                for (int v = 0; v < VECTORS; ++v) std::memcpy(&right[v], b + v * LANES, sizeof(Vector));          \
                _Pragma("GCC unroll 8") for (int i = 0; i < HIGH; ++i) {                                          \
                    _Pragma("GCC unroll 8") for (int v = 0; v < VECTORS; ++v) sum[i][v] += a[i] * right[v];       \
                }                                                                                                 \
            }                                                                                                     \
            if (more) {                                                                                           \
                Vector before[HIGH][VECTORS];                                                                     \
                std::memcpy(before, out, sizeof before);                                                          \
                for (int i = 0; i < HIGH; ++i) {                                                                  \
                    for (int v = 0; v < VECTORS; ++v) sum[i][v] += before[i][v];                                  \
                }                                                                                                 \
            }                                                                                                     \
            std::memcpy(out, sum, sizeof sum);                                                                    \
        }                                                                                                         \
    };
