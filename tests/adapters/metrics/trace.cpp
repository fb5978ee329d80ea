// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace.hpp"

#include <rapidcheck.h>
#include <unistd.h>
#include <algorithm>
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace {

using namespace umbra;
using metrics::read_trace;
using model::Resource;
namespace fs = std::filesystem;

/// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "umbra-trace-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    m_path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(m_path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  fs::path file(const std::string& name, const std::string& content) const {
    base::write_file_atomic(m_path / name, content);
    return m_path / name;
  }
  const fs::path& path() const { return m_path; }

 private:
  fs::path m_path;
};

constexpr const char* header = "time,vm,cpu,memory,gpu,gpu_memory,net,disk\n";

std::string error_of(const fs::path& path) {
  try {
    read_trace(path);
  } catch (const base::Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a trace gives a series per VM, in the order of names") {
  const Folder folder;
  const auto file = folder.file("a.csv", std::string(header) +
                                             "1700000000,web1,0.5,0.25,,,0.1,1.2\n"
                                             "2023-11-14T22:13:21Z,web1,0.6,,,,,\n"
                                             "1700000000.5,db1,,0.75,0.1,0.2,,\n");
  const auto trace = read_trace(file);
  CHECK(trace.counts.rows == 3);
  CHECK(trace.counts.used == 3);
  CHECK(trace.notes.empty());
  REQUIRE(trace.series.size() == 2);
  CHECK(trace.series[0].vm.get() == "db1");
  CHECK(base::to_rfc3339(trace.series[0].samples[0].at) == "2023-11-14T22:13:20.500Z");
  CHECK(trace.series[0].samples[0][Resource::gpu_memory] == 0.2);
  const auto& web = trace.series[1].samples;
  REQUIRE(web.size() == 2);
  CHECK(web[0][Resource::disk] == 1.2);
  CHECK_FALSE(web[0][Resource::gpu]);
  CHECK(web[1].at - web[0].at == std::chrono::seconds(1));
  CHECK_FALSE(web[1][Resource::memory]);
}

TEST_CASE("columns may be few and in any order, and others are ignored with one note") {
  const Folder folder;
  folder.file("1.csv", "\xEF\xBB\xBFrack,cpu,vm,time,owner\r\nr1,0.5,web1,1,\"Smith, J\"\r\n");
  folder.file("2.csv", "cpu,vm,time,owner\n0.6,web1,2,x");
  folder.file("notes.txt", "no trace");
  const auto trace = read_trace(folder.path());
  REQUIRE(trace.series.size() == 1);
  CHECK(trace.series[0].samples.size() == 2);
  REQUIRE(trace.notes.size() == 1);
  CHECK(trace.notes[0].find("are ignored: rack, owner") != std::string::npos);
}

TEST_CASE("bad rows are counted by their kind and the first of each is told") {
  const Folder folder;
  const auto file = folder.file("a.csv", std::string(header) +
                                             "10,web1,0.5,,,,,\n"
                                             "10,web1,0.6,,,,,\n"   // repeated
                                             "5,web1,0.6,,,,,\n"    // out of order: put in its place
                                             "11,web1,,,,,,\n"      // empty
                                             "12,web1,much,,,,,\n"  // malformed from here
                                             "13,web1,-0.1,,,,,\n"
                                             "14,web1,85,,,,,\n"
                                             "15,web1,nan,,,,,\n"
                                             "tomorrow,web1,0.5,,,,,\n"
                                             "16,,0.5,,,,,\n"
                                             "17,web1,0.5\n"
                                             "18,web1,\"0.5,,,,,\n"
                                             "\n"  // no row
                                             "5,db1,0.5,,,,,\n" +
                                             std::string(100000, 'x') +
                                             "\n"
                                             "20,web1,0.7,,,,,\n"
                                             "20,web1,0.8,,,,,\n"    // repeated, of a later row
                                             "10,web1,0.8,,,,,\n");  // out of order, and repeated
  const auto trace = read_trace(file);
  CHECK(trace.counts.rows == 17);
  CHECK(trace.counts.used == 4);
  CHECK(trace.counts.repeated == 3);
  CHECK(trace.counts.out_of_order == 2);
  CHECK(trace.counts.empty == 1);
  CHECK(trace.counts.malformed == 9);
  REQUIRE(trace.notes.size() == 6);
  const auto& web = trace.series[1].samples;
  REQUIRE(web.size() == 3);
  CHECK(web[0][Resource::cpu] == 0.6);
  CHECK(web[1][Resource::cpu] == 0.5);
  CHECK(web[2][Resource::cpu] == 0.7);
  CHECK(trace.notes[4] == file.string() + ":6: first malformed row: \"much\" of cpu is no fraction of capacity");
  CHECK(trace.notes[5] == file.string() +
                              ": 4 of 17 rows are used; 9 malformed, 3 repeated, 1 empty; 2 out of order, put in their "
                              "place; 4 values in 4 rows are no fraction of capacity and count as missing");
}

TEST_CASE("a bad value is as if it were missing, and the others of its row stand") {
  const Folder folder;
  const auto file = folder.file("a.csv",
                                "time,vm,cpu,memory\n"
                                "1,web1,0.5,0.4\n"
                                "2,web1,nan,0.4\n"
                                "3,web1,inf,0.4\n"
                                "4,web1,0.5,-0.1\n"
                                "5,web1,1e300,\n"  // none is left: malformed
                                "6,web1,x,y\n"
                                "tomorrow,web1,0.5,nan\n"  // a bad time
                                "7,,0.5,nan\n"             // no VM
                                "8,web1,85,0.4\n");
  const auto trace = read_trace(file);
  CHECK(trace.counts.used == 5);
  CHECK(trace.counts.malformed == 4);
  CHECK(trace.counts.bad_cells == 7);
  CHECK(trace.counts.rows_with_bad_cells == 6);
  REQUIRE(trace.series.size() == 1);
  const auto& web = trace.series[0].samples;
  REQUIRE(web.size() == 5);
  for (const std::size_t i : {1, 2, 4}) {
    CHECK_FALSE(web[i][Resource::cpu]);
    CHECK(web[i][Resource::memory] == 0.4);
  }
  CHECK(web[3][Resource::cpu] == 0.5);
  CHECK_FALSE(web[3][Resource::memory]);
  REQUIRE(trace.notes.size() == 3);
  CHECK(trace.notes[0] == file.string() + ":3: first bad value: \"nan\" of cpu is no fraction of capacity");
  CHECK(trace.notes[1] == file.string() + ":6: first malformed row: \"1e300\" of cpu is no fraction of capacity");
  CHECK(trace.notes[2].ends_with("; 7 values in 6 rows are no fraction of capacity and count as missing"));
}

TEST_CASE("few rows at which a clock jumped, ahead or back, are told and left out") {
  const Folder folder;
  const auto rows = [](std::int64_t from, int count, const std::string& vm) {
    std::string text;
    for (int i = 0; i < count; ++i) text += std::to_string(from + 300 * i) + "," + vm + ",0.5\n";
    return text;
  };
  const std::int64_t then = 1376314846;
  const auto file =
      folder.file("a.csv", "time,vm,cpu\n" + rows(then, 40, "web1") + rows(9999999999, 1, "web1") +
                               rows(then + 12000, 20, "web1") + rows(0, 12, "web1") + rows(then, 5, "db1") +
                               rows(0, 2, "db1") + rows(then, 20, "api1") + rows(then + 200 * 86400, 3, "api1"));
  const auto trace = read_trace(file);
  CHECK(trace.counts.stray == 15);
  CHECK(trace.counts.used == 88);
  REQUIRE(trace.series.size() == 3);
  CHECK(trace.series[0].samples.size() == 23);  // away for months, and back: how long it stays nobody knows yet
  CHECK(trace.series[1].samples.size() == 5);
  REQUIRE(trace.series[2].samples.size() == 60);
  CHECK(base::to_rfc3339(trace.series[2].samples.front().at) == "2013-08-12T13:40:46Z");
  CHECK(base::to_rfc3339(trace.series[2].samples.back().at) == "2013-08-12T18:35:46Z");
  REQUIRE(trace.notes.size() == 3);
  CHECK(trace.notes[1] == file.string() +
                              ": first stray row: 2286-11-20T17:46:39Z of web1 lies months from the others of its VM: "
                              "a clock jumped, likely");
  CHECK(trace.notes[2].ends_with("put in their place; 15 stray"));
}

TEST_CASE("a resource of which no value makes sense is named, and the others are used") {
  const Folder folder;
  const auto file = folder.file("a.csv", "time,vm,cpu,memory\n1,web1,85,0.4\n2,web1,90,0.5\n");
  const auto trace = read_trace(file);
  CHECK(trace.counts.used == 2);
  REQUIRE(trace.notes.size() == 3);
  CHECK(trace.notes[1] == "none of the 2 values of cpu is a fraction of capacity: 85 % is written 0.85");
}

TEST_CASE("rows that are used may be odd: that is told, and no row is lost") {
  const Folder folder;
  const auto file = folder.file("a.csv", "time,vm,cpu,net\n1,web1,0.5,3\n2,web1,1.9,0\n3,web1,5.5,0\n4,web1,7,0\n");
  const auto trace = read_trace(file);
  CHECK(trace.counts.used == 4);
  CHECK(trace.counts.beyond == 2);
  REQUIRE(trace.notes.size() == 1);
  CHECK(trace.notes[0] == file.string() + ":4: first oddly full row: 5.5 of cpu is 550 % of capacity");
}

TEST_CASE("a VM's name that JSON could not hold makes its row malformed") {
  const Folder folder;
  const auto trace = read_trace(folder.file("a.csv", "time,vm,cpu\n1,B\xFCro,0.5\n2,B\xC3\xBCro,0.5\n"));
  CHECK(trace.counts.malformed == 1);
  REQUIRE(trace.series.size() == 1);
  CHECK(trace.series[0].vm.get() == "B\xC3\xBCro");
}

TEST_CASE("the error of a file without a usable row tells why its first row is none") {
  const Folder folder;
  const auto why = [&](const std::string& content) {
    const std::string error = error_of(folder.file("a.csv", content));
    return error.substr(error.find("a.csv"));
  };
  CHECK(why("time,vm,cpu\n1700000000000,web1,0.5\n") ==
        "a.csv has no usable row: first bad row: " + (folder.path() / "a.csv:2").string() +
            ": \"1700000000000\" is no time");
  CHECK(why("time,vm,cpu\n") == "a.csv has no usable row: it ends with its header");
  CHECK(why("time,vm,speed\n1,web1,0.5\n") == "a.csv: the header names no resource");
  CHECK(why("time,vm,cpu\r1,web1,0.5\r2,web1,0.5\r") == "a.csv ends its lines with CR alone, not with LF or CR LF");
  CHECK(why(std::string("\xFF\xFEt\0i\0m\0e\0", 10)) == "a.csv is text in UTF-16, not in UTF-8");
  CHECK(why("time,vm,cpu\n1,web1,\x1B[2J\n").find('\x1B') == std::string::npos);
}

TEST_CASE("a file without a usable row is an error that names it") {
  const Folder folder;
  CHECK(error_of(folder.path() / "none.csv") == "there is no trace " + (folder.path() / "none.csv").string());
  CHECK(error_of(folder.path()) == folder.path().string() + " holds no *.csv file");
  folder.file("a.csv", std::string(header) + "1,web1,0.5,,,,,\n");
  const auto hollow = folder.file("b.csv", header);
  CHECK(error_of(hollow).find(hollow.string() + " has no usable row") == 0);
  CHECK(error_of(folder.path()).find(hollow.string() + " has no usable row") == 0);
  CHECK(error_of(folder.file("c.csv", "")).find("c.csv has no usable row: it is empty") != std::string::npos);
  CHECK(error_of(folder.file("d.csv", "time,cpu\n1,0.5\n")).find("the header has no column \"vm\"") !=
        std::string::npos);
  CHECK(error_of(folder.file("e.csv", "time,vm,cpu,cpu\n")).find("names \"cpu\" twice") != std::string::npos);
  CHECK(error_of(folder.file("f.csv", std::string("\0\x01\x02", 3))).find("f.csv") != std::string::npos);
}

TEST_CASE("whatever the bytes, rows are read or counted, and times rise") {
  const Folder folder;
  CHECK(rc::check([&] {
    std::string content = header;
    content += "1,first,0.5,,,,,\n";
    const int rows = *rc::gen::inRange(0, 30);
    for (int i = 0; i < rows; ++i) {
      content += *rc::gen::container<std::string>(
          rc::gen::element('0', '1', '9', '.', ',', ',', 'v', '"', '-', '\0', '\r', 'e', ' '));
      content += '\n';
    }
    const auto trace = read_trace(folder.file("a.csv", content));
    const auto& c = trace.counts;
    RC_ASSERT(c.rows == c.used + c.malformed + c.repeated + c.empty + c.stray);
    RC_ASSERT(c.rows_with_bad_cells <= c.rows);
    RC_ASSERT(c.rows_with_bad_cells <= c.bad_cells);
    for (const auto& series : trace.series) {
      for (std::size_t i = 1; i < series.samples.size(); ++i)
        RC_ASSERT(series.samples[i - 1].at < series.samples[i].at);
    }
  }));
}

TEST_CASE("the order of a VM's rows, and of the files that hold them, does not matter") {
  const Folder folder;
  std::vector<std::string> rows;
  for (int i = 0; i < 60; ++i)
    rows.push_back(std::to_string(1000 + i / 2) + (i % 2 ? ",web1,0." : ",db1,0.") + std::to_string(10 + i) + "\n");
  const auto joined = [](const auto& list) {
    std::string text = "time,vm,cpu\n";
    for (const std::string& row : list) text += row;
    return text;
  };
  const auto in_order = read_trace(folder.file("in-order", joined(rows)));
  CHECK(in_order.counts.out_of_order == 0);
  const std::vector<std::string> early(rows.begin(), rows.begin() + 31);
  const std::vector<std::string> late(rows.begin() + 29, rows.end());
  folder.file("1.csv", joined(late));
  folder.file("2.csv", joined(early));
  const auto spread = read_trace(folder.path());
  CHECK(spread.counts.repeated == 2);
  CHECK(spread.counts.out_of_order == 31);
  std::reverse(rows.begin(), rows.end());
  const auto backwards = read_trace(folder.file("backwards", joined(rows)));
  for (const auto* other : {&spread, &backwards}) {
    REQUIRE(other->series.size() == 2);
    for (std::size_t vm = 0; vm < 2; ++vm) {
      REQUIRE(other->series[vm].samples.size() == 30);
      for (std::size_t i = 0; i < 30; ++i) {
        CHECK(other->series[vm].samples[i].at == in_order.series[vm].samples[i].at);
        CHECK(other->series[vm].samples[i].values == in_order.series[vm].samples[i].values);
      }
    }
  }
}

TEST_CASE("a NUL byte spoils its own row alone") {
  const Folder folder;
  std::string content = "time,vm,cpu\n1,web1,0.5\n2,web1,0.6X\n3,weXb,0.5\n4X,web1,0.5\n5,web1,0.7\n";
  std::replace(content.begin(), content.end(), 'X', '\0');
  const auto trace = read_trace(folder.file("a.csv", content));
  CHECK(trace.counts.malformed == 3);
  REQUIRE(trace.series.size() == 1);
  CHECK(trace.series[0].samples.size() == 2);
}

TEST_CASE("lines of all lengths about the limit and the buffer's are read or counted") {
  const Folder folder;
  const std::size_t limit = 64u << 10;
  for (const std::size_t length : {limit - 1, limit, limit + 1, 4 * limit, 4 * limit + 1, 9 * limit}) {
    const std::string start = "2,web1,0.5,";
    for (const char* line_end : {"\n", "\r\n", ""}) {
      const std::string content = "time,vm,cpu,note\n1,web1,0.4,\n" + start + std::string(length - start.size(), 'x') +
                                  line_end + (*line_end ? "3,web1,0.6,\n" : "");
      const auto trace = read_trace(folder.file("a.csv", content));
      const bool fits = length + (*line_end == '\r') <= limit;
      INFO(length << " bytes, then " << std::string(line_end).size());
      CHECK(trace.counts.malformed == !fits);
      CHECK(trace.counts.used == 1u + fits + (*line_end ? 1 : 0));
    }
  }
}

TEST_CASE("a last row that may not be written to its end is left") {
  const Folder folder;
  const auto file = folder.file("a.csv", "time,vm,cpu\n1,web1,0.5\n2,web1,0.9");
  std::size_t rows = 0;
  const auto count = [&](const metrics::TraceRow&) { ++rows; };
  const auto no_note = [](const std::string&) {};
  CHECK(metrics::each_trace_row(file, count, no_note, metrics::Ending::may_be_unfinished).rows == 1);
  CHECK(rows == 1);
  CHECK(metrics::each_trace_row(file, count, no_note).rows == 2);
  const auto young = folder.file("b.csv", "time,vm,cpu\n");
  CHECK(metrics::each_trace_row(young, count, no_note, metrics::Ending::may_be_unfinished).rows == 0);
}

TEST_CASE("rows of the same time are one, with what any of them tells") {
  const Folder folder;
  const auto file =
      folder.file("a.csv", "time,vm,cpu,memory\n1,web1,0.5,\n1,web1,,0.4\n2,web1,nan,0.3\n2,web1,0.6,0.9\n");
  const auto trace = read_trace(file);
  CHECK(trace.counts.used == 2);
  CHECK(trace.counts.repeated == 2);
  REQUIRE(trace.series.size() == 1);
  REQUIRE(trace.series[0].samples.size() == 2);
  CHECK(trace.series[0].samples[0][Resource::cpu] == 0.5);
  CHECK(trace.series[0].samples[0][Resource::memory] == 0.4);
  CHECK(trace.series[0].samples[1][Resource::cpu] == 0.6);
  CHECK(trace.series[0].samples[1][Resource::memory] == 0.3);
}
