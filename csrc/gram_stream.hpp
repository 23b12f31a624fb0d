// N-grams on their way from the tape to the table of their partition: some are kept back, the others put together.
#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "common.hpp"

namespace divfast {

// Twelve bytes: with eight for the place, or padding, a fifth more would have to be written and read.
struct Record {
    uint32_t low, high, place;
    uint64_t key() const { return static_cast<uint64_t>(high) << 32 | low; }
};

struct FreeMemory {
    void operator()(void* p) const { std::free(p); }
};

// Keeps back what changes nothing, in a run of rows: once two rows have an n-gram some number of times, a row that has it
// no more often says nothing new. In most texts a few thousand n-grams are half of all.
class Recent {
  public:
    void clear() { slots_.assign(size_t{1} << kBits, Slot{0, 0, 0, 0, 0, 0}); }

    // Calls tell(key, place, times) for what must be counted, in order of place for each key, and mark(place) for what
    // is kept back. `row` is the first place of this row.
    template <typename Tell, typename Mark>
    void see(uint64_t key, uint32_t place, uint32_t row, const Tell& tell, const Mark& mark) {
        Slot& slot = slots_[key & ((size_t{1} << kBits) - 1)];
        if (slot.key != key) {
            // One that has come often gives way only after as many others.
            if (slot.credit > 0) {
                --slot.credit;
            } else {
                if (slot.place >= row && slot.here <= slot.second) tell(slot.key, slot.place, slot.here);
                slot = {key, place, 1, 0, 0, 0};
            }
            tell(key, place, 1);
            return;
        }
        slot.credit = static_cast<uint16_t>(std::min(slot.credit + 1, 15));
        if (slot.place >= row) {
            ++slot.here;
        } else {
            slot.next_row();
        }
        slot.place = place;
        if (slot.here <= slot.second) {
            mark(place);
        } else {
            // Those kept back are marked already, and any place tells the row.
            tell(key, place, slot.here == slot.second + 1u ? slot.here : 1);
        }
    }

  private:
    static constexpr int kBits = 13;
    struct Slot {
        uint64_t key;
        uint32_t place, here;         // the last place, and how often so far in its row
        uint16_t most, second, credit;  // the two largest counts of the rows before it that were told of

        void next_row() {
            const auto count = static_cast<uint16_t>(std::min<uint32_t>(here, UINT16_MAX - 1));
            if (count > second) {
                second = std::min(most, count);
                most = std::max(most, count);
            }
            here = 1;
        }
    };
    std::vector<Slot> slots_;
};

// The records of many partitions in one buffer, in blocks that are handed out as they are needed.
class Blocks {
  public:
    static constexpr size_t kRecords = 64;
    // What one thread has written: for each partition its blocks, and where the next record goes.
    struct Writer {
        std::vector<size_t> next;
        std::vector<uint32_t> first, blocks;
    };

    // Makes room for n records of so many partitions by so many writers, and forgets those that are there.
    void clear(size_t n, size_t partitions, size_t writers) {
        const size_t blocks = n / kRecords + partitions * writers + 1;
        if (follows_.size() < blocks) {
            // Thousands of blocks are written at a time, each on a page of its own if pages are small.
            constexpr size_t kHugePage = size_t{1} << 21;
            const size_t bytes = (blocks * kRecords * sizeof(Record) + kHugePage - 1) / kHugePage * kHugePage;
            records_.reset();
            records_.reset(static_cast<Record*>(std::aligned_alloc(kHugePage, bytes)));
            if (!records_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
            if (bytes >= 8 * kHugePage) madvise(records_.get(), bytes, MADV_HUGEPAGE);
#endif
            follows_.resize(blocks);
        }
        limit_ = blocks;
        used_ = 0;
        writers_.resize(writers);
        for (Writer& writer : writers_) {
            writer.next.assign(partitions, 0);
            writer.first.assign(partitions, 0);
            writer.blocks.assign(partitions, 0);
        }
    }

    void put(Writer& writer, size_t partition, uint64_t key, uint32_t place) {
        size_t at = writer.next[partition];
        if (at % kRecords == 0) {
            const size_t block = used_.fetch_add(1, std::memory_order_relaxed);
            if (block >= limit_) return;
            const auto name = static_cast<uint32_t>(block);
            (writer.blocks[partition]++ == 0 ? writer.first[partition] : follows_[at / kRecords - 1]) = name;
            at = block * kRecords;
        }
        records_.get()[at] = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32), place};
        writer.next[partition] = at + 1;
    }

    // Whether something had to be left out.
    bool full() const { return used_.load(std::memory_order_relaxed) > limit_; }
    Writer& writer(size_t i) { return writers_[i]; }
    // About how many records a partition has.
    size_t size(size_t partition) const {
        size_t blocks = 0;
        for (const Writer& writer : writers_) blocks += writer.blocks[partition];
        return blocks * kRecords;
    }
    // Calls take(records, n) for the blocks of a partition, in the order they were written.
    template <typename Take>
    void each(size_t partition, const Take& take) const {
        for (const Writer& writer : writers_) {
            uint32_t block = writer.first[partition];
            for (uint32_t left = writer.blocks[partition]; left > 0; --left) {
                const size_t begin = block * kRecords;
                take(records_.get() + begin, left > 1 ? kRecords : writer.next[partition] - begin);
                block = follows_[block];
            }
        }
    }

  private:
    std::unique_ptr<Record, FreeMemory> records_;
    std::vector<uint32_t> follows_;  // the block behind each
    std::vector<Writer> writers_;
    std::atomic<size_t> used_{0};
    size_t limit_ = 0;
};

}  // namespace divfast
