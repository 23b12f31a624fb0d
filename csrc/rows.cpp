#include "rows.hpp"

#include <string_view>

#include "utf8.hpp"

namespace divfast {

std::vector<uint64_t> hash_rows(const RaggedView<char>& rows, int threads) {
    const auto n = static_cast<size_t>(rows.rows);
    std::vector<uint64_t> hashes(n);
    parallel_for(static_cast<int64_t>(n / 4096 + 1), threads, [&](int64_t part) {
        const size_t from = static_cast<size_t>(part) * 4096, to = std::min(n, from + 4096);
        for (size_t i = from; i < to; ++i) {
            const auto row = static_cast<int64_t>(i);
            hashes[i] = hash_bytes(rows.begin(row), static_cast<size_t>(rows.length(row)));
        }
    });
    return hashes;
}

std::vector<uint64_t> priorities(const RaggedView<char>& rows, uint64_t seed, uint64_t first, int threads) {
    std::vector<uint64_t> out = hash_rows(rows, threads);
    const uint64_t state = combine(kSeed2, seed);
    for (uint64_t& value : out) value = combine(combine(state, first++), value);
    return out;
}

std::vector<int64_t> first_equal(const RaggedView<char>& rows, int threads) {
    const auto n = static_cast<size_t>(rows.rows);
    const std::vector<uint64_t> hashes = hash_rows(rows, threads);
    size_t slots = 16;
    while (slots < 2 * n) slots <<= 1;
    std::vector<int64_t> table(slots, -1), first(n);
    for (size_t i = 0; i < n; ++i) {
        const auto row = static_cast<int64_t>(i);
        size_t at = hashes[i] & (slots - 1);
        for (;; at = (at + 1) & (slots - 1)) {
            const int64_t other = table[at];
            if (other < 0) {
                table[at] = row;
                first[i] = row;
                break;
            }
            if (hashes[static_cast<size_t>(other)] == hashes[i] && rows.length(other) == rows.length(row) &&
                std::equal(rows.begin(row), rows.end(row), rows.begin(other))) {
                first[i] = other;
                break;
            }
        }
    }
    return first;
}

std::vector<int64_t> KeyIndex::add(const RaggedView<char>& keys, const uint8_t* has, const RaggedView<char>& companions,
                                   const uint8_t* has_companion, int64_t* codes) {
    std::vector<int64_t> conflicts;
    for (int64_t row = 0; row < keys.rows; ++row) {
        if (!has[row]) {
            codes[row] = next_++;
            continue;
        }
        uint64_t companion = 0;
        if (has_companion[row]) {
            companion = hash_bytes(companions.begin(row), static_cast<size_t>(companions.length(row))) | 1;
        }
        const auto added = entries_.try_emplace(std::string(keys.begin(row), keys.end(row)), Entry{next_, companion});
        Entry& entry = added.first->second;
        if (added.second) ++next_;
        if (companion != 0 && entry.companion == 0) entry.companion = companion;
        if (companion != 0 && entry.companion != companion) conflicts.push_back(row);
        codes[row] = entry.code;
    }
    return conflicts;
}

uint64_t fingerprint(const RaggedView<char>& rows, const int64_t* groups, int64_t n_groups, uint64_t state) {
    for (int64_t g = 0; g < n_groups; ++g) {
        state = combine(state, static_cast<uint64_t>(groups[g + 1] - groups[g]));
        for (int64_t row = groups[g]; row < groups[g + 1]; ++row) {
            state = combine(state, hash_bytes(rows.begin(row), static_cast<size_t>(rows.length(row))));
        }
    }
    return state;
}

Stripped strip_reasoning(const RaggedView<char>& rows, bool& found) {
    constexpr std::string_view kTag = "</think>";
    Stripped out;
    found = false;
    if (rows.rows == 0) return out;
    const std::string_view tape(rows.begin(0), static_cast<size_t>(rows.total()));
    found = tape.find(kTag) != std::string_view::npos;
    if (!found) return out;
    out.text.values.reserve(tape.size());
    out.text.offsets.reserve(static_cast<size_t>(rows.rows) + 1);
    for (int64_t row = 0; row < rows.rows; ++row) {
        std::string_view text(rows.begin(row), static_cast<size_t>(rows.length(row)));
        const size_t at = text.rfind(kTag);
        if (at != std::string_view::npos) {
            text.remove_prefix(at + kTag.size());
            const size_t start = text.find_first_not_of(" \t\r\n");
            text.remove_prefix(start == std::string_view::npos ? text.size() : start);
            ++out.stripped;
            out.emptied += text.empty();
        }
        out.text.values.insert(out.text.values.end(), text.begin(), text.end());
        out.text.close_row();
    }
    return out;
}

RaggedBuffer<char, Bytes> strip_rows(const RaggedView<char>& rows) {
    RaggedBuffer<char, Bytes> out;
    out.values.reserve(static_cast<size_t>(rows.total()));
    for (int64_t row = 0; row < rows.rows; ++row) {
        const char *begin = rows.begin(row), *end = rows.end(row);
        for (const char* p = begin; p < end && is_space(decode_utf8(p, end));) begin = p;
        while (begin < end) {
            const char* last = end - 1;
            while (last > begin && end - last < 4 && (*last & 0xC0) == 0x80) --last;
            const char* behind = last;
            if (!is_space(decode_utf8(behind, end)) || behind != end) break;
            end = last;
        }
        out.values.insert(out.values.end(), begin, end);
        out.close_row();
    }
    return out;
}

}  // namespace divfast
