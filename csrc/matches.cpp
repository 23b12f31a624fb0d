#include "matches.hpp"

#include "gram_table.hpp"
#include "ngram_keys.hpp"

namespace divfast {
namespace {

struct Workspace {
    std::vector<uint64_t> keys;    // fingerprints of the n-grams that occur elsewhere, in order of place
    std::vector<int64_t> places;   // where each starts: number of its token plus number of its row
    std::vector<uint32_t> rows;    // and in which row
    std::vector<uint8_t> repeated;
    GramTable table;
};

// An n-gram can only occur in another row if both (n - 1)-grams in it do, so each order looks at what is left.
void match_group(const RaggedView<uint64_t>& tokens, int64_t first, int64_t last, int max_order, Workspace& work,
                 uint32_t* matches) {
    std::fill(matches + first * max_order, matches + last * max_order, 0u);
    auto n = static_cast<size_t>(tokens.offsets[last] - tokens.offsets[first]);
    if (work.keys.size() < n) {
        work.keys.resize(n);
        work.places.resize(n);
        work.rows.resize(n);
        work.repeated.resize(n);
    }
    size_t kept = 0;
    for (int64_t row = first; row < last; ++row) {
        const uint64_t* token = tokens.begin(row);
        for (int64_t i = 0; i < tokens.length(row); ++i, ++kept) {
            work.keys[kept] = unigram(token[i]);
            work.places[kept] = static_cast<int64_t>(kept) + (row - first);
            work.rows[kept] = static_cast<uint32_t>(row - first);
        }
    }
    for (int order = 1; order <= max_order && n > 0; ++order) {
        uint32_t* of_order = matches + first * max_order + order - 1;
        const auto same_row = [&](uint32_t before, uint32_t place) { return work.rows[before] == work.rows[place]; };
        const auto mark = [&](uint32_t place) { work.repeated[place] = 1; };
        std::fill(work.repeated.begin(), work.repeated.begin() + static_cast<std::ptrdiff_t>(n), uint8_t{0});
        work.table.clear(n);
        for (size_t i = 0; i < n; ++i) work.table.see(work.keys[i], static_cast<uint32_t>(i), same_row, mark);
        for (size_t i = 0; i < n; ++i) of_order[work.rows[i] * static_cast<size_t>(max_order)] += work.repeated[i];
        work.table.finish([&](uint32_t place, uint32_t many) {
            of_order[work.rows[place] * static_cast<size_t>(max_order)] -= many;
        });
        kept = 0;
        for (size_t i = 0; i + 1 < n; ++i) {
            const bool next = work.places[i] + 1 == work.places[i + 1];
            work.keys[kept] = extend(work.keys[i], work.keys[i + 1]);
            work.places[kept] = work.places[i];
            work.rows[kept] = work.rows[i];
            kept += next & (work.repeated[i] & work.repeated[i + 1]);
        }
        n = kept;
    }
}

}  // namespace

void group_matches(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int max_order,
                   int64_t memory, int threads, uint32_t* matches) {
    // From here on a group is worth all threads, and more than one table.
    constexpr int64_t kLargeGroup = int64_t{1} << 18;
    std::vector<int64_t> large, weight(static_cast<size_t>(n_groups) + 1);
    for (int64_t g = 0; g < n_groups; ++g) {
        const int64_t size = tokens.offsets[groups[g + 1]] - tokens.offsets[groups[g]];
        if (size >= kLargeGroup) large.push_back(g);
        // One for the group itself, so that a million empty groups are still shared out.
        weight[static_cast<size_t>(g) + 1] = weight[static_cast<size_t>(g)] + 1 + (size < kLargeGroup ? size : 0);
    }
    const std::vector<int64_t> cuts = balanced_cuts(weight.data(), n_groups, 8 * resolve_threads(threads));
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        Workspace work;
        for (int64_t g = cuts[static_cast<size_t>(part)]; g < cuts[static_cast<size_t>(part) + 1]; ++g) {
            if (tokens.offsets[groups[g + 1]] - tokens.offsets[groups[g]] >= kLargeGroup) continue;
            match_group(tokens, groups[g], groups[g + 1], max_order, work, matches);
        }
    });
    for (const int64_t g : large) {
        const int64_t first = groups[g], rows = groups[g + 1] - first;
        std::vector<int64_t> offsets(tokens.offsets + first, tokens.offsets + groups[g + 1] + 1);
        for (int64_t& offset : offsets) offset -= tokens.offsets[first];
        TokenTape tape{{}, offsets.data(), rows, -1};
        tape.cut(tokens.begin(first), 0, rows);
        corpus_matches(tape, max_order, memory, threads, matches + first * max_order);
    }
}

void closest_lengths(const int64_t* lengths, const int64_t* groups, int64_t n_groups, int threads, int64_t* closest) {
    const std::vector<int64_t> cuts = balanced_cuts(groups, n_groups, 8 * resolve_threads(threads));
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        std::vector<int64_t> sorted;
        for (int64_t g = cuts[static_cast<size_t>(part)]; g < cuts[static_cast<size_t>(part) + 1]; ++g) {
            sorted.assign(lengths + groups[g], lengths + groups[g + 1]);
            std::sort(sorted.begin(), sorted.end());
            for (int64_t row = groups[g]; row < groups[g + 1]; ++row) {
                const int64_t own = lengths[row];
                const auto here = std::lower_bound(sorted.begin(), sorted.end(), own);
                const auto next = here + 1;
                if (next != sorted.end() && *next == own) {
                    closest[row] = own;
                } else if (here == sorted.begin()) {
                    closest[row] = next == sorted.end() ? -1 : *next;
                } else {
                    const int64_t shorter = *(here - 1);
                    closest[row] = next != sorted.end() && *next - own < own - shorter ? *next : shorter;
                }
            }
        }
    });
}

}  // namespace divfast
