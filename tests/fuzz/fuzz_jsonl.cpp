// The JSON Lines parser: columns that fit one another, the same on one thread and on several.
#include "fuzz.hpp"
#include "jsonl.hpp"
#include "utf8.hpp"

using namespace divfast;

namespace {

template <typename Buffer>
void check_text(const Buffer& rows, size_t count) {
    fuzz::check_rows(rows);
    CHECK(static_cast<size_t>(rows.rows()) == count);
    const char* end = rows.values.data() + rows.values.size();
    CHECK(find_invalid_utf8(rows.values.data(), end) == end);
}

// What one and several threads must agree on.
struct Seen {
    std::vector<char> text, ids, keys;
    std::vector<int64_t> lines, sizes, bad;
};

Seen check(const std::vector<JsonlBatch>& batches, int64_t line_count, const JsonlFields& fields) {
    const size_t carried = fields.carried.size();
    const bool others = fields.others;
    Seen seen;
    int64_t line = 7, before = 6;
    for (const JsonlBatch& batch : batches) {
        const size_t records = batch.lines.size();
        CHECK(batch.records.size() == records + 1 && batch.records.front() == 0);
        check_text(batch.text, static_cast<size_t>(batch.records.back()));
        check_text(batch.ids, records);
        check_text(batch.prompts, records);
        check_text(batch.keys, records);
        CHECK(batch.has_id.size() == records && batch.has_prompt.size() == records && batch.single.size() == records);
        CHECK(batch.carried.size() == carried);
        for (const auto& column : batch.carried) check_text(column, records);
        check_text(batch.others, others ? records : 0);
        for (size_t r = 0; r < records; ++r) {
            CHECK(batch.records[r] <= batch.records[r + 1]);
            CHECK(before < batch.lines[r]);
            before = batch.lines[r];
            seen.sizes.push_back(batch.records[r + 1] - batch.records[r]);
        }
        for (const JsonlError& error : batch.errors) {
            CHECK(!error.message.empty());
            seen.bad.push_back(error.line);
        }
        seen.text.insert(seen.text.end(), batch.text.values.begin(), batch.text.values.end());
        seen.ids.insert(seen.ids.end(), batch.ids.values.begin(), batch.ids.values.end());
        seen.keys.insert(seen.keys.end(), batch.keys.values.begin(), batch.keys.values.end());
        seen.lines.insert(seen.lines.end(), batch.lines.begin(), batch.lines.end());
        line += batch.line_count;
    }
    CHECK(before < 7 + line_count && line <= 7 + line_count);
    return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    const int options = input.below(8);
    const bool skip = options & 1;
    JsonlFields fields;
    fields.outputs = {{"outputs", false}, {"output", true}, {"a.b", true}};
    fields.ids = {"id", "i"};
    fields.prompts = {"prompt", "p", "c"};
    fields.first = "p";
    fields.second = "c";
    fields.qualifiers = {"task"};
    fields.carried = {"gold", "c"};
    fields.texts = !(options & 2);
    fields.others = options & 4;
    fields.left_out = {"gold"};
    size -= size > 0;
    // As large as it must be and no larger.
    const std::vector<char> text(data + 1 - (size == 0), data + 1 - (size == 0) + size);
    const auto lines = static_cast<int64_t>(std::count(text.begin(), text.end(), '\n')) + 1;
    const Seen one = check(parse_jsonl(text.data(), text.size(), 7, fields, skip, 1), lines, fields);
    const Seen many = check(parse_jsonl(text.data(), text.size(), 7, fields, skip, 3), lines, fields);
    if (skip || (one.bad.empty() && many.bad.empty())) {
        CHECK(one.text == many.text && one.ids == many.ids && one.keys == many.keys);
        CHECK(one.lines == many.lines && one.sizes == many.sizes && one.bad == many.bad);
    } else {
        CHECK(one.bad.front() == many.bad.front());
    }
    return 0;
}
