#include "overlap.hpp"

#include <limits>

namespace divfast {
namespace {

constexpr int64_t kTaskBytes = 1 << 18;   // of text, or of tokens: what a thread does at a time
constexpr int64_t kPieceBytes = 1 << 20;  // longer documents are cut
constexpr size_t kBatch = 1 << 14;        // keys that are passed on at a time
constexpr size_t kAhead = 16;
constexpr int64_t kNowhere = std::numeric_limits<int64_t>::max();

// For every tokenizer a blank parts tokens.
const char* next_blank(const char* p, const char* end) {
    const void* blank = p < end ? std::memchr(p, ' ', static_cast<size_t>(end - p)) : nullptr;
    return blank == nullptr ? end : static_cast<const char*>(blank);
}

}  // namespace

NgramHash::NgramHash(int n) : n_(static_cast<size_t>(n)), first_(1) {
    for (int i = 1; i < n; ++i) first_ *= kBase;
}

RaggedBuffer<uint64_t> ngram_keys(const RaggedView<uint64_t>& tokens, int n, int threads) {
    const NgramHash hash(n);
    RaggedBuffer<uint64_t> out;
    out.offsets.reserve(static_cast<size_t>(tokens.rows) + 1);
    for (int64_t row = 0; row < tokens.rows; ++row) {
        out.offsets.push_back(out.offsets.back() + std::max<int64_t>(0, tokens.length(row) - n + 1));
    }
    out.values.resize(static_cast<size_t>(out.offsets.back()));
    const std::vector<int64_t> cuts = balanced_cuts(tokens.offsets, tokens.rows, 8 * resolve_threads(threads));
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        for (int64_t row = cuts[static_cast<size_t>(part)]; row < cuts[static_cast<size_t>(part) + 1]; ++row) {
            uint64_t* at = out.values.data() + out.offsets[static_cast<size_t>(row)];
            hash.each(tokens.begin(row), static_cast<size_t>(tokens.length(row)), [&](uint64_t key) { *at++ = key; });
        }
    });
    return out;
}

// Rows, the long ones cut: piece i is offsets[i] .. offsets[i + 1] of the tape and belongs to row[i].
struct NgramStream::Pieces {
    std::vector<int64_t> offsets, row;

    int64_t count() const { return static_cast<int64_t>(row.size()); }
    bool joins_next(int64_t i) const {
        return i + 1 < count() && row[static_cast<size_t>(i)] == row[static_cast<size_t>(i) + 1];
    }
};

struct NgramStream::Workspace {
    RaggedBuffer<uint64_t> tokens;
    std::vector<uint64_t> keys;
    std::vector<From> from;
};

NgramStream::NgramStream(int n) : hash_(n) {}
NgramStream::~NgramStream() = default;

std::unique_ptr<NgramStream::Workspace> NgramStream::borrow() {
    std::lock_guard<std::mutex> lock(guard_);
    if (idle_.empty()) return std::make_unique<Workspace>();
    std::unique_ptr<Workspace> work = std::move(idle_.back());
    idle_.pop_back();
    return work;
}

void NgramStream::pass_on(const std::vector<uint64_t>& keys, const std::vector<From>& from) {
    if (keys.empty()) return;
    take(keys, from);
    uint64_t sum = 0;
    for (const uint64_t key : keys) sum += key;
    sum_ += sum;
    grams_ += static_cast<int64_t>(keys.size());
}

template <typename Load>
void NgramStream::add(const Pieces& pieces, const int64_t* places, bool continues, bool open, int threads,
                      const Load& load) {
    // The tokens at both ends of the pieces of a cut document: the n-grams across the cuts are made of these.
    struct Ends {
        std::vector<uint64_t> head, tail;
    };
    const int64_t count = pieces.count();
    if (!continues) tail_.clear();
    if (count == 0) return;
    const auto joins_next = [&](int64_t i) { return i == count - 1 ? open : pieces.joins_next(i); };
    const auto joins_previous = [&](int64_t i) { return i == 0 ? continues : pieces.joins_next(i - 1); };
    const bool cut = continues || open || pieces.row.back() + 1 < count;
    std::vector<Ends> ends(cut ? static_cast<size_t>(count) : 0);
    const size_t margin = hash_.n() - 1;

    const int64_t parts = std::max<int64_t>(1, (pieces.offsets.back() - pieces.offsets.front()) / kTaskBytes);
    const std::vector<int64_t> cuts = balanced_cuts(pieces.offsets.data(), count, parts);
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        std::unique_ptr<Workspace> work = borrow();
        const int64_t first = cuts[static_cast<size_t>(part)], last = cuts[static_cast<size_t>(part) + 1];
        work->tokens.values.clear();
        work->tokens.offsets.assign(1, 0);
        load(first, last, work->tokens);
        const auto pass = [&] {
            pass_on(work->keys, work->from);
            work->keys.clear();
            work->from.clear();
        };
        for (int64_t i = first; i < last; ++i) {
            const auto at = static_cast<size_t>(i - first);
            const uint64_t* begin = work->tokens.values.data() + work->tokens.offsets[at];
            const auto size = static_cast<size_t>(work->tokens.offsets[at + 1] - work->tokens.offsets[at]);
            const int64_t place = places[pieces.row[static_cast<size_t>(i)]];
            if (cut) {
                const size_t kept = std::min(margin, size);
                if (joins_previous(i)) ends[static_cast<size_t>(i)].head.assign(begin, begin + kept);
                if (joins_next(i)) ends[static_cast<size_t>(i)].tail.assign(begin + size - kept, begin + size);
            }
            work->from.push_back({work->keys.size(), place});
            hash_.each(begin, size, [&](uint64_t key) {
                work->keys.push_back(key);
                if (work->keys.size() == kBatch) {
                    pass();
                    work->from.push_back({0, place});
                }
            });
        }
        pass();
        tokens_ += static_cast<int64_t>(work->tokens.values.size());
        std::lock_guard<std::mutex> lock(guard_);
        idle_.push_back(std::move(work));
    });

    std::vector<uint64_t> across, keys;
    for (int64_t i = 0; cut && i < count; ++i) {
        Ends& end = ends[static_cast<size_t>(i)];
        if (joins_previous(i)) {
            across = tail_;
            across.insert(across.end(), end.head.begin(), end.head.end());
            hash_.each(across.data(), across.size(), [&](uint64_t key) { keys.push_back(key); });
            pass_on(keys, {{0, places[pieces.row[static_cast<size_t>(i)]]}});
            keys.clear();
        } else {
            tail_.clear();
        }
        if (joins_next(i)) {
            tail_.insert(tail_.end(), end.tail.begin(), end.tail.end());
            if (tail_.size() > margin) tail_.erase(tail_.begin(), tail_.end() - static_cast<int64_t>(margin));
        }
    }
}

void NgramStream::add_text(const RaggedView<char>& text, const int64_t* places, Tokenizer tokenizer, bool continues,
                           bool open, int threads) {
    Pieces pieces;
    pieces.row.reserve(static_cast<size_t>(text.rows));
    pieces.offsets.reserve(static_cast<size_t>(text.rows) + 1);
    pieces.offsets.push_back(text.rows == 0 ? 0 : text.offsets[0]);
    for (int64_t row = 0; row < text.rows; ++row) {
        const char* p = text.begin(row);
        const char* end = text.end(row);
        while (end - p > kPieceBytes) {
            p = next_blank(p + kPieceBytes, end);
            if (p == end) break;
            pieces.offsets.push_back(p - text.values);
            pieces.row.push_back(row);
        }
        pieces.offsets.push_back(text.offsets[row + 1]);
        pieces.row.push_back(row);
    }
    const char* limit = text.rows == 0 ? text.values : text.end(text.rows - 1);
    add(pieces, places, continues, open, threads, [&](int64_t first, int64_t last, RaggedBuffer<uint64_t>& tokens) {
        append_tokens({text.values, pieces.offsets.data() + first, last - first}, limit, tokenizer, tokens);
    });
}

void NgramStream::add_tokens(const RaggedView<uint64_t>& tokens, const int64_t* places, bool continues, bool open,
                             int threads) {
    Pieces pieces;
    pieces.offsets.assign(tokens.offsets, tokens.offsets + tokens.rows + 1);
    for (int64_t row = 0; row < tokens.rows; ++row) pieces.row.push_back(row);
    add(pieces, places, continues, open, threads, [&](int64_t first, int64_t last, RaggedBuffer<uint64_t>& out) {
        for (int64_t row = first; row < last; ++row) {
            out.values.insert(out.values.end(), tokens.begin(row), tokens.end(row));
            out.close_row();
        }
    });
}

NgramProbe::NgramProbe(int n, const uint64_t* keys, size_t count) : NgramStream(n) {
    // 16 to 32 bits and 2 to 4 slots a key.
    int bits = 6;
    while ((size_t{1} << bits) < 16 * count) ++bits;
    filter_.assign(size_t{1} << (bits - 6), 0);
    filter_shift_ = 64 - bits;
    size_t slots = 16;
    while (slots < 2 * count) slots <<= 1;
    slots_.assign(slots, 0);
    places_ = std::make_unique<std::atomic<int64_t>[]>(slots);
    for (size_t i = 0; i < slots; ++i) places_[i].store(kNowhere, std::memory_order_relaxed);
    for (size_t i = 0; i < count; ++i) {
        if (i + kAhead < count) __builtin_prefetch(&slots_[keys[i + kAhead] & (slots - 1)], 1);
        slots_[slot_of(keys[i])] = keys[i];
        const uint64_t bit = keys[i] >> filter_shift_;
        filter_[bit >> 6] |= uint64_t{1} << (bit & 63);
    }
}

// Where a key stands, or the empty slot where it would.
size_t NgramProbe::slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = key & mask;
    while (slots_[at] != 0 && slots_[at] != key) at = (at + 1) & mask;
    return at;
}

void NgramProbe::take(const std::vector<uint64_t>& keys, const std::vector<From>& from) {
    uint32_t left[kBatch];
    size_t kept = 0;
    const size_t count = keys.size();
    for (size_t start = 0; start < count; start += kBatch) {
        const size_t stop = std::min(count, start + kBatch);
        kept = 0;
        for (size_t i = start; i < stop; ++i) {
            if (i + kAhead < stop) __builtin_prefetch(&filter_[keys[i + kAhead] >> filter_shift_ >> 6]);
            const uint64_t bit = keys[i] >> filter_shift_;
            left[kept] = static_cast<uint32_t>(i - start);
            kept += filter_[bit >> 6] >> (bit & 63) & 1;
        }
        for (size_t j = 0; j < kept; ++j) {
            if (j + kAhead < kept) __builtin_prefetch(&slots_[keys[start + left[j + kAhead]] & (slots_.size() - 1)]);
            const size_t i = start + left[j];
            const size_t slot = slot_of(keys[i]);
            if (slots_[slot] == 0) continue;
            const auto after = std::upper_bound(from.begin(), from.end(), i,
                                                [](size_t at, const From& entry) { return at < entry.first; });
            const int64_t place = (after - 1)->place;
            // The least of all, so that it does not matter which thread comes first.
            int64_t known = places_[slot].load(std::memory_order_relaxed);
            while (place < known && !places_[slot].compare_exchange_weak(known, place, std::memory_order_relaxed)) {
            }
        }
    }
}

void NgramProbe::places(const uint64_t* keys, size_t count, int threads, int64_t* out) const {
    constexpr size_t kPart = 1 << 16;
    parallel_for(static_cast<int64_t>((count + kPart - 1) / kPart), threads, [&](int64_t part) {
        const size_t start = static_cast<size_t>(part) * kPart, stop = std::min(count, start + kPart);
        for (size_t i = start; i < stop; ++i) {
            const size_t slot = slot_of(keys[i]);
            const int64_t place = slots_[slot] == 0 ? kNowhere : places_[slot].load(std::memory_order_relaxed);
            out[i] = place == kNowhere ? -1 : place;
        }
    });
}

}  // namespace divfast
