// SPDX-License-Identifier: Apache-2.0
#pragma once
// Bytes on descriptors, for tests of what is written and read there.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "adapters/stream/wire.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "fakes/thrown.hpp"

namespace umbra::test {

/// A file in memory: what is written stays, what is put in is read.
class MemoryFile {
 public:
  MemoryFile() : m_fd(::memfd_create("test", MFD_CLOEXEC)) {}
  explicit MemoryFile(std::span<const std::byte> content) : MemoryFile() {
    base::write_all(m_fd.get(), content, "a test's file");
    rewind();
  }
  int fd() const { return m_fd.get(); }
  void rewind() const { ::lseek(m_fd.get(), 0, SEEK_SET); }
  stream::Bytes content() const {
    rewind();
    stream::Bytes bytes(static_cast<std::size_t>(::lseek(m_fd.get(), 0, SEEK_END)));
    rewind();
    base::read_full(m_fd.get(), bytes, "a test's file");
    rewind();
    return bytes;
  }

 private:
  base::UniqueFd m_fd;
};

struct Pipe {
  base::UniqueFd out;
  base::UniqueFd in;
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    out = base::UniqueFd(ends[0]);
    in = base::UniqueFd(ends[1]);
  }
};

inline std::vector<std::byte> filled(unsigned char value, std::size_t length) {
  return std::vector<std::byte>(length, std::byte{value});
}

}  // namespace umbra::test
