#include "pair_ngrams.hpp"

#include "shared_ngrams.hpp"
#include "utf8.hpp"

namespace divfast {
namespace {

// Sixteen rows side by side, a count of each.
using Counts = uint32_t __attribute__((vector_size(64)));
constexpr int64_t kRows = 16;
struct alignas(64) CountLine {
    Counts counts = {};
};

// How many n-grams each of sixteen rows shares with another one: the sum of the smaller counts.
DIVFAST_CLONES void add_shared(const CountLine* table, const SharedNgrams::Entry* entries, size_t n, uint32_t* out) {
    Counts sum = {};
    for (size_t i = 0; i < n; ++i) {
        const Counts here = table[entries[i].ngram].counts, there = Counts{} + entries[i].count;
        sum += here < there ? here : there;
    }
    for (int lane = 0; lane < kRows; ++lane) out[lane] = sum[lane];
}

struct Jaccard {
    int order;
    bool multiset;

    void take(const RaggedView<uint64_t>& tokens, const std::vector<int64_t>& rows, SharedNgrams& out) const {
        Sequences sequences;
        for (const int64_t row : rows) {
            sequences.symbols.insert(sequences.symbols.end(), tokens.begin(row), tokens.end(row));
            sequences.close_row();
        }
        out.add(sequences, order, order);
    }
    bool counts() const { return multiset; }
    int64_t size(const SharedNgrams& ngrams, int64_t row) const {
        return multiset ? ngrams.row(row, 0).total : ngrams.row(row, 0).different;
    }
    void add_equal(const SharedNgrams& ngrams, int64_t row, double times, PairSum& sum) const {
        if (size(ngrams, row) > 0) sum.add(0.0, times);
    }
    void add(const SharedNgrams& ngrams, int64_t a, int64_t b, const uint32_t* shared, int64_t, double times,
             PairSum& sum) const {
        const int64_t all = size(ngrams, a) + size(ngrams, b) - int64_t{*shared};
        if (all > 0) sum.add(1.0 - static_cast<double>(*shared) / static_cast<double>(all), times);
    }
};

// The words of chrF++ as sacrebleu cuts them: at white space, then one mark of punctuation off the end or the start.
template <typename Emit>
void split_chrf_words(const char* p, const char* end, const Emit& emit) {
    const auto is_mark = [](char c) {
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    };
    while (p < end) {
        const char* start = p;
        int64_t characters = 0;
        const char* stop = p;
        while (p < end) {
            stop = p;
            if (is_space(decode_utf8(p, end))) break;
            ++characters;
            stop = p;
        }
        if (characters == 0) continue;
        if (characters > 1 && is_mark(stop[-1])) {
            emit(start, stop - 1);
            emit(stop - 1, stop);
        } else if (characters > 1 && is_mark(*start)) {
            emit(start, start + 1);
            emit(start + 1, stop);
        } else {
            emit(start, stop);
        }
    }
}

struct Chrf {
    int char_order, word_order;
    double beta;

    void take(const RaggedView<char>& text, const std::vector<int64_t>& rows, SharedNgrams& out) const {
        Sequences sequences;
        for (const int64_t row : rows) {
            for (const char *p = text.begin(row), *end = text.end(row); p < end;) {
                const uint32_t code = decode_utf8(p, end);
                if (!is_space(code)) sequences.symbols.push_back(code);
            }
            sequences.close_row();
        }
        out.add(sequences, 1, char_order);
        if (word_order == 0) return;
        sequences.clear();
        for (const int64_t row : rows) {
            split_chrf_words(text.begin(row), text.end(row), [&](const char* begin, const char* end) {
                sequences.symbols.push_back(hash_bytes(begin, static_cast<size_t>(end - begin)));
            });
            sequences.close_row();
        }
        out.add(sequences, 1, word_order);
    }
    bool counts() const { return true; }
    void add_equal(const SharedNgrams& ngrams, int64_t row, double times, PairSum& sum) const {
        sum.add(ngrams.row(row, 0).total > 0 ? 100.0 : 0.0, times);
    }
    void add(const SharedNgrams& ngrams, int64_t a, int64_t b, const uint32_t* shared, int64_t step, double times,
             PairSum& sum) const {
        double of_a = 0.0, of_b = 0.0;
        int orders = 0;
        for (int order = 0; order < ngrams.orders(); ++order) {
            const int64_t all_a = ngrams.row(a, order).total, all_b = ngrams.row(b, order).total;
            // Only an order that both have counts.
            if (all_a == 0 || all_b == 0) continue;
            ++orders;
            const auto both = static_cast<double>(shared[order * step]);
            of_a += both / static_cast<double>(all_a);
            of_b += both / static_cast<double>(all_b);
        }
        double score = 0.0;
        if (of_a > 0.0) {
            const double precision = of_a / orders, recall = of_b / orders, square = beta * beta;
            const double product = (1.0 + square) * precision * recall;
            score = 50.0 * (product / (square * precision + recall) + product / (square * recall + precision));
        }
        sum.add(score, times);
    }
};

template <typename Rule, typename T>
class Overlap {
  public:
    struct Scratch {
        std::vector<uint32_t> slots;  // of every n-gram; 0 where none of the sixteen rows has it
        std::vector<CountLine> table;
        std::vector<SharedNgrams::Entry> passing;
        std::vector<uint32_t> shared;  // orders x rows
    };

    Overlap(const RaggedView<T>& all, const Rule& rule) : all_(all), rule_(rule) {}

    void load(int64_t first, int64_t last) {
        different_.find(all_, first, last);
        ngrams_.clear(rows());
        rule_.take(all_, different_.rows, ngrams_);
    }

    PairSum equal() const {
        PairSum sum;
        for (int64_t i = 0; i < rows(); ++i) rule_.add_equal(ngrams_, i, weight(i) * (weight(i) - 1.0) / 2.0, sum);
        return sum;
    }

    int64_t blocks() const { return (rows() + kRows - 1) / kRows; }

    PairSum run(int64_t block, Scratch& scratch, const Stop& stop) const {
        const int64_t first = block * kRows, end = std::min(rows(), first + kRows);
        scratch.slots.resize(std::max<size_t>(scratch.slots.size(), ngrams_.ngrams()), 0);
        scratch.shared.assign(static_cast<size_t>(ngrams_.orders() * kRows), 0);
        size_t entries = 0;
        for (int64_t i = first; i < end; ++i) {
            for (int order = 0; order < ngrams_.orders(); ++order) {
                entries += ngrams_.row(i, order).last - ngrams_.row(i, order).first;
            }
        }
        PairSum sum;
        if (entries <= kMost) {
            side_by_side(first, end, scratch, stop, sum);
        } else {
            one_by_one(first, end, scratch, stop, sum);
        }
        return sum;
    }

  private:
    // The table of sixteen rows has a cache line for each of their n-grams; long rows would leave the cache.
    static constexpr size_t kMost = 1 << 16;

    int64_t rows() const { return static_cast<int64_t>(different_.rows.size()); }
    double weight(int64_t i) const { return different_.weight[static_cast<size_t>(i)]; }
    uint32_t times(const SharedNgrams::Entry& entry) const { return rule_.counts() ? entry.count : 1; }

    template <typename Each>
    void each_entry(int64_t row, const Each& each) const {
        for (int order = 0; order < ngrams_.orders(); ++order) {
            const SharedNgrams::Row& found = ngrams_.row(row, order);
            for (size_t e = found.first; e < found.last; ++e) each(ngrams_.entries()[e]);
        }
    }

    void side_by_side(int64_t first, int64_t end, Scratch& scratch, const Stop& stop, PairSum& sum) const {
        scratch.table.assign(1, CountLine{});
        uint32_t used = 1;
        for (int64_t i = first; i < end; ++i) {
            const auto lane = static_cast<int>(i - first);
            each_entry(i, [&](const SharedNgrams::Entry& entry) {
                uint32_t& slot = scratch.slots[entry.ngram];
                if (slot == 0) {
                    slot = used++;
                    scratch.table.resize(used);
                }
                scratch.table[slot].counts[lane] = times(entry);
            });
        }
        for (int64_t j = first + 1; j < rows() && !stop; ++j) {
            for (int order = 0; order < ngrams_.orders(); ++order) {
                const size_t kept = line_up(ngrams_.row(j, order), scratch);
                add_shared(scratch.table.data(), scratch.passing.data(), kept, scratch.shared.data() + order * kRows);
            }
            for (int64_t i = first; i < std::min(end, j); ++i) {
                rule_.add(ngrams_, i, j, scratch.shared.data() + (i - first), kRows, weight(i) * weight(j), sum);
            }
        }
        for (int64_t i = first; i < end; ++i) {
            each_entry(i, [&](const SharedNgrams::Entry& entry) { scratch.slots[entry.ngram] = 0; });
        }
    }

    // Keeps those entries of a row that one of the sixteen has as well.
    size_t line_up(const SharedNgrams::Row& row, Scratch& scratch) const {
        const size_t n = row.last - row.first;
        if (scratch.passing.size() < n) scratch.passing.resize(n);
        const SharedNgrams::Entry* entries = ngrams_.entries() + row.first;
        size_t kept = 0;
        for (size_t e = 0; e < n; ++e) {
            const uint32_t slot = scratch.slots[entries[e].ngram];
            scratch.passing[kept] = {slot, times(entries[e])};
            kept += slot != 0;
        }
        return kept;
    }

    void one_by_one(int64_t first, int64_t end, Scratch& scratch, const Stop& stop, PairSum& sum) const {
        for (int64_t i = first; i < end && !stop; ++i) {
            each_entry(i, [&](const SharedNgrams::Entry& entry) { scratch.slots[entry.ngram] = times(entry); });
            for (int64_t j = i + 1; j < rows() && !stop; ++j) {
                for (int order = 0; order < ngrams_.orders(); ++order) {
                    const SharedNgrams::Row& row = ngrams_.row(j, order);
                    uint32_t both = 0;
                    for (size_t e = row.first; e < row.last; ++e) {
                        const SharedNgrams::Entry& entry = ngrams_.entries()[e];
                        both += std::min(scratch.slots[entry.ngram], times(entry));
                    }
                    scratch.shared[static_cast<size_t>(order * kRows)] = both;
                }
                rule_.add(ngrams_, i, j, scratch.shared.data(), kRows, weight(i) * weight(j), sum);
            }
            each_entry(i, [&](const SharedNgrams::Entry& entry) { scratch.slots[entry.ngram] = 0; });
        }
    }

    RaggedView<T> all_;
    Rule rule_;
    Different different_;
    SharedNgrams ngrams_;
};

}  // namespace

void jaccard_means(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int order, bool multiset,
                   int threads, const Stop& stop, double* out) {
    pair_means(Overlap<Jaccard, uint64_t>(tokens, {order, multiset}), tokens.offsets, groups, n_groups, threads, stop, out);
}

void chrf_means(const RaggedView<char>& text, const int64_t* groups, int64_t n_groups, int char_order, int word_order,
                double beta, int threads, const Stop& stop, double* out) {
    pair_means(Overlap<Chrf, char>(text, {char_order, word_order, beta}), text.offsets, groups, n_groups, threads, stop, out);
}

}  // namespace divfast
