// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/output.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.hpp"

namespace umbra::cmd {
namespace {

bool wants_colour(std::FILE* stream) {
  const char* off = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term != nullptr && std::string_view(term) == "dumb";
  return (off == nullptr || *off == '\0') && !dumb && ::isatty(::fileno(stream)) == 1;
}

/// The row of a record that failed: what the verb would show, or its error.
std::vector<Cell> row_of(const RecordTable& table, const model::Record& record) {
  const auto error = record.error();
  if (!error) return table.row(record);
  std::vector<Cell> cells(table.titles.size(), Cell("-"));
  cells[0] = record.vm().name.get();
  cells.back() = Cell(fmt::format("{} failed: {}", error->verb, error->message), Tone::bad);
  return cells;
}

}  // namespace

Output::Output(const std::string& format, bool show, std::FILE* out, std::FILE* err)
    : m_out(out),
      m_err(err),
      m_json(format == "jsonl" || (format == "auto" && ::isatty(::fileno(out)) != 1)),
      m_show(show && m_json),
      m_colour(wants_colour(out)),
      m_err_colour(wants_colour(err)) {}

void Output::write(std::FILE* to, const std::string& text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0) return;
  if (errno == EPIPE) throw ReaderGone();
  base::Error error = base::from_errno(errno, "write to standard output");
  error.set_hint("see where standard output goes; what was done is done: umbra status");
  throw error;
}

void Output::record(const model::Record& record) {
  const std::scoped_lock lock(m_mutex);
  if (m_json) write(m_out, record.to_line() + "\n");
  if (!m_json || m_show) m_records.push_back(record);
}

void Output::json_line(const model::Json& json) {
  const std::scoped_lock lock(m_mutex);
  write(m_out, model::to_text(json) + "\n");
}

void Output::text(const std::string& text) {
  const std::scoped_lock lock(m_mutex);
  write(m_out, text);
}

void Output::finish(const RecordTable& table) {
  if (m_records.empty()) return;
  Table rendered(table.titles);
  for (const model::Record& record : m_records) rendered.add(row_of(table, record));
  if (m_show)
    write(m_err, rendered.render(m_err_colour));
  else
    write(m_out, rendered.render(m_colour));
  m_records.clear();
}

void Listing::add(const model::Json& json, std::vector<Cell> row) {
  if (m_out.json())
    m_out.json_line(json);
  else
    m_table.add(std::move(row));
}

void Listing::finish() {
  if (!m_out.json()) m_out.text(m_table.render(m_out.colour()));
}

}  // namespace umbra::cmd
