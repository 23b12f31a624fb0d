// Counts of different n-grams beside a std::set of them, and sets of a corpus that came in pieces beside its whole.
#include <set>

#include "fuzz.hpp"
#include "ngrams.hpp"

using namespace divfast;

namespace {

void count(const RaggedView<uint64_t>& rows, int order, int64_t& unique, int64_t& total) {
    std::set<std::vector<uint64_t>> grams;
    total = 0;
    for (int64_t row = 0; row < rows.rows; ++row) {
        for (const uint64_t* at = rows.begin(row); rows.end(row) - at >= order; ++at, ++total) {
            grams.emplace(at, at + order);
        }
    }
    unique = static_cast<int64_t>(grams.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int max_order = 1 + input.below(6);
    const auto rows = input.tokens();
    const auto cells = static_cast<size_t>(rows.n_groups() * max_order);
    for (const int threads : {1, 3}) {
        std::vector<int64_t> unique(cells, -1), total(cells, -1);
        ngram_counts(rows.view(), rows.groups.data(), rows.n_groups(), max_order, threads, unique.data(), total.data());
        for (int64_t g = 0; g < rows.n_groups(); ++g) {
            for (int order = 1; order <= max_order; ++order) {
                int64_t expected_unique, expected_total;
                count(rows.part(g, g + 1), order, expected_unique, expected_total);
                const auto cell = static_cast<size_t>(g * max_order + order - 1);
                CHECK(unique[cell] == expected_unique && total[cell] == expected_total);
            }
        }
    }

    // Each fills tables of a fixed size.
    if (rows.n_groups() > 4) return 0;
    NgramSets whole({max_order, 7}), merged({max_order, 7}), moved({max_order, 7});
    whole.add(rows.view(), 2);
    for (int64_t g = 0; g < rows.n_groups(); ++g) {
        NgramSets piece({max_order, 7});
        piece.add(rows.part(g, g + 1), 1);
        merged.merge(piece, 2);
        for (size_t i = 0; i < 2; ++i) {
            const auto keys = piece.fingerprints(i);
            moved.absorb(i, keys.data(), static_cast<int64_t>(keys.size()), piece.total()[i]);
        }
    }
    for (size_t i = 0; i < 2; ++i) {
        int64_t unique, total;
        count(rows.view(), whole.orders()[i], unique, total);
        CHECK(whole.unique()[i] == unique && whole.total()[i] == total);
        CHECK(merged.unique()[i] == unique && merged.total()[i] == total);
        CHECK(moved.unique()[i] == unique && moved.total()[i] == total);
    }
    return 0;
}
