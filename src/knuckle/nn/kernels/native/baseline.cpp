// What every machine of this architecture can run: SSE2 on x86-64, NEON on 64-bit ARM.
#define NAMESPACE baseline
#define VECTOR_BYTES 16
#include "instruction_set.hpp"
