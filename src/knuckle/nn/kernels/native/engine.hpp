// The streaming engine: a small program of operations on vectors, run for one sample after another. What each
// operation computes, and the meaning of its numbers, is written in knuckle/nn/engine/operations.py.
//
// Vectors lie in `values`, what lasts from sample to sample in `state`. Every output has room up to the next multiple
// of 64 numbers, so that whole vectors may be written over its end; inputs may begin anywhere.

typedef V<float> F;
constexpr int64_t LANES = Of<float>::lanes;

INLINE int64_t padded16(int64_t n) { return (n + 15) / 16 * 16; }

INLINE F tanh_of(F x) {
    const F zero = {};
    const F e = exp_of<float>(-2.0f * (x < zero ? -x : x));
    const F t = (1.0f - e) / (1.0f + e);
    return x < zero ? -t : t;
}
// x Phi(x) with the error function of Abramowitz and Stegun 7.1.26, within 1.5e-7.
INLINE F gelu(F x) {
    const F zero = {};
    const F r = (x < zero ? -x : x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * r);
    const F p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const F tail = 0.5f * p * exp_of<float>(-r * r);
    return x * (x < zero ? tail : 1.0f - tail);
}

// COLUMNS sixteens of outputs at once; a panel is (inputs, width).
template <int COLUMNS>
INLINE void panel(float* out, const float* in, int64_t inputs, const float* weight, int64_t width, const float* bias) {
    constexpr int COUNT = COLUMNS * 16 / LANES;
    F sum[COUNT];
#pragma GCC unroll 8
    for (int k = 0; k < COUNT; ++k) sum[k] = bias ? load<float>(bias + k * LANES) : F{};
    for (int64_t i = 0; i < inputs; ++i) {
        const float x = in[i];
#pragma GCC unroll 8
        for (int k = 0; k < COUNT; ++k) sum[k] += load<float>(weight + i * width + k * LANES) * x;
    }
#pragma GCC unroll 8
    for (int k = 0; k < COUNT; ++k) store<float>(out + k * LANES, sum[k]);
}
void linear(float* out, const float* in, int64_t inputs, int64_t outputs, const float* weight, const float* bias) {
    constexpr int64_t MOST = LANES >= 8 ? 4 : 2;  // as many sixteens as the registers hold
    for (int64_t first = 0; first < outputs; first += 64) {
        const int64_t width = padded16(outputs - first < 64 ? outputs - first : 64);
        for (int64_t done = 0; done < width;) {
            const int64_t columns = (width - done) / 16 < MOST ? (width - done) / 16 : MOST;
            const float* from = bias ? bias + first + done : nullptr;
            switch (columns) {
                case 1: panel<1>(out + first + done, in, inputs, weight + done, width, from); break;
                case 2: panel<2>(out + first + done, in, inputs, weight + done, width, from); break;
                case 3: panel<3>(out + first + done, in, inputs, weight + done, width, from); break;
                default: panel<4>(out + first + done, in, inputs, weight + done, width, from);
            }
            done += 16 * columns;
        }
        weight += inputs * width;
    }
}

template <typename Function>
INLINE void each(float* out, const float* a, int64_t n, Function function) {
    for (int64_t i = 0; i < n; i += LANES) store<float>(out + i, function(load<float>(a + i)));
}
template <typename Function>
INLINE void each(float* out, const float* a, const float* b, int64_t n, Function function) {
    for (int64_t i = 0; i < n; i += LANES) store<float>(out + i, function(load<float>(a + i), load<float>(b + i)));
}
INLINE void activate(float* out, const float* a, int64_t n, int kind) {
    switch (kind) {
        case 0: each(out, a, n, [](F x) { return x * sigmoid<float>(x); }); break;
        case 1: each(out, a, n, [](F x) { return gelu(x); }); break;
        case 2: each(out, a, n, [](F x) { return sigmoid<float>(x); }); break;
        case 3: each(out, a, n, [](F x) { return tanh_of(x); }); break;
        case 4: each(out, a, n, [](F x) { return softplus<float>(x); }); break;
        default: each(out, a, n, [](F x) { return x < F{} ? F{} : x; });
    }
}

template <typename Function>
INLINE float sum_over(const float* a, int64_t n, Function function) {
    F sum = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum += function(load<float>(a + i));
    if (i < n) {
        float rest[LANES] = {};
        for (int64_t k = i; k < n; ++k) rest[k - i] = a[k];
        const F last = function(load<float>(rest));
        store<float>(rest, last);
        for (int64_t k = n - i; k < LANES; ++k) rest[k] = 0.0f;
        sum += load<float>(rest);
    }
    return sum_of_lanes<float>(sum);
}
INLINE void layer_norm(float* out, const float* a, int64_t n, const float* weight, const float* bias, float epsilon) {
    const float mean = sum_over(a, n, [](F x) { return x; }) / float(n);
    const float variance = sum_over(a, n, [mean](F x) { return (x - mean) * (x - mean); }) / float(n);
    const float scale = 1.0f / __builtin_sqrtf(variance + epsilon);
    for (int64_t i = 0; i < n; i += LANES)
        store<float>(out + i, (load<float>(a + i) - mean) * scale * load<float>(weight + i) + load<float>(bias + i));
}
INLINE void rms_norm(float* out, const float* a, int64_t n, int64_t groups, const float* weight, float epsilon) {
    const int64_t size = n / groups;
    for (int64_t g = 0; g < n; g += size) {
        const float power = sum_over(a + g, size, [](F x) { return x * x; }) / float(size);
        const float scale = 1.0f / __builtin_sqrtf(power + epsilon);
        for (int64_t i = g; i < g + size; i += LANES)
            store<float>(out + i, load<float>(a + i) * scale * load<float>(weight + i));
    }
}

// A causal filter of each channel, its inputs kept oldest first, and silu.
INLINE void conv(float* out, const float* a, int64_t n, int64_t taps, const float* weight, const float* bias, float* kept) {
    const int64_t wide = padded16(n);
    for (int64_t i = 0; i < n; i += LANES) {
        const F now = load<float>(a + i);
        F sum = load<float>(bias + i) + load<float>(weight + (taps - 1) * wide + i) * now;
        for (int64_t k = 0; k + 1 < taps; ++k) {
            sum += load<float>(weight + k * wide + i) * load<float>(kept + k * wide + i);
            store<float>(kept + k * wide + i, k + 2 < taps ? load<float>(kept + (k + 1) * wide + i) : now);
        }
        store<float>(out + i, sum * sigmoid<float>(sum));
    }
}

// One step of Mamba's scan: rates and states are (states, channels).
INLINE void scan_step(float* out, const float* x, const float* raw, const float* B, const float* C, int64_t n,
                      int64_t states, const float* rates, const float* D, float* h) {
    const int64_t wide = padded16(n);
    for (int64_t i = 0; i < n; i += LANES) {
        const F dt = softplus<float>(load<float>(raw + i)), u = load<float>(x + i), drive = dt * u;
        F y = load<float>(D + i) * u;
        for (int64_t k = 0; k < states; ++k) {
            float* state = h + k * wide + i;
            const F now = exp2_of<float>(dt * load<float>(rates + k * wide + i)) * load<float>(state) + drive * B[k];
            store<float>(state, now);
            y += now * C[k];
        }
        store<float>(out + i, y);
    }
}

// One step of Mamba-2: heads of one rate each; states are (heads, states, channels of a head).
INLINE void ssd_step(float* out, const float* x, const float* raw, const float* B, const float* C, int64_t n,
                     int64_t states, int64_t heads, int64_t groups, const float* rates, const float* D,
                     const float* bias, float* h) {
    const int64_t size = n / heads, wide = padded16(size);
    for (int64_t head = 0; head < heads; ++head) {
        const float dt = softplus<float>(splat<float>(raw[head] + bias[head]))[0];
        const float decay = exp2_of<float>(splat<float>(dt * rates[head]))[0];
        const int64_t group = head / (heads / groups) * states;
        for (int64_t i = 0; i < size; i += LANES) {
            const F u = load<float>(x + head * size + i), drive = dt * u;
            F y = D[head] * u;
            for (int64_t k = 0; k < states; ++k) {
                float* state = h + (head * states + k) * wide + i;
                const F now = decay * load<float>(state) + drive * B[group + k];
                store<float>(state, now);
                y += now * C[group + k];
            }
            store<float>(out + head * size + i, y);
        }
    }
}

// One step of complex modes, h += f h + b u - p (q h), readout c. Weights are (4: f and c, each real and imaginary; modes,
// channels), and where there is `more` (6: b, p, q); else b is 1 and there is no p q.
INLINE void modes_step(float* out, const float* x, int64_t n, int64_t modes, const float* weight, const float* D,
                       const float* more, float* h) {
    const int64_t wide = padded16(n), all = modes * wide;
    for (int64_t i = 0; i < n; i += LANES) {
        const F u = load<float>(x + i);
        F y = load<float>(D + i) * u, dot = {};
        if (more)
            for (int64_t k = i; k < i + all; k += wide)
                dot += load<float>(more + 4 * all + k) * load<float>(h + k) +
                       load<float>(more + 5 * all + k) * load<float>(h + all + k);
        for (int64_t k = i; k < i + all; k += wide) {
            const F re = load<float>(h + k), im = load<float>(h + all + k);
            const F f = load<float>(weight + k), g = load<float>(weight + all + k);
            F change_re = f * re - g * im, change_im = f * im + g * re;
            if (more) {
                change_re += load<float>(more + k) * u - load<float>(more + 2 * all + k) * dot;
                change_im += load<float>(more + all + k) * u - load<float>(more + 3 * all + k) * dot;
            } else {
                change_re += u;
            }
            store<float>(h + k, re + change_re);
            store<float>(h + all + k, im + change_im);
            y += load<float>(weight + 2 * all + k) * (re + change_re) +
                 load<float>(weight + 3 * all + k) * (im + change_im);
        }
        store<float>(out + i, y);
    }
}

INLINE void lstm(float* out, const float* gates, int64_t n, float* h) {
    float* cell = h + padded16(n);
    for (int64_t i = 0; i < n; i += LANES) {
        const F in = sigmoid<float>(load<float>(gates + i)), forget = sigmoid<float>(load<float>(gates + n + i));
        const F now = forget * load<float>(cell + i) + in * tanh_of(load<float>(gates + 2 * n + i));
        const F y = sigmoid<float>(load<float>(gates + 3 * n + i)) * tanh_of(now);
        store<float>(cell + i, now);
        store<float>(h + i, y);
        store<float>(out + i, y);
    }
}
INLINE void gru(float* out, const float* of_x, const float* of_h, int64_t n, float* h) {
    for (int64_t i = 0; i < n; i += LANES) {
        const F reset = sigmoid<float>(load<float>(of_x + i) + load<float>(of_h + i));
        const F keep = sigmoid<float>(load<float>(of_x + n + i) + load<float>(of_h + n + i));
        const F fresh = tanh_of(load<float>(of_x + 2 * n + i) + reset * load<float>(of_h + 2 * n + i));
        const F y = (1.0f - keep) * fresh + keep * load<float>(h + i);
        store<float>(h + i, y);
        store<float>(out + i, y);
    }
}

// Attention of one sample to those before it; keys and values lie in a ring of `context` rows with `place` the next.
// The turn of a key depends on its age alone, so the query stands at 0 and keys turn back by their age.
void attend(float* out, const float* qkv, int64_t n, int64_t heads, int64_t context, const float* turn, float* kept,
            float* scores) {
    const int64_t wide = padded16(n), size = n / heads, half = size / 2;
    float *keys = kept + 16, *values = keys + context * wide;
    const int64_t place = int64_t(kept[0]), filled = int64_t(kept[1]) < context ? int64_t(kept[1]) + 1 : context;
    std::memcpy(keys + place * wide, qkv + n, sizeof(float) * size_t(n));
    std::memcpy(values + place * wide, qkv + 2 * n, sizeof(float) * size_t(n));
    kept[0] = float((place + 1) % context);
    kept[1] = float(filled);
    const float scale = 1.0f / __builtin_sqrtf(float(size));
    for (int64_t head = 0; head < n; head += size) {
        float most = -3.0e38f;
        for (int64_t age = 0; age < filled; ++age) {
            const float *key = keys + (place + context - age) % context * wide + head, *q = qkv + head;
            const float *cosine = turn + age * half, *sine = turn + (context + age) * half;
            float dot = 0.0f;
            for (int64_t i = 0; i < half; ++i)
                dot += cosine[i] * (q[i] * key[i] + q[half + i] * key[half + i]) +
                       sine[i] * (q[half + i] * key[i] - q[i] * key[half + i]);
            scores[age] = dot * scale;
            most = scores[age] > most ? scores[age] : most;
        }
        each(scores, scores, filled, [most](F x) { return exp_of<float>(x - most); });
        float total = 0.0f;
        for (int64_t i = 0; i < size; ++i) out[head + i] = 0.0f;
        for (int64_t age = 0; age < filled; ++age) {
            const float* value = values + (place + context - age) % context * wide + head;
            total += scores[age];
            for (int64_t i = 0; i < size; ++i) out[head + i] += scores[age] * value[i];
        }
        for (int64_t i = 0; i < size; ++i) out[head + i] /= total;
    }
}

// Runs the operations from `op` up to `end` once. Returns whether the output is new.
bool run_operations(const Operation* op, const Operation* end, const EngineArguments& e, float* state, float* own) {
    float* v = e.values;
    const float* w = e.weights;
    bool made = true;
    for (; op < end; ++op) {
        const Operation& o = *op;
        float *out = v + o.out, *kept = own + o.state;
        const float *a = v + o.a, *b = v + o.b;
        switch (o.code) {
            case 0: linear(out, a, o.n, o.m, w + o.w0, o.w1 < 0 ? nullptr : w + o.w1); break;
            case 1: std::memcpy(out, kept, sizeof(float) * size_t(o.n)); break;
            case 2: each(out, a, b, o.n, [](F x, F y) { return x + y; }); break;
            case 3: each(out, a, b, o.n, [](F x, F y) { return x * y; }); break;
            case 4: layer_norm(out, a, o.n, w + o.w0, w + o.w1, w[o.w2]); break;
            case 5: rms_norm(out, a, o.n, o.m, w + o.w0, w[o.w2]); break;
            case 6: activate(out, a, o.n, o.m); break;
            case 7: each(out, a, a + o.n, o.n, [](F x, F y) { return x * sigmoid<float>(y); }); break;
            case 8: conv(out, a, o.n, o.m, w + o.w0, w + o.w1, kept); break;
            case 9: scan_step(out, a, b, v + o.c, v + o.d, o.n, o.m, w + o.w0, w + o.w1, kept); break;
            case 10:
                ssd_step(out, a, b, v + o.c, v + o.d, o.n, o.m, o.k, o.aux, w + o.w0, w + o.w1, w + o.w2, kept);
                break;
            case 11: modes_step(out, a, o.n, o.m, w + o.w0, w + o.w1, o.w2 < 0 ? nullptr : w + o.w2, kept); break;
            case 12: lstm(out, a, o.n, kept); break;
            case 13: gru(out, a, b, o.n, kept); break;
            case 14: attend(out, a, o.n, o.m, o.k, w + o.w0, kept, v + o.b); break;
            case 15:  // a fresh state at the first sample of each chunk
                if (int64_t(state[o.aux]) % o.m == 0) std::memset(kept, 0, sizeof(float) * size_t(o.n));
                break;
            case 16:  // every m-th sample alone
                if ((int64_t(state[o.aux]) + 1) % o.m != 0) made = false, op += o.n;
                break;
            case 17: {  // m states, each a sample behind the one before; the one whose chunk ends comes last
                const int64_t now = int64_t(state[o.aux]);
                for (int64_t j = 2; j < o.m + 2; ++j) {
                    const int64_t phase = (now + j) % o.m;
                    float* mine = own + o.state + phase * o.k;
                    if (phase == now % o.m) std::memset(mine, 0, sizeof(float) * size_t(o.k));
                    run_operations(op + 1, op + 1 + o.n, e, state, mine);
                }
                op += o.n;
                break;
            }
            case 18: {  // the state of the chunk that ends, once the first one has
                const int64_t now = int64_t(state[o.aux]);
                if (now + 1 >= o.m)
                    run_operations(op + 1, op + 1 + o.n, e, state, own + o.state + (now + 1) % o.m * o.k);
                else
                    made = false;
                op += o.n;
                break;
            }
            default: {  // one sample further: to m, then round and round from m to 2 m
                const int64_t next = int64_t(state[o.aux]) + 1;
                state[o.aux] = float(next == 2 * o.m ? o.m : next);
            }
        }
    }
    return made;
}

int engine_run(const EngineArguments* arguments) {
    const EngineArguments& e = *arguments;
    for (int64_t t = 0; t < e.steps; ++t) {
        std::memcpy(e.values, e.in + t * e.inputs, sizeof(float) * size_t(e.inputs));
        e.made[t] = run_operations(e.operations, e.operations + e.count, e, e.state, e.state);
        if (e.made[t]) std::memcpy(e.out + t * e.outputs, e.values + e.result, sizeof(float) * size_t(e.outputs));
    }
    return 0;
}
