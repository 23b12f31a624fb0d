#include "python_parser.hpp"

namespace divfast {

bool PythonParser::parse(const char* begin, const char* end, Nodes& out) {
    bool plain = true;
    try {
        tokenize_python(begin, end, tokens_);
        nodes_.clear();
        at_ = 0;
        depth_ = 0;
        const int32_t module = make(class_label("Module"));
        statements(module, role_of("body"), Py::end);
        flatten(module, out);
    } catch (const Unusual&) {
        out.drop_tree();
        plain = false;
    } catch (const Wrong&) {
        out.drop_tree();
    }
    out.close_tree();
    return plain;
}

int32_t PythonParser::make(const Label& label, Kind kind) {
    Node node;
    node.label = label;
    node.kind = kind;
    nodes_.push_back(node);
    return static_cast<int32_t>(nodes_.size()) - 1;
}

void PythonParser::child(int32_t parent, uint16_t role, int32_t node) {
    Node& of = nodes_[static_cast<size_t>(parent)];
    nodes_[static_cast<size_t>(node)].role = role;
    if (of.last < 0) {
        of.first = node;
    } else {
        nodes_[static_cast<size_t>(of.last)].next = node;
    }
    of.last = node;
}

void PythonParser::adopt(int32_t parent, int32_t dropped) {
    Node &of = nodes_[static_cast<size_t>(parent)], &from = nodes_[static_cast<size_t>(dropped)];
    if (from.first < 0) return;
    if (of.last < 0) {
        of.first = from.first;
    } else {
        nodes_[static_cast<size_t>(of.last)].next = from.first;
    }
    of.last = from.last;
}

void PythonParser::context(int32_t node) { child(node, role_of("ctx"), make(class_label("Load"))); }

// What is written into: its context, which is its last child, becomes `context`.
void PythonParser::target(int32_t node, const Label& context) {
    const Node& of = nodes_[static_cast<size_t>(node)];
    if (of.kind == Kind::other) throw Unusual{};
    nodes_[static_cast<size_t>(of.last)].label = context;
    if (of.kind == Kind::starred) {
        if (nodes_[static_cast<size_t>(of.first)].kind == Kind::starred) throw Unusual{};
        target(of.first, context);
    } else if (of.kind == Kind::tuple || of.kind == Kind::list) {
        for (int32_t i = of.first; i != of.last; i = nodes_[static_cast<size_t>(i)].next) target(i, context);
    }
}

void PythonParser::flatten(int32_t root, Nodes& out) {
    path_.assign(1, {root, out.count()});
    while (!path_.empty()) {
        const auto [at, first] = path_.back();
        Node& node = nodes_[static_cast<size_t>(at)];
        if (node.first < 0) {
            out.add(node.label, node.role, first);
            path_.pop_back();
            continue;
        }
        // Each child is taken off its parent as it is visited.
        const int32_t below = node.first;
        node.first = below == node.last ? -1 : nodes_[static_cast<size_t>(below)].next;
        path_.emplace_back(below, out.count());
    }
}

}  // namespace divfast
