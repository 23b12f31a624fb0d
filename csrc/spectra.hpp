// Eigenvalues of many small symmetric matrices.
#pragma once

#include "common.hpp"

namespace divfast {

// The eigenvalues of `many` symmetric k x k matrices, in no order; NaN for a matrix that is not finite.
void eigenvalues(const double* matrices, int64_t many, int64_t k, int threads, double* values);

}  // namespace divfast
