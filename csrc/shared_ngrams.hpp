// The n-grams that rows of one group share with another row, and how often each row has them.
#pragma once

#include <stdexcept>

#include "pairs.hpp"

namespace divfast {

// Sequences of symbols, one a row.
struct Sequences {
    std::vector<uint64_t> symbols;
    std::vector<int64_t> bounds{0};

    void clear() {
        symbols.clear();
        bounds.assign(1, 0);
    }
    void close_row() { bounds.push_back(static_cast<int64_t>(symbols.size())); }
    int64_t rows() const { return static_cast<int64_t>(bounds.size()) - 1; }
};

// An n-gram is a pair of (n - 1)-grams, known by number, so that nothing is hashed to fewer bits than it has.
class SharedNgrams {
  public:
    struct Entry {
        uint32_t ngram;  // n-grams of different orders have different numbers
        uint32_t count;
    };
    // What one row has of one order.
    struct Row {
        size_t first = 0, last = 0;  // entries of the n-grams that another row has as well
        int64_t total = 0;           // of all its n-grams
        int64_t different = 0;
    };

    void clear(int64_t rows) {
        rows_ = rows;
        ngrams_ = 0;
        orders_ = 0;
        entries_.clear();
        table_.clear();
    }

    // Counts the n-grams of orders first..last of all rows; every order becomes one more of orders().
    void add(const Sequences& sequences, int first, int last) {
        if (sequences.symbols.size() >= kAlone) throw std::length_error("a group of more than 2^32 symbols");
        numbers_.resize(sequences.symbols.size());
        for (int order = 1; order <= last; ++order) {
            number(sequences, order);
            if (order >= first) collect(sequences, order);
        }
    }

    int orders() const { return orders_; }
    uint32_t ngrams() const { return ngrams_; }
    const Row& row(int64_t row, int order) const { return table_[static_cast<size_t>(order * rows_ + row)]; }
    const Entry* entries() const { return entries_.data(); }

  private:
    static constexpr uint32_t kAlone = ~uint32_t{0};  // an n-gram that occurs once in the group
    static constexpr size_t kFew = 4096;               // symbols expected: letters are few, and words come one by one
    struct Found {
        uint32_t count = 0, rows = 0, last_row = kAlone, shared = 0;
        size_t at = 0;
    };

    static int64_t positions(const Sequences& s, size_t row, int order) {
        return std::max<int64_t>(0, s.bounds[row + 1] - s.bounds[row] - order + 1);
    }

    // numbers_[p] becomes the number of the n-gram at p, from those of order - 1. One that holds an n-gram which occurs
    // once occurs once itself and needs no number: in most texts the long ones are like that.
    void number(const Sequences& s, int order) {
        found_.clear();
        names_.clear(order == 1 ? std::min(s.symbols.size(), kFew) : found_size_);
        different_.assign(static_cast<size_t>(rows_), 0);
        for (size_t row = 0; row < static_cast<size_t>(rows_); ++row) {
            const auto begin = static_cast<size_t>(s.bounds[row]);
            const size_t end = begin + static_cast<size_t>(positions(s, row, order));
            for (size_t p = begin; p < end; ++p) {
                uint64_t key = order == 1 ? s.symbols[p] : 0;
                if (order > 1) {
                    if (numbers_[p] == kAlone || numbers_[p + 1] == kAlone) {
                        numbers_[p] = kAlone;
                        ++different_[row];
                        continue;
                    }
                    key = uint64_t{numbers_[p]} << 32 | numbers_[p + 1];
                }
                const uint32_t name = names_(key);
                if (name == found_.size()) found_.emplace_back();
                Found& one = found_[name];
                ++one.count;
                if (one.last_row != row) {
                    one.last_row = static_cast<uint32_t>(row);
                    ++one.rows;
                    ++different_[row];
                }
                numbers_[p] = name;
            }
        }
        found_size_ = found_.size();
    }

    void collect(const Sequences& s, int order) {
        ++orders_;
        for (Found& one : found_) one.last_row = kAlone;
        for (size_t row = 0; row < static_cast<size_t>(rows_); ++row) {
            const auto begin = static_cast<size_t>(s.bounds[row]);
            const int64_t total = positions(s, row, order);
            const size_t first = entries_.size();
            for (size_t p = begin; p < begin + static_cast<size_t>(total); ++p) {
                if (numbers_[p] == kAlone) continue;
                Found& one = found_[numbers_[p]];
                if (one.rows < 2) {
                    if (one.count < 2) numbers_[p] = kAlone;
                    continue;
                }
                if (one.last_row == row) {
                    ++entries_[one.at].count;
                    continue;
                }
                if (one.last_row == kAlone) one.shared = ngrams_++;
                one.last_row = static_cast<uint32_t>(row);
                one.at = entries_.size();
                entries_.push_back({one.shared, 1});
            }
            table_.push_back({first, entries_.size(), total, different_[row]});
        }
    }

    int64_t rows_ = 0;
    int orders_ = 0;
    uint32_t ngrams_ = 0;
    size_t found_size_ = 0;
    Numbers names_;
    std::vector<Found> found_;
    std::vector<uint32_t> numbers_;
    std::vector<int64_t> different_;
    std::vector<Entry> entries_;
    std::vector<Row> table_;
};

}  // namespace divfast
