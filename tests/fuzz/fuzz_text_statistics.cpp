// Frequencies of n-grams, n-grams shared between rows and richness of rows beside maps and sets; texts that are the same.
#include <cmath>
#include <map>
#include <set>

#include "frequencies.hpp"
#include "fuzz.hpp"
#include "row_ngrams.hpp"
#include "tokens.hpp"
#include "type_token.hpp"

using namespace divfast;

namespace {

using Gram = std::vector<uint64_t>;

std::vector<Gram> grams_of(const RaggedView<uint64_t>& rows, int64_t row, int order) {
    std::vector<Gram> out;
    for (const uint64_t* at = rows.begin(row); rows.end(row) - at >= order; ++at) out.emplace_back(at, at + order);
    return out;
}

// Frequency to how many n-grams have it, the highest first.
std::map<int64_t, int64_t, std::greater<int64_t>> frequencies(const RaggedView<uint64_t>& rows, int order) {
    std::map<Gram, int64_t> counts;
    for (int64_t row = 0; row < rows.rows; ++row) {
        for (const Gram& gram : grams_of(rows, row, order)) ++counts[gram];
    }
    std::map<int64_t, int64_t, std::greater<int64_t>> out;
    for (const auto& [gram, count] : counts) ++out[count];
    return out;
}

std::vector<int64_t> hits(const RaggedView<uint64_t>& rows, int order) {
    std::vector<std::set<Gram>> grams;
    std::map<Gram, int64_t> in_rows;
    for (int64_t row = 0; row < rows.rows; ++row) {
        const auto all = grams_of(rows, row, order);
        grams.emplace_back(all.begin(), all.end());
        for (const Gram& gram : grams.back()) ++in_rows[gram];
    }
    std::vector<int64_t> out;
    for (const auto& own : grams) {
        out.push_back(0);
        for (const Gram& gram : own) out.back() += in_rows[gram] - 1;
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size), again(data, size);
    const int order = 1 + input.below(5), shortest = 1 + input.below(12);
    again.below(5), again.below(12);
    const auto made = input.tokens();
    const auto text = again.text();
    const auto rows = made.view();
    std::vector<int64_t> by_group;
    for (int64_t g = 0; g < made.n_groups(); ++g) {
        for (const int64_t hit : hits(made.part(g, g + 1), order)) by_group.push_back(hit);
    }
    std::vector<double> first;
    for (const int threads : {1, 3}) {
        std::vector<int64_t> offsets;
        const Spectrum found = ngram_spectrum(rows, made.groups.data(), made.n_groups(), order, threads, offsets);
        CHECK(offsets.size() == made.groups.size() && found.count.size() == found.many.size());
        for (int64_t g = 0; g < made.n_groups(); ++g) {
            auto at = static_cast<size_t>(offsets[static_cast<size_t>(g)]);
            for (const auto& [count, many] : frequencies(made.part(g, g + 1), order)) {
                CHECK(at < found.count.size() && found.count[at] == count && found.many[at] == many);
                ++at;
            }
            CHECK(static_cast<int64_t>(at) == offsets[static_cast<size_t>(g) + 1]);
        }
        std::vector<int64_t> shared(by_group.size());
        shared_ngrams(rows, made.groups.data(), made.n_groups(), order, threads, shared.data());
        CHECK(shared == by_group);

        NgramCounts counts(order);
        RowNgrams seen(order);
        for (int64_t g = 0; g < made.n_groups(); ++g) {
            NgramCounts piece(order);
            RowNgrams part(order);
            piece.add(made.part(g, g + 1), threads);
            part.add(made.part(g, g + 1), threads);
            counts.merge(piece, threads);
            seen.merge(part);
        }
        std::map<int64_t, int64_t, std::greater<int64_t>> merged;
        const Spectrum all = counts.spectrum();
        for (size_t i = 0; i < all.count.size(); ++i) merged[all.count[i]] += all.many[i];
        CHECK(merged == frequencies(rows, order));
        CHECK(seen.rows() == rows.rows && seen.hits(threads) == hits(rows, order));

        using Measure = TypeToken::Measure;
        std::vector<double> values;
        for (const auto measure : {Measure::ttr, Measure::mattr, Measure::mtld}) {
            std::vector<double> out(static_cast<size_t>(rows.rows));
            type_token(rows, {measure, 1 + order, 0.72, shortest, order % 2 == 0}, threads, out.data());
            for (size_t i = 0; i < out.size(); ++i) {
                const auto row = static_cast<int64_t>(i);
                CHECK(rows.length(row) > 0 || std::isnan(out[i]));
                CHECK(std::isnan(out[i]) || (out[i] > 0.0 && (measure == Measure::mtld || out[i] <= 1.0)));
                if (measure != Measure::ttr || rows.length(row) == 0) continue;
                const std::set<uint64_t> types(rows.begin(row), rows.end(row));
                const double ratio = static_cast<double>(types.size()) / static_cast<double>(rows.length(row));
                CHECK(std::abs(out[i] - ratio) < 1e-12);
            }
            values.insert(values.end(), out.begin(), out.end());
        }
        if (threads == 1) first = values;
        for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == first[i] || std::isnan(first[i]));
    }
    const auto texts = text.view();
    for (const auto how : {Normalize::none, Normalize::space, Normalize::lower}) {
        const auto prints = text_fingerprints(texts, how, 1);
        CHECK(prints == text_fingerprints(texts, how, 3));
        for (int64_t row = 1; row < texts.rows; ++row) {
            const auto i = static_cast<size_t>(row);
            const bool equal = std::equal(texts.begin(row), texts.end(row), texts.begin(row - 1), texts.end(row - 1));
            CHECK(equal ? prints[i] == prints[i - 1] : how != Normalize::none || prints[i] != prints[i - 1]);
        }
    }
    return 0;
}
