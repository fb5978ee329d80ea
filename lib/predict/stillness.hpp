// SPDX-License-Identifier: Apache-2.0
#pragma once
// What standing still tells of saturation.

#include "predict/features.hpp"

namespace umbra::predict {

/// Of a value at or above the threshold that has not moved for two readings and more: how likely the next one finds it
/// there still, by the rule of succession (Laplace 1814): after k readings without a move (k + 1) / (k + 2). Two alike
/// may be chance. 0 where it has moved, where it is below, and where no reading is due within the window. Saturation is
/// at least as likely.
double stays_above(const View& view);

}  // namespace umbra::predict
