// Subsets of vectors that grow by the best row at a time, without looking at every row each time.
#pragma once

#include "common.hpp"

namespace divfast {

// n rows of d floats, one after the other.
struct Vectors {
    const float* values = nullptr;
    int64_t rows = 0;
    int64_t width = 0;

    const float* row(int64_t i) const { return values + i * width; }
};

// What a row costs beside the rows that were taken; the cheapest one is next. No cost ever falls when a row is taken.
enum class Cost {
    distance,  // minus the squared distance to the nearest of them: farthest first
    cosines,   // the sum of squared cosines with them: Vendi of order 2
    spectrum,  // what it adds to tr f(G), G their cosines, f(x) = (x^q - x) / (q - 1), or x log x at q = 1
};

struct Choice {
    int64_t row = -1;  // none is left
    double cost = 0.0;
};

// One set of rows and what was taken of it. Equal costs go to the lower row, whatever the number of threads.
class Greedy {
  public:
    virtual ~Greedy() = default;
    virtual void take(int64_t row) = 0;
    virtual Choice cheapest() = 0;
    // The row nearest to the mean of all, -1 where there are none.
    virtual int64_t central() const = 0;
};

// q counts for the spectrum alone: above 0, at most 2.
std::unique_ptr<Greedy> make_greedy(Vectors rows, Cost cost, double q, int threads);

// Takes up to k rows of every group, the first one central. Those of group g are rows[g * k ...] with their costs when
// they were taken (NaN for the first), -1 behind the last one.
void greedy_groups(Vectors rows, const int64_t* groups, int64_t n_groups, int64_t k, Cost cost, double q, int threads,
                   int64_t* taken, double* costs);

// The largest squared distance from a row of a group to the nearest chosen one of that group; NaN where there is none.
// The chosen rows of group g are chosen[bounds[g]] to chosen[bounds[g + 1]].
void covering_radius(Vectors rows, const int64_t* groups, int64_t n_groups, const int64_t* chosen,
                     const int64_t* bounds, int threads, double* radius);

}  // namespace divfast
