// The different texts of a corpus that arrives in blocks, each kept once, in memory or past a limit in a file.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "common.hpp"

namespace divfast {

// Bytes that only grow. Not a vector: realloc of a large piece moves pages, not bytes, so nothing is held twice.
class Tape {
  public:
    void append(const char* data, size_t n);
    void clear();
    const char* data() const { return bytes_.get(); }
    size_t size() const { return size_; }

  private:
    struct Free {
        void operator()(char* p) const { std::free(p); }
    };
    std::unique_ptr<char, Free> bytes_;
    size_t size_ = 0, room_ = 0;
};

// Texts are numbered in order of first appearance. Holds 8 bytes a text and, until `finish`, 11 to 21 more; the texts
// themselves in memory while they are at most `limit` bytes (0: no limit), else in `file`, which is the caller's.
class DistinctTexts {
  public:
    DistinctTexts(int64_t limit, int file) : limit_(limit), file_(file) {}

    // The number of the text of every row. Throws std::length_error at 2^32 - 1 texts.
    std::vector<uint32_t> add(const RaggedView<char>& rows, int threads);
    // No more texts will come.
    void finish();

    size_t size() const { return offsets_.size() - 1; }
    size_t bytes() const { return static_cast<size_t>(offsets_.back()); }
    // Texts first .. last of `size()`. What they point to lives as long as `scratch` and this.
    RaggedView<char> range(size_t first, size_t last, RaggedBuffer<char>& scratch) const;
    // The cut points of runs of texts of about a megabyte each.
    std::vector<int64_t> runs() const;

  private:
    bool equals(uint32_t text, const char* begin, size_t n, std::vector<char>& scratch) const;
    void keep(const char* begin, size_t n);
    void read(int64_t at, char* into, size_t n) const;
    void write(const char* data, size_t n, int64_t at) const;
    void grow();

    int64_t limit_;
    int file_;
    bool spilled_ = false;
    Tape tape_;                        // all texts, or those of this block that are not in the file yet
    std::vector<int64_t> offsets_{0};  // of each text in all of them
    std::vector<uint64_t> table_;      // high half of a fingerprint, then the number of the text and 1
    int bits_ = 0;
};

}  // namespace divfast
