// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where results go: JSON lines at once in a pipe, a table at the end on a terminal.

#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "cmd/output/table.hpp"
#include "model/record.hpp"

namespace umbra::cmd {

/// How a verb shows records as a table.
struct RecordTable {
  std::vector<std::string> titles;
  std::function<std::vector<Cell>(const model::Record&)> row;
};

/// Whoever read standard output has gone, as `head` does once it has its lines.
struct ReaderGone : base::Error {
  ReaderGone() : base::Error(base::Kind::io, "nobody reads standard output any more") {}
};

class Output {
 public:
  /// `format` is auto, table or jsonl; `show` prints the table on standard error too.
  Output(const std::string& format, bool show, std::FILE* out, std::FILE* err);

  bool json() const { return m_json; }
  /// One result. JSON goes out at once, whole line, flushed; a failed write throws Kind::io.
  void record(const model::Record& record);
  /// One result that is no record.
  void json_line(const model::Json& json);
  void text(const std::string& text);
  /// Prints what was gathered for a table.
  void finish(const RecordTable& table);
  bool colour() const { return m_colour; }

 private:
  void write(std::FILE* to, const std::string& text);
  std::FILE* m_out;
  std::FILE* m_err;
  bool m_json;
  bool m_show;
  bool m_colour;
  bool m_err_colour;
  std::mutex m_mutex;
  std::vector<model::Record> m_records;
};

/// Results that are no records: each a JSON line at once, or a row of one table at the end.
class Listing {
 public:
  Listing(Output& out, std::vector<std::string> titles) : m_out(out), m_table(std::move(titles)) {}
  void add(const model::Json& json, std::vector<Cell> row);
  /// Rows gathered for the table; always empty where JSON lines go out.
  bool empty() const { return m_table.empty(); }
  void finish();

 private:
  Output& m_out;
  Table m_table;
};

}  // namespace umbra::cmd
