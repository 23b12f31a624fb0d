#include "spectra.hpp"

#include <cmath>
#include <limits>

namespace divfast {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
// Where the largest element is 1, what is smaller is rounding.
constexpr double kNothing = 1e-18;
// QL takes two or three steps for an eigenvalue.
constexpr int kSteps = 60;

// Makes a symmetric k x k matrix tridiagonal by reflections; a is lost. Needs 2 k numbers of scratch.
void tridiagonal(double* a, int64_t k, double* diagonal, double* beside, double* scratch) {
    double* v = scratch;
    double* w = scratch + k;
    for (int64_t c = 0; c + 2 < k; ++c) {
        diagonal[c] = a[c * k + c];
        double squares = 0;
        for (int64_t i = c + 1; i < k; ++i) {
            v[i] = a[c * k + i];
            squares += v[i] * v[i];
        }
        const double length = std::sqrt(squares);
        // The square of what is smaller still would leave the type.
        if (length < kNothing) {
            beside[c] = 0;
            continue;
        }
        beside[c] = v[c + 1] > 0 ? -length : length;
        v[c + 1] -= beside[c];
        const double scale = 1 / (squares - beside[c] * a[c * k + c + 1]);
        double along = 0;
        for (int64_t i = c + 1; i < k; ++i) w[i] = 0;
        for (int64_t i = c + 1; i < k; ++i) {
            const double* row = a + i * k;
            const double x = v[i] * scale;
            for (int64_t j = c + 1; j < k; ++j) w[j] += x * row[j];
        }
        for (int64_t i = c + 1; i < k; ++i) along += v[i] * w[i];
        along *= scale / 2;
        for (int64_t i = c + 1; i < k; ++i) w[i] -= along * v[i];
        for (int64_t i = c + 1; i < k; ++i) {
            double* row = a + i * k;
            for (int64_t j = c + 1; j < k; ++j) row[j] -= v[i] * w[j] + w[i] * v[j];
        }
    }
    if (k > 1) {
        diagonal[k - 2] = a[(k - 2) * k + k - 2];
        beside[k - 2] = a[(k - 2) * k + k - 1];
    }
    diagonal[k - 1] = a[k * k - 1];
    beside[k - 1] = 0;
}

// Turns the diagonal of a tridiagonal matrix into its eigenvalues: QL steps with implicit shifts.
void diagonalise(double* diagonal, double* beside, int64_t k) {
    for (int64_t first = 0; first < k; ++first) {
        for (int step = 0; step < kSteps; ++step) {
            int64_t last = first;
            while (last + 1 < k && std::abs(beside[last]) > kNothing + kEpsilon * (std::abs(diagonal[last]) +
                                                                                 std::abs(diagonal[last + 1]))) {
                ++last;
            }
            if (last == first) break;
            double g = (diagonal[first + 1] - diagonal[first]) / (2 * beside[first]);
            g = diagonal[last] - diagonal[first] + beside[first] / (g + std::copysign(std::sqrt(g * g + 1), g));
            double sine = 1, cosine = 1, shift = 0;
            int64_t i = last - 1;
            for (; i >= first; --i) {
                const double f = sine * beside[i], b = cosine * beside[i];
                const double length = std::sqrt(f * f + g * g);
                beside[i + 1] = length;
                if (length == 0) {
                    diagonal[i + 1] -= shift;
                    break;
                }
                sine = f / length;
                cosine = g / length;
                g = diagonal[i + 1] - shift;
                const double r = (diagonal[i] - g) * sine + 2 * cosine * b;
                shift = sine * r;
                diagonal[i + 1] = g + shift;
                g = cosine * r - b;
            }
            beside[last] = 0;
            if (i >= first) continue;
            diagonal[first] -= shift;
            beside[first] = g;
        }
    }
}

}  // namespace

void eigenvalues(const double* matrices, int64_t many, int64_t k, int threads, double* values) {
    if (many == 0 || k == 0) return;
    // So many that a thread has a fraction of a millisecond of work.
    const int64_t part = std::max<int64_t>(1, (int64_t{1} << 19) / (k * k * (k + 16)));
    parallel_for((many + part - 1) / part, threads, [&](int64_t task) {
        std::vector<double> matrix(static_cast<size_t>(k * k)), scratch(static_cast<size_t>(3 * k));
        for (int64_t b = task * part; b < std::min(many, (task + 1) * part); ++b) {
            const double* in = matrices + b * k * k;
            double* out = values + b * k;
            double largest = 0;
            bool finite = true;
            for (int64_t i = 0; i < k * k; ++i) {
                largest = std::max(largest, std::abs(in[i]));
                finite = finite && std::isfinite(in[i]);
            }
            if (!finite) {
                std::fill(out, out + k, std::numeric_limits<double>::quiet_NaN());
                continue;
            }
            if (largest == 0) largest = 1;
            for (int64_t i = 0; i < k * k; ++i) matrix[static_cast<size_t>(i)] = in[i] / largest;
            tridiagonal(matrix.data(), k, out, scratch.data(), scratch.data() + k);
            diagonalise(out, scratch.data(), k);
            for (int64_t i = 0; i < k; ++i) out[i] *= largest;
        }
    });
}

}  // namespace divfast
