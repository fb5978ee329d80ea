// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace_source.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "adapters/metrics/trace.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace umbra::metrics {
namespace {

constexpr std::size_t rows_per_piece = 50'000;  // some 10 MB

/// Gathers rows into series and hands them on piece by piece.
class Pieces {
 public:
  Pieces(const ports::Past& past, const ports::RecordedSource::Take& take) : m_past(past), m_take(take) {}

  void add(const TraceRow& row) {
    if (row.number == m_vms.size()) m_vms.push_back(vm_of(row.vm));
    Vm& vm = m_vms[row.number];
    if (row.again) {
      std::vector<model::Sample>& samples = vm.series.samples;
      if (!samples.empty() && samples.back().at == row.sample.at) fill(samples.back(), row.sample);
    } else if (row.sample.at > m_past.to) {
      ++m_ahead;
    } else if (row.sample.at < m_past.from) {
      ++m_old;
    } else if (!vm.held || row.sample.at > *vm.held) {
      if (vm.series.samples.empty()) m_touched.push_back(row.number);
      vm.series.samples.push_back(row.sample);
      if (++m_rows == rows_per_piece) flush();
    }
  }

  void flush() {
    std::vector<model::Series> piece;
    for (const std::size_t number : m_touched) {
      model::Series& series = m_vms[number].series;
      std::ranges::stable_sort(series.samples, {}, &model::Sample::at);
      piece.push_back(series);
      series.samples.clear();
    }
    m_touched.clear();
    m_rows = 0;
    if (!piece.empty()) m_take(piece);
  }

  void tell(const std::string& path) const {
    if (m_ahead > 0) {
      base::log(base::Level::warning, fmt::format("{}: {} rows lie after {} and are left for then", path, m_ahead,
                                                  base::to_rfc3339(m_past.to)));
    }
    if (m_old > 0) {
      base::log(base::Level::info,
                fmt::format("{}: {} rows lie before {} and are not taken", path, m_old, base::to_rfc3339(m_past.from)));
    }
  }

 private:
  struct Vm {
    model::Series series;
    std::optional<base::Instant> held;
  };

  Vm vm_of(const model::VmName& name) const {
    Vm vm;
    vm.series.vm = name;
    vm.series.uuid = ports::uuid_by_name(name);
    if (const auto held = m_past.held.find(vm.series.uuid); held != m_past.held.end()) vm.held = held->second;
    return vm;
  }

  const ports::Past& m_past;
  const ports::RecordedSource::Take& m_take;
  std::vector<Vm> m_vms;               ///< by their number in the trace
  std::vector<std::size_t> m_touched;  ///< those with samples in this piece
  std::size_t m_rows = 0;
  std::uint64_t m_ahead = 0;
  std::uint64_t m_old = 0;
};

class TraceSource final : public ports::RecordedSource {
 public:
  explicit TraceSource(std::filesystem::path path) : m_path(std::move(path)) {}

  void range(const ports::Past& past, const Take& take) override {
    Pieces pieces(past, take);
    const TraceCounts counts = read(pieces);
    pieces.flush();
    pieces.tell(m_path.string());
    if (counts.malformed + counts.empty > 0) {
      base::log(base::Level::warning,
                fmt::format("{}: {} of {} rows are not used: {} malformed, {} empty", m_path.string(),
                            counts.malformed + counts.empty, counts.rows, counts.malformed, counts.empty));
    }
    if (counts.bad_cells > 0)
      base::log(base::Level::warning, fmt::format("{}: {}", m_path.string(), bad_cells_told(counts)));
  }

 private:
  TraceCounts read(Pieces& pieces) const {
    try {
      return each_trace_row(
          m_path, [&](const TraceRow& row) { pieces.add(row); },
          [](const std::string& note) { base::log(base::Level::info, note); }, Ending::may_be_unfinished);
    } catch (base::Error& error) {
      if (error.kind() == base::Kind::not_found) error.set_hint("correct [metrics] trace in the configuration");
      throw;
    }
  }

  std::filesystem::path m_path;
};

}  // namespace

std::unique_ptr<ports::RecordedSource> trace_source(std::filesystem::path path) {
  return std::make_unique<TraceSource>(std::move(path));
}

}  // namespace umbra::metrics
