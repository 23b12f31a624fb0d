#include "code_tokens.hpp"

#include <string_view>

namespace divfast {
namespace {

constexpr uint32_t bit(Language language) { return 1u << static_cast<uint32_t>(language); }
constexpr uint32_t kPython = bit(Language::python), kScript = bit(Language::javascript) | bit(Language::typescript),
                   kJava = bit(Language::java), kC = bit(Language::c), kCpp = bit(Language::cpp), kGo = bit(Language::go),
                   kRust = bit(Language::rust), kBraces = kScript | kJava | kC | kCpp | kGo | kRust, kAll = kBraces | kPython;

struct Operator {
    std::string_view text;
    uint32_t languages;
};
// Longer ones first. Those of one character need no entry.
constexpr Operator kOperators[] = {
    {">>>=", kScript | kJava}, {"**=", kPython | kScript}, {"//=", kPython}, {"<<=", kAll}, {">>=", kAll},
    {"===", kScript}, {"!==", kScript}, {">>>", kScript | kJava}, {"&&=", kScript}, {"||=", kScript}, {"?" "?=", kScript},
    {"...", kPython | kScript | kJava | kC | kCpp | kGo}, {"..=", kRust}, {"&^=", kGo}, {"->*", kCpp}, {"<=>", kCpp},
    {"==", kAll}, {"!=", kAll}, {"<=", kAll}, {">=", kAll}, {"+=", kAll}, {"-=", kAll}, {"*=", kAll}, {"/=", kAll},
    {"%=", kAll}, {"&=", kAll}, {"|=", kAll}, {"^=", kAll}, {"<<", kAll}, {">>", kAll}, {"&&", kBraces}, {"||", kBraces},
    {"++", kScript | kJava | kC | kCpp | kGo}, {"--", kScript | kJava | kC | kCpp | kGo}, {"**", kPython | kScript},
    {"//", kPython}, {"->", kPython | kJava | kC | kCpp | kRust}, {"=>", kScript | kRust}, {"::", kJava | kCpp | kRust},
    {":=", kPython | kGo}, {"<-", kGo}, {"&^", kGo}, {"?.", kScript}, {"?" "?", kScript}, {"..", kRust}, {"@=", kPython},
    {".*", kCpp}, {"##", kC | kCpp},
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) || static_cast<unsigned char>(c) >= 0x80;
}
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Behind these a slash begins a regular expression, as it does behind an operator.
constexpr std::string_view kBeforeRegex[] = {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new",
                                             "else", "do", "instanceof", "yield", "await"};

class Lexer {
  public:
    Lexer(const char* begin, const char* end, Language language)
        : p_(begin), end_(end), mask_(bit(language)) {}

    template <typename Emit>
    void run(const Emit& emit) {
        while (skip()) {
            const char* begin = p_;
            token();
            last_ = {begin, static_cast<size_t>(p_ - begin)};
            emit(begin, p_);
        }
    }

  private:
    bool in(uint32_t languages) const { return (mask_ & languages) != 0; }
    char peek(int64_t ahead = 0) const { return end_ - p_ > ahead ? p_[ahead] : '\0'; }
    bool at(std::string_view text) const {
        return static_cast<size_t>(end_ - p_) >= text.size() && std::memcmp(p_, text.data(), text.size()) == 0;
    }

    // Goes to the next token; false where there is none.
    bool skip() {
        while (p_ < end_) {
            if (is_blank(*p_) || (*p_ == '\\' && peek(1) == '\n')) {
                ++p_;
            } else if (in(kPython) ? *p_ == '#' : at("//")) {
                while (p_ < end_ && *p_ != '\n') ++p_;
            } else if (in(kBraces) && at("/*")) {
                comment();
            } else {
                return true;
            }
        }
        return false;
    }

    void comment() {
        int64_t depth = 0;
        while (p_ < end_) {
            if (at("*/")) {
                p_ += 2;
                if (--depth == 0) return;
            } else if (at("/*") && (depth == 0 || in(kRust))) {
                p_ += 2;
                ++depth;
            } else {
                ++p_;
            }
        }
    }

    void token() {
        const char c = *p_;
        if (is_digit(c) || (c == '.' && is_digit(peek(1)) && !in(kRust))) {
            number();
        } else if (is_name(c) || (c == '$' && in(kScript | kJava))) {
            name();
        } else if (c == '"') {
            quoted(in(kPython | kJava), false);
        } else if (c == '\'') {
            apostrophe();
        } else if (c == '`' && in(kGo)) {
            until("`");
        } else if (c == '`' && in(kScript)) {
            pattern();
        } else if (c == '/' && in(kScript) && regex()) {
            return;
        } else {
            for (const Operator& one : kOperators) {
                if (in(one.languages) && at(one.text)) {
                    p_ += one.text.size();
                    return;
                }
            }
            ++p_;
        }
    }

    void number() {
        const bool hex = *p_ == '0' && (peek(1) == 'x' || peek(1) == 'X');
        while (p_ < end_) {
            const char c = *p_;
            if (is_name(c)) {
                ++p_;
                const bool exponent = hex ? c == 'p' || c == 'P' : c == 'e' || c == 'E';
                if (exponent && (peek() == '+' || peek() == '-') && is_digit(peek(1))) ++p_;
            } else if (c == '.' && peek(1) != '.' && (!in(kRust) || is_digit(peek(1)))) {
                ++p_;
            } else if (c == '\'' && in(kCpp | kC) && is_name(peek(1))) {
                p_ += 2;
            } else {
                return;
            }
        }
    }

    void name() {
        const char* begin = p_;
        while (p_ < end_ && (is_name(*p_) || (*p_ == '$' && in(kScript | kJava)))) ++p_;
        if (p_ == end_ || (*p_ != '"' && *p_ != '\'' && *p_ != '#')) return;
        // The prefix of a string belongs to it.
        const std::string_view prefix(begin, static_cast<size_t>(p_ - begin));
        const bool quote = *p_ != '#';
        if (in(kPython) && quote && prefix.size() <= 2 && prefix.find_first_not_of("rRbBuUfF") == std::string_view::npos) {
            quoted(true, false);
        } else if (in(kC | kCpp) && quote && (prefix == "L" || prefix == "u8" || prefix == "u" || prefix == "U")) {
            quoted(false, false);
        } else if (in(kCpp) && *p_ == '"' && prefix.back() == 'R' &&
                   (prefix == "R" || prefix == "LR" || prefix == "u8R" || prefix == "uR" || prefix == "UR")) {
            raw_cpp();
        } else if (in(kRust) && (prefix == "r" || prefix == "br" || prefix == "cr")) {
            raw_rust();
        } else if (in(kRust) && *p_ == '"' && (prefix == "b" || prefix == "c")) {
            quoted(false, true);
        } else if (in(kRust) && *p_ == '\'' && prefix == "b") {
            quoted(false, false);
        }
    }

    // From one quote to the next; over lines where `lines`, or between three quotes where the language has these.
    void quoted(bool triples, bool lines) {
        const char quote = *p_++;
        const bool triple = triples && peek() == quote && peek(1) == quote;
        if (triple) p_ += 2;
        lines |= triple || (in(kRust) && quote == '"');
        for (; p_ < end_; ++p_) {
            if (*p_ == '\\') {
                if (++p_ == end_) return;
            } else if (*p_ == '\n' && !lines) {
                return;
            } else if (*p_ == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
                p_ += triple ? 3 : 1;
                return;
            }
        }
    }

    void apostrophe() {
        if (!in(kRust)) return quoted(in(kPython), false);
        // 'a' is a character, 'a a lifetime.
        int64_t length = 1;
        while ((static_cast<unsigned char>(peek(1 + length)) & 0xC0) == 0x80) ++length;
        if (peek(1) == '\\' || peek(1 + length) == '\'') return quoted(false, false);
        ++p_;
        while (p_ < end_ && is_name(*p_)) ++p_;
    }

    // Through the next `mark` behind p_, or to the end.
    void until(std::string_view mark) {
        const std::string_view rest(p_ + 1, static_cast<size_t>(end_ - p_ - 1));
        const size_t found = rest.find(mark);
        p_ = found == std::string_view::npos ? end_ : p_ + 1 + found + mark.size();
    }

    void raw_cpp() {
        const char* open = p_ + 1;
        while (open < end_ && *open != '(' && open - p_ <= 17) ++open;
        if (open == end_ || *open != '(') return quoted(false, false);
        until(")" + std::string(p_ + 1, open) + "\"");
    }

    void raw_rust() {
        const char* open = p_;
        while (open < end_ && *open == '#') ++open;
        // r#type is a name.
        if (open == end_ || *open != '"') {
            if (*p_ == '#') ++p_;
            while (p_ < end_ && is_name(*p_)) ++p_;
            return;
        }
        const std::string marks(p_, open);
        p_ = open;
        until("\"" + marks);
    }

    // A template of JavaScript, with what it holds in ${...}.
    void pattern() {
        int64_t depth = 0;
        for (++p_; p_ < end_; ++p_) {
            if (*p_ == '\\') {
                if (++p_ == end_) return;
            } else if (depth == 0 && *p_ == '`') {
                ++p_;
                return;
            } else if (*p_ == '{' && (depth > 0 || p_[-1] == '$')) {
                ++depth;
            } else if (*p_ == '}' && depth > 0) {
                --depth;
            }
        }
    }

    bool regex() {
        if (!last_.empty()) {
            const char before = last_.back();
            const bool value = is_name(before) || before == ')' || before == ']' || before == '}' || before == '$' ||
                               before == '"' || before == '\'' || before == '`';
            if (value && std::find(std::begin(kBeforeRegex), std::end(kBeforeRegex), last_) == std::end(kBeforeRegex)) return false;
        }
        bool set = false;
        for (const char* q = p_ + 1; q < end_ && *q != '\n'; ++q) {
            if (*q == '\\') {
                if (++q == end_ || *q == '\n') return false;
            } else if (*q == '[') {
                set = true;
            } else if (*q == ']') {
                set = false;
            } else if (*q == '/' && !set) {
                p_ = q + 1;
                while (p_ < end_ && is_name(*p_)) ++p_;
                return true;
            }
        }
        return false;
    }

    const char* p_;
    const char* end_;
    uint32_t mask_;
    std::string_view last_{};
};

}  // namespace

std::vector<RaggedBuffer<uint64_t>> tokenize_code(const RaggedView<char>& text, const uint8_t* languages, int threads) {
    const std::vector<int64_t> cuts = balanced_cuts(text.offsets, text.rows, 4 * resolve_threads(threads));
    std::vector<RaggedBuffer<uint64_t>> out(cuts.size() - 1);
    parallel_for(static_cast<int64_t>(out.size()), threads, [&](int64_t part) {
        RaggedBuffer<uint64_t>& tokens = out[static_cast<size_t>(part)];
        for (int64_t row = cuts[static_cast<size_t>(part)]; row < cuts[static_cast<size_t>(part) + 1]; ++row) {
            Lexer(text.begin(row), text.end(row), static_cast<Language>(languages[row])).run([&](const char* a, const char* b) {
                tokens.values.push_back(hash_bytes(a, static_cast<size_t>(b - a)));
            });
            tokens.close_row();
        }
    });
    return out;
}

std::vector<std::string> code_token_strings(const char* begin, const char* end, Language language) {
    std::vector<std::string> out;
    Lexer(begin, end, language).run([&](const char* a, const char* b) { out.emplace_back(a, b); });
    return out;
}

}  // namespace divfast
