#include "mteval13a.hpp"

#include <cstring>

namespace divfast {
namespace {

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

}  // namespace

// mteval-v13a as sacrebleu writes it: literal replacements, then four substitutions in turn, each scanning
// left to right without overlap. Working on bytes is the same as on characters, since every class is ASCII.
void spread_13a(const char* begin, const char* end, std::string& line, std::string& scratch) {
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
}

}  // namespace divfast
