#include "bindings.hpp"
#include "rows.hpp"
#include "tokens.hpp"

namespace divfast {
namespace {

py::tuple tokenize_text(const Array<uint8_t>& values, const Array<int64_t>& offsets, const std::string& name, int threads) {
    const RaggedView<char> text = text_view(values, offsets);
    const Tokenizer tokenizer = tokenizer_from_name(name);
    RaggedBuffer<uint64_t> out;
    {
        py::gil_scoped_release release;
        out = join(tokenize(text, tokenizer, threads));
    }
    return own_ragged(std::move(out));
}

py::list tokens_of(const py::bytes& text, const std::string& name) {
    const std::string_view bytes = text;
    py::list out;
    for (const std::string& token : token_strings(bytes.data(), bytes.data() + bytes.size(), tokenizer_from_name(name))) {
        out.append(py::bytes(token));
    }
    return out;
}

template <typename T, typename Stored>
py::tuple gather_rows(const Array<Stored>& values, const Array<int64_t>& offsets, const Array<int64_t>& index) {
    const RaggedView<T> rows = view<T>(values, offsets);
    const int64_t* at = index.data();
    const int64_t n = index.size();
    for (int64_t i = 0; i < n; ++i) {
        if (at[i] < 0 || at[i] >= rows.rows) throw py::index_error("row index out of range");
    }
    RaggedBuffer<T> out;
    {
        py::gil_scoped_release release;
        out = gather(rows, at, n);
    }
    return own_ragged(std::move(out));
}

}  // namespace

void bind_text(py::module_& m) {
    m.def("tokenize", &tokenize_text, py::arg("values"), py::arg("offsets"), py::arg("tokenizer"), py::arg("threads") = 0);
    m.def("token_strings", &tokens_of, py::arg("text"), py::arg("tokenizer"));
    m.def(
        "token_spans",
        [](const py::bytes& text, const std::string& name) {
            const std::string_view bytes = text;
            return own(token_spans(bytes.data(), bytes.data() + bytes.size(), tokenizer_from_name(name)));
        },
        py::arg("text"), py::arg("tokenizer"));
    m.def("gather_bytes", &gather_rows<char, uint8_t>, py::arg("values"), py::arg("offsets"), py::arg("index"));
    m.def("gather_tokens", &gather_rows<uint64_t, uint64_t>, py::arg("values"), py::arg("offsets"), py::arg("index"));

    m.def(
        "first_equal",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets, int threads) {
            const RaggedView<char> rows = text_view(values, offsets);
            std::vector<int64_t> first;
            {
                py::gil_scoped_release release;
                first = first_equal(rows, threads);
            }
            return own(std::move(first));
        },
        py::arg("values"), py::arg("offsets"), py::arg("threads") = 0);

    m.def(
        "row_priorities",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets, uint64_t seed, uint64_t first, int threads) {
            const RaggedView<char> rows = text_view(values, offsets);
            std::vector<uint64_t> out;
            {
                py::gil_scoped_release release;
                out = priorities(rows, seed, first, threads);
            }
            return own(std::move(out));
        },
        py::arg("values"), py::arg("offsets"), py::arg("seed"), py::arg("first"), py::arg("threads") = 0);

    m.def(
        "fingerprint",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups, uint64_t state) {
            const RaggedView<char> rows = text_view(values, offsets);
            check_offsets(groups, rows.rows, "groups");
            py::gil_scoped_release release;
            return fingerprint(rows, groups.data(), groups.size() - 1, state);
        },
        py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("state"));

    m.def(
        "strip_reasoning",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets) -> py::object {
            const RaggedView<char> rows = text_view(values, offsets);
            bool found = false;
            Stripped out;
            {
                py::gil_scoped_release release;
                out = strip_reasoning(rows, found);
            }
            if (!found) return py::none();
            return py::make_tuple(own_ragged(std::move(out.text)), out.stripped, out.emptied);
        },
        py::arg("values"), py::arg("offsets"));

    m.def(
        "strip_rows",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets) {
            const RaggedView<char> rows = text_view(values, offsets);
            RaggedBuffer<char, Bytes> out;
            {
                py::gil_scoped_release release;
                out = strip_rows(rows);
            }
            return own_ragged(std::move(out));
        },
        py::arg("values"), py::arg("offsets"));

    py::class_<KeyIndex>(m, "KeyIndex")
        .def(py::init<>())
        .def("__len__", &KeyIndex::size)
        .def(
            "add",
            [](KeyIndex& self, const Array<uint8_t>& keys, const Array<int64_t>& key_offsets, const Array<uint8_t>& has,
               const Array<uint8_t>& companions, const Array<int64_t>& companion_offsets, const Array<uint8_t>& has_companion) {
                const RaggedView<char> key_rows = text_view(keys, key_offsets);
                const RaggedView<char> companion_rows = text_view(companions, companion_offsets);
                if (has.size() != key_rows.rows || companion_rows.rows != key_rows.rows || has_companion.size() != key_rows.rows) {
                    throw py::value_error("keys, companions and their masks must have equally many rows");
                }
                std::vector<int64_t> codes(static_cast<size_t>(key_rows.rows));
                std::vector<int64_t> conflicts;
                {
                    py::gil_scoped_release release;
                    conflicts = self.add(key_rows, has.data(), companion_rows, has_companion.data(), codes.data());
                }
                return py::make_tuple(own(std::move(codes)), own(std::move(conflicts)));
            },
            py::arg("keys"), py::arg("key_offsets"), py::arg("has"), py::arg("companions"), py::arg("companion_offsets"),
            py::arg("has_companion"));
}

}  // namespace divfast
