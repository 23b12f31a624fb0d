#include <charconv>

#include "python_parser.hpp"
#include "utf8.hpp"

namespace divfast {
namespace {

constexpr Label kConstant = class_label("Constant");
constexpr uint16_t kValue = role_of("value"), kElts = role_of("elts"), kArgs = role_of("args"), kOps = role_of("ops");

struct Operator {
    int precedence = 0;
    Label label{};
};

Operator binary_operator(Py kind) {
    switch (kind) {
        case Py::bar: return {1, class_label("BitOr")};
        case Py::caret: return {2, class_label("BitXor")};
        case Py::amper: return {3, class_label("BitAnd")};
        case Py::shift_left: return {4, class_label("LShift")};
        case Py::shift_right: return {4, class_label("RShift")};
        case Py::plus: return {5, class_label("Add")};
        case Py::minus: return {5, class_label("Sub")};
        case Py::star: return {6, class_label("Mult")};
        case Py::slash: return {6, class_label("Div")};
        case Py::slash2: return {6, class_label("FloorDiv")};
        case Py::percent: return {6, class_label("Mod")};
        case Py::at: return {6, class_label("MatMult")};
        default: return {};
    }
}

// Appends what a string token without its quotes stands for.
void append_escaped(const char* p, const char* end, bool bytes, std::string& out) {
    const auto hex = [&](int digits) {
        uint32_t value = 0;
        if (end - p < digits) throw Unusual{};
        const auto [stop, error] = std::from_chars(p, p + digits, value, 16);
        if (error != std::errc{} || stop != p + digits) throw Unusual{};
        p = stop;
        return value;
    };
    const auto put = [&](uint32_t code) {
        if (code > 0x10FFFF) throw Unusual{};
        if (bytes) {
            out.push_back(static_cast<char>(code));
        } else {
            append_utf8(out, code);
        }
    };
    while (p < end) {
        if (*p != '\\') {
            out.push_back(*p++);
            continue;
        }
        const char c = *++p;
        ++p;
        switch (c) {
            case '\n': break;
            case '\\': case '\'': case '"': out.push_back(c); break;
            case 'a': out.push_back('\a'); break;
            case 'b': out.push_back('\b'); break;
            case 'f': out.push_back('\f'); break;
            case 'n': out.push_back('\n'); break;
            case 'r': out.push_back('\r'); break;
            case 't': out.push_back('\t'); break;
            case 'v': out.push_back('\v'); break;
            case 'x': put(hex(2)); break;
            case 'u': case 'U': case 'N':
                if (bytes) {
                    out.push_back('\\'), out.push_back(c);
                } else if (c == 'N') {
                    throw Unusual{};
                } else {
                    put(hex(c == 'u' ? 4 : 8));
                }
                break;
            default:
                if (c >= '0' && c <= '7') {
                    uint32_t value = 0;
                    const char* last = std::min(end, p + 2);
                    for (--p; p < last && *p >= '0' && *p <= '7'; ++p) value = 8 * value + static_cast<uint32_t>(*p - '0');
                    if (value > 0xFF) throw Unusual{};
                    put(value);
                } else {
                    out.push_back('\\');
                    --p;
                }
        }
    }
}

}  // namespace

int32_t PythonParser::star_expressions() {
    const int32_t first = star_expression();
    if (!is(Py::comma)) {
        if (nodes_[static_cast<size_t>(first)].kind == Kind::starred) throw Unusual{};
        return first;
    }
    const int32_t tuple = make(class_label("Tuple"), Kind::tuple);
    child(tuple, kElts, first);
    while (accept(Py::comma)) {
        switch (token().kind) {
            case Py::newline: case Py::semicolon: case Py::equal: case Py::close_round: case Py::colon: break;
            default: child(tuple, kElts, star_expression()); continue;
        }
        break;
    }
    context(tuple);
    return tuple;
}

int32_t PythonParser::star_expression() {
    if (!accept(Py::star)) return expression();
    const int32_t starred = make(class_label("Starred"), Kind::starred);
    child(starred, kValue, binary(1));
    context(starred);
    return starred;
}

int32_t PythonParser::expression() {
    const Deeper deeper(depth_);
    if (is(Py::kw_lambda)) return lambda();
    const int32_t body = disjunction();
    if (!accept(Py::kw_if)) return body;
    const int32_t choice = make(class_label("IfExp"));
    child(choice, role_of("test"), disjunction());
    child(choice, role_of("body"), body);
    expect(Py::kw_else);
    child(choice, role_of("orelse"), expression());
    return choice;
}

int32_t PythonParser::disjunction() {
    const int32_t first = conjunction();
    if (!is(Py::kw_or)) return first;
    const int32_t node = make(class_label("BoolOp"));
    child(node, role_of("op"), make(class_label("Or")));
    child(node, role_of("values"), first);
    while (accept(Py::kw_or)) child(node, role_of("values"), conjunction());
    return node;
}

int32_t PythonParser::conjunction() {
    const int32_t first = inversion();
    if (!is(Py::kw_and)) return first;
    const int32_t node = make(class_label("BoolOp"));
    child(node, role_of("op"), make(class_label("And")));
    child(node, role_of("values"), first);
    while (accept(Py::kw_and)) child(node, role_of("values"), inversion());
    return node;
}

int32_t PythonParser::inversion() {
    if (!accept(Py::kw_not)) return comparison();
    const Deeper deeper(depth_);
    const int32_t node = make(class_label("UnaryOp"));
    child(node, role_of("op"), make(class_label("Not")));
    child(node, role_of("operand"), inversion());
    return node;
}

int32_t PythonParser::comparison() {
    const int32_t left = binary(1);
    int32_t node = -1, comparators = -1;
    for (;;) {
        Label label;
        switch (token().kind) {
            case Py::same: label = class_label("Eq"); break;
            case Py::different: label = class_label("NotEq"); break;
            case Py::less: label = class_label("Lt"); break;
            case Py::less_equal: label = class_label("LtE"); break;
            case Py::greater: label = class_label("Gt"); break;
            case Py::greater_equal: label = class_label("GtE"); break;
            case Py::kw_in: label = class_label("In"); break;
            case Py::kw_is: label = class_label(tokens_[at_ + 1].kind == Py::kw_not ? "IsNot" : "Is"); break;
            case Py::kw_not:
                if (tokens_[at_ + 1].kind != Py::kw_in) throw Unusual{};
                label = class_label("NotIn");
                break;
            default:
                if (node < 0) return left;
                adopt(node, comparators);
                return node;
        }
        at_ += is(Py::kw_not) || (is(Py::kw_is) && tokens_[at_ + 1].kind == Py::kw_not) ? 2 : 1;
        if (node < 0) {
            node = make(class_label("Compare"));
            comparators = make({});
            child(node, role_of("left"), left);
        }
        child(node, kOps, make(label));
        child(comparators, role_of("comparators"), binary(1));
    }
}

int32_t PythonParser::binary(int least) {
    int32_t left = factor();
    for (int chain = 0;; ++chain) {
        const Operator op = binary_operator(token().kind);
        if (op.precedence == 0 || op.precedence < least) return left;
        if (chain == kLongestChain) throw Unusual{};
        ++at_;
        const int32_t node = make(class_label("BinOp"));
        child(node, role_of("left"), left);
        child(node, role_of("op"), make(op.label));
        child(node, role_of("right"), binary(op.precedence + 1));
        left = node;
    }
}

int32_t PythonParser::factor() {
    Label op;
    switch (token().kind) {
        case Py::plus: op = class_label("UAdd"); break;
        case Py::minus: op = class_label("USub"); break;
        case Py::tilde: op = class_label("Invert"); break;
        default: {
            const int32_t base = primary();
            if (!accept(Py::star2)) return base;
            const Deeper deeper(depth_);
            const int32_t node = make(class_label("BinOp"));
            child(node, role_of("left"), base);
            child(node, role_of("op"), make(class_label("Pow")));
            child(node, role_of("right"), factor());
            return node;
        }
    }
    ++at_;
    const Deeper deeper(depth_);
    const int32_t node = make(class_label("UnaryOp"));
    child(node, role_of("op"), make(op));
    child(node, role_of("operand"), factor());
    return node;
}

int32_t PythonParser::primary() {
    int32_t value = atom();
    for (int chain = 0;; ++chain) {
        if (chain == kLongestChain) throw Unusual{};
        if (accept(Py::dot)) {
            Label label = class_label("Attribute");
            add_field(label, role_of("attr"));
            label.add_identifier(name());
            const int32_t node = make(label, Kind::attribute);
            child(node, kValue, value);
            context(node);
            value = node;
        } else if (accept(Py::open_round)) {
            const int32_t node = make(class_label("Call")), keywords = make({});
            child(node, role_of("func"), value);
            arguments(node, kArgs, keywords, true);
            adopt(node, keywords);
            value = node;
        } else if (accept(Py::open_square)) {
            const int32_t node = make(class_label("Subscript"), Kind::subscript);
            child(node, kValue, value);
            child(node, role_of("slice"), subscript());
            context(node);
            value = node;
        } else {
            return value;
        }
    }
}

int32_t PythonParser::atom() {
    Label label = kConstant;
    switch (token().kind) {
        case Py::name: {
            label = class_label("Name");
            add_field(label, role_of("id"));
            label.add_identifier(name());
            const int32_t node = make(label, Kind::name);
            context(node);
            return node;
        }
        case Py::string: return strings();
        case Py::number: return number();
        case Py::open_round: return round_brackets();
        case Py::open_square: return square_brackets();
        case Py::open_curly: return curly_brackets();
        case Py::kw_none:
            ++at_;
            return make(label);
        case Py::kw_true: case Py::kw_false:
            add_field(label, kValue);
            add_scalar(label, Scalar::boolean, uint64_t{is(Py::kw_true)});
            ++at_;
            return make(label);
        case Py::ellipsis:
            ++at_;
            add_field(label, kValue);
            add_scalar(label, Scalar::ellipsis, uint64_t{0});
            return make(label);
        case Py::newline: throw Wrong{};
        default: throw Unusual{};
    }
}

int32_t PythonParser::strings() {
    value_.clear();
    int kinds = 0;  // 1: text, 2: bytes, 3: both
    for (; is(Py::string); ++at_) {
        const char *p = token().begin, *end = token().end;
        bool raw = false, bytes = false;
        for (; *p != '\'' && *p != '"'; ++p) {
            raw |= (*p | 32) == 'r';
            bytes |= (*p | 32) == 'b';
        }
        // As a token it has both ends: six quotes are three and three.
        const bool triple = end - p >= 6 && p[1] == *p && p[2] == *p;
        p += triple ? 3 : 1;
        end -= triple ? 3 : 1;
        kinds |= bytes ? 2 : 1;
        if (bytes && std::any_of(p, end, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) throw Unusual{};
        if (raw || std::memchr(p, '\\', static_cast<size_t>(end - p)) == nullptr) {
            value_.append(p, end);
        } else {
            append_escaped(p, end, bytes, value_);
        }
    }
    if (kinds == 3) throw Unusual{};
    Label label = kConstant;
    add_field(label, kValue);
    add_scalar(label, kinds == 2 ? Scalar::bytes : Scalar::text, value_);
    return make(label);
}

int32_t PythonParser::number() {
    const std::string_view text = tokens_[at_++].text();
    const char *begin = text.data(), *end = begin + text.size();
    Label label = kConstant;
    add_field(label, kValue);
    const bool hex = text.size() > 1 && (text[1] | 32) == 'x';
    if (hex || text.find_first_not_of("0123456789") == std::string_view::npos) {
        uint64_t value = 0;
        // Up to here an int is the same signed and unsigned; "0123" is an error.
        if (text.size() > (hex ? 17 : 18) || (!hex && text.size() > 1 && text[0] == '0')) throw Unusual{};
        std::from_chars(begin + (hex ? 2 : 0), end, value, hex ? 16 : 10);
        add_scalar(label, Scalar::integer, value);
        return make(label);
    }
    double value = 0.0;
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (error != std::errc{} || stop != end) throw Unusual{};
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    add_scalar(label, Scalar::real, bits);
    return make(label);
}

int32_t PythonParser::yield() {
    expect(Py::kw_yield);
    if (accept(Py::kw_from)) {
        const int32_t node = make(class_label("YieldFrom"));
        child(node, kValue, expression());
        return node;
    }
    const int32_t node = make(class_label("Yield"));
    switch (token().kind) {
        case Py::newline: case Py::close_round: case Py::semicolon: case Py::equal: break;
        default: child(node, kValue, star_expressions());
    }
    return node;
}

int32_t PythonParser::lambda() {
    expect(Py::kw_lambda);
    const int32_t node = make(class_label("Lambda"));
    child(node, kArgs, parameters(Py::colon, false));
    child(node, role_of("body"), expression());
    return node;
}

}  // namespace divfast
