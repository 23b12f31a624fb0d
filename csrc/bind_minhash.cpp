#include <cerrno>
#include <system_error>

#include "bindings.hpp"
#include "minhash.hpp"

namespace divfast {
namespace {

double checked(double threshold) {
    if (!(threshold > 0 && threshold <= 1)) throw py::value_error("threshold must be above 0 and at most 1");
    return threshold;
}

py::array_t<uint32_t> near(const DistinctTexts& texts, const std::string& unit, int n, double threshold, int bands,
                           int rows, uint64_t seed, int64_t limit, int threads) {
    if (bands < 1 || rows < 1 || rows > (1 << 20) / bands) {
        throw py::value_error("bands and rows must be at least 1, and at most a million hashes together");
    }
    checked(threshold);
    const ShingleRule rule = shingle_rule(unit, n);
    std::vector<uint32_t> roots;
    {
        py::gil_scoped_release release;
        roots = near_duplicates(texts, rule, threshold, {bands, rows, seed}, limit, threads);
    }
    return own(std::move(roots));
}

py::tuple by_group(const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& groups, bool near,
                   const std::string& unit, int n, double threshold, int threads) {
    const RaggedView<char> text = text_view(values, offsets);
    check_offsets(groups, text.rows, "groups");
    if (groups.data()[0] != 0 || groups.data()[groups.size() - 1] != text.rows) {
        throw py::value_error("groups must hold every row");
    }
    checked(threshold);
    const ShingleRule rule = shingle_rule(unit, n);
    GroupDuplicates found;
    {
        py::gil_scoped_release release;
        found = group_duplicates(text, groups.data(), groups.size() - 1, near, rule, threshold, threads);
    }
    return py::make_tuple(own(std::move(found.equal)), own(std::move(found.near)));
}

py::tuple gather_texts(const DistinctTexts& texts, const Array<uint32_t>& numbers) {
    RaggedBuffer<char> out, scratch;
    for (py::ssize_t i = 0; i < numbers.size(); ++i) {
        const uint32_t number = numbers.data()[i];
        if (number >= texts.size()) throw py::index_error("text number out of range");
        const RaggedView<char> text = texts.range(number, number + size_t{1}, scratch);
        out.values.insert(out.values.end(), text.begin(0), text.end(0));
        out.close_row();
    }
    return own_ragged(std::move(out));
}

}  // namespace

void bind_minhash(py::module_& m) {
    // A temporary file that cannot be written or read is the system's error, not a mistake of this program.
    py::register_local_exception_translator([](std::exception_ptr raised) {
        try {
            if (raised) std::rethrow_exception(raised);
        } catch (const std::system_error& error) {
            errno = error.code().value();
            PyErr_SetFromErrno(PyExc_OSError);
        }
    });
    m.def("group_duplicates", &by_group, py::arg("values"), py::arg("offsets"), py::arg("groups"), py::arg("near"),
          py::arg("unit"), py::arg("n"), py::arg("threshold"), py::arg("threads") = 0);
    m.def(
        "fold_text",
        [](const Array<uint8_t>& values, const Array<int64_t>& offsets, int threads) {
            const RaggedView<char> text = text_view(values, offsets);
            RaggedBuffer<char> out;
            {
                py::gil_scoped_release release;
                out = join(fold_text(text, threads));
            }
            return own_ragged(std::move(out));
        },
        py::arg("values"), py::arg("offsets"), py::arg("threads") = 0);
    py::class_<DistinctTexts>(m, "DistinctTexts")
        .def(py::init<int64_t, int>(), py::arg("limit"), py::arg("file"))
        .def("__len__", &DistinctTexts::size)
        .def(
            "add",
            [](DistinctTexts& self, const Array<uint8_t>& values, const Array<int64_t>& offsets, int threads) {
                const RaggedView<char> rows = text_view(values, offsets);
                std::vector<uint32_t> numbers;
                {
                    py::gil_scoped_release release;
                    numbers = self.add(rows, threads);
                }
                return own(std::move(numbers));
            },
            py::arg("values"), py::arg("offsets"), py::arg("threads") = 0)
        .def("finish", &DistinctTexts::finish)
        .def("near", &near, py::arg("unit"), py::arg("n"), py::arg("threshold"), py::arg("bands"), py::arg("rows"),
             py::arg("seed"), py::arg("limit"), py::arg("threads") = 0)
        .def("gather", &gather_texts, py::arg("numbers"));
}

}  // namespace divfast
