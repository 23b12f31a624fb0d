#include "frequencies.hpp"

#include <functional>
#include <stdexcept>

namespace divfast {
namespace {

constexpr size_t kFewSlots = 1024;

// Counts how often each frequency occurs.
class Frequencies {
  public:
    Frequencies() : small_(kSmall) {}

    void add(int64_t count) {
        if (count < kSmall) {
            ++small_[static_cast<size_t>(count)];
            top_ = std::max(top_, count);
        } else {
            large_.push_back(count);
        }
    }

    // Appends what was added, the highest frequency first, and starts anew.
    void finish(Spectrum& out) {
        std::sort(large_.begin(), large_.end(), std::greater<>());
        for (size_t i = 0; i < large_.size();) {
            size_t end = i;
            while (end < large_.size() && large_[end] == large_[i]) ++end;
            put(out, large_[i], static_cast<int64_t>(end - i));
            i = end;
        }
        large_.clear();
        for (; top_ > 0; --top_) {
            int64_t& many = small_[static_cast<size_t>(top_)];
            if (many != 0) put(out, top_, many);
            many = 0;
        }
    }

  private:
    static constexpr int64_t kSmall = 4096;
    static void put(Spectrum& out, int64_t count, int64_t many) {
        out.count.push_back(count);
        out.many.push_back(many);
    }

    std::vector<int64_t> small_;
    std::vector<int64_t> large_;
    int64_t top_ = 0;
};

}  // namespace

inline CountTable::Slot& CountTable::find(uint64_t key) {
    const size_t mask = slots_ - 1;
    size_t at = key & mask;
    while (table_[at].key != 0 && table_[at].key != key) at = (at + 1) & mask;
    return table_[at];
}

void CountTable::grow(size_t at_least) {
    size_t slots = kFewSlots;
    while (3 * slots < 4 * at_least) slots <<= 1;
    const size_t before = slots_;
    table_.swap(spare_);
    if (table_.size() < slots) table_ = std::vector<Slot>(slots);
    std::fill(table_.begin(), table_.begin() + static_cast<std::ptrdiff_t>(slots), Slot{0, 0});
    slots_ = slots;
    for (size_t i = 0; i < before; ++i) {
        if (spare_[i].key != 0) find(spare_[i].key) = spare_[i];
    }
    // A small one is kept for the next group to grow with; a large one would only take up room.
    if (slots > 64 * kFewSlots) spare_ = std::vector<Slot>();
}

void CountTable::reserve(size_t n) {
    if (4 * (size_ + n) > 3 * slots_) grow(size_ + n);
}

void CountTable::restart() {
    size_ = slots_ = 0;
    grow(0);
}

void CountTable::add(const uint64_t* keys, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        if (4 * size_ >= 3 * slots_) grow(std::max(size_ + 1, slots_));
        if (i + kAhead < n) __builtin_prefetch(&table_[keys[i + kAhead] & (slots_ - 1)], 1);
        Slot& slot = find(keys[i]);
        size_ += slot.key == 0;
        slot.key = keys[i];
        ++slot.count;
    }
}

void CountTable::add(uint64_t key, int64_t count) {
    reserve(1);
    Slot& slot = find(key);
    size_ += slot.key == 0;
    slot.key = key;
    slot.count += count;
}

Spectrum ngram_spectrum(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int order, int threads,
                        std::vector<int64_t>& offsets) {
    const std::vector<int64_t> cuts = group_cuts(tokens, groups, n_groups, threads);
    std::vector<Spectrum> parts(cuts.size() - 1);
    offsets.assign(static_cast<size_t>(n_groups) + 1, 0);
    parallel_for(static_cast<int64_t>(parts.size()), threads, [&](int64_t p) {
        Spectrum& out = parts[static_cast<size_t>(p)];
        CountTable table;
        Frequencies frequencies;
        std::vector<uint64_t> keys;
        for (int64_t g = cuts[static_cast<size_t>(p)]; g < cuts[static_cast<size_t>(p) + 1]; ++g) {
            const size_t before = out.count.size();
            table.restart();
            for (int64_t row = groups[g]; row < groups[g + 1]; ++row) {
                const size_t n = row_keys(tokens, row, order, keys);
                table.add(keys.data(), n);
            }
            table.each([&](uint64_t, int64_t count) { frequencies.add(count); });
            frequencies.finish(out);
            offsets[static_cast<size_t>(g) + 1] = static_cast<int64_t>(out.count.size() - before);
        }
    });
    for (size_t g = 1; g < offsets.size(); ++g) offsets[g] += offsets[g - 1];
    Spectrum all;
    for (Spectrum& part : parts) {
        all.count.insert(all.count.end(), part.count.begin(), part.count.end());
        all.many.insert(all.many.end(), part.many.begin(), part.many.end());
        part = Spectrum{};
    }
    return all;
}

NgramCounts::NgramCounts(int order) : orders_{order}, shards_(kShards) {
    if (order < 1) throw std::invalid_argument("order must be at least 1");
}

void NgramCounts::add(const RaggedView<uint64_t>& tokens, int threads) {
    shard_ngrams<Repeats::kept>(tokens, orders_, threads, [&](size_t, const ShardedKeys& found) {
        each_shard(0, found.parallel, threads, [&](size_t s) { shards_[s].add(found.begin(s), found.size(s)); });
    });
}

void NgramCounts::merge(const NgramCounts& other, int threads) {
    if (other.orders_ != orders_) throw std::invalid_argument("only counts of the same order can be merged");
    if (&other == this) {
        const NgramCounts copy = other;
        return merge(copy, threads);
    }
    each_shard(0, true, threads, [&](size_t s) {
        shards_[s].reserve(static_cast<size_t>(other.shards_[s].size()));
        other.shards_[s].each([&](uint64_t key, int64_t count) { shards_[s].add(key, count); });
    });
}

Spectrum NgramCounts::spectrum() const {
    Spectrum out;
    Frequencies frequencies;
    for (const CountTable& shard : shards_) shard.each([&](uint64_t, int64_t count) { frequencies.add(count); });
    frequencies.finish(out);
    return out;
}

void NgramCounts::append_to(std::vector<uint64_t>& keys, std::vector<int64_t>& counts) const {
    for (const CountTable& shard : shards_) {
        shard.each([&](uint64_t key, int64_t count) {
            keys.push_back(key);
            counts.push_back(count);
        });
    }
}

void NgramCounts::absorb(const uint64_t* keys, const int64_t* counts, int64_t n) {
    for (CountTable& shard : shards_) shard.reserve(static_cast<size_t>(n) / kShards + 16);
    for (int64_t i = 0; i < n; ++i) shards_[shard_of(keys[i])].add(keys[i], counts[i]);
}

}  // namespace divfast
