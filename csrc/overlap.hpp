// n-grams that two texts share: fingerprints of all n-grams of a stream of documents, looked up in a table that fits
// in memory, or sorted into a file that is looked up later. n-grams never cross documents.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "common.hpp"
#include "tokens.hpp"

namespace divfast {

// Fingerprints of the n-grams of a run of tokens, in constant time each whatever n is: a polynomial over the tokens
// modulo 2^64, rolled along. Two different n-grams share one with odds of 2^-64; 2^-59 where they are the same tokens
// in another order. None is zero.
class NgramHash {
  public:
    explicit NgramHash(int n);
    size_t n() const { return n_; }

    // emit(key) for tokens [i, i + n), i = 0, 1, ...
    template <typename Emit>
    void each(const uint64_t* tokens, size_t count, const Emit& emit) const {
        if (count < n_) return;
        uint64_t state = 0;
        for (size_t i = 0; i + 1 < n_; ++i) state = state * kBase + spread(tokens[i]);
        for (size_t i = n_ - 1; i < count; ++i) {
            state = state * kBase + spread(tokens[i]);
            emit(finish(state));
            state -= spread(tokens[i + 1 - n_]) * first_;
        }
    }

  private:
    static constexpr uint64_t kBase = kSeed1;  // 3 modulo 8: its powers stay apart in the low bits longest
    // Ids of a learned tokenizer are small numbers.
    static uint64_t spread(uint64_t token) { return fold(token ^ kSeed1, kSeed2); }
    // One to one; the state is evenly spread in its high bits alone.
    static uint64_t finish(uint64_t state) {
        state ^= state >> 32;
        state *= kSeed0;
        state ^= state >> 29;
        state *= kSeed2 | 1;
        state ^= state >> 32;
        return state == 0 ? kSeed0 : state;
    }

    size_t n_;
    uint64_t first_;  // what the first token of an n-gram is multiplied with
};

// Keys of every n-gram of every row, one row after the other.
RaggedBuffer<uint64_t> ngram_keys(const RaggedView<uint64_t>& tokens, int n, int threads);

// Takes documents in blocks, cuts them among threads and passes all keys on. A document may go on from one block to
// the next, and a long one is cut inside a block; its n-grams are the same.
class NgramStream {
  public:
    explicit NgramStream(int n);
    virtual ~NgramStream();
    NgramStream(const NgramStream&) = delete;
    NgramStream& operator=(const NgramStream&) = delete;

    // One row a document. `continues`: the first row is the rest of the last document; `open`: the last row is not
    // yet the whole of its document. Between such rows there must be a blank. `places` says where each row stands.
    void add_text(const RaggedView<char>& text, const int64_t* places, Tokenizer tokenizer, bool continues, bool open,
                  int threads);
    void add_tokens(const RaggedView<uint64_t>& tokens, const int64_t* places, bool continues, bool open, int threads);

    int n() const { return static_cast<int>(hash_.n()); }
    int64_t tokens() const { return tokens_; }
    int64_t grams() const { return grams_; }
    // The sum of all keys: the same for the same n-grams in any order, whatever the documents and the blocks.
    uint64_t fingerprint() const { return sum_; }

  protected:
    // Keys from `first` on, up to the next entry, stand at `place`.
    struct From {
        size_t first;
        int64_t place;
    };
    // Called by several threads at a time.
    virtual void take(const std::vector<uint64_t>& keys, const std::vector<From>& from) = 0;

  private:
    struct Pieces;
    struct Workspace;
    void pass_on(const std::vector<uint64_t>& keys, const std::vector<From>& from);
    template <typename Load>
    void add(const Pieces& pieces, const int64_t* places, bool continues, bool open, int threads, const Load& load);
    std::unique_ptr<Workspace> borrow();

    NgramHash hash_;
    std::vector<uint64_t> tail_;  // the last tokens of a document that goes on, n - 1 at most
    std::atomic<int64_t> tokens_{0}, grams_{0};
    std::atomic<uint64_t> sum_{0};
    std::vector<std::unique_ptr<Workspace>> idle_;
    std::mutex guard_;
};

// Which of some keys occur in a stream, and where first.
class NgramProbe : public NgramStream {
  public:
    NgramProbe(int n, const uint64_t* keys, size_t count);
    // The least place of every key, or -1 where it did not occur.
    void places(const uint64_t* keys, size_t count, int threads, int64_t* out) const;

  private:
    void take(const std::vector<uint64_t>& keys, const std::vector<From>& from) override;
    size_t slot_of(uint64_t key) const;

    // One bit for every key, picked by its high bits: nearly all other keys end there.
    std::vector<uint64_t> filter_;
    int filter_shift_ = 0;
    std::vector<uint64_t> slots_;
    std::unique_ptr<std::atomic<int64_t>[]> places_;
};

}  // namespace divfast
