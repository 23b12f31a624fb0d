#include "tokens.hpp"

#include <stdexcept>

#include "byte_block.hpp"
#include "mteval13a.hpp"
#include "utf8.hpp"

namespace divfast {
namespace {

// Runs of bytes between gaps, from what each block says of where the gaps are.
struct Runs {
    const char* start = nullptr;
    uint64_t before = 1;  // whether the byte before the block was a gap

    template <typename Emit>
    void look(uint64_t gap, const char* at, const char* limit, const Emit& emit) {
        uint64_t edges = gap ^ (gap << 1 | before);
        before = gap >> 63;
        for (; edges != 0; edges &= edges - 1) {
            const char* edge = at + __builtin_ctzll(edges);
            if (start == nullptr) {
                start = edge;
            } else {
                emit(start, edge, limit);
                start = nullptr;
            }
        }
    }
    template <typename Emit>
    void finish(const char* end, const char* limit, const Emit& emit) const {
        if (start != nullptr) emit(start, end, limit);
    }
};

// Calls emit(begin, end, limit) for each run of bytes between white space; bytes up to `limit` may be read.
template <typename Emit>
void split_whitespace(const char* begin, const char* end, const char* limit, const Emit& emit) {
    Runs runs;
    uint64_t ahead = 0;  // bytes of this block that end a wide space of the block before
    each_block(begin, end, [&](const Block& block, const char* at) {
        uint64_t space = block.equal(' ') | block.between(0x09, 0x0D) | block.between(0x1C, 0x1F) | ahead;
        ahead = 0;
        if (!block.ascii()) {
            // The first bytes of all wider spaces. UTF-8 never holds a first byte inside a character.
            uint64_t leads = block.equal('\xC2') | block.between('\xE1', '\xE3');
            for (; leads != 0; leads &= leads - 1) {
                const int bit = __builtin_ctzll(leads);
                const char* p = at + bit;
                if (!is_space(decode_utf8(p, end))) continue;
                const uint64_t bytes = (uint64_t{1} << (p - (at + bit))) - 1;
                space |= bytes << bit;
                if (bit > 61) ahead = bytes >> (64 - bit);
            }
        }
        runs.look(space, at, limit, emit);
    });
    runs.finish(end, limit, emit);
}

template <typename Emit>
void split_scratch(const std::string& scratch, const Emit& emit) {
    const char* end = scratch.data() + scratch.size();
    split_whitespace(scratch.data(), end, end, emit);
}

// The paper's code deletes every "." and newline, joining what stood around them, before it splits.
template <typename Emit>
void split_paper(const char* begin, const char* end, std::string& scratch, const Emit& emit) {
    scratch.clear();
    const char* kept = begin;
    each_block(begin, end, [&](const Block& block, const char* at) {
        for (uint64_t gone = block.equal('.') | block.equal('\n'); gone != 0; gone &= gone - 1) {
            const char* p = at + __builtin_ctzll(gone);
            scratch.append(kept, p);
            kept = p + 1;
        }
    });
    scratch.append(kept, end);
    split_scratch(scratch, emit);
}

// Lower case, with a blank for every character above ASCII that is in no word: what is left above ASCII is.
void lower_words(const char* p, const char* end, std::string& out) {
    out.clear();
    out.reserve(static_cast<size_t>(end - p) + 16);
    while (p < end) {
        const char* stop = p;
        while (end - stop >= 8 && (load64(stop) & 0x8080808080808080ull) == 0) stop += 8;
        while (stop < end && static_cast<unsigned char>(*stop) < 0x80) ++stop;
        const size_t at = out.size();
        out.append(p, stop);
        for (size_t i = at; i < out.size(); ++i) {
            const auto c = static_cast<unsigned char>(out[i]);
            out[i] = static_cast<char>(c ^ (static_cast<unsigned char>(c - 'A') < 26 ? 0x20 : 0));
        }
        p = stop;
        while (p < end && static_cast<unsigned char>(*p) >= 0x80) {
            const uint32_t code = decode_utf8(p, end);
            if (is_word(code)) {
                append_lower(out, code);
            } else {
                out.push_back(' ');
            }
        }
    }
}

template <typename Emit>
void split_words(const char* begin, const char* end, std::string& scratch, const Emit& emit) {
    lower_words(begin, end, scratch);
    const char* limit = scratch.data() + scratch.size();
    Runs runs;
    each_block(scratch.data(), limit, [&](const Block& block, const char* at) {
        runs.look(~(block.between('a', 'z') | block.between('0', '9') | block.between('\x80', '\xFF')), at, limit, emit);
    });
    runs.finish(limit, limit, emit);
}

template <typename Emit>
void split_chars(const char* p, const char* end, const char* limit, const Emit& emit) {
    while (p < end) {
        const char* start = p;
        if (!is_space(decode_utf8(p, end))) emit(start, p, limit);
    }
}

// What stands between single blanks, as Python's str.split(" "): between two of them an empty token.
template <typename Emit>
void split_spaces(const char* p, const char* end, const char* limit, const Emit& emit) {
    const char* start = p;
    each_block(p, end, [&](const Block& block, const char* at) {
        uint64_t blanks = block.equal(' ');
        // The padding of the last block is blank too.
        if (end - at < 64) blanks &= (uint64_t{1} << (end - at)) - 1;
        for (; blanks != 0; blanks &= blanks - 1) {
            const char* blank = at + __builtin_ctzll(blanks);
            emit(start, blank, limit);
            start = blank + 1;
        }
    });
    emit(start, end, limit);
}

template <typename Emit>
void split_13a(const char* begin, const char* end, std::string& line, std::string& scratch, const Emit& emit) {
    spread_13a(begin, end, line, scratch);
    split_scratch(line, emit);
}

// rouge_score: lower case, then runs of ASCII letters and digits. Two other characters are ASCII in lower case.
template <typename Emit>
void split_rouge(const char* p, const char* end, std::string& scratch, const Emit& emit) {
    scratch.clear();
    const auto flush = [&] {
        const char* limit = scratch.data() + scratch.size();
        if (!scratch.empty()) emit(scratch.data(), limit, limit);
        scratch.clear();
    };
    while (p < end) {
        uint32_t code = decode_utf8(p, end);
        const bool dotted = code == 0x130;  // I with a dot: an i and a mark
        if (dotted) code = 'i';
        if (code == 0x212A) code = 'k';  // the Kelvin sign
        if (code < 0x80 && is_word(code)) {
            append_lower(scratch, code);
            if (dotted) flush();
        } else {
            flush();
        }
    }
    flush();
}

struct Scratch {
    std::string first, second;
};

// A fingerprint as good as hash_bytes; words of up to 16 bytes, nearly all, take one path whatever their length.
inline uint64_t hash_word(const char* begin, const char* end, const char* limit) {
    const auto n = static_cast<size_t>(end - begin);
    if (n > 16) return hash_bytes(begin, n);
    static constexpr char kOnes = '\xFF';
    alignas(32) static constexpr char kKeep[32] = {kOnes, kOnes, kOnes, kOnes, kOnes, kOnes, kOnes, kOnes,
                                                   kOnes, kOnes, kOnes, kOnes, kOnes, kOnes, kOnes, kOnes};
    char padded[16] = {};
    if (limit - begin < 16) {
        std::memcpy(padded, begin, n);
        begin = padded;
    }
    const uint64_t low = load64(begin) & load64(kKeep + 16 - n);
    const uint64_t high = load64(begin + 8) & load64(kKeep + 24 - n);
    return fold(fold(low ^ kSeed1, high ^ kSeed0 ^ (n * kSeed1)) ^ kSeed2, n ^ kSeed1);
}

template <typename Emit>
void split(const char* begin, const char* end, const char* limit, Tokenizer tokenizer, Scratch& scratch,
           const Emit& emit) {
    switch (tokenizer) {
        case Tokenizer::whitespace: return split_whitespace(begin, end, limit, emit);
        case Tokenizer::paper: return split_paper(begin, end, scratch.first, emit);
        case Tokenizer::words: return split_words(begin, end, scratch.first, emit);
        case Tokenizer::chars: return split_chars(begin, end, limit, emit);
        case Tokenizer::mteval13a: return split_13a(begin, end, scratch.first, scratch.second, emit);
        case Tokenizer::rouge: return split_rouge(begin, end, scratch.first, emit);
        case Tokenizer::spaces: return split_spaces(begin, end, limit, emit);
    }
}

}  // namespace

Tokenizer tokenizer_from_name(const std::string& name) {
    if (name == "whitespace") return Tokenizer::whitespace;
    if (name == "paper") return Tokenizer::paper;
    if (name == "words") return Tokenizer::words;
    if (name == "chars") return Tokenizer::chars;
    if (name == "13a") return Tokenizer::mteval13a;
    if (name == "rouge") return Tokenizer::rouge;
    if (name == "spaces") return Tokenizer::spaces;
    throw std::invalid_argument("unknown tokenizer " + name);
}

void append_tokens(const RaggedView<char>& text, const char* limit, Tokenizer tokenizer, RaggedBuffer<uint64_t>& tokens) {
    Scratch scratch;
    const auto keep = [&](const char* begin, const char* end, const char* readable) {
        tokens.values.push_back(hash_word(begin, end, readable));
    };
    for (int64_t row = 0; row < text.rows; ++row) {
        split(text.begin(row), text.end(row), limit, tokenizer, scratch, keep);
        tokens.close_row();
    }
}

std::vector<RaggedBuffer<uint64_t>> tokenize(const RaggedView<char>& text, Tokenizer tokenizer, int threads) {
    // About a megabyte of text a task keeps threads busy without making the join costly.
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(text.total() >> 20, 16 * resolve_threads(threads)));
    const std::vector<int64_t> cuts = balanced_cuts(text.offsets, text.rows, parts);
    std::vector<RaggedBuffer<uint64_t>> out(cuts.size() - 1);
    const char* limit = text.rows == 0 ? text.values : text.end(text.rows - 1);
    parallel_for(static_cast<int64_t>(out.size()), threads, [&](int64_t part) {
        RaggedBuffer<uint64_t>& tokens = out[static_cast<size_t>(part)];
        const int64_t first = cuts[static_cast<size_t>(part)], last = cuts[static_cast<size_t>(part) + 1];
        const RaggedView<char> some{text.values, text.offsets + first, last - first};
        tokens.offsets.reserve(static_cast<size_t>(some.rows) + 1);
        tokens.values.reserve(static_cast<size_t>(some.total() / (tokenizer == Tokenizer::chars ? 1 : 4) + 16));
        append_tokens(some, limit, tokenizer, tokens);
    });
    return out;
}

Normalize normalize_from_name(const std::string& name) {
    if (name == "none") return Normalize::none;
    if (name == "space") return Normalize::space;
    if (name == "lower") return Normalize::lower;
    throw std::invalid_argument("unknown normalization " + name);
}

std::vector<uint64_t> text_fingerprints(const RaggedView<char>& text, Normalize normalize, int threads) {
    std::vector<uint64_t> out(static_cast<size_t>(text.rows));
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(text.total() >> 18, 8 * resolve_threads(threads)));
    const std::vector<int64_t> cuts = balanced_cuts(text.offsets, text.rows, parts);
    const char* tape_end = text.rows == 0 ? text.values : text.end(text.rows - 1);
    parallel_for(static_cast<int64_t>(cuts.size()) - 1, threads, [&](int64_t part) {
        std::string lower;
        for (int64_t row = cuts[static_cast<size_t>(part)]; row < cuts[static_cast<size_t>(part) + 1]; ++row) {
            const char *begin = text.begin(row), *end = text.end(row), *limit = tape_end;
            uint64_t& print = out[static_cast<size_t>(row)];
            if (normalize == Normalize::none) {
                print = hash_bytes(begin, static_cast<size_t>(end - begin));
                continue;
            }
            if (normalize == Normalize::lower) {
                lower.clear();
                for (const char* p = begin; p < end;) append_lower(lower, decode_utf8(p, end));
                begin = lower.data();
                end = limit = begin + lower.size();
            }
            print = kSeed1;
            // The words tell what the white space between them no longer does.
            split_whitespace(begin, end, limit, [&](const char* a, const char* b, const char* readable) {
                print = combine(print, hash_word(a, b, readable));
            });
        }
    });
    return out;
}

std::vector<std::string> token_strings(const char* begin, const char* end, Tokenizer tokenizer) {
    std::vector<std::string> out;
    Scratch scratch;
    const auto keep = [&](const char* a, const char* b, const char*) { out.emplace_back(a, b); };
    split(begin, end, end, tokenizer, scratch, keep);
    return out;
}

std::vector<int64_t> token_spans(const char* begin, const char* end, Tokenizer tokenizer) {
    std::vector<int64_t> out;
    const auto keep = [&](const char* a, const char* b, const char*) {
        out.push_back(a - begin);
        out.push_back(b - begin);
    };
    if (tokenizer == Tokenizer::whitespace) {
        split_whitespace(begin, end, end, keep);
    } else if (tokenizer == Tokenizer::chars) {
        split_chars(begin, end, end, keep);
    } else if (tokenizer == Tokenizer::words) {
        const char* start = nullptr;
        for (const char* p = begin; p < end;) {
            const char* at = p;
            if (is_word(decode_utf8(p, end))) {
                start = start == nullptr ? at : start;
            } else if (start != nullptr) {
                keep(start, at, end);
                start = nullptr;
            }
        }
        if (start != nullptr) keep(start, end, end);
    } else {
        throw std::invalid_argument("this tokenizer changes the text before it splits it");
    }
    return out;
}

}  // namespace divfast
