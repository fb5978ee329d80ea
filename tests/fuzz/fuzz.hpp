// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the fuzz targets share. Each target is one decoder: it must take any bytes, and refuse them by base::Error
// alone; any other exception, a sanitizer's finding or a hang is a defect.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/fd.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace umbra::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// The input as a file, for what reads one.
class InputFile {
 public:
  explicit InputFile(std::string_view content) : m_fd(::memfd_create("fuzz", MFD_CLOEXEC)) {
    base::write_all(m_fd.get(), content, "the input");
    ::lseek(m_fd.get(), 0, SEEK_SET);
  }
  int fd() const { return m_fd.get(); }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(m_fd.get()); }

 private:
  base::UniqueFd m_fd;
};

/// Runs `act`; being refused is fine.
template <class Act>
void may_refuse(Act&& act) {
  try {
    act();
  } catch (const base::Error&) {
  }
}

/// A law that every input keeps. abort() is what fuzzers look for.
inline void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace umbra::fuzz
