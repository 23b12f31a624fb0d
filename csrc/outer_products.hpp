// The sum of the outer products of many rows, which the spectrum of their similarities is taken from.
#pragma once

#include "common.hpp"

namespace divfast {

// products[i * d + j] += sum over rows of row[i] * row[j], for all i <= j; what is below the diagonal is undefined.
// Products and sums in double. A row may be float or double.
template <typename Number>
void add_outer_products(const Number* rows, int64_t n, int64_t d, int threads, double* products);

}  // namespace divfast
