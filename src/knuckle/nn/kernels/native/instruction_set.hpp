// All kernels for one instruction set, in the namespace NAMESPACE with vectors of VECTOR_BYTES. Only plain C headers
// and templates without code of their own come from outside, so that no function compiled here serves another machine.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "arguments.hpp"
#include "table.hpp"

#ifdef TARGET
#ifdef __clang__
#define PRAGMA(text) _Pragma(#text)
#define PUSH(target_text) PRAGMA(clang attribute push(__attribute__((target(target_text))), apply_to = function))
PUSH(TARGET)
#else
#define PRAGMA(text) _Pragma(#text)
#define PUSH(target_text) PRAGMA(GCC target(target_text))
PUSH(TARGET)
#endif
#endif

namespace knuckle {
namespace NAMESPACE {
namespace {
#include "vector.hpp"

#include "tile.hpp"

#include "scan_forward.hpp"

#include "scan_backward.hpp"

#include "causal_conv.hpp"

#include "engine.hpp"
}  // namespace
extern const Table table;
const Table table = {scan_forward<float>, scan_forward<double>, scan_backward<float>, scan_backward<double>,
                     conv_forward<float>, conv_forward<double>, conv_backward<float>, conv_backward<double>,
                     engine_run};
}  // namespace NAMESPACE
}  // namespace knuckle

#if defined(TARGET) && defined(__clang__)
_Pragma("clang attribute pop")
#endif
