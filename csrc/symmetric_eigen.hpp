// Eigenvalues and eigenvectors of one symmetric matrix of moderate size.
#pragma once

#include "common.hpp"

namespace divfast {

// matrix is m x m, both triangles given; it is used up. values[i] belongs to row i of vectors (m x m), in no order;
// the rows are orthonormal. Householder's tridiagonal form, then implicit QL steps with Wilkinson's shift.
void symmetric_eigen(double* matrix, int64_t m, double* values, double* vectors);

}  // namespace divfast
