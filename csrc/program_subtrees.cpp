#include "program_subtrees.hpp"

namespace divfast {

bool are_trees(const TreesView& trees) {
    for (int64_t tree = 0; tree < trees.trees; ++tree) {
        const int64_t first = trees.offsets[tree], last = trees.offsets[tree + 1];
        for (int64_t i = first; i < last; ++i) {
            // The children of a node are found by going back over their sizes: they must fill its own exactly.
            const int64_t begin = i - trees.sizes[i] + 1;
            if (trees.sizes[i] < 1 || begin < first) return false;
            int64_t at = i - 1;
            while (at >= begin) at -= trees.sizes[at];
            if (at != begin - 1) return false;
        }
        if (last > first && trees.sizes[last - 1] != last - first) return false;
    }
    return true;
}

std::vector<RaggedBuffer<uint64_t>> subtrees_of(const TreesView& trees, int64_t height, bool exact, int threads) {
    const std::vector<int64_t> cuts = balanced_cuts(trees.offsets, trees.trees, 4 * resolve_threads(threads));
    std::vector<RaggedBuffer<uint64_t>> parts(cuts.size() - 1);
    parallel_for(static_cast<int64_t>(parts.size()), threads, [&](int64_t part) {
        RaggedBuffer<uint64_t>& out = parts[static_cast<size_t>(part)];
        std::vector<uint64_t> hashes;
        std::vector<int64_t> heights, children;
        for (int64_t tree = cuts[static_cast<size_t>(part)]; tree < cuts[static_cast<size_t>(part) + 1]; ++tree) {
            const int64_t first = trees.offsets[tree], n = trees.offsets[tree + 1] - first;
            hashes.resize(static_cast<size_t>(n));
            heights.resize(static_cast<size_t>(n));
            for (int64_t i = 0; i < n; ++i) {
                children.clear();
                for (int64_t at = i - 1, begin = i - trees.sizes[first + i] + 1; at >= begin; at -= trees.sizes[first + at]) {
                    children.push_back(at);
                }
                uint64_t hash = trees.labels[first + i];
                int64_t below = 0;
                for (size_t c = children.size(); c-- > 0;) {
                    const auto at = static_cast<size_t>(children[c]);
                    hash = combine(combine(hash, trees.roles[first + children[c]]), hashes[at]);
                    below = std::max(below, heights[at]);
                }
                hashes[static_cast<size_t>(i)] = hash;
                heights[static_cast<size_t>(i)] = below + 1;
                if (exact ? below + 1 == height : below + 1 <= height) out.values.push_back(hash);
            }
            out.close_row();
        }
    });
    return parts;
}

}  // namespace divfast
