#include "python_tokens.hpp"

#include "utf8.hpp"

namespace divfast {
namespace {

constexpr size_t kMostIndents = 50;
constexpr size_t kMostBrackets = 50;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Keyword {
    std::string_view text;
    Py kind;
};
constexpr Keyword kKeywords[] = {
    {"and", Py::kw_and}, {"as", Py::kw_as}, {"assert", Py::kw_assert}, {"async", Py::kw_async}, {"await", Py::kw_await},
    {"break", Py::kw_break}, {"class", Py::kw_class}, {"continue", Py::kw_continue}, {"def", Py::kw_def},
    {"del", Py::kw_del}, {"elif", Py::kw_elif}, {"else", Py::kw_else}, {"except", Py::kw_except},
    {"False", Py::kw_false}, {"finally", Py::kw_finally}, {"for", Py::kw_for}, {"from", Py::kw_from},
    {"global", Py::kw_global}, {"if", Py::kw_if}, {"import", Py::kw_import}, {"in", Py::kw_in}, {"is", Py::kw_is},
    {"lambda", Py::kw_lambda}, {"None", Py::kw_none}, {"nonlocal", Py::kw_nonlocal}, {"not", Py::kw_not},
    {"or", Py::kw_or}, {"pass", Py::kw_pass}, {"raise", Py::kw_raise}, {"return", Py::kw_return}, {"True", Py::kw_true},
    {"try", Py::kw_try}, {"while", Py::kw_while}, {"with", Py::kw_with}, {"yield", Py::kw_yield},
};

Py name_kind(std::string_view text) {
    if (text.size() < 2 || text.size() > 8) return Py::name;
    for (const Keyword& keyword : kKeywords) {
        if (keyword.text[0] == text[0] && keyword.text == text) return keyword.kind;
    }
    return Py::name;
}

class Lexer {
  public:
    Lexer(const char* begin, const char* end, std::vector<PyToken>& tokens) : p_(begin), end_(end), tokens_(tokens) {}

    void run() {
        while (p_ < end_) line();
        if (!brackets_.empty()) throw Wrong{};
        if (!tokens_.empty() && tokens_.back().kind != Py::newline) put(Py::newline, p_);
        for (; indents_.size() > 1; indents_.pop_back()) put(Py::dedent, p_);
        put(Py::end, p_);
    }

  private:
    void put(Py kind, const char* begin) { tokens_.push_back({kind, begin, p_}); }
    char peek(int64_t ahead = 0) const { return end_ - p_ > ahead ? p_[ahead] : '\0'; }

    void line() {
        const char* start = p_;
        while (peek() == ' ') ++p_;
        const int64_t width = p_ - start;
        if (p_ == end_) return;
        if (*p_ == '\t' || *p_ == '\f' || *p_ == '\\') throw Unusual{};
        if (*p_ == '\n') {
            ++p_;
            return;
        }
        if (*p_ == '#') {
            comment();
            return;
        }
        indent(width);
        while (p_ < end_) {
            const char c = *p_;
            if (c == ' ' || c == '\t') {
                ++p_;
            } else if (c == '\\' && peek(1) == '\n' && end_ - p_ > 2) {
                p_ += 2;
            } else if (c == '#') {
                comment();
            } else if (c == '\n') {
                const char* at = p_++;
                if (!brackets_.empty()) continue;
                tokens_.push_back({Py::newline, at, p_});
                return;
            } else {
                token();
            }
        }
    }

    void comment() {
        const void* found = std::memchr(p_, '\n', static_cast<size_t>(end_ - p_));
        p_ = found == nullptr ? end_ : static_cast<const char*>(found);
    }

    void indent(int64_t width) {
        if (width > indents_.back()) {
            if (tokens_.empty()) throw Wrong{};
            if (indents_.size() > kMostIndents) throw Unusual{};
            indents_.push_back(width);
            put(Py::indent, p_);
        }
        while (width < indents_.back()) {
            indents_.pop_back();
            put(Py::dedent, p_);
        }
        if (width != indents_.back()) throw Wrong{};
    }

    void token() {
        const char* begin = p_;
        const char c = *p_;
        if (is_letter(c)) {
            while (is_letter(peek()) || is_digit(peek())) ++p_;
            if (peek() == '\'' || peek() == '"') {
                string(begin);
                return;
            }
            put(name_kind({begin, static_cast<size_t>(p_ - begin)}), begin);
        } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
            number();
            put(Py::number, begin);
        } else if (c == '\'' || c == '"') {
            string(begin);
        } else {
            op();
        }
    }

    void number() {
        if (*p_ == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
            p_ += 2;
            const char* digits = p_;
            while (is_digit(peek()) || (peek() >= 'a' && peek() <= 'f') || (peek() >= 'A' && peek() <= 'F')) ++p_;
            if (p_ == digits) throw Unusual{};
        } else {
            while (is_digit(peek())) ++p_;
            if (peek() == '.') {
                ++p_;
                while (is_digit(peek())) ++p_;
            }
            if ((peek() == 'e' || peek() == 'E') && (is_digit(peek(1)) || ((peek(1) == '-' || peek(1) == '+') && is_digit(peek(2))))) {
                p_ += 2;
                while (is_digit(peek())) ++p_;
            }
        }
        // 1_000, 1j, 1if, and what is no number.
        if (is_letter(peek()) || static_cast<unsigned char>(peek()) >= 0x80) throw Unusual{};
    }

    // `begin` is where the prefix begins, p_ the quote.
    void string(const char* begin) {
        for (const char* q = begin; q < p_; ++q) {
            if (std::memchr("rRbB", *q, 4) == nullptr) throw Unusual{};
        }
        if (p_ - begin > 2 || (p_ - begin == 2 && (begin[0] | 32) == (begin[1] | 32))) throw Unusual{};
        const char quote = *p_++;
        const bool triple = peek() == quote && peek(1) == quote;
        if (triple) p_ += 2;
        for (; p_ < end_; ++p_) {
            if (*p_ == '\\') {
                if (++p_ == end_) break;
            } else if (*p_ == '\n' && !triple) {
                throw Wrong{};
            } else if (*p_ == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
                p_ += triple ? 3 : 1;
                put(Py::string, begin);
                return;
            }
        }
        throw Wrong{};
    }

    void take(Py kind, int64_t length) {
        const char* begin = p_;
        p_ += length;
        put(kind, begin);
    }
    // One of `op`, `op` and "=".
    void maybe_equal(Py plain, Py with_equal, int64_t length) {
        const bool assigns = peek(length) == '=';
        take(assigns ? with_equal : plain, length + (assigns ? 1 : 0));
    }
    void open(Py kind) {
        if (brackets_.size() == kMostBrackets) throw Unusual{};
        brackets_.push_back(kind);
        take(kind, 1);
    }
    void close(Py kind, Py opened) {
        if (brackets_.empty() || brackets_.back() != opened) throw Wrong{};
        brackets_.pop_back();
        take(kind, 1);
    }

    void op() {
        const char next = peek(1);
        switch (*p_) {
            case '(': return open(Py::open_round);
            case ')': return close(Py::close_round, Py::open_round);
            case '[': return open(Py::open_square);
            case ']': return close(Py::close_square, Py::open_square);
            case '{': return open(Py::open_curly);
            case '}': return close(Py::close_curly, Py::open_curly);
            case ',': return take(Py::comma, 1);
            case ':':
                if (next == '=') throw Unusual{};
                return take(Py::colon, 1);
            case ';': return take(Py::semicolon, 1);
            case '.':
                if (next == '.' && peek(2) == '.') return take(Py::ellipsis, 3);
                return take(Py::dot, 1);
            case '=': return next == '=' ? take(Py::same, 2) : take(Py::equal, 1);
            case '!':
                if (next != '=') throw Unusual{};
                return take(Py::different, 2);
            case '@': return maybe_equal(Py::at, Py::at_equal, 1);
            case '+': return maybe_equal(Py::plus, Py::plus_equal, 1);
            case '-': return next == '>' ? take(Py::arrow, 2) : maybe_equal(Py::minus, Py::minus_equal, 1);
            case '*': return next == '*' ? maybe_equal(Py::star2, Py::star2_equal, 2) : maybe_equal(Py::star, Py::star_equal, 1);
            case '/':
                return next == '/' ? maybe_equal(Py::slash2, Py::slash2_equal, 2) : maybe_equal(Py::slash, Py::slash_equal, 1);
            case '%': return maybe_equal(Py::percent, Py::percent_equal, 1);
            case '&': return maybe_equal(Py::amper, Py::amper_equal, 1);
            case '|': return maybe_equal(Py::bar, Py::bar_equal, 1);
            case '^': return maybe_equal(Py::caret, Py::caret_equal, 1);
            case '~': return take(Py::tilde, 1);
            case '<':
                if (next == '>') throw Unusual{};
                return next == '<' ? maybe_equal(Py::shift_left, Py::shift_left_equal, 2) : maybe_equal(Py::less, Py::less_equal, 1);
            case '>':
                return next == '>' ? maybe_equal(Py::shift_right, Py::shift_right_equal, 2)
                                   : maybe_equal(Py::greater, Py::greater_equal, 1);
            default: throw Unusual{};
        }
    }

    const char* p_;
    const char* end_;
    std::vector<PyToken>& tokens_;
    std::vector<int64_t> indents_{0};
    std::vector<Py> brackets_;
};

}  // namespace

void tokenize_python(const char* begin, const char* end, std::vector<PyToken>& tokens) {
    const auto bytes = static_cast<size_t>(end - begin);
    // The interpreter reads "\r" as the end of a line, and invalid UTF-8 only once it is replaced.
    if (bytes != 0 && (std::memchr(begin, '\r', bytes) != nullptr || std::memchr(begin, 0, bytes) != nullptr ||
                       find_invalid_utf8(begin, end) != end)) {
        throw Unusual{};
    }
    tokens.clear();
    Lexer(begin, end, tokens).run();
}

}  // namespace divfast
