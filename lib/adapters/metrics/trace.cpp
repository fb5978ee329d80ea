// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <system_error>

#include "adapters/metrics/csv.hpp"
#include "adapters/metrics/number.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

namespace umbra::metrics {
namespace {

namespace fs = std::filesystem;

constexpr double year_9999 = 253402300800;  // Unix seconds
constexpr double most_fraction = 10;        // more is a percentage, or no fraction at all

std::optional<base::Instant> time_of(const std::string& text) {
  const auto seconds = number_of(text);
  if (!seconds) return base::parse_rfc3339(text);
  if (*seconds < 0 || *seconds >= year_9999) return std::nullopt;
  return base::Instant(base::Millis(static_cast<std::int64_t>(std::round(*seconds * 1000))));
}

/// Which cell holds what.
struct Columns {
  std::size_t count = 0;
  std::size_t time = 0;
  std::size_t vm = 0;
  std::map<model::Resource, std::size_t> resources;
  std::vector<std::string> ignored;
};

Columns columns_of(const std::vector<std::string>& header, const fs::path& file) {
  Columns columns;
  columns.count = header.size();
  std::set<std::string> seen;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool again = !seen.insert(header[i]).second;
    if (again && !header[i].empty()) {
      throw base::Error(base::Kind::invalid,
                        fmt::format("{}: the header names \"{}\" twice", file.string(), header[i]));
    }
    if (header[i] == "time") {
      columns.time = i;
    } else if (header[i] == "vm") {
      columns.vm = i;
    } else if (const auto resource = model::resource_from_string(header[i])) {
      columns.resources[*resource] = i;
    } else {
      columns.ignored.push_back(header[i]);
    }
  }
  for (const char* name : {"time", "vm"}) {
    if (seen.contains(name)) continue;
    throw base::Error(base::Kind::invalid, fmt::format("{}: the header has no column \"{}\"", file.string(), name),
                      "the first line must be: time,vm,cpu,memory,gpu,gpu_memory,net,disk (resources as far as known)");
  }
  return columns;
}

struct Parsed {
  TraceRow row;
  std::string fault;  ///< why the row is malformed; empty where it is not
  bool any = false;   ///< at least one resource is known
};

Parsed parse(const std::string& line, const Columns& columns) {
  Parsed parsed;
  const auto cells = cells_of(line);
  if (!cells) return {{}, "a quote is left open", false};
  if (cells->size() != columns.count) {
    return {{}, fmt::format("{} cells where the header has {}", cells->size(), columns.count), false};
  }
  const auto at = time_of((*cells)[columns.time]);
  if (!at) return {{}, fmt::format("\"{}\" is no time", (*cells)[columns.time]), false};
  if ((*cells)[columns.vm].empty()) return {{}, "it names no VM", false};
  parsed.row.sample.at = *at;
  parsed.row.vm = model::VmName((*cells)[columns.vm]);
  for (const auto& [resource, column] : columns.resources) {
    const std::string& cell = (*cells)[column];
    if (cell.empty()) continue;
    const auto value = number_of(cell);
    if (!value || *value < 0 || *value > most_fraction) {
      return {{}, fmt::format("\"{}\" of {} is no fraction of capacity", cell, to_string(resource)), false};
    }
    parsed.row.sample[resource] = *value;
    parsed.any = true;
  }
  return parsed;
}

/// Reads file after file; knows the newest time of each VM and which notes were given.
class Reader {
 public:
  using Each = std::function<void(const TraceRow&)>;
  using Note = std::function<void(const std::string&)>;
  Reader(const Each& each, const Note& note) : m_each(each), m_note(note) {}

  void read(const fs::path& file) {
    LineReader lines(file);
    std::string line;
    if (!lines.next(line)) throw no_usable_row(file, "it is empty");
    const auto header = cells_of(line);
    if (!header) throw no_usable_row(file, "a quote is left open in the header");
    const Columns columns = columns_of(*header, file);
    if (!columns.ignored.empty() && m_noted.insert("columns").second) {
      m_note(fmt::format("{}: columns that are no resource are ignored: {}", file.string(),
                         fmt::join(columns.ignored, ", ")));
    }

    const std::uint64_t used_before = m_counts.used;
    while (lines.next(line)) {
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      ++m_counts.rows;
      const std::string where = fmt::format("{}:{}", file.string(), lines.number());
      if (lines.cut()) {
        bad(m_counts.malformed, "malformed", where, "the line is too long");
      } else {
        take(parse(line, columns), where);
      }
    }
    if (m_counts.used == used_before) throw no_usable_row(file, "each of its rows is empty, malformed or out of order");
  }

  const TraceCounts& counts() const { return m_counts; }

 private:
  static base::Error no_usable_row(const fs::path& file, const std::string& why) {
    return base::Error(
        base::Kind::invalid, fmt::format("{} has no usable row: {}", file.string(), why),
        "the first line must be: time,vm,cpu,memory,gpu,gpu_memory,net,disk (resources as far as known)");
  }

  void take(const Parsed& parsed, const std::string& where) {
    if (!parsed.fault.empty()) return bad(m_counts.malformed, "malformed", where, parsed.fault);
    if (!parsed.any) return bad(m_counts.empty, "empty", where, "no resource has a value");
    const auto [it, fresh] = m_newest.try_emplace(parsed.row.vm, parsed.row.sample.at);
    if (!fresh) {
      const std::string about = fmt::format("{} of {}", base::to_rfc3339(parsed.row.sample.at), parsed.row.vm.get());
      if (parsed.row.sample.at == it->second)
        return bad(m_counts.repeated, "repeated", where, about + " is there already");
      if (parsed.row.sample.at < it->second) {
        return bad(m_counts.out_of_order, "out of order", where, about + " comes after a later one");
      }
      it->second = parsed.row.sample.at;
    }
    ++m_counts.used;
    m_each(parsed.row);
  }

  /// Counts every bad row, tells of the first of each kind.
  void bad(std::uint64_t& counter, const std::string& kind, const std::string& where, const std::string& why) {
    ++counter;
    if (m_noted.insert(kind).second) m_note(fmt::format("{}: first {} row: {}", where, kind, why));
  }

  Each m_each;
  Note m_note;
  TraceCounts m_counts;
  std::map<model::VmName, base::Instant> m_newest;
  std::set<std::string> m_noted;
};

std::vector<fs::path> files_of(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw base::Error(base::Kind::not_found, fmt::format("there is no trace {}", path.string()),
                      "--trace FILE or --trace DIR");
  }
  if (!fs::is_directory(status)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".csv") files.push_back(entry.path());
  }
  if (error) throw base::from_errno(error.value(), "read " + path.string());
  if (files.empty()) {
    throw base::Error(base::Kind::not_found, fmt::format("{} holds no *.csv file", path.string()),
                      "--trace FILE or --trace DIR");
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TraceCounts each_trace_row(const fs::path& path, const std::function<void(const TraceRow&)>& each,
                           const std::function<void(const std::string&)>& note) {
  Reader reader(each, note);
  for (const fs::path& file : files_of(path)) reader.read(file);
  return reader.counts();
}

Trace read_trace(const fs::path& path) {
  Trace trace;
  std::map<model::VmName, model::Series> series;
  trace.counts = each_trace_row(
      path,
      [&](const TraceRow& row) {
        model::Series& one = series[row.vm];
        one.vm = row.vm;
        one.samples.push_back(row.sample);
      },
      [&](const std::string& note) { trace.notes.push_back(note); });
  for (auto& [vm, one] : series) trace.series.push_back(std::move(one));
  return trace;
}

}  // namespace umbra::metrics
