#include "json_flags.hpp"

namespace divfast {
namespace {

bool literal(const char*& p, const char* end, int8_t& flag) {
    const auto is = [&](const char* word, ptrdiff_t n) {
        if (end - p < n || std::memcmp(p, word, static_cast<size_t>(n)) != 0) return false;
        p += n;
        return true;
    };
    if (is("true", 4)) return flag = 1, true;
    if (is("false", 5)) return flag = 0, true;
    return flag = -1, is("null", 4);
}

bool row_flags(const char* p, const char* end, int64_t count, std::vector<int8_t>& flags) {
    const auto space = [&] {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) ++p;
    };
    int8_t flag = -1;
    space();
    if (p == end || *p != '[') {
        const bool none = p == end || *p == 'n';  // no column here, as many nulls as there are samples
        if (p < end && !literal(p, end, flag)) return false;
        space();
        if (p != end || (!none && count != 1)) return false;
        flags.insert(flags.end(), static_cast<size_t>(count), flag);
        return true;
    }
    ++p;
    space();
    if (p < end && *p == ']') return count == 0 && p + 1 == end;
    for (int64_t left = count; left > 0; --left) {
        space();
        if (!literal(p, end, flag)) return false;
        flags.push_back(flag);
        space();
        if (p == end || *p++ != (left == 1 ? ']' : ',')) return false;
    }
    space();
    return count > 0 && p == end;
}

}  // namespace

bool json_flags(const RaggedView<char>& rows, const int64_t* bounds, std::vector<int8_t>& flags) {
    for (int64_t row = 0; row < rows.rows; ++row) {
        if (!row_flags(rows.begin(row), rows.end(row), bounds[row + 1] - bounds[row], flags)) return false;
    }
    return true;
}

}  // namespace divfast
