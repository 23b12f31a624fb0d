// Fingerprints of the subtrees of programs.
#pragma once

#include "common.hpp"

namespace divfast {

// What subtrees_of reads: arrays as Nodes has them, one of its two labels, and where the trees begin and end.
struct TreesView {
    const uint64_t* labels = nullptr;
    const uint16_t* roles = nullptr;
    const int32_t* sizes = nullptr;
    const int64_t* offsets = nullptr;
    int64_t trees = 0;
};

// Whether the sizes are those of trees: no node holds more than what stands before it, and one root holds all.
bool are_trees(const TreesView& trees);

// The fingerprint of every subtree whose height is `height`, a leaf having 1, or at most that: in the order of their
// roots, one row a tree; one buffer per run of trees, which the caller joins. Two subtrees have the same one where labels, roles and order are the same all the way down.
std::vector<RaggedBuffer<uint64_t>> subtrees_of(const TreesView& trees, int64_t height, bool exact, int threads);

}  // namespace divfast
