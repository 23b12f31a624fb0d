// One level of a JSON document: values that lie in it one after the other, each of them valid by itself.
#include "fuzz.hpp"
#include "json_children.hpp"
#include "utf8.hpp"

using namespace divfast;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const bool allow_nan = size % 2 == 0;
    const std::vector<char> text(data, data + size);
    const JsonChildren out = json_children(text.data(), text.size(), allow_nan);
    if (out.error_at >= 0) {
        CHECK(!out.error.empty() && out.error_at <= static_cast<int64_t>(size));
        return 0;
    }
    CHECK(out.bounds.size() % 2 == 0);
    if (out.kind == '{') {
        fuzz::check_rows(out.keys);
        CHECK(static_cast<size_t>(out.keys.rows()) == out.bounds.size() / 2);
        const char* end = out.keys.values.data() + out.keys.values.size();
        CHECK(find_invalid_utf8(out.keys.values.data(), end) == end);
    }
    int64_t before = 0;
    for (size_t i = 0; i < out.bounds.size(); i += 2) {
        CHECK(before < out.bounds[i] && out.bounds[i] < out.bounds[i + 1]);
        before = out.bounds[i + 1];
        const std::vector<char> value(text.begin() + out.bounds[i], text.begin() + before);
        CHECK(json_children(value.data(), value.size(), allow_nan).error_at < 0);
    }
    CHECK(before <= static_cast<int64_t>(size));
    return 0;
}
