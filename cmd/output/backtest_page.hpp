// SPDX-License-Identifier: Apache-2.0
#pragma once
// A back-test as one HTML page that needs nothing beside it: figures, curves and a few stretches to look at. Values in,
// text out; the same values give the same page.

#include <span>
#include <string>
#include <vector>

#include "cmd/output/markup.hpp"
#include "predict/curves.hpp"
#include "predict/episodes.hpp"
#include "predict/times.hpp"

namespace umbra::cmd {

/// Windows of one kind, as curves.
struct Curves {
  std::vector<predict::PrecisionRecall> precision_recall;
  std::vector<predict::ReliabilityBin> reliability;
};

/// A forecaster's part of the page.
struct Contender {
  std::string name;
  predict::Scores scores;
  Curves all;
  Curves onsets;  ///< of windows after a quiet one
  predict::PeakShares peaks;
  predict::Times times;
};
/// `scores` and `times` are those of `forecasts`; nothing of their number is kept.
Contender contender_of(std::string name, std::span<const predict::Verified> forecasts, const predict::Scores& scores,
                       const predict::Times& times);

struct BacktestPage {
  std::string trace;
  model::Resource resource = model::Resource::cpu;
  predict::Ask ask;
  std::size_t vms = 0;
  std::size_t origins = 0;
  double from = 0;  ///< Unix seconds: the first and the last forecast whose window was seen
  double to = 0;
  double alarm_level = 0.5;           ///< of the episodes
  std::vector<Contender> contenders;  ///< the model first, at least that
  std::vector<predict::Episode> episodes;
};
std::string to_html(const BacktestPage& page);

/// What counts as an alarm about a model's forecasts: where half of those about onsets come true, or one half where no
/// level does that.
double alarm_level_of(const predict::Scores& scores);

}  // namespace umbra::cmd
