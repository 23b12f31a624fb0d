// What a row costs beside the rows that were taken, and how a cost that is out of date is brought up to date.
#pragma once

#include "greedy.hpp"

#include <cmath>
#include <limits>

namespace divfast {

// Every cost has
//   void take(row)                                                    a row was taken
//   void update(rows, count, limit, values, seen, scratch) const      counts with all rows taken; it may stop where a
//                                                                     value is above the limit, and seen says how far
//   double slack() const                                              how far rounding may move a value
// A value is a lower bound of the true one as soon as it has seen some of the rows that were taken.
constexpr int64_t kAtOnce = 4;

// Summed in double, in a fixed order; zero for equal rows.
double squared_distance(const float* x, const float* y, int64_t d);
double squared_distance(const float* x, const double* y, int64_t d);

class DistanceCost {
  public:
    struct Scratch {};
    static constexpr double kFirst = -std::numeric_limits<double>::infinity();

    DistanceCost(Vectors rows, double) : rows_(rows) {}
    void take(int64_t row) { taken_.push_back(row); }
    double slack() const { return 0.0; }
    void update(const int64_t* rows, int64_t count, double limit, double* values, uint32_t* seen, Scratch&) const;

  private:
    Vectors rows_;
    std::vector<int64_t> taken_;
};

class CosinesCost {
  public:
    using Scratch = std::vector<double>;
    static constexpr double kFirst = 0.0;

    CosinesCost(Vectors rows, double) : rows_(rows) {}
    void take(int64_t row);
    double slack() const { return 0.0; }
    void update(const int64_t* rows, int64_t count, double limit, double* values, uint32_t* seen,
                Scratch& scratch) const;

  private:
    Vectors rows_;
    uint32_t taken_ = 0;
    std::vector<double> unit_;  // the rows taken, of length 1
};

// With eigenvalues l of the cosines G of m rows, and z the cosines of another row with them in the eigenbasis, taking
// that row multiplies det(G + t) by s(t) = 1 + t - sum z^2 / (l + t). Since x log x and its kin are integrals of
// x / (1 + t) - x / (x + t) over t, weighted with t^(q - 1), what tr f gains is the integral of
// 1 / (1 + t) - 1 + t s'(t) / s(t): no eigenvalue of the larger matrix is needed. In log t the integrand is analytic in
// a strip of half-width pi, so the trapezoid rule is exact to rounding with a few dozen nodes.
class SpectrumCost {
  public:
    struct Scratch {
        std::vector<double> rows, squares, sums;
    };
    static constexpr double kFirst = 0.0;

    SpectrumCost(Vectors rows, double q);
    void take(int64_t row);
    // An eigenvalue that is zero comes out as some 1e-16, and counts with its power q.
    double slack() const { return (1e-11 + std::pow(1e-15, std::min(q_, 1.0))) * static_cast<double>(1 + taken_); }
    void update(const int64_t* rows, int64_t count, double limit, double* values, uint32_t* seen,
                Scratch& scratch) const;

  private:
    void decompose();
    void place_nodes();

    Vectors rows_;
    double q_;
    int64_t taken_ = 0;
    std::vector<double> unit_;      // the rows taken, of length 1
    std::vector<double> products_;  // G, or past d rows the d x d sum of their outer products
    std::vector<double> basis_;     // a row for each eigenvalue that gives z of a row
    std::vector<double> nodes_, weights_;
    std::vector<double> inverse_;  // 1 / (l + t), a row for each eigenvalue
};

}  // namespace divfast
