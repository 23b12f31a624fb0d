// Clusters of unit rows: within every group by a threshold, by leaders or by k-means; over a corpus from pairs.
#pragma once

#include <vector>

#include "common.hpp"
#include "minhash.hpp"

namespace divfast {

// Unit rows of d numbers, those of group i from groups[i] up to groups[i + 1].
struct GroupedRows {
    const float* values;
    int64_t d;
    const int64_t* groups;
    int64_t n_groups;

    const float* row(int64_t i) const { return values + i * d; }
};

// For every row from groups[0] on, the first row of its cluster. Similarities within `slack` of the threshold reach it.
//
// Threshold: components of the graph of pairs whose similarity reaches tau. Leader: each row in turn joins the first
// cluster whose first member it is similar to, or begins one.
std::vector<int64_t> group_components(const GroupedRows& rows, double tau, int threads);
std::vector<int64_t> group_leaders(const GroupedRows& rows, double tau, int threads);

// Spherical k-means with k-means++ seeds, ks[i] clusters in group i or fewer; what is drawn depends on the seed and on
// the rows of the group alone.
std::vector<int64_t> group_kmeans(const GroupedRows& rows, const int64_t* ks, uint64_t seed, int threads);

// For every cluster, members[offsets[i]] up to members[offsets[i + 1]], the one with the greatest mean similarity to
// all of them; the first of several. Every member must be a row.
std::vector<int64_t> medoids(const float* values, int64_t d, const int64_t* members, const int64_t* offsets,
                             int64_t clusters, int threads);

}  // namespace divfast
