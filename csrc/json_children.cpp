#include "json_children.hpp"

#include "json_cursor.hpp"

namespace divfast {
namespace {

class Splitter : private JsonCursor {
  public:
    JsonChildren split(const char* begin, const char* end, bool allow_nan) {
        JsonChildren out;
        start(begin, end);
        allow_nan_ = allow_nan;
        try {
            if (const char* bad = find_invalid_utf8(begin, end); bad != end) {
                p_ = bad;
                const char* line = bad;
                while (line > begin && line[-1] != '\n') --line;
                throw Malformed{"not valid UTF-8 (byte " + std::to_string(bad - line + 1) + " of the line)."};
            }
            const char kind = peek();
            if (kind == '{' || kind == '[') {
                out.kind = kind;
                children(begin, out);
            } else {
                skip_value();
            }
            space();
            if (p_ != end_) throw Malformed{"more text after the JSON value."};
        } catch (const Malformed& bad) {
            out.error_at = p_ - begin;
            out.error = bad.message;
        }
        return out;
    }

  private:
    void children(const char* begin, JsonChildren& out) {
        const char close = out.kind == '{' ? '}' : ']';
        ++p_;
        if (peek() == close) {
            ++p_;
            return;
        }
        for (;;) {
            if (out.kind == '{') {
                append(out.keys.values, key());
                out.keys.close_row();
            }
            const Slice value = raw_value();
            out.bounds.push_back(value.begin - begin);
            out.bounds.push_back(value.end - begin);
            if (peek() == ',') {
                ++p_;
                continue;
            }
            expect(close);
            return;
        }
    }
};

}  // namespace

JsonChildren json_children(const char* data, size_t size, bool allow_nan) {
    return Splitter().split(data, data + size, allow_nan);
}

}  // namespace divfast
