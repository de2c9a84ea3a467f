#ifdef __x86_64__
#define NAMESPACE avx2
#define VECTOR_BYTES 32
#define TARGET "avx2,fma"
#include "instruction_set.hpp"
#endif
