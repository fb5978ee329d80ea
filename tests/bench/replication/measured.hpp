// SPDX-License-Identifier: Apache-2.0
#pragma once
// What one run of a command costs: CPU seconds of it and of every process that it left behind, servers included.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace umbra::bench {

struct Cost {
  double cpu_s = 0;
  double wall_s = 0;
  std::optional<double> megabytes;  ///< that travelled, where the contender or the link tells
};

/// Runs a command to its end and waits for whatever it started. Throws where it fails; its last words are shown then.
/// A line "bytes N" on its standard output tells what travelled.
Cost cost_of(const std::vector<std::string>& argv);
/// The same, of `sh -c script`.
Cost cost_of_shell(const std::string& script);
/// Runs a script that is not measured.
void prepare(const std::string& script);
bool has_tool(const std::string& name);

struct Contender {
  std::string name;
  std::function<void()> before;  ///< not measured; may be empty
  std::function<Cost()> run;
};

struct Aim {
  std::string what;  ///< whose figure
  enum class Of { cpu, wall, bytes } of = Of::cpu;
  double least = 0;  ///< the peer's figure as a multiple of Umbra's
};

/// Runs the contenders in turns, `rounds` times, and prints their medians; the first is Umbra, to which the ratios
/// refer. A name in `missing` is said to be missing.
void compare(const std::string& title, std::vector<Contender> contenders, const std::vector<std::string>& missing,
             const std::vector<Aim>& aims, unsigned rounds);
/// Of settings of one tool the one with the least CPU seconds, by one run each.
Contender best_of(std::vector<Contender> settings);

}  // namespace umbra::bench
