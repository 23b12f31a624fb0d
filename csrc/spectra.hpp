// The eigenvalues of the similarities within small groups of rows.
#pragma once

#include "common.hpp"

namespace divfast {

// For each of `many` groups of k rows, of which the first is row starts[g]: the eigenvalues of the matrix of products of
// its rows, divided by their sum, into spectra[g * k ...], in no order. NaN where the products are all zero or not
// finite. Products, rotations and sums in double. A row may be float or double.
template <typename Number>
void gram_spectra(const Number* rows, int64_t d, const int64_t* starts, int64_t many, int64_t k, int threads,
                  double* spectra);

}  // namespace divfast
