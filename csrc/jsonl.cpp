#include "jsonl.hpp"

#include "json_cursor.hpp"

namespace divfast {
namespace {

class LineParser : private JsonCursor {
  public:
    // Lines are parts of a buffer that ends at `readable`; the samples are no longer than what is left of it.
    // With `skip` there may be many faults, and none is worth a second look.
    LineParser(const JsonlFields& fields, JsonlBatch& batch, const char* begin, const char* readable, bool checked,
               bool skip)
        : fields_(fields), batch_(batch), buffer_end_(readable), always_checked_(checked), skip_(skip) {
        if (fields.texts) batch.text.values.resize(static_cast<size_t>(readable - begin) + kCopyStep);
        out_ = batch.text.values.data();
    }

    // Adds one record to the batch, or throws Malformed and leaves the batch as it was.
    void record(const char* begin, const Line& at, int64_t line) {
        if (always_checked_) {
            add(begin, at, line);
            return;
        }
        try {
            checked_ = false;
            add(begin, at, line);
        } catch (const Malformed&) {
            // What is wrong is for the strict reading to say.
            checked_ = true;
            add(begin, at, line);
        }
    }

    // No record will follow.
    void finish() { batch_.text.values.resize(written()); }

  private:
    struct Other {
        Slice name, value;
        int output;  // which of the fields for samples it could have been, or -1
    };

    struct Mark {
        size_t values, rows;
        int64_t nulls, surrogates;
    };

    void add(const char* begin, const Line& at, int64_t line) {
        start(begin, at.end, buffer_end_);
        const Mark mark = save();
        try {
            if (checked_ && !at.ascii) {
                if (const char* bad = find_invalid_utf8(begin, at.end); bad != at.end) {
                    throw Malformed{"not valid UTF-8 (byte " + std::to_string(bad - begin + 1) + " of the line)."};
                }
            }
            object();
            space();
            if (p_ != end_) throw Malformed{"more text after the JSON object."};
            if (best_output_ < 0) throw Malformed{wrong_type_.empty() ? no_outputs(begin, at.end) : wrong_type_};
        } catch (...) {
            restore(mark);
            throw;
        }
        store_record();
        batch_.records.push_back(batch_.text.rows());
        batch_.lines.push_back(line);
        batch_.lone_surrogates = lone_surrogates;
    }

    size_t written() const { return static_cast<size_t>(out_ - batch_.text.values.data()); }

    Mark save() const { return {written(), batch_.text.offsets.size(), batch_.null_outputs, lone_surrogates}; }
    void restore(const Mark& mark) {
        out_ = batch_.text.values.data() + mark.values;
        batch_.text.offsets.resize(mark.rows);
        batch_.null_outputs = mark.nulls;
        lone_surrogates = mark.surrogates;
    }

    // Position of `name` in `names`, or -1.
    template <typename Names, typename Text>
    static int find_name(const Names& names, const char* begin, size_t n, const Text& text) {
        for (size_t i = 0; i < names.size(); ++i) {
            const std::string& candidate = text(names[i]);
            if (candidate.size() == n && std::memcmp(candidate.data(), begin, n) == 0) return static_cast<int>(i);
        }
        return -1;
    }

    void object() {
        if (peek() != '{') {
            throw Malformed{std::string("expected a JSON object on each line, got ") + kind_of(*p_) + "."};
        }
        ++p_;
        const auto self = [](const std::string& s) -> const std::string& { return s; };
        const auto field = [](const OutputField& f) -> const std::string& { return f.name; };
        best_output_ = best_prompt_ = best_id_ = best_second_ = -1;
        single_ = false;
        wrong_type_.clear();
        prompt_.clear();
        second_.clear();
        identifier_.clear();
        carried_.assign(fields_.carried.size(), Slice{nullptr, nullptr, false});
        qualifiers_.assign(fields_.qualifiers.size(), Slice{nullptr, nullptr, false});
        others_.clear();
        const Mark mark = save();
        if (peek() == '}') {
            ++p_;
        } else {
            for (;;) {
                const Slice name = key();
                std::string unescaped;
                const char* text = name.begin;
                size_t n = static_cast<size_t>(name.end - name.begin);
                if (name.escaped) {
                    append(unescaped, name);
                    text = unescaped.data();
                    n = unescaped.size();
                }
                int at;
                const int carried = find_name(fields_.carried, text, n, self);
                const int qualifier = find_name(fields_.qualifiers, text, n, self);
                peek();
                const char* value = p_;
                const int output = at = find_name(fields_.outputs, text, n, field);
                if (at >= 0 && (best_output_ < 0 || at <= best_output_)) {
                    outputs(at, mark);
                } else if ((at = find_name(fields_.ids, text, n, self)) >= 0 && (best_id_ < 0 || at <= best_id_)) {
                    scalar(at, best_id_, identifier_);
                } else if (n > 0 && n == fields_.second.size() && std::memcmp(fields_.second.data(), text, n) == 0) {
                    scalar(0, best_second_, second_);
                    at = find_name(fields_.prompts, text, n, self);
                    if (best_second_ == 0 && at >= 0 && (best_prompt_ < 0 || at <= best_prompt_)) {
                        prompt_ = second_;
                        best_prompt_ = at;
                    }
                } else if ((at = find_name(fields_.prompts, text, n, self)) >= 0 && (best_prompt_ < 0 || at <= best_prompt_)) {
                    scalar(at, best_prompt_, prompt_);
                } else {
                    skip_value();
                }
                if (fields_.others && find_name(fields_.left_out, text, n, self) < 0) {
                    others_.push_back({name, {value, p_, false}, output});
                }
                if (carried >= 0) carried_[static_cast<size_t>(carried)] = {value, p_, false};
                if (qualifier >= 0) qualifiers_[static_cast<size_t>(qualifier)] = {value, p_, false};
                if (peek() == ',') {
                    ++p_;
                    continue;
                }
                expect('}');
                break;
            }
        }
    }

    void store_record() {
        if (best_prompt_ >= 0 && !second_.empty() && fields_.prompts[static_cast<size_t>(best_prompt_)] == fields_.first) {
            prompt_.insert(prompt_.end(), {'\n', '\n'});
            prompt_.insert(prompt_.end(), second_.begin(), second_.end());
        }
        // Samples that stand one to a line and have no id are told apart by their prompt.
        if (best_id_ < 0 && single_ && best_prompt_ >= 0) {
            identifier_ = prompt_;
            best_id_ = static_cast<int>(fields_.ids.size());
        }
        store(batch_.ids, batch_.has_id, identifier_, best_id_ >= 0);
        batch_.keys.values.insert(batch_.keys.values.end(), identifier_.begin(), identifier_.end());
        for (const Slice& part : qualifiers_) {
            batch_.keys.values.push_back('\x1f');
            batch_.keys.values.insert(batch_.keys.values.end(), part.begin, part.end);
        }
        batch_.keys.close_row();
        store(batch_.prompts, batch_.has_prompt, prompt_, best_prompt_ >= 0);
        batch_.single.push_back(single_);
        for (size_t i = 0; i < carried_.size(); ++i) {
            batch_.carried[i].values.insert(batch_.carried[i].values.end(), carried_[i].begin, carried_[i].end);
            batch_.carried[i].close_row();
        }
        if (fields_.others) store_others();
    }

    void store_others() {
        auto& text = batch_.others.values;
        bool first = true;
        for (const Other& other : others_) {
            // Samples stand elsewhere.
            if (other.output >= 0 && other.output == best_output_) continue;
            if (!first) text.insert(text.end(), {',', ' '});
            first = false;
            // The name with its quotes.
            text.insert(text.end(), other.name.begin - 1, other.name.end + 1);
            text.insert(text.end(), {':', ' '});
            text.insert(text.end(), other.value.begin, other.value.end);
        }
        batch_.others.close_row();
    }

    static void store(RaggedBuffer<char>& column, std::vector<uint8_t>& present, const Bytes& text, bool has) {
        if (has) column.values.insert(column.values.end(), text.begin(), text.end());
        column.close_row();
        present.push_back(has);
    }

    static void list(std::string& names, const std::string& name) {
        names += (names.empty() ? "\"" : ", \"") + name + "\"";
    }

    std::string no_outputs(const char* begin, const char* end) {
        std::string names;
        for (const OutputField& f : fields_.outputs) list(names, f.name);
        const std::string there = skip_ ? "" : field_names(begin, end);
        return "no field with the samples (looked for " + names + ")" + (there.empty() ? "." : "; it has " + there + ".");
    }

    // The names in a record that has been read without fault. The one that is wanted may be among them.
    std::string field_names(const char* begin, const char* end) {
        constexpr int kMost = 20;
        start(begin, end, buffer_end_);
        peek();
        ++p_;
        std::string names;
        for (int i = 0; peek() != '}'; ++i) {
            if (i == kMost) return names + ", ...";
            const Slice name = key();
            // As it is written: an escape is no character that would break the line.
            list(names, std::string(name.begin, name.end));
            skip_value();
            if (peek() == ',') ++p_;
        }
        return names;
    }

    // An id or a prompt: the text of a string, the JSON of anything else, nothing for null.
    void scalar(int at, int& best, Bytes& out) {
        if (*p_ == 'n') {
            skip_value();
            return;
        }
        if (*p_ == '"') {
            out.resize(static_cast<size_t>(end_ - p_) + kCopyStep);
            out.resize(static_cast<size_t>(copy_string(out.data()) - out.data()));
        } else {
            const Slice raw = raw_value();
            out.assign(raw.begin, raw.end);
        }
        best = at;
    }

    void sample() {
        if (fields_.texts) {
            out_ = copy_string(out_);
        } else {
            pass_string();
        }
    }

    void close_sample() { batch_.text.offsets.push_back(static_cast<int64_t>(written())); }

    void outputs(int at, const Mark& mark) {
        const OutputField& field = fields_.outputs[static_cast<size_t>(at)];
        const char* begin = p_;
        const auto refuse = [&](const std::string& what) {
            wrong_type_ = what;
            p_ = begin;
            skip_value();
        };
        if (*p_ == '[') {
            restore(mark);
            ++p_;
            int64_t index = 0;
            if (peek() == ']') {
                ++p_;
            } else {
                for (;; ++index) {
                    if (peek() == '"') {
                        sample();
                    } else if (*p_ == 'n') {
                        literal("null");
                        ++batch_.null_outputs;
                    } else {
                        restore(mark);
                        best_output_ = -1;
                        return refuse("\"" + field.name + "\" must be a list of strings, got " + kind_of(*p_) +
                                      " at position " + std::to_string(index) + ".");
                    }
                    close_sample();
                    if (peek() == ',') {
                        ++p_;
                        continue;
                    }
                    expect(']');
                    break;
                }
            }
            single_ = false;
        } else if (field.may_be_text && (*p_ == '"' || *p_ == 'n')) {
            restore(mark);
            if (*p_ == '"') {
                sample();
            } else {
                literal("null");
                ++batch_.null_outputs;
            }
            close_sample();
            single_ = true;
        } else {
            return refuse("\"" + field.name + "\" must be a list of strings" +
                          (field.may_be_text ? " or one string" : "") + ", got " + kind_of(*p_) + ".");
        }
        best_output_ = at;
    }

    const JsonlFields& fields_;
    JsonlBatch& batch_;
    const char* buffer_end_;
    bool always_checked_, skip_;
    char* out_ = nullptr;  // behind the last sample
    Bytes prompt_, second_, identifier_;
    std::string wrong_type_;
    std::vector<Slice> carried_, qualifiers_;
    std::vector<Other> others_;
    int best_output_ = -1, best_prompt_ = -1, best_second_ = -1, best_id_ = -1;
    bool single_ = false;
};

bool is_blank(const char* p, const char* end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) ++p;
    return p == end;
}

int64_t parse_part(const char* p, const char* end, const JsonlFields& fields, bool skip, JsonlBatch& batch) {
    batch.carried.resize(fields.carried.size());
    const bool checked = fields.texts || skip;
    LineParser parser(fields, batch, p, end, checked, skip);
    int64_t line = 0;
    while (p < end) {
        const Line at = checked ? find_line(p, end) : Line{find_byte(p, end, '\n'), false};
        if (!is_blank(p, at.end)) {
            try {
                parser.record(p, at, line);
            } catch (const Malformed& bad) {
                batch.errors.push_back({line, bad.message});
                if (!skip) break;
            }
        }
        ++line;
        p = at.end + 1;
    }
    parser.finish();
    return line;
}

}  // namespace

std::vector<JsonlBatch> parse_jsonl(const char* data, size_t size, int64_t first_line, const JsonlFields& fields,
                                    bool skip, int threads) {
    const char* end = data + size;
    const size_t parts = std::max<size_t>(1, std::min<size_t>(static_cast<size_t>(resolve_threads(threads)), size >> 20));
    std::vector<const char*> cuts{data};
    for (size_t part = 1; part < parts; ++part) {
        const char* from = std::max(cuts.back(), data + size / parts * part);
        const char* newline = find_byte(from, end, '\n');
        if (newline == end) break;
        cuts.push_back(newline + 1);
    }
    cuts.push_back(end);
    std::vector<JsonlBatch> batches(cuts.size() - 1);
    parallel_for(static_cast<int64_t>(batches.size()), threads, [&](int64_t i) {
        const auto part = static_cast<size_t>(i);
        batches[part].line_count = parse_part(cuts[part], cuts[part + 1], fields, skip, batches[part]);
    });
    int64_t line = first_line;
    for (size_t part = 0; part < batches.size(); ++part) {
        for (int64_t& at : batches[part].lines) at += line;
        for (JsonlError& error : batches[part].errors) error.line += line;
        line += batches[part].line_count;
    }
    return batches;
}

}  // namespace divfast
