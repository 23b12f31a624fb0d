// Similarities of all pairs of vectors, made in tiles and looked at once, never stored.
#pragma once

#include <limits>

#include "common.hpp"

namespace divfast {

// n rows of d finite numbers.
struct Matrix {
    const float* values = nullptr;
    int64_t n = 0, d = 0;
};

struct PairRequest {
    int64_t nearest = 1;      // at least 1
    std::vector<float> cuts;  // ascending
    float sharpness = 0;      // log2(e) / temperature; 0 for no sums of exponentials
    int64_t fraction = 0;     // their bits behind the point
};

struct PairFindings {
    // Of each row's nearest, descending, the lower index first among equals; index kNobody where there are fewer.
    static constexpr int64_t kNobody = std::numeric_limits<int64_t>::max();
    std::vector<float> similarity;
    std::vector<int64_t> neighbours;
    std::vector<float> lowest;        // infinite where there is no other row
    std::vector<int64_t> counts;      // pairs by how many cuts are at or below their similarity
    std::vector<int64_t> exponentials;  // of each row, sums of 2^(sharpness (s - 1)) in fixed point; itself included
};

// Rows against each other where `others` is null, every pair once; else against all of `others`.
PairFindings find_pairs(const Matrix& rows, const Matrix* others, const PairRequest& request, int threads);

struct JoinedPairs {
    std::vector<int64_t> left, right;
    std::vector<float> similarity;
    bool complete = true;  // false: there are more than the limit, and these are not all
};

// The pairs of rows [start, stop) with later rows, or with all of `others`, whose similarity is at least `tau`; in order.
JoinedPairs join_rows(const Matrix& rows, const Matrix* others, int64_t start, int64_t stop, float tau, int64_t limit,
                      int threads);

}  // namespace divfast
