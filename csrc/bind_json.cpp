#include <limits>
#include <optional>

#include "bindings.hpp"
#include "json_children.hpp"
#include "json_flags.hpp"
#include "jsonl.hpp"

namespace divfast {
namespace {

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
    out["others"] = own_ragged(std::move(batch.others));
    out["errors"] = errors;
    out["line_count"] = batch.line_count;
    out["null_outputs"] = batch.null_outputs;
    out["lone_surrogates"] = batch.lone_surrogates;
    return out;
}

py::list parse_lines(const py::buffer& data, int64_t first_line, const std::vector<std::pair<std::string, bool>>& outputs,
                     std::vector<std::string> ids, std::vector<std::string> prompts,
                     std::vector<std::string> qualifiers, std::vector<std::string> carried, bool skip, int threads,
                     bool texts, std::pair<std::string, std::string> joined,
                     std::optional<std::vector<std::string>> all_but) {
    const py::buffer_info info = data.request();
    JsonlFields fields;
    for (const auto& [name, may_be_text] : outputs) fields.outputs.push_back({name, may_be_text});
    fields.ids = std::move(ids);
    fields.prompts = std::move(prompts);
    fields.qualifiers = std::move(qualifiers);
    fields.carried = std::move(carried);
    fields.texts = texts;
    std::tie(fields.first, fields.second) = std::move(joined);
    fields.others = all_but.has_value();
    if (all_but) fields.left_out = std::move(*all_but);
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

py::object flags_of(const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& bounds) {
    const RaggedView<char> rows = text_view(values, offsets);
    check_offsets(bounds, std::numeric_limits<int64_t>::max(), "bounds");
    if (bounds.size() != rows.rows + 1) throw py::value_error("bounds must hold one number more than there are rows");
    std::vector<int8_t> flags;
    bool found;
    {
        py::gil_scoped_release release;
        found = json_flags(rows, bounds.data(), flags);
    }
    return found ? py::object(own(std::move(flags))) : py::none();
}

}  // namespace

void bind_json(py::module_& m) {
    m.def("parse_jsonl", &parse_lines, py::arg("data"), py::arg("first_line"), py::arg("outputs"), py::arg("ids"),
          py::arg("prompts"), py::arg("qualifiers"), py::arg("carried"), py::arg("skip"), py::arg("threads") = 0,
          py::arg("texts") = true, py::arg("joined") = std::pair<std::string, std::string>(),
          py::arg("all_but") = py::none());
    m.def("json_flags", &flags_of, py::arg("values"), py::arg("offsets"), py::arg("bounds"));
    m.def("json_children", &children_of, py::arg("data"), py::arg("allow_nan") = false);
}

}  // namespace divfast
