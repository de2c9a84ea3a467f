// Vectors of one instruction set and the elementary functions on them. Included once in a namespace per instruction
// set, after VECTOR_BYTES is defined and the compiler's target is set; GCC's and Clang's vector types do the rest.

#define INLINE static inline __attribute__((always_inline))

template <typename T>
struct Of;
template <>
struct Of<float> {
    typedef float vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t bits __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int lanes = VECTOR_BYTES / 4, mantissa = 23, log_terms = 7, exp_degree = 5;
    static constexpr float low = -126.0f, high = 127.5f, magic = 12582912.0f;  // 1.5 * 2^23
    // Minimax of 2^f on [-1/2, 1/2] relative to it, within 9.2e-8.
    static constexpr float exp2[6] = {1.0f,         0.6931470f,   0.24022242f,
                                      0.055507340f, 0.009671513f, 0.0013264720f};
};
template <>
struct Of<double> {
    typedef double vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t bits __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int lanes = VECTOR_BYTES / 8, mantissa = 52, log_terms = 17, exp_degree = 13;
    static constexpr double low = -1022.0, high = 1023.5, magic = 6755399441055744.0;  // 1.5 * 2^52
    // Taylor of 2^f, whose rest on [-1/2, 1/2] is below 5e-18.
    static constexpr double exp2[14] = {1.0,
                                        6.93147180559945309417e-01,
                                        2.40226506959100712334e-01,
                                        5.55041086648215799531e-02,
                                        9.61812910762847716198e-03,
                                        1.33335581464284434234e-03,
                                        1.54035303933816099544e-04,
                                        1.52527338040598402800e-05,
                                        1.32154867901443094884e-06,
                                        1.01780860092396997275e-07,
                                        7.05491162080112332987e-09,
                                        4.44553827187081149760e-10,
                                        2.56784359934882051420e-11,
                                        1.36914888539041288809e-12};
};
template <typename T>
using V = typename Of<T>::vector;

constexpr double LOG2E = 1.44269504088896340736, LN2 = 0.69314718055994530942;

template <typename T>
INLINE V<T> splat(T x) {
    return x - V<T>{};  // exact but for the sign of zero
}
template <typename T>
INLINE V<T> load(const T* p) {
    V<T> x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
}
template <typename T>
INLINE void store(T* p, V<T> x) {
    __builtin_memcpy(p, &x, sizeof x);
}

// 2^y, relative error within 1.2e-7 (float) or 4e-16 (double). Below `low` it is the smallest normal number, above
// `high` it stays finite; NaN stays NaN.
template <typename T>
INLINE V<T> exp2_of(V<T> y) {
    using O = Of<T>;
    typedef typename O::bits Bits;
    y = splat<T>(O::low) > y ? splat<T>(O::low) : y;
    y = splat<T>(O::high) < y ? splat<T>(O::high) : y;
    const V<T> shifted = y + O::magic;  // its lowest bits are the integer nearest to y
    const V<T> f = y - (shifted - O::magic);
    V<T> p = splat<T>(O::exp2[O::exp_degree]);
#pragma GCC unroll 16
    for (int k = O::exp_degree - 1; k >= 0; --k) p = p * f + O::exp2[k];
    return (V<T>)((Bits)p + ((Bits)shifted << O::mantissa));
}
template <typename T>
INLINE V<T> exp_of(V<T> x) {
    return exp2_of<T>(x * T(LOG2E));
}
template <typename T>
INLINE V<T> sigmoid(V<T> x) {
    return T(1) / (T(1) + exp_of<T>(-x));
}
// log(1 + exp(x)) without loss for small or large x: log1p(t) = 2 artanh(t / (2 + t)), t = exp(-|x|).
template <typename T>
INLINE V<T> softplus(V<T> x) {
    const V<T> zero = {};
    const V<T> t = exp_of<T>(x < zero ? x : -x);
    const V<T> s = t / (T(2) + t), s2 = s * s;
    V<T> p = splat<T>(T(1) / (2 * Of<T>::log_terms + 1));
#pragma GCC unroll 20
    for (int k = Of<T>::log_terms - 1; k >= 0; --k) p = p * s2 + T(1) / (2 * k + 1);
    return (x > zero ? x : (x != x ? x : zero)) + 2 * s * p;
}

template <typename T, size_t... I>
INLINE V<T> shuffle(V<T> a, V<T> b, std::index_sequence<I...>) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, I...);
#else
    return __builtin_shuffle(a, b, typename Of<T>::bits{I...});
#endif
}
template <size_t W, size_t S, size_t... J>
constexpr auto low_half(std::index_sequence<J...>) {
    return std::index_sequence<((J & S) ? W + J - S : J)...>{};
}
template <size_t W, size_t S, size_t... J>
constexpr auto high_half(std::index_sequence<J...>) {
    return std::index_sequence<((J & S) ? W + J : J + S)...>{};
}
// Transposes a square of vectors in place: stage S swaps blocks of S lanes between rows S apart.
template <typename T, size_t S = 1>
INLINE void transpose(V<T>* rows) {
    constexpr size_t W = Of<T>::lanes;
    if constexpr (S < W) {
#pragma GCC unroll 16
        for (size_t i = 0; i < W; ++i) {
            if (i & S) continue;
            const V<T> a = rows[i], b = rows[i + S];
            rows[i] = shuffle<T>(a, b, low_half<W, S>(std::make_index_sequence<W>{}));
            rows[i + S] = shuffle<T>(a, b, high_half<W, S>(std::make_index_sequence<W>{}));
        }
        transpose<T, 2 * S>(rows);
    }
}
template <typename T>
INLINE T sum_of_lanes(V<T> x) {
    T lanes[Of<T>::lanes];
    store<T>(lanes, x);
    for (int width = Of<T>::lanes / 2; width > 0; width /= 2)
        for (int k = 0; k < width; ++k) lanes[k] += lanes[k + width];
    return lanes[0];
}
