// What Python hands to the kernels: plain structs, mirrored field by field in knuckle/nn/kernels/library.py.
#pragma once
#include <cstdint>

namespace knuckle {

// A tensor that is read or written where it lies: strides in elements; data null where there is none.
struct Strided3 {
    void* data;
    int64_t stride[3];
};

// u, delta, z, out and their gradients are (batch, channels, length); B and C (batch, states, length). All others are
// contiguous: A and its gradient (channels, states); D, bias and theirs (channels); first, last and theirs
// (batch, channels, states); starts (batch, chunks, states, padded) with the states before each chunk of `chunk` steps.
struct ScanArguments {
    int64_t batch, channels, states, length, chunk, padded;
    int64_t softplus;
    Strided3 u, delta, z, B, C, out;
    void *A, *D, *bias, *first, *last, *starts;
    Strided3 grad_out, grad_u, grad_delta, grad_z, grad_B, grad_C;
    void *grad_last, *grad_A, *grad_D, *grad_bias, *grad_first;
};

// x, out and their gradients are (batch, channels, length) with contiguous channels. weight (taps, padded), bias
// (padded), before (batch, taps, padded) and their gradients, which are zero at first, are contiguous.
struct ConvArguments {
    int64_t batch, channels, length, taps, padded;
    Strided3 x, out;
    void *weight, *bias, *before;
    Strided3 grad_out, grad_x;
    void *grad_weight, *grad_bias, *grad_before;
};

// One operation of the streaming engine: offsets into values (out, a, b, c, d), weights (w0, w1, w2) and state, sizes
// (n, m, k), and one more number.
struct Operation {
    int32_t code, out, a, b, c, d, n, m, k, w0, w1, w2, state, aux, unused[2];
};

// `steps` samples in turn: in (steps, inputs), out (steps, outputs) and made (steps), 1 where out is new.
struct EngineArguments {
    const Operation* operations;
    const float* weights;
    float *state, *values;
    const float* in;
    float* out;
    int32_t* made;
    int64_t count, steps, inputs, outputs, result;
};

}  // namespace knuckle
