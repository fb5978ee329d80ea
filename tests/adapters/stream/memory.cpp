// SPDX-License-Identifier: Apache-2.0
// What a pass takes of memory does not follow the disk.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "adapters/nbd/source.hpp"
#include "adapters/stream/stream.hpp"
#include "base/clock.hpp"
#include "bytes.hpp"
#include "ports/copy.hpp"

using namespace umbra;

namespace {

constexpr std::uint64_t gib = 1u << 30;

/// In MiB; the highest since it was asked to be forgotten.
long highest_memory(bool forget) {
  if (forget) std::ofstream("/proc/self/clear_refs") << "5";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6)) / 1024;
  return -1;
}

/// Data of 1 MiB in each GiB, no two alike.
void make_sparse(const std::string& path, std::uint64_t size) {
  const base::UniqueFd fd = base::open_file(path, O_WRONLY | O_CREAT);
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  std::vector<std::byte> data(1u << 20);
  for (std::uint64_t at = 0; at < size; at += gib) {
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>((i * i + at / gib) >> 3);
    REQUIRE(::pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(at)) == static_cast<ssize_t>(data.size()));
  }
}

/// Sends the file to nowhere; MiB taken beyond what there was.
long memory_of_a_pass(const std::string& path) {
  const base::UniqueFd nowhere = base::open_file("/dev/null", O_WRONLY);
  const long before = highest_memory(true);
  const auto source = nbd::open_file({path, "raw", {}, {}});
  model::PointHeader header;
  header.parts = {{model::DiskName("vda"), source->size()}};
  const auto sink = stream::send_one_way(nowhere.get(), header);
  ports::ChangeDigest changes;
  const base::CancelToken cancel;
  ports::Pace pace(base::system_clock(), cancel, std::nullopt);
  ports::send_part(*source, *sink, changes, {0, ports::ParentBlocks::unknown(), ports::Look::all}, pace, cancel, {});
  sink->commit(changes.finish());
  return highest_memory(false) - before;
}

}  // namespace

TEST_CASE("a pass over a disk of 64 GiB takes less than 64 MiB of memory") {
  std::string path = "/tmp/umbra-memory-XXXXXX";
  base::UniqueFd(::mkstemp(path.data()));
  make_sparse(path, 64 * gib);
  const pid_t child = ::fork();  // a process whose memory nobody else's test has grown
  if (child == 0) {
    const long taken = memory_of_a_pass(path);
    ::_exit(taken < 0 || taken > 250 ? 250 : static_cast<int>(taken));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::unlink(path.c_str());
  REQUIRE(WIFEXITED(status));
  INFO(WEXITSTATUS(status) << " MiB");
  CHECK(WEXITSTATUS(status) < 64);
}
