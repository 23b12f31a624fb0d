#include "symmetric_eigen.hpp"

#include <cmath>
#include <limits>

namespace divfast {
namespace {

// Leaves the tridiagonal form in diagonal and below, and in vectors the rows that take the matrix there.
void tridiagonalize(double* a, int64_t m, double* diagonal, double* below, double* vectors) {
    std::fill(vectors, vectors + m * m, 0.0);
    for (int64_t i = 0; i < m; ++i) vectors[i * m + i] = 1.0;
    std::vector<double> reflector(static_cast<size_t>(m)), product(static_cast<size_t>(m)), image(static_cast<size_t>(m));
    double* v = reflector.data();
    double* w = product.data();
    for (int64_t j = 0; j + 2 < m; ++j) {
        // By symmetry column j is row j, which lies together.
        const double* row = a + j * m;
        double tail = 0.0;
        for (int64_t i = j + 2; i < m; ++i) tail += row[i] * row[i];
        if (tail == 0.0) continue;
        const double length = std::sqrt(tail + row[j + 1] * row[j + 1]);
        const double to = row[j + 1] > 0.0 ? -length : length;
        for (int64_t i = j + 1; i < m; ++i) v[i] = row[i];
        v[j + 1] -= to;
        const double scale = 1.0 / (length * (length + std::abs(row[j + 1])));  // 2 / |v|^2
        double along = 0.0;
        for (int64_t i = j + 1; i < m; ++i) {
            const double* other = a + i * m;
            double sum = 0.0;
            for (int64_t l = j + 1; l < m; ++l) sum += other[l] * v[l];
            w[i] = scale * sum;
            along += w[i] * v[i];
        }
        for (int64_t i = j + 1; i < m; ++i) w[i] -= 0.5 * scale * along * v[i];
        for (int64_t i = j + 1; i < m; ++i) {
            double* other = a + i * m;
            const double vi = v[i], wi = w[i];
            for (int64_t l = j + 1; l < m; ++l) other[l] -= vi * w[l] + wi * v[l];
        }
        a[j * m + j + 1] = to;
        std::fill(image.begin(), image.end(), 0.0);
        for (int64_t i = j + 1; i < m; ++i) {
            const double* from = vectors + i * m;
            for (int64_t l = 0; l < m; ++l) image[static_cast<size_t>(l)] += v[i] * from[l];
        }
        for (int64_t i = j + 1; i < m; ++i) {
            double* into = vectors + i * m;
            const double by = scale * v[i];
            for (int64_t l = 0; l < m; ++l) into[l] -= by * image[static_cast<size_t>(l)];
        }
    }
    for (int64_t i = 0; i < m; ++i) diagonal[i] = a[i * m + i];
    for (int64_t i = 0; i + 1 < m; ++i) below[i] = a[i * m + i + 1];
}

}  // namespace

void symmetric_eigen(double* matrix, int64_t m, double* values, double* vectors) {
    if (m == 0) return;
    std::vector<double> off(static_cast<size_t>(m), 0.0);
    double* e = off.data();
    tridiagonalize(matrix, m, values, e, vectors);
    double size = 0.0;
    for (int64_t i = 0; i < m; ++i) size = std::max(size, std::abs(values[i]) + std::abs(e[i]));
    // Relative to the whole matrix: nobody needs the digits of an eigenvalue that is rounding of zero.
    const double nothing = std::numeric_limits<double>::epsilon() * size;
    for (int64_t first = 0; first < m; ++first) {
        // Each step about thirds the error; so many means that there are NaNs.
        for (int turns = 0; turns < 64; ++turns) {
            int64_t last = first;
            while (last + 1 < m && std::abs(e[last]) > nothing) ++last;
            if (last == first) break;
            double g = (values[first + 1] - values[first]) / (2.0 * e[first]);
            double r = std::hypot(g, 1.0);
            g = values[last] - values[first] + e[first] / (g + std::copysign(r, g));
            double sine = 1.0, cosine = 1.0, shift = 0.0;
            int64_t i = last - 1;
            for (; i >= first; --i) {
                const double f = sine * e[i], b = cosine * e[i];
                r = std::hypot(f, g);
                e[i + 1] = r;
                if (r == 0.0) {
                    values[i + 1] -= shift;
                    e[last] = 0.0;
                    break;
                }
                sine = f / r;
                cosine = g / r;
                g = values[i + 1] - shift;
                r = (values[i] - g) * sine + 2.0 * cosine * b;
                shift = sine * r;
                values[i + 1] = g + shift;
                g = cosine * r - b;
                double* low = vectors + i * m;
                double* high = low + m;
                for (int64_t l = 0; l < m; ++l) {
                    const double x = high[l], y = low[l];
                    high[l] = sine * y + cosine * x;
                    low[l] = cosine * y - sine * x;
                }
            }
            if (i >= first) continue;
            values[first] -= shift;
            e[first] = g;
            e[last] = 0.0;
        }
    }
}

}  // namespace divfast
