// The selective scan, backward. Each chunk runs again from the state kept before it, one state at a time, and then
// in reverse, so nothing of size (length, channels, states) is ever stored. With g the gradient of y:
//   dh_t = exp(dt_{t+1} A) dh_{t+1} + C_t g_t,   dC_t = sum_d h_t g_t,   dB_t = sum_d dh_t dt_t u_t,
//   d(dt u)_t = sum_n dh_t B_t,   q_t = dh_t exp(dt_t A) h_{t-1}:  dA = sum_t q_t dt_t,  d(dt)_t has sum_n q_t A.

template <typename T>
struct BackwardTiles {
    V<T>*u, *raw, *dt, *x, *z, *out, *g, *y, *drive, *time, *decay, *state;
};

// Two states (or one) of one chunk, up and down again. `grad_h` is the gradient that arrives from later chunks, and
// then the one that leaves to earlier ones.
template <typename T, int U, bool GATED>
INLINE void retreat(const T* start, const T* rates, T* grad_h, T* grad_rates, const T* B, const T* C, V<T>* sum_B,
                    V<T>* sum_C, int64_t padded, int64_t chunk, const BackwardTiles<T>& tile, int64_t steps) {
    V<T> h[U], rate[U], carry[U], slope[U];
#pragma GCC unroll 4
    for (int k = 0; k < U; ++k) {
        h[k] = load<T>(start + k * padded), rate[k] = load<T>(rates + k * padded);
        carry[k] = load<T>(grad_h + k * padded), slope[k] = V<T>{};
    }
    for (int64_t t = 0; t < steps; ++t) {
        const V<T> step = tile.dt[t], drive = tile.x[t];
        V<T> y = GATED ? tile.y[t] : V<T>{};
#pragma GCC unroll 4
        for (int k = 0; k < U; ++k) {
            const V<T> decay = exp2_of<T>(step * rate[k]);
            tile.decay[U * t + k] = decay;
            tile.state[U * t + k] = h[k];
            h[k] = decay * h[k] + drive * B[k * chunk + t];
            if (GATED) y += h[k] * C[k * chunk + t];
        }
        if (GATED) tile.y[t] = y;
    }
    for (int64_t t = steps - 1; t >= 0; --t) {
        const V<T> g = tile.g[t], x = tile.x[t], step = tile.dt[t];
        V<T> drive = tile.drive[t], time = tile.time[t];
#pragma GCC unroll 4
        for (int k = 0; k < U; ++k) {
            const V<T> before = tile.state[U * t + k];
            const V<T> dh = carry[k] + g * C[k * chunk + t];
            sum_C[k * chunk + t] += g * h[k];
            sum_B[k * chunk + t] += dh * x;
            drive += dh * B[k * chunk + t];
            carry[k] = dh * tile.decay[U * t + k];
            const V<T> q = carry[k] * before;
            time += q * rate[k];
            slope[k] += q * step;
            h[k] = before;
        }
        tile.drive[t] = drive;
        tile.time[t] = time;
    }
#pragma GCC unroll 4
    for (int k = 0; k < U; ++k) {
        store<T>(grad_h + k * padded, carry[k]);
        store<T>(grad_rates + k * padded, load<T>(grad_rates + k * padded) + slope[k]);
    }
}

// From the gradients of dt u and dt to those of u, delta, z, D and the bias; they take the place of tiles.
template <typename T>
INLINE void finish(const ScanArguments& s, const BackwardTiles<T>& tile, T* D, T* grad_D, T* grad_bias, int64_t steps) {
    const V<T> skip = load<T>(D);
    V<T> sum_D = load<T>(grad_D), sum_bias = load<T>(grad_bias);
    for (int64_t t = 0; t < steps; ++t) {
        const V<T> u = tile.u[t], g = tile.g[t];
        V<T> delta = tile.time[t] * T(LN2) + tile.drive[t] * u;
        if (s.softplus) delta *= sigmoid<T>(tile.raw[t]);
        sum_D += g * u;
        sum_bias += delta;
        tile.raw[t] = delta;
        tile.u[t] = tile.drive[t] * tile.dt[t] + skip * g;
        if (s.z.data) {
            const V<T> z = tile.z[t], open = sigmoid<T>(z);
            tile.z[t] = tile.out[t] * tile.y[t] * open * (T(1) + z * (T(1) - open));
        }
    }
    store<T>(grad_D, sum_D);
    store<T>(grad_bias, sum_bias);
}

template <typename T>
int scan_backward(const ScanArguments* arguments) {
    const ScanArguments& s = *arguments;
    constexpr int64_t W = Of<T>::lanes;
    const int64_t N = s.states, P = s.padded, Q = s.chunk, chunks = (s.length + Q - 1) / Q;
    Scratch scratch((3 * N * P + 2 * N * Q + 4 * P + (14 + 2 * N) * Q * W) * sizeof(T) + 32 * 64);
    if (scratch.failed()) return 1;
    T *rates = scratch.take<T>(N * P), *grad_h = scratch.take<T>(N * P), *grad_rates = scratch.take<T>(N * P);
    T *B = scratch.take<T>(N * Q), *C = scratch.take<T>(N * Q);
    T *D = scratch.take<T>(P), *bias = scratch.take<T>(P), *grad_D = scratch.take<T>(P), *grad_bias = scratch.take<T>(P);
    V<T>*sum_B = scratch.take<V<T>>(N * Q), *sum_C = scratch.take<V<T>>(N * Q);
    BackwardTiles<T> tile;
    for (V<T>** one : {&tile.u, &tile.raw, &tile.dt, &tile.x, &tile.z, &tile.out, &tile.g, &tile.y, &tile.drive, &tile.time})
        *one = scratch.take<V<T>>(Q);
    tile.decay = scratch.take<V<T>>(2 * Q), tile.state = scratch.take<V<T>>(2 * Q);
    pad_states<T>(rates, static_cast<T*>(s.A), s.channels, N, P, T(LOG2E));
    pad_states<T>(D, static_cast<T*>(s.D), s.channels, 1, P, T(1));
    pad_states<T>(bias, static_cast<T*>(s.bias), s.channels, 1, P, T(1));
    for (int64_t b = 0; b < s.batch; ++b) {
        const int64_t states = b * s.channels * N;
        pad_states<T>(grad_h, s.grad_last ? static_cast<T*>(s.grad_last) + states : nullptr, s.channels, N, P, T(1));
        for (int64_t c = chunks - 1; c >= 0; --c) {
            const int64_t begin = c * Q, steps = s.length - begin < Q ? s.length - begin : Q;
            const T* start = static_cast<T*>(s.starts) + (b * chunks + c) * N * P;
            load_rows<T>(B, s.B, b, N, begin, Q, steps);
            load_rows<T>(C, s.C, b, N, begin, Q, steps);
            std::memset(sum_B, 0, sizeof(V<T>) * size_t(N * Q));
            std::memset(sum_C, 0, sizeof(V<T>) * size_t(N * Q));
            for (int64_t d = 0; d < s.channels; d += W) {
                const int64_t count = s.channels - d < W ? s.channels - d : W;
                load_tile<T>(tile.u, s.u, b, d, begin, count, steps);
                load_tile<T>(tile.dt, s.delta, b, d, begin, count, steps);
                load_tile<T>(tile.out, s.grad_out, b, d, begin, count, steps);
                if (s.z.data) load_tile<T>(tile.z, s.z, b, d, begin, count, steps);
                for (int64_t t = 0; t < steps; ++t) {
                    tile.raw[t] = tile.dt[t] + load<T>(bias + d);
                    tile.g[t] = s.z.data ? tile.out[t] * tile.z[t] * sigmoid<T>(tile.z[t]) : tile.out[t];
                    tile.y[t] = load<T>(D + d) * tile.u[t];
                    tile.drive[t] = tile.time[t] = V<T>{};
                }
                discretise<T>(s, tile.dt, tile.x, tile.u, load<T>(bias + d), steps);
                const auto two = s.z.data ? retreat<T, 2, true> : retreat<T, 2, false>;
                const auto one = s.z.data ? retreat<T, 1, true> : retreat<T, 1, false>;
                for (int64_t n = 0; n < N; n += 2) {
                    const int64_t k = n * P + d, r = n * Q;
                    (n + 2 <= N ? two : one)(start + k, rates + k, grad_h + k, grad_rates + k, B + r, C + r, sum_B + r,
                                             sum_C + r, P, Q, tile, steps);
                }
                finish<T>(s, tile, D + d, grad_D + d, grad_bias + d, steps);
                store_tile<T>(tile.u, s.grad_u, b, d, begin, count, steps);
                store_tile<T>(tile.raw, s.grad_delta, b, d, begin, count, steps);
                if (s.z.data) store_tile<T>(tile.z, s.grad_z, b, d, begin, count, steps);
            }
            for (int64_t n = 0; n < N; ++n)
                for (int64_t t = 0; t < steps; ++t) {
                    *at<T>(s.grad_B, b, n, begin + t) = sum_of_lanes<T>(sum_B[n * Q + t]);
                    *at<T>(s.grad_C, b, n, begin + t) = sum_of_lanes<T>(sum_C[n * Q + t]);
                }
        }
        if (s.grad_first) unpad_states<T>(static_cast<T*>(s.grad_first) + states, grad_h, s.channels, N, P);
    }
    unpad_states<T>(static_cast<T*>(s.grad_A), grad_rates, s.channels, N, P);
    if (s.grad_D) unpad_states<T>(static_cast<T*>(s.grad_D), grad_D, s.channels, 1, P);
    if (s.grad_bias) unpad_states<T>(static_cast<T*>(s.grad_bias), grad_bias, s.channels, 1, P);
    return 0;
}
