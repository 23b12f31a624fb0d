#include "python_parser.hpp"

namespace divfast {
namespace {

constexpr Label kStore = class_label("Store");
constexpr uint16_t kBody = role_of("body"), kOrelse = role_of("orelse"), kName = role_of("name");

}  // namespace

void PythonParser::statements(int32_t parent, uint16_t role, Py stop) {
    while (!accept(stop)) {
        int32_t node = -1;
        switch (token().kind) {
            case Py::kw_if: node = condition(false); break;
            case Py::kw_while: node = condition(true); break;
            case Py::kw_for: node = loop_over(); break;
            case Py::kw_try: node = attempt(); break;
            case Py::kw_with: node = with(); break;
            case Py::kw_def: node = function(-1); break;
            case Py::kw_class: node = class_definition(-1); break;
            case Py::at: node = decorated(); break;
            default: simple_statements(parent, role); continue;
        }
        child(parent, role, node);
    }
}

void PythonParser::block(int32_t parent, uint16_t role) {
    const Deeper deeper(depth_);
    expect(Py::colon);
    if (!accept(Py::newline)) {
        simple_statements(parent, role);
        return;
    }
    if (!accept(Py::indent)) throw Wrong{};
    statements(parent, role, Py::dedent);
}

void PythonParser::simple_statements(int32_t parent, uint16_t role) {
    do {
        child(parent, role, simple_statement());
    } while (accept(Py::semicolon) && !is(Py::newline));
    expect(Py::newline);
}

int32_t PythonParser::simple_statement() {
    const auto ends = [&] { return is(Py::newline) || is(Py::semicolon); };
    const Py kind = token().kind;
    int32_t node = -1;
    switch (kind) {
        case Py::kw_pass: return ++at_, make(class_label("Pass"));
        case Py::kw_break: return ++at_, make(class_label("Break"));
        case Py::kw_continue: return ++at_, make(class_label("Continue"));
        case Py::kw_import: return import();
        case Py::kw_from: return import_from();
        case Py::kw_global: return names(class_label("Global"));
        case Py::kw_nonlocal: return names(class_label("Nonlocal"));
        case Py::kw_return:
            ++at_;
            node = make(class_label("Return"));
            if (!ends()) child(node, role_of("value"), star_expressions());
            return node;
        case Py::kw_raise:
            ++at_;
            node = make(class_label("Raise"));
            if (ends()) return node;
            child(node, role_of("exc"), expression());
            if (accept(Py::kw_from)) child(node, role_of("cause"), expression());
            return node;
        case Py::kw_assert:
            ++at_;
            node = make(class_label("Assert"));
            child(node, role_of("test"), expression());
            if (accept(Py::comma)) child(node, role_of("msg"), expression());
            return node;
        case Py::kw_del:
            ++at_;
            node = make(class_label("Delete"));
            do {
                const int32_t removed = primary();
                target(removed, class_label("Del"));
                child(node, role_of("targets"), removed);
            } while (accept(Py::comma) && !ends());
            return node;
        default: return expression_statement();
    }
}

int32_t PythonParser::expression_statement() {
    const bool bracketed = is(Py::open_round);
    const int32_t first = is(Py::kw_yield) ? yield() : star_expressions();
    const auto value = [&] { return is(Py::kw_yield) ? yield() : star_expressions(); };
    const Kind kind = nodes_[static_cast<size_t>(first)].kind;
    if (is(Py::equal)) {
        const int32_t node = make(class_label("Assign"));
        int32_t last = first;
        while (accept(Py::equal)) {
            target(last, kStore);
            child(node, role_of("targets"), last);
            last = value();
        }
        child(node, role_of("value"), last);
        return node;
    }
    const bool single = kind == Kind::name || kind == Kind::attribute || kind == Kind::subscript;
    if (is(Py::colon)) {
        // What "match [x]:" begins is no annotation.
        if (!single || bracketed || tokens_[at_ + 1].kind == Py::newline) throw Unusual{};
        ++at_;
        target(first, kStore);
        Label label = class_label("AnnAssign");
        add_field(label, role_of("simple"));
        add_scalar(label, Scalar::integer, uint64_t{kind == Kind::name});
        const int32_t node = make(label);
        child(node, role_of("target"), first);
        child(node, role_of("annotation"), expression());
        if (accept(Py::equal)) child(node, role_of("value"), value());
        return node;
    }
    Label op;
    switch (token().kind) {
        case Py::plus_equal: op = class_label("Add"); break;
        case Py::minus_equal: op = class_label("Sub"); break;
        case Py::star_equal: op = class_label("Mult"); break;
        case Py::star2_equal: op = class_label("Pow"); break;
        case Py::slash_equal: op = class_label("Div"); break;
        case Py::slash2_equal: op = class_label("FloorDiv"); break;
        case Py::percent_equal: op = class_label("Mod"); break;
        case Py::amper_equal: op = class_label("BitAnd"); break;
        case Py::bar_equal: op = class_label("BitOr"); break;
        case Py::caret_equal: op = class_label("BitXor"); break;
        case Py::shift_left_equal: op = class_label("LShift"); break;
        case Py::shift_right_equal: op = class_label("RShift"); break;
        case Py::at_equal: op = class_label("MatMult"); break;
        default: {
            const int32_t node = make(class_label("Expr"));
            child(node, role_of("value"), first);
            return node;
        }
    }
    if (!single) throw Unusual{};
    ++at_;
    target(first, kStore);
    const int32_t node = make(class_label("AugAssign"));
    child(node, role_of("target"), first);
    child(node, role_of("op"), make(op));
    child(node, role_of("value"), value());
    return node;
}

int32_t PythonParser::names(const Label& of) {
    ++at_;
    Label label = of;
    uint64_t i = 0;
    do {
        add_field(label, role_of("names"), i++);
        label.add_identifier(name());
    } while (accept(Py::comma));
    return make(label);
}

int32_t PythonParser::alias(bool dotted) {
    value_ = name();
    while (dotted && accept(Py::dot)) {
        value_ += '.';
        value_ += name();
    }
    Label label = class_label("alias");
    add_field(label, kName);
    label.add_identifier(value_);
    if (accept(Py::kw_as)) {
        add_field(label, role_of("asname"));
        label.add_identifier(name());
    }
    return make(label);
}

int32_t PythonParser::import() {
    expect(Py::kw_import);
    const int32_t node = make(class_label("Import"));
    do {
        child(node, role_of("names"), alias(true));
    } while (accept(Py::comma));
    return node;
}

int32_t PythonParser::import_from() {
    expect(Py::kw_from);
    uint64_t level = 0;
    for (; is(Py::dot) || is(Py::ellipsis); ++at_) level += is(Py::dot) ? 1 : 3;
    Label label = class_label("ImportFrom");
    if (level == 0 || is(Py::name)) {
        value_ = name();
        while (accept(Py::dot)) {
            value_ += '.';
            value_ += name();
        }
        add_field(label, role_of("module"));
        label.add_identifier(value_);
    }
    add_field(label, role_of("level"));
    add_scalar(label, Scalar::integer, level);
    expect(Py::kw_import);
    const int32_t node = make(label);
    if (accept(Py::star)) {
        Label all = class_label("alias");
        add_field(all, kName);
        all.add_identifier("*");
        child(node, role_of("names"), make(all));
        return node;
    }
    const bool bracketed = accept(Py::open_round);
    do {
        child(node, role_of("names"), alias(false));
    } while (accept(Py::comma) && !(bracketed && is(Py::close_round)));
    if (bracketed) expect(Py::close_round);
    return node;
}

int32_t PythonParser::condition(bool loop) {
    const Deeper deeper(depth_);
    ++at_;
    const int32_t node = make(class_label(loop ? "While" : "If"));
    child(node, role_of("test"), expression());
    block(node, kBody);
    if (!loop && is(Py::kw_elif)) {
        child(node, kOrelse, condition(false));
    } else if (accept(Py::kw_else)) {
        block(node, kOrelse);
    }
    return node;
}

int32_t PythonParser::loop_over() {
    expect(Py::kw_for);
    const int32_t node = make(class_label("For"));
    child(node, role_of("target"), star_targets(Py::kw_in));
    expect(Py::kw_in);
    child(node, role_of("iter"), star_expressions());
    block(node, kBody);
    if (accept(Py::kw_else)) block(node, kOrelse);
    return node;
}

int32_t PythonParser::attempt() {
    expect(Py::kw_try);
    const int32_t node = make(class_label("Try"));
    block(node, kBody);
    bool handled = false, last = false;
    while (accept(Py::kw_except)) {
        if (last) throw Unusual{};
        handled = true;
        last = is(Py::colon);
        const int32_t type = last ? -1 : expression();
        Label label = class_label("ExceptHandler");
        if (!last && accept(Py::kw_as)) {
            add_field(label, kName);
            label.add_identifier(name());
        }
        const int32_t handler = make(label);
        if (type >= 0) child(handler, role_of("type"), type);
        block(handler, kBody);
        child(node, role_of("handlers"), handler);
    }
    if (handled && accept(Py::kw_else)) block(node, kOrelse);
    if (accept(Py::kw_finally)) {
        block(node, role_of("finalbody"));
    } else if (!handled) {
        throw Unusual{};
    }
    return node;
}

int32_t PythonParser::with() {
    expect(Py::kw_with);
    // A bracket here may hold the items or be part of the first one.
    if (is(Py::open_round)) throw Unusual{};
    const int32_t node = make(class_label("With"));
    do {
        const int32_t item = make(class_label("withitem"));
        child(item, role_of("context_expr"), expression());
        if (accept(Py::kw_as)) {
            const int32_t into = primary();
            target(into, kStore);
            child(item, role_of("optional_vars"), into);
        }
        child(node, role_of("items"), item);
    } while (accept(Py::comma));
    block(node, kBody);
    return node;
}

int32_t PythonParser::function(int32_t decorators) {
    expect(Py::kw_def);
    Label label = class_label("FunctionDef");
    add_field(label, kName);
    label.add_identifier(name());
    const int32_t node = make(label);
    expect(Py::open_round);
    child(node, role_of("args"), parameters(Py::close_round, true));
    const int32_t returns = accept(Py::arrow) ? expression() : -1;
    block(node, kBody);
    if (decorators >= 0) adopt(node, decorators);
    if (returns >= 0) child(node, role_of("returns"), returns);
    return node;
}

int32_t PythonParser::class_definition(int32_t decorators) {
    expect(Py::kw_class);
    Label label = class_label("ClassDef");
    add_field(label, kName);
    label.add_identifier(name());
    const int32_t node = make(label), keywords = make({});
    if (accept(Py::open_round)) arguments(node, role_of("bases"), keywords, false);
    adopt(node, keywords);
    block(node, kBody);
    if (decorators >= 0) adopt(node, decorators);
    return node;
}

int32_t PythonParser::decorated() {
    const int32_t decorators = make({});
    while (accept(Py::at)) {
        child(decorators, role_of("decorator_list"), expression());
        expect(Py::newline);
    }
    if (is(Py::kw_def)) return function(decorators);
    if (is(Py::kw_class)) return class_definition(decorators);
    throw Unusual{};
}

}  // namespace divfast
