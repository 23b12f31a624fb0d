// n-grams of a stream that arrives in pieces: looked up in a table and in a sorted file, beside going through them.
#include <sys/mman.h>
#include <unistd.h>

#include <set>

#include "fuzz.hpp"
#include "ngram_index.hpp"

using namespace divfast;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int n = 1 + input.below(5);
    const bool goes_on = input.below(2);
    const size_t memory = input.below(2) ? 1 : 1 << 20;
    const auto made = input.tokens();
    // The first group is what is looked up, the others are the stream. Where it goes on, the last document of a group
    // and the first one of the next are one.
    const auto queries = ngram_keys(made.part(0, 1), n, 2);
    fuzz::check_rows(queries);
    std::vector<uint64_t> keys = queries.values;
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    std::vector<std::vector<uint64_t>> documents;
    std::vector<int64_t> places;
    for (int64_t g = 1; g < made.n_groups(); ++g) {
        const auto part = made.part(g, g + 1);
        for (int64_t row = 0; row < part.rows; ++row) {
            if (row > 0 || documents.empty() || !goes_on) {
                documents.emplace_back();
                places.push_back(static_cast<int64_t>(places.size()));
            }
            documents.back().insert(documents.back().end(), part.begin(row), part.end(row));
        }
    }
    std::vector<int64_t> first(keys.size(), -1);
    const NgramHash hash(n);
    std::set<uint64_t> all;
    int64_t grams = 0;
    for (size_t d = 0; d < documents.size(); ++d) {
        hash.each(documents[d].data(), documents[d].size(), [&](uint64_t key) {
            const auto at = std::lower_bound(keys.begin(), keys.end(), key);
            if (at != keys.end() && *at == key && first[static_cast<size_t>(at - keys.begin())] < 0) {
                first[static_cast<size_t>(at - keys.begin())] = static_cast<int64_t>(d);
            }
            all.insert(key);
            ++grams;
        });
    }

    const int spill = memfd_create("spill", 0), file = memfd_create("index", 0);
    NgramProbe probe(n, keys.data(), keys.size());
    NgramSorter sorter(n, memory, spill, 2);
    size_t next = 0;
    for (int64_t g = 1; g < made.n_groups(); ++g) {
        const auto part = made.part(g, g + 1);
        if (part.rows == 0) continue;
        const bool continues = goes_on && next > 0, open = goes_on && g + 1 < made.n_groups();
        std::vector<int64_t> here;
        for (int64_t row = 0; row < part.rows; ++row) {
            if (row > 0 || !continues) ++next;
            here.push_back(static_cast<int64_t>(next) - 1);
        }
        probe.add_tokens(part, here.data(), continues, open, 3);
        sorter.add_tokens(part, here.data(), continues, open, 3);
    }
    CHECK(probe.grams() == grams && sorter.grams() == grams);
    std::vector<int64_t> found(keys.size());
    probe.places(keys.data(), keys.size(), 2, found.data());
    CHECK(found == first);

    const IndexLayout layout = sorter.write(file, 16);
    CHECK(layout.keys == static_cast<int64_t>(all.size()));
    std::vector<int64_t> directory((size_t{1} << layout.bits) + 1);
    const auto bytes = static_cast<ssize_t>(directory.size() * 8);
    CHECK(pread(file, directory.data(), directory.size() * 8, layout.offset + layout.keys * 8) == bytes);
    std::vector<uint8_t> in_file(keys.size());
    search_index(file, layout, directory.data(), keys.data(), keys.size(), 2, in_file.data());
    for (size_t i = 0; i < keys.size(); ++i) CHECK((in_file[i] != 0) == (first[i] >= 0));
    close(spill);
    close(file);
    return 0;
}
