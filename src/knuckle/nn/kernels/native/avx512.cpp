#ifdef __x86_64__
#define NAMESPACE avx512
#define VECTOR_BYTES 64
#define TARGET "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"
#include "instruction_set.hpp"
#endif
