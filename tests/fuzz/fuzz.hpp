// What the fuzz targets share: rows made of the fuzzer's bytes, and checks of what came out.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "common.hpp"

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                            \
        }                                                                            \
    } while (false)

namespace divfast::fuzz {

// Groups of rows. The array of values ends where the last row does, so that a read past it is seen.
template <typename T>
struct Rows {
    std::unique_ptr<T[]> values;
    std::vector<int64_t> offsets, groups;

    RaggedView<T> view() const { return {values.get(), offsets.data(), static_cast<int64_t>(offsets.size()) - 1}; }
    int64_t n_groups() const { return static_cast<int64_t>(groups.size()) - 1; }
    // Rows from a group on, up to another.
    RaggedView<T> part(int64_t first, int64_t last) const {
        const int64_t from = groups[static_cast<size_t>(first)], to = groups[static_cast<size_t>(last)];
        return {values.get(), offsets.data() + from, to - from};
    }
};

class Input {
  public:
    Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

    // The next byte, reduced to [0, n); 0 where there is none.
    int below(int n) { return at_ == end_ ? 0 : *at_++ % n; }

    // All bytes that are left. 0xFF ends a row and 0xFE a group; neither is ever part of UTF-8, and other bytes that
    // are not remain.
    Rows<char> text() {
        return rows<char>([](uint8_t byte) { return static_cast<char>(byte); });
    }
    // The same as tokens: few different ones, so that n-grams repeat, among them those that might serve as marks.
    Rows<uint64_t> tokens() {
        return rows<uint64_t>([](uint8_t byte) {
            constexpr uint64_t kMarks[] = {0, 1, ~uint64_t{0}, uint64_t{1} << 63};
            return byte < 4 ? kMarks[byte] : combine(0, byte & 15);
        });
    }

  private:
    template <typename T, typename Value>
    Rows<T> rows(const Value& value) {
        Rows<T> out;
        // Rows may be a slice of a larger tape.
        const int lead = below(3);
        std::vector<T> values(static_cast<size_t>(lead));
        out.offsets.push_back(lead);
        out.groups.push_back(0);
        const auto close_row = [&] { out.offsets.push_back(static_cast<int64_t>(values.size())); };
        const auto close_group = [&] { out.groups.push_back(static_cast<int64_t>(out.offsets.size()) - 1); };
        for (; at_ != end_; ++at_) {
            if (*at_ == 0xFF) {
                close_row();
            } else if (*at_ == 0xFE) {
                close_group();
            } else {
                values.push_back(value(*at_));
            }
        }
        close_row();
        close_group();
        out.values.reset(new T[values.size()]);
        std::copy(values.begin(), values.end(), out.values.get());
        return out;
    }

    const uint8_t *at_, *end_;
};

// Offsets from 0 to the number of values, none less than the one before.
template <typename Buffer>
void check_rows(const Buffer& rows) {
    CHECK(!rows.offsets.empty() && rows.offsets.front() == 0);
    CHECK(rows.offsets.back() == static_cast<int64_t>(rows.values.size()));
    for (size_t i = 1; i < rows.offsets.size(); ++i) CHECK(rows.offsets[i - 1] <= rows.offsets[i]);
}

template <typename Buffer>
bool same_rows(const Buffer& a, const Buffer& b) {
    return a.offsets == b.offsets && a.values == b.values;
}

// One buffer made of the parts that threads gave.
template <typename Buffer>
Buffer joined(const std::vector<Buffer>& parts) {
    Buffer out;
    for (const Buffer& part : parts) {
        check_rows(part);
        for (size_t i = 1; i < part.offsets.size(); ++i) {
            out.values.insert(out.values.end(), part.values.begin() + part.offsets[i - 1], part.values.begin() + part.offsets[i]);
            out.close_row();
        }
    }
    return out;
}

}  // namespace divfast::fuzz
