// Edit distance of ordered trees.
#pragma once

#include "pairs.hpp"
#include "program_subtrees.hpp"

namespace divfast {

// Mean over the pairs of rows of 2 d / (m + n + d), where d is the least number of nodes to insert, to delete and to
// write anew that turns a tree of m nodes into one of n. Row i has the tree tree[i]; those without nodes or with more
// than `most` are left out. nodes[i + 1] - nodes[i] are the nodes of row i.
void tree_edit_means(const TreesView& trees, const int64_t* tree, const int64_t* nodes, const int64_t* groups,
                     int64_t n_groups, int64_t most, int threads, const Stop& stop, double* out);

}  // namespace divfast
