// SPDX-License-Identifier: Apache-2.0
#pragma once
// Passes under way, told to each other by files under the state folder: `links`/HOST/VM.pass holds the pass's weight,
// and is locked as long as the pass runs. The kernel frees the lock however the process dies; what is not locked does
// not count.

#include <filesystem>

#include "ports/links.hpp"

namespace umbra::store {

class FileLinks final : public ports::LinkShares {
 public:
  explicit FileLinks(const std::filesystem::path& state_dir);
  std::unique_ptr<ports::LinkShare> enter(const model::HostName& from, const model::VmName& vm, double weight) override;

 private:
  std::filesystem::path m_dir;
};

}  // namespace umbra::store
