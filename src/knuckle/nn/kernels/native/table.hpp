// One function of each kind for one instruction set.
#pragma once
#include "arguments.hpp"

namespace knuckle {

struct Table {
    int (*scan_forward_float)(const ScanArguments*);
    int (*scan_forward_double)(const ScanArguments*);
    int (*scan_backward_float)(const ScanArguments*);
    int (*scan_backward_double)(const ScanArguments*);
    int (*conv_forward_float)(const ConvArguments*);
    int (*conv_forward_double)(const ConvArguments*);
    int (*conv_backward_float)(const ConvArguments*);
    int (*conv_backward_double)(const ConvArguments*);
    int (*engine_run)(const EngineArguments*);
};

}  // namespace knuckle
