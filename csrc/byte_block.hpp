// 64 bytes at a time, for finding a few of them in many.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace divfast {

// What 64 bytes hold, one bit a byte.
class Block {
  public:
#if defined(__SSE2__)
    explicit Block(const char* p) {
        for (int i = 0; i < 4; ++i) bytes_[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
    }
    uint64_t equal(char c) const {
        const __m128i wanted = _mm_set1_epi8(c);
        return bits([&](__m128i b) { return _mm_cmpeq_epi8(b, wanted); });
    }
    uint64_t between(char low, char high) const {
        const __m128i least = _mm_set1_epi8(low), width = _mm_set1_epi8(static_cast<char>(high - low));
        return bits([&](__m128i b) {
            const __m128i above = _mm_sub_epi8(b, least);
            return _mm_cmpeq_epi8(_mm_min_epu8(above, width), above);
        });
    }
    bool ascii() const {
        const __m128i any = _mm_or_si128(_mm_or_si128(bytes_[0], bytes_[1]), _mm_or_si128(bytes_[2], bytes_[3]));
        return _mm_movemask_epi8(any) == 0;
    }

  private:
    template <typename Test>
    uint64_t bits(const Test& test) const {
        uint64_t out = 0;
        for (int i = 0; i < 4; ++i) {
            out |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(test(bytes_[i])))) << (16 * i);
        }
        return out;
    }
    __m128i bytes_[4];
#else
    explicit Block(const char* p) { std::memcpy(bytes_, p, 64); }
    uint64_t equal(char c) const { return between(c, c); }
    uint64_t between(char low, char high) const {
        uint64_t out = 0;
        for (int i = 0; i < 64; ++i) {
            const auto above = static_cast<unsigned char>(bytes_[i] - low);
            out |= static_cast<uint64_t>(above <= static_cast<unsigned char>(high - low)) << i;
        }
        return out;
    }
    bool ascii() const { return between('\x80', '\xFF') == 0; }

  private:
    char bytes_[64];
#endif
};

// Gives look(block, begin) each run of 64 bytes, the last one padded with blanks.
template <typename Look>
void each_block(const char* p, const char* end, const Look& look) {
    for (; end - p >= 64; p += 64) look(Block(p), p);
    if (p == end) return;
    char padded[64];
    std::memset(padded, ' ', sizeof padded);
    std::memcpy(padded, p, static_cast<size_t>(end - p));
    look(Block(padded), p);
}

}  // namespace divfast
