// Products of all rows by all rows of many small groups, which scores of their similarities are taken from.
#pragma once

#include "common.hpp"

namespace divfast {

// For each of `groups` groups of k rows of d numbers, the first of which is rows[starts[g] * d]: the k x k products of its
// rows, in double and symmetric, at products[g * k * k]. Groups are copied to doubles, so k rows should fit a core's cache.
void group_products(const float* rows, int64_t d, const int64_t* starts, int64_t groups, int64_t k, int threads,
                    double* products);

}  // namespace divfast
