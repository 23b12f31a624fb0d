#include "ngrams.hpp"

#include <stdexcept>

#include "ngram_keys.hpp"

namespace divfast {
namespace {

size_t table_size(size_t keys) {
    size_t slots = 16;
    while (slots < 2 * keys) slots <<= 1;
    return slots;
}

struct Workspace {
    std::vector<uint64_t> keys;   // fingerprints of the n-grams that may be repeats, in order of place
    std::vector<int64_t> places;  // where each starts: number of its token plus number of its row
    std::vector<uint8_t> repeated;
    std::vector<uint64_t> table;

    void reserve(size_t n) {
        if (keys.size() >= n) return;
        keys.resize(n);
        places.resize(n);
        repeated.resize(n);
    }
    uint64_t* empty_table(size_t slots) {
        if (table.size() < slots) table.resize(slots);
        std::memset(table.data(), 0, slots * sizeof(uint64_t));
        return table.data();
    }
};

// How many of the first n keys are different.
int64_t count_distinct(Workspace& work, size_t n) {
    const uint64_t* keys = work.keys.data();
    const size_t slots = table_size(n), mask = slots - 1;
    uint64_t* table = work.empty_table(slots);
    int64_t distinct = 0;
    for (size_t i = 0; i < n; ++i) {
        if (i + kAhead < n) __builtin_prefetch(&table[keys[i + kAhead] & mask], 1);
        const uint64_t key = keys[i];
        size_t at = key & mask;
        while (table[at] != 0 && table[at] != key) at = (at + 1) & mask;
        distinct += table[at] == 0;
        table[at] = key;
    }
    return distinct;
}

// The same, and repeated[i] tells whether keys[i] occurs more than once.
int64_t mark_repeated(Workspace& work, size_t n) {
    // A slot holds the high bits of a key and, counted from 1, where it was first; 2^40 places are enough.
    constexpr uint64_t kPlace = (uint64_t{1} << 40) - 1;
    const uint64_t* keys = work.keys.data();
    uint8_t* repeated = work.repeated.data();
    const size_t slots = table_size(n), mask = slots - 1;
    uint64_t* table = work.empty_table(slots);
    int64_t distinct = 0;
    for (size_t i = 0; i < n; ++i) {
        if (i + kAhead < n) __builtin_prefetch(&table[keys[i + kAhead] & mask], 1);
        const uint64_t key = keys[i];
        const auto is_key = [&](uint64_t slot) {
            return ((slot ^ key) & ~kPlace) == 0 && keys[(slot & kPlace) - 1] == key;
        };
        size_t at = key & mask;
        uint64_t slot;
        while ((slot = table[at]) != 0 && !is_key(slot)) at = (at + 1) & mask;
        // No branch on whether it is new: in a text that is a toss-up.
        const bool again = slot != 0;
        distinct += !again;
        slot = again ? slot : (key & ~kPlace) | (i + 1);
        table[at] = slot;
        repeated[i] = again;
        repeated[(slot & kPlace) - 1] = again;
    }
    return distinct;
}

// An n-gram can only be a repeat if both (n - 1)-grams in it are, so each order looks at what is left of the one
// before: in most texts the long n-grams are few.
void count_group(const RaggedView<uint64_t>& tokens, int64_t first, int64_t last, int max_order, Workspace& work,
                 int64_t* unique, int64_t* total) {
    size_t n = first < last ? static_cast<size_t>(tokens.offsets[last] - tokens.offsets[first]) : 0;
    work.reserve(n);
    std::fill(total, total + max_order, 0);
    size_t kept = 0;
    for (int64_t row = first; row < last; ++row) {
        const uint64_t* token = tokens.begin(row);
        const int64_t length = tokens.length(row);
        for (int order = 1; order <= max_order && order <= length; ++order) total[order - 1] += length - order + 1;
        for (int64_t i = 0; i < length; ++i, ++kept) {
            work.keys[kept] = unigram(token[i]);
            // Counting rows too leaves a gap between them, which no n-gram crosses.
            work.places[kept] = static_cast<int64_t>(kept) + (row - first);
        }
    }
    for (int order = 1; order <= max_order; ++order) {
        unique[order - 1] = total[order - 1] - static_cast<int64_t>(n);
        if (n == 0) continue;
        if (order == max_order) {
            unique[order - 1] += count_distinct(work, n);
            break;
        }
        unique[order - 1] += mark_repeated(work, n);
        kept = 0;
        for (size_t i = 0; i + 1 < n; ++i) {
            const bool next = work.places[i] + 1 == work.places[i + 1];
            work.keys[kept] = extend(work.keys[i], work.keys[i + 1]);
            work.places[kept] = work.places[i];
            kept += next & (work.repeated[i] & work.repeated[i + 1]);
        }
        n = kept;
    }
}

}  // namespace

void ngram_counts(const RaggedView<uint64_t>& tokens, const int64_t* groups, int64_t n_groups, int max_order,
                  int threads, int64_t* unique, int64_t* total) {
    const std::vector<int64_t> cuts = group_cuts(tokens, groups, n_groups, threads);
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        Workspace work;
        for (int64_t g = cuts[static_cast<size_t>(part)]; g < cuts[static_cast<size_t>(part) + 1]; ++g) {
            count_group(tokens, groups[g], groups[g + 1], max_order, work, unique + g * max_order, total + g * max_order);
        }
    });
}

// Returns whether the key is new. There must be room.
inline bool FingerprintSet::put(uint64_t key) {
    const size_t mask = buckets_.size() - 1;
    for (size_t at = key & mask;; at = (at + 1) & mask) {
        uint64_t* keys = buckets_[at].keys;
        bool known = false;
        size_t taken = 0;
        for (int i = 0; i < 8; ++i) {
            known |= keys[i] == key;
            taken += keys[i] != 0;
        }
        if (!known && taken == 8) continue;
        uint64_t ignored;
        *(known ? &ignored : keys + taken) = key;
        return !known;
    }
}

void FingerprintSet::grow(size_t at_least) {
    size_t buckets = 2;
    while (6 * buckets < at_least) buckets <<= 1;
    std::vector<Bucket> old(buckets);
    old.swap(buckets_);
    // All keys differ, so only the free places matter.
    std::vector<uint8_t> taken(buckets);
    for (const Bucket& bucket : old) {
        for (const uint64_t key : bucket.keys) {
            if (key == 0) break;
            size_t at = key & (buckets - 1);
            while (taken[at] == 8) at = (at + 1) & (buckets - 1);
            buckets_[at].keys[taken[at]++] = key;
        }
    }
}

void FingerprintSet::insert(const uint64_t* keys, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        if (size_ >= 6 * buckets_.size()) grow(size_ + 1);
        if (i + kAhead < n) __builtin_prefetch(&buckets_[keys[i + kAhead] & (buckets_.size() - 1)], 1);
        size_ += put(keys[i]);
    }
}

void FingerprintSet::reserve(size_t n) {
    if (size_ + n > 6 * buckets_.size()) grow(size_ + n);
}

void FingerprintSet::append_to(std::vector<uint64_t>& out) const {
    for (const Bucket& bucket : buckets_) {
        for (const uint64_t key : bucket.keys) {
            if (key != 0) out.push_back(key);
        }
    }
}

NgramSets::NgramSets(std::vector<int> orders) : orders_(std::move(orders)) {
    if (orders_.empty()) throw std::invalid_argument("NgramSets needs at least one order");
    for (size_t i = 0; i < orders_.size(); ++i) {
        if (orders_[i] < 1 || (i > 0 && orders_[i] <= orders_[i - 1])) {
            throw std::invalid_argument("orders must be positive and increasing");
        }
    }
    total_.assign(orders_.size(), 0);
    shards_.assign(orders_.size(), std::vector<FingerprintSet>(kShards));
}

void NgramSets::add(const RaggedView<uint64_t>& tokens, int threads) {
    shard_ngrams<Repeats::passed_over>(tokens, orders_, threads, [&](size_t index, const ShardedKeys& found) {
        total_[index] += found.total;
        std::vector<FingerprintSet>& shards = shards_[index];
        const auto fill = [&](size_t s) { shards[s].insert(found.begin(s), found.size(s)); };
        // The shards are random samples of one thing: the size of the first is about the size of all, and
        // making room for it at once saves growing step by step.
        fill(0);
        const auto alike = static_cast<size_t>(shards[0].size());
        each_shard(1, found.parallel, threads, [&](size_t s) {
            const auto size = static_cast<size_t>(shards[s].size());
            if (alike > size) shards[s].reserve(alike - size);
            fill(s);
        });
    });
}

void NgramSets::merge(const NgramSets& other, int threads) {
    if (other.orders_ != orders_) throw std::invalid_argument("only sets of the same orders can be merged");
    for (size_t i = 0; i < orders_.size(); ++i) {
        total_[i] += other.total_[i];
        parallel_for(static_cast<int64_t>(kShards), threads, [&](int64_t s) {
            std::vector<uint64_t> keys;
            other.shards_[i][static_cast<size_t>(s)].append_to(keys);
            shards_[i][static_cast<size_t>(s)].reserve(keys.size());
            shards_[i][static_cast<size_t>(s)].insert(keys.data(), keys.size());
        });
    }
}

std::vector<int64_t> NgramSets::unique() const {
    std::vector<int64_t> out;
    for (const auto& shards : shards_) {
        int64_t sum = 0;
        for (const auto& shard : shards) sum += shard.size();
        out.push_back(sum);
    }
    return out;
}

std::vector<uint64_t> NgramSets::fingerprints(size_t order_index) const {
    std::vector<uint64_t> out;
    for (const auto& shard : shards_.at(order_index)) shard.append_to(out);
    return out;
}

void NgramSets::absorb(size_t order_index, const uint64_t* keys, int64_t n, int64_t total) {
    std::vector<FingerprintSet>& shards = shards_.at(order_index);
    total_[order_index] += total;
    for (FingerprintSet& shard : shards) shard.reserve(static_cast<size_t>(n) / kShards + 16);
    for (int64_t i = 0; i < n; ++i) shards[shard_of(keys[i])].insert(&keys[i], 1);
}

}  // namespace divfast
