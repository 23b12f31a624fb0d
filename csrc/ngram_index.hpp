// The different n-grams of a stream as one sorted file: keys, then a directory by their high bits. What does not fit
// in memory is sorted in runs and spilled.
#pragma once

#include <memory>
#include <vector>

#include "common.hpp"
#include "overlap.hpp"

namespace divfast {

// Where the keys of an index file stand: `keys` of them, 8 bytes each, from byte `offset` on, in ascending order;
// those with the high bits s from number directory[s] on. The directory has 2^bits + 1 entries.
struct IndexLayout {
    int64_t offset = 0, keys = 0;
    int bits = 0;
};

// Throws std::system_error where the system will not read or write, std::runtime_error for a file that is damaged.
class NgramSorter : public NgramStream {
  public:
    // Works in about `memory` bytes. Runs go into the open file `spill`, which must be empty.
    NgramSorter(int n, size_t memory, int spill, int threads);
    // Writes the keys and the directory into the open file `out` from byte `offset` on; nothing can be added any more.
    IndexLayout write(int out, int64_t offset);

  private:
    struct Run {
        int64_t start;                // in keys from the beginning of the file
        std::vector<int64_t> bucket;  // and from here where each bucket begins
    };
    void take(const std::vector<uint64_t>& keys, const std::vector<From>& from) override;
    Run sort();
    void spill();
    IndexLayout write_runs(int out, int64_t offset);

    size_t capacity_;
    int spill_, threads_;
    std::unique_ptr<uint64_t[]> buffer_, other_;
    size_t size_ = 0;
    int64_t spilled_ = 0;
    std::vector<Run> runs_;
    std::mutex filling_;
};

// found[i] says whether keys[i] is in the file; keys must ascend, and the directory must fit the layout.
void search_index(int file, const IndexLayout& layout, const int64_t* directory, const uint64_t* keys, size_t count,
                  int threads, uint8_t* found);

}  // namespace divfast
