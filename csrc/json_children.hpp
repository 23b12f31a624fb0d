// The members of one JSON object or the elements of one list, as slices of its text.
#pragma once

#include <string>
#include <vector>

#include "common.hpp"

namespace divfast {

struct JsonChildren {
    char kind = 0;                // '{', '[', or 0 where it is neither
    RaggedBuffer<char> keys;      // a row a member, empty for a list
    std::vector<int64_t> bounds;  // begin and end of every value
    int64_t error_at = -1;        // where the text is malformed, or -1
    std::string error;
};

// Checks the whole text and cuts it one level deep. NaN and Infinity pass where `allow_nan`, as some harnesses write them.
JsonChildren json_children(const char* data, size_t size, bool allow_nan);

}  // namespace divfast
