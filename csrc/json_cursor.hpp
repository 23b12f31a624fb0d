// A strict reader of JSON text that the caller steers: no tree is built, nothing is copied unless asked for.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "json_scan.hpp"
#include "utf8.hpp"

namespace divfast {

struct Malformed {
    std::string message;
};

struct Slice {
    const char* begin;
    const char* end;
    bool escaped;  // begin..end still holds backslash escapes
};

inline const char* kind_of(char c) {
    switch (c) {
        case '"': return "a string";
        case '{': return "an object";
        case '[': return "a list";
        case 't':
        case 'f': return "true or false";
        case 'n': return "null";
        default: return "a number";
    }
}

class JsonCursor {
  public:
    // Bytes up to `readable` may be looked at, though only those before `end` are the text. Where there are any, the
    // first is a control character.
    void start(const char* begin, const char* end, const char* readable) {
        p_ = begin;
        end_ = end;
        readable_ = readable;
    }
    void start(const char* begin, const char* end) { start(begin, end, end); }
    // How many lone surrogates `append` has replaced.
    int64_t lone_surrogates = 0;

  protected:
    void space() {
        while (p_ < end_ && (*p_ == ' ' || *p_ == '\t' || *p_ == '\r' || *p_ == '\n')) ++p_;
    }
    char peek() {
        space();
        if (p_ == end_) throw Malformed{"ends inside a JSON value; it may be cut off."};
        return *p_;
    }
    void expect(char c) {
        if (peek() != c) throw Malformed{std::string("expected '") + c + "' but found " + found() + "."};
        ++p_;
    }
    std::string found() const {
        const char* stop = p_;
        while (stop < end_ && stop - p_ < 16 && *stop != ' ' && *stop != ',' && *stop != '"' && *stop != '\\') ++stop;
        if (stop == p_) ++stop;
        // Not through the middle of a character.
        while (stop < end_ && (static_cast<unsigned char>(*stop) & 0xC0) == 0x80) ++stop;
        return "'" + std::string(p_, stop) + "'";
    }

    Slice string() {
        expect('"');
        Slice out{p_, p_, false};
        for (;;) {
            out.escaped |= pass_plain(p_, readable_);
            if (p_ >= end_) throw Malformed{"ends inside a string; it may be cut off."};
            if (*p_ == '"') break;
            if (*p_ != '\\') throw Malformed{"a control character inside a string; JSON wants it escaped."};
            out.escaped = true;
            escape();
        }
        out.end = p_++;
        return out;
    }

    // Steps over a string that nobody will look at.
    void pass_string() {
        if (checked_) {
            string();
            return;
        }
        expect('"');
        p_ = find_closing_quote(p_, end_);
        if (p_ == end_) throw Malformed{"ends inside a string; it may be cut off."};
        ++p_;
    }

    // Steps over one escape sequence at p_.
    void escape() {
        if (end_ - p_ < 2) throw Malformed{"ends inside a string; it may be cut off."};
        switch (p_[1]) {
            case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': p_ += 2; return;
            case 'u':
                if (end_ - p_ < 6) throw Malformed{"ends inside a string; it may be cut off."};
                for (int i = 2; i < 6; ++i) hex(p_[i]);
                p_ += 6;
                return;
            default: throw Malformed{std::string("an unknown escape '\\") + p_[1] + "' inside a string."};
        }
    }

    static uint32_t hex(char c) {
        if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
        if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a' + 10);
        if (c >= 'A' && c <= 'F') return static_cast<uint32_t>(c - 'A' + 10);
        throw Malformed{"a \\u escape without four hexadecimal digits."};
    }
    static uint32_t hex4(const char* p) { return hex(p[0]) << 12 | hex(p[1]) << 8 | hex(p[2]) << 4 | hex(p[3]); }

    // Appends what the checked escape at p stands for and moves p behind it. A lone surrogate is no character:
    // U+FFFD stands for it, and is counted.
    template <typename Bytes>
    void unescape(Bytes& out, const char*& p, const char* end) {
        const char kind = p[1];
        p += 2;
        switch (kind) {
            case 'b': out.push_back('\b'); break;
            case 'f': out.push_back('\f'); break;
            case 'n': out.push_back('\n'); break;
            case 'r': out.push_back('\r'); break;
            case 't': out.push_back('\t'); break;
            case 'u': {
                uint32_t code = hex4(p);
                p += 4;
                if (code >= 0xD800 && code <= 0xDBFF && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
                    const uint32_t low = hex4(p + 2);
                    if (low >= 0xDC00 && low <= 0xDFFF) {
                        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                        p += 6;
                    }
                }
                if (code >= 0xD800 && code <= 0xDFFF) {
                    code = 0xFFFD;
                    ++lone_surrogates;
                }
                append_utf8(out, code);
                break;
            }
            default: out.push_back(kind);
        }
    }

    // Appends the text of a checked string.
    template <typename Bytes>
    void append(Bytes& out, const Slice& slice) {
        const char* p = slice.begin;
        while (slice.escaped) {
            const auto* stop = static_cast<const char*>(std::memchr(p, '\\', static_cast<size_t>(slice.end - p)));
            if (stop == nullptr) break;
            out.insert(out.end(), p, stop);
            p = stop;
            unescape(out, p, slice.end);
        }
        out.insert(out.end(), p, slice.end);
    }

    // Checks the string at p_ and writes its text, which is no longer than the string, in one pass; samples are most
    // of a dump. Up to kCopyStep bytes behind the end that is returned may be overwritten.
    char* copy_string(char* out) {
        expect('"');
        for (;;) {
            copy_plain(p_, readable_, out);
            if (p_ >= end_) throw Malformed{"ends inside a string; it may be cut off."};
            if (*p_ == '"') break;
            if (*p_ != '\\') throw Malformed{"a control character inside a string; JSON wants it escaped."};
            const char* at = p_;
            escape();
            p_ = at;
            Writer writer{out};
            unescape(writer, p_, end_);
            out = writer.at;
        }
        ++p_;
        return out;
    }

    void digits() {
        if (p_ == end_ || *p_ < '0' || *p_ > '9') throw Malformed{"a malformed number."};
        while (p_ < end_ && *p_ >= '0' && *p_ <= '9') ++p_;
    }

    void number() {
        if (*p_ == '-') ++p_;
        if (p_ < end_ && (*p_ == 'I' || *p_ == 'N')) return not_finite();
        if (p_ < end_ && *p_ == '0') {
            ++p_;
        } else {
            digits();
        }
        if (p_ < end_ && *p_ == '.') ++p_, digits();
        if (p_ < end_ && (*p_ == 'e' || *p_ == 'E')) {
            ++p_;
            if (p_ < end_ && (*p_ == '+' || *p_ == '-')) ++p_;
            digits();
        }
    }

    [[noreturn]] void literal_error() const {
        const auto starts = [this](const char* word) {
            const size_t n = std::strlen(word);
            return static_cast<size_t>(end_ - p_) >= n && std::memcmp(p_, word, n) == 0;
        };
        if (starts("NaN") || starts("Infinity")) {
            throw Malformed{std::string(starts("NaN") ? "NaN" : "Infinity") + " is not JSON; write null instead."};
        }
        throw Malformed{"expected a JSON value but found " + found() + "."};
    }

    void not_finite() {
        if (!allow_nan_) literal_error();
        literal(*p_ == 'N' ? "NaN" : "Infinity");
    }

    void literal(const char* word) {
        const size_t n = std::strlen(word);
        if (static_cast<size_t>(end_ - p_) < n || std::memcmp(p_, word, n) != 0) literal_error();
        p_ += n;
    }

    // Checks and passes over any value; nesting costs a byte a level, not stack.
    void skip_value() {
        nesting_.clear();
        do {
            char c = peek();
            if (c == '{' || c == '[') {
                ++p_;
                const char close = c == '{' ? '}' : ']';
                if (peek() == close) {
                    ++p_;
                } else {
                    nesting_.push_back(close);
                    if (c == '{') key();
                    continue;
                }
            } else if (c == '"') {
                pass_string();
            } else if (c == 't') {
                literal("true");
            } else if (c == 'f') {
                literal("false");
            } else if (c == 'n') {
                literal("null");
            } else if (c == '-' || (c >= '0' && c <= '9')) {
                number();
            } else if (c == 'N' || c == 'I') {
                not_finite();
            } else {
                literal_error();
            }
            // After a value: a comma and the next one, or the end of what holds it.
            while (!nesting_.empty()) {
                c = peek();
                if (c == ',') {
                    ++p_;
                    if (nesting_.back() == '}') key();
                    break;
                }
                expect(nesting_.back());
                nesting_.pop_back();
            }
        } while (!nesting_.empty());
    }

    Slice key() {
        const Slice name = string();
        expect(':');
        return name;
    }

    Slice raw_value() {
        peek();
        const char* begin = p_;
        skip_value();
        return {begin, p_, false};
    }

    const char* p_ = nullptr;
    const char* end_ = nullptr;
    const char* readable_ = nullptr;
    bool allow_nan_ = false;
    bool checked_ = true;  // without it, strings that are passed over are not looked into

  private:
    struct Writer {
        char* at;
        void push_back(char c) { *at++ = c; }
    };

    std::string nesting_;
};

}  // namespace divfast
