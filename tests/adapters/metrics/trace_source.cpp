// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/trace_source.hpp"

#include <unistd.h>
#include <algorithm>
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace {

using namespace umbra;
using Taken = std::map<std::string, std::vector<std::int64_t>>;

base::Instant at(std::int64_t unix_s) {
  return base::Instant(base::Millis(unix_s * 1000));
}

/// The Unix seconds of what was taken, by uuid.
Taken taken(const std::filesystem::path& path, const ports::Past& past, std::size_t* pieces = nullptr) {
  Taken all;
  metrics::trace_source(path)->range(past, [&](const std::vector<model::Series>& piece) {
    if (pieces != nullptr) ++*pieces;
    for (const model::Series& series : piece) {
      CHECK(series.uuid.get() == "vm:" + series.vm.get());
      for (const model::Sample& sample : series.samples)
        all[series.uuid.get()].push_back(sample.at.time_since_epoch().count() / 1000);
    }
  });
  return all;
}

class File {
 public:
  explicit File(const std::string& content) { base::write_file_atomic(m_path, content); }
  ~File() { std::filesystem::remove(m_path); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const std::filesystem::path& path() const { return m_path; }

 private:
  std::filesystem::path m_path =
      std::filesystem::temp_directory_path() / ("umbra-trace-source-" + std::to_string(getpid()) + ".csv");
};

}  // namespace

TEST_CASE("of a trace the rows are taken that each VM's history lacks") {
  const File file("time,vm,cpu\n10,a,0.1\n20,a,0.2\n10,b,0.1\n30,a,0.3\n40,a,0.4\n20,b,0.2\n5,c,0.1\n50,a,0.5");
  CHECK(taken(file.path(), {at(10), at(30), base::Seconds{60}, {{model::Uuid("vm:a"), at(10)}}}) ==
        Taken{{"vm:a", {20, 30}}, {"vm:b", {10, 20}}});
  CHECK(taken(file.path(), {at(0), at(99), base::Seconds{60}, {{model::Uuid("vm:a"), at(40)}}}) ==
        Taken{{"vm:b", {10, 20}}, {"vm:c", {5}}});  // a's last row may not be whole
}

TEST_CASE("a long trace comes in pieces, each by time, nothing twice and nothing missing") {
  std::string content = "time,vm,cpu\n";
  for (int i = 0; i < 60'000; ++i) content += std::to_string(1000 + (i ^ 1)) + (i % 3 == 0 ? ",a,0.5\n" : ",b,0.25\n");
  const File file(content);
  std::size_t pieces = 0;
  Taken all = taken(file.path(), {at(0), at(100'000), base::Seconds{60}, {}}, &pieces);
  CHECK(pieces == 2);
  CHECK(all["vm:a"].size() == 20'000);
  CHECK(all["vm:b"].size() == 40'000);
  CHECK(std::ranges::is_sorted(all["vm:a"]));
}

TEST_CASE("a trace that is not there is named with the configuration's key") {
  try {
    taken("/no/such/trace", {at(0), at(1), base::Seconds{60}, {}});
    FAIL("it was read");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::not_found);
    CHECK(e.hint().find("[metrics] trace") != std::string::npos);
  }
}
