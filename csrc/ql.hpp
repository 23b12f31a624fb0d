// What QL steps on the squares of the elements beside the diagonal go by, whether for one matrix or for several at once.
#pragma once

#include <cmath>
#include <limits>

namespace divfast {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
// Where the largest element is 1, what is smaller is rounding.
constexpr double kNothing = 1e-18;
// QL takes two or three steps for an eigenvalue.
constexpr int kSteps = 60;

// Whether an element beside the diagonal, given by its square, is rounding of zero between these two elements of it.
inline bool is_split(double square, double d, double next) {
    const double small = kNothing + kEpsilon * (std::abs(d) + std::abs(next));
    return square <= small * small;
}

// Wilkinson's shift: the eigenvalue of the first 2 x 2 block that is nearer to its first element.
inline double shift_of(double square, double d, double next) {
    const double e = std::sqrt(square);
    const double x = (next - d) / (2.0 * e);
    return d - e / (x + std::copysign(std::sqrt(x * x + 1.0), x));
}

}  // namespace divfast
