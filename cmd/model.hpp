// SPDX-License-Identifier: Apache-2.0
#pragma once
// The actions of `umbra model`, each in a file of its own.

#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"

namespace umbra::metrics {
struct Trace;
}

namespace umbra::cmd {

class Session;

struct ModelOptions {
  std::vector<std::string> traces;
  bool history = false;
  bool from_scratch = false;
  bool no_learning = false;
  std::string out;
  std::string name = "site";
  std::string note;
  std::optional<double> seed;
  std::string resource = "cpu";
  std::optional<base::Seconds> within;
  std::optional<double> threshold;
  std::optional<base::Seconds> step;
  std::string predictions;
  std::string html;
  std::string model;
};

int run_train(Session& session, const ModelOptions& options);
int run_backtest(Session& session, const ModelOptions& options);

/// A trace, with its notes told.
metrics::Trace read_told(const std::string& path);

}  // namespace umbra::cmd
