// Clipped matches of self-BLEU beside counting them reference by reference, in much memory and in little.
#include <map>

#include "fuzz.hpp"
#include "matches.hpp"

using namespace divfast;

namespace {

using Counts = std::map<std::vector<uint64_t>, uint32_t>;

std::vector<uint32_t> expected(const RaggedView<uint64_t>& rows, int max_order) {
    std::vector<uint32_t> out(static_cast<size_t>(rows.rows * max_order));
    for (int order = 1; order <= max_order; ++order) {
        std::vector<Counts> counts(static_cast<size_t>(rows.rows));
        for (int64_t row = 0; row < rows.rows; ++row) {
            for (const uint64_t* at = rows.begin(row); rows.end(row) - at >= order; ++at) {
                ++counts[static_cast<size_t>(row)][{at, at + order}];
            }
        }
        for (size_t i = 0; i < counts.size(); ++i) {
            for (const auto& [gram, count] : counts[i]) {
                uint32_t most = 0;
                for (size_t j = 0; j < counts.size(); ++j) {
                    const auto found = counts[j].find(gram);
                    if (j != i && found != counts[j].end()) most = std::max(most, found->second);
                }
                out[i * static_cast<size_t>(max_order) + static_cast<size_t>(order) - 1] += std::min(most, count);
            }
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int max_order = 1 + input.below(6);
    const int64_t memory = input.below(2) * 4096;
    const auto made = input.tokens();
    const auto rows = made.view();
    if (rows.rows > 64) return 0;
    std::vector<uint32_t> by_group;
    for (int64_t g = 0; g < made.n_groups(); ++g) {
        const auto part = expected(made.part(g, g + 1), max_order);
        by_group.insert(by_group.end(), part.begin(), part.end());
    }
    const auto whole = expected(rows, max_order);
    std::vector<int64_t> places(made.offsets), lengths;
    for (int64_t& place : places) place -= made.offsets.front();
    for (int64_t row = 0; row < rows.rows; ++row) lengths.push_back(rows.length(row));
    for (const int threads : {1, 3}) {
        std::vector<uint32_t> matches(whole.size());
        group_matches(rows, made.groups.data(), made.n_groups(), max_order, memory, threads, matches.data());
        CHECK(matches == by_group);
        TokenTape tape{{}, places.data(), rows.rows, -1};
        tape.cut(rows.begin(0), 0, rows.rows);
        std::fill(matches.begin(), matches.end(), 0u);
        corpus_matches(tape, max_order, memory, threads, matches.data());
        CHECK(matches == whole);

        std::vector<int64_t> closest(lengths.size(), -1);
        closest_lengths(lengths.data(), made.groups.data(), made.n_groups(), threads, closest.data());
        for (size_t g = 1; g < made.groups.size(); ++g) {
            for (int64_t i = made.groups[g - 1]; i < made.groups[g]; ++i) {
                int64_t best = -1;
                for (int64_t j = made.groups[g - 1]; j < made.groups[g]; ++j) {
                    const int64_t own = lengths[static_cast<size_t>(i)], other = lengths[static_cast<size_t>(j)];
                    const int64_t far = std::abs(own - other), so_far = std::abs(own - best);
                    if (i != j && (best < 0 || far < so_far || (far == so_far && other < best))) best = other;
                }
                CHECK(closest[static_cast<size_t>(i)] == best);
            }
        }
    }
    return 0;
}
