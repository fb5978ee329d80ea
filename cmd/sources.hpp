// SPDX-License-Identifier: Apache-2.0
#pragma once
// `umbra replicate --source`: points of image files, disks and NBD exports, without libvirt. What `--send` asks for.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "cmd/output/output.hpp"
#include "model/config.hpp"
#include "model/points.hpp"
#include "ports/point_store.hpp"

namespace umbra::cmd {

class Session;

/// What --retain, --limit and --wait set in place of the configuration's.
struct Limits {
  std::optional<unsigned> retain;
  std::optional<model::ByteRate> rate;
  bool resume = true;
  base::Millis wait{0};
};

struct SourceOptions {
  std::vector<std::string> sources;  ///< [NAME=]URI|FILE
  std::string name;
  std::string format;  ///< of the files; empty: by name and first bytes
  std::string send;    ///< "-"
  std::string into;
  std::string to;
  model::TlsFiles tls;  ///< for `to`
  std::string on;
  /// Whether an option was given that only makes sense with a source.
  bool any() const { return !sources.empty() || !(name + format + into + to + on).empty() || tls.given(); }
};

/// Kind::usage where --send can't be done so: its word, what only a receiver can keep, a terminal.
void check_stream(const Session& session, const SourceOptions& options, const Limits& limits);

/// One point as a stream on standard output.
std::unique_ptr<ports::BlockSink> to_output(const model::PointHeader& header);

/// Kind::usage for what does not go together. Else the exit status; what failed is in the record too.
int run_sources(Session& session, const SourceOptions& options, const Limits& limits, const RecordTable& table);

}  // namespace umbra::cmd
