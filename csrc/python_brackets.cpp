// What stands in brackets: tuples, lists, dictionaries, comprehensions, subscripts, arguments and parameters.
#include "python_parser.hpp"

namespace divfast {
namespace {

constexpr uint16_t kValue = role_of("value"), kElts = role_of("elts"), kArgs = role_of("args");

}  // namespace

void PythonParser::elements(int32_t parent, Py stop) {
    while (!accept(stop)) {
        child(parent, kElts, star_expression());
        if (!accept(Py::comma)) {
            expect(stop);
            return;
        }
    }
}

int32_t PythonParser::round_brackets() {
    expect(Py::open_round);
    const Deeper deeper(depth_);
    int32_t first = -1;
    if (is(Py::kw_yield)) {
        first = yield();
        expect(Py::close_round);
        return first;
    }
    if (!is(Py::close_round)) {
        first = star_expression();
        const bool starred = nodes_[static_cast<size_t>(first)].kind == Kind::starred;
        if (is(Py::kw_for) && !starred) {
            const int32_t generator = make(class_label("GeneratorExp"));
            child(generator, role_of("elt"), first);
            comprehensions(generator);
            expect(Py::close_round);
            return generator;
        }
        if (!is(Py::comma)) {
            if (starred) throw Unusual{};
            expect(Py::close_round);
            return first;
        }
    }
    const int32_t tuple = make(class_label("Tuple"), Kind::tuple);
    if (first >= 0) {
        child(tuple, kElts, first);
        expect(Py::comma);
    }
    elements(tuple, Py::close_round);
    context(tuple);
    return tuple;
}

int32_t PythonParser::square_brackets() {
    expect(Py::open_square);
    const Deeper deeper(depth_);
    const int32_t list = make(class_label("List"), Kind::list);
    if (!is(Py::close_square)) {
        const int32_t first = star_expression();
        if (is(Py::kw_for)) {
            if (nodes_[static_cast<size_t>(first)].kind == Kind::starred) throw Unusual{};
            const int32_t comprehension = make(class_label("ListComp"));
            child(comprehension, role_of("elt"), first);
            comprehensions(comprehension);
            expect(Py::close_square);
            return comprehension;
        }
        child(list, kElts, first);
        if (!accept(Py::comma) && !is(Py::close_square)) throw Unusual{};
    }
    elements(list, Py::close_square);
    context(list);
    return list;
}

int32_t PythonParser::curly_brackets() {
    expect(Py::open_curly);
    const Deeper deeper(depth_);
    Label label = class_label("Dict");
    const int32_t keys = make({}), values = make({});
    bool is_set = false;
    for (uint64_t i = 0; !accept(Py::close_curly); ++i) {
        if (accept(Py::star2)) {
            if (is_set) throw Unusual{};
            add_field(label, role_of("keys"), i);
            add_scalar(label, Scalar::none, uint64_t{0});
            child(values, role_of("values"), binary(1));
        } else {
            const int32_t key = star_expression();
            const bool starred = nodes_[static_cast<size_t>(key)].kind == Kind::starred;
            if (i == 0) is_set = starred || !is(Py::colon);
            int32_t value = -1;
            if (!is_set) {
                if (starred) throw Unusual{};
                expect(Py::colon);
                value = expression();
            }
            if (is(Py::kw_for)) {
                if (i != 0 || starred) throw Unusual{};
                const int32_t node = make(class_label(is_set ? "SetComp" : "DictComp"));
                child(node, role_of(is_set ? "elt" : "key"), key);
                if (!is_set) child(node, kValue, value);
                comprehensions(node);
                expect(Py::close_curly);
                return node;
            }
            child(keys, is_set ? kElts : role_of("keys"), key);
            if (!is_set) child(values, role_of("values"), value);
        }
        if (!accept(Py::comma)) {
            expect(Py::close_curly);
            break;
        }
    }
    const int32_t node = make(is_set ? class_label("Set") : label);
    adopt(node, keys);
    adopt(node, values);
    return node;
}

void PythonParser::comprehensions(int32_t parent) {
    while (accept(Py::kw_for)) {
        Label label = class_label("comprehension");
        add_field(label, role_of("is_async"));
        add_scalar(label, Scalar::integer, uint64_t{0});
        const int32_t node = make(label);
        child(node, role_of("target"), star_targets(Py::kw_in));
        expect(Py::kw_in);
        child(node, role_of("iter"), disjunction());
        while (accept(Py::kw_if)) child(node, role_of("ifs"), disjunction());
        child(parent, role_of("generators"), node);
    }
}

int32_t PythonParser::star_targets(Py stop) {
    const auto one = [&] {
        if (!accept(Py::star)) return primary();
        const int32_t starred = make(class_label("Starred"), Kind::starred);
        child(starred, kValue, primary());
        context(starred);
        return starred;
    };
    int32_t node = one();
    if (is(Py::comma)) {
        const int32_t tuple = make(class_label("Tuple"), Kind::tuple);
        child(tuple, kElts, node);
        while (accept(Py::comma) && !is(stop)) child(tuple, kElts, one());
        context(tuple);
        node = tuple;
    } else if (nodes_[static_cast<size_t>(node)].kind == Kind::starred) {
        throw Unusual{};
    }
    target(node, class_label("Store"));
    return node;
}

int32_t PythonParser::subscript() {
    const Deeper deeper(depth_);
    const int32_t first = slice();
    if (accept(Py::close_square)) return first;
    const int32_t tuple = make(class_label("Tuple"), Kind::tuple);
    child(tuple, kElts, first);
    while (!accept(Py::close_square)) {
        expect(Py::comma);
        if (accept(Py::close_square)) break;
        child(tuple, kElts, slice());
    }
    context(tuple);
    return tuple;
}

int32_t PythonParser::slice() {
    const int32_t lower = is(Py::colon) ? -1 : expression();
    if (!accept(Py::colon)) return lower;
    const int32_t node = make(class_label("Slice"));
    const auto ends = [&] { return is(Py::colon) || is(Py::comma) || is(Py::close_square); };
    if (lower >= 0) child(node, role_of("lower"), lower);
    if (!ends()) child(node, role_of("upper"), expression());
    if (accept(Py::colon) && !ends()) child(node, role_of("step"), expression());
    return node;
}

void PythonParser::arguments(int32_t positional, uint16_t role, int32_t keywords, bool generator) {
    const Deeper deeper(depth_);
    bool named = false, doubled = false;
    for (bool first = true; !accept(Py::close_round); first = false) {
        if (accept(Py::star)) {
            if (doubled) throw Unusual{};
            const int32_t starred = make(class_label("Starred"), Kind::starred);
            child(starred, kValue, expression());
            context(starred);
            child(positional, role, starred);
        } else if (accept(Py::star2)) {
            named = doubled = true;
            const int32_t keyword = make(class_label("keyword"));
            child(keyword, kValue, expression());
            child(keywords, role_of("keywords"), keyword);
        } else if (is(Py::name) && tokens_[at_ + 1].kind == Py::equal) {
            named = true;
            Label label = class_label("keyword");
            add_field(label, role_of("arg"));
            label.add_identifier(name());
            expect(Py::equal);
            const int32_t keyword = make(label);
            child(keyword, kValue, expression());
            child(keywords, role_of("keywords"), keyword);
        } else {
            if (named) throw Unusual{};
            int32_t value = expression();
            if (is(Py::kw_for)) {
                if (!first || !generator) throw Unusual{};
                const int32_t node = make(class_label("GeneratorExp"));
                child(node, role_of("elt"), value);
                comprehensions(node);
                if (!is(Py::close_round)) throw Unusual{};
                value = node;
            }
            child(positional, role, value);
        }
        if (!accept(Py::comma)) {
            expect(Py::close_round);
            return;
        }
    }
}

int32_t PythonParser::parameters(Py stop, bool annotated) {
    Label label = class_label("arguments");
    const int32_t ordinary = make({}), variadic = make({}), only = make({}), only_defaults = make({}),
                  keyword = make({}), defaults = make({});
    const auto parameter = [&](int32_t parent, uint16_t role) {
        Label of = class_label("arg");
        add_field(of, role_of("arg"));
        of.add_identifier(name());
        const int32_t node = make(of);
        if (annotated && accept(Py::colon)) child(node, role_of("annotation"), expression());
        child(parent, role, node);
    };
    bool slashed = false, only_named = false, bare = false, optional = false;
    uint64_t named = 0;
    while (!accept(stop)) {
        if (accept(Py::star2)) {
            if (bare && named == 0) throw Unusual{};
            parameter(keyword, role_of("kwarg"));
            accept(Py::comma);
            expect(stop);
            break;
        }
        if (is(Py::slash)) {
            if (slashed || only_named || nodes_[static_cast<size_t>(ordinary)].first < 0) throw Unusual{};
            ++at_;
            slashed = true;
            for (int32_t i = nodes_[static_cast<size_t>(ordinary)].first; i >= 0; i = nodes_[static_cast<size_t>(i)].next) {
                nodes_[static_cast<size_t>(i)].role = role_of("posonlyargs");
            }
        } else if (accept(Py::star)) {
            if (only_named) throw Unusual{};
            only_named = true;
            bare = is(Py::comma);
            if (!bare) parameter(variadic, role_of("vararg"));
        } else if (only_named) {
            parameter(only, role_of("kwonlyargs"));
            if (accept(Py::equal)) {
                child(only_defaults, role_of("kw_defaults"), expression());
            } else {
                add_field(label, role_of("kw_defaults"), named);
                add_scalar(label, Scalar::none, uint64_t{0});
            }
            ++named;
        } else {
            parameter(ordinary, kArgs);
            if (accept(Py::equal)) {
                optional = true;
                child(defaults, role_of("defaults"), expression());
            } else if (optional) {
                throw Unusual{};
            }
        }
        if (!accept(Py::comma)) {
            expect(stop);
            break;
        }
    }
    if (bare && named == 0) throw Unusual{};
    const int32_t node = make(label);
    for (const int32_t part : {ordinary, variadic, only, only_defaults, keyword, defaults}) adopt(node, part);
    return node;
}

}  // namespace divfast
