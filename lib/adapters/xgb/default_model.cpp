// SPDX-License-Identifier: Apache-2.0
#include "adapters/xgb/default_model.hpp"

// UMBRA_DEFAULT_MODEL is the file's path, from the build. The assembler reads it; GCC 12 and Clang 14 have no #embed.
__asm__(
    ".section .rodata\n"
    ".global umbra_default_model_begin\n"
    ".global umbra_default_model_end\n"
    ".balign 16\n"
    "umbra_default_model_begin:\n"
    ".incbin \"" UMBRA_DEFAULT_MODEL
    "\"\n"
    "umbra_default_model_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" {
extern const std::byte umbra_default_model_begin[];
extern const std::byte umbra_default_model_end[];
}

namespace umbra::xgb {

std::span<const std::byte> default_model() {
  return {umbra_default_model_begin, umbra_default_model_end};
}

}  // namespace umbra::xgb
