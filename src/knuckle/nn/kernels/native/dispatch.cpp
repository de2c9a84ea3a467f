// The functions that Python calls. Each takes the instruction set by number; which ones this machine has is asked once.
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "table.hpp"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace knuckle {
namespace baseline {
extern const Table table;
}
#ifdef __x86_64__
namespace avx2 {
extern const Table table;
}
namespace avx512 {
extern const Table table;
}
#endif

// Null where the machine lacks the set.
const Table* table_of(int set) {
    if (set == 0) return &baseline::table;
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool fused = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (set == 1 && fused) return &avx2::table;
    if (set == 2 && fused && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return &avx512::table;
#endif
    return nullptr;
}

constexpr int UNSUPPORTED = 2;

// While one lives, numbers below the smallest normal one count as zero. A state that fades without input would else
// stay among them, where some processors take a hundred times as long for every operation.
class Flushed {
  public:
#ifdef __x86_64__
    Flushed() : kept_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(kept_ | 0x8040); }
    ~Flushed() { __builtin_ia32_ldmxcsr(kept_); }

  private:
    unsigned kept_;
#else
    Flushed() {}
    ~Flushed() {}
#endif
};

}  // namespace knuckle

using namespace knuckle;

// Grows with every change of a struct or function below; Python refuses a library of another version.
EXPORT int knuckle_version() { return 5; }

EXPORT int knuckle_supports(int set) { return table_of(set) != nullptr; }

// Asks for huge pages where `bytes` from `start` will be written for the first time: fresh memory of a long sequence
// otherwise costs a page fault every 4 kB, a tenth of a scan's time. Nothing is lost where there are none.
EXPORT void knuckle_prepare(void* start, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr uintptr_t PAGE = 4096;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(start) + PAGE - 1) / PAGE * PAGE;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(start) + static_cast<uintptr_t>(bytes)) / PAGE * PAGE;
    if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
}

EXPORT int knuckle_scan_forward(int set, int wide, const ScanArguments* arguments) {
    const Table* table = table_of(set);
    if (!table) return UNSUPPORTED;
    const Flushed flushed;
    return (wide ? table->scan_forward_double : table->scan_forward_float)(arguments);
}

EXPORT int knuckle_scan_backward(int set, int wide, const ScanArguments* arguments) {
    const Table* table = table_of(set);
    if (!table) return UNSUPPORTED;
    const Flushed flushed;
    return (wide ? table->scan_backward_double : table->scan_backward_float)(arguments);
}

EXPORT int knuckle_conv_forward(int set, int wide, const ConvArguments* arguments) {
    const Table* table = table_of(set);
    if (!table) return UNSUPPORTED;
    const Flushed flushed;
    return (wide ? table->conv_forward_double : table->conv_forward_float)(arguments);
}

EXPORT int knuckle_conv_backward(int set, int wide, const ConvArguments* arguments) {
    const Table* table = table_of(set);
    if (!table) return UNSUPPORTED;
    const Flushed flushed;
    return (wide ? table->conv_backward_double : table->conv_backward_float)(arguments);
}

EXPORT int knuckle_engine_run(int set, const EngineArguments* arguments) {
    const Table* table = table_of(set);
    if (!table) return UNSUPPORTED;
    const Flushed flushed;
    return table->engine_run(arguments);
}
