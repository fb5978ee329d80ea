// SPDX-License-Identifier: Apache-2.0
#pragma once
// The curves of a back-test as SVG. Where there is nothing to draw a sentence says why.

#include "cmd/output/backtest_page.hpp"

namespace umbra::cmd {

/// All windows, or those after a quiet one.
enum class Windows { all, onsets };
const Curves& curves_of(const Contender& contender, Windows windows);
const predict::ProbabilityScores& scores_of(const Contender& contender, Windows windows);

/// Mean forecast against observed share, and how many forecasts each point stands for.
void reliability_chart(Markup& out, const Contender& model, Windows windows);

/// All contenders in one plot, with their legend.
void precision_recall_chart(Markup& out, std::span<const Contender> contenders, Windows windows);

/// On which sides of the quantiles the peaks came, a bar for each contender.
void peak_chart(Markup& out, std::span<const Contender> contenders);

/// "12 345", with spaces that do not break.
std::string grouped(std::size_t count);

}  // namespace umbra::cmd
