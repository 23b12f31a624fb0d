// Eigenvalues of symmetric matrices that are too large for one to fit a core's nearest cache many times.
#pragma once

#include "common.hpp"

namespace divfast {

// The eigenvalues of `many` symmetric m x m matrices, of which the upper triangle is read, in no order; NaN for a matrix
// that is not finite. Their last bits depend on the number of threads.
void large_eigenvalues(const double* matrices, int64_t many, int64_t m, int threads, double* values);

}  // namespace divfast
