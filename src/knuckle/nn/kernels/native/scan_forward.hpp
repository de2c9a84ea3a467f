// The selective scan, forward: h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t, y_t = C_t h_t + D u_t, gated by silu(z_t).
//
// Lanes are channels, so that the sum over states needs no shuffling. A chunk of time steps is one tile; within it the
// states are the outer loop, so that h stays in a register along the chunk.

// dt and dt u of a tile, in place of delta.
template <typename T>
INLINE void discretise(const ScanArguments& s, V<T>* dt, V<T>* x, const V<T>* u, V<T> bias, int64_t steps) {
    for (int64_t t = 0; t < steps; ++t) {
        const V<T> raw = dt[t] + bias;
        dt[t] = s.softplus ? softplus<T>(raw) : raw;
        x[t] = dt[t] * u[t];
    }
}

// Two states (or one) along one chunk.
template <typename T, int U>
INLINE void advance(T* h, const T* rates, const T* B, const T* C, int64_t padded, int64_t chunk, const V<T>* dt,
                    const V<T>* x, V<T>* y, int64_t steps) {
    V<T> state[U], rate[U];
#pragma GCC unroll 4
    for (int k = 0; k < U; ++k) state[k] = load<T>(h + k * padded), rate[k] = load<T>(rates + k * padded);
    for (int64_t t = 0; t < steps; ++t) {
        const V<T> step = dt[t], drive = x[t];
        V<T> sum = y[t];
#pragma GCC unroll 4
        for (int k = 0; k < U; ++k) {
            state[k] = exp2_of<T>(step * rate[k]) * state[k] + drive * B[k * chunk + t];
            sum += state[k] * C[k * chunk + t];
        }
        y[t] = sum;
    }
#pragma GCC unroll 4
    for (int k = 0; k < U; ++k) store<T>(h + k * padded, state[k]);
}

template <typename T>
int scan_forward(const ScanArguments* arguments) {
    const ScanArguments& s = *arguments;
    constexpr int64_t W = Of<T>::lanes;
    const int64_t N = s.states, P = s.padded, Q = s.chunk, chunks = (s.length + Q - 1) / Q;
    Scratch scratch((2 * N * P + 2 * N * Q + 2 * P + 5 * Q * W) * sizeof(T) + 16 * 64);
    if (scratch.failed()) return 1;
    T *rates = scratch.take<T>(N * P), *h = scratch.take<T>(N * P);
    T *B = scratch.take<T>(N * Q), *C = scratch.take<T>(N * Q), *D = scratch.take<T>(P), *bias = scratch.take<T>(P);
    V<T>*u = scratch.take<V<T>>(Q), *dt = scratch.take<V<T>>(Q), *x = scratch.take<V<T>>(Q);
    V<T>*y = scratch.take<V<T>>(Q), *z = scratch.take<V<T>>(Q);
    pad_states<T>(rates, static_cast<T*>(s.A), s.channels, N, P, T(LOG2E));
    pad_states<T>(D, static_cast<T*>(s.D), s.channels, 1, P, T(1));
    pad_states<T>(bias, static_cast<T*>(s.bias), s.channels, 1, P, T(1));
    for (int64_t b = 0; b < s.batch; ++b) {
        const T* first = s.first ? static_cast<T*>(s.first) + b * s.channels * N : nullptr;
        pad_states<T>(h, first, s.channels, N, P, T(1));
        for (int64_t c = 0; c < chunks; ++c) {
            const int64_t begin = c * Q, steps = s.length - begin < Q ? s.length - begin : Q;
            load_rows<T>(B, s.B, b, N, begin, Q, steps);
            load_rows<T>(C, s.C, b, N, begin, Q, steps);
            if (s.starts)
                std::memcpy(static_cast<T*>(s.starts) + (b * chunks + c) * N * P, h, sizeof(T) * size_t(N * P));
            for (int64_t d = 0; d < s.channels; d += W) {
                const int64_t count = s.channels - d < W ? s.channels - d : W;
                load_tile<T>(u, s.u, b, d, begin, count, steps);
                load_tile<T>(dt, s.delta, b, d, begin, count, steps);
                discretise<T>(s, dt, x, u, load<T>(bias + d), steps);
                const V<T> skip = load<T>(D + d);
                for (int64_t t = 0; t < steps; ++t) y[t] = skip * u[t];
                int64_t n = 0;
                for (; n + 2 <= N; n += 2)
                    advance<T, 2>(h + n * P + d, rates + n * P + d, B + n * Q, C + n * Q, P, Q, dt, x, y, steps);
                if (n < N) advance<T, 1>(h + n * P + d, rates + n * P + d, B + n * Q, C + n * Q, P, Q, dt, x, y, steps);
                if (s.z.data) {
                    load_tile<T>(z, s.z, b, d, begin, count, steps);
                    for (int64_t t = 0; t < steps; ++t) y[t] *= z[t] * sigmoid<T>(z[t]);
                }
                store_tile<T>(y, s.out, b, d, begin, count, steps);
            }
        }
        if (s.last) unpad_states<T>(static_cast<T*>(s.last) + b * s.channels * N, h, s.channels, N, P);
    }
    return 0;
}
