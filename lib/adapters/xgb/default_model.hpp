// SPDX-License-Identifier: Apache-2.0
#pragma once
// The forecast model that ships with the program, inside it: there on a fresh install, and never another version's.

#include <cstddef>
#include <span>

namespace umbra::xgb {

/// A model file's bytes, as decode_model() takes them.
std::span<const std::byte> default_model();

}  // namespace umbra::xgb
