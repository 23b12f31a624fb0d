// The syntax trees that Python's own parser gives, for plain programs: a few dozen times as fast, and on any thread.
//
// Whatever it takes, it takes as Python 3.11 and later do. At what is rare or wrong it gives up, and the caller asks the
// interpreter: f-strings, match, async, :=, tabs that indent, numbers with underscores, letters beyond ASCII
// outside strings, deep nesting, every error.
#pragma once

#include <string>

#include "program_tree.hpp"
#include "python_tokens.hpp"

namespace divfast {

class PythonParser {
  public:
    // Appends the tree of one program, without nodes where it is wrong. Returns false, and appends one without nodes,
    // where the interpreter is to be asked.
    bool parse(const char* begin, const char* end, Nodes& out);

  private:
    enum class Kind : uint8_t { other, name, attribute, subscript, tuple, list, starred };
    struct Node {
        Label label;
        int32_t first = -1, last = -1, next = -1;
        uint16_t role = 0;
        Kind kind = Kind::other;
    };
    // Limits the depth of what calls itself.
    class Deeper {
      public:
        explicit Deeper(int& depth) : depth_(depth) {
            if (++depth_ > kMostDeep) throw Unusual{};
        }
        ~Deeper() { --depth_; }
        Deeper(const Deeper&) = delete;
        Deeper& operator=(const Deeper&) = delete;

      private:
        int& depth_;
    };
    static constexpr int kMostDeep = 60;
    // Of operators and trailers one after the other: each makes the tree deeper by one.
    static constexpr int kLongestChain = 100;

    const PyToken& token() const { return tokens_[at_]; }
    bool is(Py kind) const { return token().kind == kind; }
    bool accept(Py kind) {
        if (!is(kind)) return false;
        ++at_;
        return true;
    }
    void expect(Py kind) {
        if (!accept(kind)) throw Unusual{};
    }
    std::string_view name() {
        if (!is(Py::name)) throw Unusual{};
        return tokens_[at_++].text();
    }

    int32_t make(const Label& label, Kind kind = Kind::other);
    void child(int32_t parent, uint16_t role, int32_t node);
    // Hangs on the parent the children of another node that is dropped.
    void adopt(int32_t parent, int32_t dropped);
    void context(int32_t node);
    void target(int32_t node, const Label& context);
    void flatten(int32_t root, Nodes& out);

    // python_expressions.cpp
    int32_t star_expressions();
    int32_t star_expression();
    int32_t expression();
    int32_t disjunction();
    int32_t conjunction();
    int32_t inversion();
    int32_t comparison();
    int32_t binary(int least);
    int32_t factor();
    int32_t primary();
    int32_t atom();
    int32_t strings();
    int32_t number();
    int32_t round_brackets();
    int32_t square_brackets();
    int32_t curly_brackets();
    int32_t subscript();
    int32_t slice();
    int32_t yield();
    int32_t lambda();
    int32_t star_targets(Py stop);
    // Arguments up to the closing bracket; `positional` and `keywords` are nodes to hang them on.
    void arguments(int32_t positional, uint16_t role, int32_t keywords, bool generator);
    void comprehensions(int32_t parent);
    int32_t parameters(Py stop, bool annotated);
    void elements(int32_t parent, Py stop);

    // python_statements.cpp
    void statements(int32_t parent, uint16_t role, Py stop);
    void block(int32_t parent, uint16_t role);
    void simple_statements(int32_t parent, uint16_t role);
    int32_t simple_statement();
    int32_t expression_statement();
    int32_t import();
    int32_t import_from();
    int32_t alias(bool dotted);
    int32_t names(const Label& label);
    int32_t condition(bool loop);
    int32_t loop_over();
    int32_t attempt();
    int32_t with();
    int32_t function(int32_t decorators);
    int32_t class_definition(int32_t decorators);
    int32_t decorated();

    std::vector<PyToken> tokens_;
    std::vector<Node> nodes_;
    std::vector<std::pair<int32_t, int64_t>> path_;
    std::string value_;
    size_t at_ = 0;
    int depth_ = 0;
};

}  // namespace divfast
