// Shingles: runs of n words or characters of a text, as sets of 64-bit fingerprints, and which sets are alike.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common.hpp"

namespace divfast {

struct ShingleRule {
    int n = 5;
    bool words = false;  // as the tokenizer of that name; otherwise characters, white space included
};

// Throws std::invalid_argument for n < 1 and for a unit that is neither "chars" nor "words".
ShingleRule shingle_rule(const std::string& unit, int n);

// The shingles of every row in order of place, repeats included. A text of fewer than n units is one shingle, all of
// it; a text without units has none. Bytes that are not UTF-8 are characters of one byte.
RaggedBuffer<uint64_t> shingles(const RaggedView<char>& text, const ShingleRule& rule);

// Sorts and drops repeats.
void to_set(std::vector<uint64_t>& shingles);

// Lower case, each run of white space one blank, none at the ends; one buffer per run of rows, in order.
std::vector<RaggedBuffer<char>> fold_text(const RaggedView<char>& text, int threads);

// The least k for which k / n reaches the threshold. The quotient is rounded as anybody's would be, so a threshold
// of 0.8 takes 4 of 5.
inline size_t least_share(size_t n, double threshold) {
    auto k = static_cast<size_t>(threshold * static_cast<double>(n));
    k -= k > 0;
    while (static_cast<double>(k) / static_cast<double>(n) < threshold) ++k;
    return k;
}

// How many elements sets of a and b elements must share to have a Jaccard similarity of the threshold; more than the
// smaller has where they cannot.
inline size_t least_common(size_t a, size_t b, double threshold) {
    auto k = static_cast<size_t>(threshold / (1 + threshold) * static_cast<double>(a + b));
    k -= k > 0;
    while (static_cast<double>(k) / static_cast<double>(a + b - k) < threshold) ++k;
    return k;
}

// Whether two increasing sequences share at least `needed` elements.
template <typename T>
bool share(const std::vector<T>& a, const std::vector<T>& b, size_t needed) {
    const T *x = a.data(), *y = b.data();
    const T *const x_end = x + a.size(), *const y_end = y + b.size();
    size_t common = 0;
    while (true) {
        const auto left = static_cast<size_t>(std::min(x_end - x, y_end - y));
        if (common + left < needed) return false;
        if (left == 0) return common >= needed;
        // So many steps stay inside both; only then it is worth asking whether there is hope.
        for (size_t step = std::min<size_t>(left, 32); step > 0; --step) {
            const T u = *x, v = *y;
            common += u == v;
            x += u <= v;
            y += v <= u;
        }
    }
}

using Sets = std::vector<std::vector<uint64_t>>;

// Calls join(i, j), which makes root(i) and root(j) equal, for pairs of sets whose Jaccard similarity reaches the
// threshold: for every one whose roots differ and for which settled(i, j) is false when its turn comes. Sets must not
// be empty.
//
// Few sets are compared each with each. Many are first compared with a few of themselves, which does for one large
// cluster. Then only those are that share one of their rarest shingles: two sets that share k of their elements must
// share one of the first size - k + 1 in any common order, and the order from rare to frequent makes that seldom.
template <typename Root, typename Settled, typename Join>
void join_similar(const Sets& sets, double threshold, const Root& root, const Settled& settled, const Join& join);

// Ranks of shingles from rare to frequent in place of fingerprints, each set increasing. Returns how many there are.
size_t rank_by_rarity(const Sets& sets, std::vector<std::vector<uint32_t>>& ranked);

constexpr size_t kFewSets = 32, kLeaders = 8;

template <typename Root, typename Settled, typename Join>
void join_similar(const Sets& sets, double threshold, const Root& root, const Settled& settled, const Join& join) {
    const auto n = static_cast<uint32_t>(sets.size());
    const auto compare = [&](uint32_t i, uint32_t j, const auto& a, const auto& b) {
        if (root(i) == root(j) || settled(i, j)) return;
        const size_t needed = least_common(a.size(), b.size(), threshold);
        if (needed <= std::min(a.size(), b.size()) && share(a, b, needed)) join(i, j);
    };
    if (n <= kFewSets) {
        for (uint32_t i = 1; i < n; ++i) {
            for (uint32_t j = 0; j < i; ++j) compare(i, j, sets[i], sets[j]);
        }
        return;
    }
    std::vector<uint32_t> leaders;
    for (uint32_t i = 0; i < n; ++i) {
        bool led = false;
        for (size_t l = 0; l < leaders.size() && !led; ++l) {
            compare(i, leaders[l], sets[i], sets[leaders[l]]);
            led = root(i) == root(leaders[l]);
        }
        if (!led && leaders.size() < kLeaders) leaders.push_back(i);
    }
    // Members of the largest cluster need not look at one another, so they have lists of their own.
    std::vector<uint8_t> in_largest(n);
    size_t largest = 0;
    for (const uint32_t leader : leaders) {
        std::vector<uint8_t> mine(n);
        size_t size = 0;
        for (uint32_t i = 0; i < n; ++i) size += mine[i] = root(i) == root(leader);
        if (size > largest) largest = size, in_largest.swap(mine);
    }
    if (largest == n) return;
    struct Entry {
        uint32_t set, next;
    };
    constexpr uint32_t kNone = UINT32_MAX;
    std::vector<std::vector<uint32_t>> ranked;
    std::vector<uint32_t> first[2], seen(n, kNone), order(n);
    first[0].assign(rank_by_rarity(sets, ranked), kNone);
    first[1] = first[0];
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < n; ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return sets[a].size() < sets[b].size(); });
    for (const uint32_t i : order) {
        const std::vector<uint32_t>& set = ranked[i];
        const size_t smallest = least_share(set.size(), threshold);
        const size_t looked = set.size() - smallest + 1;
        // Those that come later are at least as large.
        const size_t kept = set.size() - least_common(set.size(), set.size(), threshold) + 1;
        for (size_t at = 0; at < looked; ++at) {
            for (int list = 0; list < 2 - in_largest[i]; ++list) {
                for (uint32_t e = first[list][set[at]]; e != kNone; e = entries[e].next) {
                    const uint32_t j = entries[e].set;
                    // The list runs from large to small.
                    if (ranked[j].size() < smallest) break;
                    if (seen[j] == i) continue;
                    seen[j] = i;
                    compare(i, j, set, ranked[j]);
                }
            }
            if (at >= kept) continue;
            uint32_t& head = first[in_largest[i]][set[at]];
            entries.push_back({i, head});
            head = static_cast<uint32_t>(entries.size()) - 1;
        }
    }
}

}  // namespace divfast
