#include "tokens.hpp"

#include <stdexcept>

#include "utf8.hpp"

namespace divfast {
namespace {

// ASCII white space of str.split(); bytes above 0x7F need decoding.
inline bool is_ascii_space(unsigned char byte) {
    return byte == ' ' || (byte >= 0x09 && byte <= 0x0D) || (byte >= 0x1C && byte <= 0x1F);
}

// Calls emit(begin, end) for each run of bytes between white space.
template <typename Emit>
void split_whitespace(const char* p, const char* end, const Emit& emit) {
    const char* start = nullptr;
    while (p < end) {
        const auto byte = static_cast<unsigned char>(*p);
        const char* here = p;
        bool space;
        if (byte < 0x80) {
            space = is_ascii_space(byte);
            ++p;
        } else {
            space = is_space(decode_utf8(p, end));
        }
        if (space) {
            if (start) emit(start, here);
            start = nullptr;
        } else if (!start) {
            start = here;
        }
    }
    if (start) emit(start, end);
}

// The paper's code deletes every "." and newline, joining what stood around them, before it splits.
template <typename Emit>
void split_paper(const char* begin, const char* end, std::string& scratch, const Emit& emit) {
    scratch.clear();
    for (const char* p = begin; p < end; ++p) {
        if (*p != '.' && *p != '\n') scratch.push_back(*p);
    }
    split_whitespace(scratch.data(), scratch.data() + scratch.size(), emit);
}

template <typename Emit>
void split_words(const char* p, const char* end, std::string& scratch, const Emit& emit) {
    scratch.clear();
    const auto flush = [&] {
        if (!scratch.empty()) emit(scratch.data(), scratch.data() + scratch.size());
        scratch.clear();
    };
    while (p < end) {
        const uint32_t code = decode_utf8(p, end);
        if (is_word(code)) {
            append_lower(scratch, code);
        } else {
            flush();
        }
    }
    flush();
}

template <typename Emit>
void split_chars(const char* p, const char* end, const Emit& emit) {
    while (p < end) {
        const char* start = p;
        if (!is_space(decode_utf8(p, end))) emit(start, p);
    }
}

void replace_all(std::string& text, const char* what, const char* with) {
    const size_t length = std::strlen(what);
    size_t at = text.find(what);
    if (at == std::string::npos) return;
    std::string out;
    size_t from = 0;
    for (; at != std::string::npos; at = text.find(what, from)) {
        out.append(text, from, at - from);
        out += with;
        from = at + length;
    }
    out.append(text, from, std::string::npos);
    text.swap(out);
}

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_stop(char c) { return c == '.' || c == ','; }
inline bool is_13a_symbol(char c) {
    const auto b = static_cast<unsigned char>(c);
    return (b >= 0x20 && b <= 0x26) || (b >= 0x28 && b <= 0x2B) || b == '/' || (b >= 0x3A && b <= 0x40) ||
           (b >= 0x5B && b <= 0x60) || (b >= 0x7B && b <= 0x7E);
}

// mteval-v13a as sacrebleu writes it: literal replacements, then four substitutions in turn, each scanning
// left to right without overlap. Working on bytes is the same as on characters, since every class is ASCII.
template <typename Emit>
void split_13a(const char* begin, const char* end, std::string& line, std::string& scratch, const Emit& emit) {
    line.assign(begin, end);
    replace_all(line, "<skipped>", "");
    replace_all(line, "-\n", "");
    replace_all(line, "\n", " ");
    replace_all(line, "&quot;", "\"");
    replace_all(line, "&amp;", "&");
    replace_all(line, "&lt;", "<");
    replace_all(line, "&gt;", ">");

    scratch = " ";
    for (const char c : line) {
        if (is_13a_symbol(c)) {
            scratch += ' ', scratch += c, scratch += ' ';
        } else {
            scratch += c;
        }
    }
    scratch += ' ';

    // ([^0-9])([.,]) -> \1 \2 and a space
    line.clear();
    for (size_t i = 0; i < scratch.size(); ++i) {
        line += scratch[i];
        if (i + 1 < scratch.size() && !is_digit(scratch[i]) && is_stop(scratch[i + 1])) {
            line += ' ', line += scratch[++i], line += ' ';
        }
    }
    // ([.,])([^0-9]) -> a space, \1, a space, \2
    scratch.clear();
    for (size_t i = 0; i < line.size(); ++i) {
        if (i + 1 < line.size() && is_stop(line[i]) && !is_digit(line[i + 1])) {
            scratch += ' ', scratch += line[i], scratch += ' ', scratch += line[++i];
        } else {
            scratch += line[i];
        }
    }
    // ([0-9])(-) -> \1 \2 and a space
    line.clear();
    for (size_t i = 0; i < scratch.size(); ++i) {
        line += scratch[i];
        if (i + 1 < scratch.size() && is_digit(scratch[i]) && scratch[i + 1] == '-') {
            line += ' ', line += scratch[++i], line += ' ';
        }
    }
    split_whitespace(line.data(), line.data() + line.size(), emit);
}

struct Scratch {
    std::string first, second;
};

template <typename Emit>
void split(const char* begin, const char* end, Tokenizer tokenizer, Scratch& scratch, const Emit& emit) {
    switch (tokenizer) {
        case Tokenizer::whitespace: return split_whitespace(begin, end, emit);
        case Tokenizer::paper: return split_paper(begin, end, scratch.first, emit);
        case Tokenizer::words: return split_words(begin, end, scratch.first, emit);
        case Tokenizer::chars: return split_chars(begin, end, emit);
        case Tokenizer::mteval13a: return split_13a(begin, end, scratch.first, scratch.second, emit);
    }
}

}  // namespace

Tokenizer tokenizer_from_name(const std::string& name) {
    if (name == "whitespace") return Tokenizer::whitespace;
    if (name == "paper") return Tokenizer::paper;
    if (name == "words") return Tokenizer::words;
    if (name == "chars") return Tokenizer::chars;
    if (name == "13a") return Tokenizer::mteval13a;
    throw std::invalid_argument("unknown tokenizer " + name);
}

std::vector<RaggedBuffer<uint64_t>> tokenize(const RaggedView<char>& text, Tokenizer tokenizer, int threads) {
    // About a megabyte of text a task keeps threads busy without making the join costly.
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(text.total() >> 20, 16 * resolve_threads(threads)));
    const std::vector<int64_t> cuts = balanced_cuts(text.offsets, text.rows, parts);
    std::vector<RaggedBuffer<uint64_t>> out(cuts.size() - 1);
    parallel_for(static_cast<int64_t>(out.size()), threads, [&](int64_t part) {
        RaggedBuffer<uint64_t>& tokens = out[static_cast<size_t>(part)];
        Scratch scratch;
        const int64_t first = cuts[static_cast<size_t>(part)], last = cuts[static_cast<size_t>(part) + 1];
        tokens.offsets.reserve(static_cast<size_t>(last - first) + 1);
        const int64_t bytes = last > first ? text.offsets[last] - text.offsets[first] : 0;
        tokens.values.reserve(static_cast<size_t>(bytes / (tokenizer == Tokenizer::chars ? 1 : 5) + 16));
        for (int64_t row = first; row < last; ++row) {
            split(text.begin(row), text.end(row), tokenizer, scratch, [&](const char* begin, const char* end) {
                tokens.values.push_back(hash_bytes(begin, static_cast<size_t>(end - begin)));
            });
            tokens.close_row();
        }
    });
    return out;
}

std::vector<std::string> token_strings(const char* begin, const char* end, Tokenizer tokenizer) {
    std::vector<std::string> out;
    Scratch scratch;
    split(begin, end, tokenizer, scratch, [&](const char* a, const char* b) { out.emplace_back(a, b); });
    return out;
}

}  // namespace divfast
