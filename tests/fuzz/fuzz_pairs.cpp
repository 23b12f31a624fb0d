// Means over pairs beside textbook dynamic programming and sets, pair by pair.
#include <cmath>
#include <map>

#include "alignment.hpp"
#include "fuzz.hpp"
#include "pair_ngrams.hpp"
#include "utf8.hpp"

using namespace divfast;

namespace {

using Row = std::vector<uint64_t>;

int64_t subsequence(const Row& a, const Row& b) {
    std::vector<int64_t> best(b.size() + 1);
    for (const uint64_t symbol : a) {
        int64_t diagonal = 0;
        for (size_t j = 1; j <= b.size(); ++j) {
            const int64_t above = best[j];
            best[j] = symbol == b[j - 1] ? diagonal + 1 : std::max(best[j], best[j - 1]);
            diagonal = above;
        }
    }
    return best.back();
}

int64_t distance(const Row& a, const Row& b) {
    std::vector<int64_t> least(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) least[j] = static_cast<int64_t>(j);
    for (size_t i = 1; i <= a.size(); ++i) {
        int64_t diagonal = least[0];
        least[0] = static_cast<int64_t>(i);
        for (size_t j = 1; j <= b.size(); ++j) {
            const int64_t above = least[j];
            least[j] = std::min({above + 1, least[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
            diagonal = above;
        }
    }
    return least.back();
}

double f1(const Row& a, const Row& b) {
    if (a.empty() || b.empty()) return 0.0;
    return 2.0 * static_cast<double>(subsequence(a, b)) / static_cast<double>(a.size() + b.size());
}

double edit(const Row& a, const Row& b) {
    const size_t longest = std::max(a.size(), b.size());
    return longest == 0 ? 0.0 : static_cast<double>(distance(a, b)) / static_cast<double>(longest);
}

double jaccard(const Row& a, const Row& b, size_t order, bool multiset) {
    std::map<Row, std::pair<int, int>> counts;
    for (size_t i = 0; i + order <= a.size(); ++i) ++counts[Row(&a[i], &a[i] + order)].first;
    for (size_t i = 0; i + order <= b.size(); ++i) ++counts[Row(&b[i], &b[i] + order)].second;
    double common = 0, all = 0;
    for (const auto& [gram, count] : counts) {
        const int in_a = multiset ? count.first : count.first > 0, in_b = multiset ? count.second : count.second > 0;
        common += std::min(in_a, in_b);
        all += std::max(in_a, in_b);
    }
    return 1.0 - common / all;  // NaN where neither has an n-gram
}

template <typename Value>
std::vector<double> expected(const std::vector<Row>& rows, const std::vector<int64_t>& groups, const Value& value) {
    std::vector<double> out;
    for (size_t g = 1; g < groups.size(); ++g) {
        double total = 0, pairs = 0;
        for (int64_t j = groups[g - 1]; j < groups[g]; ++j) {
            for (int64_t i = groups[g - 1]; i < j; ++i) {
                const double found = value(rows[static_cast<size_t>(i)], rows[static_cast<size_t>(j)]);
                if (std::isnan(found)) continue;
                total += found;
                pairs += 1;
            }
        }
        out.push_back(total / pairs);
    }
    return out;
}

void check(const std::vector<double>& got, const std::vector<double>& wanted) {
    for (size_t g = 0; g < got.size(); ++g) {
        CHECK(std::isnan(wanted[g]) ? std::isnan(got[g]) : std::abs(got[g] - wanted[g]) < 1e-9);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size > 600) return 0;
    fuzz::Input input(data, size), again(data, size);
    const int order = 1 + input.below(3);
    const bool multiset = input.below(2);
    again.below(3), again.below(2);
    const auto tokens = input.tokens();
    const auto text = again.text();
    std::vector<Row> words, letters;
    for (int64_t row = 0; row < tokens.view().rows; ++row) {
        words.emplace_back(tokens.view().begin(row), tokens.view().end(row));
        letters.emplace_back();
        for (const char *at = text.view().begin(row), *end = text.view().end(row); at < end;) {
            letters.back().push_back(decode_utf8(at, end));
        }
    }
    const Stop stop{false};
    const auto n = tokens.n_groups();
    const int64_t* groups = tokens.groups.data();
    std::vector<double> out(static_cast<size_t>(n)), one(out.size());
    for (const int threads : {1, 3}) {
        lcs_means(tokens.view(), groups, n, threads, stop, out.data());
        check(out, expected(words, tokens.groups, f1));
        edit_means(tokens.view(), groups, n, threads, stop, out.data());
        check(out, expected(words, tokens.groups, edit));
        edit_means(text.view(), groups, n, threads, stop, out.data());
        check(out, expected(letters, tokens.groups, edit));
        jaccard_means(tokens.view(), groups, n, order, multiset, threads, stop, out.data());
        check(out, expected(words, tokens.groups, [&](const Row& a, const Row& b) {
                  return jaccard(a, b, static_cast<size_t>(order), multiset);
              }));
        chrf_means(text.view(), groups, n, 2 * order, multiset ? 2 : 0, 2.0, threads, stop, out.data());
        for (const double value : out) CHECK(std::isnan(value) || (value >= 0.0 && value <= 100.0 + 1e-9));
        if (threads == 1) one = out;
        check(out, one);
    }
    return 0;
}
