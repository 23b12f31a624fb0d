// Puts the rooms of the core into one Python module.
#include "bindings.hpp"

PYBIND11_MODULE(_core, m) {
    m.doc() = "The compiled core of divfast: bytes, tokens, n-grams. Arrays in, arrays out; the GIL is released.";
    divfast::bind_group_products(m);
    divfast::bind_greedy(m);
    divfast::bind_clusters(m);
    divfast::bind_json(m);
    divfast::bind_minhash(m);
    divfast::bind_matches(m);
    divfast::bind_ngrams(m);
    divfast::bind_pairs(m);
    divfast::bind_overlap(m);
    divfast::bind_programs(m);
    divfast::bind_resample(m);
    divfast::bind_spectra(m);
    divfast::bind_similarity(m);
    divfast::bind_text(m);
    divfast::bind_vectors(m);
    divfast::bind_text_statistics(m);
}
