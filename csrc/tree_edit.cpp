#include "tree_edit.hpp"

namespace divfast {
namespace {

// A tree in one of its two orders: nodes behind those below them, from the left or from the right.
struct Ordered {
    std::vector<uint64_t> labels;
    std::vector<int32_t> first;  // the first node of the subtree of each
    std::vector<int32_t> roots;  // the last node of each run of subtrees that begin with the same node
    int64_t cost = 0;            // nodes of the subtrees of `roots`

    void find_roots() {
        const size_t n = labels.size();
        std::vector<bool> seen(n, false);
        for (size_t i = n; i-- > 0;) {
            const auto begin = static_cast<size_t>(first[i]);
            if (seen[begin]) continue;
            seen[begin] = true;
            roots.push_back(static_cast<int32_t>(i));
            cost += static_cast<int64_t>(i - begin) + 1;
        }
        std::reverse(roots.begin(), roots.end());
    }
};

struct BothOrders {
    Ordered left, right;
};

BothOrders orders_of(const TreesView& trees, int64_t tree) {
    const int64_t begin = trees.offsets[tree];
    const auto n = static_cast<size_t>(trees.offsets[tree + 1] - begin);
    BothOrders out;
    out.left.labels.assign(trees.labels + begin, trees.labels + begin + static_cast<int64_t>(n));
    out.left.first.resize(n);
    for (size_t i = 0; i < n; ++i) out.left.first[i] = static_cast<int32_t>(i) - trees.sizes[begin + static_cast<int64_t>(i)] + 1;
    // From the right, a node comes after all that stands right of it or below it: n - 1 - (its place before those
    // below it). The place before them is its depth and all that stands left of it.
    out.right.labels.resize(n);
    out.right.first.resize(n);
    std::vector<int32_t> above;  // the subtrees that a node visited backwards is in: where each begins
    for (size_t i = n; i-- > 0;) {
        while (!above.empty() && above.back() > static_cast<int32_t>(i)) above.pop_back();
        const int32_t size = static_cast<int32_t>(i) - out.left.first[i] + 1;
        const int32_t before = out.left.first[i] + static_cast<int32_t>(above.size());
        const auto place = static_cast<size_t>(static_cast<int32_t>(n) - 1 - before);
        out.right.labels[place] = out.left.labels[i];
        out.right.first[place] = static_cast<int32_t>(place) - size + 1;
        above.push_back(out.left.first[i]);
    }
    out.left.find_roots();
    out.right.find_roots();
    return out;
}

class TreeEdit {
  public:
    struct Scratch {
        std::vector<int32_t> trees, forests;
    };

    TreeEdit(const TreesView& trees, const int64_t* tree, int64_t most) : trees_(trees), tree_(tree), most_(most) {}

    void load(int64_t first, int64_t last) {
        std::vector<int64_t> found;
        for (int64_t row = first; row < last; ++row) {
            const int64_t nodes = trees_.offsets[tree_[row] + 1] - trees_.offsets[tree_[row]];
            if (nodes > 0 && nodes <= most_) found.push_back(tree_[row]);
        }
        // Rows of one tree stand together.
        std::sort(found.begin(), found.end());
        weight_.clear();
        different_.clear();
        for (size_t i = 0; i < found.size(); ++i) {
            if (i == 0 || found[i] != found[i - 1]) {
                different_.push_back(orders_of(trees_, found[i]));
                weight_.push_back(0.0);
            }
            weight_.back() += 1.0;
        }
    }

    PairSum equal() const {
        PairSum sum;
        for (const double weight : weight_) sum.add(0.0, weight * (weight - 1.0) / 2.0);
        return sum;
    }

    int64_t blocks() const { return static_cast<int64_t>(different_.size()); }

    PairSum run(int64_t block, Scratch& scratch, const Stop& stop) const {
        PairSum sum;
        const auto i = static_cast<size_t>(block);
        for (size_t j = i + 1; j < different_.size() && !stop; ++j) {
            const BothOrders &a = different_[i], &b = different_[j];
            // Either order gives the distance; how much work it is depends on which side the trees lean to.
            const bool left = a.left.cost * b.left.cost <= a.right.cost * b.right.cost;
            const int32_t d = left ? distance(a.left, b.left, scratch) : distance(a.right, b.right, scratch);
            const auto nodes = static_cast<double>(a.left.labels.size() + b.left.labels.size());
            sum.add(2.0 * d / (nodes + d), weight_[i] * weight_[j]);
        }
        return sum;
    }

  private:
    // Zhang and Shasha (1989): the distances of all pairs of subtrees, from those of forests between two roots.
    static int32_t distance(const Ordered& a, const Ordered& b, Scratch& scratch) {
        const size_t m = a.labels.size(), n = b.labels.size(), width = n + 1;
        scratch.trees.resize(m * n);
        scratch.forests.resize((m + 1) * width);
        for (const int32_t a_root : a.roots) {
            for (const int32_t b_root : b.roots) {
                const auto a_first = static_cast<size_t>(a.first[static_cast<size_t>(a_root)]);
                const auto b_first = static_cast<size_t>(b.first[static_cast<size_t>(b_root)]);
                const size_t rows = static_cast<size_t>(a_root) + 1 - a_first, columns = static_cast<size_t>(b_root) + 1 - b_first;
                for (size_t j = 0; j <= columns; ++j) scratch.forests[j] = static_cast<int32_t>(j);
                for (size_t i = 1; i <= rows; ++i) {
                    const size_t at = a_first + i - 1;
                    int32_t* here = scratch.forests.data() + i * width;
                    const int32_t* above = here - width;
                    const auto a_before = static_cast<size_t>(a.first[at]) - a_first;
                    const int32_t* without = scratch.forests.data() + a_before * width;
                    int32_t* of_trees = scratch.trees.data() + at * n;
                    here[0] = static_cast<int32_t>(i);
                    for (size_t j = 1; j <= columns; ++j) {
                        const size_t in_b = b_first + j - 1;
                        const auto b_before = static_cast<size_t>(b.first[in_b]) - b_first;
                        const int32_t edited = std::min(above[j], here[j - 1]) + 1;
                        if (a_before == 0 && b_before == 0) {
                            here[j] = std::min(edited, above[j - 1] + (a.labels[at] == b.labels[in_b] ? 0 : 1));
                            of_trees[in_b] = here[j];
                        } else {
                            here[j] = std::min(edited, without[b_before] + of_trees[in_b]);
                        }
                    }
                }
            }
        }
        return scratch.trees[m * n - 1];
    }

    TreesView trees_;
    const int64_t* tree_;
    int64_t most_;
    std::vector<BothOrders> different_;
    std::vector<double> weight_;
};

}  // namespace

void tree_edit_means(const TreesView& trees, const int64_t* tree, const int64_t* nodes, const int64_t* groups,
                     int64_t n_groups, int64_t most, int threads, const Stop& stop, double* out) {
    pair_means(TreeEdit(trees, tree, most), nodes, groups, n_groups, threads, stop, out);
}

}  // namespace divfast
