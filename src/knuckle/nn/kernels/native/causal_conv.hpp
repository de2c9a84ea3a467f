// A causal filter of each channel and silu, forward and backward, for tensors whose channels are contiguous. Lanes are
// channels; one row of all channels after the other, so that rows and weights stay in the first-level cache.

template <typename T>
INLINE V<T> load_some(const T* p, int64_t count) {
    if (count >= Of<T>::lanes) return load<T>(p);
    T lanes[Of<T>::lanes] = {};
    for (int64_t k = 0; k < count; ++k) lanes[k] = p[k];
    return load<T>(lanes);
}
template <typename T>
INLINE void store_some(T* p, V<T> x, int64_t count) {
    if (count >= Of<T>::lanes) return store<T>(p, x);
    T lanes[Of<T>::lanes];
    store<T>(lanes, x);
    for (int64_t k = 0; k < count; ++k) p[k] = lanes[k];
}

// Row `t` of the input, those before the sequence from `before` (taps, padded), oldest first.
template <typename T>
INLINE const T* input_row(const ConvArguments& s, const T* before, int64_t b, int64_t t) {
    return t < 0 ? before + (s.taps + t) * s.padded : at<T>(s.x, b, 0, t);
}
template <typename T>
INLINE V<T> filtered(const ConvArguments& s, const T* weight, V<T> bias, const T* const* rows, int64_t d, int64_t count) {
    V<T> sum = bias;
    for (int64_t k = 0; k < s.taps; ++k) sum += load<T>(weight + k * s.padded + d) * load_some<T>(rows[k] + d, count);
    return sum;
}

constexpr int64_t MOST_TAPS = 64;

template <typename T>
int conv_forward(const ConvArguments* arguments) {
    const ConvArguments& s = *arguments;
    constexpr int64_t W = Of<T>::lanes;
    if (s.taps > MOST_TAPS) return 1;
    const T *weight = static_cast<T*>(s.weight), *bias = static_cast<T*>(s.bias);
    for (int64_t b = 0; b < s.batch; ++b) {
        const T* before = static_cast<T*>(s.before) + b * s.taps * s.padded;
        for (int64_t t = 0; t < s.length; ++t) {
            const T* rows[MOST_TAPS];
            for (int64_t k = 0; k < s.taps; ++k) rows[k] = input_row<T>(s, before, b, t - s.taps + 1 + k);
            T* out = at<T>(s.out, b, 0, t);
            for (int64_t d = 0; d < s.channels; d += W) {
                const int64_t count = s.channels - d;
                const V<T> y = filtered<T>(s, weight, load<T>(bias + d), rows, d, count);
                store_some<T>(out + d, y * sigmoid<T>(y), count);
            }
        }
    }
    return 0;
}

// Time runs backwards: a row of the gradient needs those of the sums at its own time and after, kept in a ring.
template <typename T>
int conv_backward(const ConvArguments* arguments) {
    const ConvArguments& s = *arguments;
    constexpr int64_t W = Of<T>::lanes;
    if (s.taps > MOST_TAPS) return 1;
    const int64_t K = s.taps, P = s.padded;
    Scratch scratch(size_t(K * P) * sizeof(T) + 64);
    if (scratch.failed()) return 1;
    T* ring = scratch.take<T>(K * P);
    const T *weight = static_cast<T*>(s.weight), *bias = static_cast<T*>(s.bias);
    T *grad_weight = static_cast<T*>(s.grad_weight), *grad_bias = static_cast<T*>(s.grad_bias);
    for (int64_t b = 0; b < s.batch; ++b) {
        const T* before = static_cast<T*>(s.before) + b * K * P;
        T* grad_before = static_cast<T*>(s.grad_before) + b * K * P;
        std::memset(ring, 0, sizeof(T) * size_t(K * P));
        for (int64_t t = s.length - 1; t > -K; --t) {
            const T* rows[MOST_TAPS];
            for (int64_t k = 0; k < K && t >= 0; ++k) rows[k] = input_row<T>(s, before, b, t - K + 1 + k);
            T* now = ring + (t + K) % K * P;
            const T* sums[MOST_TAPS];
            for (int64_t k = 0; k < K; ++k) sums[k] = ring + (t + 2 * K - 1 - k) % K * P;
            for (int64_t d = 0; d < s.channels; d += W) {
                const int64_t count = s.channels - d;
                V<T> grad = {};
                if (t >= 0) {
                    const V<T> y = filtered<T>(s, weight, load<T>(bias + d), rows, d, count), open = sigmoid<T>(y);
                    grad = load_some<T>(at<T>(s.grad_out, b, 0, t) + d, count) * open * (T(1) + y * (T(1) - open));
                    store<T>(grad_bias + d, load<T>(grad_bias + d) + grad);
                    for (int64_t k = 0; k < K; ++k)
                        store<T>(grad_weight + k * P + d,
                                 load<T>(grad_weight + k * P + d) + grad * load_some<T>(rows[k] + d, count));
                }
                store<T>(now + d, grad);
                V<T> sum = {};
                for (int64_t k = 0; k < K; ++k) sum += load<T>(weight + k * P + d) * load<T>(sums[k] + d);
                if (t >= 0)
                    store_some<T>(at<T>(s.grad_x, b, 0, t) + d, sum, count);
                else
                    store<T>(grad_before + (K + t) * P + d, sum);
            }
        }
    }
    return 0;
}
