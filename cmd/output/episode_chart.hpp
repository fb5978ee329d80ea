// SPDX-License-Identifier: Apache-2.0
#pragma once
// One stretch of a VM's series with what was forecast along it, as SVG, and the sentence that says what is to be seen.

#include "cmd/output/backtest_page.hpp"

namespace umbra::cmd {

void episode_legend(Markup& out);
void episode_chart(Markup& out, const BacktestPage& page, const predict::Episode& episode);

/// Why it was chosen: "an onset that was warned of".
std::string_view episode_title(predict::Interest interest);
std::string episode_text(const BacktestPage& page, const predict::Episode& episode);

/// "2013-08-01 10:05" of Unix seconds, in UTC.
std::string minute_text(double unix_s);

}  // namespace umbra::cmd
