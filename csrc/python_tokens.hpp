// Tokens of plain Python programs. What is rare in programs throws Unusual, and the interpreter's own parser decides;
// what no version of Python takes throws Wrong.
#pragma once

#include <string_view>

#include "common.hpp"

namespace divfast {

struct Unusual {};
struct Wrong {};

enum class Py : uint8_t {
    end, newline, indent, dedent, name, number, string,
    // keywords
    kw_and, kw_as, kw_assert, kw_async, kw_await, kw_break, kw_class, kw_continue, kw_def, kw_del, kw_elif, kw_else,
    kw_except, kw_false, kw_finally, kw_for, kw_from, kw_global, kw_if, kw_import, kw_in, kw_is, kw_lambda, kw_none,
    kw_nonlocal, kw_not, kw_or, kw_pass, kw_raise, kw_return, kw_true, kw_try, kw_while, kw_with, kw_yield,
    // operators
    open_round, close_round, open_square, close_square, open_curly, close_curly, comma, colon, semicolon, dot, ellipsis,
    arrow, equal, at, plus, minus, star, star2, slash, slash2, percent, amper, bar, caret, tilde, shift_left,
    shift_right, less, greater, less_equal, greater_equal, same, different,
    // assignments with an operator, in the order of plus .. shift_right without tilde, then at
    plus_equal, minus_equal, star_equal, star2_equal, slash_equal, slash2_equal, percent_equal, amper_equal, bar_equal,
    caret_equal, shift_left_equal, shift_right_equal, at_equal,
};

struct PyToken {
    Py kind;
    const char* begin;
    const char* end;
    std::string_view text() const { return {begin, static_cast<size_t>(end - begin)}; }
};

// Replaces `tokens` by those of a program; the last one is Py::end.
void tokenize_python(const char* begin, const char* end, std::vector<PyToken>& tokens);

}  // namespace divfast
