// The only file of the core that knows Python: checks arrays, releases the GIL, hands results over without copying.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "json_children.hpp"
#include "jsonl.hpp"
#include "ngrams.hpp"
#include "resample.hpp"
#include "rows.hpp"
#include "tokens.hpp"

namespace py = pybind11;
using namespace divfast;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
py::array_t<T> own(std::vector<T>&& values) {
    auto holder = std::make_unique<std::vector<T>>(std::move(values));
    T* data = holder->data();
    const auto n = static_cast<py::ssize_t>(holder->size());
    py::capsule owner(holder.get(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
    holder.release();
    return py::array_t<T>(n, data, owner);
}

py::array_t<uint8_t> own_bytes(std::vector<char>&& values) {
    auto holder = std::make_unique<std::vector<char>>(std::move(values));
    auto* data = reinterpret_cast<uint8_t*>(holder->data());
    const auto n = static_cast<py::ssize_t>(holder->size());
    py::capsule owner(holder.get(), [](void* p) { delete static_cast<std::vector<char>*>(p); });
    holder.release();
    return py::array_t<uint8_t>(n, data, owner);
}

py::tuple own_ragged(RaggedBuffer<char>&& rows) {
    return py::make_tuple(own_bytes(std::move(rows.values)), own(std::move(rows.offsets)));
}
py::tuple own_ragged(RaggedBuffer<uint64_t>&& rows) {
    return py::make_tuple(own(std::move(rows.values)), own(std::move(rows.offsets)));
}

// Offsets come from callers' own arrays: a wrong one must be an error here, not a read out of bounds.
void check_offsets(const Array<int64_t>& offsets, int64_t limit, const char* what) {
    const int64_t* at = offsets.data();
    const py::ssize_t n = offsets.size();
    if (n < 1) throw py::value_error(std::string(what) + " must hold at least one number");
    if (at[0] < 0 || at[n - 1] > limit) throw py::value_error(std::string(what) + " reach outside the rows they cut");
    for (py::ssize_t i = 1; i < n; ++i) {
        if (at[i] < at[i - 1]) throw py::value_error(std::string(what) + " must not decrease");
    }
}

template <typename T, typename Stored>
RaggedView<T> view(const Array<Stored>& values, const Array<int64_t>& offsets) {
    check_offsets(offsets, values.size(), "offsets");
    return {reinterpret_cast<const T*>(values.data()), offsets.data(), offsets.size() - 1};
}

RaggedView<char> text_view(const Array<uint8_t>& values, const Array<int64_t>& offsets) {
    return view<char>(values, offsets);
}

template <typename T>
RaggedBuffer<T> join(std::vector<RaggedBuffer<T>>&& parts) {
    if (parts.size() == 1) return std::move(parts.front());
    RaggedBuffer<T> out;
    size_t values = 0, rows = 0;
    for (const auto& part : parts) values += part.values.size(), rows += part.offsets.size() - 1;
    out.values.reserve(values);
    out.offsets.reserve(rows + 1);
    for (auto& part : parts) {
        const auto shift = static_cast<int64_t>(out.values.size());
        out.values.insert(out.values.end(), part.values.begin(), part.values.end());
        for (size_t i = 1; i < part.offsets.size(); ++i) out.offsets.push_back(part.offsets[i] + shift);
        part = RaggedBuffer<T>{};
    }
    return out;
}

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

py::tuple count_ngrams(const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups,
                       int max_order, int threads) {
    if (max_order < 1) throw py::value_error("max_order must be at least 1");
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    check_offsets(groups, tokens.rows, "groups");
    const int64_t n = groups.size() - 1;
    py::array_t<int64_t> unique({n, static_cast<int64_t>(max_order)}), total({n, static_cast<int64_t>(max_order)});
    int64_t* unique_data = unique.mutable_data();
    int64_t* total_data = total.mutable_data();
    {
        py::gil_scoped_release release;
        ngram_counts(tokens, groups.data(), n, max_order, threads, unique_data, total_data);
    }
    return py::make_tuple(unique, total);
}

py::array_t<double> bootstrap(const Array<double>& values, int64_t replicates, uint64_t seed, int threads) {
    if (values.ndim() != 2) throw py::value_error("values must be m x g");
    if (replicates < 1) throw py::value_error("replicates must be at least 1");
    py::array_t<double> means({values.shape(0), static_cast<py::ssize_t>(replicates)});
    double* out = means.mutable_data();
    const double* in = values.data();
    const int64_t m = values.shape(0), g = values.shape(1);
    {
        py::gil_scoped_release release;
        bootstrap_means(in, m, g, replicates, seed, threads, out);
    }
    return means;
}

py::dict batch_to_dict(JsonlBatch&& batch) {
    py::dict out;
    py::list errors;
    for (const JsonlError& error : batch.errors) errors.append(py::make_tuple(error.line, error.message));
    py::list carried;
    for (auto& column : batch.carried) carried.append(own_ragged(std::move(column)));
    out["text"] = own_ragged(std::move(batch.text));
    out["records"] = own(std::move(batch.records));
    out["ids"] = own_ragged(std::move(batch.ids));
    out["keys"] = own_ragged(std::move(batch.keys));
    out["has_id"] = own(std::move(batch.has_id));
    out["prompts"] = own_ragged(std::move(batch.prompts));
    out["has_prompt"] = own(std::move(batch.has_prompt));
    out["single"] = own(std::move(batch.single));
    out["lines"] = own(std::move(batch.lines));
    out["carried"] = carried;
    out["errors"] = errors;
    out["line_count"] = batch.line_count;
    out["null_outputs"] = batch.null_outputs;
    out["lone_surrogates"] = batch.lone_surrogates;
    return out;
}

py::list parse_lines(const py::buffer& data, int64_t first_line, const std::vector<std::pair<std::string, bool>>& outputs,
                     std::vector<std::string> ids, std::vector<std::string> prompts,
                     std::vector<std::string> qualifiers, std::vector<std::string> carried, bool skip, int threads,
                     bool texts) {
    const py::buffer_info info = data.request();
    JsonlFields fields;
    for (const auto& [name, may_be_text] : outputs) fields.outputs.push_back({name, may_be_text});
    fields.ids = std::move(ids);
    fields.prompts = std::move(prompts);
    fields.qualifiers = std::move(qualifiers);
    fields.carried = std::move(carried);
    fields.texts = texts;
    std::vector<JsonlBatch> batches;
    {
        py::gil_scoped_release release;
        batches = parse_jsonl(static_cast<const char*>(info.ptr), static_cast<size_t>(info.size * info.itemsize),
                              first_line, fields, skip, threads);
    }
    py::list out;
    for (JsonlBatch& batch : batches) out.append(batch_to_dict(std::move(batch)));
    return out;
}

py::tuple children_of(const py::buffer& data, bool allow_nan) {
    const py::buffer_info info = data.request();
    JsonChildren out;
    {
        py::gil_scoped_release release;
        out = json_children(static_cast<const char*>(info.ptr), static_cast<size_t>(info.size * info.itemsize), allow_nan);
    }
    if (out.error_at >= 0) return py::make_tuple(py::none(), out.error_at, out.error);
    py::object keys = py::none();
    if (out.kind == '{') {
        py::list names;
        for (int64_t i = 0; i < out.keys.rows(); ++i) {
            const char* name = out.keys.values.data() + out.keys.offsets[static_cast<size_t>(i)];
            names.append(py::str(name, static_cast<size_t>(out.keys.offsets[static_cast<size_t>(i) + 1] -
                                                           out.keys.offsets[static_cast<size_t>(i)])));
        }
        keys = names;
    }
    return py::make_tuple(std::string(out.kind == 0 ? 0 : 1, out.kind), keys, own(std::move(out.bounds)));
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

PYBIND11_MODULE(_core, m) {
    m.doc() = "The compiled core of divfast: bytes, tokens, n-grams. Arrays in, arrays out; the GIL is released.";

    m.def("tokenize", &tokenize_text, py::arg("values"), py::arg("offsets"), py::arg("tokenizer"), py::arg("threads") = 0);
    m.def("token_strings", &tokens_of, py::arg("text"), py::arg("tokenizer"));
    m.def("ngram_counts", &count_ngrams, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("max_order"),
          py::arg("threads") = 0);
    m.def("bootstrap_means", &bootstrap, py::arg("values"), py::arg("replicates"), py::arg("seed"), py::arg("threads") = 0);
    m.def("parse_jsonl", &parse_lines, py::arg("data"), py::arg("first_line"), py::arg("outputs"), py::arg("ids"),
          py::arg("prompts"), py::arg("qualifiers"), py::arg("carried"), py::arg("skip"), py::arg("threads") = 0,
          py::arg("texts") = true);
    m.def("json_children", &children_of, py::arg("data"), py::arg("allow_nan") = false);
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

    py::class_<NgramSets>(m, "NgramSets")
        .def(py::init<std::vector<int>>(), py::arg("orders"))
        .def_property_readonly("orders", &NgramSets::orders)
        .def(
            "add",
            [](NgramSets& self, const Array<uint64_t>& values, const Array<int64_t>& offsets, int threads) {
                const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
                py::gil_scoped_release release;
                self.add(tokens, threads);
            },
            py::arg("values"), py::arg("offsets"), py::arg("threads") = 0)
        .def("merge", &NgramSets::merge, py::arg("other"), py::arg("threads") = 0, py::call_guard<py::gil_scoped_release>())
        .def("unique", [](const NgramSets& self) { return own(self.unique()); })
        .def("total", [](const NgramSets& self) { return own(std::vector<int64_t>(self.total())); })
        .def(py::pickle(
            [](const NgramSets& self) {
                py::list orders;
                for (size_t i = 0; i < self.orders().size(); ++i) {
                    orders.append(py::make_tuple(self.orders()[i], self.total()[i], own(self.fingerprints(i))));
                }
                return py::make_tuple(orders);
            },
            [](const py::tuple& state) {
                const auto orders = state[0].cast<py::list>();
                std::vector<int> numbers;
                for (const auto& item : orders) numbers.push_back(item.cast<py::tuple>()[0].cast<int>());
                auto sets = std::make_unique<NgramSets>(numbers);
                for (size_t i = 0; i < numbers.size(); ++i) {
                    const auto item = orders[i].cast<py::tuple>();
                    const auto keys = item[2].cast<Array<uint64_t>>();
                    sets->absorb(i, keys.data(), keys.size(), item[1].cast<int64_t>());
                }
                return sets;
            }));
}
