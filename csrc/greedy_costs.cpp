#include "greedy_costs.hpp"

#include <cmath>

#include "pairs.hpp"
#include "symmetric_eigen.hpp"

namespace divfast {
namespace {

// Eight sums side by side in a fixed order: the same number on every processor, as a product of two floats is exact in
// double.
typedef double Eight __attribute__((vector_size(8 * sizeof(double))));
typedef float EightFloats __attribute__((vector_size(8 * sizeof(float))));
constexpr int64_t kEight = 8;

#define DIVFAST_INLINE inline __attribute__((always_inline))

DIVFAST_INLINE double total(const Eight& sums) {
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

template <typename Other, typename Number>
DIVFAST_INLINE double squared_distance_of(const float* x, const Number* y, int64_t d) {
    Eight sums[2] = {};
    int64_t j = 0;
    for (; j + 2 * kEight <= d; j += 2 * kEight) {
        for (int h = 0; h < 2; ++h) {
            EightFloats a;
            Other b;
            std::memcpy(&a, x + j + h * kEight, sizeof a);
            std::memcpy(&b, y + j + h * kEight, sizeof b);
            const Eight apart = __builtin_convertvector(a, Eight) - __builtin_convertvector(b, Eight);
            sums[h] += apart * apart;
        }
    }
    double rest = 0.0;
    for (; j < d; ++j) {
        const double apart = static_cast<double>(x[j]) - static_cast<double>(y[j]);
        rest += apart * apart;
    }
    return total(sums[0] + sums[1]) + rest;
}

// Rows of doubles are padded with zeros to so many.
constexpr int64_t kPadding = 4 * kEight;

DIVFAST_CLONES double product(const double* x, const double* y, int64_t padded) {
    Eight sums[4] = {};
    for (int64_t j = 0; j < padded; j += kPadding) {
        Eight a[4], b[4];
        std::memcpy(a, x + j, sizeof a);
        std::memcpy(b, y + j, sizeof b);
        sums[0] += a[0] * b[0];
        sums[1] += a[1] * b[1];
        sums[2] += a[2] * b[2];
        sums[3] += a[3] * b[3];
    }
    return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Products of kAtOnce rows of doubles with m others, squared: out[i * kAtOnce + c]. Rows are padded to whole vectors.
DIVFAST_CLONES void squared_products(const double* rows, const double* others, int64_t m, int64_t padded, double* out) {
    for (int64_t i = 0; i < m; ++i) {
        const double* other = others + i * padded;
        Eight sums[kAtOnce] = {};
        for (int64_t j = 0; j < padded; j += kEight) {
            Eight b;
            std::memcpy(&b, other + j, sizeof b);
            for (int64_t c = 0; c < kAtOnce; ++c) {
                Eight a;
                std::memcpy(&a, rows + c * padded + j, sizeof a);
                sums[c] += a * b;
            }
        }
        for (int64_t c = 0; c < kAtOnce; ++c) {
            const double z = total(sums[c]);
            out[i * kAtOnce + c] = z * z;
        }
    }
}

// The sums of z^2 / (l + t) and of z^2 / (l + t)^2 at every node, for kAtOnce rows: first[c * nodes + k], second alike.
DIVFAST_CLONES void resolvents(const double* squares, const double* inverse, int64_t m, int64_t nodes, double* first,
                               double* second) {
    for (int64_t k = 0; k < nodes; k += kEight) {
        Eight one[kAtOnce] = {}, two[kAtOnce] = {};
        for (int64_t i = 0; i < m; ++i) {
            Eight w;
            std::memcpy(&w, inverse + i * nodes + k, sizeof w);
            for (int64_t c = 0; c < kAtOnce; ++c) {
                const Eight part = w * squares[i * kAtOnce + c];
                one[c] += part;
                two[c] += part * w;
            }
        }
        for (int64_t c = 0; c < kAtOnce; ++c) {
            std::memcpy(first + c * nodes + k, &one[c], sizeof(Eight));
            std::memcpy(second + c * nodes + k, &two[c], sizeof(Eight));
        }
    }
}

int64_t padded(int64_t d) { return (d + kPadding - 1) / kPadding * kPadding; }

// Writes a row as doubles of length 1, zeros behind it; a row without a direction stays zero.
void write_unit(const float* row, int64_t d, double* out) {
    const int64_t wide = padded(d);
    for (int64_t j = 0; j < d; ++j) out[j] = static_cast<double>(row[j]);
    std::fill(out + d, out + wide, 0.0);
    const double square = product(out, out, wide);
    const double scale = square > 0.0 ? 1.0 / std::sqrt(square) : 0.0;
    for (int64_t j = 0; j < d; ++j) out[j] *= scale;
}

}  // namespace

DIVFAST_CLONES double squared_distance(const float* x, const float* y, int64_t d) {
    return squared_distance_of<EightFloats>(x, y, d);
}

DIVFAST_CLONES double squared_distance(const float* x, const double* y, int64_t d) {
    return squared_distance_of<Eight>(x, y, d);
}

void DistanceCost::update(const int64_t* rows, int64_t count, double limit, double* values, uint32_t* seen,
                          Scratch&) const {
    const auto m = static_cast<uint32_t>(taken_.size());
    for (int64_t c = 0; c < count; ++c) {
        const int64_t row = rows[c];
        const float* own = rows_.row(row);
        double value = values[row];
        uint32_t at = seen[row];
        // The first distance is always taken: a row that has seen nothing is at minus infinity.
        while (at < m && value <= limit) {
            value = std::max(value, -squared_distance(own, rows_.row(taken_[at]), rows_.width));
            ++at;
        }
        values[row] = value;
        seen[row] = at;
    }
}

void CosinesCost::take(int64_t row) {
    const auto wide = static_cast<size_t>(padded(rows_.width));
    unit_.resize(unit_.size() + wide);
    write_unit(rows_.row(row), rows_.width, unit_.data() + unit_.size() - wide);
    ++taken_;
}

void CosinesCost::update(const int64_t* rows, int64_t count, double, double* values, uint32_t* seen,
                         Scratch& scratch) const {
    const int64_t wide = padded(rows_.width);
    scratch.resize(static_cast<size_t>(wide));
    for (int64_t c = 0; c < count; ++c) {
        const int64_t row = rows[c];
        write_unit(rows_.row(row), rows_.width, scratch.data());
        // All of them at once: stopping at the limit would bring the row back as soon as the limit has moved.
        for (uint32_t at = seen[row]; at < taken_; ++at) {
            const double cosine = product(scratch.data(), unit_.data() + at * wide, wide);
            values[row] += cosine * cosine;
        }
        seen[row] = taken_;
    }
}

SpectrumCost::SpectrumCost(Vectors rows, double q) : rows_(rows), q_(q) {}

void SpectrumCost::take(int64_t row) {
    const int64_t d = rows_.width, wide = padded(d), m = ++taken_;
    if (m <= d) {
        unit_.resize(static_cast<size_t>(m * wide));
        double* own = unit_.data() + (m - 1) * wide;
        write_unit(rows_.row(row), d, own);
        std::vector<double> grown(static_cast<size_t>(m * m));
        for (int64_t i = 0; i + 1 < m; ++i) {
            std::memcpy(grown.data() + i * m, products_.data() + i * (m - 1), static_cast<size_t>(m - 1) * sizeof(double));
        }
        for (int64_t i = 0; i < m; ++i) {
            const double* other = unit_.data() + i * wide;
            double sum = 0.0;
            for (int64_t j = 0; j < d; ++j) sum += own[j] * other[j];
            grown[static_cast<size_t>(i * m + m - 1)] = grown[static_cast<size_t>((m - 1) * m + i)] = sum;
        }
        products_ = std::move(grown);
    } else {
        if (m == d + 1) {
            products_.assign(static_cast<size_t>(d * d), 0.0);
        } else {
            unit_.clear();
        }
        unit_.resize(unit_.size() + static_cast<size_t>(wide));
        write_unit(rows_.row(row), d, unit_.data() + unit_.size() - static_cast<size_t>(wide));
        for (size_t at = 0; at < unit_.size(); at += static_cast<size_t>(wide)) {
            const double* own = unit_.data() + at;
            for (int64_t i = 0; i < d; ++i) {
                for (int64_t j = 0; j < d; ++j) products_[static_cast<size_t>(i * d + j)] += own[i] * own[j];
            }
        }
    }
    decompose();
}

void SpectrumCost::decompose() {
    const int64_t d = rows_.width, wide = padded(d), m = std::min(taken_, d);
    std::vector<double> matrix(products_), values(static_cast<size_t>(m)), vectors(static_cast<size_t>(m * m));
    symmetric_eigen(matrix.data(), m, values.data(), vectors.data());
    basis_.assign(static_cast<size_t>(m * wide), 0.0);
    for (int64_t i = 0; i < m; ++i) {
        double* out = basis_.data() + i * wide;
        const double* vector = vectors.data() + i * m;
        if (taken_ > d) {
            const double length = std::sqrt(std::max(values[static_cast<size_t>(i)], 0.0));
            for (int64_t j = 0; j < d; ++j) out[j] = length * vector[j];
            continue;
        }
        for (int64_t l = 0; l < m; ++l) {
            const double* row = unit_.data() + l * wide;
            for (int64_t j = 0; j < d; ++j) out[j] += vector[l] * row[j];
        }
    }
    place_nodes();
    const auto nodes = static_cast<int64_t>(nodes_.size());
    inverse_.resize(static_cast<size_t>(m * nodes));
    for (int64_t i = 0; i < m; ++i) {
        // Rounding may put an eigenvalue that is zero below it.
        const double value = std::max(values[static_cast<size_t>(i)], 0.0);
        for (int64_t k = 0; k < nodes; ++k) {
            inverse_[static_cast<size_t>(i * nodes + k)] = 1.0 / (value + nodes_[static_cast<size_t>(k)]);
        }
    }
}

// Nodes are even in log t. To the left the integrand falls like t^q, to the right, its asymptote taken off, like
// m^2 t^(q - 3).
void SpectrumCost::place_nodes() {
    constexpr double kStep = 0.6, kDigits = 32.0, kPi = 3.14159265358979323846;
    const double power = q_ - 1.0;
    const double left = -kDigits / q_;
    const double right = (kDigits + 2.0 * std::log(static_cast<double>(taken_) + 1.0)) / (3.0 - q_);
    const auto many = static_cast<int64_t>(std::ceil((right - left) / kStep / kEight)) * kEight + kEight;
    nodes_.resize(static_cast<size_t>(many));
    weights_.resize(static_cast<size_t>(many));
    const double factor = power == 0.0 ? 1.0 : std::sin(kPi * power) / (kPi * power);
    for (int64_t k = 0; k < many; ++k) {
        const double at = left + kStep * static_cast<double>(k);
        nodes_[static_cast<size_t>(k)] = std::exp(at);
        weights_[static_cast<size_t>(k)] = factor * kStep * std::exp(q_ * at);
    }
}

void SpectrumCost::update(const int64_t* rows, int64_t count, double, double* values, uint32_t* seen,
                          Scratch& scratch) const {
    const int64_t d = rows_.width, wide = padded(d), m = std::min(taken_, d);
    const auto nodes = static_cast<int64_t>(nodes_.size());
    scratch.rows.resize(static_cast<size_t>(kAtOnce * wide));
    scratch.squares.resize(static_cast<size_t>(kAtOnce * m));
    scratch.sums.resize(static_cast<size_t>(2 * kAtOnce * nodes));
    for (int64_t c = 0; c < kAtOnce; ++c) {
        write_unit(rows_.row(rows[std::min(c, count - 1)]), d, scratch.rows.data() + c * wide);
    }
    squared_products(scratch.rows.data(), basis_.data(), m, wide, scratch.squares.data());
    resolvents(scratch.squares.data(), inverse_.data(), m, nodes, scratch.sums.data(),
               scratch.sums.data() + kAtOnce * nodes);
    for (int64_t c = 0; c < count; ++c) {
        const double* first = scratch.sums.data() + c * nodes;
        const double* second = first + kAtOnce * nodes;
        double weight = 0.0;  // squared cosines with the rows taken, together
        for (int64_t i = 0; i < m; ++i) weight += scratch.squares[static_cast<size_t>(i * kAtOnce + c)];
        double sum = 0.0;
        for (int64_t k = 0; k < nodes; ++k) {
            const double t = nodes_[static_cast<size_t>(k)], more = 1.0 + t;
            // 1 / (1 + t) - 1 + t s' / s on one denominator, where nothing cancels; s is never below t.
            const double gain = t * (first[k] + second[k] * more) / (std::max(more - first[k], t) * more);
            // What it falls like at large t has the integral q times the weight.
            sum += weights_[static_cast<size_t>(k)] * (gain - 2.0 * weight * t / (more * more * more));
        }
        values[rows[c]] = sum + weight * q_;
        seen[rows[c]] = static_cast<uint32_t>(taken_);
    }
}

}  // namespace divfast
