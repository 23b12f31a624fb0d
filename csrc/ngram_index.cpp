#include "ngram_index.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <unistd.h>

namespace divfast {
namespace {

constexpr int kBucketBits = 12;
constexpr size_t kBuckets = size_t{1} << kBucketBits;
constexpr int kDigit = 11;
constexpr size_t kSlotKeys = 512;         // about how many keys share an entry of the directory: 4 KiB
constexpr int64_t kReadKeys = 1 << 17;    // read at a time
constexpr int64_t kSkippedKeys = 1 << 11; // rather read than skipped

void transfer(bool writing, int file, char* data, size_t bytes, int64_t at) {
    while (bytes > 0) {
        const ssize_t done = writing ? pwrite(file, data, bytes, at) : pread(file, data, bytes, at);
        if (done < 0) {
            if (errno == EINTR) continue;
            throw std::system_error(errno, std::generic_category());
        }
        if (done == 0) throw std::runtime_error("ends early");
        data += done;
        bytes -= static_cast<size_t>(done);
        at += done;
    }
}

void write_at(int file, const uint64_t* keys, size_t count, int64_t at) {
    transfer(true, file, reinterpret_cast<char*>(const_cast<uint64_t*>(keys)), count * sizeof(uint64_t), at);
}

void read_at(int file, uint64_t* keys, size_t count, int64_t at) {
    transfer(false, file, reinterpret_cast<char*>(keys), count * sizeof(uint64_t), at);
}

// Sorts keys that are evenly spread over [base, base + 2^width). Two or four high digits put nearly all in place;
// moving the few that are left costs next to nothing.
void sort_spread(uint64_t* keys, size_t n, uint64_t base, int width, std::vector<uint64_t>& scratch) {
    if (n < 512) {
        std::sort(keys, keys + n);
        return;
    }
    if (scratch.size() < n) scratch.resize(n);
    const int digits = n >> (2 * kDigit) == 0 ? 2 : 4;
    uint64_t* from = keys;
    uint64_t* to = scratch.data();
    for (int shift = width - digits * kDigit; shift < width; shift += kDigit) {
        constexpr uint64_t mask = (uint64_t{1} << kDigit) - 1;
        size_t starts[mask + 2] = {};
        const auto digit = [&](uint64_t key) { return (key - base) >> shift & mask; };
        for (size_t i = 0; i < n; ++i) ++starts[digit(from[i]) + 1];
        for (size_t d = 1; d <= mask; ++d) starts[d] += starts[d - 1];
        for (size_t i = 0; i < n; ++i) to[starts[digit(from[i])]++] = from[i];
        // Even in number, so that the last ends where the first began.
        std::swap(from, to);
    }
    for (size_t i = 1; i < n; ++i) {
        const uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; --at) keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

// Counts for a directory: how many keys have the same high bits, entry s + 1 for bits s. Keys ascend.
void count_slots(const uint64_t* keys, size_t n, int bits, std::vector<int64_t>& directory) {
    for (size_t i = 0; i < n; ++i) ++directory[static_cast<size_t>(keys[i] >> (64 - bits)) + 1];
}

int directory_bits(int64_t keys) {
    // No fewer than those of a bucket, so that threads with different buckets never count in the same place.
    int bits = kBucketBits;
    while (bits < 32 && static_cast<size_t>(keys >> bits) > kSlotKeys) ++bits;
    return bits;
}

IndexLayout write_directory(std::vector<int64_t>& directory, int bits, int out, int64_t offset) {
    for (size_t i = 1; i < directory.size(); ++i) directory[i] += directory[i - 1];
    const IndexLayout layout{offset, directory.back(), bits};
    write_at(out, reinterpret_cast<const uint64_t*>(directory.data()), directory.size(), offset + 8 * layout.keys);
    return layout;
}

}  // namespace

NgramSorter::NgramSorter(int n, size_t memory, int spill, int threads)
    : NgramStream(n), capacity_(std::max<size_t>(memory / 16, size_t{1} << 14)), spill_(spill), threads_(resolve_threads(threads)) {
    // Not initialised: memory that no key reaches is never touched.
    buffer_.reset(new uint64_t[capacity_]);
    other_.reset(new uint64_t[capacity_]);
}

void NgramSorter::take(const std::vector<uint64_t>& keys, const std::vector<From>&) {
    std::lock_guard<std::mutex> lock(filling_);
    if (!other_) throw std::runtime_error("written already");
    size_t done = 0;
    while (done < keys.size()) {
        // The other threads wait for the lock meanwhile.
        if (size_ == capacity_) spill();
        const size_t some = std::min(keys.size() - done, capacity_ - size_);
        std::copy_n(keys.data() + done, some, buffer_.get() + size_);
        size_ += some;
        done += some;
    }
}

// Leaves in the buffer its different keys in ascending order.
NgramSorter::Run NgramSorter::sort() {
    constexpr int shift = 64 - kBucketBits;
    const auto parts = static_cast<size_t>(threads_);
    const auto part_start = [&](size_t part) { return size_ / parts * part + std::min(part, size_ % parts); };
    std::vector<std::vector<size_t>> place(parts, std::vector<size_t>(kBuckets));
    parallel_for(static_cast<int64_t>(parts), threads_, [&](int64_t i) {
        const auto part = static_cast<size_t>(i);
        for (size_t at = part_start(part); at < part_start(part + 1); ++at) ++place[part][buffer_[at] >> shift];
    });
    std::vector<size_t> start(kBuckets + 1);
    for (size_t bucket = 0, total = 0; bucket < kBuckets; ++bucket) {
        start[bucket] = total;
        for (size_t part = 0; part < parts; ++part) {
            const size_t count = place[part][bucket];
            place[part][bucket] = total;
            total += count;
        }
    }
    start[kBuckets] = size_;
    parallel_for(static_cast<int64_t>(parts), threads_, [&](int64_t i) {
        const auto part = static_cast<size_t>(i);
        for (size_t at = part_start(part); at < part_start(part + 1); ++at) {
            other_[place[part][buffer_[at] >> shift]++] = buffer_[at];
        }
    });
    // A key that occurs in every other document makes a bucket large; it then has to do without a second place.
    const size_t usual = 4 * (size_ >> kBucketBits) + 4096;
    std::vector<size_t> different(kBuckets);
    constexpr int64_t kTogether = 64;
    parallel_for(static_cast<int64_t>(kBuckets) / kTogether, threads_, [&](int64_t task) {
        std::vector<uint64_t> scratch;
        for (auto bucket = static_cast<size_t>(task * kTogether); bucket < static_cast<size_t>((task + 1) * kTogether); ++bucket) {
            uint64_t* keys = other_.get() + start[bucket];
            const size_t n = start[bucket + 1] - start[bucket];
            if (n > usual) {
                std::sort(keys, keys + n);
            } else {
                sort_spread(keys, n, uint64_t{bucket} << shift, shift, scratch);
            }
            different[bucket] = static_cast<size_t>(std::unique(keys, keys + n) - keys);
        }
    });
    Run run{0, std::vector<int64_t>(kBuckets + 1)};
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
        run.bucket[bucket + 1] = run.bucket[bucket] + static_cast<int64_t>(different[bucket]);
    }
    parallel_for(static_cast<int64_t>(kBuckets) / kTogether, threads_, [&](int64_t task) {
        for (auto bucket = static_cast<size_t>(task * kTogether); bucket < static_cast<size_t>((task + 1) * kTogether); ++bucket) {
            std::copy_n(other_.get() + start[bucket], different[bucket], buffer_.get() + run.bucket[bucket]);
        }
    });
    size_ = static_cast<size_t>(run.bucket[kBuckets]);
    return run;
}

void NgramSorter::spill() {
    Run run = sort();
    run.start = spilled_;
    write_at(spill_, buffer_.get(), size_, 8 * spilled_);
    spilled_ += static_cast<int64_t>(size_);
    size_ = 0;
    runs_.push_back(std::move(run));
}

IndexLayout NgramSorter::write(int out, int64_t offset) {
    if (!other_) throw std::runtime_error("written already");
    if (!runs_.empty()) {
        if (size_ > 0) spill();
        buffer_.reset();
        other_.reset();
        return write_runs(out, offset);
    }
    const Run run = sort();
    other_.reset();
    const int bits = directory_bits(static_cast<int64_t>(size_));
    std::vector<int64_t> directory((size_t{1} << bits) + 1);
    parallel_for(static_cast<int64_t>(kBuckets), threads_, [&](int64_t i) {
        const auto bucket = static_cast<size_t>(i);
        const auto count = static_cast<size_t>(run.bucket[bucket + 1] - run.bucket[bucket]);
        count_slots(buffer_.get() + run.bucket[bucket], count, bits, directory);
    });
    write_at(out, buffer_.get(), size_, offset);
    return write_directory(directory, bits, out, offset);
}

// Bucket by bucket, as many together as fit: equal keys of all runs meet in one bucket.
IndexLayout NgramSorter::write_runs(int out, int64_t offset) {
    const int bits = directory_bits(spilled_);
    std::vector<int64_t> directory((size_t{1} << bits) + 1);
    std::vector<int64_t> weight(kBuckets + 1);
    for (const Run& run : runs_) {
        for (size_t bucket = 0; bucket <= kBuckets; ++bucket) weight[bucket] += run.bucket[bucket];
    }
    const int64_t share = std::max<int64_t>(1, static_cast<int64_t>(capacity_) / threads_);
    std::vector<size_t> cuts{0};
    for (size_t bucket = 1; bucket <= kBuckets; ++bucket) {
        if (bucket == kBuckets || weight[bucket + 1] - weight[cuts.back()] > share) cuts.push_back(bucket);
    }
    struct Group {
        std::vector<uint64_t> keys, scratch;
    };
    std::vector<Group> groups(static_cast<size_t>(threads_));
    int64_t written = 0;
    for (size_t first = 0; first + 1 < cuts.size(); first += groups.size()) {
        const size_t some = std::min(groups.size(), cuts.size() - 1 - first);
        parallel_for(static_cast<int64_t>(some), threads_, [&](int64_t i) {
            const size_t from = cuts[first + static_cast<size_t>(i)], to = cuts[first + static_cast<size_t>(i) + 1];
            auto& [keys, scratch] = groups[static_cast<size_t>(i)];
            keys.resize(static_cast<size_t>(weight[to] - weight[from]));
            size_t at = 0;
            for (const Run& run : runs_) {
                const auto count = static_cast<size_t>(run.bucket[to] - run.bucket[from]);
                read_at(spill_, keys.data() + at, count, 8 * (run.start + run.bucket[from]));
                at += count;
            }
            int width = 64 - kBucketBits;
            while (to - from > size_t{1} << (width - (64 - kBucketBits))) ++width;
            sort_spread(keys.data(), keys.size(), uint64_t{from} << (64 - kBucketBits), width, scratch);
            keys.resize(static_cast<size_t>(std::unique(keys.begin(), keys.end()) - keys.begin()));
            count_slots(keys.data(), keys.size(), bits, directory);
        });
        for (size_t i = 0; i < some; ++i) {
            write_at(out, groups[i].keys.data(), groups[i].keys.size(), offset + 8 * written);
            written += static_cast<int64_t>(groups[i].keys.size());
        }
    }
    return write_directory(directory, bits, out, offset);
}

void search_index(int file, const IndexLayout& layout, const int64_t* directory, const uint64_t* keys, size_t count,
                  int threads, uint8_t* found) {
    constexpr size_t kPart = 1 << 16;
    const int shift = 64 - layout.bits;
    parallel_for(static_cast<int64_t>((count + kPart - 1) / kPart), threads, [&](int64_t part) {
        const size_t last = std::min(count, (static_cast<size_t>(part) + 1) * kPart);
        std::vector<uint64_t> read;
        for (size_t i = static_cast<size_t>(part) * kPart; i < last;) {
            // The keys beside this one in the file, and those beside the next ones as long as they are close.
            const int64_t begin = directory[keys[i] >> shift];
            int64_t end = directory[(keys[i] >> shift) + 1];
            size_t stop = i + 1;
            for (; stop < last; ++stop) {
                const int64_t* entry = directory + (keys[stop] >> shift);
                if (entry[0] - end > kSkippedKeys || entry[1] - begin > kReadKeys) break;
                end = entry[1];
            }
            read.resize(static_cast<size_t>(end - begin));
            read_at(file, read.data(), read.size(), layout.offset + 8 * begin);
            for (; i < stop; ++i) {
                const uint64_t slot = keys[i] >> shift;
                const uint64_t* low = read.data() + (directory[slot] - begin);
                const uint64_t* high = read.data() + (directory[slot + 1] - begin);
                if (low != high && (*low >> shift != slot || *(high - 1) >> shift != slot)) {
                    throw std::runtime_error("is damaged");
                }
                found[i] = std::binary_search(low, high, keys[i]);
            }
        }
    });
}

}  // namespace divfast
