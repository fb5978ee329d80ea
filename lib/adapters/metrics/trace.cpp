// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <set>
#include <span>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "adapters/metrics/csv.hpp"
#include "adapters/metrics/number.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/text.hpp"

namespace umbra::metrics {
namespace {

namespace fs = std::filesystem;

constexpr double year_9999 = 253402300800;  // Unix seconds
constexpr double odd_fraction = 2;          // more was hardly ever measured: taken, and told
constexpr const char* header_hint =
    "the first line must be: time,vm,cpu,memory,gpu,gpu_memory,net,disk (resources as far as known)";

std::optional<base::Instant> time_of(std::string_view text) {
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
  std::vector<std::pair<model::Resource, std::size_t>> resources;
  std::vector<std::string> ignored;
};

/// Text that some programs save as CSV and that would only show as a strange header.
void refuse_foreign(std::string_view first_line, const fs::path& file) {
  std::string what;
  if (first_line.starts_with("\xFF\xFE") || first_line.starts_with("\xFE\xFF"))
    what = "is text in UTF-16, not in UTF-8";
  else if (std::ranges::any_of(first_line, [](char c) { return c >= 0 && c < ' ' && c != '\t' && c != '\r'; }))
    what = "is no text";
  else if (first_line.find('\r') != std::string_view::npos)
    what = "ends its lines with CR alone, not with LF or CR LF";
  if (!what.empty())
    throw base::Error(base::Kind::invalid, fmt::format("{} {}", file.string(), what), "save it as plain CSV in UTF-8");
}

Columns columns_of(const Cells& header, const fs::path& file) {
  Columns columns;
  columns.count = header.size();
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const bool again = !seen.insert(header[i]).second;
    if (again && !header[i].empty()) {
      throw base::Error(base::Kind::invalid,
                        fmt::format("{}: the header names \"{}\" twice", file.string(), base::shown(header[i])),
                        header_hint);
    }
    if (header[i] == "time") {
      columns.time = i;
    } else if (header[i] == "vm") {
      columns.vm = i;
    } else if (const auto resource = model::resource_from_string(header[i])) {
      columns.resources.emplace_back(*resource, i);
    } else {
      columns.ignored.push_back(base::shown(header[i]));
    }
  }
  for (const char* name : {"time", "vm"}) {
    if (seen.contains(name)) continue;
    throw base::Error(base::Kind::invalid, fmt::format("{}: the header has no column \"{}\"", file.string(), name),
                      header_hint);
  }
  if (columns.resources.empty())
    throw base::Error(base::Kind::invalid, fmt::format("{}: the header names no resource", file.string()), header_hint);
  return columns;
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

/// Numbers the VMs in the order of their appearance. Rows of one VM often follow each other, or come in the same order
/// each time: the VM after the last one is looked at before all others.
class Names {
 public:
  std::size_t number_of(std::string_view name) {
    for (const std::size_t guess : {m_last, m_last + 1 < m_names.size() ? m_last + 1 : 0}) {
      if (guess < m_names.size() && m_names[guess]->get() == name) return m_last = guess;
    }
    const auto [it, fresh] = m_numbers.try_emplace(model::VmName(std::string(name)), m_names.size());
    if (fresh) m_names.push_back(&it->first);
    return m_last = it->second;
  }
  const model::VmName& operator[](std::size_t number) const { return *m_names[number]; }

 private:
  std::unordered_map<model::VmName, std::size_t> m_numbers;
  std::vector<const model::VmName*> m_names;
  std::size_t m_last = 0;
};

/// Reads file after file; knows the newest time of each VM and which notes were given.
class Reader {
 public:
  using Each = std::function<void(const TraceRow&)>;
  using Note = std::function<void(const std::string&)>;
  Reader(const Each& each, const Note& note, Ending ending) : m_each(each), m_note(note), m_ending(ending) {}

  void read(const fs::path& file) {
    LineReader lines(file);
    std::string_view line;
    const bool is_empty = !lines.next(line);
    if (m_ending == Ending::may_be_unfinished && (is_empty || lines.unfinished())) return;
    if (is_empty) throw no_usable_row(file, "it is empty");
    refuse_foreign(line, file);
    Cells header;
    if (!header.parse(line)) throw no_usable_row(file, "a quote is left open in the header");
    const Columns columns = columns_of(header, file);
    if (!columns.ignored.empty() && m_noted.insert("columns").second) {
      m_note(fmt::format("{}: columns that are no resource are ignored: {}", file.string(),
                         fmt::join(columns.ignored, ", ")));
    }

    const std::uint64_t sound_before = m_counts.used + m_counts.repeated;
    m_first_fault.clear();
    while (lines.next(line)) {
      if (m_ending == Ending::may_be_unfinished && lines.unfinished()) break;
      if (line.find_first_not_of(" \t") == std::string_view::npos && !lines.cut()) continue;
      ++m_counts.rows;
      take(lines.cut() ? "the line is too long" : parse(line, columns),
           [&] { return fmt::format("{}:{}", file.string(), lines.number()); });
    }
    if (m_counts.used + m_counts.repeated == sound_before && m_ending == Ending::is_whole)
      throw no_usable_row(file, m_first_fault.empty() ? "it ends with its header" : m_first_fault);
  }

  /// After the last file: a resource that is in percent, likely.
  void tell_of_useless_columns() const {
    for (const model::Resource r : model::all_resources) {
      const Values& values = m_values[static_cast<std::size_t>(r)];
      if (values.good == 0 && values.bad > 0)
        m_note(fmt::format("none of the {} values of {} is a fraction of capacity: 85 % is written 0.85", values.bad,
                           to_string(r)));
    }
  }

  const TraceCounts& counts() const { return m_counts; }

 private:
  struct Values {
    std::uint64_t good = 0;
    std::uint64_t bad = 0;
  };

  static base::Error no_usable_row(const fs::path& file, const std::string& why) {
    return base::Error(base::Kind::invalid, fmt::format("{} has no usable row: {}", file.string(), why), header_hint);
  }

  /// Into m_cells, m_at, m_sample; why the row is malformed, or nothing.
  std::string parse(std::string_view line, const Columns& columns) {
    m_any = false;
    m_bad_cells = 0;
    m_bad_cell.clear();
    if (!m_cells.parse(line)) return "a quote is left open";
    if (m_cells.size() != columns.count)
      return fmt::format("{} cells where the header has {}", m_cells.size(), columns.count);
    const auto at = time_of(m_cells[columns.time]);
    if (!at) return fmt::format("\"{}\" is no time", base::shown(m_cells[columns.time]));
    m_vm = m_cells[columns.vm];
    if (m_vm.empty()) return "it names no VM";
    if (!base::is_utf8(m_vm)) return "the VM's name is not in UTF-8";
    if (has_control_character(m_vm)) return "the VM's name has a control character";
    m_sample = {};
    m_sample.at = *at;
    for (const auto& [resource, column] : columns.resources) {
      const std::string_view cell = m_cells[column];
      if (cell.empty()) continue;
      const auto value = number_of(cell);
      Values& values = m_values[static_cast<std::size_t>(resource)];
      if (value && *value >= 0 && *value <= model::most_fraction) {
        m_sample[resource] = *value;
        m_any = true;
        ++values.good;
        continue;
      }
      ++values.bad;
      if (m_bad_cells++ == 0) {
        m_bad_cell = fmt::format("\"{}\" of {} is no fraction of capacity", base::shown(cell), to_string(resource));
      }
    }
    return m_any ? std::string() : m_bad_cell;
  }

  template <class Where>
  void take(const std::string& fault, const Where& where) {
    if (m_bad_cells > 0) {
      m_counts.bad_cells += m_bad_cells;
      bad(m_counts.rows_with_bad_cells, "bad value", where, m_bad_cell);
    }
    if (!fault.empty()) return bad(m_counts.malformed, "malformed row", where, fault);
    if (!m_any) return bad(m_counts.empty, "empty row", where, "no resource has a value");
    const std::size_t vm = m_names.number_of(m_vm);
    if (vm == m_newest.size()) {
      m_newest.push_back(m_sample.at);
    } else if (m_sample.at == m_newest[vm]) {
      bad(m_counts.repeated, "repeated row", where, about_row() + " is there already; only what that lacks is taken");
      return m_each({m_names[vm], vm, m_sample, true});
    } else if (m_sample.at < m_newest[vm]) {
      bad(m_counts.out_of_order, "out-of-order row", where, about_row() + " comes after a later one");
    } else {
      m_newest[vm] = m_sample.at;
    }
    if (const auto odd = beyond_capacity()) bad(m_counts.beyond, "oddly full row", where, *odd);
    ++m_counts.used;
    m_each({m_names[vm], vm, m_sample});
  }

  /// A measured resource at a multiple of its capacity: a percentage, likely, of a VM that idles.
  std::optional<std::string> beyond_capacity() const {
    for (const model::Resource r :
         {model::Resource::cpu, model::Resource::memory, model::Resource::gpu, model::Resource::gpu_memory}) {
      if (m_sample[r] && *m_sample[r] > odd_fraction)
        return fmt::format("{} of {} is {:.0f} % of capacity", *m_sample[r], to_string(r), *m_sample[r] * 100);
    }
    return std::nullopt;
  }

  std::string about_row() const { return fmt::format("{} of {}", base::to_rfc3339(m_sample.at), m_vm); }

  /// Counts every such row, tells of the first of each kind.
  template <class Where>
  void bad(std::uint64_t& counter, const char* kind, const Where& where, const std::string& why) {
    ++counter;
    if (m_first_fault.empty()) m_first_fault = fmt::format("first bad row: {}: {}", where(), why);
    if (m_noted.insert(kind).second) m_note(fmt::format("{}: first {}: {}", where(), kind, why));
  }

  Each m_each;
  Note m_note;
  Ending m_ending;
  TraceCounts m_counts;
  Names m_names;
  std::vector<base::Instant> m_newest;  ///< by the VM's number
  std::set<std::string> m_noted;
  std::string m_first_fault;  ///< of the file at hand
  std::array<Values, model::all_resources.size()> m_values{};
  // The row at hand.
  Cells m_cells;
  std::string_view m_vm;
  model::Sample m_sample;
  bool m_any = false;             ///< at least one resource is known
  std::uint64_t m_bad_cells = 0;  ///< that are no fraction, and count as missing
  std::string m_bad_cell;         ///< what is wrong with the first of them
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

/// What became of all rows, where not each was used as it came.
std::optional<std::string> told(const TraceCounts& c) {
  if (c.used == c.rows && c.out_of_order == 0 && c.bad_cells == 0) return std::nullopt;
  std::string text =
      fmt::format("{} of {} rows are used; {} malformed, {} repeated, {} empty; {} out of order, put in their place",
                  c.used, c.rows, c.malformed, c.repeated, c.empty, c.out_of_order);
  if (c.stray > 0) text += fmt::format("; {} stray", c.stray);
  if (c.bad_cells > 0) text += "; " + bad_cells_told(c);
  return text;
}

/// By time; of rows of the same time one is left, with the first value of each resource.
void put_in_order(std::vector<model::Sample>& samples) {
  if (std::ranges::is_sorted(samples, std::less_equal<>{}, &model::Sample::at)) return;
  std::ranges::stable_sort(samples, {}, &model::Sample::at);
  std::size_t kept = 0;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    if (samples[i].at != samples[kept].at) {
      samples[++kept] = samples[i];
      continue;
    }
    fill(samples[kept], samples[i]);
  }
  samples.resize(kept + 1);
}

/// `samples` as they stand in the file. Where time goes back by months a clock jumped, ahead or back: what is shorter
/// of the two sides, and too short to forecast from, is taken out. What only lies long before or after all else may be
/// so, and stays. The first row and how many.
std::pair<base::Instant, std::uint64_t> leave_out_strays(std::vector<model::Sample>& samples) {
  const auto is_jump = [](const model::Sample& a, const model::Sample& b) {
    return b.at - a.at > model::longest_gap || a.at - b.at > model::longest_gap;
  };
  const auto runs = model::cut_at_gaps(std::span(samples), is_jump);
  std::vector<bool> is_stray(runs.size());
  for (std::size_t i = 1; i < runs.size(); ++i) {
    if (runs[i].front().at > runs[i - 1].back().at) continue;
    const std::size_t shorter = runs[i - 1].size() < runs[i].size() ? i - 1 : i;
    if (runs[shorter].size() <= model::least_history) is_stray[shorter] = true;
  }
  std::pair<base::Instant, std::uint64_t> strays;
  std::vector<model::Sample> kept;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!is_stray[i]) {
      kept.insert(kept.end(), runs[i].begin(), runs[i].end());
      continue;
    }
    if (strays.second == 0) strays.first = runs[i].front().at;
    strays.second += runs[i].size();
  }
  if (strays.second > 0) samples = std::move(kept);
  return strays;
}

}  // namespace

void fill(model::Sample& sample, const model::Sample& more) {
  for (const model::Resource r : model::all_resources) {
    if (!sample[r]) sample[r] = more[r];
  }
}

std::string bad_cells_told(const TraceCounts& counts) {
  return fmt::format("{} values in {} rows are no fraction of capacity and count as missing", counts.bad_cells,
                     counts.rows_with_bad_cells);
}

TraceCounts each_trace_row(const fs::path& path, const std::function<void(const TraceRow&)>& each,
                           const std::function<void(const std::string&)>& note, Ending ending) {
  Reader reader(each, note, ending);
  for (const fs::path& file : files_of(path)) reader.read(file);
  reader.tell_of_useless_columns();
  return reader.counts();
}

Trace read_trace(const fs::path& path) {
  Trace trace;
  trace.counts = each_trace_row(
      path,
      [&](const TraceRow& row) {
        if (row.number == trace.series.size()) trace.series.emplace_back().vm = row.vm;
        trace.series[row.number].samples.push_back(row.sample);
      },
      [&](const std::string& note) { trace.notes.push_back(note); });
  std::uint64_t used = 0;
  for (model::Series& one : trace.series) {
    const auto [first, strays] = leave_out_strays(one.samples);
    if (strays > 0 && trace.counts.stray == 0) {
      trace.notes.push_back(
          fmt::format("{}: first stray row: {} of {} lies months from the others of its VM: a clock "
                      "jumped, likely",
                      path.string(), base::to_rfc3339(first), one.vm.get()));
    }
    trace.counts.stray += strays;
    put_in_order(one.samples);
    used += one.samples.size();
  }
  TraceCounts& c = trace.counts;
  c.used = used;
  c.repeated = c.rows - c.used - c.malformed - c.empty - c.stray;
  std::ranges::sort(trace.series, {}, &model::Series::vm);
  if (const auto text = told(trace.counts)) trace.notes.push_back(fmt::format("{}: {}", path.string(), *text));
  return trace;
}

}  // namespace umbra::metrics
