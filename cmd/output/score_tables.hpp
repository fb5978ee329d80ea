// SPDX-License-Identifier: Apache-2.0
#pragma once
// The scores of a back-test as HTML tables: the terminal's figures and those that it has no room for.

#include "cmd/output/backtest_charts.hpp"

namespace umbra::cmd {

void probability_table(Markup& out, std::span<const Contender> contenders, Windows windows);
void peak_table(Markup& out, std::span<const Contender> contenders);
/// Of the time to saturation, where it came.
void time_table(Markup& out, std::span<const Contender> contenders, Windows windows);
/// What each column of the tables means.
void meanings(Markup& out);

}  // namespace umbra::cmd
