// Where the bytes are that JSON text turns on, found many bytes at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace divfast {

// How far behind its last byte `copy_plain` may write.
constexpr size_t kCopyStep = 64;

inline bool is_special(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }

#if defined(__SSE2__)
inline __m128i load16(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline void store16(char* p, __m128i bytes) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes); }
inline uint32_t mask16(__m128i bytes) { return static_cast<uint32_t>(_mm_movemask_epi8(bytes)); }

inline __m128i special16(__m128i bytes) {
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1F);
    return _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)),
                        _mm_cmpeq_epi8(_mm_max_epu8(bytes, control), control));
}
// A bit for each of 64 bytes.
inline uint64_t special64(const char* p) {
    uint64_t mask = 0;
    for (int i = 0; i < 4; ++i) mask |= static_cast<uint64_t>(mask16(special16(load16(p + 16 * i)))) << (16 * i);
    return mask;
}
inline void copy64(char* to, const char* from) {
    const __m128i a = load16(from), b = load16(from + 16), c = load16(from + 32), d = load16(from + 48);
    store16(to, a), store16(to + 16, b), store16(to + 32, c), store16(to + 48, d);
}
#endif

// What a backslash and this byte stand for; 0 where that is no byte, or no escape.
inline char plain_escape(char c) {
    struct Table {
        char of[256] = {};
        constexpr Table() {
            of['"'] = '"', of['\\'] = '\\', of['/'] = '/';
            of['b'] = '\b', of['f'] = '\f', of['n'] = '\n', of['r'] = '\r', of['t'] = '\t';
        }
    };
    static constexpr Table table;
    return table.of[static_cast<unsigned char>(c)];
}

// Steps over the inside of a string up to its closing quote, to a \u escape or to what is wrong, or to `end`. Returns
// whether there were escapes on the way.
inline bool pass_plain(const char*& from, const char* end) {
    const char* p = from;
    bool escaped = false;
#if defined(__SSE2__)
    if (end - p >= 16) {
        // Most strings are names, and end here.
        const uint32_t mask = mask16(special16(load16(p)));
        if (mask != 0 && p[__builtin_ctz(mask)] == '"') {
            from = p + __builtin_ctz(mask);
            return false;
        }
    }
    for (const char* block = p; end - block > 64; block += 64) {
        uint64_t mask = special64(block);
        mask &= ~static_cast<uint64_t>(p - block);  // the first byte may be the second of an escape
        for (; mask != 0; mask &= mask - 1) {
            const int at = __builtin_ctzll(mask);
            p = block + at;
            if (*p != '\\' || plain_escape(p[1]) == '\0') {
                from = p;
                return escaped;
            }
            escaped = true;
            p += 2;
            mask &= ~(uint64_t{2} << at);
        }
        if (p < block + 64) p = block + 64;
    }
#endif
    for (;; p += 2) {
        while (p < end && !is_special(*p)) ++p;
        if (end - p < 2 || *p != '\\' || plain_escape(p[1]) == '\0') break;
        escaped = true;
    }
    from = p;
    return escaped;
}

// Copies the inside of a string to `out` up to its closing quote, to a \u escape or to what is wrong, or to `end`.
inline void copy_plain(const char*& from, const char* end, char*& to) {
    const char* p = from;
    char* out = to;
#if defined(__SSE2__)
    // All special bytes of a block are found at once, so that one escape need not wait for the one before it: text
    // with formulas has one in 35 bytes. What follows an escape is copied anew, a byte further down.
    for (const char* block = p; end - block > 130; block += 64) {
        uint64_t mask = special64(block);
        mask &= ~static_cast<uint64_t>(p - block);  // the first byte may be the second of an escape
        copy64(out, p);
        for (; mask != 0; mask &= mask - 1) {
            const int at = __builtin_ctzll(mask);
            out += block + at - p;
            p = block + at;
            const char escaped = *p == '\\' ? plain_escape(p[1]) : '\0';
            if (escaped == '\0') {
                from = p;
                to = out;
                return;
            }
            *out++ = escaped;
            p += 2;
            copy64(out, p);
            mask &= ~(uint64_t{2} << at);
        }
        if (p < block + 64) {
            out += block + 64 - p;
            p = block + 64;
        }
    }
#endif
    for (;; p += 2) {
        while (p < end && !is_special(*p)) *out++ = *p++;
        const char escaped = end - p >= 2 && *p == '\\' ? plain_escape(p[1]) : '\0';
        if (escaped == '\0') break;
        *out++ = escaped;
    }
    from = p;
    to = out;
}

inline const char* find_byte(const char* p, const char* end, char byte) {
    const auto* found = static_cast<const char*>(std::memchr(p, byte, static_cast<size_t>(end - p)));
    return found == nullptr ? end : found;
}

// The quote that closes the string of which [p, end) is the inside and what follows; `end` where there is none.
inline const char* find_closing_quote(const char* p, const char* end) {
    for (const char* from = p;; ++from) {
        from = find_byte(from, end, '"');
        if (from == end) return end;
        const char* before = from;
        while (before > p && before[-1] == '\\') --before;
        // An even number of backslashes escape each other, not the quote.
        if ((from - before) % 2 == 0) return from;
    }
}

struct Line {
    const char* end;
    bool ascii;
};

// The end of the line at p, and whether it needs no decoding.
inline Line find_line(const char* p, const char* end) {
    unsigned char high = 0;
#if defined(__SSE2__)
    const __m128i newline = _mm_set1_epi8('\n');
    __m128i all = _mm_setzero_si128();
    while (end - p >= 64) {
        const __m128i a = load16(p), b = load16(p + 16), c = load16(p + 32), d = load16(p + 48);
        const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(a, newline), _mm_cmpeq_epi8(b, newline)),
                                         _mm_or_si128(_mm_cmpeq_epi8(c, newline), _mm_cmpeq_epi8(d, newline)));
        if (mask16(hit) != 0) break;
        all = _mm_or_si128(all, _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)));
        p += 64;
    }
    if (mask16(all) != 0) high = 0x80;
#endif
    for (; p < end && *p != '\n'; ++p) high |= static_cast<unsigned char>(*p);
    return {p, high < 0x80};
}

}  // namespace divfast
