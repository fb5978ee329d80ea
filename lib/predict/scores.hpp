// SPDX-License-Identifier: Apache-2.0
#pragma once
// How good forecasts were, once what happened is known. Figures as in the forecasting literature; each names its
// source.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/forecast_model.hpp"
#include "model/sections.hpp"
#include "predict/outcome.hpp"

namespace umbra::predict {

/// One forecast whose outcome is known. Those of one VM stand together and rise in time.
struct Verified {
  std::size_t vm = 0;
  double time = 0;  ///< of the origin, Unix seconds
  double now = 0;   ///< value at the origin
  double p_saturation = 0;
  model::Quantiles peak;
  Outcome outcome;
  model::Quantiles first_s{};  ///< time to saturation where it comes
};

/// Of the probabilities. Absent where there was nothing to tell: no saturation, no forecast.
struct ProbabilityScores {
  std::size_t forecasts = 0;
  std::size_t saturations = 0;
  double brier = 0;                              ///< Brier 1950
  std::optional<double> brier_skill;             ///< against persistence: 1 - brier / persistence's
  std::optional<double> average_precision;       ///< area under precision and recall, by steps
  std::optional<double> recall_at_precision_50;  ///< the most that any alarm level gives
  std::optional<double> recall_at_precision_80;
  std::optional<double> alarm_50;                  ///< that level, for precision 0.5
  double calibration_error = 0;                    ///< expected, ten bins of equal width (Naeini et al. 2015)
  std::optional<double> calibration_error_active;  ///< among forecasts of at least 0.05
};

struct PeakScores {
  double pinball = 0;        ///< mean, summed over p10, p50 and p90 (Koenker & Bassett 1978)
  double pinball_ratio = 0;  ///< to persistence's
  double coverage = 0;       ///< share of peaks within p10..p90
  double width = 0;          ///< mean of p90 - p10
};

/// Of onsets, as events: the first reading above after a quiet window.
struct LeadScores {
  std::size_t events = 0;
  std::size_t warned = 0;  ///< by an alarm within the window before
  std::optional<double> median_lead_s;
};

struct Scores {
  ProbabilityScores all;
  ProbabilityScores onsets;  ///< of origins with a quiet window before them
  PeakScores peak;
  LeadScores lead;  ///< at the onsets' alarm_50
};

Scores score(std::span<const Verified> forecasts, double window_s);

/// Those with a quiet window before them: the ones whose alarm is news.
std::vector<Verified> after_quiet(std::span<const Verified> forecasts);

/// One bin of ten of the reliability curve.
struct ReliabilityBin {
  double forecast = 0;  ///< mean probability
  double observed = 0;  ///< share that saturated
  std::size_t count = 0;
};
std::vector<ReliabilityBin> reliability(std::span<const Verified> forecasts);

struct PrecisionRecall {
  double precision = 0;
  double recall = 0;
};
/// From the highest alarm level to the lowest, one for each level.
std::vector<PrecisionRecall> precision_recall(std::span<const Verified> forecasts);

/// The same forecasts as `figures`, one per row, would have given: probabilities by isotonic regression of what
/// happened on the figure, quantiles of the peak over the figure in 20 bins of it. Both are fitted on the very set they
/// are scored on, which flatters them.
std::vector<Verified> baseline(std::span<const Verified> forecasts, std::span<const double> figures);

}  // namespace umbra::predict
