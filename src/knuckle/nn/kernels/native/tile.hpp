// A tile is `steps` vectors, one for each time step, whose lanes are neighbouring channels. Tensors lie with either
// time or channels contiguous; both are moved by whole vectors, anything else element by element.

template <typename T>
INLINE T* at(const Strided3& x, int64_t batch, int64_t row, int64_t time) {
    return static_cast<T*>(x.data) + batch * x.stride[0] + row * x.stride[1] + time * x.stride[2];
}

// `count` channels (at most one vector of them) over `steps` steps from `from`; the lanes beyond are zero.
template <typename T>
void load_tile(V<T>* tile, const T* from, int64_t across, int64_t along, int64_t count, int64_t steps) {
    constexpr int64_t W = Of<T>::lanes;
    int64_t t = 0;
    if (count == W && across == 1) {
        for (; t < steps; ++t) tile[t] = load<T>(from + t * along);
    } else if (count == W && along == 1) {
        for (; t + W <= steps; t += W) {
            V<T> rows[W];
#pragma GCC unroll 16
            for (int64_t c = 0; c < W; ++c) rows[c] = load<T>(from + c * across + t);
            transpose<T>(rows);
#pragma GCC unroll 16
            for (int64_t c = 0; c < W; ++c) tile[t + c] = rows[c];
        }
    }
    for (; t < steps; ++t) {
        T lanes[W] = {};
        for (int64_t c = 0; c < count; ++c) lanes[c] = from[c * across + t * along];
        tile[t] = load<T>(lanes);
    }
}

template <typename T>
void store_tile(const V<T>* tile, T* to, int64_t across, int64_t along, int64_t count, int64_t steps) {
    constexpr int64_t W = Of<T>::lanes;
    int64_t t = 0;
    if (count == W && across == 1) {
        for (; t < steps; ++t) store<T>(to + t * along, tile[t]);
    } else if (count == W && along == 1) {
        for (; t + W <= steps; t += W) {
            V<T> rows[W];
#pragma GCC unroll 16
            for (int64_t c = 0; c < W; ++c) rows[c] = tile[t + c];
            transpose<T>(rows);
#pragma GCC unroll 16
            for (int64_t c = 0; c < W; ++c) store<T>(to + c * across + t, rows[c]);
        }
    }
    for (; t < steps; ++t) {
        T lanes[W];
        store<T>(lanes, tile[t]);
        for (int64_t c = 0; c < count; ++c) to[c * across + t * along] = lanes[c];
    }
}

template <typename T>
void load_tile(V<T>* tile, const Strided3& x, int64_t b, int64_t channel, int64_t t, int64_t count, int64_t steps) {
    load_tile<T>(tile, at<T>(x, b, channel, t), x.stride[1], x.stride[2], count, steps);
}
template <typename T>
void store_tile(const V<T>* tile, const Strided3& x, int64_t b, int64_t channel, int64_t t, int64_t count,
                int64_t steps) {
    store_tile<T>(tile, at<T>(x, b, channel, t), x.stride[1], x.stride[2], count, steps);
}

// B or C of one chunk as (states, chunk).
template <typename T>
void load_rows(T* rows, const Strided3& x, int64_t b, int64_t states, int64_t t, int64_t chunk, int64_t steps) {
    for (int64_t n = 0; n < states; ++n)
        for (int64_t k = 0; k < steps; ++k) rows[n * chunk + k] = *at<T>(x, b, n, t + k);
}

// (channels, states) as (states, padded) and back; the padding is zero.
template <typename T>
void pad_states(T* to, const T* from, int64_t channels, int64_t states, int64_t padded, T scale) {
    for (int64_t n = 0; n < states; ++n)
        for (int64_t d = 0; d < padded; ++d) to[n * padded + d] = d < channels && from ? scale * from[d * states + n] : T(0);
}
template <typename T>
void unpad_states(T* to, const T* from, int64_t channels, int64_t states, int64_t padded) {
    for (int64_t d = 0; d < channels; ++d)
        for (int64_t n = 0; n < states; ++n) to[d * states + n] = from[n * padded + d];
}

// Working memory of one call: aligned slices of one block that is freed with it.
class Scratch {
  public:
    explicit Scratch(size_t bytes) : block_(static_cast<char*>(std::calloc(bytes + 64, 1))), used_(0) {
        const size_t over = reinterpret_cast<uintptr_t>(block_) % 64;
        used_ = over ? 64 - over : 0;
    }
    ~Scratch() { std::free(block_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    bool failed() const { return block_ == nullptr; }
    static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }
    template <typename T>
    T* take(int64_t count) {
        char* start = block_ + used_;
        used_ += rounded(static_cast<size_t>(count) * sizeof(T));
        return reinterpret_cast<T*>(start);
    }

  private:
    char* block_;
    size_t used_;
};
