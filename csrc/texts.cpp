#include "texts.hpp"

#include <unistd.h>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>

#include "rows.hpp"

namespace divfast {
namespace {

constexpr uint64_t kNumber = 0xFFFFFFFFull;
constexpr size_t kAhead = 12;
constexpr int64_t kRunBytes = 1 << 20;
// A run of short texts; what is held for each is more than its bytes.
constexpr int64_t kRunTexts = 1 << 13;

}  // namespace

void Tape::append(const char* data, size_t n) {
    if (n == 0) return;
    if (size_ + n > room_) {
        const size_t room = std::max({size_ + n, 2 * room_, size_t{1} << 16});
        auto* moved = static_cast<char*>(std::realloc(bytes_.get(), room));
        if (moved == nullptr) throw std::bad_alloc();
        static_cast<void>(bytes_.release());
        bytes_.reset(moved);
        room_ = room;
    }
    std::memcpy(bytes_.get() + size_, data, n);
    size_ += n;
}

void Tape::clear() {
    bytes_.reset();
    size_ = room_ = 0;
}

void DistinctTexts::write(const char* data, size_t n, int64_t at) const {
    while (n > 0) {
        const ssize_t done = ::pwrite(file_, data, n, at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) throw std::system_error(errno, std::generic_category(), "temporary file");
        data += done, at += done, n -= static_cast<size_t>(done);
    }
}

void DistinctTexts::read(int64_t at, char* into, size_t n) const {
    while (n > 0) {
        const ssize_t done = ::pread(file_, into, n, at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) throw std::system_error(done < 0 ? errno : EIO, std::generic_category(), "temporary file");
        into += done, at += done, n -= static_cast<size_t>(done);
    }
}

bool DistinctTexts::equals(uint32_t text, const char* begin, size_t n, std::vector<char>& scratch) const {
    const int64_t at = offsets_[text];
    if (static_cast<size_t>(offsets_[text + 1] - at) != n) return false;
    const auto kept = static_cast<int64_t>(bytes() - tape_.size());
    if (at >= kept) return n == 0 || std::memcmp(tape_.data() + (at - kept), begin, n) == 0;
    scratch.resize(n);
    read(at, scratch.data(), n);
    return std::equal(scratch.begin(), scratch.end(), begin);
}

void DistinctTexts::keep(const char* begin, size_t n) {
    if (size() >= kNumber) throw std::length_error("more different texts than can be numbered");
    tape_.append(begin, n);
    offsets_.push_back(offsets_.back() + static_cast<int64_t>(n));
}

// The slot of a text is the high bits of its fingerprint, so the half that is kept says where it goes.
void DistinctTexts::grow() {
    std::vector<uint64_t> old(size_t{1} << (bits_ + 1));
    old.swap(table_);
    if (++bits_ > 32) throw std::length_error("more different texts than can be numbered");
    const size_t mask = table_.size() - 1;
    for (const uint64_t slot : old) {
        if (slot == 0) continue;
        size_t at = slot >> (64 - bits_);
        while (table_[at] != 0) at = (at + 1) & mask;
        table_[at] = slot;
    }
}

std::vector<uint32_t> DistinctTexts::add(const RaggedView<char>& rows, int threads) {
    const auto n = static_cast<size_t>(rows.rows);
    const std::vector<uint64_t> hashes = hash_rows(rows, threads);
    std::vector<uint32_t> numbers(n);
    std::vector<char> scratch;
    if (bits_ == 0) {
        bits_ = 12;
        table_.resize(size_t{1} << bits_);
    }
    for (size_t i = 0; i < n; ++i) {
        if (3 * (size() + 1) > 2 * table_.size()) grow();
        const size_t mask = table_.size() - 1;
        if (i + kAhead < n) __builtin_prefetch(&table_[hashes[i + kAhead] >> (64 - bits_)], 1);
        const auto row = static_cast<int64_t>(i);
        const char* begin = rows.begin(row);
        const auto length = static_cast<size_t>(rows.length(row));
        size_t at = hashes[i] >> (64 - bits_);
        for (;; at = (at + 1) & mask) {
            const uint64_t slot = table_[at];
            if (slot == 0) {
                numbers[i] = static_cast<uint32_t>(size());
                keep(begin, length);
                table_[at] = (hashes[i] & ~kNumber) | (uint64_t{numbers[i]} + 1);
                break;
            }
            const auto other = static_cast<uint32_t>((slot & kNumber) - 1);
            if (((slot ^ hashes[i]) & ~kNumber) == 0 && equals(other, begin, length, scratch)) {
                numbers[i] = other;
                break;
            }
        }
    }
    if (limit_ > 0 && (spilled_ || static_cast<int64_t>(tape_.size()) > limit_)) {
        write(tape_.data(), tape_.size(), static_cast<int64_t>(bytes() - tape_.size()));
        tape_.clear();
        spilled_ = true;
    }
    return numbers;
}

void DistinctTexts::finish() {
    table_ = {};
    bits_ = 0;
    offsets_.shrink_to_fit();
}

RaggedView<char> DistinctTexts::range(size_t first, size_t last, RaggedBuffer<char>& scratch) const {
    const auto rows = static_cast<int64_t>(last - first);
    if (!spilled_) return {tape_.data(), offsets_.data() + first, rows};
    const int64_t from = offsets_[first];
    scratch.values.resize(static_cast<size_t>(offsets_[last] - from));
    read(from, scratch.values.data(), scratch.values.size());
    scratch.offsets.resize(last - first + 1);
    for (size_t i = first; i <= last; ++i) scratch.offsets[i - first] = offsets_[i] - from;
    return {scratch.values.data(), scratch.offsets.data(), rows};
}

std::vector<int64_t> DistinctTexts::runs() const {
    std::vector<int64_t> cuts{0};
    const auto n = static_cast<int64_t>(size());
    for (int64_t i = 1; i <= n; ++i) {
        const bool full = offsets_[static_cast<size_t>(i)] - offsets_[static_cast<size_t>(cuts.back())] >= kRunBytes;
        if (i == n || full || i - cuts.back() >= kRunTexts) cuts.push_back(i);
    }
    return cuts;
}

}  // namespace divfast
