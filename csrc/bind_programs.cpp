#include <limits>
#include <unordered_map>

#include "bind_per_group.hpp"
#include "code_tokens.hpp"
#include "program_subtrees.hpp"
#include "python_parser.hpp"
#include "tree_edit.hpp"

namespace divfast {
namespace {

py::tuple own_nodes(Nodes&& nodes) {
    return py::make_tuple(own(std::move(nodes.exact)), own(std::move(nodes.blind)), own(std::move(nodes.roles)),
                          own(std::move(nodes.sizes)), own(std::move(nodes.offsets)));
}

Nodes join(std::vector<Nodes>&& parts) {
    if (parts.size() == 1) return std::move(parts.front());
    Nodes all;
    for (Nodes& part : parts) {
        const int64_t shift = all.count();
        all.exact.insert(all.exact.end(), part.exact.begin(), part.exact.end());
        all.blind.insert(all.blind.end(), part.blind.begin(), part.blind.end());
        all.roles.insert(all.roles.end(), part.roles.begin(), part.roles.end());
        all.sizes.insert(all.sizes.end(), part.sizes.begin(), part.sizes.end());
        for (size_t i = 1; i < part.offsets.size(); ++i) all.offsets.push_back(part.offsets[i] + shift);
        part = Nodes{};
    }
    return all;
}

py::tuple parse_python(const Array<uint8_t>& values, const Array<int64_t>& offsets, int threads) {
    const RaggedView<char> text = text_view(values, offsets);
    Nodes nodes;
    std::vector<uint8_t> plain(static_cast<size_t>(text.rows));
    {
        py::gil_scoped_release release;
        const std::vector<int64_t> cuts = balanced_cuts(text.offsets, text.rows, 8 * resolve_threads(threads));
        std::vector<Nodes> parts(cuts.size() - 1);
        parallel_for(static_cast<int64_t>(parts.size()), threads, [&](int64_t part) {
            PythonParser parser;
            for (int64_t row = cuts[static_cast<size_t>(part)]; row < cuts[static_cast<size_t>(part) + 1]; ++row) {
                plain[static_cast<size_t>(row)] =
                    parser.parse(text.begin(row), text.end(row), parts[static_cast<size_t>(part)]);
            }
        });
        nodes = join(std::move(parts));
    }
    return py::make_tuple(own_nodes(std::move(nodes)), own(std::move(plain)));
}

// Trees of objects of Python's module ast, as ast.dump tells them apart.
class AstWalk {
  public:
    AstWalk() : ast_(py::module_::import("ast")), node_(ast_.attr("AST")), constant_(ast_.attr("Constant")) {}

    void add(const py::handle& tree, Nodes& out) {
        enter(tree, 0, out);
        while (!path_.empty()) {
            Visit& top = path_.back();
            if (!advance(top, out)) {
                out.add(top.label, top.role, top.first);
                path_.pop_back();
            }
        }
    }

  private:
    struct Field {
        py::str name;
        uint16_t role;
    };
    struct Class {
        Label label;
        std::vector<Field> fields;
        bool constant = false;
    };
    struct Visit {
        py::object node;
        const Class* of;
        Label label;
        int64_t first;
        size_t field = 0;
        py::object list{};  // the field's value while its elements are visited
        py::ssize_t element = 0;
        uint16_t role = 0;
    };

    void enter(const py::handle& node, uint16_t role, const Nodes& out) {
        const Class& of = class_of(node);
        Visit visit{py::reinterpret_borrow<py::object>(node), &of, of.label, out.count()};
        visit.role = role;
        path_.push_back(std::move(visit));
    }

    const Class& class_of(const py::handle& node) {
        PyTypeObject* type = Py_TYPE(node.ptr());
        const auto found = classes_.find(type);
        if (found != classes_.end()) return found->second;
        Class made;
        made.label = class_label(py::str(py::type::handle_of(node).attr("__name__")).cast<std::string>());
        made.constant = PyObject_IsInstance(node.ptr(), constant_.ptr()) == 1;
        for (const py::handle field : node.attr("_fields")) {
            made.fields.push_back({py::reinterpret_borrow<py::str>(field), role_of(field.cast<std::string>())});
        }
        return classes_.emplace(type, std::move(made)).first->second;
    }

    bool is_node(const py::handle& value) const { return PyObject_IsInstance(value.ptr(), node_.ptr()) == 1; }

    // Goes on to the next child and enters it; false where there is none.
    bool advance(Visit& top, const Nodes& out) {
        for (;;) {
            if (top.list) {
                if (top.element < PyList_GET_SIZE(top.list.ptr())) {
                    const py::ssize_t at = top.element++;
                    const py::handle value = PyList_GET_ITEM(top.list.ptr(), at);
                    const uint16_t role = top.of->fields[top.field - 1].role;
                    if (is_node(value)) {
                        enter(value, role, out);
                        return true;
                    }
                    scalar(top, role, static_cast<uint64_t>(at), value);
                    continue;
                }
                top.list = py::object();
            }
            if (top.field == top.of->fields.size()) return false;
            const Field& field = top.of->fields[top.field++];
            // Fields that a tree made by hand leaves out are as if they were None, as in ast.dump.
            PyObject* got = PyObject_GetAttr(top.node.ptr(), field.name.ptr());
            if (got == nullptr) {
                PyErr_Clear();
                continue;
            }
            py::object value = py::reinterpret_steal<py::object>(got);
            if (value.is_none()) continue;
            if (PyList_Check(got)) {
                top.list = std::move(value);
                top.element = 0;
            } else if (is_node(value)) {
                enter(value, field.role, out);
                return true;
            } else {
                scalar(top, field.role, 0, value);
            }
        }
    }

    static void scalar(Visit& top, uint16_t role, uint64_t at, const py::handle& value) {
        Label& label = top.label;
        PyObject* raw = value.ptr();
        add_field(label, role, at);
        if (PyUnicode_Check(raw)) {
            const std::string text = utf8(value);
            if (top.of->constant) {
                add_scalar(label, Scalar::text, text);
            } else {
                label.add_identifier(text);
            }
        } else if (PyBool_Check(raw)) {
            add_scalar(label, Scalar::boolean, uint64_t{raw == Py_True});
        } else if (PyLong_Check(raw)) {
            int overflow = 0;
            const long long number = PyLong_AsLongLongAndOverflow(raw, &overflow);
            if (overflow == 0) {
                add_scalar(label, Scalar::integer, static_cast<uint64_t>(number));
            } else {
                // Not in decimal, for which long numbers are refused.
                add_scalar(label, Scalar::big_integer, utf8(py::reinterpret_steal<py::object>(PyNumber_ToBase(raw, 16))));
            }
        } else if (PyFloat_Check(raw)) {
            add_scalar(label, Scalar::real, bits(PyFloat_AS_DOUBLE(raw)));
        } else if (PyComplex_Check(raw)) {
            add_scalar(label, Scalar::imaginary, bits(PyComplex_ImagAsDouble(raw)));
        } else if (PyBytes_Check(raw)) {
            add_scalar(label, Scalar::bytes, std::string_view(PyBytes_AS_STRING(raw), static_cast<size_t>(PyBytes_GET_SIZE(raw))));
        } else if (value.is_none()) {
            add_scalar(label, Scalar::none, uint64_t{0});
        } else if (raw == Py_Ellipsis) {
            add_scalar(label, Scalar::ellipsis, uint64_t{0});
        } else {
            throw py::type_error("a tree of Python's parser holds nothing else");
        }
    }

    static uint64_t bits(double value) {
        uint64_t out;
        std::memcpy(&out, &value, sizeof out);
        return out;
    }

    static std::string utf8(const py::handle& text) {
        py::ssize_t size = 0;
        if (const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size)) return {data, static_cast<size_t>(size)};
        // Escapes such as "\ud800" make lone surrogates.
        PyErr_Clear();
        const auto encoded = py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogatepass"));
        if (!encoded) throw py::error_already_set();
        return encoded;
    }

    py::module_ ast_;
    py::object node_, constant_;
    std::unordered_map<PyTypeObject*, Class> classes_;
    std::vector<Visit> path_;
};

py::tuple ast_nodes(const py::sequence& trees) {
    AstWalk walk;
    Nodes nodes;
    for (const py::handle tree : trees) {
        if (!tree.is_none()) walk.add(tree, nodes);
        nodes.close_tree();
    }
    return own_nodes(std::move(nodes));
}

// What tells the visits of a walk apart: a node with others below it, a leaf, a leaf that is an identifier, and a
// token that belongs to the node around it.
enum class Visit : uint8_t { inner, leaf, identifier, token };

py::tuple visited_nodes(const Array<uint8_t>& text, const Array<int64_t>& visits, const Array<uint64_t>& classes) {
    const py::ssize_t n = visits.size() / 6;
    if (visits.size() % 6 != 0) throw py::value_error("a visit has six numbers");
    Nodes nodes;
    struct Open {
        int64_t depth, first;
        Label label;
        uint16_t role;
    };
    std::vector<Open> path;
    const auto close_until = [&](int64_t depth) {
        for (; !path.empty() && path.back().depth >= depth; path.pop_back()) {
            nodes.add(path.back().label, path.back().role, path.back().first);
        }
    };
    for (py::ssize_t i = 0; i < n; ++i) {
        const int64_t* visit = visits.data() + 6 * i;
        const int64_t depth = visit[0], kind = visit[1], role = visit[2], begin = visit[4], end = visit[5];
        if (kind < 0 || kind >= classes.size() || begin < 0 || end < begin || end > text.size()) {
            throw py::value_error("a visit reaches outside the text or the classes");
        }
        const uint64_t of = classes.data()[kind];
        const std::string_view written(reinterpret_cast<const char*>(text.data()) + begin, static_cast<size_t>(end - begin));
        close_until(depth);
        const auto what = static_cast<Visit>(visit[3]);
        if (what == Visit::token) {
            if (!path.empty()) path.back().label.add(of);
            continue;
        }
        Label label{of, of};
        if (what == Visit::identifier) label.add_identifier(written);
        if (what == Visit::leaf) label.add(hash_bytes(written.data(), written.size()));
        path.push_back({depth, nodes.count(), label, static_cast<uint16_t>(role)});
    }
    close_until(std::numeric_limits<int64_t>::min());
    nodes.close_tree();
    return own_nodes(std::move(nodes));
}

TreesView trees_view(const Array<uint64_t>& labels, const Array<uint16_t>& roles, const Array<int32_t>& sizes,
                     const Array<int64_t>& offsets) {
    check_offsets(offsets, labels.size(), "offsets");
    if (roles.size() != labels.size() || sizes.size() != labels.size()) {
        throw py::value_error("labels, roles and sizes must be of the same length");
    }
    const TreesView trees{labels.data(), roles.data(), sizes.data(), offsets.data(), offsets.size() - 1};
    if (!are_trees(trees)) throw py::value_error("sizes must be those of trees");
    return trees;
}

py::tuple subtrees(const Array<uint64_t>& labels, const Array<uint16_t>& roles, const Array<int32_t>& sizes,
                   const Array<int64_t>& offsets, int64_t height, bool exact, int threads) {
    const TreesView trees = trees_view(labels, roles, sizes, offsets);
    RaggedBuffer<uint64_t> out;
    {
        py::gil_scoped_release release;
        out = join(subtrees_of(trees, height, exact, threads));
    }
    return own_ragged(std::move(out));
}

py::array_t<double> tree_edit(const Array<uint64_t>& labels, const Array<uint16_t>& roles, const Array<int32_t>& sizes,
                              const Array<int64_t>& offsets, const Array<int64_t>& tree, const Array<int64_t>& groups,
                              int64_t most, int threads) {
    const TreesView trees = trees_view(labels, roles, sizes, offsets);
    const int64_t n = tree.size();
    // What each row costs, for the shares of threads.
    std::vector<int64_t> nodes{0};
    for (int64_t row = 0; row < n; ++row) {
        const int64_t of = tree.data()[row];
        if (of < 0 || of >= trees.trees) throw py::index_error("row index out of range");
        nodes.push_back(nodes.back() + trees.offsets[of + 1] - trees.offsets[of]);
    }
    // Distances and nodes are counted in 32 bits, and a pair takes most x most of them.
    if (most < 1 || most > 10'000) throw py::value_error("most must be from 1 to 10,000");
    const RaggedView<uint64_t> rows{nullptr, nodes.data(), n};
    return per_group(rows, groups, [&](const int64_t* bounds, int64_t g, const Stop& stop, double* out) {
        tree_edit_means(trees, tree.data(), nodes.data(), bounds, g, most, threads, stop, out);
    });
}

py::tuple code_tokens(const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<uint8_t>& languages,
                      int threads) {
    const RaggedView<char> text = text_view(values, offsets);
    if (languages.size() != text.rows) throw py::value_error("there must be a language for every row");
    if (std::any_of(languages.data(), languages.data() + languages.size(), [](uint8_t one) { return one >= kLanguages; })) {
        throw py::value_error("no such language");
    }
    RaggedBuffer<uint64_t> out;
    {
        py::gil_scoped_release release;
        out = join(tokenize_code(text, languages.data(), threads));
    }
    return own_ragged(std::move(out));
}

py::list tokens_of_code(const py::bytes& text, uint8_t language) {
    if (language >= kLanguages) throw py::value_error("no such language");
    const std::string_view bytes = text;
    py::list out;
    for (const std::string& token :
         code_token_strings(bytes.data(), bytes.data() + bytes.size(), static_cast<Language>(language))) {
        out.append(py::bytes(token));
    }
    return out;
}

}  // namespace

void bind_programs(py::module_& m) {
    m.def("parse_python", &parse_python, py::arg("values"), py::arg("offsets"), py::arg("threads") = 0);
    m.def("ast_nodes", &ast_nodes, py::arg("trees"));
    m.def("code_tokens", &code_tokens, py::arg("values"), py::arg("offsets"), py::arg("languages"),
          py::arg("threads") = 0);
    m.def("code_token_strings", &tokens_of_code, py::arg("text"), py::arg("language"));
    m.def("visited_nodes", &visited_nodes, py::arg("text"), py::arg("visits"), py::arg("classes"));
    m.def("subtrees", &subtrees, py::arg("labels"), py::arg("roles"), py::arg("sizes"), py::arg("offsets"),
          py::arg("height"), py::arg("exact"), py::arg("threads") = 0);
    m.def("tree_edit_means", &tree_edit, py::arg("labels"), py::arg("roles"), py::arg("sizes"), py::arg("offsets"),
          py::arg("tree"), py::arg("groups"), py::arg("most"), py::arg("threads") = 0);
}

}  // namespace divfast
