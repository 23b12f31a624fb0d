#include <system_error>

#include "bindings.hpp"
#include "ngram_index.hpp"
#include "overlap.hpp"

namespace divfast {
namespace {

int checked_n(int n) {
    if (n < 1) throw py::value_error("n must be at least 1");
    return n;
}

// What the system refuses is an OSError with its number.
template <typename Work>
void working(const Work& work) {
    int refused = 0;
    {
        py::gil_scoped_release release;
        try {
            work();
        } catch (const std::system_error& error) {
            refused = error.code().value();
        }
    }
    if (refused != 0) {
        errno = refused;
        PyErr_SetFromErrno(PyExc_OSError);
        throw py::error_already_set();
    }
}

void check_places(const Array<int64_t>& places, int64_t rows) {
    if (places.size() != rows) throw py::value_error("places must have as many entries as there are rows");
}

void bind_stream(py::module_& m) {
    py::class_<NgramStream>(m, "_NgramStream")
        .def(
            "add_text",
            [](NgramStream& self, const Array<uint8_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& places,
               const std::string& tokenizer, bool continues, bool open, int threads) {
                const RaggedView<char> text = text_view(values, offsets);
                check_places(places, text.rows);
                const Tokenizer rule = tokenizer_from_name(tokenizer);
                working([&] { self.add_text(text, places.data(), rule, continues, open, threads); });
            },
            py::arg("values"), py::arg("offsets"), py::arg("places"), py::arg("tokenizer"), py::arg("continues") = false,
            py::arg("open") = false, py::arg("threads") = 0)
        .def(
            "add_tokens",
            [](NgramStream& self, const Array<uint64_t>& values, const Array<int64_t>& offsets, const Array<int64_t>& places,
               bool continues, bool open, int threads) {
                const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
                check_places(places, tokens.rows);
                working([&] { self.add_tokens(tokens, places.data(), continues, open, threads); });
            },
            py::arg("values"), py::arg("offsets"), py::arg("places"), py::arg("continues") = false,
            py::arg("open") = false, py::arg("threads") = 0)
        .def_property_readonly("tokens", &NgramStream::tokens)
        .def_property_readonly("grams", &NgramStream::grams)
        .def_property_readonly("fingerprint", &NgramStream::fingerprint);
}

py::tuple keys_of(const Array<uint64_t>& values, const Array<int64_t>& offsets, int n, int threads) {
    const RaggedView<uint64_t> tokens = view<uint64_t>(values, offsets);
    checked_n(n);
    RaggedBuffer<uint64_t> out;
    {
        py::gil_scoped_release release;
        out = ngram_keys(tokens, n, threads);
    }
    return own_ragged(std::move(out));
}

py::array_t<uint8_t> found_in(int file, int64_t offset, int bits, const Array<int64_t>& directory,
                              const Array<uint64_t>& keys, int threads) {
    if (bits < 1 || bits > 40 || directory.size() != (int64_t{1} << bits) + 1) {
        throw py::value_error("the directory must have 2^bits + 1 entries");
    }
    const IndexLayout layout{offset, directory.at(directory.size() - 1), bits};
    check_offsets(directory, layout.keys, "directory");
    if (!std::is_sorted(keys.data(), keys.data() + keys.size())) throw py::value_error("keys must ascend");
    std::vector<uint8_t> found(static_cast<size_t>(keys.size()));
    working([&] {
        search_index(file, layout, directory.data(), keys.data(), found.size(), threads, found.data());
    });
    return own(std::move(found));
}

}  // namespace

void bind_overlap(py::module_& m) {
    m.def("ngram_keys", &keys_of, py::arg("values"), py::arg("offsets"), py::arg("n"), py::arg("threads") = 0);
    m.def("search_index", &found_in, py::arg("file"), py::arg("offset"), py::arg("bits"), py::arg("directory"),
          py::arg("keys"), py::arg("threads") = 0);

    bind_stream(m);

    py::class_<NgramProbe, NgramStream>(m, "NgramProbe")
        .def(py::init([](int n, const Array<uint64_t>& keys) {
                 checked_n(n);
                 return std::make_unique<NgramProbe>(n, keys.data(), static_cast<size_t>(keys.size()));
             }),
             py::arg("n"), py::arg("keys"))
        .def(
            "places",
            [](const NgramProbe& self, const Array<uint64_t>& keys, int threads) {
                std::vector<int64_t> out(static_cast<size_t>(keys.size()));
                working([&] { self.places(keys.data(), out.size(), threads, out.data()); });
                return own(std::move(out));
            },
            py::arg("keys"), py::arg("threads") = 0);

    py::class_<NgramSorter, NgramStream>(m, "NgramSorter")
        .def(py::init([](int n, int64_t memory, int spill, int threads) {
                 checked_n(n);
                 const auto bytes = static_cast<size_t>(std::max<int64_t>(memory, 0));
                 return std::make_unique<NgramSorter>(n, bytes, spill, threads);
             }),
             py::arg("n"), py::arg("memory"), py::arg("spill"), py::arg("threads") = 0)
        .def(
            "write",
            [](NgramSorter& self, int out, int64_t offset) {
                IndexLayout layout;
                working([&] { layout = self.write(out, offset); });
                return py::make_tuple(layout.keys, layout.bits);
            },
            py::arg("out"), py::arg("offset"));
}

}  // namespace divfast
