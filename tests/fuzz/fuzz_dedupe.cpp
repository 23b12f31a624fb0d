// Near-duplicates beside all pairs compared, distinct texts beside a map, in memory and in a file.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <string>

#include "fuzz.hpp"
#include "minhash.hpp"

using namespace divfast;

namespace {

// The first row of the component of every row, where rows are joined whose shingles are alike or whose text is the same.
std::vector<int64_t> expected(const RaggedView<char>& rows, const ShingleRule& rule, double threshold) {
    const auto all = shingles(rows, rule);
    Sets sets;
    std::vector<int64_t> root;
    for (size_t i = 0; i < static_cast<size_t>(rows.rows); ++i) {
        sets.emplace_back(all.values.begin() + all.offsets[i], all.values.begin() + all.offsets[i + 1]);
        to_set(sets.back());
        root.push_back(static_cast<int64_t>(i));
    }
    for (size_t i = 0; i < sets.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
            std::vector<uint64_t> common;
            std::set_intersection(sets[i].begin(), sets[i].end(), sets[j].begin(), sets[j].end(), std::back_inserter(common));
            const size_t any = sets[i].size() + sets[j].size() - common.size();
            const auto row = static_cast<int64_t>(i), other = static_cast<int64_t>(j);
            const bool equal = std::equal(rows.begin(row), rows.end(row), rows.begin(other), rows.end(other));
            const bool alike = any > 0 && static_cast<double>(common.size()) / static_cast<double>(any) >= threshold;
            if (!equal && !alike) continue;
            const int64_t low = std::min(root[i], root[j]), high = std::max(root[i], root[j]);
            for (int64_t& at : root) at = at == high ? low : at;
        }
    }
    return root;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    ShingleRule rule;
    rule.n = 1 + input.below(5);
    rule.words = input.below(2);
    const double threshold = (1 + input.below(10)) / 10.0;
    const bool near = input.below(4);
    const auto made = input.text();
    const auto rows = made.view();
    if (rows.rows > 100) return 0;

    std::vector<int64_t> wanted;
    for (int64_t g = 0; g < made.n_groups(); ++g) {
        for (const int64_t row : expected(made.part(g, g + 1), rule, threshold)) {
            wanted.push_back(row + made.groups[static_cast<size_t>(g)]);
        }
    }
    for (const int threads : {1, 3}) {
        const auto found = group_duplicates(rows, made.groups.data(), made.n_groups(), near, rule, threshold, threads);
        CHECK(found.near == (near ? wanted : found.equal));
        for (size_t i = 0; i < found.equal.size(); ++i) {
            const auto row = static_cast<int64_t>(i);
            CHECK(found.equal[i] <= row && found.near[i] <= found.equal[i]);
            CHECK(std::equal(rows.begin(row), rows.end(row), rows.begin(found.equal[i]), rows.end(found.equal[i])));
        }
        const auto folded = fuzz::joined(fold_text(rows, threads));
        CHECK(folded.rows() == rows.rows);
    }

    std::map<std::string, uint32_t> numbers;
    std::vector<uint32_t> in_memory;
    for (const int64_t limit : {0, 40}) {
        const int file = memfd_create("texts", 0);
        DistinctTexts texts(limit, file);
        for (int64_t g = 0; g < made.n_groups(); ++g) {
            const auto part = made.part(g, g + 1);
            const auto given = texts.add(part, 2);
            for (int64_t row = 0; row < part.rows; ++row) {
                const std::string text(part.begin(row), part.end(row));
                const auto next = static_cast<uint32_t>(numbers.size());
                CHECK(given[static_cast<size_t>(row)] == numbers.try_emplace(text, next).first->second);
            }
        }
        texts.finish();
        CHECK(texts.size() == numbers.size());
        RaggedBuffer<char> scratch;
        const auto kept = texts.range(0, texts.size(), scratch);
        for (int64_t i = 0; i < kept.rows; ++i) {
            CHECK(numbers.at(std::string(kept.begin(i), kept.end(i))) == static_cast<uint32_t>(i));
        }
        const auto roots = near_duplicates(texts, rule, threshold, {8, 2, 1}, limit, limit == 0 ? 1 : 3);
        for (size_t i = 0; i < roots.size(); ++i) CHECK(roots[i] <= i && roots[roots[i]] == roots[i]);
        if (limit == 0) in_memory = roots;
        CHECK(roots == in_memory);
        close(file);
    }
    return 0;
}
