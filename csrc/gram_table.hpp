// A table of n-grams that are told of in order of place: which occur again, and which rows have too many.
#pragma once

#include <vector>

#include "common.hpp"

namespace divfast {

class GramTable {
  public:
    // Empties the table; about n n-grams will come.
    void clear(size_t n) {
        size_t slots = 64;
        while (slots < 2 * n && slots < kFirstSlots) slots <<= 1;
        slots_.assign(slots, Slot{0, 0, 0});
        repeats_.clear();
        size_ = 0;
    }

    void prefetch(uint64_t key) const { __builtin_prefetch(&slots_[key & (slots_.size() - 1)], 1); }

    // Takes the n-gram `key`, not 0, at `place`. Calls mark(place) for every place whose n-gram occurs more than once,
    // and same_row(before, place) to ask whether the row of `before` is not yet over.
    template <typename SameRow, typename Mark>
    void see(uint64_t key, uint32_t place, const SameRow& same_row, const Mark& mark) {
        size_t at = key & (slots_.size() - 1);
        while (slots_[at].key != key) {
            if (slots_[at].key == 0) {
                slots_[at] = {key, place, kOnce};
                if (2 * ++size_ > slots_.size()) grow();
                return;
            }
            at = (at + 1) & (slots_.size() - 1);
        }
        Slot& slot = slots_[at];
        const uint32_t before = slot.place;
        slot.place = place;
        if (slot.state == kOnce) mark(before);
        mark(place);
        if (!same_row(before, place)) {
            if (slot.state == kOnce) slot.state = kOnceEach;
            if (slot.state >= kRepeats) repeats_[slot.state - kRepeats].next_row(place);
        } else if (slot.state >= kRepeats) {
            Repeat& repeat = repeats_[slot.state - kRepeats];
            ++repeat.here;
            repeat.place = place;
        } else {
            // Rows before this one, if any, had it once; twice here is more, so whether it was one row does not matter.
            const uint32_t most = slot.state == kOnceEach;
            slot.state = static_cast<uint32_t>(repeats_.size()) + kRepeats;
            repeats_.push_back({most, most, 2, place, place});
        }
    }

    // Calls take(place, count) for every n-gram of which the row at `place` has `count` more than any other.
    template <typename Take>
    void finish(const Take& take) {
        for (Repeat& repeat : repeats_) {
            repeat.next_row(0);
            if (repeat.most > repeat.second) take(repeat.owner, repeat.most - repeat.second);
        }
    }

  private:
    // The state of an n-gram: seen once; once in each of several rows; from there on, which of the repeats it is.
    static constexpr uint32_t kOnce = 0, kOnceEach = 1, kRepeats = 2;
    // Half of a usual second-level cache. Partitions that hold one frequent n-gram need far less than their size.
    static constexpr size_t kFirstSlots = size_t{1} << 15;

    struct Slot {
        uint64_t key;
        uint32_t place, state;
    };
    // An n-gram that some row has more than once: its two largest counts so far, and its count in the last row.
    struct Repeat {
        uint32_t most, second, here, owner, place;

        void next_row(uint32_t next) {
            if (here > most) {
                second = most;
                most = here;
                owner = place;
            } else if (here > second) {
                second = here;
            }
            here = 1;
            place = next;
        }
    };

    void grow() {
        std::vector<Slot> old(2 * slots_.size(), Slot{0, 0, 0});
        old.swap(slots_);
        for (const Slot& slot : old) {
            if (slot.key == 0) continue;
            size_t at = slot.key & (slots_.size() - 1);
            while (slots_[at].key != 0) at = (at + 1) & (slots_.size() - 1);
            slots_[at] = slot;
        }
    }

    std::vector<Slot> slots_;
    std::vector<Repeat> repeats_;
    size_t size_ = 0;
};

}  // namespace divfast
