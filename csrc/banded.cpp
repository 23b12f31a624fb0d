#include "alignment.hpp"

namespace divfast {
namespace {

// Where each symbol of a row stands: for every symbol the 64-symbol words that hold it, and which bits.
class Occurrences {
  public:
    Occurrences(const uint32_t* row, int64_t length) {
        const auto m = static_cast<size_t>(length);
        uint32_t most = 0;
        for (size_t i = 0; i < m; ++i) most = std::max(most, row[i]);
        starts_.assign(size_t{most} + 2, 0);
        std::vector<int64_t> last(size_t{most} + 1, -1);
        for (size_t i = 0; i < m; ++i) {
            const auto word = static_cast<int64_t>(i / 64);
            if (last[row[i]] != word) ++starts_[row[i] + 1], last[row[i]] = word;
        }
        for (size_t s = 1; s < starts_.size(); ++s) starts_[s] += starts_[s - 1];
        words_.resize(starts_.back());
        std::vector<size_t> ends(starts_.begin(), starts_.end() - 1);
        for (size_t i = 0; i < m; ++i) {
            const auto word = static_cast<int64_t>(i / 64);
            size_t& end = ends[row[i]];
            if (end == starts_[row[i]] || words_[end - 1].word != word) words_[end++] = {word, 0};
            words_[end - 1].bits |= uint64_t{1} << (i % 64);
        }
    }

    // Calls each(word, bits) for the words from `first` to `last` that hold the symbol.
    template <typename Each>
    void within(uint32_t symbol, int64_t first, int64_t last, const Each& each) const {
        if (size_t{symbol} + 1 >= starts_.size()) return;
        const Word* end = words_.data() + starts_[symbol + 1];
        const Word* at = std::lower_bound(words_.data() + starts_[symbol], end, first,
                                          [](const Word& word, int64_t least) { return word.word < least; });
        for (; at != end && at->word <= last; ++at) each(at->word, at->bits);
    }

  private:
    struct Word {
        int64_t word;
        uint64_t bits;
    };
    std::vector<size_t> starts_;
    std::vector<Word> words_;
};

struct Column {
    uint64_t up = ~uint64_t{0};  // rows one more than the row above
    uint64_t down = 0;           // rows one less
};

// The distance if it is at most `limit`, else a number above it. m <= n and n - m <= limit.
int64_t within_band(const Occurrences& pattern, int64_t m, const uint32_t* b, int64_t n, int64_t limit,
                    std::vector<Column>& columns, std::vector<uint64_t>& equal, const Stop& stop) {
    // An alignment of cost at most `limit` leaves no cell further from the diagonal than this.
    const int64_t below = (limit - (n - m)) / 2, above = (limit + (n - m)) / 2;
    const int64_t words = (m + 63) / 64;
    columns.assign(static_cast<size_t>(words), Column{});
    equal.assign(static_cast<size_t>(words), 0);
    int64_t last = std::min(words - 1, std::max<int64_t>(0, below - 1) / 64);
    int64_t score = 64 * (last + 1);
    for (int64_t j = 1; j <= n; ++j) {
        if ((j & 1023) == 0 && stop) return -1;
        const int64_t first = std::max<int64_t>(0, j - above - 1) / 64;
        for (const int64_t reach = std::min(words - 1, (j + below - 1) / 64); last < reach; ++last) score += 64;
        pattern.within(b[j - 1], first, last, [&](int64_t word, uint64_t bits) { equal[static_cast<size_t>(word)] = bits; });
        uint64_t plus = 1, minus = 0;
        for (int64_t word = first; word <= last; ++word) {
            Column& column = columns[static_cast<size_t>(word)];
            const uint64_t up = column.up, down = column.down;
            const uint64_t x = equal[static_cast<size_t>(word)] | minus;
            equal[static_cast<size_t>(word)] = 0;
            const uint64_t zero = (((x & up) + up) ^ up) | x | down;
            uint64_t right = down | ~(zero | up), left = zero & up;
            const uint64_t plus_out = right >> 63, minus_out = left >> 63;
            right = right << 1 | plus;
            left = left << 1 | minus;
            column.up = left | ~(zero | right);
            column.down = right & zero;
            plus = plus_out;
            minus = minus_out;
        }
        score += static_cast<int64_t>(plus) - static_cast<int64_t>(minus);
    }
    if (last < words - 1) return limit + 1;
    // The last word may reach below the last row.
    const uint64_t beyond = m % 64 == 0 ? 0 : ~uint64_t{0} << (m % 64);
    const Column& end = columns[static_cast<size_t>(words - 1)];
    return score - __builtin_popcountll(end.up & beyond) + __builtin_popcountll(end.down & beyond);
}

}  // namespace

int64_t banded_distance(const uint32_t* a, int64_t m, const uint32_t* b, int64_t n, const Stop& stop) {
    if (m > n) std::swap(a, b), std::swap(m, n);
    while (m > 0 && *a == *b) ++a, ++b, --m, --n;
    while (m > 0 && a[m - 1] == b[n - 1]) --m, --n;
    if (m == 0) return n;
    const Occurrences pattern(a, m);
    std::vector<Column> columns;
    std::vector<uint64_t> equal;
    for (int64_t limit = std::max<int64_t>(64, n - m);; limit *= 2) {
        limit = std::min(limit, n);
        const int64_t distance = within_band(pattern, m, b, n, limit, columns, equal, stop);
        if (stop) return -1;
        if (distance <= limit) return distance;
    }
}

}  // namespace divfast
