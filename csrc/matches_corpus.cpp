// A corpus of any size: the n-grams of one order are spread over partitions by their high bits, each small enough for
// a table that stays in cache, and where they do not fit the memory together, some partitions at a time.
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "gram_stream.hpp"
#include "gram_table.hpp"
#include "matches.hpp"
#include "ngram_keys.hpp"

namespace divfast {
namespace {

class Bits {
  public:
    void resize(int64_t n, bool value) {
        // One word more, so that 64 bits can be read from any place and from the one behind it.
        words_.assign(static_cast<size_t>(n) / 64 + 2, value ? ~uint64_t{0} : 0);
    }
    void set(uint32_t place) { words_[place >> 6] |= uint64_t{1} << (place & 63); }
    void prefetch(uint32_t place) const { __builtin_prefetch(&words_[place >> 6], 1); }
    // The 64 bits from `place` on.
    uint64_t from(int64_t place) const {
        const auto word = static_cast<size_t>(place >> 6);
        const int shift = static_cast<int>(place & 63);
        return shift == 0 ? words_[word] : words_[word] >> shift | words_[word + 1] << (64 - shift);
    }
    uint64_t* words() { return words_.data(); }
    size_t size() const { return words_.size(); }

  private:
    std::vector<uint64_t> words_;
};

class Corpus {
  public:
    Corpus(const TokenTape& tape, int max_order, int64_t memory, int threads, uint32_t* matches);
    void run();

  private:
    template <typename Emit>
    void scan(const TokenChunk& chunk, int order, std::vector<uint64_t>& buffer, const Emit& emit) const;
    bool spread(int order, size_t first, size_t last);
    void take(int order, size_t worker, size_t partition);
    void take_alone(int order, size_t partition);
    void close_order(int order);
    int64_t row_of(uint32_t place) const;
    size_t partition_of(uint64_t key) const { return bits_ == 0 ? 0 : static_cast<size_t>(key >> (64 - bits_)); }

    template <typename See>
    void fill(int order, size_t worker, size_t n, const See& see_all);

    const TokenTape& tape_;
    const int64_t* offsets_;
    int max_order_, threads_;
    uint32_t* matches_;
    int64_t tokens_, longest_ = 0;
    size_t capacity_;                         // records at a time
    size_t left_ = 0;                         // n-grams of this order, at most
    std::vector<size_t> tasks_;               // first chunk of each run of chunks that one thread reads
    std::vector<uint32_t> row_at_;            // the row of every 64th token
    Bits shared_;                             // places whose n-gram of the last order occurs more than once
    std::vector<Bits> found_;                 // the same of this order, by worker
    std::vector<GramTable> tables_;           // by worker
    std::vector<Recent> recent_;              // by task
    int bits_ = 0;                            // of a key, that tell the partition
    Blocks records_;
};

Corpus::Corpus(const TokenTape& tape, int max_order, int64_t memory, int threads, uint32_t* matches)
    : tape_(tape), offsets_(tape.offsets), max_order_(max_order), matches_(matches), tokens_(offsets_[tape.rows]) {
    // More at a time saves reading the tape again, which is little beside filling fresh memory.
    constexpr int64_t kWorthwhile = int64_t{1} << 30, kLeast = int64_t{1} << 14;
    const int64_t bytes = std::max(kLeast, memory > 0 ? std::min(memory, kWorthwhile) : kWorthwhile);
    capacity_ = static_cast<size_t>(bytes) / sizeof(Record);
    // A worker has a bitmap of its own.
    const int64_t workers = std::max<int64_t>(1, std::min(tokens_ >> 15, memory > 0 ? memory / (tokens_ / 8 + 1) : 256));
    threads_ = static_cast<int>(std::min<int64_t>(resolve_threads(threads), workers));
    const auto pieces = static_cast<size_t>(threads_);
    size_t chunk = 0;
    for (size_t task = 0; task < pieces; ++task) {
        const int64_t target = tokens_ / threads_ * static_cast<int64_t>(task);
        while (chunk < tape.chunks.size() && offsets_[tape.chunks[chunk].first] < target) ++chunk;
        tasks_.push_back(chunk);
    }
    tasks_.push_back(tape.chunks.size());
    row_at_.assign(static_cast<size_t>(tokens_ >> 6) + 1, static_cast<uint32_t>(std::max<int64_t>(tape.rows, 1) - 1));
    size_t at = 0;
    for (int64_t row = 0; row < tape.rows; ++row) {
        longest_ = std::max(longest_, offsets_[row + 1] - offsets_[row]);
        for (; static_cast<int64_t>(at << 6) < offsets_[row + 1]; ++at) row_at_[at] = static_cast<uint32_t>(row);
    }
    shared_.resize(tokens_, true);
    found_.resize(pieces);
    tables_.resize(pieces);
    recent_.resize(pieces);
    std::fill(matches_, matches_ + tape.rows * max_order_, 0u);
}

int64_t Corpus::row_of(uint32_t place) const {
    const size_t block = place >> 6;
    const int64_t last = block + 1 < row_at_.size() ? row_at_[block + 1] : tape_.rows - 1;
    return std::upper_bound(offsets_ + row_at_[block] + 1, offsets_ + last + 1, static_cast<int64_t>(place)) - offsets_ - 1;
}

void read_all(int file, void* into, size_t bytes, int64_t from) {
    auto* out = static_cast<char*>(into);
    while (bytes > 0) {
        const ssize_t got = pread(file, out, bytes, static_cast<off_t>(from));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) throw std::system_error(got < 0 ? errno : EIO, std::generic_category());
        out += got;
        from += got;
        bytes -= static_cast<size_t>(got);
    }
}

// Calls emit(key, place, first place of its row) for every n-gram whose two (n - 1)-grams both occur elsewhere.
template <typename Emit>
void Corpus::scan(const TokenChunk& chunk, int order, std::vector<uint64_t>& buffer, const Emit& emit) const {
    const uint64_t* values = chunk.values;
    const int64_t start = offsets_[chunk.first];
    if (values == nullptr) {
        const auto n = static_cast<size_t>(offsets_[chunk.last] - start);
        if (buffer.size() < n) buffer.resize(n);
        read_all(tape_.file, buffer.data(), n * sizeof(uint64_t), start * static_cast<int64_t>(sizeof(uint64_t)));
        values = buffer.data();
    }
    for (int64_t row = chunk.first; row < chunk.last; ++row) {
        const int64_t end = offsets_[row + 1] - order + 1;
        for (int64_t place = offsets_[row]; place < end; place += 64) {
            uint64_t left = order == 1 ? ~uint64_t{0} : shared_.from(place) & shared_.from(place + 1);
            if (end - place < 64) left &= (uint64_t{1} << (end - place)) - 1;
            for (; left != 0; left &= left - 1) {
                const int64_t at = place + __builtin_ctzll(left);
                const uint64_t* token = values + (at - start);
                uint64_t key = unigram(token[0]);
                for (int i = 1; i < order; ++i) key = extend(key, token[i]);
                emit(key, static_cast<uint32_t>(at), static_cast<uint32_t>(offsets_[row]));
            }
        }
    }
}

// Brings the records of partitions [first, last) together, each in order of place; false where there is no room.
bool Corpus::spread(int order, size_t first, size_t last) {
    records_.clear(std::min(capacity_, left_), last - first, recent_.size());
    parallel_for(threads_, threads_, [&](int64_t t) {
        const auto task = static_cast<size_t>(t);
        Recent& recent = recent_[task];
        Bits& found = found_[task];
        Blocks::Writer& writer = records_.writer(task);
        const auto tell = [&](uint64_t key, uint32_t place, uint32_t times) {
            for (; times > 0; --times) records_.put(writer, partition_of(key) - first, key, place);
        };
        const auto mark = [&](uint32_t place) { found.set(place); };
        std::vector<uint64_t> buffer;
        recent.clear();
        for (size_t c = tasks_[task]; c < tasks_[task + 1] && !records_.full(); ++c) {
            scan(tape_.chunks[c], order, buffer, [&](uint64_t key, uint32_t place, uint32_t row) {
                if (partition_of(key) - first < last - first) recent.see(key, place, row, tell, mark);
            });
        }
    });
    return !records_.full();
}

// Lets see_all tell a fresh table of the n-grams of one partition, in order of place.
template <typename See>
void Corpus::fill(int order, size_t worker, size_t n, const See& see_all) {
    GramTable& table = tables_[worker];
    Bits& found = found_[worker];
    const auto same_row = [&](uint32_t before, uint32_t place) {
        return place - before < longest_ && row_of(before) == row_of(place);
    };
    const auto mark = [&](uint32_t place) { found.set(place); };
    table.clear(n);
    see_all(table, same_row, mark);
    table.finish([&](uint32_t place, uint32_t many) {
        __atomic_fetch_sub(&matches_[row_of(place) * max_order_ + order - 1], many, __ATOMIC_RELAXED);
    });
}

void Corpus::take(int order, size_t worker, size_t partition) {
    constexpr size_t kAhead = 8;
    fill(order, worker, records_.size(partition), [&](GramTable& table, const auto& same_row, const auto& mark) {
        records_.each(partition, [&](const Record* record, size_t n) {
            for (size_t i = 0; i < n; ++i) {
                if (i + kAhead < n) {
                    table.prefetch(record[i + kAhead].key());
                    found_[worker].prefetch(record[i + kAhead].place);
                }
                table.see(record[i].key(), record[i].place, same_row, mark);
            }
        });
    });
}

// A partition that has no room, since one n-gram is most of it, is counted as it is read.
void Corpus::take_alone(int order, size_t partition) {
    fill(order, 0, 0, [&](GramTable& table, const auto& same_row, const auto& mark) {
        std::vector<uint64_t> buffer;
        for (const TokenChunk& chunk : tape_.chunks) {
            scan(chunk, order, buffer, [&](uint64_t key, uint32_t place, uint32_t) {
                if (partition_of(key) == partition) table.see(key, place, same_row, mark);
            });
        }
    });
}

void Corpus::close_order(int order) {
    const auto words = static_cast<int64_t>(shared_.size());
    constexpr int64_t kWords = int64_t{1} << 14;
    parallel_for((words + kWords - 1) / kWords, threads_, [&](int64_t part) {
        const auto from = static_cast<size_t>(part * kWords);
        const auto to = static_cast<size_t>(std::min(words, (part + 1) * kWords));
        for (size_t w = from; w < to; ++w) {
            uint64_t bits = 0;
            for (Bits& found : found_) bits |= found.words()[w];
            shared_.words()[w] = bits;
        }
    });
    parallel_for(threads_, threads_, [&](int64_t t) {
        for (size_t c = tasks_[static_cast<size_t>(t)]; c < tasks_[static_cast<size_t>(t) + 1]; ++c) {
            for (int64_t row = tape_.chunks[c].first; row < tape_.chunks[c].last; ++row) {
                int many = 0;
                for (int64_t place = offsets_[row]; place < offsets_[row + 1]; place += 64) {
                    uint64_t bits = shared_.from(place);
                    if (offsets_[row + 1] - place < 64) bits &= (uint64_t{1} << (offsets_[row + 1] - place)) - 1;
                    many += __builtin_popcountll(bits);
                }
                matches_[row * max_order_ + order - 1] += static_cast<uint32_t>(many);
            }
        }
    });
}

void Corpus::run() {
    // As many n-grams as a table holds that leaves room for them in a usual second-level cache.
    constexpr size_t kPerPartition = size_t{1} << 15;
    left_ = static_cast<size_t>(tokens_);
    for (int order = 1; order <= max_order_ && left_ > 0; ++order) {
        bits_ = 0;
        while ((left_ >> bits_) > kPerPartition) ++bits_;
        const size_t partitions = size_t{1} << bits_;
        for (Bits& found : found_) found.resize(tokens_, false);
        size_t at_once = std::max<size_t>(1, std::min(partitions, capacity_ / (left_ / partitions + 1)));
        for (size_t first = 0; first < partitions;) {
            const size_t last = std::min(partitions, first + at_once);
            if (spread(order, first, last)) {
                std::atomic<size_t> next{0};
                parallel_for(threads_, threads_, [&](int64_t worker) {
                    for (size_t p; (p = next.fetch_add(1, std::memory_order_relaxed)) < last - first;) {
                        take(order, static_cast<size_t>(worker), p);
                    }
                });
            } else if (last - first > 1) {
                at_once = (last - first) / 2;
                continue;
            } else {
                take_alone(order, first);
            }
            first = last;
        }
        close_order(order);
        left_ = 0;
        for (size_t w = 0; w < shared_.size(); ++w) left_ += static_cast<size_t>(__builtin_popcountll(shared_.words()[w]));
    }
}

}  // namespace

void TokenTape::cut(const uint64_t* values, int64_t first, int64_t last) {
    constexpr int64_t kTokens = int64_t{1} << 18;
    const int64_t start = offsets[first];
    while (first < last) {
        int64_t stop = std::upper_bound(offsets + first, offsets + last, offsets[first] + kTokens) - offsets;
        stop = std::max(first + 1, std::min(stop, last));
        chunks.push_back({values == nullptr ? nullptr : values + (offsets[first] - start), first, stop});
        first = stop;
    }
}

void corpus_matches(const TokenTape& tape, int max_order, int64_t memory, int threads, uint32_t* matches) {
    Corpus(tape, max_order, memory, threads, matches).run();
}

}  // namespace divfast
