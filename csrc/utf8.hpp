// UTF-8 and the few facts of Unicode that the tokenizers need. Invalid bytes never fail: each decodes as U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace divfast {

// Decodes the code point at p (p < end) and advances p past it; an invalid byte is U+FFFD and one byte long.
inline uint32_t decode_utf8(const char*& p, const char* end) {
    const auto byte = [](const char* q) { return static_cast<uint32_t>(static_cast<unsigned char>(*q)); };
    const uint32_t lead = byte(p);
    if (lead < 0x80) return ++p, lead;
    int extra = 0;
    uint32_t code = 0, least = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        extra = 1, code = lead & 0x1F, least = 0x80;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        extra = 2, code = lead & 0x0F, least = 0x800;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        extra = 3, code = lead & 0x07, least = 0x10000;
    }
    if (extra == 0 || end - p <= extra) return ++p, 0xFFFDu;
    for (int i = 1; i <= extra; ++i) {
        const uint32_t next = byte(p + i);
        if ((next & 0xC0) != 0x80) return ++p, 0xFFFDu;
        code = (code << 6) | (next & 0x3F);
    }
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return ++p, 0xFFFDu;
    p += extra + 1;
    return code;
}

template <typename Bytes>
inline void append_utf8(Bytes& out, uint32_t code) {
    const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | (code >> 6)), put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | (code >> 12)), put(0x80 | ((code >> 6) & 0x3F)), put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | (code >> 18)), put(0x80 | ((code >> 12) & 0x3F));
        put(0x80 | ((code >> 6) & 0x3F)), put(0x80 | (code & 0x3F));
    }
}

// First byte that is not part of valid UTF-8, or end.
const char* find_invalid_utf8(const char* begin, const char* end);

// White space exactly as Python's str.split() sees it.
inline bool is_space(uint32_t code) {
    if (code < 0x80) return code == ' ' || (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F);
    if (code < 0x1680) return code == 0x85 || code == 0xA0;
    return code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
           code == 0x202F || code == 0x205F || code == 0x3000;
}

// Categories L, M and N.
bool is_word(uint32_t code);

// Appends the lower case of one code point as Python's chr(code).lower() gives it (one character at a time:
// a capital sigma is always the medial small sigma).
void append_lower(std::string& out, uint32_t code);

}  // namespace divfast
