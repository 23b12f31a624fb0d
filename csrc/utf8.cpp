#include "utf8.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "unicode_tables.hpp"

namespace divfast {

const char* find_invalid_utf8(const char* p, const char* end) {
    while (p < end) {
        if (end - p >= 32) {
            // Four words at a time: real text is mostly ASCII.
            uint64_t words[4];
            std::memcpy(words, p, 32);
            if (((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080ull) == 0) {
                p += 32;
                continue;
            }
        }
        if (static_cast<unsigned char>(*p) < 0x80) {
            ++p;
            continue;
        }
        const char* at = p;
        if (decode_utf8(p, end) == 0xFFFD && !(p - at == 3)) return at;
    }
    return end;
}

bool is_word(uint32_t code) {
    if (code < 0x80) {
        return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= '0' && code <= '9');
    }
    const auto* after = std::upper_bound(std::begin(kWordRanges), std::end(kWordRanges), code,
                                         [](uint32_t value, const CodeRange& r) { return value < r.first; });
    return after != std::begin(kWordRanges) && code <= std::prev(after)->last;
}

void append_lower(std::string& out, uint32_t code) {
    if (code < 0x80) {
        out.push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code));
        return;
    }
    if (code == 0x130) {
        out += "i\xCC\x87";
        return;
    }
    const auto* after = std::upper_bound(std::begin(kLowerRuns), std::end(kLowerRuns), code,
                                         [](uint32_t value, const LowerRun& r) { return value < r.first; });
    if (after != std::begin(kLowerRuns)) {
        const LowerRun& run = *std::prev(after);
        if (code <= run.last && (code - run.first) % run.stride == 0) {
            code = static_cast<uint32_t>(static_cast<int64_t>(code) + run.delta);
        }
    }
    append_utf8(out, code);
}

}  // namespace divfast
