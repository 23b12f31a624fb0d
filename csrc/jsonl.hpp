// JSON Lines to columns: one record a line, the few fields that matter, everything else checked and passed over.
#pragma once

#include <string>
#include <vector>

#include "common.hpp"

namespace divfast {

struct OutputField {
    std::string name;
    bool may_be_text;  // a single string under this name is one sample; otherwise only a list will do
};

struct JsonlFields {
    // In order of preference: the first name that a record has is taken.
    std::vector<OutputField> outputs;
    std::vector<std::string> ids, prompts;
    // A prompt taken from the field `first` goes on, after an empty line, with the text of `second`.
    std::string first, second;
    // Part of what makes an id: the same id under another task or model is another prompt's.
    std::vector<std::string> qualifiers;
    // Kept as their JSON text.
    std::vector<std::string> carried;
    // Where `others` is set, so is every other field but these and the one with the samples.
    std::vector<std::string> left_out;
    bool others = false;
    bool texts = true;  // without them the samples are counted, and their rows are empty
};

struct JsonlError {
    int64_t line;
    std::string message;
};

struct JsonlBatch {
    RaggedBuffer<char, Bytes> text;    // a row a sample
    std::vector<int64_t> records{0};   // record r holds samples records[r] .. records[r + 1]
    RaggedBuffer<char> ids, prompts;   // a row a record, empty where absent
    RaggedBuffer<char> keys;           // the id with its qualifiers: equal keys are one group
    std::vector<uint8_t> has_id, has_prompt, single;
    std::vector<int64_t> lines;        // 1-based line of each record
    std::vector<RaggedBuffer<char>> carried;
    RaggedBuffer<char> others;         // a row a record: its further fields as they stand inside an object's braces
    std::vector<JsonlError> errors;
    int64_t line_count = 0, null_outputs = 0, lone_surrogates = 0;
};

// Parses whole lines, split among threads; batches come in the order of the lines. With `skip` a bad line is left
// out and listed, otherwise parsing a part stops at its first bad line. With neither `skip` nor texts the insides of
// strings that no field asks for go unchecked: for a survey of a dump that is about to be parsed.
std::vector<JsonlBatch> parse_jsonl(const char* data, size_t size, int64_t first_line, const JsonlFields& fields,
                                    bool skip, int threads);

}  // namespace divfast
