#include "row_ngrams.hpp"

#include <stdexcept>

#include "ngram_keys.hpp"

namespace divfast {
namespace {

// How many rows hold each key. A slot is free where no row from `first_row` on was seen there, so that moving on to
// another group empties the table without touching it.
class RowCounts {
  public:
    struct Slot {
        uint64_t key = 0;
        uint32_t row = 0;   // last row that held it, counted from 1
        uint32_t rows = 0;  // how many rows hold it
    };

    // Starts anew for at most n keys, of rows numbered `first_row` and up.
    void restart(size_t n, uint32_t first_row) {
        size_t slots = 16;
        while (slots < 2 * n) slots <<= 1;
        if (table_.size() < slots) table_.assign(slots, Slot{});
        mask_ = slots - 1;
        first_row_ = first_row;
    }
    void fetch(uint64_t key) const { __builtin_prefetch(&table_[key & mask_], 1); }
    // The slot of a key, and whether this row had not held it yet.
    std::pair<size_t, bool> add(uint64_t key, uint32_t row) {
        size_t at = key & mask_;
        while (table_[at].row >= first_row_ && table_[at].key != key) at = (at + 1) & mask_;
        Slot& slot = table_[at];
        if (slot.row < first_row_) slot = {key, 0, 0};
        const bool fresh = slot.row != row;
        slot.row = row;
        slot.rows += fresh;
        return {at, fresh};
    }
    int64_t rows(size_t at) const { return table_[at].rows; }

  private:
    std::vector<Slot> table_;
    size_t mask_ = 0;
    uint32_t first_row_ = 1;
};

void check_order(int order) {
    if (order < 1) throw std::invalid_argument("order must be at least 1");
}

}  // namespace

void shared_ngrams(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int order, int threads,
                   int64_t* hits) {
    check_order(order);
    const std::vector<int64_t> cuts = group_cuts(tokens, groups, n_groups, threads);
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t p) {
        RowCounts counts;
        std::vector<uint64_t> keys;
        std::vector<size_t> places;  // of the different n-grams of each row, row after row
        std::vector<size_t> ends;
        uint32_t number = 1;
        for (int64_t g = cuts[static_cast<size_t>(p)]; g < cuts[static_cast<size_t>(p) + 1]; ++g) {
            const int64_t first = groups[g], last = groups[g + 1];
            if (first == last) continue;
            const auto n = static_cast<size_t>(tokens.offsets[last] - tokens.offsets[first]);
            if (last - first >= int64_t{UINT32_MAX} - number) {
                counts = RowCounts();
                number = 1;
            }
            counts.restart(n, number);
            if (places.size() < n) places.resize(n);
            ends.clear();
            size_t kept = 0;
            for (int64_t row = first; row < last; ++row, ++number) {
                const size_t many = row_keys(tokens, row, order, keys);
                for (size_t i = 0; i < many; ++i) {
                    if (i + kAhead < many) counts.fetch(keys[i + kAhead]);
                    const auto [at, fresh] = counts.add(keys[i], number);
                    places[kept] = at;
                    kept += fresh;
                }
                ends.push_back(kept);
            }
            size_t i = 0;
            for (int64_t row = first; row < last; ++row) {
                int64_t sum = 0;
                for (const size_t end = ends[static_cast<size_t>(row - first)]; i < end; ++i) sum += counts.rows(places[i]) - 1;
                hits[row - groups[0]] = sum;
            }
        }
    });
}

RowNgrams::RowNgrams(int order) : order_(order) { check_order(order); }

void RowNgrams::add(const RaggedView<uint64_t>& tokens, int threads) {
    if (tokens.rows == 0) return;
    const int64_t pieces = std::max<int64_t>(1, std::min<int64_t>(tokens.total() >> 15, 8 * resolve_threads(threads)));
    const std::vector<int64_t> cuts = balanced_cuts(tokens.offsets, tokens.rows, pieces);
    std::vector<RaggedBuffer<uint64_t>> found(cuts.size() - 1);
    parallel_for(static_cast<int64_t>(found.size()), threads, [&](int64_t p) {
        RaggedBuffer<uint64_t>& out = found[static_cast<size_t>(p)];
        RowCounts counts;
        std::vector<uint64_t> keys;
        uint32_t number = 0;
        for (int64_t row = cuts[static_cast<size_t>(p)]; row < cuts[static_cast<size_t>(p) + 1]; ++row) {
            if (number == UINT32_MAX) {
                counts = RowCounts();
                number = 0;
            }
            ++number;
            const size_t many = row_keys(tokens, row, order_, keys);
            counts.restart(many, number);
            for (size_t i = 0; i < many; ++i) {
                if (counts.add(keys[i], number).second) out.values.push_back(keys[i]);
            }
            out.close_row();
        }
        out.values.shrink_to_fit();
    });
    rows_ += tokens.rows;
    for (auto& part : found) keep(std::move(part));
}

void RowNgrams::keep(RaggedBuffer<uint64_t>&& part) {
    // Small parts are put together, since each one costs something when they are counted.
    if (parts_.empty() || parts_.back().values.size() + part.values.size() > kPart) {
        parts_.push_back(std::move(part));
        return;
    }
    RaggedBuffer<uint64_t>& last = parts_.back();
    const auto shift = static_cast<int64_t>(last.values.size());
    last.values.insert(last.values.end(), part.values.begin(), part.values.end());
    for (size_t i = 1; i < part.offsets.size(); ++i) last.offsets.push_back(part.offsets[i] + shift);
}

void RowNgrams::merge(const RowNgrams& other) {
    if (other.order_ != order_) throw std::invalid_argument("only n-grams of the same order can be merged");
    // Indices, since `other` may be this one.
    const size_t many = other.parts_.size();
    parts_.reserve(parts_.size() + many);
    for (size_t i = 0; i < many; ++i) parts_.push_back(other.parts_[i]);
    rows_ += other.rows_;
}

int64_t RowNgrams::ngrams() const {
    int64_t sum = 0;
    for (const auto& part : parts_) sum += static_cast<int64_t>(part.values.size());
    return sum;
}

std::vector<int64_t> RowNgrams::hits(int threads) const {
    // An eighth of the keys at a time, those with the same three high bits, is moved to where keys of one shard stand
    // together; a shard is then counted in a table that fits the cache. A key and its row move together.
    struct Entry {
        uint64_t key;
        int64_t row;
    };
    if (ngrams() < int64_t{1} << 15) threads = 1;  // fewer are done before a thread has started
    constexpr size_t kRounds = 8, kTables = 512;
    static_assert(kRounds * kTables == 1 << 12);
    const auto slice_of = [](uint64_t key) { return static_cast<size_t>(key >> 52); };
    std::vector<int64_t> first_row(parts_.size() + 1, 0);
    for (size_t p = 0; p < parts_.size(); ++p) first_row[p + 1] = first_row[p] + parts_[p].rows();
    std::vector<int64_t> out(static_cast<size_t>(rows_), 0);

    // place[p][slice]: how many keys of that slice a part holds, and then where the next of them goes.
    std::vector<std::vector<size_t>> place(parts_.size());
    parallel_for(static_cast<int64_t>(parts_.size()), threads, [&](int64_t p) {
        std::vector<size_t>& count = place[static_cast<size_t>(p)];
        count.assign(kRounds * kTables, 0);
        for (const uint64_t key : parts_[static_cast<size_t>(p)].values) ++count[slice_of(key)];
    });
    std::vector<Entry> entries;
    std::vector<size_t> begin(kTables + 1);
    for (size_t round = 0; round < kRounds; ++round) {
        size_t running = 0;
        for (size_t s = 0; s < kTables; ++s) {
            begin[s] = running;
            for (auto& count : place) {
                size_t& here = count[round * kTables + s];
                const size_t many = here;
                here = running;
                running += many;
            }
        }
        begin[kTables] = running;
        if (entries.size() < running) entries.resize(running);
        parallel_for(static_cast<int64_t>(parts_.size()), threads, [&](int64_t p) {
            const auto part = static_cast<size_t>(p);
            size_t* at = place[part].data() + round * kTables;
            const RaggedBuffer<uint64_t>& rows = parts_[part];
            int64_t row = first_row[part];
            for (size_t r = 0; r + 1 < rows.offsets.size(); ++r, ++row) {
                for (auto i = static_cast<size_t>(rows.offsets[r]); i < static_cast<size_t>(rows.offsets[r + 1]); ++i) {
                    const size_t slice = slice_of(rows.values[i]);
                    if (slice / kTables == round) entries[at[slice % kTables]++] = {rows.values[i], row};
                }
            }
        });
        parallel_for(static_cast<int64_t>(kTables), threads, [&](int64_t shard) {
            const size_t from = begin[static_cast<size_t>(shard)], to = begin[static_cast<size_t>(shard) + 1];
            if (from == to) return;
            size_t slots = 16;
            while (slots < 2 * (to - from)) slots <<= 1;
            struct Slot {
                uint64_t key;
                int64_t rows;
            };
            std::vector<Slot> table(slots, Slot{0, 0});
            const auto find = [&](uint64_t key) -> Slot& {
                size_t at = key & (slots - 1);
                while (table[at].key != 0 && table[at].key != key) at = (at + 1) & (slots - 1);
                return table[at];
            };
            for (size_t i = from; i < to; ++i) {
                Slot& slot = find(entries[i].key);
                slot.key = entries[i].key;
                ++slot.rows;
            }
            for (size_t i = from; i < to; ++i) {
                const int64_t others = find(entries[i].key).rows - 1;
                // Shards share rows, so this is the one place where threads meet.
                if (others != 0) __atomic_fetch_add(&out[static_cast<size_t>(entries[i].row)], others, __ATOMIC_RELAXED);
            }
        });
    }
    return out;
}

RaggedBuffer<uint64_t> RowNgrams::joined() const {
    RaggedBuffer<uint64_t> out;
    for (const auto& part : parts_) {
        const auto shift = static_cast<int64_t>(out.values.size());
        out.values.insert(out.values.end(), part.values.begin(), part.values.end());
        for (size_t i = 1; i < part.offsets.size(); ++i) out.offsets.push_back(part.offsets[i] + shift);
    }
    return out;
}

void RowNgrams::absorb(const RaggedView<uint64_t>& keys) {
    RaggedBuffer<uint64_t> part;
    if (keys.rows == 0) return;
    part.values.assign(keys.begin(0), keys.end(keys.rows - 1));
    for (int64_t row = 1; row <= keys.rows; ++row) part.offsets.push_back(keys.offsets[row] - keys.offsets[0]);
    rows_ += keys.rows;
    keep(std::move(part));
}

}  // namespace divfast
